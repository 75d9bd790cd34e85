"""Writes tests/fixtures/adapters: LoRA files and embeddings in the forms that users bring, for the model ../fixtures/tiny, and what diffusers, peft, transformers
and LyCORIS compute with them.

    python3 lora_fixtures.py [FOLDER]        ../fixtures/adapters

Needs diffusers, transformers, peft and lycoris-lora (requirements.txt). Every file has random matrices, large enough to change the results by far more than the tolerance.

| file | form | read by |
|---|---|---|
| `kohya.safetensors` | `lora_unet_*`, `lora_te_*`, alpha: attention, feed-forward, proj_in | `load_lora_weights` of diffusers |
| `peft.safetensors` | `unet.*.lora_A.weight`, `text_encoder.*`: as `save_lora_weights` writes it, with alpha and alpha_pattern in its header | `load_lora_weights` |
| `former.safetensors` | `unet.*.lora.down.weight`, `text_encoder.*.lora_linear_layer.down.weight`: diffusers 0.20 | `load_lora_weights` |
| `locon.safetensors` | kohya names with 3x3 and 1x1 convolutions, time projections | `load_lora_weights` |
| `cores.safetensors` | LyCORIS: LoCon with a core (`lora_mid`), LoHa with and without cores, LoKr whole, factored and with a core, differences of a weight, a bias and a norm | LyCORIS |

`expected.safetensors` has, for inputs `unet8.z t context` and `text.ids` of ../fixtures/parity.safetensors: `NAME.noise` (UNet) and `NAME.hidden` (text encoder, two prompts) with each file at
the weight WEIGHT, `none.*` without, and `both.*` with kohya at WEIGHT and then locon at -0.5.
`a1111.safetensors` (`emb_params`) and `learned_embeds.safetensors` are embeddings of two vectors and one; `embedding.ids` and `embedding.hidden` are what transformers gives for
PROMPT with the words `my-style` and `<toy>`.
"""
import json, pathlib, sys, tempfile
import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

HERE = pathlib.Path(__file__).resolve().parent
TINY, PARITY = HERE.parent / "fixtures" / "tiny", HERE.parent / "fixtures" / "parity.safetensors"
WEIGHT, PROMPT = 0.8, "a my-style cat, <toy> on a sofa"
BLOCK = "down_blocks.1.attentions.0.transformer_blocks.0."
LINEAR = [BLOCK + "attn1.to_q", BLOCK + "attn1.to_out.0", BLOCK + "attn2.to_k", BLOCK + "attn2.to_v", BLOCK + "ff.net.0.proj", BLOCK + "ff.net.2",
          "mid_block.attentions.0.transformer_blocks.0.attn1.to_v", "mid_block.attentions.0.proj_in", "up_blocks.2.attentions.1.proj_out"]
CONVS = ["down_blocks.0.resnets.0.conv1", "down_blocks.0.downsamplers.0.conv", "up_blocks.1.resnets.2.conv_shortcut", "mid_block.resnets.0.time_emb_proj", "up_blocks.0.upsamplers.0.conv"]
TEXT = ["encoder.layers.0.self_attn.q_proj", "encoder.layers.1.self_attn.out_proj", "encoder.layers.1.mlp.fc1", "encoder.layers.0.mlp.fc2"]


def pipeline():
    from diffusers import StableDiffusionPipeline
    return StableDiffusionPipeline.from_pretrained(TINY, safety_checker=None, feature_extractor=None, requires_safety_checker=False)


def module(pipe, part, name):
    return (pipe.unet if part == "unet" else pipe.text_encoder).get_submodule(name)


def pair(rng, layer, rank, size):
    """down and up for a layer, with a product of about `size` times the weight."""
    w = layer.weight
    down = torch.from_numpy(rng.standard_normal((rank, *w.shape[1:])).astype(np.float32))
    up = torch.from_numpy(rng.standard_normal((w.shape[0], rank, *[1] * (w.dim() - 2))).astype(np.float32))
    return down, up * (size * w.std().item() / rank ** .5)


