"""CLIP for the peer: how well a picture fits a text, and a tiny random CLIP for tests.

    python3 torch_clip.py MODEL OUT_DIR [--size 32]        a tiny random CLIP beside MODEL's tokenizer

Needs torch, transformers, numpy.
"""
import argparse, math
import numpy as np
import torch
import torch.nn.functional as F


class Clip:
    """How well a picture fits a text. FOLDER holds a transformers CLIPModel and its tokenizer."""
    MEAN, STD = (torch.tensor(v).view(1, 3, 1, 1) for v in ([0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]))

    def __init__(self, folder):
        from transformers import CLIPModel, CLIPTokenizer
        self.net = CLIPModel.from_pretrained(folder, dtype=torch.float32).eval().requires_grad_(False)
        self.tokenizer, self.size = CLIPTokenizer.from_pretrained(folder), self.net.config.vision_config.image_size

    def text(self, prompt):
        ids = self.tokenizer([prompt], padding="max_length", max_length=77, truncation=True, return_tensors="pt").input_ids
        return self.pooled(self.net.get_text_features(input_ids=ids))

    def image(self, v):                                           # (1, 3, H, W) in 0..1, already of the model's size
        return self.pooled(self.net.get_image_features(pixel_values=(v - self.MEAN) / self.STD))

    @staticmethod
    def pooled(o): return F.normalize(o if torch.is_tensor(o) else o.pooler_output, dim=-1)


def tiny_clip(tokenizer, out, size):
    """A random CLIP whose activations stay around 1 (numpy's numbers, which are the same everywhere)."""
    from transformers import CLIPConfig, CLIPModel, CLIPTokenizer
    tok = CLIPTokenizer.from_pretrained(tokenizer)
    part = dict(hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2)
    net, rng = CLIPModel(CLIPConfig(projection_dim=16, text_config=dict(part, vocab_size=len(tok), bos_token_id=tok.bos_token_id, eos_token_id=tok.eos_token_id, pad_token_id=tok.pad_token_id),
                                    vision_config=dict(part, image_size=size, patch_size=size // 4))), np.random.default_rng(13)
    for name, q in sorted(net.named_parameters()):
        z = rng.standard_normal(tuple(q.shape), dtype=np.float32)
        if q.ndim == 0: z = np.ones_like(z)
        elif "norm" in name: z = .2 * z + name.endswith("weight")
        elif q.ndim == 1: z = (.5 if "embedding" in name else .1) * z
        else: z = z * (.5 if "embedding.weight" in name and "patch" not in name else 1 / math.sqrt(q[0].numel()))
        q.data.copy_(torch.from_numpy(z).half().float())
    net.save_pretrained(out); tok.save_pretrained(out)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("model"); p.add_argument("out"); p.add_argument("--size", type=int, default=32)
    args = p.parse_args()
    tiny_clip(f"{args.model}/tokenizer", args.out, args.size)


if __name__ == "__main__":
    main()
