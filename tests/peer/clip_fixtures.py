"""Writes tests/fixtures/clip: a tiny CLIP beside the tiny model's tokenizer, and what PyTorch computes with it and with the VAE's decoder.

    python3 clip_fixtures.py [--out FOLDER]      writes ../fixtures/clip

`model/` is a random CLIP as transformers writes it. `parity.safetensors` has, batch first and channels second:
  vae.latent (divided by the scaling factor), vae.w -> vae.gradient = d/d(vae.latent) of sum(decoded * vae.w)
  text.N.ids, text.N.feature       tokens and unit-length feature of PROMPTS[N]
  decoded                          a picture of 96 x 80 in about -1..1, of which some values are outside
  picture                          decoded / 2 + 1/2, clamped to 0..1, pooled to the CLIP's size (cells of unequal size: 80 is no multiple of 32)
  feature, loss                    its unit-length feature, and 300 (1 - feature . text.1.feature)
  picture.gradient, decoded.gradient   of the loss, with respect to `picture` and `decoded`
Weights come from numpy's generator, which is portable; results are those of PyTorch on one thread.
"""
import argparse, os, pathlib, shutil, sys

os.environ.setdefault("HF_HUB_OFFLINE", "1")
HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch_clip import Clip, tiny_clip

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


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--out", type=pathlib.Path, default=HERE.parent / "fixtures/clip")
    folder = p.parse_args().out
    torch.set_num_threads(1); torch.use_deterministic_algorithms(True)
    write_model(folder / "model")
    save_file(parity(folder / "model"), folder / "parity.safetensors")


if __name__ == "__main__":
    main()
