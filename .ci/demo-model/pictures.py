"""The training pictures of the demo model: SceneBench's scenes and richer ones. A scene is determined by (seed, index).

    PLAIN    as tests/scenebench/scenes.py draws them, including bars of other lengths
    BARS     the same style, mostly bars of 0.7 to 2.2 times their default length, as deformations produce them
    HARD     SceneBench's hard kinds, before or after their edit: background textures, horizons, shadows, hidden parts, poles and strings
    RICH     the rest: objects that cast shadows, overlap, are striped or dotted, vary in colour, or have a horizon behind them; sometimes no object

White and black are more frequent in BARS and RICH than other colours, since VAEs reproduce them worst.

`draw(seed, index)` returns a description as in scenes.py with further keys, `caption` its caption, and `render` a batch of pictures, with PyTorch, so
that a GPU can render them. test.py compares plain scenes with scenes.py.
"""
import math, multiprocessing, pathlib, sys
import numpy as np
import torch

sys.path.append(str(pathlib.Path(__file__).resolve().parents[2] / "tests/scenebench"))
import hard, scenes
from scenes import BACKGROUNDS, COLORS, KINDS

SIZE = 256
PLAIN, BARS, HARD = .30, .15, .35                                 # shares; the rest is RICH
TRAINING, HELD_OUT = 20_000, 99_000                               # seeds


# ---------------------------------------------------------------- descriptions

def plain(seed, index):
    return scenes.sample(np.random.default_rng([seed, index]), SIZE, long_bars=True)


def place(rng, count, kinds, gap):
    """Places objects inside the picture, at least `gap` times the sum of their radii apart."""
    objects, reaches = [], []
    for _ in range(60):
        if len(objects) == count:
            break
        s, kind = float(rng.uniform(22, 48)), str(rng.choice(kinds))
        length = min(s * float(rng.uniform(.7, 2.2)), 100) if kind == "bar" else None
        reach = length + .3 * s if length else s
        edge = min(reach + 9, SIZE / 2 - 1)
        x, y = (float(v) for v in rng.uniform(edge, SIZE - edge, 2))
        if all(math.hypot(x - o["x"], y - o["y"]) > gap * (reach + r) for o, r in zip(objects, reaches)):
            color = str(rng.choice(["white", "black"] if rng.uniform() < .2 else list(COLORS)))
            objects.append({"kind": kind, "color": color, "x": x, "y": y, "s": s, "angle": float(rng.uniform(0, 2 * math.pi))})
            if length:
                objects[-1]["length"] = length
            reaches.append(reach)
    return objects


def of_hard_suite(rng):
    """Returns a scene of a random kind of the hard suite, before or after its edit."""
    kind, number, edited = hard.HARD[str(rng.choice(list(hard.HARD)))], int(rng.integers(12)), None
    while edited is None:
        edited = kind(rng, number)
    scene, moved, _ = edited
    after = moved if rng.uniform() < .5 else {}
    return {**scene, "objects": [after.get(k, o) for k, o in enumerate(scene["objects"])]}


def draw(seed, index):
    rng = np.random.default_rng([seed, index])
    style = rng.uniform()
    if style < PLAIN:
        return scenes.sample(rng, SIZE, long_bars=True)
    if style < PLAIN + HARD:
        return of_hard_suite(rng)
    rich = style >= PLAIN + HARD + BARS
    count = int(rng.integers(1, 4)) if not rich or rng.uniform() > .05 else 0
    kinds = KINDS if rich or rng.uniform() < .3 else ["bar"]
    overlap = rich and rng.uniform() < .4
    names = list(BACKGROUNDS)
    scene = {"background": {"name": str(rng.choice(names)), "contrast": float(rng.uniform()), "angle": float(rng.uniform(0, 2 * math.pi))},
             "objects": place(rng, count, kinds, .45 if overlap else 1.15)}
    if rich and rng.uniform() < .5:
        ground = str(rng.choice([n for n in names if n != scene["background"]["name"]]))
        scene["background"]["ground"] = {"name": ground, "height": float(rng.uniform(.35, .75)), "tilt": float(rng.uniform(-.15, .15))}
    if rich and rng.uniform() < .5:
        scene["light"] = {"angle": float(rng.uniform(0, 2 * math.pi)), "reach": float(rng.uniform(6, 16)), "strength": float(rng.uniform(.15, .4))}
    for o in scene["objects"]:
        if rich and rng.uniform() < .35:
            o["pattern"], o["pitch"] = str(rng.choice(["striped", "dotted"])), float(rng.uniform(14, 24))
        if rich and rng.uniform() < .3:
            o["tint"] = [float(v) for v in rng.uniform(-.05, .05, 3)]
    return scene


