"""Asks how well the metrics of the papers agree with the truth (needs numpy):

    python3 metrics.py --manifest SUITE > SUITE/manifest.jsonl                     a manifest of the suite for `dragnext eval`
    dragnext eval --manifest SUITE/manifest.jsonl --edits EDITS --format json > NAME.json      for each method
    python3 score.py SUITE NAME=EDITS NAME=EDITS ... --json > score.json
    python3 metrics.py score.json NAME=NAME.json NAME=NAME.json ... [--markdown]

Prints Spearman's rank correlation of each figure with the gain of score.py, which knows the true result. Signs are turned so that 1 means: the
figure ranks as the truth does.
    edits     over all edits of all methods
    methods   of the methods' edits of one case, mean over the cases: does the figure find the better of several results?
    cases     of one method's edits, mean over the methods: does the figure find the cases that went wrong?
    means     of the methods' mean values: does a table of the figure rank the methods rightly?
"""
import argparse, json, pathlib, sys
import numpy as np

COLUMNS = ("edits", "methods", "cases", "means")


def manifest(suite):
    for case in sorted(p for p in suite.iterdir() if (p / "drag.json").exists()):
        n = case.name
        print(json.dumps({"id": n, "image": f"{n}/input.png", "drag": f"{n}/drag.json", "out": f"{n}.png", "category": n.rsplit("-", 1)[0]}))


def ranks(values):
    """Returns ranks from 0; equal values share the mean of theirs."""
    order, r = np.argsort(values, kind="stable"), np.empty(len(values))
    r[order] = np.arange(len(values))
    for v in np.unique(values):
        r[values == v] = r[values == v].mean()
    return r


def spearman(a, b):
    """Returns the rank correlation, or None where there is none: fewer than three pairs, or one side is constant."""
    keep = np.isfinite(a) & np.isfinite(b)
    a, b = ranks(a[keep]), ranks(b[keep])
    if len(a) < 3 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return None
    return float(np.corrcoef(a, b)[0, 1])


def mean(values):
    values = [v for v in values if v is not None]
    return float(np.mean(values)) if values else None


def correlations(gain, value):
    """Returns the four correlations of two arrays (methods, cases)."""
    complete = np.where(np.isfinite(value).all(axis=1), value.mean(axis=1), np.nan)
    return {"edits": spearman(value.ravel(), gain.ravel()), "methods": mean(spearman(value[:, i], gain[:, i]) for i in range(gain.shape[1])),
            "cases": mean(spearman(v, g) for v, g in zip(value, gain)), "means": spearman(complete, gain.mean(axis=1))}


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--manifest", type=pathlib.Path, metavar="SUITE"); p.add_argument("--markdown", action="store_true")
    p.add_argument("score", nargs="?", type=pathlib.Path); p.add_argument("evals", nargs="*", metavar="NAME=EVAL")
    args = p.parse_args()
    if args.manifest:
        return manifest(args.manifest)
    if not args.score or not args.evals:
        p.error("give score.py's JSON and at least one NAME=EVAL")
    truth = json.loads(args.score.read_text())["methods"]
    gains, values, figures, weights = [], [], None, set()
    for entry in args.evals:
        name, _, path = entry.partition("=")
        if name not in truth:
            p.error(f"{args.score} has no method {name}; it has {', '.join(truth)}")
        data = json.loads(pathlib.Path(path).read_text())
        own = [(f["name"], f["better"]) for f in data["figures"]]
        if figures not in (None, own):
            p.error(f"{path} has other figures than the files before it")
        figures = own
        weights |= {f["weights"] for f in data["figures"] if f["weights"]}
        results = {r["id"]: r.get("figures", {}) for r in data["results"]}
        cases = truth[name]["cases"]
        gains.append([c["gain"] for c in cases])
        # A failed edit, or a figure that is not defined, has no rank.
        values.append([[np.nan if (v := results.get(c["case"], {}).get(f)) is None else v for c in cases] for f, _ in figures])
    gains, values = np.array(gains), np.array(values)               # (methods, cases), (methods, figures, cases)
    table = [(f, correlations(gains, values[:, i] * (1 if better == "higher" else -1))) for i, (f, better) in enumerate(figures)]
    cell = lambda v: "-" if v is None else f"{v:.2f}"
    print(f"{len(gains)} methods, {gains.shape[1]} cases; weights: {', '.join(sorted(weights)) or 'none'}\n")
    if args.markdown:
        print("| figure | " + " | ".join(COLUMNS) + " |\n" + "|---" * (len(COLUMNS) + 1) + "|")
    else:
        print(" " * 18 + "".join(f"{c:>9}" for c in COLUMNS))
    for f, row in table:
        cells = [cell(row[c]) for c in COLUMNS]
        print(f"| {f} | " + " | ".join(cells) + " |" if args.markdown else f"{f:<18}" + "".join(f"{c:>9}" for c in cells))


if __name__ == "__main__":
    sys.exit(main())
