"""The same edit in PyTorch and diffusers: the reference for results, and the peer for speed.

    python3 torch_edit.py edit MODEL IMAGE DRAG.json OUT.png [--device cpu] [--dtype f32] [--set KEY=VALUE ...] [--warped FILE] [--dump FILE.safetensors]
    python3 torch_edit.py warp IMAGE DRAG.json OUT.png                           writes the warped picture alone
    python3 torch_edit.py suite MODEL SUITE OUT_DIR [--set KEY=VALUE ...]        runs every case of a SceneBench suite; --warped DIR has CASE.png
    python3 torch_edit.py bench MODEL|sd15 [--size 512] [--device cuda] [--dtype bf16] [--mode eager|compiled|released] [--repeat 3]

MODEL is a diffusers folder, whose dragnext.json may hold its own defaults; `sd15` has the shapes of Stable Diffusion 1.5 and random weights.
Needs torch, diffusers, transformers, peft, safetensors, numpy, Pillow. regions.py has drag files and motions, warp.py the warped picture and the detail.

- `edit` follows DragNeXt (arXiv 2506.07611) with a kept trajectory (Direct Inversion, arXiv 2310.01506), as described in the crate documentation. --dump
  writes the random inputs that another implementation needs to repeat the edit (LoRA start, timesteps, noise), and the results to compare.
- Settings have the program's names and defaults, but for three: `object` is `drawn`, `seams` are `hard`, `fill` is `smooth`. The others are not written
  again here; with them, --warped names the program's own warped picture (`dragnext preview --warped`). Its new pixels are then those of the drawn hole.
  The modes `literal` and `literal-strict` are not here either, and pictures are not resized.
- `bench` prints seconds per stage, milliseconds per call and peak memory as one line of JSON. The total leaves out the warped picture, which is not made
  to be fast. Modes: eager = frozen UNet, SDPA, merged LoRA; compiled = eager with channels-last and torch.compile, after an edit that is not timed;
  released = as in public code of such methods: f32 weights under autocast, with gradients of all weights.
"""
import argparse, contextlib, copy, json, math, pathlib, time
import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from regions import cells, covered, read_drag, source_of, still, swept, touched, vacates
from warp import carry, new_cells, warped_picture

DEFAULTS = dict(steps=50, strength=0.75, timesteps=None, ramp=None, iterations=None, lr=None, mask_weight=0.2, loss_scale=10.0, start="warped", features="warped",
                trajectory=None, vacated_noise=None, object="drawn", seams="hard", fill="smooth", detail=None, start_layer=10, lora_steps=None, lora_rank=16, lora_lr=5e-4,
                lora_batch=4, taps=(3,), seed=0, margin=24, feather=4, hard_background=True,
                text_optimisation="off", text_lr=0.004, text_weight=0.1)
# None: goes with the start. A warped start is corrected and kept, the others are dragged in the papers' form.
DRAG = dict(timesteps=5, iterations=10, lr=2e-2, lora_steps=70, vacated_noise=1.0, trajectory="denoised", detail=0.0)
WITH_START = {"warped": dict(timesteps=15, iterations=3, lr=1e-2, lora_steps=0, vacated_noise=0.6, trajectory="kept", detail=1.0, ramp=0),
              "moved": dict(DRAG, ramp=0), "paper": dict(DRAG, ramp=5)}
RING, DECAY, PATIENCE = 1, 0.9, 2                                 # of the correction: cells around the regions, length of a step, iterations without a smaller loss


def resolve(given):
    """Returns all settings, those that are not given at their defaults."""
    p = {**DEFAULTS, **{k: v for k, v in given.items() if v != "auto"}}
    return {**p, **{k: v for k, v in WITH_START[p["start"]].items() if p[k] is None}}


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
            return self.unet(z.to(self.dtype), t, c if len(c) == len(z) else c.repeat(len(z), 1, 1)).sample.float()


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


# ---------------------------------------------------------------- starts

