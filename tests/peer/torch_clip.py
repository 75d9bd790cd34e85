"""CLIP and CLIPDrag (arXiv 2410.03097) in PyTorch, diffusers and transformers: how well a picture fits a text, the drag that follows a text, and a tiny random CLIP for tests.

    python3 torch_clip.py MODEL OUT_DIR [--size 32]        a tiny random CLIP beside MODEL's tokenizer

`torch_points.py edit clip-drag --clip FOLDER` edits with it. Needs torch, transformers, numpy.
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


# ---------------------------------------------------------------- CLIPDrag

CLIP_DRAG = dict(strength=0.7, lr=0.01, iterations=800, motion_radius=1, track_radius=3, reach=4, mask_weight=0.1, clip_weight=300, fusion="projection", fusion_weight=0.7,
                 lora_steps=80)


def fast_track(e, f, points, source):
    """As track of torch_points, but only cells nearer to the target than the point is count; a point within one cell of its target stays."""
    out, r = [], e.p["track_radius"]
    for q, h, g in zip(points, e.handles, e.targets):
        (r1, r2), (c1, c2) = ((max(0, int(v) - r), min(s, int(v) + r + 1)) for v, s in zip(q, f.shape[2:]))
        rows, cols = torch.meshgrid(torch.arange(r1, r2).float(), torch.arange(c1, c2).float(), indexing="ij")
        left = ((q - g) ** 2).sum()
        near = (rows - g[0]) ** 2 + (cols - g[1]) ** 2 < left
        if left <= 1 or not near.any():
            out.append(q); continue
        cost = (source[:, :, int(h[0]), int(h[1])][:, :, None, None] - f[:, :, r1:r2, c1:c2]).abs().sum(1)[0].masked_fill(~near, math.inf)
        if near.sum() > 1:
            two = cost.flatten().topk(2, largest=False).values
            e.margin = min(e.margin, ((two[1] - two[0]) / two[0].clamp(min=1e-3)).item())
        k = cost.argmin().item()
        out.append(torch.tensor([r1 + k // cost.shape[1], c1 + k % cost.shape[1]], dtype=torch.float32))
    return out


def text_loss(e, clip, words, z, n):
    """weight (1 - cosine) between text and the picture that this noise prediction promises, and that picture as CLIP gets it."""
    a = e.a_at(e.t_of(0))
    x0 = (z - (1 - a).sqrt() * n) / a.sqrt()
    v = (e.m.vae.decode(x0 / e.m.vae.config.scaling_factor).sample / 2 + .5).clamp(0, 1)
    v = F.adaptive_avg_pool2d(v, clip.size)
    return e.p["clip_weight"] * (1 - (clip.image(v) * words).sum()), v


def fuse(whole, local, cosine, p):
    """Where both agree, the part of the text's gradient across the drag's is added; where they do not, the part along it."""
    weight = p["fusion_weight"]
    if p["fusion"] == "code":
        return local + weight * ((1 - cosine ** 2) ** .5 if cosine >= 0 else cosine) * whole
    along = (whole * local).sum() / (local * local).sum().clamp(min=1e-30) * local
    return local + weight * (whole - along if cosine >= 0 else along)


def clip_drag(e, z_t, clip, text):
    """The latent of the noisiest timestep is optimised by the drag's gradient and the text's. Returns it."""
    from torch_points import done, motion
    t, z, points, dump = e.t_of(0), z_t.clone().requires_grad_(), e.handles, e.dump
    opt = torch.optim.Adam([z], lr=e.p["lr"])
    with torch.no_grad():
        f0, n0 = e.features(z_t, t); x_ref = e.step(z_t, n0, 0)
        words = dump["clip.text"] = clip.text(text)
    for k in range(e.p["iterations"]):
        f, n = e.features(z, t)
        if k: points = fast_track(e, f, points, f0)
        dump[f"handles.0.{k}"] = torch.stack(points)
        if done(e, points): break
        loss = motion(e, f, points, f0, e.handles)[0] + e.mask_term(z, n, 0, x_ref)
        of_text, picture = text_loss(e, clip, words, z, n)
        whole, local = e.gradient(of_text, z)[0], e.gradient(loss, z)[0]
        cosine = F.cosine_similarity(whole.flatten(), local.flatten(), dim=0)
        z.grad = fuse(whole, local, cosine, e.p); opt.step()
        dump.update({f"loss.0.{k}": loss.detach(), f"clip_loss.0.{k}": of_text.detach(), f"clip_cosine.0.{k}": cosine, f"local_gradient.0.{k}": local,
                     f"global_gradient.0.{k}": whole, f"gradient.0.{k}": z.grad.clone(), f"clip.picture.0.{k}": picture.detach()})
        z.grad, z.data = None, e.hold(z.data, z_t)
        dump[f"latent.0.{k}"] = z.detach().clone()
    return z.detach()


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("model"); p.add_argument("out"); p.add_argument("--size", type=int, default=32)
    args = p.parse_args()
    tiny_clip(f"{args.model}/tokenizer", args.out, args.size)


if __name__ == "__main__":
    main()
