"""Writes tests/fixtures/clip: a tiny CLIP beside the tiny model's tokenizer, what PyTorch computes with it and with the VAE's decoder, and a short edit by clip-drag.

    python3 clip_fixtures.py [--out FOLDER]      writes ../fixtures/clip

`model/` is a random CLIP as transformers writes it. `parity.safetensors` has, batch first and channels second:
  vae.latent (divided by the scaling factor), vae.w -> vae.gradient = d/d(vae.latent) of sum(decoded * vae.w)
  text.N.ids, text.N.feature       tokens and unit-length feature of PROMPTS[N]
  decoded                          a picture of 96 x 80 in about -1..1, of which some values are outside
  picture                          decoded / 2 + 1/2, clamped to 0..1, pooled to the CLIP's size (cells of unequal size: 80 is no multiple of 32)
  feature, loss                    its unit-length feature, and 300 (1 - feature . text.1.feature)
  picture.gradient, decoded.gradient   of the loss, with respect to `picture` and `decoded`
`edit/` is a short edit: input.png, drag.json, and dump.safetensors with context, z0, z_T, frozen, points.*, clip.text, at iteration K handles.0.K, loss.0.K (motion and mask
term), clip_loss.0.K, clip_cosine.0.K, latent.0.K (after the update), of the first one clip.picture.0.0, local_gradient.0.0, global_gradient.0.0 and gradient.0.0 (fused), then
z_end and decoded. `code.*` is the same edit with `fusion: code`.

Weights come from numpy's generator, which is portable; results are those of PyTorch on one thread.
"""
import argparse, json, math, os, pathlib, shutil, sys

os.environ.setdefault("HF_HUB_OFFLINE", "1")
HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import save_file
from torch_clip import CLIP_DRAG, Clip, clip_drag, tiny_clip

TINY = HERE.parent / "fixtures/tiny"
PROMPTS = ["", "a cat on a sofa", "a red disc and a blue bar on a sky background"]
H, W = 96, 80


def write_model(folder):
    """Writes the CLIP. The tokenizer's files are those of the tiny model that a loader needs."""
    shutil.rmtree(folder, ignore_errors=True)
    tiny_clip(TINY / "tokenizer", folder, 32)
    for path in folder.iterdir():
        if path.name not in ("config.json", "model.safetensors"): path.unlink()
    for name in ("vocab.json", "merges.txt", "tokenizer_config.json"):
        shutil.copy(TINY / "tokenizer" / name, folder / name)


