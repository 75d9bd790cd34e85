"""The training loop of both stages: schedule, averaged weights, checkpoints, resumption, and files in pieces.

The progress of a training is a fraction from 0 to 1. With --steps it is the share of steps done, and an interrupted training gives the bits of an
uninterrupted one (on a CPU; sums on a GPU have no fixed order). With --minutes it follows the clock: a call goes from the fraction where the last
one stopped to --until in its time limit, which counts from the start of the process. The random numbers of a step follow from its number.
"""
import time

START = time.monotonic()                                          # of the process: --minutes includes the import of PyTorch

import contextlib, hashlib, json, math, os, pathlib, shutil, signal, tarfile
import torch
import networks

PARTS = {"vae": ["vae"], "unet": ["unet", "text_encoder"]}        # parts of the model by stage
FLOOR = .02                                                       # final learning rate, relative to the peak
PATIENCE = 50                                                     # most skipped steps in a row


def say(text):
    print(f"[{time.monotonic() - START:6.1f} s] {text}", flush=True)


def write(path, save):
    """Replaces a file atomically, so that an interruption leaves the old one."""
    new = path.with_name(path.name + ".new")
    save(new)
    with open(new, "rb") as f:
        os.fsync(f.fileno())
    new.replace(path)


class Training:
    def __init__(self, a, stage, modules, rate, warm, decay, beta, weight_decay):
        self.a, self.stage, self.modules, self.peak, self.warm, self.decay = a, stage, modules, a.rate or rate, warm, decay
        self.path = pathlib.Path(a.out) / f"{stage}.pt"
        self.parameters = {f"{part}/{k}": p for part, m in modules.items() for k, p in m.named_parameters()}
        self.average = {k: p.detach().clone() for k, p in self.parameters.items()}
        self.optimiser = torch.optim.AdamW(list(self.parameters.values()), lr=0.0, betas=(.9, beta), weight_decay=weight_decay, fused=a.device == "cuda")
        self.step, self.fraction, self.skipped, self.in_a_row, self.stopped = 0, 0.0, 0, 0, None
        self.generator = torch.Generator(a.device)
        if a.resume and self.path.exists():
            self.restore(torch.load(self.path, map_location=a.device, weights_only=True))
            say(f"{stage}: resumes at step {self.step}, {self.fraction:.1%} of the schedule")
        for s in (signal.SIGTERM, signal.SIGINT):
            signal.signal(s, lambda number, _: setattr(self, "stopped", number))

    # ------------------------------------------------------------ state

    def state(self):
        return {"stage": self.stage, "step": self.step, "fraction": self.fraction, "skipped": self.skipped, "configs": {p: json.dumps(m.config) for p, m in self.modules.items()},
                "weights": {k: p.detach() for k, p in self.parameters.items()}, "average": self.average, "optimiser": self.optimiser.state_dict()["state"]}

    def restore(self, state):
        assert state["stage"] == self.stage and list(state["weights"]) == list(self.parameters), "the state belongs to another network"
        self.step, self.fraction, self.skipped = state["step"], state["fraction"], state["skipped"]
        with torch.no_grad():
            for k, p in self.parameters.items():
                p.copy_(state["weights"][k]); self.average[k].copy_(state["average"][k])
        groups = self.optimiser.state_dict()["param_groups"]
        wide = lambda v: {n: t.float() if torch.is_tensor(t) else t for n, t in v.items()}
        self.optimiser.load_state_dict({"state": {i: wide(v) for i, v in state["optimiser"].items()}, "param_groups": groups})

    def save(self):
        write(self.path, lambda new: torch.save(self.state(), new))

    @contextlib.contextmanager
    def averaged(self):
        """A context in which the networks have the averaged weights."""
        def swap():
            with torch.no_grad():
                for k, p in self.parameters.items():
                    held = p.detach().clone(); p.copy_(self.average[k]); self.average[k].copy_(held)
        swap()
        try:
            yield
        finally:
            swap()

    # ------------------------------------------------------------ steps

    def seeded(self, step):
        return self.generator.manual_seed(1_000_003 * (1 + ["vae", "unet"].index(self.stage)) + step)

    def update(self, loss):
        """Takes a step of the optimiser. If the loss or its gradient is not finite, the step is skipped and counted."""
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(list(self.parameters.values()), 1.0)
        if not torch.isfinite(loss.detach() + norm):
            self.skipped += 1; self.in_a_row += 1
            if self.in_a_row >= PATIENCE:
                raise SystemExit(f"{self.stage}: {PATIENCE} steps in a row were not finite; the last good state is in {self.path}")
            return
        self.in_a_row = 0
        rate = self.peak * min(1, (self.step + 1) / self.warm) * (FLOOR + (1 - FLOOR) * .5 * (1 + math.cos(math.pi * self.fraction)))
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.optimiser.step()
        keep = min(self.decay, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            torch._foreach_lerp_(list(self.average.values()), [p.detach() for p in self.parameters.values()], 1 - keep)

    def run(self, loss, report):
        """Minimises `loss(generator, fraction)` until the schedule or this call ends; `report()` returns a text about the averaged weights."""
        a, first, begun = self.a, self.fraction, time.monotonic()
        deadline = START + 60 * a.minutes - a.reserve
        if not a.steps and begun > deadline:
            raise SystemExit(f"{self.stage}: no time left for steps: --minutes {a.minutes} started {begun - START:.0f} s ago")
        spoken, saved, steps, mean = begun, begun, 0, None
        while self.fraction < a.until and self.stopped is None:
            if a.die_at is not None and self.step == a.die_at:
                os.kill(os.getpid(), signal.SIGKILL)              # for test.py
            value = loss(self.seeded(self.step), self.fraction)
            self.update(value)
            self.step += 1; steps += 1
            now = time.monotonic()
            if steps == 1:
                begun = now                                       # the schedule excludes compilation in the first step
                if not a.steps and deadline - begun < 5:
                    raise SystemExit(f"{self.stage}: the start took the whole time limit; the state is unchanged")
            self.fraction = self.step / a.steps if a.steps else min(a.until, first + (a.until - first) * max(0, now - begun) / max(1, deadline - begun))
            value = value.item()
            if math.isfinite(value):
                mean = value if mean is None else .98 * mean + .02 * value
            if now - saved >= a.checkpoint_every:
                self.save(); saved = now
            if now - spoken >= a.report_every:
                with self.averaged():
                    extra = report()
                memory = f", {torch.cuda.max_memory_allocated() / 2**30:.1f} GiB" if a.device == "cuda" else ""
                say(f"step {self.step} ({self.fraction:.1%}) loss {math.nan if mean is None else mean:.5f} {extra}, {steps / (now - begun + 1e-9):.2f} steps/s, skipped {self.skipped}{memory}")
                spoken = time.monotonic()
        self.save()
        speed = f"{steps} steps in {time.monotonic() - begun:.0f} s, skipped {self.skipped}"
        say(f"{self.stage}: step {self.step}, {self.fraction:.1%} of the schedule; {speed}")
        return self.stopped is None

    def average_of(self, part):
        return {k.split("/", 1)[1]: v for k, v in self.average.items() if k.split("/", 1)[0] == part}


def autocast(a, on=True):
    return torch.autocast(a.device, dtype=torch.bfloat16, enabled=on) if a.device == "cuda" or a.bf16 else contextlib.nullcontext()


def compiled(a, module):
    """Returns the module, compiled if requested; parts that cannot be compiled run uncompiled."""
    if not a.compile:
        return module
    import torch._dynamo
    torch._dynamo.config.suppress_errors = True
    return torch.compile(module, dynamic=False)


def model_folder(a):
    """Creates OUT/model with all files that are not trained."""
    out = pathlib.Path(a.out) / "model"
    for name in ("model_index.json", "dragnext.json", "scheduler/scheduler_config.json", "tokenizer/merges.txt", "tokenizer/tokenizer_config.json", "tokenizer/vocab.json"):
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(networks.TEMPLATE / name, out / name)
    return out


# ---------------------------------------------------------------- transfers

def narrow(state):
    """Returns the state in half the bytes: weights in f32, averages in f16 (as in the model), moments of the optimiser in bf16."""
    to = lambda tensors, dtype: {k: v.to("cpu", dtype) for k, v in tensors.items()}
    moments = {i: {n: t.to("cpu", torch.bfloat16) if n.startswith("exp_avg") else t.cpu() for n, t in v.items()} for i, v in state["optimiser"].items()}
    return {**state, "weights": to(state["weights"], torch.float32), "average": to(state["average"], torch.float16), "optimiser": moments}


def pack(a):
    """Packs the model of OUT, and with --state the state of a stage, in pieces of at most --split MiB with checksums in the folder --to.

    The parts of the model that the state averages are packed only once: `join` writes them from the state.
    """
    out, to = pathlib.Path(a.out), pathlib.Path(a.to)
    to.mkdir(parents=True, exist_ok=True)
    files = []
    if (out / "model").exists():
        with tarfile.open(out / "model.tar", "w") as tar:
            tar.add(out / "model", "model", filter=lambda f: None if any(f.name.startswith(f"model/{p}") for p in PARTS.get(a.state, [])) else f)
        files.append("model.tar")
    if a.state:
        write(out / f"{a.state}.small.pt", lambda new: torch.save(narrow(torch.load(out / f"{a.state}.pt", map_location="cpu", weights_only=True)), new))
        files.append(f"{a.state}.small.pt")
    table = {}
    for name in files:
        data, size = (out / name).read_bytes(), a.split << 20
        pieces = [data[k:k + size] for k in range(0, len(data), size)]
        for k, piece in enumerate(pieces):
            (to / f"{name}.{k:02d}").write_bytes(piece)
        table[name] = {"pieces": len(pieces), "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        (out / name).unlink()
    (to / "pieces.json").write_text(json.dumps(table, indent=1) + "\n")
    say(f"packed into {to}: {table}")


def join(a):
    """Restores OUT/model and the state, for --resume, from the pieces in the folder --to."""
    out, source = pathlib.Path(a.out), pathlib.Path(a.to)
    out.mkdir(parents=True, exist_ok=True)
    for name, facts in json.loads((source / "pieces.json").read_text()).items():
        data = b"".join((source / f"{name}.{k:02d}").read_bytes() for k in range(facts["pieces"]))
        if (len(data), hashlib.sha256(data).hexdigest()) != (facts["bytes"], facts["sha256"]):
            raise SystemExit(f"{name}: the checksum of the pieces is wrong")
        target = out / name.replace(".small.pt", ".pt")
        write(target, lambda new: new.write_bytes(data))
        if name == "model.tar":
            with tarfile.open(target) as tar:
                tar.extractall(out, filter="data")
            target.unlink()
        else:
            state = torch.load(target, map_location="cpu", weights_only=True)
            for part, settings in state["configs"].items():
                average = {k.split("/", 1)[1]: v for k, v in state["average"].items() if k.split("/", 1)[0] == part}
                networks.save(out / "model", part, average, json.loads(settings))
        say(f"{name}: {len(data)} bytes, checksum correct")
