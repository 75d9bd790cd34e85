"""Writes tests/fixtures/points: short edits by drag-diffusion, good-drag, free-drag and drag-noise, with everything that PyTorch computed on the way. fixtures.py calls it.

    python3 points_fixtures.py [FOLDER [METHOD ...]]        ../fixtures/points, all methods
"""
import json, pathlib, sys, tempfile
import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file
from fixtures import F32, H, HERE, W, write_picture

SHORT = {"strength": .08, "lora_steps": 0}
EDITS = {"drag-diffusion": (dict(SHORT, iterations=10), {"kept": {"iterations": 3, "trajectory": "kept"}, "taps": {"iterations": 3, "taps": [2, 3]},
                                                         **{text: {"iterations": 5, "text_optimisation": text} for text in ("clean", "code", "joint")},
                                                         "degree": {"iterations": 5, "text_optimisation": "joint", "degree": 1.5}}),
         "good-drag": (dict(SHORT, timesteps=2, tracks=3, iterations=2, motion_radius=2, track_radius=4, reach=2),
                       {"kept": {"tracks": 1, "trajectory": "kept"}, "stall": {"stall_limit": 1, "lr": 1e-5},
                        **{text: {"tracks": 1, "text_optimisation": text} for text in ("clean", "code", "joint")},
                        "degree": {"tracks": 1, "text_optimisation": "clean", "degree": 1.5}}),
         "free-drag": (dict(SHORT, iterations=12, place_iterations=3, template_radius=2, longest_move=3, expected_difference=.4),
                       {"kept": {"iterations": 4, "trajectory": "kept"}, "taps": {"iterations": 4, "taps": [2, 3]}, "back": {"lr": .1, "place_iterations": 1, "iterations": 8, "expected_difference": .8},
                        "degree": {"iterations": 4, "degree": 1.5}}),
         "drag-noise": (dict(SHORT, iterations=8, free_steps=1, lr=.03),
                        {"kept": {"iterations": 3, "trajectory": "kept", "start_layer": 10}, "taps": {"iterations": 3, "taps": [2, 3]},
                         "degree": {"iterations": 3, "degree": 1.5, "free_steps": 0}, "none": {"iterations": 2, "degree": 0}})}
REGIONS = [{"id": "moved", "type": "translation", "region": {"rect": [20, 24, 36, 40]}, "handle": [27.31, 31.83], "target": [40.66, 37.14]},
           {"id": "turned", "type": "rotation", "region": {"rect": [38, 56, 60, 74]}, "handle": [56.27, 70.13], "target": [48.41, 76.29], "center": [45.37, 61.21]},
           {"id": "near", "type": "deformation", "region": {"rect": [56, 20, 66, 34]}, "handle": [61.2, 27.4], "target": [57.1, 28.3]}]


def write(folder, model, methods=tuple(EDITS)):
    from torch_edit import Model
    from torch_points import edit_file
    folder.mkdir(parents=True, exist_ok=True)
    write_picture(folder / "input.png")
    y, x = np.mgrid[0:H, 0:W]
    editable = (x >= 9) & (x < 75) & (y >= 11) & (y < 93) & (x + y > 28) & (x + y < 156)
    Image.fromarray((editable * 255).astype(np.uint8)).save(folder / "editable.png")
    (folder / "drag.json").write_text(json.dumps({"version": 1, "prompt": "a cat on a sofa", "editable": {"mask": "editable.png"}, "regions": REGIONS,
                                                  "settings": {}}, indent=2) + "\n")
    for method, (settings, variants) in ((m, EDITS[m]) for m in methods):
        dump = {}
        for variant, given in {"": {}, **variants}.items():
            other = {}
            with tempfile.TemporaryDirectory() as t:
                calls = edit_file(Model(model, "cpu", F32), method, folder / "input.png", folder / "drag.json", pathlib.Path(t) / "out.png", {**settings, **given}, other)
            print(method, variant, calls, "tracking margin", other["tracking_margin"].item())
            last = max((k for k in other if k.startswith("text.")), key=lambda k: [int(v) for v in k.split(".")[1:]], default=None)
            keep = ("loss.", "handles.", "places.", "settled", "z_end", "text_gradient.0.0")
            if not variant: keep += ("z0", "z_T", "frozen", "points.", "gradient.0.0", "dragged.", "bottleneck", "decoded")
            found = {k: v for k, v in other.items() if k.startswith(keep) or k == last}
            dump.update({f"{variant}.{k}" if variant else k: v.detach().float().contiguous().clone() for k, v in found.items()})
        save_file(dump, folder / f"{method.replace('-', '_')}.safetensors")


if __name__ == "__main__":
    torch.set_num_threads(1); torch.use_deterministic_algorithms(True)
    write(pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else HERE.parent / "fixtures/points", HERE.parent / "fixtures/tiny", sys.argv[2:] or tuple(EDITS))
