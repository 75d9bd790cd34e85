"""Trains the UNet and the text encoder to predict the noise in latents of the VAE in OUT/model, given their captions.

Latents are computed once and cached in OUT/latents.pt; on a GPU, as many as --encode-seconds allow.
"""
import hashlib, math, pathlib, time
import torch
import networks, pictures, training

DROPPED = .10                                                     # share of dropped captions, for guidance
USED = 750                                                        # edits use the timesteps below this one
SNR, HALF = 5.0, .5                                               # half of the weight is min-SNR, with which shapes are learnt sooner


def weights(alphas, share):
    snr = alphas / (1 - alphas)
    least = snr.clamp(max=SNR) / snr
    return 1 - share + share * least / least.mean()


def latents(a, count):
    """Returns latents (f16) and token ids, in the order of the scenes."""
    path, model = pathlib.Path(a.out) / "latents.pt", pathlib.Path(a.out) / "model"
    key = f"{hashlib.sha256((model / 'vae' / networks.FILES['vae']).read_bytes()).hexdigest()} {count}"
    if path.exists():
        kept = torch.load(path, map_location=a.device, weights_only=True)
        if kept["key"] == key:
            return kept["latents"], kept["ids"]
    scenes, tokenizer, parts, begun = pictures.many(pictures.TRAINING, count), networks.Tokenizer(model), [], time.monotonic()
    training.say(f"{count} scenes described")
    vae = networks.load(model, "vae").to(a.device, memory_format=torch.channels_last)
    size = 64 if a.device == "cuda" else 8
    with torch.no_grad():
        for first in range(0, count, size):
            x = pictures.as_floats(pictures.in_bytes(scenes[first:first + size], a.device))
            parts.append(vae.encode(x).half().contiguous())
            if a.device == "cuda" and first % (32 * size) == 0:
                torch.cuda.synchronize()
                if time.monotonic() - begun > a.encode_seconds:
                    break
    out = torch.cat(parts)
    ids = tokenizer([pictures.caption(s) for s in scenes[:len(out)]]).to(a.device)
    if not torch.isfinite(out).all():
        raise SystemExit("the latents are not finite: the VAE is unusable")
    training.write(path, lambda new: torch.save({"key": key, "latents": out, "ids": ids}, new))
    training.say(f"{len(out)} latents, standard deviation {out.float().std():.3f}, in {time.monotonic() - begun:.0f} s")
    return out, ids


def train(a):
    cuda, model = a.device == "cuda", pathlib.Path(a.out) / "model"
    z, ids = latents(a, a.scenes or (200_000 if cuda else 6_000))
    batch = a.batch or (512 if cuda else 16)
    torch.manual_seed(1)
    settings = networks.config("unet")
    if a.widths:
        widths = [int(w) for w in a.widths.split(",")]
        settings.update(block_out_channels=widths, norm_num_groups=math.gcd(16, *widths))
    text, unet = networks.TextEncoder(networks.config("text_encoder")), networks.Unet(settings)
    if a.start:
        text.load_state_dict(networks.load(a.start, "text_encoder").state_dict())
        unet.load_state_dict(networks.load(a.start, "unet").state_dict())
    text, unet = text.to(a.device), unet.to(a.device, memory_format=torch.channels_last)
    run = training.Training(a, "unet", {"unet": unet, "text_encoder": text}, rate=1e-3 if cuda else 6e-4, warm=500 if cuda else 200, decay=.9995, beta=.99, weight_decay=1e-3)
    training.say(f"{sum(p.numel() for p in run.parameters.values()) / 1e6:.2f} M parameters, {len(z)} latents, batches of {batch}")
    alphas, forward = networks.schedule(a.device), training.compiled(a, unet)
    weight, empty = weights(alphas, a.snr), networks.Tokenizer(model)([""]).to(a.device)

    def noisy(latent, t, noise):
        s = alphas[t].view(-1, 1, 1, 1)
        return (s.sqrt() * latent + (1 - s).sqrt() * noise).contiguous(memory_format=torch.channels_last)

    def loss(generator, fraction):
        rand = dict(generator=generator, device=a.device)
        i, t = torch.randint(0, len(z), (batch,), **rand), torch.randint(0, len(alphas), (batch,), **rand)
        t = torch.where(torch.rand(batch, **rand) < a.low, t * USED // len(alphas), t)
        noise, drop = torch.randn(batch, *z.shape[1:], **rand), torch.rand(batch, 1, **rand) < DROPPED
        with training.autocast(a):
            e = forward(noisy(z[i].float(), t, noise), t, text(torch.where(drop, empty, ids[i])))
        return (weight[t] * (e.float() - noise).square().mean((1, 2, 3))).mean()

    held = torch.Generator().manual_seed(3)                       # the same noise each time, so that reports are comparable
    few = min(64 if cuda else 4, len(z))
    watch_t, watch_noise = torch.linspace(10, 990, few).long().to(a.device), torch.randn(few, *z.shape[1:], generator=held).to(a.device)

    def report():
        with torch.no_grad():
            e = unet(noisy(z[:few].float(), watch_t, watch_noise), watch_t, text(ids[:few]))
            return f"error {(e - watch_noise).square().mean().item():.5f}"

    finished = run.run(loss, report)
    out = training.model_folder(a)
    networks.save(out, "unet", run.average_of("unet"), settings)
    networks.save(out, "text_encoder", run.average_of("text_encoder"), networks.config("text_encoder"))
    total = sum(f.stat().st_size for f in out.rglob("*") if f.is_file())
    with run.averaged():
        figure = report()
    training.say(f"unet: {figure}; the model has {total / 1e6:.1f} MB")
    return finished
