"""The plain paste of a case, the row that a method has to beat: python3 paste.py CASE... --out FOLDER

No network takes part, and nothing is blended. The whole drawn region is carried with its margin:
  1. what translations, rotations, scales and affine maps leave is filled smoothly from around (the harmonic function with these boundary values)
  2. the gap behind a deformation takes the colour of the region's trailing edge
  3. every region is resampled at its target (inverse map, bilinear)
"""
import argparse, json, math, pathlib
import numpy as np
from PIL import Image, ImageFilter
from regions import covers, touched


WRONG_SHARE = 1 / 20                                                  # a case of the hard suite has at least this wrong_share


def filled(image, hole):
    """Returns the picture (height, width, 3) with the pixels of `hole` replaced by the solution of Laplace's equation."""
    if not hole.any() or hole.all():
        return image
    rows, columns = np.where(hole.any(1))[0], np.where(hole.any(0))[0]
    box = np.s_[max(rows[0] - 1, 0):rows[-1] + 2, max(columns[0] - 1, 0):columns[-1] + 2]
    part, inner = image[box], hole[box][..., None].astype(float)

    def around(u):
        total = np.zeros_like(u)
        total[1:] += u[:-1]; total[:-1] += u[1:]; total[:, 1:] += u[:, :-1]; total[:, :-1] += u[:, 1:]
        return total
    degree = around(np.ones_like(inner))
    laplace = lambda u: inner * (degree * u - around(u))
    rim = (around(inner) > 0) & (inner == 0)
    u = inner * part[rim[..., 0]].mean(0)
    r = inner * around((1 - inner) * part) - laplace(u)
    p, rr = r, (r * r).sum((0, 1))
    for _ in range(1000):                                             # conjugate gradients, each channel on its own
        if rr.max() < 1e-8:
            break
        q = laplace(p)
        step = rr / np.maximum((p * q).sum((0, 1)), 1e-30)
        u, r = u + step * p, r - step * q
        rr, last = (r * r).sum((0, 1)), rr
        p = r + rr / np.maximum(last, 1e-30) * p
    out = image.copy()
    out[box] = part * (1 - inner) + u
    return out


def sampled(image, x, y):
    """Returns the colours at continuous points, bilinear, the picture's edge repeated."""
    h, w = image.shape[:2]
    x, y = np.clip(x - .5, 0, w - 1), np.clip(y - .5, 0, h - 1)
    i, j = np.minimum(y.astype(int), h - 2), np.minimum(x.astype(int), w - 2)
    a, b = (y - i)[..., None], (x - j)[..., None]
    return (image[i, j] * (1 - b) + image[i, j + 1] * b) * (1 - a) + (image[i + 1, j] * (1 - b) + image[i + 1, j + 1] * b) * a


def stretched(image, out, region):
    """Returns `out` with the gap of a deformation filled: the last content that passed over a pixel stays there."""
    size, missing = image.shape[:2], ~covers(region, image.shape[:2])[0]
    steps = math.ceil(2 * math.dist(region["handle"], region["target"])) + 1
    out = out.copy()
    for e in np.linspace(1, 0, steps + 1)[1:]:
        there, x, y = covers(region, size, e)
        there &= missing
        out[there] = sampled(image, x[there], y[there])
        missing &= ~there
    return out


def paste(image, drag):
    """Returns the pasted picture of a picture (height, width, 3; 0..1) in steps of 8 bits."""
    size, regions = image.shape[:2], drag["regions"]
    left = np.zeros(size, bool)
    for r in regions:
        if r["type"] != "deformation":
            left |= covers(r, size, 0)[0]
    out = filled(image, left)
    for r in regions:
        if r["type"] == "deformation":
            out = stretched(image, out, r)
    for r in regions:
        there, x, y = covers(r, size)
        out[there] = sampled(image, x[there], y[there])
    return np.round(np.clip(out, 0, 1) * 255) / 255


def wrong(pasted, truth):
    """Returns where the paste is wrong: by more than 4 levels in a channel."""
    return np.abs(pasted - truth).max(-1) * 255 > 4.001


def wrong_share(mask, drag):
    """Returns the number of wrong pixels as a share of the pixels that regions cover before or after the drag.

    Only wrong pixels in a wrong square of 3 x 3 count, since edges that are resampled differ by less. They may lie outside the regions, as shadows do.
    """
    picture = Image.fromarray(mask.astype(np.uint8) * 255)
    solid = np.asarray(picture.filter(ImageFilter.MinFilter(3)).filter(ImageFilter.MaxFilter(3))) > 0
    return float(solid.sum() / touched(drag["regions"], mask.shape).sum())


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("cases", nargs="+", type=pathlib.Path); p.add_argument("--out", type=pathlib.Path, required=True)
    args = p.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    for case in args.cases:
        image = np.asarray(Image.open(case / "input.png").convert("RGB"), float) / 255
        result = paste(image, json.loads((case / "drag.json").read_text()))
        Image.fromarray((result * 255 + .5).astype(np.uint8)).save(args.out / f"{case.name}.png", optimize=True)


if __name__ == "__main__":
    main()
