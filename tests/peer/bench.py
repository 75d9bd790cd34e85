"""Benchmark of dragnext against PyTorch on the same machine: the same calls on the same inputs, in turn.

    python3 bench.py compare MODEL --bench ../../target/release/examples/bench [--before OTHER] [--size 256] [--threads 2] [--repeat 5] [--calls a,b]
                     [--edit PICTURE DRAG.json] [--peers default,channels-last,kept-memory] [--reference FILE]
    python3 bench.py reference MODEL OUT.safetensors [--size 256] [--f64]     writes inputs, expected outputs and operation counts of all calls
    python3 bench.py serve MODEL REFERENCE [--threads 2] [--channels-last]    runs the calls named on standard input; one line of JSON each

MODEL is `demo` or a diffusers folder. OTHER is an older build of examples/bench. Calls are those of examples/bench.

- `compare` prints the agreement of every program with the reference, tables in Markdown, and all figures as one line of JSON. Its exit status is 1 if
  the relative error of a result exceeds 1e-4, or that of a gradient 1e-3, or if the cosine of a gradient is at most 0.9999.
- Every program runs each call once without measuring it, then in turn with the other programs, which sleep meanwhile.
- The reference is computed by PyTorch in f32, or in f64. Without `--reference`, `compare` computes it first.
- `drag` ends the forward pass at its decoder stage, as dragnext does. Operation counts are PyTorch's for the network in PyTorch, for all programs.
"""
import argparse, importlib.metadata, json, os, pathlib, statistics, subprocess, sys, tempfile, time

from safetensors import safe_open                                 # only the programs that `compare` starts import PyTorch

CALLS = ("unet_b1", "unet_b2", "unet_mutual_b2", "drag", "drag_noise", "lora", "vae_encode", "vae_decode")
PEERS = {                                                         # options and environment of each PyTorch configuration
    "default": ([], {}), "channels-last": (["--channels-last"], {}),
    "kept-memory": ([], {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(1 << 40)}),      # glibc returns no memory to the kernel: few page faults
}
QUIET = {"TRANSFORMERS_VERBOSITY": "error", "DIFFUSERS_VERBOSITY": "error", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}


class Program:
    """A program that runs calls on request, and sleeps otherwise."""

    def __init__(self, name, command, threads, environment=()):
        self.name = name
        settings = {"RAYON_NUM_THREADS": str(threads), "OMP_NUM_THREADS": str(threads), **QUIET, **dict(environment)}
        self.process = subprocess.Popen([str(c) for c in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, **settings})

    def request(self, line):
        self.process.stdin.write(line + "\n"); self.process.stdin.flush()
        reply = self.process.stdout.readline()
        if not reply or "error" in (reply := json.loads(reply)):
            raise SystemExit(f"{self.name}: {line}: {reply or 'no reply'}")
        return reply

    def close(self):
        self.process.stdin.close(); self.process.wait()


def programs(args, path):
    edit = ["--edit", *args.edit] if args.edit else []
    dragnext = lambda binary: [binary, args.model, "--size", args.size, "--reference", path, "--serve", *edit]
    yield Program("dragnext", dragnext(args.bench), args.threads)
    if args.before:
        yield Program("before", dragnext(args.before), args.threads)
    for peer in args.peers:
        flags, environment = PEERS[peer]
        command = [sys.executable, __file__, "serve", args.model, path, "--threads", args.threads, "--lora-at-once", args.lora_at_once, *flags, *edit]
        yield Program("torch" if peer == "default" else f"torch {peer}", command, args.threads, environment)


def summary(runs, flop):
    """Summarises runs as examples/bench does."""
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
            note("computing the reference")
            options = ["--size", args.size, "--lora-at-once", args.lora_at_once, *(["--calls", ",".join(args.calls)] if args.calls else [])]
            subprocess.run([sys.executable, __file__, "reference", args.model, *map(str, [path, *options])], check=True, env={**os.environ, **QUIET})
        with safe_open(path, "np") as f:
            flop = {c: f.get_tensor(f"flop.{c}").item() for c in CALLS}
            args.size = 8 * f.get_slice("z").get_shape()[2]
        running = list(programs(args, path))
        near, figures = {}, {}
        for call in args.calls or [*CALLS, *(["edit"] if args.edit else [])]:
            note(call)
            for p in running:                                       # warm-up run, whose results are compared
                for quantity, a in p.request(f"check {call}")["agreement"].items():
                    near.setdefault(quantity, {})[p.name] = a
            runs = {p.name: [] for p in running}
            for _ in range(args.repeat):
                for p in running:
                    time.sleep(args.rest)                         # until the threads of the previous program sleep
                    runs[p.name].append(p.request(call))
            figures[call] = {name: summary(r, flop.get(call)) for name, r in runs.items()}
        for p in running:
            p.close()
    names = [p.name for p in running]
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
    print(f"{args.model}, {args.size} x {args.size}, {args.threads} threads, median of {args.repeat} runs, programs in turn")
    table(["relative error (1 - cosine)", *names], [[q, *(f"{by[n]['relative']:.1e} ({max(0, 1 - by[n]['cosine']):.0e})" for n in names)] for q, by in near.items()])
    rows = [(call, by) for call, by in figures.items()]
    if "edit" in figures:                                         # dragnext counts the denoising steps between dragged timesteps as drag, the peer as denoising
        for stages in (("encode",), ("lora",), ("invert",), ("drag", "denoise"), ("decode",)):
            if all(s in by["stages"] for s in stages for by in figures["edit"].values()):     # dragnext reports no stage without work
                rows.append(("edit: " + " + ".join(stages), {n: together([by["stages"][s] for s in stages]) for n, by in figures["edit"].items()}))
    seconds = lambda by, n: f"{by[n]['median']:.4g} ({by[n]['min']:.4g})" + (f", {by[n]['gflop_per_second']:.0f}" if "gflop_per_second" in by[n] else "")
    table(["seconds (minimum), GFLOP/s", *names, *(f"{n} / dragnext" for n in names[1:])],
          [[call, *(seconds(by, n) for n in names), *(f"{by[n]['median'] / by[names[0]]['median']:.2f}" for n in names[1:])] for call, by in rows])
    stages = figures.get("edit", {}).get(names[0], {}).get("stages", {})
    count = lambda f: " / ".join([f"{f['minor_faults']:,}", f"{f['allocations']:,}" if "allocations" in f else "-", f"{f['peak_bytes'] / 2 ** 20:,.0f}"]) if "peak_bytes" in f else "-"
    rows = [[call, *(count(by[n]) for n in names)] for call, by in figures.items()]
    rows += [[f"edit: {s}", *(count(figures["edit"][n]["stages"].get(s, {})) for n in names)] for s in ("load", "encode", "lora", "invert", "drag", "denoise", "decode") if s in stages]
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
        q.add_argument("model"); q.add_argument("--lora-at-once", type=int, default=4, help="batch size of PyTorch for the four pictures of a training step")
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
