#!/usr/bin/env python3
"""Draws what the network contributed: contribution.py SUITE EDITS OUT.png [--program PROGRAM]

For the three edits of a suite that are worst beside the warped picture and the three that are best (by the squared error to the truth):
truth, warped picture, result, and four times the difference of the last two on grey. Needs numpy and Pillow.
"""
import argparse, pathlib, subprocess, tempfile
import numpy as np
from PIL import Image, ImageDraw

TILE, GAP, HEAD = 160, 4, 14


def pixels(path):
    return np.asarray(Image.open(path).convert("RGB"), dtype=np.int16)


def warped(program, case, folder):
    out = pathlib.Path(folder) / f"{case.name}.png"
    subprocess.run([program, "preview", case / "input.png", "--drag", case / "drag.json", "--warped", "-o", out], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return pixels(out)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("suite", type=pathlib.Path); p.add_argument("edits", type=pathlib.Path); p.add_argument("out", type=pathlib.Path)
    p.add_argument("--program", default=pathlib.Path(__file__).resolve().parents[2] / "target/release/dragnext")
    a = p.parse_args()
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for case in sorted(c.parent for c in a.suite.glob("*/drag.json")):
            truth, start, result = pixels(case / "truth.png"), warped(a.program, case, folder), pixels(a.edits / f"{case.name}.png")
            error = lambda x: float(np.square(x - truth).mean())
            found.append((error(start) - error(result), case.name, truth, start, result))
    found.sort(key=lambda case: case[0])
    chosen = found[:3] + found[-3:]
    sheet = Image.new("RGB", (len(chosen) * (TILE + GAP) - GAP, HEAD + 4 * (TILE + GAP) - GAP), "white")
    pen = ImageDraw.Draw(sheet)
    for column, (_, name, truth, start, result) in enumerate(chosen):
        pen.text((column * (TILE + GAP), 0), name, fill="black")
        for row, x in enumerate((truth, start, result, 128 + 4 * (result - start))):
            picture = Image.fromarray(x.clip(0, 255).astype(np.uint8)).resize((TILE, TILE), Image.Resampling.LANCZOS)
            sheet.paste(picture, (column * (TILE + GAP), HEAD + row * (TILE + GAP)))
    sheet.save(a.out, optimize=True)


if __name__ == "__main__":
    main()