def sample(a, x, y, width, height):
    """Samples a (1, C, h, w), which covers the image, at image points (N), bilinearly and clamped at the border: (1, C, N)."""
    grid = torch.stack([x / width * 2 - 1, y / height * 2 - 1], -1).reshape(1, 1, -1, 2).to(a.dtype)
    return F.grid_sample(a, grid, mode="bilinear", align_corners=False, padding_mode="border")[:, :, 0]


def fill(z, hole):
    """Fills the cells of `hole` (h, w) inwards from the cells around it."""
    z, known = z.clone(), (~hole).float()[None, None]
    while known.min() < 1 and known.max() > 0:
        total, count = F.avg_pool2d(z * known, 3, 1, 1), F.avg_pool2d(known, 3, 1, 1)
        new = (known < .5) & (count > 0)
        z = torch.where(new, total / count.clamp(min=1e-6), z); known = torch.where(new, torch.ones_like(known), known)
    return z


def noised(z, z0, content, a, share, dump, seed):
    """Returns content with the noise that z has over z0, of which a share is fresh (RegionDrag, arXiv 2407.18247)."""
    fresh = dump["vacated_noise"] = torch.randn(z.shape, generator=torch.Generator().manual_seed(seed + 1)).to(z.device)
    own = (z - a.sqrt() * z0) / (1 - a).sqrt()
    return a.sqrt() * content + (1 - a).sqrt() * ((1 - share ** 2) ** .5 * own + share * fresh)


def moved_start(z, z0, a, regions, p, dump):
    """Copies the noise of every region to its target. Returns the latent, the cell that each cell's content comes from, and which cells are new."""
    h, w = z.shape[-2:]
    height, width = 8 * h, 8 * w
    before, after = touched([r for r in regions if vacates(r)], 0, height, width, z.device), touched(regions, 1, height, width, z.device)
    new, sources = before & ~after, torch.arange(h * w, device=z.device).view(h, w)
    x, y = cells(height, width, 8, z.device)
    for r in regions:
        sx, sy = ((v / 8).long().clamp(0, n - 1) for v, n in zip(source_of(r, 1, x, y), (w, h)))
        here = covered(r, 1, x, y)
        sources, new = torch.where(here, sy * w + sx, sources), new & ~here
    out = torch.where(new, noised(z, z0, fill(z0, before), a, p["vacated_noise"], dump, p["seed"]), moved(z, sources))
    return out, sources, new


def moved(z, sources):
    """Returns z (1, C, h, w) with every cell's content taken from the cell in `sources` (h, w)."""
    return z.flatten(2)[:, :, sources.flatten()].view(z.shape)


# ---------------------------------------------------------------- the edit

