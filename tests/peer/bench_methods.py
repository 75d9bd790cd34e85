"""Times whole edits of the other methods beside their PyTorch references, in turn on the same machine.

    python3 bench_methods.py MODEL CASE --program ../../target/release/dragnext [--methods drag-diffusion,good-drag] [--set lora_steps=10 ...] [--threads 1] [--repeat 3]

MODEL is a diffusers folder (the demo model: ../../assets/demo), CASE a folder of a SceneBench suite. The model's own defaults are left out on both sides, since
the references do not know them. Loading the model is not counted on either side. Prints a table in Markdown (medians, minimum in brackets, and the ratio of the
medians) and all figures as one line of JSON.
"""
import argparse, copy, json, os, pathlib, statistics, subprocess, sys, tempfile, time

POINTS, COPIES = ("drag-diffusion", "good-drag"), ("region-drag", "fast-drag")
HERE = pathlib.Path(__file__).resolve().parent


def serve(args):
    """Edits once for each line of standard input, which names a method; replies with the seconds and passes."""
    import torch
    import torch_copies, torch_points
    from torch_edit import Model, setting
    torch.set_num_threads(args.threads)
    m, given = Model(args.model, "cpu", torch.float32), dict(map(setting, args.set))
    unet = m.unet
    for line in sys.stdin:
        method = line.strip()
        module = torch_points if method in POINTS else torch_copies
        m.unet = copy.deepcopy(unet)                              # a LoRA is merged into it
        own = {k: v for k, v in given.items() if k in module.SETTINGS[method]}
        begun = time.perf_counter()
        passes = module.edit_file(m, method, args.case / "input.png", args.case / "drag.json", pathlib.Path(args.out) / "peer.png", own)
        print(json.dumps({"seconds": time.perf_counter() - begun, "passes": passes}), flush=True)


def edit(args, model, method, out):
    flags = [f"--{k.replace('_', '-')}={v}" for k, v in (s.split("=", 1) for s in args.set) if method in POINTS or not k.startswith("lora")]
    command = [args.program, "edit", args.case / "input.png", "--drag", args.case / "drag.json", "--model", model, "--no-cache", "--overwrite", "--quiet", "--json",
               "--method", method, *flags, "-o", out / "program.png"]
    done = subprocess.run(list(map(str, command)), check=True, stdout=subprocess.PIPE, text=True, env={**os.environ, "RAYON_NUM_THREADS": str(args.threads)})
    record = json.loads(done.stdout)
    return {"seconds": sum(v for k, v in record["seconds"].items() if k != "load"), "peak_bytes": record["peak_bytes"]}


def model_without_defaults(model, out):
    """Returns a folder with the files of `model` except its dragnext.json."""
    folder = out / "model"
    folder.mkdir()
    for entry in pathlib.Path(model).resolve().iterdir():
        if entry.name != "dragnext.json":
            (folder / entry.name).symlink_to(entry)
    return folder


def compare(args):
    with tempfile.TemporaryDirectory() as out:
        out, figures = pathlib.Path(out), {}
        model = model_without_defaults(args.model, out)
        command = [sys.executable, __file__, "serve", model, args.case, "--out", out, "--threads", args.threads, "--set", *args.set]
        peer = subprocess.Popen(list(map(str, command)), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": str(args.threads)})

        def ask(method):
            peer.stdin.write(method + "\n"); peer.stdin.flush()
            reply = peer.stdout.readline()
            return json.loads(reply) if reply else sys.exit("the reference ended")

        for method in args.methods:
            runs = {"dragnext": [], "torch": []}
            for k in range(args.repeat + 1):                      # the first run is not measured
                for name, run in (("dragnext", lambda: edit(args, model, method, out)), ("torch", lambda: ask(method))):
                    time.sleep(.2)
                    result = run()
                    if k: runs[name].append(result)
            figures[method] = runs
        peer.stdin.close(); peer.wait()
    seconds = lambda rs: [r["seconds"] for r in rs]
    print(f"\n{args.case.name}, {args.threads} threads, {' '.join(args.set)}, median of {args.repeat} runs (minimum)\n\n| method | dragnext | PyTorch | ratio |\n|---|--:|--:|--:|")
    for method, runs in figures.items():
        a, b = seconds(runs["dragnext"]), seconds(runs["torch"])
        print(f"| {method} | {statistics.median(a):.2f} s ({min(a):.2f}) | {statistics.median(b):.2f} s ({min(b):.2f}) | {statistics.median(a) / statistics.median(b):.2f} |")
    print("\n" + json.dumps(figures))


def main():
    serving = sys.argv[1:2] == ["serve"]
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("model"); p.add_argument("case", type=pathlib.Path)
    p.add_argument("--program", type=pathlib.Path, default=HERE.parents[1] / "target/release/dragnext")
    p.add_argument("--methods", type=lambda v: v.split(","), default=[*POINTS, *COPIES])
    p.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE"); p.add_argument("--threads", type=int, default=1); p.add_argument("--repeat", type=int, default=3)
    p.add_argument("--out", help=argparse.SUPPRESS)
    args = p.parse_args(sys.argv[2:] if serving else None)
    serve(args) if serving else compare(args)


if __name__ == "__main__":
    main()
