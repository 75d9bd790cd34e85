"""Checks 1 to 3 of a demo model, from its f16 files. Writes FOLDER/check.json and three pictures for assets/demo.

    1 reconstructions.png  the VAE on 64 unseen plain scenes: PSNR at least 38 dB, PSNR of means over blocks of 16 pixels at least 42 dB; the colours of
                           white and black objects change by at most 5 of 255 levels
    2 samples.png          32 samples from captions (50 DDIM steps, guidance 3), to count by eye those that show every named object in its colour
    3 inversions.png       64 plain scenes inverted and denoised (38 of 50 steps): median PSNR to the VAE's reconstruction at least 30 dB

Rich scenes, empty prompts and the error of the noise prediction are measured too, without a limit.
"""
import json, math, pathlib, statistics, textwrap
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw
import networks, pictures, training
from vae import psnr, reconstruct

COUNT, SAMPLES, STEPS, INVERTED, GUIDANCE = 64, 32, 50, 38, 3.0
STRIDE = 1000 // STEPS
TILE = 160


class Model:
    def __init__(self, folder, device):
        self.vae, self.unet, self.text = (networks.load(folder, p).to(device) for p in ("vae", "unet", "text_encoder"))
        self.words, self.alphas, self.device = networks.Tokenizer(folder), networks.schedule(device), device

    def context(self, captions):
        return self.text(self.words(captions).to(self.device))

    def noise(self, z, t, context):
        return self.unet(z, torch.full((len(z),), t, device=self.device), context)

    def move(self, z, e, before, after):
        """A deterministic DDIM step between two timesteps; negative timesteps have the first alpha."""
        a, b = self.alphas[max(before, 0)], self.alphas[max(after, 0)]
        return b.sqrt() * (z - (1 - a).sqrt() * e) / a.sqrt() + (1 - b).sqrt() * e

    def invert(self, z, context, steps=INVERTED):
        for t in range(1, STRIDE * steps, STRIDE):
            z = self.move(z, self.noise(z, t, context), t - STRIDE, t)
        return z

    def denoise(self, z, context, steps=INVERTED, empty=None, guidance=1.0):
        for t in reversed(range(1, STRIDE * steps, STRIDE)):
            if empty is None:
                e = self.noise(z, t, context)
            else:
                without, given = self.noise(torch.cat([z, z]), t, torch.cat([empty.expand_as(context), context])).chunk(2)
                e = without + guidance * (given - without)
            z = self.move(z, e, t, t - STRIDE)
        return z


def seen(scenes, device):
    return torch.cat([pictures.as_floats(pictures.in_bytes(scenes[i:i + 16], device)) for i in range(0, len(scenes), 16)])


def in_parts(size, function, *tensors):
    return torch.cat([function(*p) for p in zip(*(t.split(size) for t in tensors))])


def tile(x):
    return Image.fromarray(((x.clamp(-1, 1).permute(1, 2, 0).cpu() + 1) * 127.5 + .5).byte().numpy())


def grid(path, rows, labels=None):
    """Saves rows of small pictures, with labels below them."""
    high = TILE + (34 if labels else 0)
    sheet = Image.new("RGB", (TILE * len(rows[0]), high * len(rows)), "white")
    pen = ImageDraw.Draw(sheet)
    for j, row in enumerate(rows):
        for i, x in enumerate(row):
            sheet.paste(tile(x).resize((TILE, TILE), Image.Resampling.LANCZOS), (i * TILE, j * high))
            if labels:
                pen.text((i * TILE + 3, j * high + TILE + 1), "\n".join(textwrap.wrap(labels[j * len(row) + i], 31)[:3]), fill="black", font_size=9, spacing=1)
    sheet.save(path, optimize=True)


def check_vae(m, plain, rich, out, results):
    x = {"plain": seen(plain, m.device), "rich": seen(rich, m.device)}
    y = {}
    for kind, p in x.items():
        y[kind] = reconstruct(m.vae, p, 8)[1].clamp(-1, 1)
        results[f"vae_psnr_{kind}"], results[f"vae_psnr_of_means_{kind}"] = psnr(p, y[kind]), psnr(F.avg_pool2d(p, 16), F.avg_pool2d(y[kind], 16))
        results[f"vae_psnr_worst_{kind}"] = min(psnr(a, b) for a, b in zip(p, y[kind]))
    yy, xx = torch.meshgrid(torch.arange(256, device=m.device) + .5, torch.arange(256, device=m.device) + .5, indexing="ij")
    drift = {"white": [], "black": []}
    for k, scene in enumerate(plain):
        for o in scene["objects"]:
            if o["color"] in drift:
                inside = pictures.distances([o], xx, yy, m.device)[0][0] < -5
                change = (y["plain"][k] - x["plain"][k])[:, inside].mean(1).abs().max().item() * 127.5 if inside.any() else 0.0
                drift[o["color"]].append(change)
    results["drift_levels"] = {c: {"objects": len(v), "largest": max(v, default=0.0)} for c, v in drift.items()}
    few = range(min(8, len(plain)))
    grid(out / "reconstructions.png", [[v[kind][i] for i in few] for kind in x for v in (x, y)])
    gates = {"vae: PSNR at least 38 dB": results["vae_psnr_plain"] >= 38, "vae: PSNR of means at least 42 dB": results["vae_psnr_of_means_plain"] >= 42}
    for c, v in drift.items():
        gates[f"vae: {c} objects within 5 levels"] = bool(v) and max(v) <= 5
    return gates