def edit(m, x, regions, prompt="", editable=None, p=None, hooks=None, dump=None, given=None):
    """Edits x (1, 3, H, W) in -1..1. regions: dicts with mask (H, W) float, type, handle, target, ...; editable: (H, W) bool, None (the swept area) or
    "everything"; given: a warped picture (3, H, W) uint8 to use. Returns the image and the seconds of each stage."""
    p, dump = resolve(p or {}), {} if dump is None else dump
    clock, times = Clock(m.device), {}
    height, width = x.shape[-2:]
    regions = [r for r in regions if not still(r)]
    if editable is None:
        editable = swept(regions, p["margin"], height, width, m.device)
    if p["start"] == "warped" or p["detail"]:
        if given is None and (p["object"], p["seams"], p["fill"]) != ("drawn", "hard", "smooth"):
            raise SystemExit("other settings than object=drawn seams=hard fill=smooth need the program's warped picture: --warped FILE")
        own, new_pixels = warped_picture((x[0] + 1) / 2, regions, editable)
        dump["warped"] = (own if given is None else given).to(m.device)
        xw = dump["warped"].float()[None] / 127.5 - 1
        times["warp"] = clock.lap()
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

    @torch.no_grad()
    def invert(z):                                                # predicts at the destination time; all latents, [0] the noisiest and [n] the clean one
        latents = [z]
        for i in reversed(range(n)):
            latents.insert(0, move(latents[0], m.predict(latents[0], t_of(i), c), t_of(i) - stride, t_of(i)))
        return latents

    if p["start"] == "warped":
        zw = dump["z0.warped"] = m.encode(xw)
        trajectory = invert(zw)
        originals = invert(z0) if p["features"] == "original" and p["timesteps"] else None
    else:
        trajectory, zw = invert(z0), z0
    dump["z_T"] = trajectory[0]
    dump.update({f"trajectory.{i}": z for i, z in enumerate(trajectory)} if p["trajectory"] == "kept" else {})
    times["invert"] = clock.lap()

    h, w = z0.shape[-2:]
    corrects, ref, z = p["start"] == "warped", trajectory[0], trajectory[0]
    sources, new = torch.arange(h * w, device=m.device).view(h, w), torch.zeros(h, w, dtype=torch.bool, device=m.device)
    if p["start"] == "moved":
        z, sources, new = moved_start(z, z0, a_at(t_of(0)), regions, p, dump)
    elif p["start"] == "warped":
        new = dump["new"] = new_cells(new_pixels).to(m.device)
        z = torch.where(new, noised(z, zw, zw, a_at(t_of(0)), p["vacated_noise"], dump, p["seed"]), z) if p["vacated_noise"] else z
    dump["prepared"] = z
    timesteps = p["timesteps"]
    if corrects and p["features"] == "warped" and not (p["vacated_noise"] and new.any()):
        timesteps = 0                                             # the features are right already
    frozen = None if isinstance(editable, str) else 1 - F.interpolate(editable[None, None].float().to(m.device), (h, w), mode="nearest")
    if corrects:                                                  # only cells near the regions are corrected
        near = (touched(regions, 0, height, width, m.device) | touched(regions, 1, height, width, m.device)).float()[None, None]
        far = 1 - F.max_pool2d(near, 2 * RING + 1, 1, RING)
        frozen = far if frozen is None else torch.maximum(frozen, far)
    if frozen is not None: dump["frozen"] = frozen
    hold = lambda z, to: torch.where(frozen > .5, to, z) if frozen is not None else z
    if p["hard_background"]:
        z = hold(z, ref)
    gx, gy = cells(height, width, 2, m.device)                    # the supervision grid: half the image

    def features(z, t, text=c):
        hooks.features, hooks.collect = [], True
        e = m.predict(z, t, text)
        hooks.collect = False
        return [hooks.features[k - 1].float() for k in p["taps"]], e

    def loss_of(z, t, eta, f_ref, x_ref, in_place, text):
        """Returns the feature loss, and the sum with the mask term."""
        f, e = features(z, t, text); loss = 0
        for r in regions:
            q = covered(r, eta, gx, gy)
            if q.any():
                here = gx[q], gy[q]
                there = here if in_place else source_of(r, eta, *here)
                for now, then in zip(f, f_ref):
                    loss = loss + p["loss_scale"] / len(f) * (sample(now, *here, width, height) - sample(then, *there, width, height)).abs().mean()
        if frozen is None: return loss, loss
        return loss, loss + p["mask_weight"] * ((move(z, e, t, t - stride) - x_ref).abs() * frozen).sum()

    optimises_text = p["text_optimisation"] != "off"              # beside the latent (DragText, arXiv 2407.17843), anew at every timestep
    if optimises_text:
        words = m.tokenizer([prompt], padding="max_length", max_length=m.tokenizer.model_max_length).input_ids[0].index(m.tokenizer.eos_token_id)

    def text_gradients(drag, loss, z, text):
        """Returns the gradients of the latent and of the text embedding, whose words are held."""
        rest = p["text_weight"] * (c[:, :words] - text[:, :words]).abs().sum()
        gradients = lambda of: torch.autograd.grad(of, (z, text), retain_graph=True)
        if p["text_optimisation"] == "joint": return gradients(loss + rest)
        (gz, gc), (_, wc) = gradients(loss), gradients(drag + rest)
        return gz, wc if p["text_optimisation"] == "clean" else gc + wc

    iteration_ms = []

    def optimise(z, i, f_ref, x_ref):
        """The iterations at one timestep: Adam, or, from a start that is right in most places, steps along the gradient of a given length, which shrink."""
        z, text = z.detach().requires_grad_(True), c.clone().requires_grad_(optimises_text)
        best, text_opt = (math.inf, z.detach().clone(), c), torch.optim.Adam([text], lr=p["text_lr"]) if optimises_text else None
        opt, lr, worse = torch.optim.Adam([z], lr=p["lr"]), p["lr"], 0
        for k in range(p["iterations"]):
            t0, done = time.perf_counter(), p["iterations"] * i + (0 if corrects else k) + 1
            eta = min(1.0, done / (p["iterations"] * p["ramp"])) if p["ramp"] else 1.0
            drag, loss = loss_of(z, t_of(i), eta, f_ref, x_ref, corrects and p["features"] == "warped", text)
            own = text.detach().clone()
            if optimises_text:
                z.grad, text.grad = text_gradients(drag, loss, z, text)
                text_opt.step()
                dump[f"text.{i}.{k}"] = text.detach().clone()
            else:
                z.grad = None; (loss * m.scale).backward(); z.grad /= m.scale
            if i == k == 0:
                dump.update(first_loss=loss.detach(), first_gradient=z.grad.clone(), first_latent=z.detach().clone())
            dump[f"drag.loss.{i}.{k}"] = loss.detach()
            if corrects:
                better = loss.item() < best[0]
                best, worse = ((loss.item(), z.detach().clone(), own), 0) if better else (best, worse + 1)
                if worse > PATIENCE or loss.item() == 0: break
                g = hold(z.grad, torch.zeros_like(z))
                moving = g[g != 0].double()
                if len(moving): z.data -= lr / moving.square().mean().sqrt().float() * g
                lr *= DECAY
            else:
                opt.step()
                if p["hard_background"]: z.data = hold(z.data, ref)
            if m.device.type == "cuda": torch.cuda.synchronize()
            iteration_ms.append((time.perf_counter() - t0) * 1e3)
        return best[1:] if corrects else (z.detach(), text.detach())

    def corrected(ref, z, i):
        """After step i: the reference returns to its trajectory, and the edit gets the same correction, new cells at first only a part of it."""
        lost = trajectory[i + 1] - ref
        share = torch.where(new, 1 - p["vacated_noise"] * (1 - (i + 1) / n), 1.)
        return trajectory[i + 1], z + share * moved(lost, sources)

    text = c
    for i in range(n):
        t = t_of(i)
        if i < timesteps and regions:
            with torch.no_grad():
                f_ref, e_ref = features(ref, t); x_ref = move(ref, e_ref, t, t - stride)
                if corrects and p["features"] == "original": f_ref, _ = features(originals[i], t)
            z, text = optimise(z, i, f_ref, x_ref); times["drag"] = times.get("drag", 0) + clock.lap()
            dump[f"dragged.{i}"] = z
        with torch.no_grad():
            hooks.mutual = i >= timesteps
            e = m.predict(torch.cat([ref, z]), t, torch.cat([c, text]) if optimises_text else c)
            hooks.mutual = False
            ref, z = move(ref, e[:1], t, t - stride), move(z, e[1:], t, t - stride)
            if p["trajectory"] == "kept": ref, z = corrected(ref, z, i)
        times["denoise"] = times.get("denoise", 0) + clock.lap()
    if optimises_text: dump["text"] = text
    dump["z_end"] = z
    y = dump["decoded"] = m.decode(z)
    if p["detail"]:
        seen = dump["seen"] = m.decode(zw if p["start"] == "warped" else m.encode(xw))
        y = dump["detailed"] = carry((y[0] + 1) / 2, (seen[0] + 1) / 2, (xw[0] + 1) / 2, p["detail"])[None] * 2 - 1
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

