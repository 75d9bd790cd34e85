"""How fast dragnext is beside PyTorch on the same machine: the same calls on the same numbers, in turn.

    python3 bench.py compare MODEL --bench ../../target/release/examples/bench [--before OTHER] [--size 256] [--threads 2] [--repeat 5] [--calls a,b]
                     [--edit PICTURE DRAG.json] [--peers default,channels-last,kept-memory] [--reference FILE]
    python3 bench.py reference MODEL OUT.safetensors [--size 256] [--f64]     inputs, expected outputs and operation counts of all calls
    python3 bench.py serve MODEL REFERENCE [--threads 2] [--channels-last]    names of calls on the standard input, a line of JSON for each

MODEL is `demo` or a diffusers folder. `compare` prints how near everybody is to the reference, then tables in Markdown, then all figures as one line of
JSON; its exit status is 1 when a result is further off than 1e-4 (forward), or a gradient than 1e-3 or a cosine of 0.9999. Every program does each call once
untimed, then in turn with the others, which sleep meanwhile; OTHER is an older build of the same example. The reference is computed by PyTorch in f32, or
f64, with the size of its pictures; without a file `compare` makes one. Calls are those of examples/bench; `drag` ends the forward pass at its decoder stage,
as ours does. Operations are PyTorch's own count of the network as it computes it, whoever runs it.
"""
import argparse, importlib.metadata, json, os, pathlib, statistics, subprocess, sys, tempfile, time

from safetensors import safe_open                                 # PyTorch is left to the programs that `compare` starts

CALLS = ("unet_b1", "unet_b2", "unet_mutual_b2", "drag", "drag_noise", "lora", "vae_encode", "vae_decode")
PEERS = {                                                         # options and environment of each way to run PyTorch
    "default": ([], {}), "channels-last": (["--channels-last"], {}),
    "kept-memory": ([], {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(1 << 40)}),      # glibc gives nothing back to the kernel: few page faults
}
QUIET = {"TRANSFORMERS_VERBOSITY": "error", "DIFFUSERS_VERBOSITY": "error", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}


class Program:
    """One that waits for names of calls, and sleeps meanwhile."""

    def __init__(self, name, command, threads, environment=()):
        self.name = name
        settings = {"RAYON_NUM_THREADS": str(threads), "OMP_NUM_THREADS": str(threads), **QUIET, **dict(environment)}
        self.process = subprocess.Popen([str(c) for c in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, **settings})

    def ask(self, line):
        self.process.stdin.write(line + "\n"); self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer or "error" in (answer := json.loads(answer)):
            raise SystemExit(f"{self.name}: {line}: {answer or 'no answer'}")
        return answer

    def close(self):
        self.process.stdin.close(); self.process.wait()


def programs(args, path):
    edit = ["--edit", *args.edit] if args.edit else []
    ours = lambda binary: [binary, args.model, "--size", args.size, "--reference", path, "--serve", *edit]
    yield Program("dragnext", ours(args.bench), args.threads)
    if args.before:
        yield Program("before", ours(args.before), args.threads)
    for peer in args.peers:
        flags, environment = PEERS[peer]
        command = [sys.executable, __file__, "serve", args.model, path, "--threads", args.threads, "--lora-at-once", args.lora_at_once, *flags, *edit]
        yield Program("torch" if peer == "default" else f"torch {peer}", command, args.threads, environment)


def summary(runs, flop):
    """As examples/bench sums up."""
    seconds = [r["seconds"] for r in runs]
    out = {"seconds": seconds, "median": statistics.median(seconds), "min": min(seconds)}
    for k in ("minor_faults", "major_faults", "allocations", "allocated_bytes"):
        values = [r[k] for r in runs if r.get(k) is not None]
        if values: out[k] = int(statistics.median(values))
    peaks = [r["peak_bytes"] for r in runs if r.get("peak_bytes") is not None]
    if peaks: out["peak_bytes"] = max(peaks)
    if flop: out["gflop_per_second"] = flop / out["median"] / 1e9
    if "stages" in runs[0]:
        out["stages"] = {s: summary([r["stages"][s] for r in runs], None) for s in runs[0]["stages"]}
    return out


