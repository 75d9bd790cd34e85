"""The figures of an edit: how it compares with the truth, and with the plain paste. Pictures are float arrays (height, width, 3) in 0..1."""
import json, statistics
import numpy as np
from PIL import Image, ImageFilter
from paste import WRONG_SHARE, paste, wrong, wrong_share
from regions import touched

NEAR, HIT = 24, .75
FIGURES = ("gain", "hit", "psnr", "spill", "repair", "harm", "seconds")


def load(path):
    return np.asarray(Image.open(path).convert("RGB"), np.float64) / 255


def grown(mask, by):
    return np.asarray(Image.fromarray(mask.astype(np.uint8) * 255).filter(ImageFilter.MaxFilter(2 * by + 1))) > 127


class Case:
    """A case of a suite: input, truth, erased scene, plain paste, and the areas over which figures are taken."""

    def __init__(self, folder):
        self.name, self.kind = folder.name, folder.name.rsplit("-", 1)[0]
        self.before, self.truth, self.empty = (load(folder / f"{n}.png") for n in ("input", "truth", "empty"))
        drag = json.loads((folder / "drag.json").read_text())
        self.paste = paste(self.before, drag)
        self.area = np.asarray(Image.open(folder / "area.png").convert("L")) > 127
        self.outside = ~grown(self.area, 12)
        self.wrong = wrong(self.paste, self.truth)
        self.right = grown(self.area | touched(drag["regions"], self.area.shape), NEAR) & ~self.wrong
        self.wrong_share = wrong_share(self.wrong, drag)

    def figures(self, edit):
        """Returns the figures of an edit; `repair` is None where the paste is right almost everywhere."""
        mse = lambda a, where: float(((a - self.truth)[where] ** 2).mean())
        error = mse(edit, self.area)
        gain = 1 - error / mse(self.before, self.area)
        return {"gain": gain, "hit": float(gain >= HIT), "psnr": -10 * float(np.log10(max(error, 1e-10))),
                "spill": float(np.abs(edit - self.before)[self.outside].mean() * 255),
                "repair": 1 - mse(edit, self.wrong) / mse(self.paste, self.wrong) if self.wrong_share >= WRONG_SHARE else None,
                "harm": float(np.abs(edit - self.truth)[self.right].mean() * 255)}


def seconds(folder):
    """Returns the median seconds per case from records.jsonl: all stages of an edit but loading the model."""
    times = {}
    if (folder / "records.jsonl").exists():
        for line in (folder / "records.jsonl").read_text().splitlines():
            try:
                record = json.loads(line)
                name, spent = record["out"].rsplit("/", 1)[-1].removesuffix(".png"), record["seconds"]
            except (ValueError, KeyError, TypeError):                 # a truncated line, or a record of a failure
                continue
            times.setdefault(name, []).append(sum(v for k, v in spent.items() if k != "load"))
    return {name: statistics.median(t) for name, t in times.items()}


def score(cases, folder):
    """Returns a row per case for the edits in `folder`. A case without an edit counts as unchanged."""
    times, rows = seconds(folder), []
    for case in cases:
        path = folder / f"{case.name}.png"
        edit = load(path) if path.exists() else case.before
        rows.append({"case": case.name, "kind": case.kind, "edited": path.exists(), **case.figures(edit), "seconds": times.get(case.name)})
    return rows


def baseline(cases, which):
    """Returns rows for `erase`, `paste`, `input` or `truth`."""
    picture = {"erase": lambda c: c.empty, "paste": lambda c: c.paste, "input": lambda c: c.before, "truth": lambda c: c.truth}[which]
    return [{"case": c.name, "kind": c.kind, "edited": True, **c.figures(picture(c)), "seconds": None} for c in cases]


def summary(rows):
    """Returns the mean of every figure (of `seconds` the median) for every kind and for all cases, None where no case has it."""
    out = {}
    for kind in [*sorted({r["kind"] for r in rows}), "all"]:
        of = [r for r in rows if kind in ("all", r["kind"])]
        out[kind] = {"cases": len(of)}
        for f in FIGURES:
            values = [r[f] for r in of if r[f] is not None]
            out[kind][f] = None if not values else statistics.median(values) if f == "seconds" else statistics.fmean(values)
    return out