def results(pipe, inputs):
    with torch.no_grad():
        noise = pipe.unet(inputs["unet8.z"], inputs["unet8.t"], inputs["unet8.context"]).sample
        hidden = pipe.text_encoder(inputs["text.ids"][1:3]).last_hidden_state
    return noise, hidden


def loaded(files, inputs):
    """What diffusers gives with files at weights; asserts that every layer arrived."""
    pipe = pipeline()
    for i, (path, _, count) in enumerate(files):
        pipe.load_lora_weights(path.parent, weight_name=path.name, adapter_name=f"a{i}")
        found = [n for m in (pipe.unet, pipe.text_encoder) for n, q in m.named_modules() if hasattr(q, "lora_A") and f"a{i}" in q.lora_A]
        assert len(found) == count, (path.name, len(found), count, found)
    pipe.set_adapters([f"a{i}" for i in range(len(files))], [w for _, w, _ in files])
    return results(pipe, inputs)


def kohya(pipe, rng, unet, text):
    """Convolutions have another rank and alpha than the other layers. Both are the same for the layers of a kind, since diffusers 0.42 loses alphas of single output projections
    and of single layers of the text encoder on the way to peft."""
    tensors = {}
    for part, name in [("unet", n) for n in unet] + [("te", n) for n in text]:
        rank, alpha = (2, 1.) if name in CONVS else (4, 3.)
        down, up = pair(rng, module(pipe, part, name), rank, 1.5)
        key = ("lora_unet_" if part == "unet" else "lora_te_text_model_") + name.replace(".", "_")
        tensors |= {f"{key}.lora_down.weight": down, f"{key}.lora_up.weight": up, f"{key}.alpha": torch.tensor(alpha)}
    return tensors


def peft_file(root, rng):
    from diffusers import StableDiffusionPipeline
    from peft import LoraConfig
    from peft.utils import get_peft_model_state_dict
    pipe = pipeline()
    layers, notes = {}, {}
    for part, model, names in (("unet", pipe.unet, LINEAR), ("text_encoder", pipe.text_encoder, TEXT)):
        config = LoraConfig(r=3, lora_alpha=6, target_modules=list(names), alpha_pattern={names[0]: 2}, rank_pattern={names[1]: 2})
        model.add_adapter(config)
        for n, q in model.named_modules():
            if hasattr(q, "lora_A"):
                down, up = pair(rng, q.base_layer, q.lora_A["default"].weight.shape[0], 1.)
                q.lora_A["default"].weight.data.copy_(down); q.lora_B["default"].weight.data.copy_(up)
        layers[part], notes[part] = get_peft_model_state_dict(model), model.peft_config["default"].to_dict()
    with tempfile.TemporaryDirectory() as t:
        StableDiffusionPipeline.save_lora_weights(t, unet_lora_layers=layers["unet"], text_encoder_lora_layers=layers["text_encoder"], unet_lora_adapter_metadata=notes["unet"],
                                                  text_encoder_lora_adapter_metadata=notes["text_encoder"])
        with safe_open(pathlib.Path(t) / "pytorch_lora_weights.safetensors", "pt") as f:
            note = json.loads(f.metadata()["lora_adapter_metadata"])
            note = {k: sorted(v) if k.endswith("target_modules") else v for k, v in note.items()}   # sets, whose order differs between runs
            tensors = {k: f.get_tensor(k) for k in f.keys()}
        save_file(tensors, root / "peft.safetensors", metadata={"lora_adapter_metadata": json.dumps(note, indent=2, sort_keys=True)})


