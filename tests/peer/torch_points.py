"""The methods that drag points, in PyTorch and diffusers: DragDiffusion (arXiv 2306.14435) and GoodDrag (arXiv 2404.07206), both with DragText (arXiv 2407.17843), CLIPDrag (arXiv
2410.03097, torch_clip.py), FreeDrag (arXiv 2307.04684, torch_free.py) and DragNoise (arXiv 2404.01050, torch_noise.py).

    python3 torch_points.py edit drag-diffusion|good-drag|clip-drag|free-drag|drag-noise MODEL IMAGE DRAG.json OUT.png [--set KEY=VALUE ...] [--clip FOLDER] [--dump FILE.safetensors]
    python3 torch_points.py suite drag-diffusion|good-drag|clip-drag|free-drag|drag-noise MODEL SUITE OUT_DIR [--set KEY=VALUE ...]      runs every case of a SceneBench suite

Settings have the program's names and defaults; MODEL's dragnext.json is left aside. f32 on the CPU. Needs torch_edit.py and regions.py.
--dump writes the random inputs that another implementation needs to repeat the edit (context, lora.*), and the results to compare: z0, z_T, frozen, points.handles
and points.targets (row, column), at step I and iteration K handles.I.K (as the loss uses them), handles.I.track.J (after a tracking of good-drag), loss.I.K,
gradient.I.K, latent.I.K (after the update), text_gradient.I.K, text.I.K; places.M (of free-drag, row and column of the points after move M), settled; bottleneck.own and
bottleneck (of drag-noise, before and after); then dragged.I, z_end, decoded. Passes of one latent are printed as JSON.
"""
import argparse, copy, json, math, pathlib
import torch
import torch.nn.functional as F
from regions import forward, read_drag, still, swept
from torch_clip import CLIP_DRAG, Clip, clip_drag
from torch_free import FREE_DRAG, free_drag
from torch_noise import DRAG_NOISE, Middle, drag_noise
from torch_edit import Hooks, Model, fine_tune, merge_lora, read_picture, setting, write_picture

COMMON = dict(steps=50, start_layer=10, taps=(3,), seed=0, margin=24, feather=4, lora_rank=16, lora_lr=5e-4, lora_batch=4, hard_background=True, trajectory="denoised",
              text_optimisation="off", text_lr=0.004, text_weight=0.1, degree=1)
SETTINGS = {"drag-diffusion": dict(COMMON, strength=0.7, lr=0.01, iterations=80, motion_radius=1, track_radius=3, reach=1, mask_weight=0.1, lora_steps=80),
            "good-drag": dict(COMMON, strength=0.75, lr=0.02, timesteps=7, tracks=10, iterations=3, motion_radius=4, track_radius=12, reach=4, mask_weight=0.2,
                              stall_limit=10, loss_threshold=0, lora_steps=70),
            "clip-drag": dict(COMMON, **CLIP_DRAG), "free-drag": {**COMMON, **FREE_DRAG}, "drag-noise": {**COMMON, **DRAG_NOISE}}
ARRIVED = 2                                                       # grid cells


def pair_of(r):
    """Returns handle and target of a region, (x, y) in the picture; of one that has no handle, its pixel furthest from the centre moves."""
    if "handles" in r: return r["handles"][0], r["targets"][0]
    if "handle" in r: x, y = r["handle"]
    else:
        inside = (r["mask"] > .5).nonzero().double() + .5
        y, x = inside[(inside - torch.tensor(r["center"][::-1])).norm(dim=1).argmax()].tolist()
    gx, gy = forward(r, 1.0, torch.tensor(x, dtype=torch.float64), torch.tensor(y, dtype=torch.float64))
    return (x, y), (gx.item(), gy.item())


