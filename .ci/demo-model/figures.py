#!/usr/bin/env python3
"""SceneBench scores of demo models, through the program and through tests/peer/torch_edit.py.

    figures.py table OUT --model before=FOLDER --model after=FOLDER [--seeds 11,12] [--cases 8] [--peer]
    figures.py sweep OUT --model NAME=FOLDER [--seeds 13] [--cases 3] [--only lora_steps,taps]
    figures.py readme OUT --model demo=FOLDER       prints the rows of tests/scenebench/README.md that depend on the model; updates CPU_GAIN of .ci/gpu
    figures.py time OUT --model NAME=FOLDER         prints the median seconds of five edits on two cores

`table` uses tests/scenebench/suite and a suite per seed (not seed 1, which is the suite). `sweep` changes one setting of the model's defaults at a time,
on seeds that no table uses. Edits that exist in OUT are kept, so an interrupted run continues. Needs numpy, Pillow and the built program (DRAGNEXT,
or target/release/dragnext); the peer needs tests/peer/requirements.txt.
"""
import argparse, functools, hashlib, json, os, pathlib, re, statistics, subprocess, sys, time

ROOT = pathlib.Path(__file__).resolve().parents[2]
BENCH = ROOT / "tests/scenebench"
PROGRAM = os.environ.get("DRAGNEXT", str(ROOT / "target/release/dragnext"))
DEFAULTS = dict(strength=.75, lora_steps=0, lora_rank=16, taps="3", iterations=3, start="warped", timesteps=15, vacated_noise=.6, lr=.01)
ROWS = dict(default={}, corrected=dict(vacated_noise=.6), free=dict(vacated_noise=.6, timesteps=0))
SWEEP = dict(vacated_noise=[0, .3, .6, 1], lora_steps=[20, 40, 70], taps=["2", "3", "2,3", "3,4"], iterations=[2, 3, 6], timesteps=[5, 15, 25], lr=[.005, .01, .02],
             strength=[.4, .5, .6, .75], start=["moved", "paper"])


def run(command, **environment):
    done = subprocess.run([str(c) for c in command], env={**os.environ, **environment}, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))}: exit status {done.returncode}")
    return done.stdout


def suites(a, with_suite=True):
    out = {"suite": BENCH / "suite"} if with_suite else {}
    for seed in filter(None, a.seeds.split(",")):
        folder = a.out / f"seed-{seed}-{a.cases}"
        if not (folder / "done").exists():
            run([sys.executable, BENCH / "make.py", folder, "--seed", seed, "--cases", a.cases])
            (folder / "done").touch()
        out[f"seed {seed}"] = folder
    return out


@functools.cache
def identity(folder):
    """Returns a hash of model and program, so that edits of different ones are not mixed up."""
    digest = hashlib.sha256()
    for path in [*sorted(pathlib.Path(folder).rglob("*.safetensors")), pathlib.Path(folder) / "dragnext.json", pathlib.Path(PROGRAM)]:
        digest.update(path.read_bytes() if path.exists() else b"")
    return digest.hexdigest()[:10]


def score(suite, edits):
    return json.loads(run([sys.executable, BENCH / "score.py", suite, edits, "--json"]))


def edit(a, folder, suite, name, **settings):
    """Returns the scores of a suite through the program."""
    flags = [f for k, v in settings.items() for f in (["--no-lora"] if (k, v) == ("lora_steps", 0) else [f"--{k.replace('_', '-')}", v])]
    out = a.out / f"{name}-{identity(folder)}"
    out.mkdir(parents=True, exist_ok=True)
    for case in sorted(p.parent for p in suite.glob("*/drag.json")):
        if not (out / f"{case.name}.png").exists():
            record = run([PROGRAM, "edit", case / "input.png", "--drag", case / "drag.json", "-o", out / f"{case.name}.png", "--model", folder, "--quiet", "--json", *flags],
                         DRAGNEXT_CACHE=str(a.out / "cache"))
            with open(out / "records.jsonl", "a") as f:
                f.write(record)
    return score(suite, out)


def peer(a, folder, suite, name, **settings):
    out = a.out / f"{name}-peer-{identity(folder)}"
    missing = [p.parent.name for p in sorted(suite.glob("*/drag.json")) if not (out / f"{p.parent.name}.png").exists()]
    if missing:
        quiet = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error", "DIFFUSERS_VERBOSITY": "error"}
        more = ["--set", *(f"{k}={json.dumps(v)}" for k, v in settings.items())] if settings else []
        run([sys.executable, ROOT / "tests/peer/torch_edit.py", "suite", folder, suite, out, "--only", ",".join(missing), *more], **quiet)
    return score(suite, out)


def models(a):
    return dict(m.split("=", 1) for m in a.model)


