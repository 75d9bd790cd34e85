"""The calls that bench.py measures, in PyTorch and diffusers: their inputs, implementation and operation counts."""
import contextlib, copy, json, pathlib, re, resource, sys, tempfile, time

import numpy as np
import torch
import torch.nn.functional as F
from fixtures import HERE, fresh, normal
from safetensors.torch import load_file, save_file
from torch_edit import Hooks, Model, edit_file

UNET_CALLS, VAE_CALLS = ("unet_b1", "unet_b2", "unet_mutual_b2", "drag", "drag_noise", "lora"), ("vae_encode", "vae_decode")
TAP, MUTUAL_START, BATCH, RANK = 3, 10, 4, 16
PROJECTIONS = ["to_q", "to_k", "to_v", "to_out.0"]


def folder(model):
    return HERE.parents[1] / "assets/demo" if model == "demo" else pathlib.Path(model)


class Reached(Exception):
    """Raised when the decoder stage of the drag has its output, to skip the rest of the network."""


class Calls:
    """A UNet or a VAE with the inputs of its calls."""

    def __init__(self, inputs, unet=None, vae=None, channels_last=False, lora_at_once=BATCH):
        self.unet, self.vae, self.lora_at_once, self.has_adapters = unet, vae, lora_at_once, False
        layout = lambda v: v.contiguous(memory_format=torch.channels_last) if channels_last and v.dim() == 4 else v
        self.inputs = {k: layout(v) for k, v in inputs.items()}
        if channels_last:
            (unet or vae).to(memory_format=torch.channels_last)
        if unet is not None:
            self.hooks, self.stop = Hooks(unet, MUTUAL_START), False
            unet.up_blocks[TAP - 1].register_forward_hook(self._reached)

    def _reached(self, module, inputs, output):
        if self.stop:
            raise Reached

    def prepare(self, call):
        """Attaches or removes the LoRA adapters, outside the measurement."""
        if (call == "lora") != self.has_adapters and self.unet is not None:
            self.has_adapters = not self.has_adapters
            attach(self.unet, self.inputs["lora.start"]) if self.has_adapters else self.unet.unload_lora()

    def run(self, call):
        return getattr(self, call)()

    @torch.no_grad()
    def forward(self, batch, mutual=False):
        i, self.hooks.mutual = self.inputs, mutual
        noise = self.unet(i["z"][:batch], i["t"][:batch], i["context"][:batch]).sample
        self.hooks.mutual = False
        return {"noise": noise}

    unet_b1 = lambda self: self.forward(1)
    unet_b2 = lambda self: self.forward(2)
    unet_mutual_b2 = lambda self: self.forward(2, mutual=True)

    def drag(self, with_noise=False):
        i, hooks, noise = self.inputs, self.hooks, None
        z, hooks.features, hooks.collect, self.stop = i["z"][:1].detach().requires_grad_(), [], True, not with_noise
        with contextlib.suppress(Reached):
            noise = self.unet(z, i["t"][:1], i["context"][:1]).sample
        hooks.collect = self.stop = False
        tap = hooks.features[TAP - 1]
        found = {"tap": tap, "noise": noise} if with_noise else {"tap": tap}
        torch.autograd.backward(list(found.values()), [i["d_" + k] for k in found])
        return {**{k: v.detach() for k, v in found.items()}, "gradient": z.grad}

    drag_noise = lambda self: self.drag(with_noise=True)

    def lora(self):
        i, parameters, losses = self.inputs, adapters(self.unet), []
        for q in parameters:
            q.grad = None
        for s in range(0, BATCH, self.lora_at_once):
            t, noise = i["lora.t"][s:s + self.lora_at_once], i["lora.noise"][s:s + self.lora_at_once]
            a = i["alphas"][t].view(-1, 1, 1, 1)
            noisy = a.sqrt() * i["lora.latent"] + (1 - a).sqrt() * noise
            loss = F.mse_loss(self.unet(noisy, t, i["context"][:1].repeat(len(t), 1, 1)).sample, noise) * (len(t) / BATCH)
            loss.backward(); losses.append(loss.detach())
        return {"loss": sum(losses).reshape(1), "gradient": torch.cat([q.grad.flatten() for q in parameters])}

    @torch.no_grad()
    def vae_encode(self):
        return {"mean": self.vae.encode(self.inputs["image"]).latent_dist.mean * self.vae.config.scaling_factor}

    @torch.no_grad()
    def vae_decode(self):
        return {"picture": self.vae.decode(self.inputs["latent"] / self.vae.config.scaling_factor).sample}