def read_picture(path):
    """Returns a picture (3, H, W) in 8 bits."""
    return torch.from_numpy(np.array(Image.open(path).convert("RGB"))).permute(2, 0, 1)


def write_picture(x, path):
    """Writes x (3, H, W) in 8 bits."""
    Image.fromarray(x.permute(1, 2, 0).cpu().numpy()).save(path)


def edit_file(m, image, drag, out, p, dump=None, given=None):
    im = read_picture(image)
    prompt, regions, editable, settings = read_drag(drag, (im.shape[2], im.shape[1]), m.device)
    x = im.float()[None].to(m.device) / 127.5 - 1
    own = {k: v for k, v in m.settings.items() if k != "vacated_noise" or {**settings, **p}.get("start", "warped") == "warped"}
    y, times = edit(m, x, regions, prompt, editable, {**own, **settings, **p}, dump=dump, given=given)
    write_picture(((y[0] + 1) * 127.5 + .5).clamp(0, 255).to(torch.uint8), out)
    return times


def warp_file(image, drag, out, p):
    """Writes the warped picture. Returns the share of every pixel that is new."""
    im = read_picture(image)
    _, regions, editable, settings = read_drag(drag, (im.shape[2], im.shape[1]))
    regions = [r for r in regions if not still(r)]
    if editable is None:
        editable = swept(regions, resolve({**settings, **p})["margin"], *im.shape[1:])
    picture, new = warped_picture(im / 255, regions, editable)
    write_picture(picture, out)
    return new