def caption(scene):
    """Returns the caption; for plain scenes, that of scenes.py."""
    a = lambda words: ("an " if words[0] in "aeiou" else "a ") + words
    things = [a(f"{o.get('pattern', '')} {o['color']} {o.get('name', o['kind'])}".strip()) for o in scene["objects"]]
    texture = scene["background"].get("texture", {}).get("form", "")
    background = f"{texture} {scene['background']['name']}".strip() + (f" and {scene['background']['ground']['name']}" if "ground" in scene["background"] else "")
    return (" and ".join(things) + " on " if things else "") + a(background) + " background" + (" with light" if "light" in scene and things else "")


def many(seed, count, first=0, kind=draw):
    """Returns `count` descriptions, computed on all cores. Call it before CUDA is used, since it forks."""
    work = [(seed, i) for i in range(first, first + count)]
    if count < 2000:
        return [kind(*w) for w in work]
    with multiprocessing.get_context("fork").Pool() as pool:
        return pool.starmap(kind, work, chunksize=500)


# ---------------------------------------------------------------- pictures

def box(x, y, a, b):
    qx, qy = x.abs() - a, y.abs() - b
    return torch.hypot(qx.clamp(min=0), qy.clamp(min=0)) + torch.maximum(qx, qy).clamp(max=0)


def distance(kind, x, y, s, length):
    """Returns signed distances as in scenes.py, for objects of one kind: x, y (n, H, W); s, length (n, 1, 1)."""
    if kind == "box":
        return box(x, y, .8 * s, .8 * s)
    if kind == "bar":
        return torch.hypot((x.abs() - length).clamp(min=0), y) - .3 * s
    if kind == "cross":
        return torch.minimum(box(x, y, s, .33 * s), box(x, y, .33 * s, s))
    if kind == "triangle":
        return torch.stack([x * math.cos(a) + y * math.sin(a) for a in (math.pi / 2, math.pi * 7 / 6, math.pi * 11 / 6)]).amax(0) - .55 * s
    r = torch.hypot(x, y)
    if kind == "disc":
        return r - s
    if kind == "ring":
        return (r - .75 * s).abs() - .25 * s
    if kind == "moon":
        return torch.maximum(r - s, .85 * s - torch.hypot(x - .55 * s, y))
    assert kind == "star", kind
    k = 2 * math.pi / 5
    a = (torch.remainder(torch.atan2(y, x) + math.pi / 2 + k / 2, k) - k / 2).abs()
    ex, ey = .45 * s * math.cos(k / 2) - s, .45 * s * math.sin(k / 2)
    return ((r * a.cos() - s) * ey - r * a.sin() * ex) / torch.hypot(ex, ey)


def distances(objects, xx, yy, device, shift=None):
    """Returns distances (n, H, W) to the objects and the coordinates in their frames; `shift` (n, 2) moves the objects."""
    column = lambda values: torch.tensor(values, dtype=torch.float32, device=device).view(-1, 1, 1)
    dx, dy = xx - column([o["x"] for o in objects]), yy - column([o["y"] for o in objects])
    if shift is not None:
        dx, dy = dx - column([s[0] for s in shift]), dy - column([s[1] for s in shift])
    c, s = column([math.cos(o["angle"]) for o in objects]), column([math.sin(o["angle"]) for o in objects])
    u, v = c * dx + s * dy, c * dy - s * dx
    size, length = column([o["s"] for o in objects]), column([o.get("length") or o["s"] for o in objects])
    out = torch.empty_like(u)
    for kind in {o["kind"] for o in objects}:
        i = torch.tensor([k for k, o in enumerate(objects) if o["kind"] == kind], device=device)
        out[i] = distance(kind, u[i], v[i], size[i], length[i])
    return out, u, v, size


def texture(t, xx, yy):
    """Returns stripes or dots in -1..1, as in scenes.py."""
    c, s, f = math.cos(t["angle"]), math.sin(t["angle"]), 2 * math.pi / t["pitch"]
    u, v = c * xx + s * yy, c * yy - s * xx
    return torch.tanh(3 * torch.sin(f * u)) if t["form"] == "striped" else torch.tanh(6 * (.4 - torch.sin(f * u) * torch.sin(f * v)))


def segment(o, xx, yy):
    """Returns the signed distance to a line with round ends, as in scenes.py."""
    (ax, ay), (bx, by) = o["ends"]
    ux, uy = bx - ax, by - ay
    t = (((xx - ax) * ux + (yy - ay) * uy) / max(ux * ux + uy * uy, 1e-9)).clamp(0, 1)
    return torch.hypot(xx - ax - t * ux, yy - ay - t * uy) - o["width"] / 2


