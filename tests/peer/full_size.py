"""A full-size Stable Diffusion 1.5 model with random weights, for tests of memory, speed and results at real shapes.

    python3 full_size.py make DIR [--f32]           writes a diffusers folder: 2.1 GB in f16, 4.3 GB in f32 (values are exact in f16 either way)
    python3 full_size.py predict DIR OUT.safetensors [--size 512] [--vae]   writes z, t, context, noise and tap.1 .. tap.4 of one
    64x64 latent in f32; --vae adds image, mean, latent, decoded

Activations are finite and of order 1. The tokenizer is that of tests/fixtures/tiny, whose ids are below the text encoder's vocabulary of 49408.
"""
import argparse, pathlib, shutil

import numpy as np
import torch
from fixtures import F16, F32, HERE, build_text, build_unet, build_vae, fresh, normal, write_modern


def make(root, dtype):
    rng, widths = np.random.default_rng(2025), (128, 256, 512, 512)
    root.mkdir(parents=True, exist_ok=True)
    shutil.copytree(HERE.parent / "fixtures/tiny/tokenizer", root / "tokenizer", dirs_exist_ok=True)
    unet = build_unet(rng, widths=(320, 640, 1280, 1280), context=768, heads=8, groups=32, size=64)
    vae = build_vae(rng, widths=widths, layers=2, groups=32, size=512)
    text = build_text(rng, 49408, 49406, 49407, width=768, layers=12, heads=12, inner=3072)
    write_modern(root, unet.to(dtype), vae.to(dtype), text.to(dtype))


@torch.no_grad()
def predict(root, out, size, with_vae):
    from safetensors.torch import save_file
    from torch_edit import Hooks
    rng, numbers, side = np.random.default_rng(1), {}, size // 8
    unet = fresh(root)
    hooks = Hooks(unet, 10)
    hooks.collect = True
    z, t, context = normal(rng, 1, 4, side, side), torch.tensor([741]), normal(rng, 1, 77, 768)
    numbers.update({"z": z, "t": t, "context": context, "noise": unet(z, t, context).sample})
    numbers.update({f"tap.{k + 1}": v for k, v in enumerate(hooks.features)})
    if with_vae:
        vae = fresh(root, "vae")
        x = torch.nn.functional.interpolate(normal(rng, 1, 3, side, side), (size, size), mode="bilinear").clamp(-1, 1)
        latent = normal(rng, 1, 4, side, side) / vae.config.scaling_factor
        numbers.update({"image": x, "mean": vae.encode(x).latent_dist.mean, "latent": latent, "decoded": vae.decode(latent).sample})
    for k, v in numbers.items():
        print(f"{k} {tuple(v.shape)} std {v.float().std():.3f}" if v.numel() > 1 else f"{k} {v.tolist()}")
    save_file({k: v.contiguous() for k, v in numbers.items()}, out)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = p.add_subparsers(dest="command", required=True)
    m = commands.add_parser("make"); m.add_argument("dir", type=pathlib.Path); m.add_argument("--f32", action="store_true")
    q = commands.add_parser("predict"); q.add_argument("dir", type=pathlib.Path); q.add_argument("out", type=pathlib.Path)
    q.add_argument("--size", type=int, default=512); q.add_argument("--vae", action="store_true")
    a = p.parse_args()
    make(a.dir, F32 if a.f32 else F16) if a.command == "make" else predict(a.dir, a.out, a.size, a.vae)


if __name__ == "__main__":
    main()
