"""The networks of the demo model in plain PyTorch: the architecture of Stable Diffusion 1.5, with the weight names of diffusers and transformers.

`load(folder, part)` builds a part from its config.json and loads its weights; `save(folder, part, ...)` writes both. test.py compares the networks with
diffusers and transformers, which training does not need. Needs torch and safetensors.
"""
import json, math, pathlib, re
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import nn

TEMPLATE = pathlib.Path(__file__).resolve().parents[2] / "assets/demo"
FILES = {"vae": "diffusion_pytorch_model.safetensors", "unet": "diffusion_pytorch_model.safetensors", "text_encoder": "model.safetensors"}


# ---------------------------------------------------------------- common layers

def in_16_bits(x, normalise, weights):
    """Normalises in bf16. Autocast would convert to f32 and back, at three times the memory traffic; the kernels sum in f32 anyway."""
    with torch.autocast(x.device.type, enabled=False):
        return normalise(x, *(w.to(x.dtype) for w in weights))


class GroupNorm(nn.GroupNorm):
    def forward(self, x):
        if x.dtype != torch.bfloat16:
            return super().forward(x)
        return in_16_bits(x, lambda x, w, b: F.group_norm(x, self.num_groups, w, b, self.eps), (self.weight, self.bias))


class LayerNorm(nn.LayerNorm):
    def forward(self, x):
        if x.dtype != torch.bfloat16:
            return super().forward(x)
        return in_16_bits(x, lambda x, w, b: F.layer_norm(x, self.normalized_shape, w, b, self.eps), (self.weight, self.bias))


class Resnet(nn.Module):
    def __init__(self, before, after, groups, eps, time=None):
        super().__init__()
        self.norm1, self.conv1 = GroupNorm(groups, before, eps), nn.Conv2d(before, after, 3, padding=1)
        if time:
            self.time_emb_proj = nn.Linear(time, after)
        self.norm2, self.conv2 = GroupNorm(groups, after, eps), nn.Conv2d(after, after, 3, padding=1)
        self.conv_shortcut = nn.Conv2d(before, after, 1) if before != after else None

    def forward(self, x, time=None):
        h = self.conv1(F.silu(self.norm1(x)))
        if time is not None:
            h = h + self.time_emb_proj(F.silu(time))[:, :, None, None]
        h = self.conv2(F.silu(self.norm2(h)))
        return h + (x if self.conv_shortcut is None else self.conv_shortcut(x))


def attend(q, k, v, heads):
    split = lambda y: y.view(y.shape[0], y.shape[1], heads, -1).transpose(1, 2)
    return F.scaled_dot_product_attention(split(q), split(k), split(v)).transpose(1, 2).flatten(2)


class Down(nn.Module):
    def __init__(self, width, padding):
        super().__init__()
        self.conv, self.padding = nn.Conv2d(width, width, 3, stride=2, padding=padding), padding

    def forward(self, x):
        return self.conv(x if self.padding else F.pad(x, (0, 1, 0, 1)))


class Up(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x, size=None):
        return self.conv(F.interpolate(x, size=size, mode="nearest") if size else F.interpolate(x, scale_factor=2.0, mode="nearest"))


class Block(nn.Module):
    """ResNet blocks, with attentions between them if there are any, and a resize at the end."""

    def __init__(self, resnets, attentions=None, down=None, up=None):
        super().__init__()
        self.resnets = nn.ModuleList(resnets)
        if attentions:
            self.attentions = nn.ModuleList(attentions)
        self.downsamplers, self.upsamplers = (nn.ModuleList([m]) if m else None for m in (down, up))

    def layers(self):
        return zip(self.resnets, getattr(self, "attentions", None) or [None] * len(self.resnets))


# ---------------------------------------------------------------- VAE

class PictureAttention(nn.Module):
    def __init__(self, width, groups):
        super().__init__()
        self.group_norm = GroupNorm(groups, width, 1e-6)
        self.to_q, self.to_k, self.to_v = (nn.Linear(width, width) for _ in range(3))
        self.to_out = nn.ModuleList([nn.Linear(width, width)])

    def forward(self, x):
        y = self.group_norm(x).flatten(2).transpose(1, 2)
        y = self.to_out[0](attend(self.to_q(y), self.to_k(y), self.to_v(y), 1))
        return x + y.transpose(1, 2).reshape(x.shape)


