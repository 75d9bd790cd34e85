"""The same edit in PyTorch and diffusers: the reference for results, and the peer for speed.

    python3 torch_edit.py edit MODEL IMAGE DRAG.json OUT.png [--device cpu] [--dtype f32] [--set KEY=VALUE ...] [--dump FILE.safetensors]
    python3 torch_edit.py suite MODEL SUITE OUT_DIR [--set KEY=VALUE ...]        runs every case of a SceneBench suite
    python3 torch_edit.py bench MODEL|sd15 [--size 512] [--device cuda] [--dtype bf16] [--mode eager|compiled|released] [--repeat 3]

MODEL is a diffusers folder, whose dragnext.json may hold its own defaults; `sd15` has the shapes of Stable Diffusion 1.5 and random weights.
Needs torch, diffusers, transformers, peft, safetensors, numpy, Pillow.

- `edit` follows DragNeXt (arXiv 2506.07611) as described in the crate documentation. --dump writes the random inputs that another implementation needs
  to repeat the edit (LoRA start, timesteps, noise), and the results to compare (latents, first gradient).
- `bench` prints seconds per stage, milliseconds per call and peak memory as one line of JSON. Modes: eager = frozen UNet, SDPA, merged LoRA; compiled =
  eager with channels-last and torch.compile, after an edit that is not timed; released = as in public code of such methods: f32 weights under
  autocast, with gradients of all weights.
"""
import argparse, contextlib, copy, json, math, pathlib, time
import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw

DEFAULTS = dict(steps=50, strength=0.75, timesteps=5, ramp=None, iterations=10, lr=2e-2, mask_weight=0.2, loss_scale=10.0,
                start_layer=10, lora_steps=70, lora_rank=16, lora_lr=5e-4, lora_batch=4, taps=(3,), seed=0, margin=24, feather=4,
                hard_background=1, vacated=1, copy=1)


class Model:
    def __init__(self, where, device, dtype, autocast=None):
        from diffusers import AutoencoderKL, UNet2DConditionModel
        self.device, self.dtype, self.autocast, self.keep_gradients = torch.device(device), dtype, autocast, False
        own = pathlib.Path(where) / "dragnext.json"                  # the model's own defaults
        self.settings = json.load(open(own)) if own.exists() else {}
        self.scale = 1024.0 if dtype == torch.float16 else 1.0     # static loss scale, to avoid underflow in f16
        if where == "sd15":
            torch.manual_seed(0)
            with torch.device(self.device):
                self.unet = UNet2DConditionModel(sample_size=64, cross_attention_dim=768, attention_head_dim=8)
                self.vae = AutoencoderKL(block_out_channels=(128, 256, 512, 512), layers_per_block=2, sample_size=512,
                                         down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4)
            self.context = torch.randn(1, 77, 768, device=self.device, dtype=dtype)
        else:
            from transformers import CLIPTextModel, CLIPTokenizer
            self.unet = UNet2DConditionModel.from_pretrained(where, subfolder="unet", torch_dtype=torch.float32)
            self.vae = AutoencoderKL.from_pretrained(where, subfolder="vae", torch_dtype=torch.float32)
            self.tokenizer = CLIPTokenizer.from_pretrained(where, subfolder="tokenizer")
            self.text = CLIPTextModel.from_pretrained(where, subfolder="text_encoder").to(self.device, dtype).eval()
            self.context = None
        for m in (self.unet, self.vae):
            m.to(self.device, dtype).eval().requires_grad_(False)
        betas = torch.linspace(0.00085 ** .5, 0.012 ** .5, 1000, dtype=torch.float32) ** 2
        self.alphas = torch.cumprod(1 - betas, 0).to(self.device)

    def encode_text(self, prompt):
        if self.context is not None:
            return self.context
        ids = self.tokenizer([prompt], padding="max_length", max_length=self.tokenizer.model_max_length, return_tensors="pt").input_ids
        with torch.no_grad():
            return self.text(ids.to(self.device)).last_hidden_state

    @torch.no_grad()
    def encode(self, x):
        return (self.vae.encode(x.to(self.dtype)).latent_dist.mean * self.vae.config.scaling_factor).float()

    @torch.no_grad()
    def decode(self, z):
        return self.vae.decode(z.to(self.dtype) / self.vae.config.scaling_factor).sample.float().clamp(-1, 1)

    def predict(self, z, t, c, mixed=False):
        auto = self.autocast or (self.dtype if mixed and self.dtype != torch.float32 else None)
        with torch.autocast(self.device.type, dtype=auto) if auto else contextlib.nullcontext():
            return self.unet(z.to(self.dtype), t, c.repeat(z.shape[0], 1, 1)).sample.float()