def shows(picture, color):
    """Returns whether enough pixels have a colour in any of an object's shades: an estimate for the count by eye."""
    c = torch.tensor(pictures.COLORS[color], device=picture.device)[:, None]
    p = picture.flatten(1) / 2 + .5
    share = (p * c).sum(0) / (c * c).sum()
    near = (share > .75) & (share < 1.24) & ((p - share * c).abs().amax(0) < .06)
    return near.sum().item() >= 150


def check_samples(m, scenes, out, results):
    captions = [pictures.caption(s) for s in scenes]
    z = torch.randn(len(scenes), 4, 32, 32, generator=torch.Generator().manual_seed(9)).to(m.device)
    empty = m.context([""])
    z = in_parts(16, lambda z, c: m.denoise(z, c, STEPS, empty, GUIDANCE), z, m.context(captions))
    y = in_parts(8, m.vae.decode, z).clamp(-1, 1)
    all_there = lambda pictures_: sum(all(shows(p, o["color"]) for o in s["objects"]) for p, s in zip(pictures_, scenes))
    results["samples_with_all_colours"] = {"of": len(scenes), "samples": all_there(y), "true_pictures": all_there(seen(scenes, m.device))}
    grid(out / "samples.png", list(y.split(8)), captions)
    return {"samples: finite": bool(y.isfinite().all())}


def check_inversion(m, scenes, out, results):
    z = in_parts(8, m.vae.encode, seen(scenes, m.device))
    before = in_parts(8, m.vae.decode, z).clamp(-1, 1)
    captions = m.context([pictures.caption(s) for s in scenes])
    for name, context in (("caption", captions), ("empty", m.context([""]).expand_as(captions))):
        back = in_parts(16, lambda z, c: m.denoise(m.invert(z, c), c), z, context)
        y = in_parts(8, m.vae.decode, back).clamp(-1, 1)
        figures = [psnr(a, b) for a, b in zip(before, y)]
        results[f"inversion_psnr_{name}"] = {"median": statistics.median(figures), "worst": min(figures), "best": max(figures)}
        results[f"inversion_latent_error_{name}"] = (back - z).square().mean().sqrt().item()
        if name == "caption":
            order = sorted(range(len(scenes)), key=figures.__getitem__)
            few, middle = min(8, len(order)), len(order) // 2     # the worst, and those around the median
            grid(out / "inversions.png", [[v[i] for i in part] for part in (order[:few], order[middle - few // 2:middle - few // 2 + few]) for v in (before, y)])
    return {"inversion: median PSNR at least 30 dB": results["inversion_psnr_caption"]["median"] >= 30}


def check_noise(m, scenes, out, results):
    """Measures the error of the noise prediction over all timesteps."""
    g = torch.Generator().manual_seed(11)
    z, context = in_parts(8, m.vae.encode, seen(scenes, m.device)), m.context([pictures.caption(s) for s in scenes])
    errors = []
    for k in range(8):
        t = ((torch.arange(len(z)) * 8 + k) * 1000 // (8 * len(z))).to(m.device)
        noise = torch.randn(z.shape, generator=g).to(m.device)
        a = m.alphas[t].view(-1, 1, 1, 1)
        e = in_parts(16, lambda z, t, c: m.unet(z, t, c), a.sqrt() * z + (1 - a).sqrt() * noise, t, context)
        errors.append((e - noise).square().mean((1, 2, 3)))
    results["noise_error"] = torch.stack(errors).mean().item()
    results["latent_deviation"] = z.std().item()
    return {"noise: finite": math.isfinite(results["noise_error"])}


@torch.no_grad()
def check(a):
    folder, out = pathlib.Path(a.model) if a.model else pathlib.Path(a.out) / "model", pathlib.Path(a.to)
    out.mkdir(parents=True, exist_ok=True)
    if a.device == "cuda":                                        # check the model, not TF32
        torch.set_float32_matmul_precision("highest")
        torch.backends.cudnn.allow_tf32 = False
    count = a.scenes or COUNT
    plain = pictures.many(pictures.HELD_OUT, count, first=100, kind=pictures.plain)
    rich = [s for s in pictures.many(pictures.HELD_OUT, 8 * count, first=5000) if "light" in s or "ground" in s["background"] or any("pattern" in o for o in s["objects"])][:count]
    captions = pictures.many(pictures.HELD_OUT, min(SAMPLES, count), first=3000, kind=pictures.plain)
    m = Model(folder, a.device)
    size = sum(f.stat().st_size for f in folder.rglob("*") if f.is_file())
    results, gates = {"scenes": count, "megabytes": size / 1e6}, {"at most 25 MB": size <= 25e6}
    for part in (lambda: check_vae(m, plain, rich, out, results), lambda: check_samples(m, captions, out, results), lambda: check_inversion(m, plain, out, results),
                 lambda: check_noise(m, plain, out, results)):
        gates.update(part())
        (out / "check.json").write_text(json.dumps({"results": results, "gates": gates}, indent=1) + "\n")
        training.say(f"{len(gates)} checks, {sum(not g for g in gates.values())} failed")
    print(json.dumps({"results": results, "gates": gates}, indent=1))
    print("count by eye: at least 28 of 32 pictures of samples.png should show every named object in its colour")
    return all(gates.values())
