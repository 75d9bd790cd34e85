"""Regions of a drag file: which pixels they contain, and where the content of a point came from.

Coordinates are continuous: the pixel in column x and row y covers x..x+1 times y..y+1. Angles in here grow clockwise on the screen.
"""
import math
import numpy as np


def contains(outline, x, y):
    """Returns which points lie in {"ellipse"|"rect"|"polygon": ...}."""
    (form, numbers), = outline.items()
    if form == "ellipse":
        cx, cy, rx, ry = numbers
        return ((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2 <= 1
    if form == "rect":
        left, top, right, bottom = numbers
        return (left <= x) & (x < right) & (top <= y) & (y < bottom)
    if form != "polygon":
        raise ValueError(f"no outline: {form!r}")
    odd = np.zeros(np.shape(x), bool)
    for (ax, ay), (bx, by) in zip(numbers, numbers[1:] + numbers[:1]):
        if ay != by:
            odd ^= ((ay > y) != (by > y)) & (x < ax + (y - ay) * (bx - ax) / (by - ay))
    return odd


def turned(x, y, center, angle):
    c, s = math.cos(angle), math.sin(angle)
    dx, dy = x - center[0], y - center[1]
    return center[0] + c * dx - s * dy, center[1] + s * dx + c * dy


def origin(region, x, y, progress=1.0):
    """Returns where the content of the points (x, y) came from, when the drag has reached `progress`."""
    kind, e = region["type"], progress
    if kind == "affine":
        rows = lambda points: np.array([[*p, 1.0] for p in points])
        matrix = np.eye(3)[:, :2] + e * (np.linalg.solve(rows(region["handles"]), np.array(region["targets"], float)) - np.eye(3)[:, :2])
        back = np.linalg.inv(matrix[:2])
        x, y = x - matrix[2, 0], y - matrix[2, 1]
        return back[0, 0] * x + back[1, 0] * y, back[0, 1] * x + back[1, 1] * y
    if kind == "rotation":
        a, b = (math.atan2(region[k][1] - region["center"][1], region[k][0] - region["center"][0]) for k in ("handle", "target"))
        return turned(x, y, region["center"], -e * math.remainder(b - a, 2 * math.pi))
    if kind == "scale":
        c = region["center"]
        f = region.get("factor") or math.dist(region["target"], c) / math.dist(region["handle"], c)
        return c[0] + (x - c[0]) * f ** -e, c[1] + (y - c[1]) * f ** -e
    h, g = region["handle"], region["target"]
    dx, dy = g[0] - h[0], g[1] - h[1]
    if kind == "translation":
        return turned(x - e * dx, y - e * dy, h, e * math.radians(region.get("angle", 0)))
    if kind != "deformation":
        raise ValueError(f"no region: {kind!r}")
    if "anchor" not in region:
        return x - e * dx, y - e * dy
    a, length = region["anchor"], math.dist(h, region["anchor"])
    ux, uy = (h[0] - a[0]) / length, (h[1] - a[1]) / length
    stretch = 1 + e * (ux * dx + uy * dy) / length
    share = np.clip((ux * (x - a[0]) + uy * (y - a[1])) / length / stretch, 0, 1)
    return x - e * share * dx, y - e * share * dy


def covers(region, size, progress=1.0):
    """Returns the pixels that the region covers at `progress`, as a mask of size (height, width), and the points their content came from."""
    yy, xx = np.mgrid[0:size[0], 0:size[1]] + .5
    x, y = origin(region, xx, yy, progress)
    return contains(region["region"], x, y) & (x >= 0) & (y >= 0) & (x < size[1]) & (y < size[0]), x, y


def touched(regions, size):
    """Returns the pixels that any region covers before or after the drag."""
    return np.any([covers(r, size, e)[0] for r in regions for e in (0, 1)], axis=0)