def former(pipe, rng):
    tensors = {}
    for name in [n for n in LINEAR if ".attn" in n]:
        down, up = pair(rng, module(pipe, "unet", name), 2, 1.5)
        tensors |= {f"unet.{name}.lora.down.weight": down, f"unet.{name}.lora.up.weight": up}
    for name in TEXT[:2]:
        down, up = pair(rng, module(pipe, "te", name), 2, 1.5)
        tensors |= {f"text_encoder.text_model.{name}.lora_linear_layer.down.weight": down, f"text_encoder.text_model.{name}.lora_linear_layer.up.weight": up}
    return tensors


def cores(pipe, rng):
    """Tensors, and the differences that LyCORIS's functions make of them, by layer."""
    from lycoris.functional.general import rebuild_tucker
    from lycoris.functional.locon import diff_weight as locon
    from lycoris.functional.loha import diff_weight as loha
    from lycoris.functional.lokr import kron_weight
    normal = lambda *shape: torch.from_numpy(rng.standard_normal(shape).astype(np.float32)) * .5
    tensors, differences = {}, {}

    def add(part, name, parts, difference, alpha=None):
        key = ("lora_unet_" if part == "unet" else "lora_te_text_model_") + name.replace(".", "_")
        tensors.update({f"{key}.{k}": v for k, v in parts.items()})
        if alpha is not None:
            tensors[f"{key}.alpha"] = torch.tensor(float(alpha))
        differences[part, name, "weight"] = difference

    shape = lambda part, name: module(pipe, part, name).weight.shape
    name = CONVS[0]; o, i, k, _ = shape("unet", name)
    parts = {"lora_down.weight": normal(2, i, 1, 1), "lora_mid.weight": normal(2, 2, k, k), "lora_up.weight": normal(o, 2, 1, 1)}
    add("unet", name, parts, locon(parts["lora_down.weight"], parts["lora_up.weight"], parts["lora_mid.weight"], gamma=.5), 1)

    name = LINEAR[0]; o, i = shape("unet", name)
    parts = {"hada_w1_a": normal(o, 3), "hada_w1_b": normal(3, i), "hada_w2_a": normal(o, 3), "hada_w2_b": normal(3, i)}
    add("unet", name, parts, loha(parts["hada_w1_b"], parts["hada_w1_a"], parts["hada_w2_b"], parts["hada_w2_a"], None, None, gamma=torch.tensor(2 / 3)), 2)
    name = CONVS[1]; o, i, k, _ = shape("unet", name)
    parts = {"hada_t1": normal(2, 2, k, k), "hada_w1_a": normal(2, o), "hada_w1_b": normal(2, i), "hada_t2": normal(2, 2, k, k), "hada_w2_a": normal(2, o), "hada_w2_b": normal(2, i)}
    add("unet", name, parts, rebuild_tucker(parts["hada_t1"], parts["hada_w1_a"], parts["hada_w1_b"]) * rebuild_tucker(parts["hada_t2"], parts["hada_w2_a"], parts["hada_w2_b"]) * .5, 1)

    kron = lambda p, scale: kron_weight(*(p.get(f"lokr_{n}") for n in ("w1", "w1_a", "w1_b", "w2", "w2_a", "w2_b", "t2")), scale=scale)
    name = TEXT[0]; o, i = shape("te", name)
    parts = {"lokr_w1": normal(2, 4), "lokr_w2": normal(o // 2, i // 4)}
    add("te", name, parts, kron(parts, 1.), 7)
    name = LINEAR[4]; o, i = shape("unet", name)
    parts = {"lokr_w1_a": normal(4, 2), "lokr_w1_b": normal(2, 2), "lokr_w2_a": normal(o // 4, 2), "lokr_w2_b": normal(2, i // 2)}
    add("unet", name, parts, kron(parts, .5), 1)
    name = CONVS[4]; o, i, k, _ = shape("unet", name)
    parts = {"lokr_w1": normal(2, 2), "lokr_t2": normal(2, 2, k, k), "lokr_w2_a": normal(2, o // 2), "lokr_w2_b": normal(2, i // 2)}
    add("unet", name, parts, kron(parts, .5), 1)
    name = "up_blocks.3.resnets.0.conv2"; o, i, k, _ = shape("unet", name)
    parts = {"lokr_w1": normal(2, 2), "lokr_w2_a": normal(o // 2, 2), "lokr_w2_b": normal(2, i // 2, k, k)}
    add("unet", name, parts, kron(parts, .5), 1)

    name = "conv_in"
    parts = {"diff": normal(*shape("unet", name)), "diff_b": normal(shape("unet", name)[0])}
    add("unet", name, parts, parts["diff"]); differences["unet", name, "bias"] = parts["diff_b"]
    name = BLOCK + "norm1"
    parts = {"w_norm": normal(*shape("unet", name)), "b_norm": normal(*shape("unet", name))}
    add("unet", name, parts, parts["w_norm"]); differences["unet", name, "bias"] = parts["b_norm"]
    return tensors, differences


def embeddings(root, rng, out):
    pipe = pipeline()
    width = pipe.text_encoder.config.hidden_size
    normal = lambda *shape: torch.from_numpy(rng.standard_normal(shape).astype(np.float32))
    style, toy = normal(2, width), normal(width)
    save_file({"emb_params": style}, root / "a1111.safetensors")
    save_file({"<toy>": toy}, root / "learned_embeds.safetensors")
    pipe.load_textual_inversion(root / "a1111.safetensors", token="my-style")
    pipe.load_textual_inversion(root / "learned_embeds.safetensors")
    prompt = pipe.maybe_convert_prompt(PROMPT, pipe.tokenizer)
    ids = pipe.tokenizer(prompt, padding="max_length", max_length=77, truncation=True, return_tensors="pt").input_ids
    with torch.no_grad():
        out |= {"embedding.ids": ids, "embedding.hidden": pipe.text_encoder(ids).last_hidden_state}


def write(root):
    torch.set_num_threads(1); torch.use_deterministic_algorithms(True)
    root.mkdir(parents=True, exist_ok=True)
    rng, inputs, pipe, out = np.random.default_rng(17), load_file(PARITY), pipeline(), {}
    save_file(kohya(pipe, rng, LINEAR, TEXT), root / "kohya.safetensors")
    save_file(kohya(pipe, rng, CONVS, TEXT[:2]), root / "locon.safetensors")
    save_file(former(pipe, rng), root / "former.safetensors")
    peft_file(root, rng)
    tensors, differences = cores(pipe, rng)
    save_file(tensors, root / "cores.safetensors")
    all_of = {"kohya": len(LINEAR + TEXT), "locon": len(CONVS) + 2, "former": len([n for n in LINEAR if ".attn" in n]) + 2, "peft": len(LINEAR + TEXT)}
    found = {"none": results(pipe, inputs)}
    for name, count in all_of.items():
        found[name] = loaded([(root / f"{name}.safetensors", WEIGHT, count)], inputs)
    found["both"] = loaded([(root / f"{n}.safetensors", w, all_of[n]) for n, w in (("kohya", WEIGHT), ("locon", -.5))], inputs)
    with torch.no_grad():
        for (part, name, kind), difference in differences.items():
            weight = getattr(module(pipe, part, name), kind)
            weight += WEIGHT * difference.reshape(weight.shape)
    found["cores"] = results(pipe, inputs)
    for name, (noise, hidden) in found.items():
        out |= {f"{name}.noise": noise, f"{name}.hidden": hidden}
        if name != "none":
            print(f"{name}: the noise changes by {(noise - found['none'][0]).std():.2g}, the hidden states by {(hidden - found['none'][1]).std():.2g} (std)")
    embeddings(root, rng, out)
    save_file({k: v.contiguous().clone() for k, v in out.items()}, root / "expected.safetensors")


if __name__ == "__main__":
    write(pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else HERE.parent / "fixtures" / "adapters")
