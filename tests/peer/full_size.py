"""A full-size Stable Diffusion 1.5 model with random weights, for tests of memory, speed and results at real shapes.

    python3 full_size.py make DIR [--f32]           writes a diffusers folder: 2.1 GB in f16, 4.3 GB in f32 (values are exact in f16 either way)
    python3 full_size.py predict DIR OUT.safetensors [--size 512] [--vae]   writes z, t, context, noise and tap.1 .. tap.4 of one
    64x64 latent in f32; --vae adds image, mean, latent, decoded
    python3 full_size.py single DIR OUT.safetensors writes the model of DIR in one file in the original layout, and CLIP's tokenizer into DIR, so
    that both give the same bits

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


def single(root, out):
    """Writes the folder's weights under their original names. Shapes come from the modules of `ldm`, names from diffusers' converter."""
    import original_names as names
    from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint, convert_ldm_vae_checkpoint
    from safetensors.torch import load_file, save_file
    names.CHANNELS, names.CONTEXT, names.TIME, names.VAE_CHANNELS = [320, 640, 1280, 1280], 768, 1280, [128, 256, 512, 512]
    names.TEXT = {"hidden": 768, "layers": 12, "wide": 3072, "vocabulary": 49408, "positions": 77}
    config = {"layers_per_block": 2, "class_embed_type": None, "addition_embed_type": None, "down_block_types": [""] * 4, "up_block_types": [""] * 4}
    unet = names.pairs(names.unet(), lambda c: convert_ldm_unet_checkpoint(c, config | {"block_out_channels": names.CHANNELS}))
    vae = names.pairs(names.vae(), lambda c: convert_ldm_vae_checkpoint(c, config | {"block_out_channels": names.VAE_CHANNELS}))
    text = [[name, name.removeprefix("cond_stage_model.transformer."), shape] for name, shape in names.text().items()]
    tensors = {}
    for rows, file in ((unet, "unet/diffusion_pytorch_model"), (vae, "vae/diffusion_pytorch_model"), (text, "text_encoder/model")):
        weights = load_file(root / f"{file}.safetensors")
        for original, converted, shape in rows:
            name = converted if converted in weights else converted.removeprefix("text_model.")
            tensors[original] = weights.pop(name).reshape(tuple(shape))
        assert not weights, sorted(weights)
    save_file(tensors, out)
    print(len(tensors), "tensors,", out.stat().st_size, "bytes")
    import gzip, json
    tokens, merges = root / "tokenizer", gzip.decompress((HERE.parent.parent / "assets/clip/merges.txt.gz").read_bytes()).decode()
    printable = [b for b in range(256) if 33 <= b <= 126 or 161 <= b <= 172 or 174 <= b]
    letters = [chr(b) for b in printable] + [chr(256 + i) for i in range(256 - len(printable))]
    words = letters + [w + "</w>" for w in letters] + [line.replace(" ", "") for line in merges.splitlines()] + ["<|startoftext|>", "<|endoftext|>"]
    shutil.rmtree(tokens); tokens.mkdir()
    (tokens / "merges.txt").write_text("#version: 0.2\n" + merges)
    (tokens / "vocab.json").write_text(json.dumps({w: i for i, w in enumerate(words)}))


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = p.add_subparsers(dest="command", required=True)
    m = commands.add_parser("make"); m.add_argument("dir", type=pathlib.Path); m.add_argument("--f32", action="store_true")
    q = commands.add_parser("predict"); q.add_argument("dir", type=pathlib.Path); q.add_argument("out", type=pathlib.Path)
    q.add_argument("--size", type=int, default=512); q.add_argument("--vae", action="store_true")
    s = commands.add_parser("single"); s.add_argument("dir", type=pathlib.Path); s.add_argument("out", type=pathlib.Path)
    a = p.parse_args()
    if a.command == "single":
        return single(a.dir, a.out)
    make(a.dir, F32 if a.f32 else F16) if a.command == "make" else predict(a.dir, a.out, a.size, a.vae)


if __name__ == "__main__":
    main()
