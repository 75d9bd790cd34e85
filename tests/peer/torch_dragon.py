"""Energy guidance in PyTorch and diffusers: DragonDiffusion (arXiv 2307.02421) and DiffEditor (arXiv 2402.02583), without their image-prompt adapter.

    python3 torch_dragon.py edit dragon-diffusion|diff-editor MODEL IMAGE DRAG.json OUT.png [--set KEY=VALUE ...] [--dump FILE.safetensors]

Settings have the program's names and defaults; MODEL's dragnext.json is left aside, and there is no LoRA. f32 on the CPU. Needs torch_copies.py and torch_edit.py.
--dump writes the random inputs that another implementation needs to repeat the edit (context, sde_noise.K) and the results to compare: z0, trajectory.K (0 the
noisiest), frozen, prepared (pasted), energies.J.R (points, content area) and guidance.J.R of repetition R of step J, denoised.J, z_end, decoded.
"""
import argparse, json, math
import torch
import torch.nn.functional as F
from regions import read_drag, still, swept
from torch_copies import Edit, Keys, pair_of
from torch_edit import Model, read_picture, setting, write_picture

COMMON = dict(steps=50, strength=1.0, trajectory="denoised", guidance_scale=4.0, energy_scale=2000.0, edit_weight=4.0, content_weight=6.0, vacated_weight=0.2, guided_share=0.6,
              own_keys_share=0.1, hard_background=False, taps=(2, 3), margin=24, feather=4, seed=0)
SETTINGS = {"dragon-diffusion": dict(COMMON, dense_share=None, sde_strength=0.0, travels=1),
            "diff-editor": dict(COMMON, dense_share=0.2, sde_strength=0.4, travels=3)}
UNIT, STOCHASTIC, TRAVELS = 0.04, (0.2, 0.4), (0.4, 0.6)          # of the energy scale; shares of the steps


class KeysBeside(Keys):
    """Self-attentions of the decoder that read stored keys and values beside their own."""

    def _processor(self, number):
        keys = self

        class Processor:
            def __call__(self, attn, x, encoder_hidden_states=None, attention_mask=None, temb=None, **_):
                q, k, v = attn.to_q(x), attn.to_k(x), attn.to_v(x)
                if keys.keep is not None: keys.bank[keys.keep, number] = k, v
                if keys.reuse is not None:
                    k, v = (torch.cat([own, y.expand(len(x), -1, -1)], 1) for own, y in zip((k, v), keys.bank[keys.reuse, number]))
                split = lambda y: y.unflatten(2, (attn.heads, -1)).transpose(1, 2)
                o = F.scaled_dot_product_attention(split(q), split(k), split(v)).transpose(1, 2).flatten(2)
                return attn.to_out[1](attn.to_out[0](o))
        return Processor()


def square(point, cell, h, w):
    """Rows and columns of the 3 x 3 cells around the one whose centre is nearest to (x, y), moved inside by a cell at the border."""
    r = min(max(round(point[1] / cell - .5), 1), h - 2); c = min(max(round(point[0] / cell - .5), 1), w - 2)
    return torch.tensor([(r + i, c + j) for i in (-1, 0, 1) for j in (-1, 0, 1)])


class Energies:
    """What the energies compare, on a grid of twice the latent's cells."""

    def __init__(self, e, points):
        self.p, self.h, self.w = e.p, 2 * e.h, 2 * e.w
        self.squares = [tuple(square(q, 4, self.h, self.w) for q in pair) for pair in points]
        self.content = torch.zeros(self.h, self.w, dtype=torch.bool) if e.area is None else ~e.area[::4, ::4].bool()

    def __call__(self, edited, original):
        """Returns the energy of the points, and that of the content area."""
        p, e_edit, e_content = self.p, 0., torch.zeros(())
        for b, a in zip(edited, original):
            b, a = (F.interpolate(f, (self.h, self.w), mode="nearest")[0] for f in (b, a))
            similar = lambda x, y: (F.cosine_similarity(x, y, dim=0) + 1) / 2
            at = lambda f, cells: f[:, cells[:, 0], cells[:, 1]]
            for handle, target in self.squares:
                s = similar(at(b, target), at(a, handle)).mean()
                e_edit = e_edit + p["edit_weight"] / (1 + 4 * s)
                covered = {tuple(q) for q in target.tolist()}
                left = [q for q in handle.tolist() if tuple(q) not in covered]
                if left: e_edit = e_edit + p["vacated_weight"] * similar(at(b, torch.tensor(left)), at(a, torch.tensor(left))).mean()
            if self.content.any() and p["content_weight"]:
                e_content = e_content + p["content_weight"] / (1 + 4 * similar(b, a)[self.content].mean())
        return e_edit / (len(edited) * len(self.squares)), e_content / len(edited)


