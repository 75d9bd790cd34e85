"""Drag files and the motion of their regions, for torch_edit.py.

Coordinates are continuous with the origin at the image's top left corner, y points down; angles are radians, counter-clockwise on the screen. Progress eta
runs from 0 (before the drag) to 1. Points are tensors x and y of one shape, in f64: a mask or a cell is looked up at them, where rounding decides.
"""
import json, math, pathlib
import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw

KEYS = {"id", "type", "region", "handle", "target", "handles", "targets", "center", "angle", "factor", "anchor"}


# ---------------------------------------------------------------- motion

def turn(angle):
    c, s = math.cos(angle), math.sin(angle)
    return np.array([[c, s], [-s, c]])


def angle_of(r):
    """Returns the angle of a rotation."""
    if "angle" in r:
        return math.radians(r["angle"])
    (hx, hy), (gx, gy), (cx, cy) = r["handle"], r["target"], r["center"]
    return math.remainder(math.atan2(hy - cy, hx - cx) - math.atan2(gy - cy, gx - cx), 2 * math.pi)


def pose(r, eta):
    """Returns (A, p, q): at progress eta, the content of a point v lies at q + A (v - p). Not for anchored deformations."""
    h, g, c = (np.array(r[k], float) if k in r else None for k in ("handle", "target", "center"))
    if r["type"] == "rotation":
        return turn(eta * angle_of(r)), c, c
    if r["type"] == "scale":                                      # every length by a power of the factor
        factor = r["factor"] if "factor" in r else np.linalg.norm(g - c) / np.linalg.norm(h - c)
        return factor ** eta * np.eye(2), c, c
    if r["type"] == "affine":                                     # the linear part's polar decomposition: a stretch, then a turn
        h, g = np.array(r["handles"], float).T, np.array(r["targets"], float).T
        u, s, v = np.linalg.svd((g[:, 1:] - g[:, :1]) @ np.linalg.inv(h[:, 1:] - h[:, :1]))
        rotation, stretch = u @ v, v.T @ np.diag(s) @ v
        h, g = h.mean(1), g.mean(1)
        return turn(eta * math.atan2(rotation[0, 1], rotation[0, 0])) @ (np.eye(2) + eta * (stretch - np.eye(2))), h, h + eta * (g - h)
    return turn(eta * math.radians(r.get("angle", 0))), h, h + eta * (g - h)


def forward(r, eta, x, y):
    """Returns where the content of (x, y) lies at progress eta."""
    if "anchor" in r:
        share, (dx, dy), _ = anchored(r, eta, x, y)
        share = share.clamp(0, 1)
        return x + share * dx, y + share * dy
    a, p, q = pose(r, eta)
    dx, dy = x - p[0], y - p[1]
    return q[0] + a[0, 0] * dx + a[0, 1] * dy, q[1] + a[1, 0] * dx + a[1, 1] * dy


def source_of(r, eta, x, y):
    """Returns the point before the drag of the content at (x, y) at progress eta; of a deformation, eta may be a tensor as well."""
    if r["type"] == "deformation" and "anchor" not in r:
        return x - eta * (r["target"][0] - r["handle"][0]), y - eta * (r["target"][1] - r["handle"][1])
    if "anchor" in r:                                             # moved by its share s, a point's own share grew from s to s + s (growth - 1)
        share, (dx, dy), growth = anchored(r, eta, x, y)
        share = (share / growth).clamp(0, 1)
        return x - share * dx, y - share * dy
    a, p, q = pose(r, eta)
    a, dx, dy = np.linalg.inv(a), x - q[0], y - q[1]
    return p[0] + a[0, 0] * dx + a[0, 1] * dy, p[1] + a[1, 0] * dx + a[1, 1] * dy


def anchored(r, eta, x, y):
    """Returns the share of (x, y) along the line from anchor (0) to handle (1), the displacement of the handle, and the handle's own share then."""
    n, h, g = (np.array(r[k], float) for k in ("anchor", "handle", "target"))
    axis, d = (h - n) / ((h - n) @ (h - n)), (eta * (g[0] - h[0]), eta * (g[1] - h[1]))
    return (x - n[0]) * axis[0] + (y - n[1]) * axis[1], d, 1 + axis[0] * d[0] + axis[1] * d[1]


