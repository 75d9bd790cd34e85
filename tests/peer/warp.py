"""The warped picture and the carried detail of dragnext, in PyTorch (f64, on the CPU), for torch_edit.py.

Written from the documentation of dragnext's module `warp`: every region's pixels move to its target, the vacated area is filled from around it, the gap
behind a deformation takes the colour of the region's trailing edge, and the result is rounded to 8 bits. Of dragnext's settings, `object: drawn` and
`fill: smooth` are reproduced; for `found` and `patches`, torch_edit.py takes dragnext's own picture (--warped FILE).
"""
import torch
import torch.nn.functional as F
from regions import cells, source_of, vacates

VISIBLE = 4 / 255                                                 # a filled pixel is new if a colour changes by more
PLACES, HALVINGS = 256, 30                                        # of the drag, for the trailing edge


def warped_picture(x, regions, editable):
    """Warps x (3, H, W) in 0..1. Returns the picture in 8 bits (3, H, W) uint8, and the share of every pixel that is filled in and visible (H, W)."""
    x = x.double().cpu()
    height, width = x.shape[1:]
    regions = [{**r, "mask": r["mask"].double().cpu()} for r in regions]
    px, py = cells(height, width, 1)
    hole = torch.zeros(height, width, dtype=torch.bool)
    for r in regions:
        hole |= (r["mask"] > .5) & vacates(r)
    ground = harmonic(x, hole)
    picture, shown = ground.clone(), torch.ones(height, width, dtype=torch.float64)
    for r in regions:
        colour, opacity = layer(x, r, px, py)
        picture = torch.where(opacity >= 1, colour, picture + opacity * (colour - picture))
        shown = shown * (1 - opacity)
    new = shown * ((x - ground).abs().amax(0) > VISIBLE)
    if not isinstance(editable, str):
        outside = ~editable.cpu()
        picture, new = torch.where(outside, x, picture), torch.where(outside, torch.zeros_like(new), new)
    return (picture.clamp(0, 1) * 255 + .5).floor().to(torch.uint8), new


def new_cells(new):
    """Returns the latent cells with more than a twentieth of their pixels new: (h, w) bool."""
    return F.avg_pool2d(new[None, None], 8)[0, 0] > .05


# ---------------------------------------------------------------- fill

def harmonic(x, hole):
    """Solves Laplace's equation in the hole, with the pixels around it as border values, by conjugate gradients; nothing flows through the picture's border."""
    if not hole.any() or hole.all():
        return x.clone()
    ys, xs = torch.nonzero(hole, as_tuple=True)                   # the hole and one pixel around it are enough
    part = slice(max(0, int(ys.min()) - 1), int(ys.max()) + 2), slice(max(0, int(xs.min()) - 1), int(xs.max()) + 2)
    whole, x, hole = x.clone(), x[:, part[0], part[1]], hole[part]

    def neighbours(v):                                            # the sum over the four neighbours inside the picture
        return sum(F.pad(part, pad) for part, pad in ((v[..., :, :-1], (1, 0, 0, 0)), (v[..., :, 1:], (0, 1, 0, 0)), (v[..., :-1, :], (0, 0, 1, 0)), (v[..., 1:, :], (0, 0, 0, 1))))

    count = neighbours(torch.ones_like(x))
    apply = lambda v: torch.where(hole, count * v - neighbours(v), torch.zeros_like(v))
    b = torch.where(hole, neighbours(torch.where(hole, torch.zeros_like(x), x)), torch.zeros_like(x))
    v = torch.where(hole, x[:, ~hole].mean(1)[:, None, None].expand_as(x), torch.zeros_like(x))
    r = b - apply(v)
    d, rr = r.clone(), (r * r).sum()
    while rr > 1e-20:
        a = apply(d)
        step = rr / (d * a).sum()
        v, r = v + step * d, r - step * a
        rr, before = (r * r).sum(), rr
        d = r + rr / before * d
    whole[:, part[0], part[1]] = torch.where(hole, v, x)
    return whole


# ---------------------------------------------------------------- layers

