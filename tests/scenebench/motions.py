"""The suite `motions`: kinds of drag beside those of the plain suite, on the recipe's scenes. Kinds are as in plain.py."""
import math
import numpy as np
from edits import MARGIN, SIZE, ellipse, free, point, radius, strip
from scenes import KINDS, sample


def draw(rng, kinds=KINDS):
    scene = sample(rng, SIZE, kinds=kinds)
    i = int(rng.integers(len(scene["objects"])))
    return scene, i, scene["objects"][i]


def mapped(o, matrix, offset):
    """Returns the object under the map p -> matrix p + offset, and a round stand-in of its size, for distances to others."""
    m = dict(o, map=[[*map(float, row), float(t)] for row, t in zip(matrix, offset)])
    x, y = matrix @ [o["x"], o["y"]] + offset
    return m, {"kind": "disc", "x": float(x), "y": float(y), "s": radius(o) * float(np.linalg.norm(matrix, 2))}


def scale(rng, number):
    """The object grows or shrinks about its centre or a point beside it; the file gives the factor or a handle with its target."""
    scene, i, o = draw(rng)
    f = rng.uniform(1.25, 1.7) if rng.uniform() < .6 else rng.uniform(.6, .8)
    a, beside = rng.uniform(0, 2 * math.pi), number % 3 == 1
    c = np.array(point(o["x"] + beside * o["s"] * math.cos(a), o["y"] + beside * o["s"] * math.sin(a)))
    m, room = mapped(o, f * np.eye(2), (1 - f) * c)
    if not free(scene, room, i):
        return None
    region = {"type": "scale", "region": ellipse(o), "center": c.tolist()}
    if number % 2 == 0:
        region["factor"] = round(f, 3)
    else:
        h = c + o["s"] * np.array([math.cos(a + 2.5), math.sin(a + 2.5)])
        region |= {"handle": point(*h), "target": point(*(c + f * (h - c)))}
    return scene, {i: m}, [region]


def affine(rng, _):
    """The object is stretched, sheared, turned and moved at once, as three handles say."""
    scene, i, o = draw(rng)
    turn = rng.uniform(-.4, .4)
    stretch = np.eye(2) + rng.uniform(-.3, .3, (2, 2))
    matrix = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]]) @ stretch
    center = np.array([o["x"], o["y"]])
    offset = center + rng.uniform(-40, 40, 2) - matrix @ center
    m, room = mapped(o, matrix, offset)
    first = rng.uniform(0, 2 * math.pi)
    handles = [center + o["s"] * np.array([math.cos(first + k * 2.1), math.sin(first + k * 2.1)]) for k in range(3)]
    if not free(scene, room, i) or np.linalg.svd(matrix)[1].min() < .6:
        return None
    return scene, {i: m}, [{"type": "affine", "region": ellipse(o), "handles": [point(*h) for h in handles], "targets": [point(*(matrix @ h + offset)) for h in handles]}]


def moveturn(rng, number):
    """The object is moved and turned at once, about its centre or another handle."""
    scene, i, o = draw(rng)
    if o["kind"] in ("disc", "ring"):
        return None
    d, way, a, b = rng.uniform(28, 80), rng.uniform(0, 2 * math.pi), math.radians(rng.uniform(20, 70)) * rng.choice([-1, 1]), rng.uniform(0, 2 * math.pi)
    h = np.array([o["x"], o["y"]]) + (number % 2) * .6 * o["s"] * np.array([math.cos(b), math.sin(b)])
    g = h + d * np.array([math.cos(way), math.sin(way)])
    dx, dy = o["x"] - h[0], o["y"] - h[1]
    m = dict(o, x=float(g[0] + math.cos(a) * dx - math.sin(a) * dy), y=float(g[1] + math.sin(a) * dx + math.cos(a) * dy), angle=o["angle"] + a)
    if not free(scene, m, i):
        return None
    return scene, {i: m}, [{"type": "translation", "region": ellipse(o), "handle": point(*h), "target": point(*g), "angle": round(-math.degrees(a), 2)}]


def anchor(rng, number):
    """A bar grows, or in one case of three shrinks, at one end; the anchor at its other end stays."""
    scene, i, o = draw(rng, ["bar"])
    d, c, s = -rng.uniform(.25, .6) * o["s"] if number % 3 == 2 else rng.uniform(20, 56), math.cos(o["angle"]), math.sin(o["angle"])
    m = dict(o, x=o["x"] + c * d / 2, y=o["y"] + s * d / 2, length=o["s"] + d / 2)
    if not free(scene, m, i):
        return None
    end = 1.3 * o["s"] + MARGIN
    h, fixed = (o["x"] + o["s"] * c, o["y"] + o["s"] * s), (o["x"] - o["s"] * c, o["y"] - o["s"] * s)
    return scene, {i: m}, [{"type": "deformation", "region": strip(o, -end, end, .3 * o["s"] + MARGIN), "handle": point(*h),
                            "target": point(h[0] + c * d, h[1] + s * d), "anchor": point(*fixed)}]


MOTIONS = {"scale": scale, "affine": affine, "moveturn": moveturn, "anchor": anchor}
