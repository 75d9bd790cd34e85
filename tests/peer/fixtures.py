"""Writes tests/fixtures/: tiny models in the layout of Stable Diffusion 1.5, and the results of PyTorch with them.

    python3 fixtures.py            writes ../fixtures
    python3 fixtures.py --check    writes to a temporary folder, and lists the files that are not byte-equal with their largest difference

Needs the versions of requirements.txt. ../fixtures/README.md describes each file. Weights come from numpy's generator, which is portable; results are
computed by PyTorch on one thread, and may differ in the last bits on another processor.
"""
import argparse, json, math, os, pathlib, re, shutil, sys, tempfile
from collections import Counter

os.environ.setdefault("HF_HUB_OFFLINE", "1")
HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "scenebench")]
import numpy as np
import torch
from PIL import Image, ImageDraw
from safetensors import safe_open
from safetensors.torch import load_file, save_file

WIDTHS, TEXT_WIDTH, GROUPS, HEADS, RANK, MERGES = (8, 16, 16, 16), 24, 4, 2, 4, 450
H, W = 96, 80                                                     # the edited picture: a latent of 12 x 10, for which upsamplers need the sizes of the skip connections
F16, F32 = torch.float16, torch.float32

# ---------------------------------------------------------------- weights


def randomise(module, rng):
    """Sets random weights with activations of order 1, in which every part has an effect: norms near 1, small nonzero biases, sharp attention."""
    for name, q in sorted(module.named_parameters()):
        z = rng.standard_normal(tuple(q.shape), dtype=np.float32)
        part = name.split(".")[-2]
        if "norm" in part:
            z = 1 + .2 * z if name.endswith("weight") else .2 * z
        elif name.endswith("bias"):
            z = .1 * z
        elif part == "token_embedding":
            z = .7 * z
        elif part == "position_embedding":
            z = .4 * z
        else:
            gain = 1.6 if part in ("to_q", "to_k", "q_proj", "k_proj") else .6 if part in ("conv2", "proj_out") else 1.0
            z = z * (gain / math.sqrt(q[0].numel()))
        q.data.copy_(torch.from_numpy(z).half().float())
    return module.eval().requires_grad_(False)


def rescale(layer, rows, factor):
    """Scales output channels of a layer. The factor is rounded to two digits, so that it is the same on every machine."""
    factor = float(f"{factor:.1e}")
    layer.weight.data[rows] = (layer.weight.data[rows] * factor).half().float()
    return factor


def normal(rng, *shape):
    return torch.from_numpy(rng.standard_normal(shape, dtype=np.float32))


def build_unet(rng, widths=WIDTHS, context=TEXT_WIDTH, heads=HEADS, groups=GROUPS, size=8):
    from diffusers import UNet2DConditionModel
    unet = randomise(UNet2DConditionModel(sample_size=size, block_out_channels=widths, layers_per_block=2, cross_attention_dim=context, attention_head_dim=heads,
                                          norm_num_groups=groups), rng)
    with torch.no_grad():
        e = unet(normal(rng, 1, 4, size, size), 300, normal(rng, 1, 77, context)).sample
    rescale(unet.conv_out, slice(None), 1 / e.std().item())
    return unet


