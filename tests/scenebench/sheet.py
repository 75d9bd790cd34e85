"""Writes a contact sheet of a suite: python3 sheet.py SUITE OUT.png [NAME=EDITS ...] [--only shadow,tight-00]   (needs numpy, Pillow)

A row per case: input with the regions before (blue) and after (red), truth, plain paste, and each method's edit. With --error, each picture is followed by its
difference from the truth, four times enlarged.
"""
import argparse, json, pathlib
import numpy as np
from PIL import Image, ImageDraw
from figures import Case, load
from regions import covers


def outlined(picture, drag):
    """Returns the picture with the regions' edges drawn in."""
    out = picture.copy()
    for region in drag["regions"]:
        for progress, color in ((0, (0, 0, 1)), (1, (1, 0, 0))):
            there = covers(region, picture.shape[:2], progress)[0]
            inner = there & np.all([np.roll(there, s, a) for s in (-1, 1) for a in (0, 1)], axis=0)
            out[there & ~inner] = color
    return out


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("suite", type=pathlib.Path); p.add_argument("out", type=pathlib.Path); p.add_argument("edits", nargs="*", metavar="[NAME=]EDITS")
    p.add_argument("--only", help="beginnings of cases' names, separated by commas"); p.add_argument("--error", action="store_true")
    args = p.parse_args()
    folders = [c for c in sorted(args.suite.iterdir()) if (c / "drag.json").exists() and c.name.startswith(tuple(args.only.split(",") if args.only else [""]))]
    if not folders:
        p.error(f"no such cases in {args.suite}")
    rows = []
    for folder in folders:
        case, drag = Case(folder), json.loads((folder / "drag.json").read_text())
        shown = {case.name: outlined(case.before, drag), "truth": case.truth, "paste": case.paste}
        for edits in args.edits:
            name, _, where = edits.rpartition("=")
            path = pathlib.Path(where) / f"{case.name}.png"
            shown[name or pathlib.Path(where).name] = load(path) if path.exists() else np.zeros_like(case.before)
        row = []
        for title, picture in shown.items():
            if title not in (case.name, "truth"):
                f = case.figures(picture)
                title += f"  gain {f['gain']:.2f} harm {f['harm']:.1f}" + ("" if f["repair"] is None else f" repair {f['repair']:.2f}")
            tile = Image.fromarray((picture * 255 + .5).astype(np.uint8))
            ImageDraw.Draw(tile).text((3, 2), title, fill=(0, 0, 0))
            row.append(np.asarray(tile))
            if args.error and picture is not shown[case.name] and picture is not case.truth:
                row.append((np.clip(np.abs(picture - case.truth) * 4, 0, 1) * 255).astype(np.uint8))
        rows.append(np.concatenate(row, 1))
    Image.fromarray(np.concatenate(rows)).save(args.out, optimize=True)


if __name__ == "__main__":
    main()