def parity(folder):
    from diffusers import AutoencoderKL
    rng, out = np.random.default_rng(17), {}
    normal = lambda *shape: torch.from_numpy(rng.standard_normal(shape, dtype=np.float32))
    vae = AutoencoderKL.from_pretrained(TINY, subfolder="vae").eval().requires_grad_(False)
    z, w = (normal(1, 4, H // 8, W // 8) / .18215).requires_grad_(), normal(1, 3, H, W)
    gradient, = torch.autograd.grad((vae.decode(z).sample * w).sum(), z)
    out.update({"vae.latent": z, "vae.w": w, "vae.gradient": gradient})

    clip = Clip(folder)
    for k, prompt in enumerate(PROMPTS):
        ids = clip.tokenizer([prompt], padding="max_length", max_length=77, return_tensors="pt").input_ids
        with torch.no_grad(): out.update({f"text.{k}.ids": ids, f"text.{k}.feature": clip.text(prompt)})
    y = (F.interpolate(normal(1, 3, 12, 10), (H, W), mode="bilinear") + .1 * normal(1, 3, H, W)).requires_grad_()
    v = F.adaptive_avg_pool2d((y / 2 + .5).clamp(0, 1), clip.size)
    feature = clip.image(v)
    loss = 300 * (1 - (feature * out["text.1.feature"]).sum())
    dv, dy = torch.autograd.grad(loss, (v, y))
    out.update({"decoded": y, "picture": v, "feature": feature, "loss": loss, "picture.gradient": dv, "decoded.gradient": dy})
    print("share of clamped values", (dy == 0).float().mean().item(), "loss", loss.item())
    return {k: v.detach().contiguous() for k, v in out.items()}


# ---------------------------------------------------------------- a short edit

EDIT = dict(strength=.08)
REGIONS = [{"id": "moved", "type": "translation", "region": {"rect": [20, 24, 36, 40]}, "handle": [27.31, 31.83], "target": [40.66, 37.14]},
           {"id": "pulled", "type": "deformation", "region": {"rect": [44, 60, 62, 78]}, "handle": [52.27, 70.13], "target": [40.41, 74.29]}]


def write_edit(folder, model):
    from fixtures import write_picture
    from regions import read_drag
    from torch_edit import Model, read_picture
    from torch_points import COMMON, Edit
    folder.mkdir(parents=True, exist_ok=True)
    write_picture(folder / "input.png")
    y, x = np.mgrid[0:H, 0:W]
    Image.fromarray((((x >= 9) & (x < 75) & (y >= 11) & (y < 93)) * 255).astype(np.uint8)).save(folder / "editable.png")
    (folder / "drag.json").write_text(json.dumps({"version": 1, "prompt": "a cat on a sofa", "edit_prompt": "a red disc and a blue bar on a sky background",
                                                  "editable": {"mask": "editable.png"}, "regions": REGIONS}, indent=2) + "\n")
    prompt, regions, area, _ = read_drag(folder / "drag.json", (W, H))
    goal = json.loads((folder / "drag.json").read_text())["edit_prompt"]
    m, clip, out = Model(TINY, "cpu", torch.float32), Clip(model), {}
    x = read_picture(folder / "input.png").float()[None] / 127.5 - 1
    c, z0 = m.encode_text(prompt), m.encode(x)
    for variant, iterations in (("", 12), ("code", 5)):
        p = {**COMMON, **CLIP_DRAG, **EDIT, "iterations": iterations, "lora_steps": 0, "fusion": variant or "projection"}
        dump = {"context": c, "z0": z0}
        e = Edit(m, x, "clip-drag", regions, area, p, c, 0, dump)
        e.margin = math.inf
        z_t = dump["z_T"] = e.invert(z0)[0]
        ref, z = z_t, clip_drag(e, z_t, clip, goal)
        with torch.no_grad():
            for i in range(e.n):
                e.hooks.mutual = True
                n = e.predict(torch.cat([ref, z]), e.t_of(i))
                e.hooks.mutual = False
                ref, z = e.step(ref, n[:1], i), e.step(z, n[1:], i)
        dump.update({"z_end": z, "decoded": m.decode(z)})
        print(variant or "projection", e.calls, "iterations", sum(k.startswith("loss.") for k in dump), "tracking margin", e.margin,
              "cosines", [round(v.item(), 3) for k, v in dump.items() if k.startswith("clip_cosine")])
        first = ("clip.picture.0.0", "local_gradient.0.0", "global_gradient.0.0", "gradient.0.0")
        often = ("loss.", "clip_loss.", "clip_cosine.", "handles.", "latent.", "z_end", "decoded")
        keep = lambda k: k in first or k.startswith(often) or not variant and k in ("context", "z0", "z_T", "frozen", "points.handles", "points.targets", "clip.text")
        out.update({f"{variant}.{k}" if variant else k: v.detach().float().contiguous().clone() for k, v in dump.items() if keep(k)})
    save_file(out, folder / "dump.safetensors")


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--out", type=pathlib.Path, default=HERE.parent / "fixtures/clip")
    folder = p.parse_args().out
    torch.set_num_threads(1); torch.use_deterministic_algorithms(True)
    write_model(folder / "model")
    save_file(parity(folder / "model"), folder / "parity.safetensors")
    write_edit(folder / "edit", folder / "model")


if __name__ == "__main__":
    main()
