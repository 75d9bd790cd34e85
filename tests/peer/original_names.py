"""Writes tests/fixtures/original_names.json: the names of all tensors of a small model in the original layout of Stable Diffusion 1.x, those that
diffusers' converter gives them, and their shapes.

    python tests/peer/original_names.py

The original names and shapes are those of the modules of `ldm` for these sizes; the other names come from diffusers.
"""

import json
from pathlib import Path

import torch
from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint, convert_ldm_vae_checkpoint

CHANNELS, LAYERS, CONTEXT, TIME = [32, 32, 64, 64], 2, 64, 128
VAE_CHANNELS = [32, 32, 32, 32]
TEXT = {"hidden": 64, "layers": 2, "wide": 96, "vocabulary": 49408, "positions": 77}


def affine(name, *shape):
    return {f"{name}.weight": shape, f"{name}.bias": shape[:1]}


def norm(name, channels):
    return {f"{name}.weight": (channels,), f"{name}.bias": (channels,)}


def resnet(name, inputs, outputs):
    parts = norm(f"{name}.in_layers.0", inputs) | affine(f"{name}.in_layers.2", outputs, inputs, 3, 3)
    parts |= affine(f"{name}.emb_layers.1", outputs, TIME) | norm(f"{name}.out_layers.0", outputs)
    parts |= affine(f"{name}.out_layers.3", outputs, outputs, 3, 3)
    return parts | (affine(f"{name}.skip_connection", outputs, inputs, 1, 1) if inputs != outputs else {})


def transformer(name, c):
    parts = norm(f"{name}.norm", c) | affine(f"{name}.proj_in", c, c, 1, 1) | affine(f"{name}.proj_out", c, c, 1, 1)
    block = f"{name}.transformer_blocks.0"
    for attention, context in [("attn1", c), ("attn2", CONTEXT)]:
        parts |= {f"{block}.{attention}.to_q.weight": (c, c)}
        parts |= {f"{block}.{attention}.{key}.weight": (c, context) for key in ["to_k", "to_v"]}
        parts |= affine(f"{block}.{attention}.to_out.0", c, c)
    parts |= affine(f"{block}.ff.net.0.proj", 8 * c, c) | affine(f"{block}.ff.net.2", c, 4 * c)
    return parts | {k: v for index in [1, 2, 3] for k, v in norm(f"{block}.norm{index}", c).items()}


def unet():
    parts = affine("time_embed.0", TIME, CHANNELS[0]) | affine("time_embed.2", TIME, TIME)
    parts |= affine("input_blocks.0.0", CHANNELS[0], 4, 3, 3)
    skips, c, index = [CHANNELS[0]], CHANNELS[0], 1
    for level, outputs in enumerate(CHANNELS):
        for _ in range(LAYERS):
            parts |= resnet(f"input_blocks.{index}.0", c, outputs)
            if level < 3:
                parts |= transformer(f"input_blocks.{index}.1", outputs)
            c = outputs
            skips.append(c)
            index += 1
        if level < 3:
            parts |= affine(f"input_blocks.{index}.0.op", c, c, 3, 3)
            skips.append(c)
            index += 1
    parts |= resnet("middle_block.0", c, c) | transformer("middle_block.1", c) | resnet("middle_block.2", c, c)
    index = 0
    for level in reversed(range(4)):
        for layer in range(LAYERS + 1):
            parts |= resnet(f"output_blocks.{index}.0", c + skips.pop(), CHANNELS[level])
            c = CHANNELS[level]
            if level < 3:
                parts |= transformer(f"output_blocks.{index}.1", c)
            if level and layer == LAYERS:
                parts |= affine(f"output_blocks.{index}.{2 if level < 3 else 1}.conv", c, c, 3, 3)
            index += 1
    parts |= norm("out.0", CHANNELS[0]) | affine("out.2", 4, CHANNELS[0], 3, 3)
    return {f"model.diffusion_model.{name}": shape for name, shape in parts.items()}


def vae_block(name, inputs, outputs):
    parts = norm(f"{name}.norm1", inputs) | affine(f"{name}.conv1", outputs, inputs, 3, 3)
    parts |= norm(f"{name}.norm2", outputs) | affine(f"{name}.conv2", outputs, outputs, 3, 3)
    return parts | (affine(f"{name}.nin_shortcut", outputs, inputs, 1, 1) if inputs != outputs else {})


