"""Writes tests/fixtures/clip/similarity.json: cosines between features of pictures and a text, by transformers' CLIPModel with Pillow's preprocessing.

    python3 clip_similarity.py          needs ../fixtures/clip/model and the versions of requirements.txt
"""
import json
import numpy as np
import torch
from PIL import Image
from fixtures import HERE

MODEL, SIZES, TEXT = HERE.parent / "fixtures/clip/model", [(96, 80), (80, 96), (33, 71), (300, 201), (32, 32)], "a cat on a sofa"


def waves(width, height, phase):
    y, x, c = np.mgrid[0:height, 0:width, 0:3]
    return Image.fromarray(((x * (5 + 2 * phase) + y * (3 + c) + x * y // 9 + 60 * c) % 256).astype(np.uint8))


def main():
    from transformers import CLIPModel, CLIPTokenizer
    model, tokenizer = CLIPModel.from_pretrained(MODEL).eval(), CLIPTokenizer.from_pretrained(MODEL)
    side = model.config.vision_config.image_size
    mean, std = [torch.tensor(v).view(3, 1, 1) for v in ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))]

    def preprocess(image):                                        # clip.load's transform: Resize(bicubic), CenterCrop, ToTensor, Normalize
        w, h = image.size
        short = min(w, h)
        wide, high = int(side * w / short), int(side * h / short)
        image = image.resize((wide, h), Image.BICUBIC).resize((wide, high), Image.BICUBIC)   # the order of Pillow until 12; 13 has columns first for some sizes
        left, top = round((image.width - side) / 2), round((image.height - side) / 2)
        image = image.crop((left, top, left + side, top + side))
        return (torch.from_numpy(np.array(image)).permute(2, 0, 1) / 255. - mean) / std

    unit = lambda v: torch.nn.functional.normalize(v, dim=-1)
    features = lambda v: unit(getattr(v, "pooler_output", v))[0]  # newer versions return an object
    rows = []
    with torch.no_grad():
        ids = tokenizer([TEXT], padding="max_length", max_length=77, return_tensors="pt").input_ids
        hidden = model.text_model(ids).last_hidden_state          # the tiny tokenizer's end token is the largest, as CLIP's
        text = unit(model.text_projection(hidden[torch.arange(1), ids.argmax(-1)]))[0]
        for width, height in SIZES:
            a, b = [features(model.get_image_features(preprocess(waves(width, height, phase))[None])) for phase in (0, 1)]
            rows.append({"width": width, "height": height, "pictures": (a @ b).item(), "text": (b @ text).item()})
    (HERE.parent / "fixtures/clip/similarity.json").write_text("[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
