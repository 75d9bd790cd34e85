"""DragNoise (arXiv 2404.01050) in PyTorch: the drag of torch_points.py's method drag-noise. Settings have the program's names and defaults."""
import torch

DRAG_NOISE = dict(strength=0.7, lr=0.01, iterations=60, free_steps=10, motion_radius=1, track_radius=3, reach=1, mask_weight=0.1, lora_steps=60, start_layer=1000)


class Middle:
    """Shows the output of the middle block, and replaces that of the last latent."""

    def __init__(self, unet):
        self.own, self.given = None, None
        unet.mid_block.register_forward_hook(self)

    def __call__(self, module, inputs, output):
        self.own = output
        return None if self.given is None else torch.cat([output[:-1], self.given])


def drag_noise(e, z_t):
    """The bottleneck of the noisiest timestep is optimised; the latent stays. Returns the reference's and the optimised one."""
    from torch_points import done, motion, track
    t, points, dump = e.t_of(0), e.handles, e.dump
    with torch.no_grad():
        f0, n0 = e.features(z_t, t); x_ref = e.step(z_t, n0, 0)
    own = e.middle.own.clone()
    h = own.clone().requires_grad_()
    opt = torch.optim.Adam([h], lr=e.p["lr"])
    for k in range(e.p["iterations"]):
        e.middle.given = h
        f, n = e.features(z_t, t)
        if k: points = track(e, f.detach(), points, f0)
        dump[f"handles.0.{k}"] = torch.stack(points)
        if done(e, points): break
        loss = motion(e, f, points, f, points)[0] + e.mask_term(z_t, n, 0, x_ref)
        h.grad = e.gradient(loss, h)[0]
        dump.update({f"loss.0.{k}": loss.detach(), f"gradient.0.{k}": h.grad.clone()})
        opt.step(); h.grad = None
    e.middle.given = None
    dump.update({"bottleneck.own": own, "bottleneck": h.detach().clone()})
    return own, h.detach()
