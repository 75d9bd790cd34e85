"""Trains the VAE: pictures of 256 x 256 to latents of 4 x 32 x 32 and back.

The loss compares colours (means over blocks of 8 and 16 pixels), edges and pixels. The KL term is small, since dragnext uses the mean of the latent.
The last quarter of the schedule uses TF32 instead of bf16, for the last decibels.

With --decoder, the encoder stays as it is, so that latents and everything trained on them remain valid. The decoder is trained in f32 on the means of the
latents, two of three pictures have white or black objects, and the loss includes the drift of these objects' colours.
"""
import math, pathlib
import torch
import torch.nn.functional as F
import networks, pictures, training

PRECISE = .75                                                     # fraction of the schedule after which TF32 is used
WHOLE = .8                                                        # of the schedule is trained on crops, where --crop asks for them; then whole pictures
KL = 1e-4
HARD = ("white", "black")                                         # the colours that the VAE gets wrong first
DRIFT = 3.0                                                       # weight of the drift of these colours, with --decoder


def focus(scene):
    """The centre of the object that a crop of this scene shows: a white or black one where there is one, else the first; None without objects."""
    objects = sorted((o for o in scene["objects"] if o["kind"] != "line"), key=lambda o: o["color"] not in HARD)
    return (objects[0]["x"], objects[0]["y"]) if objects else None