def build_vae(rng, widths=WIDTHS, layers=1, groups=GROUPS, size=64):
    from diffusers import AutoencoderKL
    vae = randomise(AutoencoderKL(down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4, block_out_channels=widths,
                                  layers_per_block=layers, norm_num_groups=groups, sample_size=size), rng)
    with torch.no_grad():
        x = torch.nn.functional.interpolate(normal(rng, 1, 3, size // 4, size // 4), (size, size), mode="bilinear").clamp(-1, 1)
        latent = vae.encode(x).latent_dist
        rescale(vae.quant_conv, slice(0, 4), 1 / (.18215 * latent.mean.std().item()))
        rescale(vae.quant_conv, slice(4, 8), .5 / latent.logvar.std().item())
        y = vae.decode(normal(rng, 1, 4, size // 8, size // 8) / .18215).sample
        rescale(vae.decoder.conv_out, slice(None), .4 / y.std().item())
    return vae


def build_text(rng, vocabulary, begin, end, width=TEXT_WIDTH, layers=2, heads=HEADS, inner=72):
    from transformers import CLIPTextConfig, CLIPTextModel
    return randomise(CLIPTextModel(CLIPTextConfig(vocab_size=vocabulary, hidden_size=width, intermediate_size=inner, num_hidden_layers=layers, num_attention_heads=heads,
                                                  projection_dim=width, bos_token_id=begin, eos_token_id=end, pad_token_id=end)), rng)


# ---------------------------------------------------------------- tokenizer

WORDS = """photo picture painting drawing of the a an and with in on under above beside cat dog horse bird fish tree house river mountain lake sky cloud
sun moon star window door table chair sofa lamp bottle cup bowl flower garden street city beach bridge tower boat car bicycle train airplane woman man child
portrait face eyes hair hat shirt dress running sitting standing sleeping jumping holding looking left right upper lower small large long short bright dark
warm cold golden silver wooden metal glass stone water fire snow rain morning evening night summer winter colourful beautiful detailed realistic photograph
high quality sharp focus soft light shadow background foreground oil watercolour pencil sketch style move rotate turn pull stretch drag it's don't you're
we've I'm she'll he'd café naïve über señor garçon façade jalapeño 東京 猫 日本 кошка привет γάτα"""


def build_tokenizer(folder):
    """Trains a byte-level BPE in the format of CLIP, with its order of the vocabulary: bytes, bytes at word ends, merges, special tokens."""
    import random
    import scenes
    from tokenizers import pre_tokenizers
    from transformers import CLIPTokenizer
    rng = random.Random(0)
    corpus = [f"a {rng.choice(list(scenes.COLORS))} {rng.choice(scenes.KINDS)} on a {rng.choice(list(scenes.BACKGROUNDS))} background" for _ in range(400)]
    corpus += [" ".join(WORDS.split())] * 3
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    counts = Counter(byte_level.pre_tokenize_str(w)[0][0] for line in corpus for w in re.findall(r"'(?:s|t|re|ve|m|ll|d)|[^\W\d_]+", line.lower()))
    pieces, merges = {w: [*w[:-1], w[-1] + "</w>"] for w in counts}, []
    while len(merges) < MERGES:                                   # the most frequent pair; ties go to the alphabetically first, not to hash order
        pairs = Counter()
        for w, p in pieces.items():
            for pair in zip(p, p[1:]):
                pairs[pair] += counts[w]
        best = min(pairs, key=lambda pair: (-pairs[pair], pair)); merges.append(best)
        for w, p in pieces.items():
            k, out = 0, []
            while k < len(p):
                joined = tuple(p[k:k + 2]) == best
                out.append("".join(best) if joined else p[k]); k += 2 if joined else 1
            pieces[w] = out
    byte_order = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters = [chr(b) for b in byte_order] + [chr(256 + i) for i in range(256 - len(byte_order))]
    vocabulary = letters + [c + "</w>" for c in letters] + ["".join(m) for m in merges] + ["<|startoftext|>", "<|endoftext|>"]
    assert len(set(vocabulary)) == len(vocabulary)
    folder.mkdir(parents=True)
    (folder / "vocab.json").write_text(json.dumps({v: i for i, v in enumerate(vocabulary)}, ensure_ascii=False), encoding="utf-8")
    (folder / "merges.txt").write_text("#version: 0.2\n" + "".join(" ".join(m) + "\n" for m in merges), encoding="utf-8")
    tok = CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=77)
    tok.save_pretrained(folder)                                   # adds tokenizer.json and tokenizer_config.json
    return tok


LONG = "a photo of a cat on a sofa beside a window and a bottle under the lamp, " * 6
PROMPTS = ["", " ", "   \t \n ", "a", "a cat on a sofa", "  a   cat\ton\na sofa  ", "A CAT On A Sofa", "a red disc and a blue bar on a sky background",
           "café naïve", "cafe\u0301 nai\u0308ve", "Z\u0323\u0302 q\u0307\u0323", "\u1e9e STRASSE straße", "İstanbul ıI", "ΣΑΣ Οδός", "🐱", "a 🐱‍👤 and 👩‍👩‍👧 🇫🇷", "東京の猫", "猫cat猫",
           "قطة على الأريكة", "привет КОШКА", "हिन्दी", "a\u00a0b\u3000c", "zero\u200bwidth", "1234567890", "3.14 and 2,718", "١٢٣ ½ ² Ⅷ", "b2b r2d2", "it's", "IT'S don't you're we've I'm she'll he'd",
           "'s 't ''s", "it’s", "rock'n'roll", "!!!", "wow!!! really?! (yes)...", "a,b;c:d", "$5 + #3 = @you", "----->", "a_b_c", "&amp; &lt;b&gt; &#39;", "<b>bold</b>", "\\n \\u0041",
           "<|endoftext|>", "a<|endoftext|>b", "<|startoftext|> a cat", "<|end", "</w> a</w>", "Ġhello", "supercalifragilisticexpialidocious", "x" * 30, LONG, "\ufb01ne \u212b \u2126"]


# ---------------------------------------------------------------- models on disk

def write_modern(root, unet, vae, text):
    from diffusers import DDIMScheduler
    unet.save_pretrained(root / "unet"), vae.save_pretrained(root / "vae"), text.save_pretrained(root / "text_encoder")
    DDIMScheduler(beta_start=.00085, beta_end=.012, beta_schedule="scaled_linear", clip_sample=False, set_alpha_to_one=False, steps_offset=1).save_pretrained(root / "scheduler")
    write_json(root / "model_index.json", {
        "_class_name": "StableDiffusionPipeline", "feature_extractor": [None, None], "requires_safety_checker": False, "safety_checker": [None, None],
        "scheduler": ["diffusers", "DDIMScheduler"], "text_encoder": ["transformers", "CLIPTextModel"], "tokenizer": ["transformers", "CLIPTokenizer"],
        "unet": ["diffusers", "UNet2DConditionModel"], "vae": ["diffusers", "AutoencoderKL"]})


def write_json(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def write_weights(path, weights, dtype=F16):
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({k: v.to(dtype if v.is_floating_point() else v.dtype).contiguous() for k, v in weights.items()}, path, metadata={"format": "pt"})


def write_legacy(root, modern, unet, vae, text):
    """Writes the same weights with the tensor names, file names and configurations of the original Stable Diffusion 1.5 files (autumn 2022)."""
    old = {"_diffusers_version": "0.6.0"}
    pick = lambda config, keys: {**old, **{k: config[k] for k in keys.split()}}
    write_json(root / "unet/config.json", {"_class_name": "UNet2DConditionModel", **pick(unet.config, "act_fn attention_head_dim block_out_channels center_input_sample "
               "cross_attention_dim down_block_types downsample_padding flip_sin_to_cos freq_shift in_channels layers_per_block mid_block_scale_factor norm_eps norm_num_groups "
               "out_channels sample_size up_block_types")})
    write_weights(root / "unet/diffusion_pytorch_model.fp16.safetensors", unet.state_dict())
    write_json(root / "vae/config.json", {"_class_name": "AutoencoderKL", **pick(vae.config, "act_fn block_out_channels down_block_types in_channels latent_channels "
               "layers_per_block norm_num_groups out_channels sample_size up_block_types")})
    names = {".to_q.": ".query.", ".to_k.": ".key.", ".to_v.": ".value.", ".to_out.0.": ".proj_attn."}

    def legacy(name):
        for new, past in names.items():
            name = name.replace(new, past)
        return name
    write_weights(root / "vae/diffusion_pytorch_model.fp16.safetensors", {legacy(k): v for k, v in vae.state_dict().items()})
    c = text.config
    write_json(root / "text_encoder/config.json", {
        "_name_or_path": "openai/clip-vit-large-patch14", "architectures": ["CLIPTextModel"], "attention_dropout": 0.0, "bos_token_id": 0, "dropout": 0.0, "eos_token_id": 2,
        "hidden_act": "quick_gelu", "hidden_size": c.hidden_size, "initializer_factor": 1.0, "initializer_range": 0.02, "intermediate_size": c.intermediate_size,
        "layer_norm_eps": 1e-05, "max_position_embeddings": 77, "model_type": "clip_text_model", "num_attention_heads": c.num_attention_heads,
        "num_hidden_layers": c.num_hidden_layers, "pad_token_id": 1, "projection_dim": c.projection_dim, "torch_dtype": "float32", "transformers_version": "4.22.0.dev0",
        "vocab_size": c.vocab_size})
    weights = {k if k.startswith("text_model.") else "text_model." + k: v for k, v in text.state_dict().items() if "position_ids" not in k}
    weights["text_model.embeddings.position_ids"] = torch.arange(77)[None]
    write_weights(root / "text_encoder/model.fp16.safetensors", weights)
    write_json(root / "scheduler/scheduler_config.json", {
        "_class_name": "PNDMScheduler", **old, "beta_end": 0.012, "beta_schedule": "scaled_linear", "beta_start": 0.00085, "num_train_timesteps": 1000, "set_alpha_to_one": False,
        "skip_prk_steps": True, "steps_offset": 1, "trained_betas": None, "clip_sample": False})
    mark = lambda s: {"content": s, "lstrip": False, "normalized": True, "rstrip": False, "single_word": False}
    marks = {"bos_token": mark("<|startoftext|>"), "eos_token": mark("<|endoftext|>"), "unk_token": mark("<|endoftext|>")}
    for name in ("vocab.json", "merges.txt"):
        (root / "tokenizer").mkdir(exist_ok=True); shutil.copy(modern / "tokenizer" / name, root / "tokenizer" / name)
    write_json(root / "tokenizer/special_tokens_map.json", {**marks, "pad_token": "<|endoftext|>"})
    write_json(root / "tokenizer/tokenizer_config.json", {
        "add_prefix_space": False, **{k: {"__type": "AddedToken", **v} for k, v in marks.items()}, "do_lower_case": True, "errors": "replace", "model_max_length": 77,
        "name_or_path": "openai/clip-vit-large-patch14", "pad_token": "<|endoftext|>", "special_tokens_map_file": "./special_tokens_map.json", "tokenizer_class": "CLIPTokenizer"})
    write_json(root / "model_index.json", {
        "_class_name": "StableDiffusionPipeline", **old, "feature_extractor": ["transformers", "CLIPImageProcessor"], "safety_checker": ["stable_diffusion", "StableDiffusionSafetyChecker"],
        "scheduler": ["diffusers", "PNDMScheduler"], "text_encoder": ["transformers", "CLIPTextModel"], "tokenizer": ["transformers", "CLIPTokenizer"],
        "unet": ["diffusers", "UNet2DConditionModel"], "vae": ["diffusers", "AutoencoderKL"]})


def write_linear(root, unet):
    """Writes the UNet with linear projections around its transformer blocks, with weights (c, c), as in later models."""
    config = {k: v for k, v in unet.config.items() if not k.startswith("_")}
    write_json(root / "unet/config.json", {"_class_name": "UNet2DConditionModel", "_diffusers_version": "0.42.1", **config, "use_linear_projection": True})
    write_weights(root / "unet/diffusion_pytorch_model.safetensors",
                  {k: v[:, :, 0, 0] if k.endswith(("proj_in.weight", "proj_out.weight")) else v for k, v in unet.state_dict().items()})


def fresh(root, part="unet", **options):
    from diffusers import AutoencoderKL, UNet2DConditionModel
    kind = {"unet": UNet2DConditionModel, "vae": AutoencoderKL}[part]
    return kind.from_pretrained(root, subfolder=part, torch_dtype=F32, **options).eval().requires_grad_(False)


# ---------------------------------------------------------------- results

def parity(root, text, tok):
    from torch_edit import Hooks
    rng, out = np.random.default_rng(11), {}
    unet, vae = fresh(root), fresh(root, "vae")
    hooks = Hooks(unet, 10)

    def predict(z, t, c, collect=False, mutual=False):
        hooks.features, hooks.collect, hooks.mutual = [], collect, mutual
        e = unet(z, t, c).sample
        hooks.collect = hooks.mutual = False
        return e, hooks.features

    prompts = ["", "a cat on a sofa", "a red disc and a blue bar on a sky background", "naïve 🐱 café, it's 3!", LONG]
    ids = tok(prompts, padding="max_length", truncation=True, max_length=77, return_tensors="pt").input_ids
    with torch.no_grad():
        out["text.ids"], out["text.hidden"] = ids, text(ids).last_hidden_state
    context = out["text.hidden"][1:3]

    for name, batch, h, w, t in (("unet", 2, H // 8, W // 8, [741, 21]), ("unet8", 1, 8, 8, [301])):
        z, t, c = normal(rng, batch, 4, h, w).requires_grad_(), torch.tensor(t), context[:batch].clone()
        e, taps = predict(z, t, c, collect=True)
        weights = {"w0": normal(rng, *e.shape), "w2": normal(rng, *taps[1].shape), "w3": normal(rng, *taps[2].shape)}
        loss = (e * weights["w0"]).sum() + (taps[1] * weights["w2"]).sum() + (taps[2] * weights["w3"]).sum()
        gradient, = torch.autograd.grad(loss, z)
        out.update({f"{name}.{k}": v for k, v in {"z": z, "t": t, "context": c, "noise": e, "gradient": gradient, **weights}.items()})
        out.update({f"{name}.tap.{k + 1}": v for k, v in enumerate(taps)})
    z, t = normal(rng, 2, 4, H // 8, W // 8), torch.tensor([501, 501])
    with torch.no_grad():
        c = context[:1].repeat(2, 1, 1)
        out.update({"mutual.z": z, "mutual.t": t, "mutual.context": c, "mutual.noise": predict(z, t, c, mutual=True)[0]})
        plain = predict(z, t, c)[0]
        x = torch.nn.functional.interpolate(normal(rng, 1, 3, 12, 10), (H, W), mode="bilinear").clamp(-1, 1)
        d, latent = vae.encode(x).latent_dist, normal(rng, 1, 4, H // 8, W // 8) / .18215
        out.update({"vae.image": x, "vae.mean": d.mean, "vae.logvar": d.logvar, "vae.latent": latent, "vae.decoded": vae.decode(latent).sample})
    print("mutual attention changes the reference row by", (out["mutual.noise"] - plain)[0].abs().max().item(), "and the edited row by", (out["mutual.noise"] - plain)[1].abs().max().item())
    return {k: v.detach() for k, v in out.items()}


def schedule():
    from diffusers import DDIMScheduler
    s = DDIMScheduler(beta_start=.00085, beta_end=.012, beta_schedule="scaled_linear", clip_sample=False, set_alpha_to_one=False, steps_offset=1)
    a = [float(v) for v in s.alphas_cumprod]
    out = {"alphas_cumprod": {str(t): a[t] for t in (0, 1, 21, 261, 601, 661, 681, 741, 981)}, "final_alpha_cumprod": float(s.final_alpha_cumprod), "timesteps": {}, "strengths": []}
    for steps in (50, 10):
        s.set_timesteps(steps); out["timesteps"][str(steps)] = s.timesteps.tolist()
    for strength in (.65, .70, .75, .85):
        n = round(strength * 50)
        out["strengths"].append({"strength": strength, "steps": 50, "n": n, "t_0": 20 * (n - 1) + 1})
    # a network that predicts A x: x = 1 inverted in 38 steps, then denoised; timesteps below 0 have the alpha of 0
    A, x, at, ts = .1, 1.0, lambda t: a[max(t, 0)], [20 * i + 1 for i in range(38)]
    move = lambda x, e, s, t: math.sqrt(at(t)) * ((x - math.sqrt(1 - at(s)) * e) / math.sqrt(at(s))) + math.sqrt(1 - at(t)) * e
    up, down = [], []
    for t in ts:
        x = move(x, A * x, t - 20, t); up.append(x)
    for t in reversed(ts):
        x = move(x, A * x, t, t - 20); down.append(x)
    return {**out, "toy": {"A": A, "x0": 1.0, "inverted": up, "denoised": down}}


# ---------------------------------------------------------------- one short edit

EDIT = {"start": "moved", "strength": 0.08, "timesteps": 1, "iterations": 2, "lora_steps": 2, "lora_rank": RANK, "seed": 3}
REGIONS = [{"id": "moved", "type": "translation", "region": {"mask": "moved.png"}, "handle": [27.31, 31.83], "target": [44.66, 37.14]},
           {"id": "turned", "type": "rotation", "region": {"mask": "turned.png"}, "handle": [58.27, 70.13], "target": [52.41, 76.29], "center": [45.37, 66.21]}]


WARPED = {"strength": 0.08, "timesteps": 1, "iterations": 2, "lora_steps": 1, "lora_rank": 1, "seed": 3, "object": "drawn", "seams": "hard", "fill": "smooth"}
PULLED = {"id": "pulled", "type": "deformation", "region": {"mask": "pulled.png"}, "handle": [62.37, 25.18], "target": [66.82, 18.74]}
MOTIONS = [{"id": "shrunk", "type": "scale", "center": [16.3, 14.8], "factor": 0.43},
           {"id": "carried", "type": "translation", "handle": [47.3, 14.1], "target": [60.6, 25.2], "angle": 35.5},
           {"id": "sheared", "type": "affine", "handles": [[12.2, 50.1], [30.4, 47.3], [22.7, 61.8]], "targets": [[15.1, 53.6], [38.2, 44.9], [29.3, 63.4]]},
           {"id": "stretched", "type": "deformation", "handle": [49.2, 61.3], "target": [52.8, 49.7], "anchor": [57.6, 84.1]},
           {"id": "grown", "type": "scale", "center": [20.4, 79.2], "handle": [14.1, 84.4], "target": [9.6, 88.1]}]


def write_picture(path):
    """Writes the picture that is edited: smooth waves in each channel."""
    y, x = np.mgrid[0:H, 0:W]
    rng, im = np.random.default_rng(5), np.zeros((H, W, 3))
    for k in range(14):
        fx, fy, phase = rng.uniform(-3.5, 3.5), rng.uniform(-3.5, 3.5), rng.uniform(0, 2 * math.pi, 3)
        im += rng.uniform(.3, 1, 3) * np.cos(2 * math.pi * (fx * x / W + fy * y / H)[..., None] + phase)
    Image.fromarray((127.5 + 90 * im / np.abs(im).max()).round().clip(0, 255).astype(np.uint8)).save(path)


def write_edit(folder, model, regions, settings):
    """Writes a short edit: picture, masks, drag file, and the peer's result with all tensors in between."""
    from torch_edit import Model, edit_file
    folder.mkdir(parents=True)
    write_picture(folder / "input.png")
    y, x = np.mgrid[0:H, 0:W]
    masks = {"moved.png": ((x - 27) / 11) ** 2 + ((y - 31) / 14) ** 2 < 1, "turned.png": (np.abs(x - 49) < 15) & (np.abs(y - 67) < 8 + (x - 49) // 4),
             "pulled.png": ((x - 62) / 8) ** 2 + ((y - 26) / 9) ** 2 < 1,
             "editable.png": (x >= 9) & (x < 75) & (y >= 11) & (y < 93) & (x + y > 28) & (x + y < 156)}
    for name in ["editable.png", *(r["region"]["mask"] for r in regions)]:
        Image.fromarray((masks[name] * 255).astype(np.uint8)).save(folder / name)
    write_json(folder / "drag.json", {"version": 1, "prompt": "a cat on a sofa", "editable": {"mask": "editable.png"}, "regions": regions, "settings": settings})
    assert_stable_under_rounding(folder)
    m = Model(model, "cpu", F32)
    dump = {}
    edit_file(m, folder / "input.png", folder / "drag.json", folder / "output.png", {}, dump)
    return {k.replace(".default.", "."): v.detach().clone().contiguous() for k, v in dump.items()}


def write_warped_edit(folder, model):
    """Writes a short edit of every kind of start: of the warped picture with both pictures' features, and of moved noise on a kept trajectory."""
    from torch_edit import Model, edit_file, write_picture as write_pixels
    dump = write_edit(folder, model, [*REGIONS, PULLED], WARPED)
    write_pixels(dump.pop("warped"), folder / "warped.png")
    moved = {"start": "moved", "trajectory": "kept", "vacated_noise": .6}
    variants = {"original": {"features": "original"}, "moved": {**moved, "detail": .5}, "clean": {"text_optimisation": "clean", "timesteps": 2, "iterations": 4},
                **{text: {**moved, "text_optimisation": text, "timesteps": 2, "iterations": 3} for text in ("code", "joint")}}
    for name, settings in variants.items():                       # without LoRA; the noise of the vacated area is the same
        other = {}
        with tempfile.TemporaryDirectory() as t:
            edit_file(Model(model, "cpu", F32), folder / "input.png", folder / "drag.json", pathlib.Path(t) / "out.png", {"lora_steps": 0, **settings}, other)
        assert torch.equal(other["vacated_noise"], dump["vacated_noise"])
        keep = ("text", "z_end") if "text" in other else ("prepared", "z_T", "z_end", *(("detailed",) if name == "moved" else ()))
        keep = (*keep, *(k for k in other if k.startswith("drag.loss.")))
        dump.update({f"{name}.{k}": other[k].detach().clone().contiguous() for k in keep})
    drop = ("lora.first_gradient.", "image", "first_loss", "first_latent")
    dump = {k: v.float() if v.dtype in (torch.bool, torch.float64) else v for k, v in dump.items() if not k.startswith(drop)}
    save_file(dump, folder / "dump.safetensors")


def write_motions(folder):
    """Writes the warped picture of all kinds of motion that a short edit does not have."""
    from torch_edit import warp_file
    folder.mkdir(parents=True)
    write_picture(folder / "input.png")
    y, x = np.mgrid[0:H, 0:W]
    masks = {"shrunk": ((x - 16) / 13) ** 2 + ((y - 15) / 12) ** 2 < 1, "carried": (np.abs(x - 47) < 8) & (np.abs(y - 14) < 8), "sheared": ((x - 22) / 14) ** 2 + ((y - 52) / 11) ** 2 < 1,
             "stretched": (np.abs(x - 53 - (y - 72) // 3) < 6) & (np.abs(y - 72) < 13), "grown": ((x - 18) / 7) ** 2 + ((y - 82) / 8) ** 2 < 1}
    for name, mask in masks.items():
        Image.fromarray((mask * 255).astype(np.uint8)).save(folder / f"{name}.png")
    regions = [{**r, "region": {"mask": f"{r['id']}.png"}} for r in MOTIONS]
    write_json(folder / "drag.json", {"version": 1, "editable": "everything", "regions": regions, "settings": {"object": "drawn", "seams": "hard", "fill": "smooth"}})
    new = warp_file(folder / "input.png", folder / "drag.json", folder / "warped.png", {})
    save_file({"new": new.float()}, folder / "new.safetensors")


def assert_stable_under_rounding(folder):
    """Asserts that a shift of the source points by a thousandth of a pixel changes neither the masks there nor the latent cells that are read."""
    from regions import cells, covered, read_drag, source_of
    _, regions, _, _ = read_drag(folder / "drag.json", (W, H))
    for r in regions:
        for size in (1, 2, 8):
            gx, gy = (v.double() for v in cells(H, W, size, "cpu"))
            r64, d = {**r, "mask": r["mask"].double()}, 1e-3
            inside = [covered(r64, 1.0, gx + dx, gy + dy) for dx in (-d, 0, d) for dy in (-d, 0, d)]
            assert all(torch.equal(i, inside[0]) for i in inside), (r["id"], size)
            near = torch.stack([(v / 8 - (v / 8).round()).abs() for v in source_of(r, 1.0, gx, gy)]).amin(0)
            assert size < 8 or not inside[0].any() or near[inside[0]].min() > 1e-3, (r["id"], size, near[inside[0]].min())


def write_lora(root, model, dump, out):
    """Writes the adapter of the edit in the file formats of diffusers, with up matrices scaled by 5, since two training steps have little effect."""
    from diffusers import StableDiffusionPipeline
    from diffusers.utils import convert_state_dict_to_diffusers
    from peft import LoraConfig
    from peft.utils import get_peft_model_state_dict
    unet = fresh(model)
    unet.add_adapter(LoraConfig(r=RANK, lora_alpha=RANK, target_modules=["to_q", "to_k", "to_v", "to_out.0"]))
    for n, q in unet.named_parameters():
        if "lora_" in n:
            q.data.copy_(dump["lora.end." + n.replace(".default.", ".")] * (5 if "lora_B" in n else 1))
    with torch.no_grad():
        out["lora.noise"] = unet(out["unet.z"], out["unet.t"], out["unet.context"]).sample
    print("the adapter changes the noise prediction by", (out["lora.noise"] - out["unet.noise"]).std().item(), "(std)")
    peft = {k: v.detach().clone() for k, v in get_peft_model_state_dict(unet).items()}
    old = convert_state_dict_to_diffusers(peft)
    with tempfile.TemporaryDirectory() as t:
        unet.save_lora_adapter(t)
        with safe_open(pathlib.Path(t) / "pytorch_lora_weights.safetensors", "pt") as f:
            note = json.loads(f.metadata()["lora_adapter_metadata"])
            note["target_modules"] = sorted(note["target_modules"])   # a set, whose order differs between runs
            save_file({k: f.get_tensor(k) for k in f.keys()}, root / "lora_adapter.safetensors",
                      metadata={"lora_adapter_metadata": json.dumps(note, indent=2, sort_keys=True)})   # a single key, since the order of two is not fixed
        for name, layers in (("lora_peft", peft), ("lora_old", old)):
            StableDiffusionPipeline.save_lora_weights(t, unet_lora_layers=layers)
            shutil.copy(pathlib.Path(t) / "pytorch_lora_weights.safetensors", root / f"{name}.safetensors")
    names = {".lora.down.": "_lora.down.", ".lora.up.": "_lora.up."}
    procs = {}
    for k, v in old.items():                                      # ...attn1.to_q.lora.down.weight -> ...attn1.processor.to_q_lora.down.weight
        for new, past in names.items():
            k = k.replace(new, past)
        procs[k.replace(".to_out.0_lora", ".to_out_lora").replace(".to_", ".processor.to_")] = v
    save_file(procs, root / "lora_attn_procs.safetensors", metadata={"format": "pt"})


# ---------------------------------------------------------------- all files

def write(root):
    import copies_fixtures, dragon_fixtures, points_fixtures
    from transformers import CLIPTextModel, CLIPTokenizer
    torch.set_num_threads(1); torch.use_deterministic_algorithms(True)
    for name in ("tiny", "legacy", "linear", "edit", "warped_edit", "motions", "copies", "points", "dragon"):
        shutil.rmtree(root / name, ignore_errors=True)
    rng, tiny, legacy = np.random.default_rng(7), root / "tiny", root / "legacy"
    tok = build_tokenizer(tiny / "tokenizer")
    unet, vae = build_unet(rng), build_vae(rng)
    text = build_text(rng, len(tok), tok.bos_token_id, tok.eos_token_id)
    write_modern(tiny, unet, vae, text); write_legacy(legacy, tiny, unet, vae, text); write_linear(root / "linear", unet)

    out = parity(tiny, text, tok)
    dump = write_edit(root / "edit", tiny, REGIONS, EDIT)
    save_file(dump, root / "edit/dump.safetensors")
    write_warped_edit(root / "warped_edit", tiny); write_motions(root / "motions")
    copies_fixtures.write(root / "copies", tiny); points_fixtures.write(root / "points", tiny); dragon_fixtures.write(root / "dragon", tiny)
    write_lora(root, tiny, dump, out)
    save_file({k: v.contiguous() for k, v in out.items()}, root / "parity.safetensors")
    (root / "schedule.json").write_text("{\n" + ",\n".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in schedule().items()) + "\n}\n")
    rows = [json.dumps({"prompt": p, "ids": tok(p).input_ids}) for p in PROMPTS]
    (root / "tokens.json").write_text("[\n" + ",\n".join(rows) + "\n]\n")

    with torch.no_grad():                                         # diffusers must compute the same with the other two folders
        for where, options in ((legacy, {"variant": "fp16"}), (root / "linear", {})):
            e = fresh(where, **options)(out["unet.z"], out["unet.t"], out["unet.context"]).sample
            assert (e - out["unet.noise"]).abs().max() < 1e-5, where
        old = fresh(legacy, "vae", variant="fp16")
        assert (old.encode(out["vae.image"]).latent_dist.mean - out["vae.mean"]).abs().max() < 1e-4 and (old.decode(out["vae.latent"]).sample - out["vae.decoded"]).abs().max() < 1e-4
        assert old.config.scaling_factor == .18215
        hidden = CLIPTextModel.from_pretrained(legacy, subfolder="text_encoder", variant="fp16", dtype=F32)(out["text.ids"]).last_hidden_state
        assert (hidden - out["text.hidden"]).abs().max() < 1e-5
    for where in (tiny, legacy):
        loaded = CLIPTokenizer.from_pretrained(where, subfolder="tokenizer")
        assert all(loaded(p).input_ids == tok(p).input_ids for p in PROMPTS), where


def describe(root):
    """Lists every tensor of the files that tests read, in Markdown."""
    lines = []
    for path in [root / "parity.safetensors", root / "edit/dump.safetensors", root / "warped_edit/dump.safetensors", *sorted(root.glob("lora_*.safetensors"))]:
        lines += [f"\n## {path.relative_to(root)} ({path.stat().st_size} bytes)", ""]
        tensors, adapters = load_file(path), {}
        for k, v in tensors.items():
            if "attn" in k:
                group = k[:k.index("down_blocks") if "down_blocks" in k else k.index("up_blocks") if "up_blocks" in k else k.index("mid_block")]
                adapters.setdefault(group, []).append((k, v))
                continue
            lines.append(f"- `{k}` {tuple(v.shape)} {str(v.dtype)[6:]}" + (f" std {v.float().std():.3f}" if v.numel() > 1 else f" = {v.item():.6g}"))
        for group, rows in adapters.items():
            lines.append(f"- `{group}*`: {len(rows)} tensors, such as " + ", ".join(f"`{k}` {tuple(v.shape)}" for k, v in (rows[0], rows[-1])))
    return "\n".join(lines) + "\n"


def check(root):
    with tempfile.TemporaryDirectory() as t:
        new, status = pathlib.Path(t), 0
        write(new)
        for path in sorted(p for p in new.rglob("*") if p.is_file()):
            name, committed = path.relative_to(new), root / path.relative_to(new)
            if committed.exists() and committed.read_bytes() == path.read_bytes():
                continue
            status, note = 1, "is missing" if not committed.exists() else "differs"
            if committed.exists() and path.suffix == ".safetensors":
                a, b = load_file(committed), load_file(path)
                if a.keys() == b.keys() and all(a[k].shape == b[k].shape for k in a):
                    note += f", by at most {max((a[k].double() - b[k].double()).abs().max().item() for k in a):.3g}"
            print(f"{name} {note}")
        print("all files are byte-equal" if not status else "not byte-equal (another processor or other versions?)")
        return status


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--check", action="store_true"); p.add_argument("--describe", action="store_true", help="only print the contents of the files")
    p.add_argument("--out", type=pathlib.Path, default=HERE.parent / "fixtures")
    a = p.parse_args()
    if a.describe:
        print(describe(a.out), end="")
    elif a.check:
        sys.exit(check(a.out))
    else:
        a.out.mkdir(exist_ok=True, parents=True); write(a.out)


if __name__ == "__main__":
    main()