class Half(nn.Module):
    """Encoder or decoder."""

    def __init__(self, config, encodes):
        super().__init__()
        widths, groups, layers = config["block_out_channels"], config["norm_num_groups"], config["layers_per_block"]
        resnet = lambda a, b: Resnet(a, b, groups, 1e-6)
        order = widths if encodes else widths[::-1]
        self.encodes = encodes
        self.conv_in = nn.Conv2d(config["in_channels"] if encodes else config["latent_channels"], order[0], 3, padding=1)
        blocks, past = [], order[0]
        for i, w in enumerate(order):
            last = i == len(order) - 1
            count = layers if encodes else layers + 1
            blocks.append(Block([resnet(past if j == 0 else w, w) for j in range(count)], down=Down(w, 0) if encodes and not last else None,
                                up=Up(w) if not encodes and not last else None))
            past = w
        if encodes:
            self.down_blocks = nn.ModuleList(blocks)
        else:
            self.up_blocks = nn.ModuleList(blocks)
        top = widths[-1]
        self.mid_block = Block([resnet(top, top), resnet(top, top)], [PictureAttention(top, groups)])
        self.conv_norm_out = GroupNorm(groups, order[-1], 1e-6)
        self.conv_out = nn.Conv2d(order[-1], 2 * config["latent_channels"] if encodes else config["out_channels"], 3, padding=1)

    def middle(self, x):
        return self.mid_block.resnets[1](self.mid_block.attentions[0](self.mid_block.resnets[0](x)))

    def forward(self, x):
        x = self.conv_in(x)
        x = x if self.encodes else self.middle(x)
        for block in self.down_blocks if self.encodes else self.up_blocks:
            for resnet in block.resnets:
                x = resnet(x)
            for change in block.downsamplers or block.upsamplers or ():
                x = change(x)
        x = self.middle(x) if self.encodes else x
        return self.conv_out(F.silu(self.conv_norm_out(x)))