def compare(args):
    with tempfile.TemporaryDirectory() as t:
        path = args.reference or pathlib.Path(t) / "reference.safetensors"
        if not args.reference:
            note("making the reference")
            options = ["--size", args.size, "--lora-at-once", args.lora_at_once, *(["--calls", ",".join(args.calls)] if args.calls else [])]
            subprocess.run([sys.executable, __file__, "reference", args.model, *map(str, [path, *options])], check=True, env={**os.environ, **QUIET})
        with safe_open(path, "np") as f:
            flop = {c: f.get_tensor(f"flop.{c}").item() for c in CALLS}
            args.size = 8 * f.get_slice("z").get_shape()[2]
        those = list(programs(args, path))
        near, figures = {}, {}
        for call in args.calls or [*CALLS, *(["edit"] if args.edit else [])]:
            note(call)
            for p in those:                                       # caches are cold, and results are compared
                for quantity, a in p.ask(f"check {call}")["agreement"].items():
                    near.setdefault(quantity, {})[p.name] = a
            runs = {p.name: [] for p in those}
            for _ in range(args.repeat):
                for p in those:
                    time.sleep(args.rest)                         # until the threads of the one before sleep too
                    runs[p.name].append(p.ask(call))
            figures[call] = {name: summary(r, flop.get(call)) for name, r in runs.items()}
        for p in those:
            p.close()
    names = [p.name for p in those]
    show(args, names, near, figures)
    print(json.dumps({"agreement": near, "model": args.model, "size": args.size, "threads": args.threads, "repeat": args.repeat,
                      "torch": importlib.metadata.version("torch"), "flop": flop, "calls": figures}))
    far = [f"{q} of {n}" for q, by in near.items() for n, a in by.items() if not (a["cosine"] > .9999 and a["relative"] <= 1e-3 if q.endswith("gradient") else a["relative"] <= 1e-4)]
    if far:
        sys.exit("too far from the reference: " + ", ".join(far))


def note(text):
    print(text, file=sys.stderr, flush=True)


def table(head, rows):
    print("\n| " + " | ".join(head) + " |\n|---" + "|--:" * (len(head) - 1) + "|")
    for row in rows:
        print("| " + " | ".join(row) + " |")


def show(args, names, near, figures):
    print(f"{args.model}, {args.size} x {args.size}, {args.threads} threads, median of {args.repeat}, one program after the other in turn")
    table(["relative error (1 - cosine)", *names], [[q, *(f"{by[n]['relative']:.1e} ({max(0, 1 - by[n]['cosine']):.0e})" for n in names)] for q, by in near.items()])
    rows = [(call, by) for call, by in figures.items()]
    if "edit" in figures:                                         # we count the steps between dragged timesteps to the drag, the peer to the denoising
        for stages in (("encode",), ("lora",), ("invert",), ("drag", "denoise"), ("decode",)):
            if all(s in by["stages"] for s in stages for by in figures["edit"].values()):     # ours has no stage without work
                rows.append(("edit: " + " + ".join(stages), {n: together([by["stages"][s] for s in stages]) for n, by in figures["edit"].items()}))
    seconds = lambda by, n: f"{by[n]['median']:.4g} ({by[n]['min']:.4g})" + (f", {by[n]['gflop_per_second']:.0f}" if "gflop_per_second" in by[n] else "")
    table(["seconds (least), GFLOP/s", *names, *(f"{n} / dragnext" for n in names[1:])],
          [[call, *(seconds(by, n) for n in names), *(f"{by[n]['median'] / by[names[0]]['median']:.2f}" for n in names[1:])] for call, by in rows])
    ours = figures.get("edit", {}).get(names[0], {}).get("stages", {})
    count = lambda f: " / ".join([f"{f['minor_faults']:,}", f"{f['allocations']:,}" if "allocations" in f else "-", f"{f['peak_bytes'] / 2 ** 20:,.0f}"]) if "peak_bytes" in f else "-"
    rows = [[call, *(count(by[n]) for n in names)] for call, by in figures.items()]
    rows += [[f"edit: {s}", *(count(figures["edit"][n]["stages"].get(s, {})) for n in names)] for s in ("load", "encode", "lora", "invert", "drag", "denoise", "decode") if s in ours]
    table(["page faults / allocations / peak MiB", *names], rows)
    print()


def together(stages):
    seconds = [sum(s) for s in zip(*(s["seconds"] for s in stages))]
    return {"median": statistics.median(seconds), "min": min(seconds)}


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = p.add_subparsers(dest="command", required=True)
    r, s, c = (commands.add_parser(name) for name in ("reference", "serve", "compare"))
    for q in (r, s, c):
        q.add_argument("model"); q.add_argument("--lora-at-once", type=int, default=4, help="of four, pictures of a step of the fine-tuning that PyTorch computes at once")
    for q in (r, c):
        q.add_argument("--size", type=int, default=256); q.add_argument("--calls", type=lambda v: v.split(","))
    for q in (s, c):
        q.add_argument("--threads", type=int, default=os.cpu_count()); q.add_argument("--edit", nargs=2, metavar=("PICTURE", "DRAG.json"))
    r.add_argument("out"); r.add_argument("--f64", action="store_true")
    s.add_argument("reference"); s.add_argument("--channels-last", action="store_true")
    c.add_argument("--bench", type=pathlib.Path, required=True); c.add_argument("--before", type=pathlib.Path); c.add_argument("--reference")
    c.add_argument("--repeat", type=int, default=5); c.add_argument("--rest", type=float, default=.2)
    c.add_argument("--peers", type=lambda v: v.split(","), default=["default"])
    a = p.parse_args()
    if a.command == "compare":
        compare(a)
    else:
        import calls
        getattr(calls, a.command)(a)


if __name__ == "__main__":
    main()
