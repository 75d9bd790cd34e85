"""The methods that move latents instead of optimising them, in PyTorch and diffusers: RegionDrag (arXiv 2407.18247) and FastDrag (arXiv 2405.15769).

    python3 torch_copies.py edit region-drag|fast-drag MODEL IMAGE DRAG.json OUT.png [--set KEY=VALUE ...] [--dump FILE.safetensors]
    python3 torch_copies.py suite region-drag|fast-drag MODEL SUITE OUT_DIR [--set KEY=VALUE ...]      runs every case of a SceneBench suite

Settings have the program's names and defaults; MODEL's dragnext.json is left aside, and there is no LoRA. f32 on the CPU. Needs torch_edit.py and regions.py.
--dump writes the random inputs that another implementation needs to repeat the edit (context, inversion_noise.K, vacated_noise), and the results to compare:
z0, frozen, z_end, decoded; region-drag also hook.K and noises.K (level K from below), cells (targets, sources), leaving (share of noise), prepared, level.K;
fast-drag also trajectory.K (0 the noisiest), sources (-1: empty), prepared (filled), denoised.K.
"""
import argparse, json, pathlib
import torch
import torch.nn.functional as F
from regions import cells, covered, forward, read_drag, source_of, still, swept
from torch_edit import Model, read_picture, setting, write_picture

SETTINGS = {"region-drag": dict(steps=20, strength=0.5, noise_scale="auto", margin=24, feather=4, seed=0),
            "fast-drag": dict(steps=10, strength=0.7, trajectory="denoised", empty_cells="interpolated", margin=24, feather=4, seed=0)}
LEAVING, DEFORMED = 1.0, 0.2                                      # shares of noise that `auto` stands for


