"""Kinds of edits: what happens to one object of a scene, and the region that a user would draw for it.

An edit takes (rng, scene, index) and returns the object afterwards and an entry of a drag file's `regions`, or None where the scene does not suit it.
Distances are pixels, angles radians, y grows downwards.
"""
import math

SIZE, MARGIN = 256, 10


def radius(o):
    return (o.get("length", o["s"]) + .3 * o["s"]) if o["kind"] == "bar" else {"box": 1.14, "cross": 1.06, "triangle": 1.1}.get(o["kind"], 1.0) * o["s"]


def free(scene, moved, *indices, margin=MARGIN):
    """Returns whether the moved object lies inside the picture and apart from all objects except those of `indices`."""
    r = radius(moved) + MARGIN
    if not (r < moved["x"] < SIZE - r and r < moved["y"] < SIZE - r):
        return False
    return all(apart(moved, o, margin) for i, o in enumerate(scene["objects"]) if i not in indices and o["kind"] != "line")


def apart(a, b, margin=MARGIN):
    return math.hypot(a["x"] - b["x"], a["y"] - b["y"]) > radius(a) + margin + radius(b) + margin


def ellipse(o, margin=MARGIN):
    r = round(radius(o) + margin, 1)
    return {"ellipse": [round(o["x"], 1), round(o["y"], 1), r, r]}


def point(x, y):
    return [round(x, 1), round(y, 1)]


def translation(rng, scene, i, margin=MARGIN):
    o = scene["objects"][i]
    d, a = rng.uniform(28, 90), rng.uniform(0, 2 * math.pi)
    m = dict(o, x=o["x"] + d * math.cos(a), y=o["y"] + d * math.sin(a))
    return m, {"type": "translation", "region": ellipse(o, margin), "handle": point(o["x"], o["y"]), "target": point(m["x"], m["y"])}


def rotation(rng, scene, i, margin=MARGIN):
    o = scene["objects"][i]
    if o["kind"] in ("disc", "ring"):
        return None
    a = rng.uniform(25, 80 if o["kind"] in ("bar", "moon", "triangle") else 35) * rng.choice([-1, 1]) * math.pi / 180
    m = dict(o, angle=o["angle"] + a)
    h = (o["x"] + o["s"] * math.cos(o["angle"]), o["y"] + o["s"] * math.sin(o["angle"]))
    g = (o["x"] + o["s"] * math.cos(m["angle"]), o["y"] + o["s"] * math.sin(m["angle"]))
    return m, {"type": "rotation", "region": ellipse(o, margin), "handle": point(*h), "target": point(*g), "center": point(o["x"], o["y"])}


def strip(o, back, front, side):
    """Returns the polygon from `back` to `front` along the object's axis, `side` to either side."""
    c, s = math.cos(o["angle"]), math.sin(o["angle"])
    corners = [(back, -side), (front, -side), (front, side), (back, side)]
    return {"polygon": [point(o["x"] + u * c - v * s, o["y"] + u * s + v * c) for u, v in corners]}


def deformation(rng, scene, i, margin=MARGIN):
    """A bar is pulled at one end: it grows by d along its axis, the other end stays."""
    o = scene["objects"][i]
    if o["kind"] != "bar":
        return None
    d, c, s = rng.uniform(16, 48), math.cos(o["angle"]), math.sin(o["angle"])
    m = dict(o, x=o["x"] + c * d / 2, y=o["y"] + s * d / 2, length=o["s"] + d / 2)
    region = strip(o, .25 * o["s"], o["s"] * 1.3 + margin, .3 * o["s"] + margin)
    e = (o["x"] + o["s"] * c, o["y"] + o["s"] * s)
    return m, {"type": "deformation", "region": region, "handle": point(*e), "target": point(e[0] + c * d, e[1] + s * d)}


def hinge(rng, scene, i, margin=MARGIN, reach=(1.0, 1.6)):
    """Rotation about a point beside the object: a clock's hand, a moon on its orbit. `reach` is that point's distance in half sizes."""
    o = scene["objects"][i]
    b, a = rng.uniform(0, 2 * math.pi), rng.uniform(20, 60) * rng.choice([-1, 1]) * math.pi / 180
    r = o["s"] if o["kind"] == "bar" else rng.uniform(*reach) * o["s"]
    if o["kind"] == "bar":
        b = o["angle"]
    cx, cy = o["x"] - r * math.cos(b), o["y"] - r * math.sin(b)
    m = dict(o, x=cx + r * math.cos(b + a), y=cy + r * math.sin(b + a), angle=o["angle"] + a)
    if not (0 < cx < SIZE and 0 < cy < SIZE):
        return None
    return m, {"type": "rotation", "region": ellipse(o, margin), "handle": point(o["x"], o["y"]), "target": point(m["x"], m["y"]), "center": point(cx, cy)}