def attach(unet, start):
    from peft import LoraConfig
    unet.add_adapter(LoraConfig(r=RANK, lora_alpha=RANK, target_modules=PROJECTIONS))
    parameters = adapters(unet)
    for q, values in zip(parameters, start.split([q.numel() for q in parameters]), strict=True):
        q.data = values.reshape(q.shape).clone(); q.requires_grad_()


def adapters(unet):
    """Returns the matrices of the adapters in execution order."""
    return in_order((n, q) for n, q in unet.named_parameters() if "lora_" in n)


def in_order(named):
    """Sorts modules by execution order: encoder, middle, decoder."""
    return [x for _, x in sorted(named, key=lambda item: ("down", "mid_", "up_b").index(item[0][:4]))]


# ---------------------------------------------------------------- the reference


def make_inputs(unet, size):
    rng, side, c = np.random.default_rng(1), size // 8, unet.config
    taps = {"d_tap": normal(rng, 1, c.block_out_channels[-TAP], side, side)}        # with four levels, stage 3 has the height and width of the latent
    projections = in_order((n, m) for n, m in unet.named_modules() if n.endswith(tuple("." + p for p in PROJECTIONS)))
    start = [normal(rng, n).div(d) for m in projections for n, d in ((RANK * m.in_features, RANK), (RANK * m.out_features, 4 * m.out_features ** .5))]
    x = F.interpolate(normal(rng, 1, 3, side, side), (size, size), mode="bilinear").clamp(-1, 1)
    return {"z": normal(rng, 2, 4, side, side), "t": torch.tensor([741, 21]), "context": normal(rng, 1, 77, c.cross_attention_dim).repeat(2, 1, 1), **taps,
            "d_noise": normal(rng, 1, 4, side, side), "lora.latent": normal(rng, 1, 4, side, side), "lora.t": torch.tensor([999, 601, 261, 1]),
            "lora.noise": normal(rng, BATCH, 4, side, side), "lora.start": torch.cat(start), "image": x, "latent": normal(rng, 1, 4, side, side)}


def alphas(dtype):
    betas = torch.linspace(.00085 ** .5, .012 ** .5, 1000, dtype=torch.float64) ** 2
    return torch.cumprod(1 - betas, 0).to(dtype)


def parts(root, inputs, dtype=torch.float32, **options):
    """Yields the calls of each part of the model, and a function that loads the part."""
    inputs = {"alphas": alphas(dtype), **{k: v.to(dtype) if v.is_floating_point() else v for k, v in inputs.items()}}
    yield UNET_CALLS, lambda: Calls(inputs, unet=fresh(root).to(dtype), **options)
    yield VAE_CALLS, lambda: Calls(inputs, vae=fresh(root, "vae").to(dtype), **options)


def operations(root, inputs):
    """Returns the operations of every call, counted on meta tensors; an attention counts as two matrix products."""
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode
    counts, inputs = {}, {k: v.to("meta") for k, v in {"alphas": alphas(torch.float32), **inputs}.items()}
    with torch.device("meta"):
        nets = {name: kind.from_config(kind.load_config(root, subfolder=name)).eval().requires_grad_(False)
                for name, kind in (("unet", UNet2DConditionModel), ("vae", AutoencoderKL))}
        for call in UNET_CALLS + VAE_CALLS:
            name = "vae" if call in VAE_CALLS else "unet"
            calls = Calls(inputs, **{name: nets[name]})
            calls.prepare(call)
            with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
                calls.run(call)
            counts[call] = counter.get_total_flops()
            if calls.has_adapters: calls.unet.unload_lora()
    return counts