def table(a):
    lines = []
    for where, suite in suites(a, not a.no_suite).items():
        lines += ["", f"{where}:", "", "| kind | model | gain | hit | spill |" + (" peer's gain | hit | spill |" if a.peer else ""), "|---|---|" + "---|" * (6 if a.peer else 3)]
        rows = {}
        for name, folder in models(a).items():
            got = edit(a, folder, suite, f"{where.replace(' ', '-')}-{name}")["summary"]
            other = peer(a, folder, suite, f"{where.replace(' ', '-')}-{name}")["summary"] if a.peer else None
            for kind, v in got.items():
                cells = [v] + ([other[kind]] if other else [])
                rows.setdefault(kind, []).append(f"| {kind} | {name} | " + " | ".join(f"{c['gain']:.3f} | {c['hit']:.2f} | {c['spill']:.2f}" for c in cells) + " |")
        lines += [line for kind in rows for line in rows[kind]]
    (a.out / "table.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


def sweep(a):
    (name, folder), = models(a).items()
    own = pathlib.Path(folder) / "dragnext.json"
    base = {**DEFAULTS, **(json.loads(own.read_text()) if own.exists() else {})}
    places = suites(a, with_suite=False)
    gains = lambda **s: {(w, r["case"]): r["gain"] for w, p in places.items() for r in edit(a, folder, p, "-".join([w.replace(" ", "-"), name, *(f"{k}={v}" for k, v in s.items())]), **s)["cases"]}
    usual = gains()
    lines = [f"Defaults: {base}; {len(usual)} cases. The difference is the mean over cases of the difference to the defaults, with its standard error.", "", "| setting | gain | hit | difference |", "|---|---|---|---|"]

    def line(what, got):
        d = [got[c] - usual[c] for c in usual]
        error = statistics.stdev(d) / len(d) ** .5 if len(d) > 1 else 0
        lines.append(f"| {what} | {statistics.mean(got.values()):.3f} | {statistics.mean(g >= .75 for g in got.values()):.2f} | {statistics.mean(d):+.3f} ± {error:.3f} |")
        print(lines[-1], flush=True)
        (a.out / f"sweep-{name}.md").write_text("\n".join(lines) + "\n")
    line("defaults", usual)
    for setting, values in SWEEP.items():
        for v in values if not a.only or setting in a.only.split(",") else []:
            if str(v) != str(base[setting]):
                line(f"{setting} {v}", gains(**{setting: v}))


def readme(a):
    """Prints the rows of tests/scenebench/README.md that depend on the model, and updates CPU_GAIN of .ci/gpu."""
    (_, folder), = models(a).items()
    for where in ("suite", "hard"):
        columns = ("gain", "hit", "psnr", "spill", "harm") if where == "suite" else ("gain", "hit", "repair", "harm")
        for name, settings in ROWS.items():
            got = edit(a, folder, BENCH / where, f"{where}-{name}", **settings)
            cells = " | ".join(f"{got['summary']['all'][c]:.{3 if c == 'gain' else 1 if c == 'psnr' else 2}f}" for c in columns)
            kinds = ", ".join(f"{kind} {v['gain' if where == 'suite' else 'repair']:.3f}" for kind, v in got["summary"].items() if kind != "all")
            print(f"{where}: | {name} | {cells} |  per kind: {kinds}", flush=True)
            if (where, name) == ("suite", "default"):
                replace(ROOT / ".ci/gpu", r"(?m)^CPU_GAIN = [0-9.]+", f"CPU_GAIN = {statistics.median(c['gain'] for c in got['cases']):.3f}")


def replace(path, pattern, text, flags=0):
    old = path.read_text()
    new, count = re.subn(pattern, lambda _: text, old, count=1, flags=flags)
    if count != 1:
        raise SystemExit(f"{path}: no match for {pattern}")
    path.write_text(new)


def clock(a):
    for name, folder in models(a).items():
        case, seconds = BENCH / "suite/translation-00", []
        for _ in range(5):
            began = time.monotonic()
            run([PROGRAM, "edit", case / "input.png", "--drag", case / "drag.json", "-o", a.out / "timed.png", "--overwrite", "--model", folder, "--quiet"], DRAGNEXT_CACHE_LIMIT="0", RAYON_NUM_THREADS="2")
            seconds.append(time.monotonic() - began)
        print(f"{name}: median {statistics.median(seconds):.1f} s of {', '.join(f'{s:.1f}' for s in seconds)}")


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("what", choices=["table", "sweep", "readme", "time"]); p.add_argument("out", type=pathlib.Path)
    p.add_argument("--model", action="append", required=True, metavar="NAME=FOLDER"); p.add_argument("--seeds", default="")
    p.add_argument("--cases", type=int, default=8); p.add_argument("--only"); p.add_argument("--peer", action="store_true"); p.add_argument("--no-suite", action="store_true", help="seeds only")
    a = p.parse_args()
    if "1" in a.seeds.split(","):
        p.error("seed 1 is the suite")
    if a.what == "sweep" and not a.seeds:
        a.seeds, a.cases = "13", min(a.cases, 3)
    a.out = a.out.resolve()
    a.out.mkdir(parents=True, exist_ok=True)
    {"table": table, "sweep": sweep, "readme": readme, "time": clock}[a.what](a)


if __name__ == "__main__":
    main()
