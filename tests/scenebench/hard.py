"""The hard suite: scenes on which carrying the region along is wrong somewhere. Kinds are as in plain.py; every kind cycles through several edits."""
import math
import numpy as np
from edits import MARGIN, SIZE, deformation, free, hinge, point, radius, rotation, translation
from regions import covers
from scenes import BACKGROUNDS, COLORS, KINDS, distance, local, sample, segment

MIXED = (translation, rotation, hinge, deformation)
TURNING = ("box", "bar", "triangle", "star", "cross", "moon")


def draw(rng, kinds=KINDS, count=None):
    scene = sample(rng, SIZE, kinds=kinds, count=count)
    i = int(rng.integers(len(scene["objects"])))
    return scene, i, scene["objects"][i]


def edited(rng, scene, i, edit, margin, **more):
    """Returns what a kind returns, if the object can go where `edit` puts it."""
    got = edit(rng, scene, i, margin=margin, **more)
    if got is None or not free(scene, got[0], i):
        return None
    return scene, {i: got[0]}, [got[1]]


def on(rng, number, decorate, margin):
    """A mixed edit after `decorate` has changed the scene."""
    edit = MIXED[number % len(MIXED)]
    scene, i, o = draw(rng, ["bar"] if edit is deformation else KINDS)
    return edited(rng, scene, i, edit, margin) if decorate(scene, o) else None


def straddles(region, ground):
    """Returns whether at least a tenth of the region lies on either side of the horizon."""
    there, _, _ = covers(region, (SIZE, SIZE), 0)
    yy, xx = np.mgrid[0:SIZE, 0:SIZE] + .5
    below = (yy > ground["height"] * SIZE + (xx - SIZE / 2) * math.tan(ground["tilt"]))[there].mean()
    return .1 < below < .9


def horizon(rng, number):
    """A second background colour below a line through the object."""
    def decorate(scene, o):
        bg = scene["background"]
        name, tilt = str(rng.choice(list(BACKGROUNDS))), float(rng.uniform(-.15, .15))
        y = o["y"] + rng.uniform(-.9, .9) * o["s"] - (o["x"] - SIZE / 2) * math.tan(tilt)
        bg["ground"] = {"name": name, "height": float(y / SIZE), "tilt": tilt}
        return .35 < y / SIZE < .75 and max(abs(a - b) for a, b in zip(BACKGROUNDS[name], BACKGROUNDS[bg["name"]])) > .14
    got = on(rng, number, decorate, MARGIN)
    return got if got and straddles(got[2][0], got[0]["background"]["ground"]) else None


def texture(form, low, high):
    def kind(rng, number):
        def decorate(scene, _):
            scene["background"]["texture"] = {"form": form, "pitch": float(rng.uniform(14, 24)), "angle": float(rng.uniform(0, 2 * math.pi)),
                                              "strength": float(rng.uniform(low, high))}
            return True
        return on(rng, number, decorate, MARGIN)
    return kind


def shadow(rng, number):
    """A cast shadow, most of it outside the region, which has to move and turn with the object."""
    scene, i, _ = draw(rng)
    scene["light"] = {"angle": float(rng.uniform(0, 2 * math.pi)), "reach": float(rng.uniform(11, 16)), "strength": float(rng.uniform(.25, .4))}
    return edited(rng, scene, i, (translation, rotation, translation, hinge)[number % 4], 3)


def occlusion(rng, number):
    """An object partly behind another one, which stays. The ellipse around the dragged object includes some of the other."""
    edit = (translation, rotation, translation, hinge)[number % 4]
    scene, i, o = draw(rng, ["box", "triangle", "star", "cross"] if edit is rotation else ["disc", "ring", "box", "triangle", "star", "cross"], count=1)
    s, a = rng.uniform(22, 40), rng.uniform(0, 2 * math.pi)
    d = rng.uniform(.6, 1.1) * (o["s"] + s)
    color = str(rng.choice([c for c in COLORS if c != o["color"]]))
    front = {"kind": str(rng.choice(["disc", "box", "triangle", "star", "cross"])), "color": color, "s": float(s),
             "x": float(o["x"] + d * math.cos(a)), "y": float(o["y"] + d * math.sin(a)), "angle": float(rng.uniform(0, 2 * math.pi))}
    yy, xx = np.mgrid[0:SIZE, 0:SIZE] + .5
    behind = local(o, xx, yy)[2] < 0
    hidden = (behind & (local(front, xx, yy)[2] < 0)).sum() / behind.sum()
    if not .12 < hidden < .38 or not free({"objects": []}, front):
        return None
    scene["objects"].append(front)
    got = edit(rng, scene, i, margin=6, **({"reach": (2, 4)} if edit is hinge else {}))
    stays = (1,) if edit is rotation else ()
    return (scene, {i: got[0]}, [got[1]]) if got and free(scene, got[0], i, *stays, margin=1) else None