def reference(args):
    root, dtype = folder(args.model), torch.float64 if args.f64 else torch.float32
    inputs = make_inputs(fresh(root), args.size)
    numbers = dict(inputs)
    for names, load in parts(root, inputs, dtype, lora_at_once=args.lora_at_once):
        wanted = [c for c in names if not args.calls or c in args.calls]
        calls = load() if wanted else None
        for call in wanted:
            calls.prepare(call)
            numbers.update({f"{call}.{k}": v.float() for k, v in calls.run(call).items()})
        del calls
    numbers.update({f"flop.{k}": torch.tensor([v]) for k, v in operations(root, inputs).items()})
    save_file({k: v.detach().contiguous() for k, v in numbers.items()}, args.out)


# ---------------------------------------------------------------- serving calls


def measured(work):
    """Returns the result of `work`, and its cost as examples/bench measures it."""
    with contextlib.suppress(OSError):
        pathlib.Path("/proc/self/clear_refs").write_text("5")
    before, start = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    found = work()
    seconds, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF)
    peak = re.search(r"VmHWM:\s*(\d+) kB", pathlib.Path("/proc/self/status").read_text())
    return found, {"seconds": seconds, "minor_faults": after.ru_minflt - before.ru_minflt, "major_faults": after.ru_majflt - before.ru_majflt,
                   "peak_bytes": int(peak[1]) * 1024}


def agreement(got, expected):
    got, expected = got.double().flatten(), expected.double().flatten()
    return {"relative": ((got - expected).norm() / expected.norm()).item(), "cosine": F.cosine_similarity(got, expected, 0).item()}


class WholeEdit:
    """An edit by torch_edit.py, with a fresh copy of the network each time."""

    def __init__(self, root, files, channels_last):
        self.model, (self.picture, self.drag) = Model(str(root), "cpu", torch.float32), files
        for net in (self.model.unet, self.model.vae) if channels_last else ():
            net.to(memory_format=torch.channels_last)
        self.fresh = copy.deepcopy(self.model.unet)

    def prepare(self, call):
        self.model.unet = None
        self.model.unet = copy.deepcopy(self.fresh)

    def run(self, call):
        with tempfile.TemporaryDirectory() as t:
            return edit_file(self.model, self.picture, self.drag, pathlib.Path(t) / "out.png", {})


def serve(args):
    torch.set_num_threads(args.threads)
    root, numbers, loaded, part = folder(args.model), load_file(args.reference), None, None
    known = list(parts(root, numbers, channels_last=args.channels_last, lora_at_once=args.lora_at_once))
    known.append((["edit"], lambda: WholeEdit(root, args.edit, args.channels_last)))
    for line in sys.stdin:
        call, check = line.split()[-1], line.startswith("check ")
        wanted = next(k for k, (names, _) in enumerate(known) if call in names)
        if loaded != wanted:                                      # one part at a time, as in examples/bench
            part = None; part, loaded = known[wanted][1](), wanted
        part.prepare(call)
        found, cost = measured(lambda: part.run(call))
        reply = {"call": call, "agreement": {}, **cost}
        if call == "edit":
            reply["stages"] = {k: {"seconds": v} for k, v in found.items() if k != "iteration_ms"}
            reply["seconds"] = sum(s["seconds"] for s in reply["stages"].values())
        elif check:
            reply["agreement"] = {f"{call}.{k}": agreement(v, numbers[f"{call}.{k}"]) for k, v in found.items() if f"{call}.{k}" in numbers}
        found = None
        print(json.dumps(reply), flush=True)
