"""Checks that diffusers reads a LoRA saved by dragnext.   python3 check_lora.py FILE MODEL

Loads FILE into the UNet of MODEL (a diffusers folder) with StableDiffusionPipeline.load_lora_weights (or, without the prefix "unet.", with the UNet's
load_lora_adapter), and compares the noise prediction with that of manually merged weights: W + up down, times alpha / rank if the file has an alpha. The
exit status is 1 if tensors were ignored, or if the predictions differ by more than 1e-4 of the adapter's effect + 1e-5.
"""
import os, re, sys

os.environ.setdefault("HF_HUB_OFFLINE", "1")
import torch
from diffusers import StableDiffusionPipeline
from peft.tuners.tuners_utils import BaseTunerLayer
from safetensors.torch import load_file


def pairs(weights):
    """Returns {module: {"down": tensor, "up": tensor, "alpha": tensor}} from any of the key formats of diffusers, and the unknown keys."""
    out, odd = {}, []
    for key, value in weights.items():
        m = re.fullmatch(r"(?:unet\.)?(.+?)(?:\.processor)?\.(to_q|to_k|to_v|to_out)(?:\.0)?(?:\.lora\.|_lora\.|\.lora_|\.)(?:default\.)?(A|B|down|up|alpha)(?:\.weight)?", key)
        if not m:
            odd.append(key); continue
        name = f"{m[1]}.{m[2]}" + (".0" if m[2] == "to_out" else "")
        out.setdefault(name, {})[{"A": "down", "B": "up"}.get(m[3], m[3])] = value.float()
    return out, odd


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    path, model = sys.argv[1:]
    weights, faults = load_file(path), []
    wanted, odd = pairs(weights)
    if odd:
        faults.append(f"{len(odd)} keys have an unknown format, such as {odd[0]}")
    options = dict(safety_checker=None, feature_extractor=None, requires_safety_checker=False, torch_dtype=torch.float32)
    try:
        pipe = StableDiffusionPipeline.from_pretrained(model, **options)
    except OSError:                                               # a folder with .fp16.safetensors only
        pipe = StableDiffusionPipeline.from_pretrained(model, variant="fp16", **options)
    unet = pipe.unet.eval().requires_grad_(False)
    g, c = torch.Generator().manual_seed(0), unet.config
    z, t = torch.randn(2, c.in_channels, c.sample_size, c.sample_size, generator=g), torch.tensor([741, 21])
    context = torch.randn(2, 77, c.cross_attention_dim, generator=g)
    predict = lambda: unet(z, t, context).sample
    with torch.no_grad():
        before = predict()
        originals = {}
        for name, p in wanted.items():
            if not {"down", "up"} <= p.keys():
                faults.append(f"{name} lacks its {'up' if 'down' in p else 'down'} matrix"); continue
            layer = unet.get_submodule(name)
            originals[name] = layer.weight.data.clone()
            layer.weight.data += p["up"].flatten(1) @ p["down"].flatten(1) * (p["alpha"].item() / p["down"].shape[0] if "alpha" in p else 1)
        merged = predict()
        for name, w in originals.items():
            unet.get_submodule(name).weight.data.copy_(w)
        if any(k.startswith("unet.") for k in weights):
            pipe.load_lora_weights(os.path.dirname(os.path.abspath(path)), weight_name=os.path.basename(path))
        else:                                                     # pipelines ignore files without the prefix; UNets read them
            print("no unet. prefix: only UNet2DConditionModel.load_lora_adapter(FILE, prefix=None) reads this file")
            unet.load_lora_adapter(path, prefix=None)
        loaded = predict()
    arrived = {n: m for n, m in unet.named_modules() if isinstance(m, BaseTunerLayer)}
    for name, p in wanted.items():
        if name not in arrived:
            faults.append(f"diffusers ignored {name}")
            continue
        (a,), (b,) = arrived[name].lora_A.values(), arrived[name].lora_B.values()
        if "down" in p and "up" in p and not (torch.equal(a.weight.float(), p["down"]) and torch.equal(b.weight.float(), p["up"])):
            faults.append(f"diffusers loaded other values into {name}")
    difference, effect = (loaded - merged).abs().max().item(), (merged - before).abs().max().item()
    print(f"{len(weights)} tensors, {len(wanted)} adapters, {len(arrived)} loaded; the adapter changes the prediction by {effect:.3g} at most, "
          f"loaded and manually merged weights differ by {difference:.3g}")
    if not difference <= 1e-4 * effect + 1e-5:
        faults.append(f"loaded and manually merged weights differ by {difference:.3g}")
    for f in faults[:10]:
        print("fault:", f)
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