def vae():
    parts, last = {}, VAE_CHANNELS[-1]
    for side, kind, extra in [("encoder", "down", 0), ("decoder", "up", 1)]:
        c = VAE_CHANNELS[0] if side == "encoder" else last
        parts |= affine(f"{side}.conv_in", c, 3 if side == "encoder" else 4, 3, 3)
        for level in range(4) if side == "encoder" else reversed(range(4)):
            for block in range(LAYERS + extra):
                parts |= vae_block(f"{side}.{kind}.{level}.block.{block}", c, VAE_CHANNELS[level])
                c = VAE_CHANNELS[level]
            if level != (3 if side == "encoder" else 0):
                parts |= affine(f"{side}.{kind}.{level}.{kind}sample.conv", c, c, 3, 3)
        for block in [1, 2]:
            parts |= vae_block(f"{side}.mid.block_{block}", last, last)
        parts |= norm(f"{side}.mid.attn_1.norm", last)
        for key in ["q", "k", "v", "proj_out"]:
            parts |= affine(f"{side}.mid.attn_1.{key}", last, last, 1, 1)
        c = last if side == "encoder" else VAE_CHANNELS[0]
        parts |= norm(f"{side}.norm_out", c) | affine(f"{side}.conv_out", 8 if side == "encoder" else 3, c, 3, 3)
    parts |= affine("quant_conv", 8, 8, 1, 1) | affine("post_quant_conv", 4, 4, 1, 1)
    return {f"first_stage_model.{name}": shape for name, shape in parts.items()}


def text():
    c, wide = TEXT["hidden"], TEXT["wide"]
    parts = {"embeddings.token_embedding.weight": (TEXT["vocabulary"], c)}
    parts |= {"embeddings.position_embedding.weight": (TEXT["positions"], c)}
    for layer in range(TEXT["layers"]):
        name = f"encoder.layers.{layer}"
        for key in ["q_proj", "k_proj", "v_proj", "out_proj"]:
            parts |= affine(f"{name}.self_attn.{key}", c, c)
        parts |= norm(f"{name}.layer_norm1", c) | norm(f"{name}.layer_norm2", c)
        parts |= affine(f"{name}.mlp.fc1", wide, c) | affine(f"{name}.mlp.fc2", c, wide)
    parts |= norm("final_layer_norm", c)
    return {f"cond_stage_model.transformer.text_model.{name}": shape for name, shape in parts.items()}


def pairs(parts, convert):
    """The original name, the converted name and the shape of each tensor, which carries its number."""
    names = list(parts)
    checkpoint = {name: torch.tensor(float(index)).expand(parts[name]) for index, name in enumerate(names)}
    converted = convert(checkpoint)
    found = {int(tensor.flatten()[0]): name for name, tensor in converted.items()}
    assert sorted(found) == list(range(len(names))), "every tensor is converted"
    return [[name, found[index], list(parts[name])] for index, name in enumerate(names)]


def main():
    config = {"block_out_channels": CHANNELS, "layers_per_block": LAYERS, "class_embed_type": None, "addition_embed_type": None}
    config |= {"down_block_types": [""] * 4, "up_block_types": [""] * 4}
    vae_config = {"block_out_channels": VAE_CHANNELS, "layers_per_block": LAYERS}
    vae_config |= {"down_block_types": [""] * 4, "up_block_types": [""] * 4}
    names = {
        "unet": pairs(unet(), lambda checkpoint: convert_ldm_unet_checkpoint(checkpoint, config)),
        "vae": pairs(vae(), lambda checkpoint: convert_ldm_vae_checkpoint(checkpoint, vae_config)),
        "text_encoder": [
            [name, name.removeprefix("cond_stage_model.transformer."), list(shape)] for name, shape in text().items()
        ],
    }
    path = Path(__file__).parent.parent / "fixtures/original_names.json"
    lines = [f'"{part}": [\n' + ",\n".join(map(json.dumps, rows)) + "\n]" for part, rows in names.items()]
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    print({part: len(rows) for part, rows in names.items()}, path.stat().st_size)


if __name__ == "__main__":
    main()