def setting(text):
    """Returns name and value of NAME=VALUE; a value that is not JSON is a word."""
    name, value = text.split("=")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


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
    e = sub.add_parser("edit"); [e.add_argument(a) for a in ("model", "image", "drag", "out")]; e.add_argument("--dump"); e.add_argument("--warped")
    w = sub.add_parser("warp"); [w.add_argument(a) for a in ("image", "drag", "out")]
    t = sub.add_parser("suite"); [t.add_argument(a) for a in ("model", "suite", "out")]; t.add_argument("--only", default=""); t.add_argument("--warped", type=pathlib.Path)
    b = sub.add_parser("bench"); b.add_argument("model"); b.add_argument("--size", type=int, default=512)
    b.add_argument("--mode", choices=["eager", "compiled", "released"], default="eager"); b.add_argument("--repeat", type=int, default=3)
    for q in (e, t, b, w):
        q.add_argument("--device", default="cpu"); q.add_argument("--dtype", choices=["f32", "f16", "bf16"], default="f32")
        q.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE")
    args = ap.parse_args()
    dtype = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}[args.dtype]
    p = dict(setting(s) for s in args.set)
    if odd := set(p) - set(DEFAULTS):
        raise SystemExit(f"unknown settings {sorted(odd)}")
    if args.command == "bench":
        return bench(args, p, dtype)
    if args.command == "warp":
        warp_file(args.image, args.drag, args.out, p)
        return
    m = Model(args.model, args.device, dtype)
    if args.command == "edit":
        dump = {} if args.dump else None
        print(json.dumps(edit_file(m, args.image, args.drag, args.out, p, dump, read_picture(args.warped) if args.warped else None)))
        if args.dump:
            from safetensors.torch import save_file
            save_file({k: v.detach().contiguous().cpu().clone() for k, v in dump.items()}, args.dump)
        return
    base, rows, out = copy.deepcopy(m.unet), [], pathlib.Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    for case in sorted(q.parent for q in pathlib.Path(args.suite).glob("*/drag.json")):
        if args.only and not any(case.name.startswith(o) for o in args.only.split(",")): continue
        m.unet = copy.deepcopy(base)
        given = read_picture(args.warped / f"{case.name}.png") if args.warped else None
        rows.append(edit_file(m, case / "input.png", case / "drag.json", out / f"{case.name}.png", p, given=given))
    print(json.dumps({"cases": len(rows), **{k: round(float(np.median([r.get(k, 0) for r in rows])), 3) for k in rows[0]}}))


if __name__ == "__main__":
    main()