def light(rng, number):
    """Shading from a fixed direction, which must not turn with the object."""
    edit = (rotation, hinge)[number % 2]
    scene, i, _ = draw(rng, TURNING if edit is rotation else KINDS)
    scene["shading"] = {"angle": float(rng.uniform(0, 2 * math.pi)), "strength": float(rng.uniform(.22, .35))}
    return edited(rng, scene, i, edit, MARGIN)


def wide(rng, number):
    """A region much too wide on a strong gradient. After a translation, what it brings along reaches into another object."""
    edit = (translation, rotation, translation, hinge)[number % 4]
    scene, i, o = draw(rng, count=2)
    margin, others = rng.uniform(26, 44), [p for p in scene["objects"] if p is not o]
    scene["background"]["contrast"] = float(rng.uniform(.8, 1))
    got = edit(rng, scene, i, margin=margin)
    if not others or got is None or not free(scene, got[0], i, margin=3):
        return None
    reaches = lambda m, gap: any(math.hypot(m["x"] - p["x"], m["y"] - p["y"]) < radius(m) + margin + gap * radius(p) for p in others)
    if reaches(o, 1) or (edit is translation and not reaches(got[0], .5)):
        return None
    return scene, {i: got[0]}, [got[1]]


def inside(o, depth):
    """Returns the polygon that runs `depth` pixels inside the object's edge; the object is star-shaped about its centre."""
    r, corners = np.arange(0, 2.5 * o["s"], .1), []
    for a in np.arange(64) * 2 * math.pi / 64:
        within = distance(o["kind"], r * math.cos(a), r * math.sin(a), o["s"], o.get("length")) < -depth
        end = r[np.argmin(within)]
        corners.append(point(o["x"] + end * math.cos(a + o["angle"]), o["y"] + end * math.sin(a + o["angle"])))
    return {"polygon": corners}


def tight(rng, number):
    """A region drawn 2 to 4 pixels inside the object's edge."""
    edit = (translation, rotation, translation, hinge)[number % 4]
    scene, i, o = draw(rng, ["disc", "box", "bar", "triangle", "star", "cross"])
    got = edited(rng, scene, i, edit, MARGIN)
    if got:
        region = got[2][0]
        region["region"] = inside(o, rng.uniform(2, 4))
        if edit is rotation:                                          # a handle at the object's rim would lie outside the region
            c = region["center"]
            for end in ("handle", "target"):
                region[end] = point(*(c[k] + .4 * (region[end][k] - c[k]) for k in (0, 1)))
    return got


def crossing(rng, number):
    """A pole that passes behind the object and stays, or a string from the picture's edge that stays attached to the object."""
    pole, edit = number % 2 == 0, (translation, translation, hinge, hinge)[number % 4]
    scene, i, o = draw(rng, KINDS if pole else [k for k in KINDS if k not in ("ring", "moon")])
    a = rng.uniform(0, 2 * math.pi) if pole else rng.uniform(-2.2, -.9)
    x, y = (o["x"] + rng.uniform(-.3, .3) * o["s"], o["y"] + rng.uniform(-.3, .3) * o["s"]) if pole else (o["x"], o["y"])
    far = [(x + k * 400 * math.cos(a), y + k * 400 * math.sin(a)) for k in (-1, 1)]
    if not pole:
        far = [(x - y * math.cos(a) / math.sin(a), -3.0), (x, y)]
    back = BACKGROUNDS[scene["background"]["name"]]
    colors = [c for c in COLORS if c != o["color"] and max(abs(p - q) for p, q in zip(COLORS[c], back)) > .35]
    line = {"kind": "line", "name": "pole" if pole else "string", "color": str(rng.choice(colors)), "ends": [list(map(float, p)) for p in far],
            "width": float(rng.uniform(6, 9) if pole else rng.uniform(4, 6))}
    got = edited(rng, scene, i, edit, MARGIN)
    if got is None:
        return None
    moved = {k + 1: m for k, m in got[1].items()}
    if not pole:
        m = moved[i + 1]
        moved[0] = dict(line, ends=[line["ends"][0], [m["x"], m["y"]]])
        if any(segment(string, p["x"], p["y"]) < radius(p) for string in (line, moved[0]) for p in scene["objects"] if p is not o):
            return None
    scene["objects"].insert(0, line)
    return scene, moved, got[2]


HARD = {"horizon": horizon, "stripes": texture("striped", .06, .12), "dots": texture("dotted", .06, .12), "shadow": shadow, "occlusion": occlusion, "light": light,
        "wide": wide, "tight": tight, "crossing": crossing}