def vacates(r):
    """Returns whether background appears where the region was."""
    return r["type"] != "deformation"


def path_length(r):
    """Returns the length of the longest path among the corners of the region's bounding box, in pixels."""
    ys, xs = torch.nonzero(r["mask"] > .5, as_tuple=True)
    x, y = (torch.tensor(v, dtype=torch.float64) for v in ([xs.min(), xs.max() + 1, xs.min(), xs.max() + 1], [ys.min(), ys.min(), ys.max() + 1, ys.max() + 1]))
    places = torch.stack([torch.stack(forward(r, k / 64, x, y)) for k in range(65)])
    return (places[1:] - places[:-1]).norm(dim=1).sum(0).max().item()


def still(r):
    """Returns whether the motion is invisible: no point moves by a pixel and, where the region turns, it turns by less than 0.06 degrees."""
    if r["type"] == "rotation":
        return abs(math.degrees(angle_of(r))) < .06
    if r["type"] == "scale" or "handles" in r or "anchor" in r or "angle" in r:
        return path_length(r) < 1 and abs(r.get("angle", 0)) < .06
    return math.dist(r["handle"], r["target"]) < 1


# ---------------------------------------------------------------- grids and masks

def cells(height, width, size, device="cpu"):
    """Returns the centres x and y of the square cells with this side."""
    y, x = torch.meshgrid((torch.arange(height // size, device=device, dtype=torch.float64) + .5) * size,
                          (torch.arange(width // size, device=device, dtype=torch.float64) + .5) * size, indexing="ij")
    return x, y


def covered(r, eta, x, y):
    """Returns whether the region at progress eta covers the points: whether the pixel of the mask under the source point is inside."""
    height, width = r["mask"].shape
    sx, sy = source_of(r, eta, x, y)
    inside = (sx >= 0) & (sx <= width) & (sy >= 0) & (sy <= height) & (x >= 0) & (x <= width) & (y >= 0) & (y <= height)
    return inside & (r["mask"][sy.clamp(0, height - 1).long(), sx.clamp(0, width - 1).long()] > .5)


def touched(regions, eta, height, width, device="cpu"):
    """Returns the latent cells of which any region covers a pixel at progress eta: (h, w) bool."""
    x, y = cells(height, width, 1, device)
    pixels = torch.stack([covered(r, eta, x, y) for r in regions]).any(0) if regions else torch.zeros_like(x, dtype=torch.bool)
    return F.max_pool2d(pixels.float()[None, None], 8)[0, 0] > .5


def swept(regions, margin, height, width, device="cpu"):
    """Returns the pixels that the regions sweep, with a margin: (H, W) bool."""
    x, y = cells(height, width, 2, device)
    area = torch.zeros_like(x, dtype=torch.bool)
    for r in regions:                                             # at 33 places or more, at most two pixels apart
        n = max(32, math.ceil(path_length(r) / 2))
        for k in range(n + 1):
            area |= covered(r, k / n, x, y)
    grow = max(1, margin // 2)
    return F.interpolate(F.max_pool2d(area.float()[None, None], 2 * grow + 1, 1, grow), (height, width), mode="nearest")[0, 0] > .5


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
    """Returns prompt, regions (dicts of the file with `mask`), editable area (None: the swept area; "everything"; or (H, W) bool), and settings."""
    d, folder, regions = json.load(open(path)), pathlib.Path(path).parent, []
    if odd := set(d) - {"$schema", "version", "prompt", "edit_prompt", "editable", "regions", "settings", "comment"}:
        raise SystemExit(f"unknown keys {sorted(odd)}")
    for r in d["regions"]:
        if odd := set(r) - KEYS:
            raise SystemExit(f"unknown keys {sorted(odd)}")
        regions.append({**r, "mask": shape_mask(r["region"], size, folder).to(device)})
    editable = d.get("editable")
    if isinstance(editable, dict):
        editable = shape_mask(editable, size, folder) > .5
    return d.get("prompt", ""), regions, editable, d.get("settings", {})