def guided_denoising(e, z0, empty):
    m, p, dump, n = e.m, e.p, e.dump, e.n
    keys, features = KeysBeside(m.unet, decoder_only=True), []
    hooks = [b.register_forward_hook(lambda module, i, o: features.append(o)) for b in m.unet.up_blocks]
    grid, at = [e.stride * (n - 1 - i) + 1 for i in range(n)], lambda share: math.floor(share * n + .5)
    latents = [z0]
    with torch.no_grad():
        for t in reversed(grid):
            keys.keep = t
            latents.insert(0, e.move(latents[0], e.predict(latents[0], t), t - e.stride, t))
    keys.keep = None
    dump.update({f"trajectory.{i}": v for i, v in enumerate(latents)})
    points = [pair_of(r) for r in e.regions]
    energies, z = Energies(e, points), latents[0].clone()
    sources = torch.arange(e.h * e.w).view(e.h, e.w)
    for handle, target in (tuple(square(q, 8, e.h, e.w) for q in pair) for pair in points):
        sources[target[:, 0], target[:, 1]] = handle[:, 0] * e.w + handle[:, 1]
    moved = lambda v: v.flatten(2)[:, :, sources.flatten()].view_as(v)
    dump["prepared"] = z = moved(latents[0])
    frozen = e.frozen > .5
    dense = p["guided_share"] if p["dense_share"] is None else p["dense_share"]

    def taps(v, t):
        features.clear(); e.calls += len(v)
        m.unet(v, t, e.context)
        return [features[k - 1] for k in p["taps"]]

    def guidance(z, original, t):
        z = z.clone().requires_grad_()
        found = energies(taps(z, t), original)
        grads = [torch.autograd.grad(v, z, retain_graph=True)[0] if v.requires_grad else torch.zeros_like(z) for v in found]
        return torch.stack([v.detach() for v in found]), UNIT * p["energy_scale"] * torch.where(frozen, grads[1], grads[0])

    def predictions(v, t):                                        # with classifier-free guidance
        one = lambda c: m.predict(v, t, c.expand(len(v), -1, -1))
        scale = p["guidance_scale"]
        return one(e.context) if scale == 1 else one(empty) + scale * (one(e.context) - one(empty))

    draws = 0
    for j, t in enumerate(grid):
        s = t - e.stride
        guided = j < at(p["guided_share"]) and (j < at(dense) or j % 2 == 0)
        if guided:
            with torch.no_grad(): original = taps(latents[j], t)
        travels = p["travels"] if at(TRAVELS[0]) < j < at(TRAVELS[1]) and j % 2 == 0 else 1
        for repetition in range(travels):
            if repetition:
                with torch.no_grad(): z = e.move(z, e.predict(z, t), s, t)
            added = torch.zeros_like(z)
            if guided:
                found, added = guidance(z, original, t)
                dump.update({f"energies.{j}.{repetition}": found, f"guidance.{j}.{repetition}": added})
            keys.reuse = t if j >= at(p["own_keys_share"]) else None
            with torch.no_grad(): n_ref, noise = predictions(torch.cat([latents[j], z]), t).split(1)
            keys.reuse = None
            a_t, a_s = e.alpha(t), e.alpha(s)
            x0 = (z - (1 - a_t).sqrt() * (noise + added)) / a_t.sqrt()
            z = a_s.sqrt() * x0 + (1 - a_s).sqrt() * noise
            if p["sde_strength"] and at(STOCHASTIC[0]) < j < at(STOCHASTIC[1]):
                sigma = p["sde_strength"] * ((1 - a_s) / (1 - a_t) * (1 - a_t / a_s)).sqrt()
                fresh = e.noise(f"sde_noise.{draws}", z.shape); draws += 1
                z = torch.where(frozen, z, a_s.sqrt() * x0 + (1 - a_s - sigma ** 2).sqrt() * noise + sigma * fresh)
            if p["trajectory"] == "kept": z = z + moved(latents[j + 1] - e.move(latents[j], n_ref, t, s))
            if p["hard_background"]: z = torch.where(frozen, latents[j + 1], z)
        dump[f"denoised.{j}"] = z
    for hook in hooks: hook.remove()
    return z


def edit_file(m, method, image, drag, out, given, dump=None):
    """Writes the edited picture."""
    dump = {} if dump is None else dump
    im = read_picture(image)
    prompt, regions, editable, settings = read_drag(drag, (im.shape[2], im.shape[1]))
    if odd := {*settings, *given} - {*SETTINGS[method], "size"}: raise SystemExit(f"{method} has no settings {sorted(odd)}")
    p = {**SETTINGS[method], **settings, **given}
    regions = [r for r in regions if not still(r)]
    if editable is None: editable = swept(regions, p["margin"], *im.shape[1:])
    if isinstance(editable, str): editable = None
    x = im.float()[None] / 127.5 - 1
    dump["context"] = context = m.encode_text(prompt)
    dump["z0"] = z0 = m.encode(x)
    e = Edit(m, x, regions, editable, p, context, dump)
    dump["z_end"] = z = guided_denoising(e, z0, m.encode_text(""))
    dump["decoded"] = y = m.decode(z)
    if editable is not None:                                      # outside: the input; inside: fades in over a few pixels
        inside = editable[None, None].float()
        for _ in range(p["feather"]): inside = torch.minimum(inside, F.avg_pool2d(inside, 3, 1, 1, count_include_pad=False))
        y = x + (y - x) * torch.where(editable, inside, torch.zeros_like(inside))
    write_picture(((y[0] + 1) * 127.5 + .5).clamp(0, 255).to(torch.uint8), out)


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    sub = ap.add_subparsers(dest="command", required=True)
    q = sub.add_parser("edit"); [q.add_argument(a) for a in ("method", "model", "image", "drag", "out")]; q.add_argument("--dump")
    q.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE"); q.add_argument("--threads", type=int, default=1)
    args = ap.parse_args()
    torch.set_num_threads(args.threads)
    dump = {}
    edit_file(Model(args.model, "cpu", torch.float32), args.method, args.image, args.drag, args.out, dict(map(setting, args.set)), dump)
    print(json.dumps({k: v.tolist() for k, v in dump.items() if k.startswith("energies.")}))
    if args.dump:
        from safetensors.torch import save_file
        save_file({k: v.contiguous() for k, v in dump.items()}, args.dump)


if __name__ == "__main__":
    main()
