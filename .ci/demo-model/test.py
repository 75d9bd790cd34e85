#!/usr/bin/env python3
"""Tests that need no GPU: python3 .ci/demo-model/test.py [networks|pictures|skips|resume|decoder]...

networks  networks and tokenizer agree with diffusers and transformers (needs both)
pictures  scenes of the suites agree with tests/scenebench, and scenes are reproducible
skips     a step with a non-finite loss changes nothing and is counted; fifty in a row stop the training
resume    a training that is killed and resumed gives the bits of an uninterrupted one
decoder   a training of the decoder alone changes no bit of the encoder and of the scaling factor
"""
import json, os, pathlib, subprocess, sys, tempfile

HERE = pathlib.Path(__file__).resolve().parent
os.environ.setdefault("HF_HUB_OFFLINE", "1")
sys.path.insert(0, str(HERE))
import numpy as np
import torch
from safetensors.torch import load_file
import networks


def close(name, a, b, limit):
    error = ((a - b).abs().max() / b.abs().max()).item()
    print(f"{name}: largest difference {error:.1e} of the largest value")
    assert error < limit, name


def test_networks():
    from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
    from transformers import CLIPTextModel, CLIPTokenizer
    where = networks.TEMPLATE
    torch.manual_seed(0)
    with torch.no_grad():
        mine, theirs = networks.load(where, "unet"), UNet2DConditionModel.from_pretrained(where, subfolder="unet").float().eval()
        for h, w in ((32, 32), (12, 10)):
            z, t, c = torch.randn(2, 4, h, w), torch.tensor([741, 21]), torch.randn(2, 77, 64)
            close(f"unet {h}x{w}", mine(z, t, c), theirs(z, t, c).sample, 2e-5)
        mine, theirs = networks.load(where, "vae"), AutoencoderKL.from_pretrained(where, subfolder="vae").float().eval()
        x = torch.rand(2, 3, 96, 80) * 2 - 1
        d = theirs.encode(x).latent_dist
        close("vae mean", mine.moments(x)[0], d.mean, 2e-5); close("vae logvar", mine.moments(x)[1], d.logvar, 2e-5)
        z = torch.randn(2, 4, 12, 10)
        close("vae decoded", mine.decode(z), theirs.decode(z / theirs.config.scaling_factor).sample, 2e-5)
        tok, words = CLIPTokenizer.from_pretrained(where, subfolder="tokenizer"), networks.Tokenizer(where)
        import pictures
        texts = ["", "a photo, it is!  A red DISC"] + [pictures.caption(pictures.draw(1, i)) for i in range(200)]
        ids = tok(texts, padding="max_length", max_length=77, truncation=True, return_tensors="pt").input_ids
        assert torch.equal(ids, words(texts)), "tokens differ"
        mine, theirs = networks.load(where, "text_encoder"), CLIPTextModel.from_pretrained(where, subfolder="text_encoder").float().eval()
        close("text", mine(ids[:8]), theirs(ids[:8]).last_hidden_state, 2e-5)
        s = DDIMScheduler.from_pretrained(where, subfolder="scheduler")
        close("schedule", networks.schedule(), s.alphas_cumprod, 1e-6)


def test_pictures():
    import pictures
    sys.path.insert(0, str(HERE.parents[1] / "tests/scenebench"))
    import scenes
    plain = [pictures.plain(7, i) for i in range(24)] + [pictures.of_hard_suite(np.random.default_rng([7, i])) for i in range(36)]
    mine = pictures.render(plain, "cpu").permute(0, 2, 3, 1).numpy() / 2 + .5
    error = max(np.abs(m - scenes.render(s)).max() for m, s in zip(mine, plain))
    print(f"scenes of the suites: largest difference {error:.1e}")
    assert error < 1e-4
    drawn = [pictures.draw(5, i) for i in range(300)]
    assert drawn[7:9] == [pictures.draw(5, 7), pictures.draw(5, 8)]
    a, b = pictures.render(drawn[:8], "cpu"), pictures.render(drawn[4:12], "cpu")
    assert torch.equal(a[4:], b[:4]) and a.isfinite().all() and a.abs().max() <= 1
    assert all(pictures.caption(s) == scenes.caption(s) for s in plain)


def test_skips():
    import types
    import training
    with tempfile.TemporaryDirectory() as folder:
        module = torch.nn.Linear(2, 1)
        module.config = {}
        a = types.SimpleNamespace(out=folder, rate=None, device="cpu", resume=False, minutes=1, reserve=0, steps=8, until=1.0, die_at=None, checkpoint_every=1e9, report_every=1e9)
        run = training.Training(a, "vae", {"vae": module}, rate=.1, warm=1, decay=.9, beta=.9, weight_decay=0.0)
        run.run(lambda g, f: module(torch.ones(1, 2)).square().mean() * (float("nan") if run.step in (2, 5) else 1), lambda: "")
        assert run.skipped == 2 and run.step == 8 and all(torch.isfinite(p).all() for p in [*run.parameters.values(), *run.average.values()])
        a.steps, run.fraction = 100, .08
        try:
            run.run(lambda g, f: module(torch.ones(1, 2)).mean() * float("inf"), lambda: "")
            raise AssertionError("the training continued")
        except SystemExit as end:
            print(end)
        assert torch.load(run.path, weights_only=True)["step"] == 8


def test_resume():
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        for stage, more in (("vae", ["--batch", "1", "--scenes", "8"]), ("unet", ["--batch", "2", "--scenes", "8"])):
            def go(out, *options, check=True):
                return subprocess.run([sys.executable, str(HERE / "train"), stage, "--device", "cpu", "--out", str(folder / out), "--steps", "6", "--threads", "1", *more, *options], check=check)
            go("whole")
            cut = go("cut", "--checkpoint-every", "0", "--die-at", "4", check=False)      # kills itself with SIGKILL after the checkpoint of step 3
            assert cut.returncode == -9, cut.returncode
            go("cut", "--resume")
            go("parts", "--until", "0.5"); go("parts", "--resume")
            states = [torch.load(folder / o / f"{stage}.pt", weights_only=True) for o in ("whole", "cut", "parts")]
            for other in states[1:]:
                assert other["step"] == states[0]["step"] == 6
                for kind in ("weights", "average"):
                    assert all(torch.equal(states[0][kind][k], other[kind][k]) for k in states[0][kind]), kind
            files = [(folder / o / "model" / stage / networks.FILES[stage]).read_bytes() for o in ("whole", "cut", "parts")]
            assert files[0] == files[1] == files[2]
            print(f"{stage}: killed and resumed, and in two parts: bit-equal")


def test_decoder():
    start, part = HERE.parent.parent / "assets/demo", "vae/" + networks.FILES["vae"]
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        go = lambda *options: subprocess.run([sys.executable, str(HERE / "train"), "vae", "--decoder", "--out", str(folder), "--steps", "2", "--threads", "1", "--batch", "1", "--scenes", "64", *options])
        assert go().returncode == 2, "without a model to start from, there are no latents to keep"
        assert go("--from", str(start)).returncode == 0
        before, after = (load_file(f / part) for f in (start, folder / "model"))
        changed = {k.split(".")[0] for k in before if not torch.equal(before[k], after[k])}
        assert before.keys() == after.keys() and changed <= {"decoder", "post_quant_conv"} and "decoder" in changed, changed
        assert json.loads((start / "vae/config.json").read_text()) == json.loads((folder / "model/vae/config.json").read_text())


if __name__ == "__main__":
    torch.set_num_threads(1)
    for name in sys.argv[1:] or ["networks", "pictures", "skips", "resume", "decoder"]:
        globals()[f"test_{name}"]()