def crops(x, scenes, size, generator):
    """A window of `size` pixels of each picture, at a random place: half of the time one that holds the centre of the scene's focus.

    Windows start at multiples of 8, so that latent cells lie as in the whole picture.
    """
    most, out = (x.shape[-1] - size) // 8, []
    for picture, scene in zip(x, scenes):
        draw = lambda low, high: int(torch.randint(low, high + 1, (1,), generator=generator))
        point, low, high = focus(scene), [0, 0], [most, most]
        if point is not None and draw(0, 1):
            low = [min(most, max(0, math.ceil((v - size + 1) / 8))) for v in point]
            high = [max(l, min(most, int(v) // 8)) for v, l in zip(point, low)]
        left, top = (8 * draw(l, h) for l, h in zip(low, high))
        out.append(picture[:, top:top + size, left:left + size])
    return torch.stack(out).contiguous(memory_format=torch.channels_last)


def psnr(a, b):
    """Returns the PSNR of pictures in -1..1."""
    return -10 * math.log10(max(F.mse_loss(a, b).item(), 1e-12) / 4)


def divergence(mean, logvar):
    """The KL divergence of the latents' distribution from a normal one, per value."""
    return .5 * (mean.square() + logvar.exp() - 1 - logvar).mean()


def criterion(x, y):
    across, down = lambda t: t[..., 1:] - t[..., :-1], lambda t: t[..., 1:, :] - t[..., :-1, :]
    edges = (across(x) - across(y)).abs().mean() + (down(x) - down(y)).abs().mean()
    colour = sum((F.avg_pool2d(x, k) - F.avg_pool2d(y, k)).abs().mean() for k in (8, 16))
    return (x - y).abs().mean() + 2 * edges + 16 * F.mse_loss(y, x) + colour


def drift(x, y, scenes):
    """The mean distance, over the objects of the hard colours, between an object's mean colour in x and in y. Leaves out objects of fewer than 40 pixels."""
    yy, xx = torch.meshgrid(torch.arange(x.shape[-2], device=x.device) + .5, torch.arange(x.shape[-1], device=x.device) + .5, indexing="ij")
    found = []
    for before, after, scene in zip(x, y, scenes):
        for o in scene["objects"]:
            if o["color"] in HARD and o["kind"] != "line":
                inside = pictures.distances([o], xx, yy, x.device)[0][0] < -3
                if inside.sum() >= 40:
                    found.append((after - before)[:, inside].mean(1).square().sum().add(1e-6).sqrt())
    return torch.stack(found).mean() if found else y.sum() * 0


def reconstruct(vae, x, part=16):
    with torch.no_grad():
        z = torch.cat([vae.moments(p)[0] for p in x.split(part)])
        return z, torch.cat([vae.decode_raw(p) for p in z.split(part)])


def train(a):
    cuda = a.device == "cuda"
    scenes = pictures.many(pictures.TRAINING, a.scenes or (80_000 if cuda else 20_000))
    batch = a.batch or (64 if cuda else 3 if a.decoder else 4)
    training.say(f"{len(scenes)} scenes described")
    torch.manual_seed(0)
    vae = networks.Vae(networks.config("vae"))
    settings = vae.config
    if a.start:
        start = networks.load(a.start, "vae")
        vae.load_state_dict(start.state_dict()); settings = start.config
    if a.decoder:
        for name, p in vae.named_parameters():
            p.requires_grad_(name.startswith(("decoder.", "post_quant_conv.")))
    vae = vae.to(a.device, memory_format=torch.channels_last)
    rate, warm, decay, beta = (4e-5, 50, .99, .98) if a.decoder else (8e-4 if cuda else 6e-4, 200, .999, .95)
    run = training.Training(a, "vae", {"vae": vae}, rate=rate, warm=warm, decay=decay, beta=beta, weight_decay=1e-4)
    forward = training.compiled(a, vae)
    # Scenes with white or black objects stand twice in the list that is drawn from; with --decoder, as often as two of three pictures need.
    hard = [i for i, s in enumerate(scenes) if any(o["color"] in HARD for o in s["objects"])]
    again = max(1, round((2 * len(scenes) - 3 * len(hard)) / len(hard))) if a.decoder else 1
    common = torch.tensor(sorted([*range(len(scenes)), *hard * again]), device=a.device)
    # A GPU renders all pictures once (0.2 MB each); a CPU renders those of a batch.
    pool = torch.empty(len(scenes), 3, pictures.SIZE, pictures.SIZE, dtype=torch.uint8, device=a.device) if cuda else None
    for i in range(0, len(scenes) if cuda else 0, 64):
        pool[i:i + 64] = pictures.in_bytes(scenes[i:i + 64], a.device)
    shown = pictures.many(pictures.HELD_OUT, 16 if cuda else 4, kind=pictures.plain)
    if a.decoder:
        shown = [s for s in pictures.many(pictures.HELD_OUT, 160, first=20_000, kind=pictures.plain) if any(o["color"] in HARD for o in s["objects"])][:16]
    held_out = pictures.render(shown, a.device)

    def loss(generator, fraction):
        crop = a.crop if a.crop and fraction < WHOLE else None
        # As many pixels in every step, so that crops and whole pictures cost the same.
        count = batch * (pictures.SIZE // crop) ** 2 if crop else batch
        index = common[torch.randint(0, len(common), (count,), generator=generator, device=a.device)]
        drawn = [scenes[i] for i in index.tolist()]
        x = pictures.as_floats(pool[index] if cuda else pictures.in_bytes(drawn, a.device))
        if crop:
            x = crops(x, drawn, crop, generator)
        if a.decoder:
            with torch.no_grad():
                mean = vae.moments(x)[0]
            y = vae.decode_raw(mean)
            return criterion(x, y) + DRIFT * drift(x, y, drawn)
        noise = torch.randn(count, 4, x.shape[-1] // 8, x.shape[-1] // 8, generator=generator, device=a.device)
        with training.autocast(a, a.compile or fraction < PRECISE):   # with --compile, a change would trigger a second compilation
            y, mean, logvar = forward(x, noise)
        return criterion(x, y.float()) + KL * divergence(mean.float(), logvar.float())

    def report():
        _, y = reconstruct(vae, held_out)
        drifts = f", drift {drift(held_out, y, shown) * 127.5:.2f} levels" if a.decoder else ""
        return f"psnr {psnr(held_out, y):.2f}, of means {psnr(F.avg_pool2d(held_out, 16), F.avg_pool2d(y, 16)):.2f}{drifts}"

    finished = run.run(loss, report)
    if not a.decoder:
        settings = networks.config("vae", scaling_factor=scaling_factor(run, vae, 256 if cuda else 16, a.device))
    settings.pop("_name_or_path", None)
    vae.config = settings                                         # the state has it too, so that the UNet stage can start from it alone
    run.save()
    with run.averaged():
        training.say(f"vae: {report()}, scaling factor {settings['scaling_factor']:.4f}")
    networks.save(training.model_folder(a), "vae", run.average_of("vae"), settings)
    return finished


def scaling_factor(run, vae, count, device):
    """The factor that gives latents of the averaged encoder a standard deviation of 1."""
    x = pictures.render(pictures.many(pictures.HELD_OUT, count, first=1000), device)
    with run.averaged(), torch.no_grad():
        return 1 / torch.cat([vae.moments(p)[0] for p in x.split(16)]).std().item()
