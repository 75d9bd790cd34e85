"""Writes tests/fixtures/dragon: short edits by dragon-diffusion and diff-editor, with everything that PyTorch computed on the way. fixtures.py calls it.

    python3 dragon_fixtures.py [FOLDER]        ../fixtures/dragon
"""
import json, pathlib, sys, tempfile
import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file
from fixtures import F32, H, HERE, W, write_picture
from points_fixtures import REGIONS

SHORT = {"dragon-diffusion": {"strength": .2}, "diff-editor": {"strength": .4}}     # ten steps; twenty, of which one has time travel
EDITS = {"dragon-diffusion": {"": {}, "kept": {"trajectory": "kept", "hard_background": True}, "plain": {"guidance_scale": 1, "own_keys_share": 1, "taps": [3]}},
         "diff-editor": {"": {}, "kept": {"trajectory": "kept", "sde_strength": 1, "dense_share": 0}}}


def write(folder, model):
    from torch_dragon import edit_file
    from torch_edit import Model
    folder.mkdir(parents=True, exist_ok=True)
    write_picture(folder / "input.png")
    y, x = np.mgrid[0:H, 0:W]
    editable = (x >= 9) & (x < 75) & (y >= 11) & (y < 93) & (x + y > 28) & (x + y < 156)
    Image.fromarray((editable * 255).astype(np.uint8)).save(folder / "editable.png")
    (folder / "drag.json").write_text(json.dumps({"version": 1, "prompt": "a cat on a sofa", "editable": {"mask": "editable.png"}, "regions": REGIONS,
                                                  "settings": {}}, indent=2) + "\n")
    for method, variants in EDITS.items():
        dump = {}
        for variant, given in variants.items():
            other = {}
            with tempfile.TemporaryDirectory() as t:
                edit_file(Model(model, "cpu", F32), method, folder / "input.png", folder / "drag.json", pathlib.Path(t) / "out.png", {**SHORT[method], **given}, other)
            keep = ("energies.", "sde_noise.", "denoised.", "z_end")
            if not variant: keep += ("z0", "trajectory.0", "prepared", "guidance.0.0", "guidance.1.0")
            shown = lambda k: not k.startswith("denoised.") or int(k.split(".")[1]) in (0, 1, 5, 6, 10)
            dump.update({f"{variant}.{k}" if variant and not k.startswith("sde_noise") else k: v.detach().float().contiguous().clone() for k, v in other.items() if k.startswith(keep) and shown(k)})
        save_file(dump, folder / f"{method.replace('-', '_')}.safetensors")


if __name__ == "__main__":
    torch.set_num_threads(1); torch.use_deterministic_algorithms(True)
    write(pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else HERE.parent / "fixtures/dragon", HERE.parent / "fixtures/tiny")