class Hooks:
    """Collects the outputs of the up blocks; in mutual mode, picture 1 reads the self-attention keys and values of picture 0."""

    def __init__(self, unet, start_layer):
        self.features, self.collect, self.mutual = [], False, False
        for b in unet.up_blocks:
            b.register_forward_hook(lambda m, i, o: self.features.append(o) if self.collect else None)
        names = [n for n, _ in unet.named_modules() if n.endswith("attn1")]
        order = sorted(names, key=lambda n: ("down", "mid_", "up_b").index(n[:4]))
        modules = dict(unet.named_modules())
        for k, n in enumerate(order):
            modules[n].processor = self._processor(k >= start_layer)

    def _processor(hooks, late):
        class Processor:
            def __call__(self, attn, x, encoder_hidden_states=None, attention_mask=None, temb=None, **_):
                q, k, v = attn.to_q(x), attn.to_k(x), attn.to_v(x)
                if hooks.mutual and late:
                    k, v = torch.cat([k[:1], k[:1]]), torch.cat([v[:1], v[:1]])
                b, n, c = q.shape
                split = lambda y: y.view(b, -1, attn.heads, c // attn.heads).transpose(1, 2)
                o = F.scaled_dot_product_attention(split(q), split(k), split(v)).transpose(1, 2).reshape(b, n, c)
                return attn.to_out[1](attn.to_out[0](o))
        return Processor()


def fine_tune(m, z0, c, p, dump):
    """Trains a LoRA on the mean latent of the whole frame; initial weights, timesteps and noise follow from the seed."""
    from peft import LoraConfig
    torch.manual_seed(p["seed"])
    m.unet.add_adapter(LoraConfig(r=p["lora_rank"], lora_alpha=p["lora_rank"], init_lora_weights="gaussian",
                                  target_modules=["to_q", "to_k", "to_v", "to_out.0"]))
    named = [(n, q) for n, q in m.unet.named_parameters() if "lora_" in n]
    for n, q in named:
        q.data, q.requires_grad = q.data.float(), True
        dump["lora.start." + n] = q.data.clone()
    params = [q for _, q in named]
    opt = torch.optim.AdamW(params, lr=p["lora_lr"], weight_decay=1e-2)
    g = torch.Generator().manual_seed(p["seed"])
    for s in range(p["lora_steps"]):
        t = torch.randint(0, 1000, (p["lora_batch"],), generator=g).to(m.device)
        n = torch.randn(p["lora_batch"], *z0.shape[1:], generator=g).to(m.device)
        a = m.alphas[t].view(-1, 1, 1, 1)
        loss = F.mse_loss(m.predict(a.sqrt() * z0 + (1 - a).sqrt() * n, t, c, mixed=True), n)
        opt.zero_grad(); (loss * m.scale).backward()
        for q in params:
            q.grad /= m.scale
        if s == 0:
            dump.update({"lora.first_gradient." + k: q.grad.clone() for k, q in named})
        dump[f"lora.t.{s}"], dump[f"lora.noise.{s}"], dump[f"lora.loss.{s}"] = t, n, loss.detach()
        opt.step()
    dump.update({"lora.end." + k: q.data for k, q in named})
    m.unet.requires_grad_(False)


def merge_lora(m):
    from peft.tuners.tuners_utils import BaseTunerLayer
    for name, mod in list(m.unet.named_modules()):
        if isinstance(mod, BaseTunerLayer):
            mod.merge()
            parent = m.unet.get_submodule(name.rsplit(".", 1)[0])
            setattr(parent, name.rsplit(".", 1)[1], mod.get_base_layer())


# ---------------------------------------------------------------- geometry: continuous image coordinates, origin at the corner

def angle_of(r):
    if "angle" in r:
        return -math.radians(r["angle"])                          # angles in the file are in degrees and counter-clockwise on the screen, where y points down
    (hx, hy), (gx, gy), (cx, cy) = r["handle"], r["target"], r["center"]
    return math.remainder(math.atan2(gy - cy, gx - cx) - math.atan2(hy - cy, hx - cx), 2 * math.pi)


def source_of(r, eta, x, y):
    """Returns the source point of the content at (x, y) at progress eta."""
    if r["type"] == "rotation":
        (cx, cy), a = r["center"], eta * angle_of(r)
        co, si, dx, dy = math.cos(a), math.sin(a), x - cx, y - cy
        return cx + co * dx + si * dy, cy - si * dx + co * dy
    return x - eta * (r["target"][0] - r["handle"][0]), y - eta * (r["target"][1] - r["handle"][1])


def still(r):
    return abs(angle_of(r)) < 1e-3 if r["type"] == "rotation" else math.hypot(r["target"][0] - r["handle"][0], r["target"][1] - r["handle"][1]) < 1


def sample(a, x, y, width, height, mode="bilinear"):
    """Samples a (1, C, h, w), which covers the image, at image points, clamped at the border: (1, C, *x.shape)."""
    grid = torch.stack([x / width * 2 - 1, y / height * 2 - 1], -1).reshape(1, 1, -1, 2)
    return F.grid_sample(a, grid, mode=mode, align_corners=False, padding_mode="border").reshape(1, a.shape[1], *x.shape)


def covered(r, eta, x, y, width, height):
    """Returns whether the moved region covers the points (x, y), by looking up their source points in the full-size mask."""
    sx, sy = source_of(r, eta, x, y)
    inside = (sx >= 0) & (sx <= width) & (sy >= 0) & (sy <= height)
    return inside & (sample(r["mask"][None, None], sx, sy, width, height, "nearest")[0, 0] > .5)


def cells(height, width, size, device):
    y, x = torch.meshgrid((torch.arange(height // size, device=device) + .5) * size, (torch.arange(width // size, device=device) + .5) * size, indexing="ij")
    return x, y


def fill(z, hole):
    """Fills the cells of `hole` (h, w) inwards from the cells around it."""
    z, known = z.clone(), (~hole).float()[None, None]
    while known.min() < 1 and known.max() > 0:
        total, count = F.avg_pool2d(z * known, 3, 1, 1), F.avg_pool2d(known, 3, 1, 1)
        new = (known < .5) & (count > 0)
        z = torch.where(new, total / count.clamp(min=1e-6), z); known = torch.where(new, torch.ones_like(known), known)
    return z


def prepare(z, z0, a, regions, p, height, width, dump):
    """Prepares the start of the drag, beyond the paper. vacated: the vacated area gets noise of the surrounding background; copy: the object's noise is copied
    to its target."""
    out, g = z.clone(), torch.Generator().manual_seed(p["seed"] + 1)
    x1, y1 = cells(height, width, 1, z.device)
    touched = lambda r, eta: F.max_pool2d(covered(r, eta, x1, y1, width, height).float()[None, None], 8)[0, 0] > .5
    objects = [r for r in regions if r["type"] != "deformation"]
    if p["vacated"] and objects:
        before = torch.stack([touched(r, 0) for r in objects]).any(0)
        after = torch.stack([touched(r, 1) for r in regions]).any(0)
        noise = dump["vacated_noise"] = torch.randn(z.shape, generator=g).to(z.device)
        back = a.sqrt() * fill(z0, before) + (1 - a).sqrt() * noise
        out = torch.where(before & ~after, back, out)
    if p["copy"]:
        x8, y8 = cells(height, width, 8, z.device)
        for r in regions:
            out = torch.where(covered(r, 1, x8, y8, width, height), sample(z, *source_of(r, 1, x8, y8), width, height, "nearest"), out)
    return out


# ---------------------------------------------------------------- the edit

def edit(m, x, regions, prompt="", editable=None, p=None, hooks=None, dump=None):
    """Edits x (1, 3, H, W) in -1..1. regions: dicts with mask (H, W) float, type, handle, target, center or angle; editable: (H, W) bool,
    None (the swept area) or "everything". Returns the image and the seconds of each stage."""
    p, dump = {**DEFAULTS, **(p or {})}, {} if dump is None else dump
    clock, times = Clock(m.device), {}
    height, width = x.shape[-2:]
    regions = [r for r in regions if not still(r)]
    if p["ramp"] is None:
        p["ramp"] = 0 if p["copy"] else 5
    c, z0 = m.encode_text(prompt), m.encode(x)
    dump.update(context=c, z0=z0)
    times["encode"] = clock.lap()
    if p["lora_steps"]:
        fine_tune(m, z0, c, p, dump); merge_lora(m)
    if m.keep_gradients:
        m.unet.requires_grad_(True)
    times["lora"] = clock.lap()
    hooks = hooks or Hooks(m.unet, p["start_layer"])
    n = round(p["strength"] * p["steps"]); stride = 1000 // p["steps"]
    t_of = lambda i: stride * (n - 1 - i) + 1                     # step i = 0..n-1 in execution order, noisiest first
    a_at = lambda t: m.alphas[max(t, 0)]

    def move(z, e, s, t):                                         # deterministic DDIM between any two timesteps
        x0 = (z - (1 - a_at(s)).sqrt() * e) / a_at(s).sqrt()
        return a_at(t).sqrt() * x0 + (1 - a_at(t)).sqrt() * e

    with torch.no_grad():
        z = z0
        for i in reversed(range(n)):                              # inversion: predict at the destination time
            z = move(z, m.predict(z, t_of(i), c), t_of(i) - stride, t_of(i))
    dump["z_T"] = z
    times["invert"] = clock.lap()
    gx, gy = cells(height, width, 2, m.device)                    # the supervision grid: half the image
    if editable is None:                                          # the swept area with a margin
        swept = torch.stack([covered(r, k / 32, gx, gy, width, height) for r in regions for k in range(33)]).any(0).float() if regions else torch.zeros_like(gx)
        grow = max(1, p["margin"] // 2)
        editable = F.interpolate(F.max_pool2d(swept[None, None], 2 * grow + 1, 1, grow), (height, width), mode="nearest")[0, 0] > .5
    frozen = None if isinstance(editable, str) else 1 - F.interpolate(editable[None, None].float().to(m.device), z.shape[-2:], mode="nearest")

    def features(z, t):
        hooks.features, hooks.collect = [], True
        e = m.predict(z, t, c)
        hooks.collect = False
        return [hooks.features[k - 1].float() for k in p["taps"]], e

    ref = z
    z = prepare(ref, z0, a_at(t_of(0)), regions, p, height, width, dump)
    dump["prepared"] = z
    if frozen is not None: dump["frozen"] = frozen
    hold = lambda z: torch.where(frozen > .5, ref, z) if frozen is not None and p["hard_background"] else z
    z, iteration_ms = hold(z), []
    for i in range(n):
        t = t_of(i)
        if i < p["timesteps"] and regions:
            with torch.no_grad():
                f_ref, e_ref = features(ref, t); x_ref = move(ref, e_ref, t, t - stride)
            z = z.detach().requires_grad_(True); opt = torch.optim.Adam([z], lr=p["lr"])
            for k in range(p["iterations"]):
                t0 = time.perf_counter()
                eta = min(1.0, (p["iterations"] * i + k + 1) / (p["iterations"] * p["ramp"])) if p["ramp"] else 1.0
                f, e = features(z, t); loss = 0
                for r in regions:
                    q = covered(r, eta, gx, gy, width, height)
                    if q.any():
                        here, there = (gx[q], gy[q]), source_of(r, eta, gx[q], gy[q])
                        for now, then in zip(f, f_ref):
                            loss = loss + p["loss_scale"] / len(f) * (sample(now, *here, width, height) - sample(then, *there, width, height)).abs().mean()
                if frozen is not None:
                    loss = loss + p["mask_weight"] * ((move(z, e, t, t - stride) - x_ref).abs() * frozen).sum()
                opt.zero_grad(); (loss * m.scale).backward(); z.grad /= m.scale
                if i == k == 0:
                    dump.update(first_loss=loss.detach(), first_gradient=z.grad.clone(), first_latent=z.detach().clone())
                opt.step(); z.data = hold(z.data)
                dump[f"drag.loss.{i}.{k}"] = loss.detach()
                if m.device.type == "cuda": torch.cuda.synchronize()
                iteration_ms.append((time.perf_counter() - t0) * 1e3)
            z = z.detach(); times["drag"] = times.get("drag", 0) + clock.lap()
            dump[f"dragged.{i}"] = z
        with torch.no_grad():
            hooks.mutual = i >= p["timesteps"]
            e = m.predict(torch.cat([ref, z]), t, c)
            hooks.mutual = False
            ref, z = move(ref, e[:1], t, t - stride), move(z, e[1:], t, t - stride)
        times["denoise"] = times.get("denoise", 0) + clock.lap()
    dump["z_end"] = z
    y = dump["decoded"] = m.decode(z)
    if not isinstance(editable, str):                             # outside: the input; inside: fades in over a few pixels
        inside = editable[None, None].float().to(m.device)
        for _ in range(p["feather"]):
            inside = torch.minimum(inside, F.avg_pool2d(inside, 3, 1, 1, count_include_pad=False))
        inside = torch.where(editable.to(m.device), inside, torch.zeros_like(inside))
        y = x + (y - x) * inside
    dump["image"] = y
    times["decode"] = clock.lap()
    times["iteration_ms"] = float(np.median(iteration_ms)) if iteration_ms else 0.0
    return y, times


class Clock:
    def __init__(self, device):
        self.device, self.t = device, time.perf_counter()

    def lap(self):
        if self.device.type == "cuda": torch.cuda.synchronize()
        now = time.perf_counter(); d, self.t = now - self.t, now
        return d


# ---------------------------------------------------------------- files

def shape_mask(shape, size, folder):
    im = Image.new("L", size); draw = ImageDraw.Draw(im); (kind, s), = shape.items()
    if kind == "mask": im = Image.open(folder / s).convert("L"); assert im.size == size, "mask of another size"
    elif kind == "ellipse": draw.ellipse([s[0] - s[2], s[1] - s[3], s[0] + s[2], s[1] + s[3]], fill=255)
    elif kind == "rect": draw.rectangle(s, fill=255)
    elif kind == "polygon": draw.polygon([tuple(q) for q in s], fill=255)
    else: raise SystemExit(f"unknown shape {kind}")
    return torch.from_numpy(np.asarray(im, np.float32) / 255)


def read_drag(path, size, device="cpu"):
    d, folder, regions = json.load(open(path)), pathlib.Path(path).parent, []
    if odd := set(d) - {"$schema", "version", "prompt", "editable", "regions", "settings", "comment"}:
        raise SystemExit(f"unknown keys {sorted(odd)}")
    for r in d["regions"]:
        if odd := set(r) - {"id", "type", "region", "handle", "target", "center", "angle"}:
            raise SystemExit(f"unknown keys {sorted(odd)}")
        regions.append({**r, "mask": shape_mask(r["region"], size, folder).to(device)})
    editable = d.get("editable")
    if isinstance(editable, dict):
        editable = shape_mask(editable, size, folder) > .5
    return d.get("prompt", ""), regions, editable, d.get("settings", {})


def edit_file(m, image, drag, out, p, dump=None):
    im = Image.open(image).convert("RGB")
    x = torch.from_numpy(np.asarray(im, np.float32) / 127.5 - 1).permute(2, 0, 1)[None].to(m.device)
    prompt, regions, editable, settings = read_drag(drag, im.size, m.device)
    y, times = edit(m, x, regions, prompt, editable, p={**m.settings, **settings, **p}, dump=dump)
    Image.fromarray(((y[0].permute(1, 2, 0).cpu().numpy() + 1) * 127.5 + .5).clip(0, 255).astype(np.uint8)).save(out)
    return times


def bench(args, p, dtype):
    released = args.mode == "released"
    m = Model(args.model, args.device, torch.float32 if released else dtype, dtype if released and dtype != torch.float32 else None)
    m.keep_gradients, s, rows = released, args.size, []
    base = copy.deepcopy(m.unet)
    x = torch.rand(1, 3, s, s, device=m.device) * 2 - 1
    yy, xx = torch.meshgrid(torch.arange(s), torch.arange(s), indexing="ij")
    mask = (((xx - s / 2) ** 2 + (yy - s / 2) ** 2) < (s / 6) ** 2).float().to(m.device)
    regions = [{"type": "translation", "mask": mask, "handle": [s / 2, s / 2], "target": [s * .65, s / 2]}]
    editable = torch.ones(s, s, dtype=torch.bool); editable[: s // 8] = False
    hooks = None
    if args.mode == "compiled":                                   # one network for all repeats, hence no LoRA; the first repeat compiles and is not timed
        m.unet.to(memory_format=torch.channels_last); hooks, p = Hooks(m.unet, p.get("start_layer", DEFAULTS["start_layer"])), {**p, "lora_steps": 0}
        m.unet.forward = torch.compile(m.unet.forward)
    for repeat in range(-1 if args.mode == "compiled" else 0, args.repeat):
        if hooks is None: m.unet = copy.deepcopy(base)
        if m.device.type == "cuda": torch.cuda.reset_peak_memory_stats()
        _, times = edit(m, x, regions, editable=editable, p=p, hooks=hooks)
        z, c, clock = torch.randn(2, 4, s // 8, s // 8, device=m.device), m.encode_text(""), Clock(m.device)
        with torch.no_grad():
            for b in (1, 2):
                for _ in range(3): m.predict(z[:b], 500, c)
                clock.lap(); [m.predict(z[:b], 500, c) for _ in range(10)]
                times[f"unet_b{b}_ms"] = clock.lap() * 100
        times["total"] = sum(times[k] for k in ("encode", "lora", "invert", "drag", "denoise", "decode"))
        if m.device.type == "cuda": times["peak_bytes"] = torch.cuda.max_memory_allocated()
        if repeat >= 0: rows.append(times)
    print(json.dumps({"mode": args.mode, "dtype": args.dtype, "size": s, **{k: sorted(r[k] for r in rows)[len(rows) // 2] for k in rows[0]}}))


def main():
    ap = argparse.ArgumentParser(); sub = ap.add_subparsers(dest="command", required=True)
    e = sub.add_parser("edit"); [e.add_argument(a) for a in ("model", "image", "drag", "out")]; e.add_argument("--dump")
    t = sub.add_parser("suite"); [t.add_argument(a) for a in ("model", "suite", "out")]; t.add_argument("--only", default="")
    b = sub.add_parser("bench"); b.add_argument("model"); b.add_argument("--size", type=int, default=512)
    b.add_argument("--mode", choices=["eager", "compiled", "released"], default="eager"); b.add_argument("--repeat", type=int, default=3)
    for q in (e, t, b):
        q.add_argument("--device", default="cpu"); q.add_argument("--dtype", choices=["f32", "f16", "bf16"], default="f32")
        q.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE")
    args = ap.parse_args()
    dtype = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}[args.dtype]
    p = {k: json.loads(v) for k, v in (s.split("=") for s in args.set)}
    if odd := set(p) - set(DEFAULTS):
        raise SystemExit(f"unknown settings {sorted(odd)}")
    if args.command == "bench":
        return bench(args, p, dtype)
    m = Model(args.model, args.device, dtype)
    if args.command == "edit":
        dump = {} if args.dump else None
        print(json.dumps(edit_file(m, args.image, args.drag, args.out, p, dump)))
        if args.dump:
            from safetensors.torch import save_file
            save_file({k: v.detach().contiguous().cpu().clone() for k, v in dump.items()}, args.dump)
        return
    base, rows, out = copy.deepcopy(m.unet), [], pathlib.Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    for case in sorted(q.parent for q in pathlib.Path(args.suite).glob("*/drag.json")):
        if args.only and not any(case.name.startswith(o) for o in args.only.split(",")): continue
        m.unet = copy.deepcopy(base)
        rows.append(edit_file(m, case / "input.png", case / "drag.json", out / f"{case.name}.png", p))
    print(json.dumps({"cases": len(rows), **{k: round(float(np.median([r.get(k, 0) for r in rows])), 3) for k in rows[0]}}))


if __name__ == "__main__":
    main()
