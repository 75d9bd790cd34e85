#!/usr/bin/env python3
"""Writes ten scenes of the plain suite in the layout of DragBench, two of each kind.

    python3 dragbench.py OUT

OUT/KIND/CASE/ has `original_image.png` and `meta_data.pkl`: the prompt, the handles and targets as pixel indices, and the mask of what may
change, which is what the regions cover before or after the drag. `truth.png` is the perfect edit, which DragBench does not have.
"""
import json
import pathlib
import pickle
import shutil
import sys
import numpy as np
from regions import touched

SUITE = pathlib.Path(__file__).resolve().parent / "suite"
KINDS = ["translation", "rotation", "deformation", "hinge", "double"]
SIZE = 256


def index(point):
    """Returns the pixel under a point."""
    return [min(max(int(value), 0), SIZE - 1) for value in point]


def write(case, out):
    drag = json.loads((case / "drag.json").read_text())
    points = [index(region[key]) for region in drag["regions"] for key in ("handle", "target")]
    mask = np.asarray(touched(drag["regions"], (SIZE, SIZE)), dtype=np.uint8)
    out.mkdir(parents=True)
    shutil.copyfile(case / "input.png", out / "original_image.png")
    shutil.copyfile(case / "truth.png", out / "truth.png")
    (out / "meta_data.pkl").write_bytes(pickle.dumps({"prompt": drag["prompt"], "points": points, "mask": mask}, protocol=4))


def main():
    out = pathlib.Path(sys.argv[1])
    for kind in KINDS:
        for case in sorted(SUITE.glob(f"{kind}-*"))[:2]:
            write(case, out / kind / case.name)


if __name__ == "__main__":
    main()