def render(batch, device):
    """(n, 3, 256, 256) in -1..1."""
    yy, xx = torch.meshgrid(torch.arange(SIZE, device=device) + .5, torch.arange(SIZE, device=device) + .5, indexing="ij")
    tensor = lambda values: torch.tensor(values, dtype=torch.float32, device=device)
    column = lambda values: tensor(values).view(-1, 1, 1)
    backs = [s["background"] for s in batch]
    t = ((xx - SIZE / 2) * column([math.cos(b["angle"]) for b in backs]) + (yy - SIZE / 2) * column([math.sin(b["angle"]) for b in backs])) / SIZE
    base = tensor([BACKGROUNDS[b["name"]] for b in backs])[:, :, None, None]
    with_ground = [i for i, b in enumerate(backs) if "ground" in b]
    image = base.expand(-1, -1, SIZE, SIZE).clone()
    if with_ground:
        grounds = [backs[i]["ground"] for i in with_ground]
        line = column([g["height"] * SIZE for g in grounds]) + (xx - SIZE / 2) * column([math.tan(g["tilt"]) for g in grounds])
        below = (.5 + (yy - line) * column([math.cos(g["tilt"]) for g in grounds])).clamp(0, 1)[:, None]
        i = torch.tensor(with_ground, device=device)
        image[i] = torch.lerp(image[i], tensor([BACKGROUNDS[g["name"]] for g in grounds])[:, :, None, None].expand_as(image[i]), below)
    image = (image + (column([.10 + .12 * b["contrast"] for b in backs]) * t)[:, None]).clamp(0, 1)
    for k, b in enumerate(backs):
        if "texture" in b:
            image[k] = image[k] * (1 + b["texture"]["strength"] * (texture(b["texture"], xx, yy) - 1))
    for slot in range(max((len(s["objects"]) for s in batch), default=0)):
        which = [i for i, s in enumerate(batch) if len(s["objects"]) > slot]
        for i in [i for i in which if batch[i]["objects"][slot]["kind"] == "line"]:
            o = batch[i]["objects"][slot]
            image[i] = torch.lerp(image[i], tensor(COLORS[o["color"]])[:, None, None].expand_as(image[i]), (.5 - segment(o, xx, yy)).clamp(0, 1))
        which = [i for i in which if batch[i]["objects"][slot]["kind"] != "line"]
        if not which:
            continue
        lit = [i for i in which if "light" in batch[i]]
        if lit:
            lights = [batch[i]["light"] for i in lit]
            shift = [(l["reach"] * math.cos(l["angle"]), l["reach"] * math.sin(l["angle"])) for l in lights]
            d, *_ = distances([batch[i]["objects"][slot] for i in lit], xx, yy, device, shift)
            i = torch.tensor(lit, device=device)
            image[i] = image[i] * (1 - column([l["strength"] for l in lights]) * (.5 - d / 10).clamp(0, 1))[:, None]
        objects = [batch[i]["objects"][slot] for i in which]
        d, u, v, size = distances(objects, xx, yy, device)
        outer, inner = (.5 - d).clamp(0, 1)[:, None], (.5 - (d + 3 * SIZE / 256)).clamp(0, 1)[:, None]
        shade = 1 - .22 * (v / size)
        for k, o in enumerate(objects):
            if "pattern" in o:
                f = 2 * math.pi / o["pitch"]
                wave = torch.sin(f * u[k]) if o["pattern"] == "striped" else 1.6 * torch.sin(f * u[k]) * torch.sin(f * v[k])
                shade[k] = shade[k] - .16 + .16 * torch.tanh(3 * wave)
            if "shading" in batch[which[k]]:
                light = batch[which[k]]["shading"]
                shade[k] = 1 - light["strength"] * ((xx - o["x"]) * math.cos(light["angle"]) + (yy - o["y"]) * math.sin(light["angle"])) / o["s"]
        color, i = tensor([[c + d for c, d in zip(COLORS[o["color"]], o.get("tint", (0, 0, 0)))] for o in objects])[:, :, None, None], torch.tensor(which, device=device)
        part = image[i] * (1 - outer) + .45 * color * outer
        image[i] = part * (1 - inner) + (color * shade[:, None]).clamp(0, 1) * inner
    return image.clamp(0, 1) * 2 - 1


def in_bytes(batch, device):
    """As `render`, in 8 bits as in a file."""
    return ((render(batch, device) + 1) * 127.5 + .5).byte()


def as_floats(pictures):
    return (pictures.float() / 127.5 - 1).contiguous(memory_format=torch.channels_last)


if __name__ == "__main__":                                        # a contact sheet: python3 pictures.py OUT.png
    from PIL import Image
    shown = render([draw(1, i) for i in range(48)], "cpu")
    rows = shown.view(6, 8, 3, SIZE, SIZE).permute(0, 3, 1, 4, 2).reshape(6 * SIZE, 8 * SIZE, 3)
    Image.fromarray(((rows + 1) * 127.5 + .5).byte().numpy()).save(sys.argv[1])
