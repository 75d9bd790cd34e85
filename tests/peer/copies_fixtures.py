"""Writes tests/fixtures/copies: a short edit by region-drag and by fast-drag, with everything that PyTorch computed on the way. fixtures.py calls it.

    python3 copies_fixtures.py [FOLDER]        ../fixtures/copies
"""
import json, pathlib, sys, tempfile
import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file
from fixtures import F32, H, HERE, PULLED, REGIONS, W, assert_stable_under_rounding, write_picture

EDITS = {"region-drag": ("region_drag", {}, {}),                  # the published settings; each with variants of other settings
         "fast-drag": ("fast_drag", {}, {"kept": {"trajectory": "kept"}, "noise": {"empty_cells": "noise"}, "own": {"empty_cells": "kept"}})}


def write(folder, model):
    from torch_copies import edit_file
    from torch_edit import Model
    folder.mkdir(parents=True, exist_ok=True)
    write_picture(folder / "input.png")
    y, x = np.mgrid[0:H, 0:W]
    masks = {"moved": ((x - 27) / 11) ** 2 + ((y - 31) / 14) ** 2 < 1, "turned": (np.abs(x - 49) < 15) & (np.abs(y - 67) < 8 + (x - 49) // 4),
             "pulled": ((x - 62) / 8) ** 2 + ((y - 26) / 9) ** 2 < 1, "editable": (x >= 9) & (x < 75) & (y >= 11) & (y < 93) & (x + y > 28) & (x + y < 156)}
    for name, mask in masks.items():
        Image.fromarray((mask * 255).astype(np.uint8)).save(folder / f"{name}.png")
    (folder / "drag.json").write_text(json.dumps({"version": 1, "prompt": "a cat on a sofa", "editable": {"mask": "editable.png"}, "regions": [*REGIONS, PULLED],
                                                  "settings": {"seed": 3}}, indent=2) + "\n")
    assert_stable_under_rounding(folder)
    for method, (name, settings, variants) in EDITS.items():
        dump = {}
        with tempfile.TemporaryDirectory() as t:
            run = lambda given, dump: edit_file(Model(model, "cpu", F32), method, folder / "input.png", folder / "drag.json", pathlib.Path(t) / "out.png", given, dump)
            print(method, "takes", run(settings, dump), "passes of one latent")
            for variant, given in variants.items():
                other = {}
                run({**settings, **given}, other)
                dump.update({f"{variant}.{k}": other[k] for k in ("prepared", "z_end")})
                if "vacated_noise" in other: dump["vacated_noise"] = other["vacated_noise"]
        drop = ("hook.", "noises.", "level.", "denoised.", "trajectory.")
        n = max(int(k.split(".")[1]) for k in dump if k.startswith(drop))
        keep = lambda k: not k.startswith(drop) or int(k.split(".")[1]) in (0, n // 2, n)
        save_file({k: v.float().contiguous().clone() for k, v in dump.items() if keep(k) and k != "context"}, folder / f"{name}.safetensors")


if __name__ == "__main__":
    torch.set_num_threads(1); torch.use_deterministic_algorithms(True)
    write(pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else HERE.parent / "fixtures/copies", HERE.parent / "fixtures/tiny")