class Keys:
    """Makes self-attentions keep keys and values under a label (`keep`) or read them (`reuse`), from the block number `first` on in execution order."""

    def __init__(self, unet, decoder_only):
        self.bank, self.keep, self.reuse = {}, None, None
        names = sorted((n for n, _ in unet.named_modules() if n.endswith("attn1")), key=lambda n: ("down", "mid_", "up_b").index(n[:4]))
        modules = dict(unet.named_modules())
        for number, name in enumerate(names):
            if name.startswith("up_") or not decoder_only:
                modules[name].processor = self._processor(number)

    def _processor(self, number):
        keys = self

        class Processor:
            def __call__(self, attn, x, encoder_hidden_states=None, attention_mask=None, temb=None, **_):
                q, k, v = attn.to_q(x), attn.to_k(x), attn.to_v(x)
                if keys.keep is not None: keys.bank[keys.keep, number] = k, v
                if keys.reuse is not None: k, v = (y.expand(len(x), -1, -1) for y in keys.bank[keys.reuse, number])
                b, n, c = q.shape
                split = lambda y: y.reshape(b, -1, attn.heads, c // attn.heads).transpose(1, 2)
                o = F.scaled_dot_product_attention(split(q), split(k), split(v)).transpose(1, 2).reshape(b, n, c)
                return attn.to_out[1](attn.to_out[0](o))
        return Processor()


class Edit:
    """What both methods share: the network with its stored keys, the schedule, random numbers, and the dump."""

    def __init__(self, m, x, regions, editable, p, context, dump):
        self.m, self.regions, self.p, self.context, self.dump = m, regions, p, context, dump
        self.height, self.width = x.shape[-2:]
        self.h, self.w = self.height // 8, self.width // 8
        self.area, self.generator = editable, torch.Generator().manual_seed(p["seed"] + 2)
        self.stride, self.n = 1000 // p["steps"], max(1, round(p["strength"] * p["steps"]))
        self.frozen = torch.zeros(self.h, self.w) if editable is None else 1 - editable[::8, ::8].float()
        self.calls = 0
        dump["frozen"] = self.frozen

    def noise(self, name, shape):
        self.dump[name] = n = torch.randn(shape, generator=self.generator)
        return n

    def alpha(self, t): return self.m.alphas[max(t, 0)]

    def predict(self, z, t):
        self.calls += len(z)
        return self.m.predict(z, t, self.context)

    def move(self, z, e, s, t):                                   # deterministic step from timestep s to t
        x0 = (z - (1 - self.alpha(s)).sqrt() * e) / self.alpha(s).sqrt()
        return self.alpha(t).sqrt() * x0 + (1 - self.alpha(t)).sqrt() * e


# ---------------------------------------------------------------- RegionDrag

def moved_cells(e):
    """Returns latent cells as row * w + column: targets, for each its source, and for every cell the share of noise that it gets as it is left."""
    pairs, share = {}, torch.zeros(e.h * e.w)
    index = lambda x, y: ((y / 8).long().clamp(0, e.h - 1) * e.w + (x / 8).long().clamp(0, e.w - 1)).tolist()
    x, y = cells(e.height, e.width, 8)
    for r in e.regions:
        scale = e.p["noise_scale"]
        if scale == "auto": scale = DEFORMED if r["type"] == "deformation" else LEAVING
        after, before = covered(r, 1.0, x, y), covered(r, 0.0, x, y)
        sources = index(*source_of(r, 1.0, x[after], y[after]))
        pairs.update(zip(index(x[after], y[after]), sources))
        for cell in sources + index(x[before], y[before]):
            share[cell] = max(share[cell], scale)
    return torch.tensor(list(pairs)), torch.tensor(list(pairs.values())), share


@torch.no_grad()
def region_drag(e, z):
    """Up through noise that is kept, so that the way down would lead back exactly; down with the regions' cells copied at every level, reading the original's keys."""
    keys, alpha, dump = Keys(e.m.unet, decoder_only=False), e.alpha, e.dump
    lows = [round(i * 999 / e.p["steps"]) for i in range(1, e.n + 1)]
    up = [(s, min(s + e.stride, 999)) for s in lows]
    target, source, share = moved_cells(e)
    dump.update(cells=torch.stack([target, source]), leaving=share)
    flat = lambda v: v.flatten(2)
    sigma = lambda s, t: ((1 - alpha(s)) / (1 - alpha(t))).sqrt() * (1 - alpha(t) / alpha(s)).sqrt()

    def mean(z, n, s, t):                                         # of the stochastic step from t down to s
        x0 = (z - (1 - alpha(t)).sqrt() * n) / alpha(t).sqrt()
        return alpha(s).sqrt() * x0 + (1 - alpha(s) - sigma(s, t) ** 2).sqrt() * n

    hooks, kept = [], []
    for k, (s, t) in enumerate(up):
        ratio = alpha(t) / alpha(s)
        hook = ratio.sqrt() * z + (1 - ratio).sqrt() * e.noise(f"inversion_noise.{k}", z.shape)
        keys.keep = k
        kept.append((z - mean(hook, e.predict(hook, t), s, t)) / sigma(s, t))
        hooks.append(hook); z = hook
        dump.update({f"hook.{k}": hook, f"noises.{k}": kept[-1]})
    keys.keep = None
    fresh = flat(e.noise("vacated_noise", z.shape))
    z = (flat(z) * (1 - share ** 2).clamp(min=0).sqrt() + fresh * share).view_as(z)
    dump["prepared"] = z
    for k, (s, t) in reversed(list(enumerate(up))):
        z = z.clone()
        flat(z)[:, :, target] = flat(hooks[k])[:, :, source]
        z = torch.where(e.frozen > .5, hooks[k], z)
        keys.reuse = k
        z = mean(z, e.predict(z, t), s, t) + sigma(s, t) * kept[k]
        dump[f"level.{k}"] = z
    return z


# ---------------------------------------------------------------- FastDrag

def pair_of(r):
    """Returns handle and target of a region, (x, y) in the picture."""
    if "handle" in r: x, y = r["handle"]
    elif "handles" in r: x, y = r["handles"][0]
    else:
        inside = (r["mask"] > .5).nonzero().double() + .5
        y, x = inside[(inside - torch.tensor(r["center"][::-1])).norm(dim=1).argmax()].tolist()
    if "handles" in r: return (x, y), tuple(r["targets"][0])
    gx, gy = forward(r, 1.0, torch.tensor(x, dtype=torch.float64), torch.tensor(y, dtype=torch.float64))
    return (x, y), (gx.item(), gy.item())


def stretch(inside, pairs):
    """Returns for every cell the cell whose content it has after the warp, or -1. `pairs` of (row, column) in cells; a cell at a handle moves by the whole drag, one on
    the circle around the cells that may move by nothing."""
    h, w = inside.shape
    cell = inside.nonzero().double()
    low, high = cell.amin(0), cell.amax(0)
    centre, radius = (low + high) / 2, ((high - low) / 2).norm()
    shift, weight = 0., 0.
    for a, b in pairs:
        ac = cell - a; length = ac.norm(dim=1)
        along = (ac * (a - centre)).sum(1) / length.clamp(min=1e-12)
        reach = (radius ** 2 - (a - centre).norm() ** 2 + along ** 2).clamp(min=0).sqrt() - along   # from the handle through the cell to the circle
        strength = torch.where(length < 1e-6, 1., (1 - length / reach.clamp(min=1e-6)).clamp(0, 1))
        near = 1 / (length + 1e-4)
        shift, weight = shift + (near * strength)[:, None] * (b - a), weight + near
    goal = cell + shift / weight[:, None]
    assert ((goal % 1 - .5).abs() > 1e-4).all(), "a goal halfway between two cells"
    goal = goal.round().long().clamp(torch.zeros(2, dtype=torch.long), torch.tensor([h - 1, w - 1]))
    sources, taken = torch.where(inside.flatten(), -1, torch.arange(h * w)), set()
    for (r, c), to in zip(cell.long().tolist(), (goal[:, 0] * w + goal[:, 1]).tolist()):
        if to not in taken:                                       # the first to arrive stays
            taken.add(to); sources[to] = r * w + c
    return sources


def fill_from_sides(z, valid):
    """Empty cells in raster order: mean of the nearest cell with content on each of the four sides, weighted by 1 / distance. Filled cells count from then on."""
    z, valid = z.clone(), valid.clone()
    h, w = valid.shape
    for r, c in (~valid).nonzero().tolist():
        near = []
        for dr, dc in ((0, -1), (0, 1), (-1, 0), (1, 0)):
            k = 1
            while 0 <= r + k * dr < h and 0 <= c + k * dc < w:
                if valid[r + k * dr, c + k * dc]:
                    near.append((1 / k, z[:, :, r + k * dr, c + k * dc])); break
                k += 1
        if near:
            z[:, :, r, c] = sum(k * v for k, v in near) / sum(k for k, _ in near); valid[r, c] = True
    return z


@torch.no_grad()
def fast_drag(e, z):
    """One warp of the inverted latent; denoised with the keys and values of the inversion in the decoder's self-attentions."""
    keys, dump, latents = Keys(e.m.unet, decoder_only=True), e.dump, [z]
    grid = [e.stride * (e.n - 1 - i) + 1 for i in range(e.n)]     # noisiest first
    for t in reversed(grid):                                      # predicts at the destination time
        keys.keep = t
        latents.append(e.move(latents[-1], e.predict(latents[-1], t), t - e.stride, t))
    keys.keep, latents = None, latents[::-1]
    dump.update({f"trajectory.{k}": v for k, v in enumerate(latents)})
    area = torch.ones(e.height, e.width) if e.area is None else e.area.float()
    inside = F.max_pool2d(area[None, None], 8)[0, 0] > .5
    cell = lambda q: torch.tensor([q[1] / 8 - .5, q[0] / 8 - .5], dtype=torch.float64)
    sources = stretch(inside, [tuple(map(cell, pair_of(r))) for r in e.regions])
    own = torch.arange(len(sources))
    at = torch.where(sources < 0, own, sources)
    warped, empty = latents[0].flatten(2)[:, :, at].view_as(z), (sources < 0).view(e.h, e.w)
    if e.p["empty_cells"] == "interpolated": warped = fill_from_sides(warped, ~empty)
    if e.p["empty_cells"] == "noise": warped = torch.where(empty, e.noise("vacated_noise", z.shape), warped)
    ref, z = latents[0], warped
    dump.update(sources=sources, prepared=z)
    for i, t in enumerate(grid):
        keys.reuse = t
        if e.p["trajectory"] == "denoised":
            z = e.move(z, e.predict(z, t), t, t - e.stride)
        else:                                                     # what the reference loses is given back, to an empty cell the more the later
            both = torch.cat([ref, z])
            after, z = e.move(both, e.predict(both, t), t, t - e.stride).split(1)
            ref = latents[i + 1]
            lost = ((ref - after).flatten(2)[:, :, at]).view_as(z)
            fades = empty if e.p["empty_cells"] != "kept" else torch.zeros_like(empty)
            z = z + torch.where(fades, (i + 1) / e.n, 1.) * lost
        dump[f"denoised.{i}"] = z
    return z


# ---------------------------------------------------------------- the edit

def edit_file(m, method, image, drag, out, given, dump=None):
    """Writes the edited picture; returns the number of latents that went through the network."""
    dump = {} if dump is None else dump
    im = read_picture(image)
    prompt, regions, editable, settings = read_drag(drag, (im.shape[2], im.shape[1]))
    if odd := {*settings, *given} - {*SETTINGS[method], "size"}: raise SystemExit(f"{method} has no settings {sorted(odd)}")
    p = {**SETTINGS[method], **settings, **given}
    regions = [r for r in regions if not still(r)]
    if editable is None: editable = swept(regions, p["margin"], *im.shape[1:])
    if isinstance(editable, str): editable = None
    x = im.float()[None] / 127.5 - 1
    dump["context"] = context = m.encode_text(prompt)
    dump["z0"] = z0 = m.encode(x)
    e = Edit(m, x, regions, editable, p, context, dump)
    dump["z_end"] = z = {"region-drag": region_drag, "fast-drag": fast_drag}[method](e, z0)
    dump["decoded"] = y = m.decode(z)
    if editable is not None:                                      # outside: the input; inside: fades in over a few pixels
        inside = editable[None, None].float()
        for _ in range(p["feather"]): inside = torch.minimum(inside, F.avg_pool2d(inside, 3, 1, 1, count_include_pad=False))
        y = x + (y - x) * torch.where(editable, inside, torch.zeros_like(inside))
    write_picture(((y[0] + 1) * 127.5 + .5).clamp(0, 255).to(torch.uint8), out)
    return e.calls


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    sub = ap.add_subparsers(dest="command", required=True)
    e = sub.add_parser("edit"); [e.add_argument(a) for a in ("method", "model", "image", "drag", "out")]; e.add_argument("--dump")
    s = sub.add_parser("suite"); [s.add_argument(a) for a in ("method", "model", "suite", "out")]
    for q in (e, s): q.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE"); q.add_argument("--threads", type=int, default=1)
    args = ap.parse_args()
    torch.set_num_threads(args.threads)
    m, given = Model(args.model, "cpu", torch.float32), dict(map(setting, args.set))
    if args.command == "edit":
        dump = {}
        print(json.dumps({"forward": edit_file(m, args.method, args.image, args.drag, args.out, given, dump)}))
        if args.dump:
            from safetensors.torch import save_file
            save_file({k: v.contiguous() for k, v in dump.items()}, args.dump)
        return
    out = pathlib.Path(args.out); out.mkdir(parents=True, exist_ok=True)
    for case in sorted(q.parent for q in pathlib.Path(args.suite).glob("*/drag.json")):
        if not (out / f"{case.name}.png").exists():
            calls = edit_file(m, args.method, case / "input.png", case / "drag.json", out / f"{case.name}.png", given)
            print(json.dumps({"case": case.name, "forward": calls}), flush=True)


if __name__ == "__main__":
    main()