def layer(x, r, px, py):
    """Returns colour (3, H, W) and opacity (H, W) of a region after the drag: means over samples that lie at most a pixel apart in the source."""
    spread = lambda dx, dy: torch.stack([a - b for a, b in zip(source_of(r, 1, px + dx, py + dy), source_of(r, 1, px - dx, py - dy))]).norm(dim=0)
    needed = (torch.maximum(spread(.5, 0), spread(0, .5)) - 1e-6).ceil().clamp(1, 8).long()
    colour, opacity = torch.zeros_like(x), torch.zeros_like(px)
    for n in needed.unique().tolist():
        at = needed == n
        sums, weights = torch.zeros(3, int(at.sum()), dtype=x.dtype), torch.zeros(int(at.sum()), dtype=x.dtype)
        for j in range(n):
            for i in range(n):
                c, o = paint(x, r, px[at] + (i + .5) / n - .5, py[at] + (j + .5) / n - .5)
                sums, weights = sums + o * c, weights + o
        colour[:, at], opacity[at] = torch.where(weights > 0, sums / weights.clamp(min=1e-12), sums), weights / n ** 2
    return colour, opacity


def paint(x, r, px, py):
    """Returns colour (3, N) and opacity (N) of a region at points after the drag."""
    sx, sy = source_of(r, 1, px, py)
    colour, opacity = bicubic(x, sx, sy), bilinear_mask(r["mask"], sx, sy)
    if not vacates(r):
        most, (ex, ey) = trailing_edge(r, px, py)
        behind = most > opacity
        colour = torch.where(behind, torch.lerp(bicubic(x, ex, ey), colour, opacity), colour)
        opacity = torch.where(behind, most, opacity)
    return colour, opacity


def trailing_edge(r, px, py):
    """Returns the largest opacity that a deformation has at points during the drag, and their source at the last progress at which it has half of that."""
    at = lambda eta: bilinear_mask(r["mask"], *source_of(r, eta, px, py))
    most = torch.stack([at(k / PLACES) for k in range(PLACES + 1)]).amax(0)
    low = torch.ones_like(px)
    for k in range(PLACES + 1):
        low = torch.where(at(k / PLACES) >= most / 2, k / PLACES, low)
    high = (low + 1 / PLACES).clamp(max=1)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        inside = at(middle) >= most / 2
        low, high = torch.where(inside, middle, low), torch.where(inside, high, middle)
    return most, source_of(r, low, px, py)


def bilinear_mask(mask, x, y):
    """Samples a 0/1 mask between pixel centres; beyond the picture it is 0."""
    height, width = mask.shape
    x, y = x - .5, y - .5
    left, top = x.floor(), y.floor()

    def at(i, j):
        inside = (i >= 0) & (i < width) & (j >= 0) & (j < height)
        return torch.where(inside, (mask[j.clamp(0, height - 1).long(), i.clamp(0, width - 1).long()] > .5).double(), 0.)

    fx, fy = x - left, y - top
    return (1 - fy) * ((1 - fx) * at(left, top) + fx * at(left + 1, top)) + fy * ((1 - fx) * at(left, top + 1) + fx * at(left + 1, top + 1))


def bicubic(x, px, py):
    """Samples x (3, H, W) at points (N) with Catmull-Rom splines, limited to the range of the four nearest pixels; the border's pixels repeat beyond it."""
    height, width = x.shape[1:]
    px, py = (px - .5).clamp(-1, width), (py - .5).clamp(-1, height)
    column, row = px.floor(), py.floor()

    def weights(t):
        p = torch.stack([t ** 3, t ** 2, t, torch.ones_like(t)])
        return torch.tensor([[-1, 2, -1, 0], [3, -5, 0, 2], [-3, 4, 1, 0], [1, -1, 0, 0]], dtype=t.dtype) @ p / 2

    k = torch.arange(-1, 3)
    near = x[:, (row[None].long() + k[:, None]).clamp(0, height - 1)[:, None], (column[None].long() + k[:, None]).clamp(0, width - 1)[None]]      # (3, 4, 4, N)
    value = torch.einsum("cjin,jn,in->cn", near, weights(py - row), weights(px - column))
    middle = near[:, 1:3, 1:3].flatten(1, 2)
    return value.clamp(middle.amin(1), middle.amax(1))


# ---------------------------------------------------------------- detail

def agreement(edit, seen):
    """Returns the agreement of two pictures (3, H, W) in 0..1 at every pixel (H, W): 1 where they are equal."""
    worst = F.max_pool2d((edit - seen).abs().amax(0)[None, None], 3, 1, 1)
    mean = F.avg_pool2d(worst, 5, 1, 2, count_include_pad=False)[0, 0]
    return torch.exp(-(mean / .15) ** 2)


def carry(edit, seen, warped, share):
    """Returns the edit (3, H, W) in 0..1 with the detail that the VAE lost: warped is the warped picture, seen what the VAE keeps of it."""
    return edit + share * agreement(edit, seen) * (warped - seen)