class Edit:
    """One edit: the network, the schedule, where things are on the grids, what was counted and written down."""

    def __init__(self, m, x, method, regions, area, p, context, words, dump):
        self.m, self.method, self.p, self.c, self.words, self.dump = m, method, p, context, words, dump
        height, width = x.shape[-2:]
        self.grid, self.stride = (height // 2, width // 2), 1000 // p["steps"]
        self.n, self.calls = round(p["strength"] * p["steps"]), {"forward": 0, "backward": 0}
        cell = lambda q: torch.tensor([q[1] / 2 - .5, q[0] / 2 - .5]).round().clamp(torch.zeros(2), torch.tensor(self.grid) - 1.)
        self.handles, self.targets = ([cell(q) for q in side] for side in zip(*map(pair_of, regions)))
        self.frozen = None if area is None else 1 - F.interpolate(area[None, None].float(), (height // 8, width // 8), mode="nearest")
        if area is not None: dump["frozen"] = self.frozen
        dump.update({"points.handles": torch.stack(self.handles), "points.targets": torch.stack(self.targets)})
        self.hooks, self.middle = Hooks(m.unet, p["start_layer"]), Middle(m.unet)

    def t_of(self, i): return self.stride * (self.n - 1 - i) + 1  # executed step i = 0..n-1, noisiest first

    def a_at(self, t): return self.m.alphas[max(t, 0)]

    def move(self, z, e, s, t):                                   # deterministic step between any two timesteps
        x0 = (z - (1 - self.a_at(s)).sqrt() * e) / self.a_at(s).sqrt()
        return self.a_at(t).sqrt() * x0 + (1 - self.a_at(t)).sqrt() * e

    def step(self, z, e, i): return self.move(z, e, self.t_of(i), self.t_of(i) - self.stride)

    def predict(self, z, t, c=None):
        c = self.c if c is None else c
        self.calls["forward"] += z.shape[0]
        return self.m.unet(z, t, c if c.shape[0] == z.shape[0] else c.repeat(z.shape[0], 1, 1)).sample

    def features(self, z, t, c=None):
        """Returns decoder features on the supervision grid, and the noise prediction of the same pass."""
        self.hooks.features, self.hooks.collect = [], True
        e = self.predict(z, t, c)
        self.hooks.collect = False
        return torch.cat([F.interpolate(self.hooks.features[k - 1], self.grid, mode="bilinear") for k in self.p["taps"]], 1), e

    def gradient(self, loss, *of):
        self.calls["backward"] += 1
        return torch.autograd.grad(loss, of, retain_graph=True, allow_unused=True)

    def mask_term(self, z, e, i, x_ref):
        return 0. if self.frozen is None else self.p["mask_weight"] * ((self.step(z, e, i) - x_ref) * self.frozen).abs().sum()

    def hold(self, z, ref):
        return torch.where(self.frozen > .5, ref, z) if self.frozen is not None and self.p["hard_background"] else z

    @torch.no_grad()
    def invert(self, z):
        """Predicts at the destination time. Returns all latents, the noisiest first."""
        latents = [z]
        for i in reversed(range(self.n)):
            latents.insert(0, self.move(latents[0], self.predict(latents[0], self.t_of(i)), self.t_of(i) - self.stride, self.t_of(i)))
        return latents


# ---------------------------------------------------------------- motion supervision and tracking

def patch(f, p, r, d=(0., 0.)):
    """Returns (1, C, 2r+1, 2r+1) of f around p, shifted by a real d: four crops blended; coordinates are clamped."""
    picks, weights = [], []
    for axis in (0, 1):
        at = p[axis] - r + d[axis]; low = math.floor(at)
        weights.append((low + 1 - at, at - low))
        picks.append([(torch.arange(2 * r + 1) + low + k).clamp(0, f.shape[2 + axis] - 1) for k in (0, 1)])
    return sum(f[:, :, picks[0][i]][:, :, :, picks[1][j]] * (weights[0][i] * weights[1][j]) for i in (0, 1) for j in (0, 1))


def far(p, g): return (g - p).norm() >= ARRIVED


def done(e, points): return not any(far(q, g) for q, g in zip(points, e.targets))


def motion(e, f, points, source, origins):
    """Returns the sum over the points that have not arrived, and their number: features ahead of each should become those of `source` at its origin."""
    r, loss, active = e.p["motion_radius"], 0., 0
    factor = (2 * r) ** 2 if e.method == "good-drag" else (2 * r + 1) ** 2
    for q, g, o in zip(points, e.targets, origins):
        if far(q, g):
            ahead = (g - q) / (g - q).norm() * min(e.p["reach"], (g - q).norm())
            loss, active = loss + factor * (patch(source, o, r).detach() - patch(f, q, r, ahead)).abs().mean(), active + 1
    return loss, active


@torch.no_grad()
def track(e, f, points, source):
    """Each point goes to the cell of the window around it whose feature is nearest to that of its handle in `source`."""
    out, r = [], e.p["track_radius"]
    for q, h in zip(points, e.handles):
        (r1, r2), (c1, c2) = ((max(0, int(v) - r), min(s, int(v) + r + 1)) for v, s in zip(q, f.shape[2:]))
        cost = (source[:, :, int(h[0]), int(h[1])][:, :, None, None] - f[:, :, r1:r2, c1:c2]).abs().sum(1)[0]
        two = cost.flatten().topk(2, largest=False).values
        e.margin = min(e.margin, ((two[1] - two[0]) / two[0].clamp(min=1e-3)).item())
        k = cost.argmin().item()
        out.append(torch.tensor([r1 + k // cost.shape[1], c1 + k % cost.shape[1]], dtype=torch.float32))
    return out


# ---------------------------------------------------------------- optimisation

class Descent:
    """Adam over the latent, and over the text embedding where it is optimised."""

    def __init__(self, e, z):
        self.e, self.p = e, e.p
        self.z, self.c, self.carried = z.clone().requires_grad_(), e.c.clone(), 0
        self.opt = torch.optim.Adam([self.z], lr=e.p["lr"])
        if self.text != "off": self.text_opt = torch.optim.Adam([self.c.requires_grad_()], lr=e.p["text_lr"])

    @property
    def text(self): return self.p["text_optimisation"]

    def regulariser(self, active):
        words = (self.e.c[:, :self.e.words] - self.c[:, :self.e.words]).abs().sum()
        return self.p["text_weight"] * (active if self.text == "code" and self.e.method == "drag-diffusion" else 1) * words

    def gradients(self, drag, loss, active):
        """Returns the gradients of the latent and of the text embedding."""
        e, z, c = self.e, self.z, self.c
        if self.text == "off": return e.gradient(loss, z)[0], None
        rest = self.regulariser(active)
        if self.text == "joint": return e.gradient(loss + rest, z, c)
        gz, gc = e.gradient(loss, z, c)
        wz, wc = e.gradient(drag + rest, z, c)
        if self.text == "clean": return gz, wc
        before, self.carried = self.carried, wz if e.method == "drag-diffusion" else 0
        return gz + before, gc + wc

    def update(self, drag, loss, active, ref, name):
        gz, gc = self.gradients(drag, loss, active)
        for opt, of, g in ((self.opt, self.z, gz), *(((self.text_opt, self.c, gc),) if gc is not None else ())):
            of.grad = g; opt.step(); of.grad = None
        self.z.data = self.e.hold(self.z.data, ref)
        dump = self.e.dump
        dump.update({f"loss.{name}": loss.detach(), f"gradient.{name}": gz.clone(), f"latent.{name}": self.z.detach().clone()})
        if gc is not None: dump.update({f"text_gradient.{name}": gc.clone(), f"text.{name}": self.c.detach().clone()})


def drag_diffusion(e, z_t):
    """The latent of the noisiest timestep is optimised. Returns it and the text embedding."""
    t = e.t_of(0)
    with torch.no_grad():
        f0, n0 = e.features(z_t, t); x_ref = e.step(z_t, n0, 0)
    d, points = Descent(e, z_t), e.handles
    for k in range(e.p["iterations"]):
        f, n = e.features(d.z, t, d.c)
        if k: points = track(e, f, points, f0)
        e.dump[f"handles.0.{k}"] = torch.stack(points)
        if done(e, points): break
        drag, active = motion(e, f, points, f, points)
        d.update(drag, drag + e.mask_term(d.z, n, 0, x_ref), active, z_t, f"0.{k}")
    return d.z.detach(), d.c.detach()


def good_drag_step(e, z, ref, i, f_ref, x_ref, points):
    """A number of updates at step i, then tracking, again and again. Adam and the text start anew."""
    p, d, inner, tracks, k = e.p, Descent(e, z), 0, 0, 0
    while tracks < p["tracks"]:
        f, n = e.features(d.z, e.t_of(i), d.c)
        if k == 0: points = track(e, f, points, f_ref)
        e.dump[f"handles.{i}.{k}"] = torch.stack(points)
        if done(e, points) or e.stalled == p["stall_limit"]:
            e.dragging = False; break
        drag, active = motion(e, f, points, f_ref, e.handles)
        d.update(drag, drag + e.mask_term(d.z, n, i, x_ref), active, ref, f"{i}.{k}")
        inner, k = inner + 1, k + 1
        if inner == p["iterations"] or drag <= p["loss_threshold"] * (2 * p["motion_radius"]) ** 2:
            before, points = points, track(e, f.detach(), points, f_ref)   # in the features of before this update
            e.stalled = 0 if any((a != b).any() for a, b in zip(before, points)) else e.stalled + 1
            e.dump[f"handles.{i}.track.{tracks}"] = torch.stack(points)
            inner, tracks = 0, tracks + 1
    return d.z.detach(), points, d.c.detach()


def drag(e, trajectory):
    """Returns the latent at the end."""
    p, ref, z, c2, points, h = e.p, trajectory[0], trajectory[0], None, e.handles, None
    e.dragging, e.stalled, e.margin, good = True, 0, math.inf, e.method == "good-drag"
    if e.method == "clip-drag": z = e.dump["dragged.0"] = clip_drag(e, z, e.clip, e.goal)
    elif e.method == "free-drag": z = e.dump["dragged.0"] = free_drag(e, z)
    elif e.method == "drag-noise":
        own, h = drag_noise(e, z)
        h = own + p["degree"] * (h - own) if p["degree"] else None
    elif not good:
        z, c2 = drag_diffusion(e, z)
        e.dump["dragged.0"] = z
    mutual = not good

    def at_degree(z):                                             # and the embedding: as far from the reference as the drag led, or less far, or further (DragText)
        return ref + p["degree"] * (z - ref), None if c2 is None else e.c + p["degree"] * (c2 - e.c)

    if not good: z, c2 = at_degree(z)
    for i in range(e.n):
        if good and i < p["timesteps"] and e.dragging and e.stalled != p["stall_limit"]:
            with torch.no_grad():
                f, n = e.features(ref, e.t_of(i))
            z, points, c2 = good_drag_step(e, z, ref, i, f, e.step(ref, n, i), points)
            e.dump[f"dragged.{i}"] = z
        elif good:
            if not mutual: z, c2 = at_degree(z)
            mutual = True                                         # the drag's own denoising steps go without
        with torch.no_grad():
            e.hooks.mutual, e.middle.given = mutual, h if i < e.n - p.get("free_steps", 0) else None
            n = e.predict(torch.cat([ref, z]), e.t_of(i), None if p["text_optimisation"] == "off" else torch.cat([e.c, c2]))
            e.hooks.mutual = False; e.middle.given = None
            ref, z = e.step(ref, n[:1], i), e.step(z, n[1:], i)
            if p["trajectory"] == "kept": ref, z = trajectory[i + 1], z + trajectory[i + 1] - ref
    return z


# ---------------------------------------------------------------- the edit

def edit_file(m, method, image, drag_path, out, given, dump=None, clip=None):
    """Edits, writes the picture, and returns the numbers of forward and backward passes of one latent."""
    dump = {} if dump is None else dump
    im = read_picture(image)
    prompt, regions, area, own = read_drag(drag_path, (im.shape[2], im.shape[1]))
    p = {**SETTINGS[method], **{k: v for k, v in {**own, **given}.items() if k in SETTINGS[method]}}
    x, regions = im.float()[None] / 127.5 - 1, [r for r in regions if not still(r)]
    if area is None: area = swept(regions, p["margin"], *im.shape[1:])
    if isinstance(area, str): area = None
    c, z0 = m.encode_text(prompt), m.encode(x)
    ids = m.tokenizer([prompt], padding="max_length", max_length=m.tokenizer.model_max_length).input_ids[0]
    dump.update(context=c, z0=z0)
    if p["lora_steps"]:
        fine_tune(m, z0, c, p, dump); merge_lora(m)
    e = Edit(m, x, method, regions, area, p, c, ids.index(m.tokenizer.eos_token_id), dump)
    e.clip, e.goal = clip, json.loads(pathlib.Path(drag_path).read_text()).get("edit_prompt", prompt)
    trajectory = e.invert(z0)
    dump["z_T"] = trajectory[0]
    z = dump["z_end"] = drag(e, trajectory)
    dump["tracking_margin"] = torch.tensor(e.margin)
    y = dump["decoded"] = m.decode(z)
    if area is not None:                                          # outside: the input; inside: fades in over a few pixels
        inside = area[None, None].float()
        for _ in range(p["feather"]):
            inside = torch.minimum(inside, F.avg_pool2d(inside, 3, 1, 1, count_include_pad=False))
        y = x + (y - x) * torch.where(area, inside, torch.zeros_like(inside))
    write_picture(((y[0] + 1) * 127.5 + .5).clamp(0, 255).to(torch.uint8), out)
    return e.calls


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    sub = ap.add_subparsers(dest="command", required=True)
    e = sub.add_parser("edit"); [e.add_argument(a) for a in ("method", "model", "image", "drag", "out")]; e.add_argument("--dump")
    s = sub.add_parser("suite"); [s.add_argument(a) for a in ("method", "model", "suite", "out")]; s.add_argument("--only", default="")
    for q in (e, s):
        q.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE"); q.add_argument("--threads", type=int, default=1); q.add_argument("--clip")
    args = ap.parse_args()
    if args.method not in SETTINGS: raise SystemExit(f"no method {args.method}")
    torch.set_num_threads(args.threads)
    given = dict(setting(q) for q in args.set)
    if odd := set(given) - set(SETTINGS[args.method]): raise SystemExit(f"{args.method} has no settings {sorted(odd)}")
    if args.method == "clip-drag" and not args.clip: raise SystemExit("clip-drag needs --clip FOLDER")
    m, clip = Model(args.model, "cpu", torch.float32), Clip(args.clip) if args.clip else None
    if args.command == "edit":
        dump = {}
        print(json.dumps(edit_file(m, args.method, args.image, args.drag, args.out, given, dump, clip)))
        if args.dump:
            from safetensors.torch import save_file
            save_file({k.replace(".default.", "."): v.detach().contiguous().clone() for k, v in dump.items()}, args.dump)
        return
    base, out = copy.deepcopy(m.unet), pathlib.Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    for case in sorted(q.parent for q in pathlib.Path(args.suite).glob("*/drag.json")):
        if args.only and not any(case.name.startswith(o) for o in args.only.split(",")): continue
        m.unet = copy.deepcopy(base)
        calls = edit_file(m, args.method, case / "input.png", case / "drag.json", out / f"{case.name}.png", given, None, clip)
        print(json.dumps({"case": case.name, **calls}), flush=True)


if __name__ == "__main__":
    main()
