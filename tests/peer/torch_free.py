"""FreeDrag (arXiv 2307.04684) in PyTorch: the drag of torch_points.py's method free-drag. Settings have the program's names and defaults."""
import math
import torch

FREE_DRAG = dict(strength=0.7, lr=0.01, iterations=300, place_iterations=5, template_radius=4, longest_move=5, expected_difference=1, mean_mask_weight=10, lora_steps=200,
                 lora_lr=2e-4)


def free_drag(e, z_t):
    """The latent of the noisiest timestep is optimised towards templates at places on the lines to the targets. Returns it."""
    from torch_points import ARRIVED, patch
    p, t, dump = e.p, e.t_of(0), e.dump
    r, l, d, reached = p["template_radius"], p["expected_difference"], p["longest_move"], .5 * p["expected_difference"]
    handles, ways = [h.tolist() for h in e.handles], [(g - h).tolist() for h, g in zip(e.handles, e.targets)]
    lengths = [math.hypot(*w) for w in ways]
    every, at, first, last, settled = range(len(handles)), [0.] * len(handles), [0.] * len(handles), [0.] * len(handles), [False] * len(handles)
    read = lambda f, i, s: patch(f, handles[i], r, [c / lengths[i] * s for c in ways[i]])
    with torch.no_grad():
        f, n = e.features(z_t, t); x_ref = e.step(z_t, n, 0)
    template = [read(f, i, 0.) for i in every]

    def search(i):
        """Returns how far the point goes along its line, given the features f and how the last place went."""
        start, reach, wanted = at[i], d, l
        if last[i] >= reached and last[i] < first[i]: return start
        if last[i] >= reached:
            start, reach, wanted = max(start - min(d, lengths[i] - start), 0.), 2 * d, 0.
        places = [start + min(reach, lengths[i] - start) * k / 10 for k in range(1, 11)]
        errors = torch.tensor([abs((read(f, i, s) - template[i]).abs().mean().item() - wanted) for s in places])
        two = errors.topk(2, largest=False).values
        if places[0] < places[-1]: e.margin = min(e.margin, ((two[1] - two[0]) / two[0].clamp(min=1e-3)).item())
        return places[errors.argmin().item()]

    z = z_t.clone().requires_grad_()
    opt, k, moves = torch.optim.Adam([z], lr=p["lr"]), 0, 0
    while k < p["iterations"] and not all(settled):
        at = [at[i] if settled[i] else search(i) for i in every]
        dump[f"places.{moves}"] = torch.tensor([[h + c / lengths[i] * at[i] for h, c in zip(handles[i], ways[i])] for i in every])
        for inner in range(p["place_iterations"]):
            if k == p["iterations"]: break
            f, n = e.features(z, t)
            terms = [(read(f, i, at[i]) - template[i]).abs().mean() for i in every]
            loss = sum(terms)
            if e.frozen is not None: loss = loss + p["mean_mask_weight"] * ((e.step(z, n, 0) - x_ref) * e.frozen).abs().mean()
            z.grad = e.gradient(loss, z)[0]
            dump.update({f"loss.0.{k}": loss.detach(), f"gradient.0.{k}": z.grad.clone()})
            opt.step()
            z.grad, z.data, k = None, e.hold(z.data, z_t), k + 1
            terms = [v.item() for v in terms]
            if inner == 0: first = terms
            if max(terms) < reached: break
        with torch.no_grad():
            f, _ = e.features(z, t)
            now = [read(f, i, at[i]) for i in every]
        last = [(a - b).abs().mean().item() for a, b in zip(now, template)]
        settled = [lengths[i] - at[i] < ARRIVED and last[i] <= reached for i in every]
        share = [1. if settled[i] else 1 / (1 + math.exp(math.log(9) / (.6 * l) * (last[i] - .2 * l))) for i in every]
        template = [s * a + (1 - s) * b for s, a, b in zip(share, now, template)]
        moves += 1
    dump["settled"] = torch.tensor(settled).float()
    return z.detach()