class Vae(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.config, c = config, config["latent_channels"]
        self.encoder, self.decoder = Half(config, True), Half(config, False)
        self.quant_conv, self.post_quant_conv = nn.Conv2d(2 * c, 2 * c, 1), nn.Conv2d(c, c, 1)

    def moments(self, x):
        """Returns mean and log-variance, before scaling."""
        mean, logvar = self.quant_conv(self.encoder(x)).chunk(2, 1)
        return mean, logvar.clamp(-30, 20)

    def encode(self, x):
        """Returns the scaled latent, as the UNet uses it."""
        return self.moments(x)[0] * self.config["scaling_factor"]

    def decode_raw(self, z):
        return self.decoder(self.post_quant_conv(z))

    def decode(self, z):
        return self.decode_raw(z / self.config["scaling_factor"])

    def forward(self, x, noise):
        """For training: returns the reconstruction from a sampled latent, and the moments of the latent."""
        mean, logvar = self.moments(x)
        return self.decode_raw(mean + torch.exp(.5 * logvar) * noise), mean, logvar


# ---------------------------------------------------------------- UNet

class Attention(nn.Module):
    def __init__(self, width, context, heads):
        super().__init__()
        self.heads = heads
        self.to_q, self.to_k, self.to_v = nn.Linear(width, width, bias=False), nn.Linear(context, width, bias=False), nn.Linear(context, width, bias=False)
        self.to_out = nn.ModuleList([nn.Linear(width, width)])

    def forward(self, x, context):
        return self.to_out[0](attend(self.to_q(x), self.to_k(context), self.to_v(context), self.heads))


class Gate(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.proj = nn.Linear(width, 8 * width)

    def forward(self, x):
        value, gate = self.proj(x).chunk(2, -1)
        return value * F.gelu(gate)


class FeedForward(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.net = nn.ModuleList([Gate(width), nn.Identity(), nn.Linear(4 * width, width)])

    def forward(self, x):
        return self.net[2](self.net[0](x))


class TransformerBlock(nn.Module):
    def __init__(self, width, context, heads):
        super().__init__()
        self.norm1, self.attn1 = LayerNorm(width), Attention(width, width, heads)
        self.norm2, self.attn2 = LayerNorm(width), Attention(width, context, heads)
        self.norm3, self.ff = LayerNorm(width), FeedForward(width)

    def forward(self, x, context):
        y = self.norm1(x)
        x = x + self.attn1(y, y)
        x = x + self.attn2(self.norm2(x), context)
        return x + self.ff(self.norm3(x))


class Transformer(nn.Module):
    def __init__(self, width, context, heads, groups):
        super().__init__()
        self.norm = GroupNorm(groups, width, 1e-6)
        self.proj_in, self.proj_out = nn.Conv2d(width, width, 1), nn.Conv2d(width, width, 1)
        self.transformer_blocks = nn.ModuleList([TransformerBlock(width, context, heads)])

    def forward(self, x, context):
        y = self.proj_in(self.norm(x)).flatten(2).transpose(1, 2)
        y = self.transformer_blocks[0](y, context)
        return x + self.proj_out(y.transpose(1, 2).reshape(x.shape))


class TimeEmbedding(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.width, self.linear_1, self.linear_2 = width, nn.Linear(width, 4 * width), nn.Linear(4 * width, 4 * width)

    def forward(self, t):
        half = self.width // 2
        angle = t.float()[:, None] * torch.exp(-math.log(10000) * torch.arange(half, device=t.device, dtype=torch.float32) / half)
        return self.linear_2(F.silu(self.linear_1(torch.cat([angle.cos(), angle.sin()], 1))))


class Unet(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.config = config
        widths, groups, layers = config["block_out_channels"], config["norm_num_groups"], config["layers_per_block"]
        context, heads, time = config["cross_attention_dim"], config["attention_head_dim"], 4 * widths[0]
        resnet = lambda a, b: Resnet(a, b, groups, 1e-5, time)
        transformer = lambda w: Transformer(w, context, heads, groups)
        self.conv_in, self.time_embedding = nn.Conv2d(config["in_channels"], widths[0], 3, padding=1), TimeEmbedding(widths[0])
        self.down_blocks, skips, past = nn.ModuleList(), [widths[0]], widths[0]
        for i, w in enumerate(widths):
            last = i == len(widths) - 1
            self.down_blocks.append(Block([resnet(past if j == 0 else w, w) for j in range(layers)], None if last else [transformer(w) for _ in range(layers)],
                                          down=None if last else Down(w, 1)))
            skips += [w] * layers + ([] if last else [w])
            past = w
        self.mid_block = Block([resnet(past, past), resnet(past, past)], [transformer(past)])
        self.up_blocks = nn.ModuleList()
        for i, w in enumerate(widths[::-1]):
            resnets = []
            for _ in range(layers + 1):
                resnets.append(resnet(past + skips.pop(), w))
                past = w
            self.up_blocks.append(Block(resnets, None if i == 0 else [transformer(w) for _ in range(layers + 1)], up=None if i == len(widths) - 1 else Up(w)))
        self.conv_norm_out, self.conv_out = GroupNorm(groups, widths[0], 1e-5), nn.Conv2d(widths[0], config["out_channels"], 3, padding=1)

    def forward(self, x, t, context):
        time, x = self.time_embedding(t), self.conv_in(x)
        skips = [x]
        for block in self.down_blocks:
            for resnet, attention in block.layers():
                x = resnet(x, time)
                x = attention(x, context) if attention else x
                skips.append(x)
            for change in block.downsamplers or ():
                x = change(x)
                skips.append(x)
        x = self.mid_block.resnets[1](self.mid_block.attentions[0](self.mid_block.resnets[0](x, time), context), time)
        for block in self.up_blocks:
            for resnet, attention in block.layers():
                x = resnet(torch.cat([x, skips.pop()], 1), time)
                x = attention(x, context) if attention else x
            for change in block.upsamplers or ():
                x = change(x, skips[-1].shape[2:])
        return self.conv_out(F.silu(self.conv_norm_out(x)))


# ---------------------------------------------------------------- text

class TextAttention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.q_proj, self.k_proj, self.v_proj, self.out_proj = (nn.Linear(width, width) for _ in range(4))

    def forward(self, x):
        split = lambda y: y.view(y.shape[0], y.shape[1], self.heads, -1).transpose(1, 2)
        y = F.scaled_dot_product_attention(split(self.q_proj(x)), split(self.k_proj(x)), split(self.v_proj(x)), is_causal=True)
        return self.out_proj(y.transpose(1, 2).flatten(2))


class TextLayer(nn.Module):
    def __init__(self, width, inner, heads):
        super().__init__()
        self.layer_norm1, self.self_attn, self.layer_norm2 = LayerNorm(width), TextAttention(width, heads), LayerNorm(width)
        self.mlp = nn.ModuleDict({"fc1": nn.Linear(width, inner), "fc2": nn.Linear(inner, width)})

    def forward(self, x):
        x = x + self.self_attn(self.layer_norm1(x))
        y = self.mlp["fc1"](self.layer_norm2(x))
        return x + self.mlp["fc2"](y * torch.sigmoid(1.702 * y))


class TextEncoder(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.config, width = config, config["hidden_size"]
        embeddings = nn.ModuleDict({"token_embedding": nn.Embedding(config["vocab_size"], width), "position_embedding": nn.Embedding(config["max_position_embeddings"], width)})
        for e in embeddings.values():
            nn.init.normal_(e.weight, std=.02)
        layers = nn.ModuleList(TextLayer(width, config["intermediate_size"], config["num_attention_heads"]) for _ in range(config["num_hidden_layers"]))
        self.text_model = nn.ModuleDict({"embeddings": embeddings, "encoder": nn.ModuleDict({"layers": layers}), "final_layer_norm": LayerNorm(width)})

    def forward(self, ids):
        m = self.text_model
        x = m["embeddings"]["token_embedding"](ids) + m["embeddings"]["position_embedding"].weight[:ids.shape[1]]
        for layer in m["encoder"]["layers"]:
            x = layer(x)
        return m["final_layer_norm"](x)


class Tokenizer:
    """CLIP's byte-level BPE for ASCII text."""

    def __init__(self, folder):
        folder = pathlib.Path(folder) / "tokenizer"
        self.ids = json.loads((folder / "vocab.json").read_text(encoding="utf-8"))
        merges = (folder / "merges.txt").read_text(encoding="utf-8").splitlines()[1:]
        self.rank = {tuple(m.split()): i for i, m in enumerate(merges) if m.strip()}
        self.words = {}

    def word(self, word):
        if word not in self.words:
            pieces = [*word[:-1], word[-1] + "</w>"]
            while pairs := [p for p in zip(pieces, pieces[1:]) if p in self.rank]:
                best = min(pairs, key=self.rank.get)
                k, joined = 0, []
                while k < len(pieces):
                    step = 2 if tuple(pieces[k:k + 2]) == best else 1
                    joined.append("".join(pieces[k:k + step])); k += step
                pieces = joined
            self.words[word] = [self.ids.get(p, self.ids["<|endoftext|>"]) for p in pieces]
        return self.words[word]

    def __call__(self, texts, length=77):
        """Returns token ids (len(texts), 77)."""
        begin, end = self.ids["<|startoftext|>"], self.ids["<|endoftext|>"]
        rows = []
        for text in texts:
            if not text.isascii():
                raise ValueError(f"not ASCII: {text!r}")
            row = [begin] + [i for w in re.findall(r"[a-z]+|[0-9]|[^\sa-z0-9]+", text.lower()) for i in self.word(w)][:length - 2] + [end]
            rows.append(row + [end] * (length - len(row)))
        return torch.tensor(rows)


# ---------------------------------------------------------------- files

CLASSES = {"vae": Vae, "unet": Unet, "text_encoder": TextEncoder}


def config(part, folder=TEMPLATE, **changes):
    return {**json.loads((pathlib.Path(folder) / part / "config.json").read_text()), **changes}


def load(folder, part):
    module = CLASSES[part](config(part, folder))
    weights = load_file(pathlib.Path(folder) / part / FILES[part])
    module.load_state_dict({k: v.float() for k, v in weights.items()})
    return module.eval().requires_grad_(False)


def save(folder, part, weights, settings):
    """Writes weights in f16 and the configuration, in the format that is compiled into dragnext."""
    folder = pathlib.Path(folder) / part
    folder.mkdir(parents=True, exist_ok=True)
    for name, value in weights.items():
        if not torch.isfinite(value.half()).all():
            raise ValueError(f"{part}: {name} has values that f16 cannot hold")
    new = folder / (FILES[part] + ".new")
    save_file({k: v.detach().half().cpu().contiguous() for k, v in weights.items()}, new, metadata={"format": "pt"})
    new.chmod(0o644)
    new.replace(folder / FILES[part])
    (folder / "config.json").write_text(json.dumps(settings, indent=2) + "\n")


def schedule(device="cpu"):
    """Returns alphas_cumprod at the 1000 timesteps for scaled-linear betas, as in assets/demo/scheduler."""
    c = json.loads((TEMPLATE / "scheduler/scheduler_config.json").read_text())
    assert (c["beta_schedule"], c["prediction_type"]) == ("scaled_linear", "epsilon")
    betas = torch.linspace(c["beta_start"] ** .5, c["beta_end"] ** .5, c["num_train_timesteps"], dtype=torch.float32) ** 2
    return torch.cumprod(1 - betas, 0).to(device)
