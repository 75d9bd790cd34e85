"""Writes tests/fixtures/sd2: a tiny random model in the form of Stable Diffusion 2.1, what diffusers and transformers compute with it, and
DIFT features and mean distances in PyTorch.

    python3 sd2_fixtures.py [FOLDER]        ../fixtures/sd2; the tokenizer's words are those of ../fixtures/tiny

Needs the versions of requirements.txt. The model: UNet with linear projections, a list of heads, and velocity as its output; text encoder with the exact GELU; tokenizer
that pads with `!`, in the files of 2022, of which the special tokens' file counts. Weights are f16 files, results are f32.

`parity.safetensors`
- `text.ids` -> `text.hidden`, for the prompts of `tokens.json`, whose ids are padded to 77.
- `unet.z t context` -> `unet.velocity`, `unet.noise` (computed from it), `unet.tap.2`, and `unet.gradient` = d/dz of sum(noise w0) + sum(tap.2 w2).
- `ddim.z0 context` -> `ddim.inverted.K` (after the step to timestep 1, 21, 41, 61), `ddim.denoised.K` from there, by diffusers' `DDIMScheduler.step`. The inversion evaluates
  the network at the timestep to which it goes and turns its velocity into noise at that timestep.
- `lora.t noise` -> `lora.loss`: the mean squared error of the velocity, whose target is diffusers' `get_velocity`.
- `dift.image` (-1..1), `dift.posterior.K`, `dift.noise.K` -> `dift.features`: mean over K of the output of up block 1 at t = 261, from posterior samples; `dift.mode.features`: from the
  posterior's mode.
- `md.source md.edited` are features of two pictures of MD_SIZE (height, width), `md.points` (handle x y, target x y), `md.mask` the editable area. -> `md.A B C` (row, column) of the
  best match, as in run_eval_point_matching.py of DragDiffusion (A), within the mask (B), and as in evaluator.py of RegionDrag (C). The best similarity exceeds every other by 1e-5.
- `nearest.image` -> `nearest.out`: torch's nearest resize to 20 x 20.
"""
import json, pathlib, shutil, sys
import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from fixtures import F16, F32, GROUPS, HERE, normal, randomise, rescale, write_picture

WIDTHS, HEADS, CONTEXT, MD_SIZE = (4, 8, 8, 8), (1, 2, 2, 4), 16, (40, 56)
PROMPTS = ["", "a cat on a sofa", "a cat! wow!!! (yes)", "café naïve, it's", "a red disc and a blue bar on a sky background"]


def build(folder, tiny):
    from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer
    rng = np.random.default_rng(21)
    tokens = folder / "tokenizer"
    tokens.mkdir(parents=True)
    for name in ("vocab.json", "merges.txt"):
        shutil.copy(tiny / "tokenizer" / name, tokens / name)
    added = lambda t: {"__type": "AddedToken", "content": t, "lstrip": False, "normalized": True, "rstrip": False, "single_word": False}
    begin, end = "<|startoftext|>", "<|endoftext|>"
    config = {"add_prefix_space": False, "bos_token": added(begin), "do_lower_case": True, "eos_token": added(end), "errors": "replace", "model_max_length": 77, "pad_token": end,
              "special_tokens_map_file": "./special_tokens_map.json", "tokenizer_class": "CLIPTokenizer", "unk_token": added(end)}
    (tokens / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n")
    (tokens / "special_tokens_map.json").write_text(json.dumps({"bos_token": begin, "eos_token": end, "pad_token": "!", "unk_token": end}, indent=2) + "\n")
    tok = CLIPTokenizer.from_pretrained(tokens)
    assert tok.pad_token == "!" and tok.pad_token_id == 0

    unet = randomise(UNet2DConditionModel(sample_size=12, block_out_channels=WIDTHS, layers_per_block=2, cross_attention_dim=CONTEXT, attention_head_dim=HEADS, norm_num_groups=GROUPS,
                                          use_linear_projection=True, upcast_attention=True), rng)
    with torch.no_grad():
        rescale(unet.conv_out, slice(None), 1 / unet(normal(rng, 1, 4, 12, 12), 300, normal(rng, 1, 77, CONTEXT)).sample.std().item())
    vae = randomise(AutoencoderKL(down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4, block_out_channels=WIDTHS, layers_per_block=1,
                                  norm_num_groups=GROUPS, sample_size=96), rng)
    with torch.no_grad():
        x = F.interpolate(normal(rng, 1, 3, 24, 24), (96, 96), mode="bilinear").clamp(-1, 1)
        latent = vae.encode(x).latent_dist
        rescale(vae.quant_conv, slice(0, 4), 1 / (.18215 * latent.mean.std().item())); rescale(vae.quant_conv, slice(4, 8), .5 / latent.logvar.std().item())
        rescale(vae.decoder.conv_out, slice(None), .4 / vae.decode(normal(rng, 1, 4, 12, 12) / .18215).sample.std().item())
    text = randomise(CLIPTextModel(CLIPTextConfig(vocab_size=len(tok), hidden_size=CONTEXT, intermediate_size=40, num_hidden_layers=3, num_attention_heads=2, hidden_act="gelu",
                                                  projection_dim=8, bos_token_id=0, eos_token_id=2, pad_token_id=1)), rng)
    for name, module in (("unet", unet), ("vae", vae), ("text_encoder", text)):
        module.to(F16).save_pretrained(folder / name, **({} if name == "text_encoder" else {"variant": "fp16"}))
        module.to(F32)
    scheduler = DDIMScheduler(beta_start=.00085, beta_end=.012, beta_schedule="scaled_linear", clip_sample=False, set_alpha_to_one=False, steps_offset=1, prediction_type="v_prediction")
    scheduler.save_pretrained(folder / "scheduler")
    return unet.eval(), vae.eval(), text.eval(), tok, scheduler, rng


def factors(scheduler, t):
    a = scheduler.alphas_cumprod[t].view(-1, 1, 1, 1)
    return a.sqrt(), (1 - a).sqrt()


def dift(unet, latents, noises, t, context, scheduler):
    """The mean output of up block 1 for noisy latents, as in DIFT's SDFeaturizer."""
    found = []
    hook = unet.up_blocks[1].register_forward_hook(lambda m, i, o: found.append(o))
    for latent, noise in zip(latents, noises):
        unet(scheduler.add_noise(latent, noise, torch.tensor([t])), t, context)
    hook.remove()
    return torch.cat(found).mean(0, keepdim=True)


def matches(source, edited, points, mask):
    """The best matches (row, column) of each variant, with the operations of the published scripts, in f64."""
    h, w = MD_SIZE
    out = {"A": [], "B": [], "C": []}
    up = lambda x, mode: F.interpolate(x.double(), (h, w), mode=mode)
    cos = torch.nn.CosineSimilarity(dim=1)

    def best(similarity, allowed):
        similarity = torch.where(allowed, similarity, torch.full_like(similarity, -torch.inf))
        equal = similarity > similarity.max() - 1e-12             # a cell of the coarse map is many pixels, of which the first counts
        index = equal.flatten().to(torch.uint8).argmax().item()
        assert similarity.max() - similarity[allowed & ~equal].max() > 1e-5, "a tie"
        return [index // w, index % w]
    everywhere = torch.ones(h, w, dtype=torch.bool)
    y, x = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
    for hx, hy, tx, ty in points.tolist():
        smooth, coarse = [up(v, "bilinear") for v in (source, edited)], [up(v, "nearest") for v in (source, edited)]
        similarity = cos(smooth[0][0, :, hy, hx].view(1, -1, 1, 1), smooth[1])[0]
        out["A"].append(best(similarity, everywhere)); out["B"].append(best(similarity, mask))
        radius = max(5., ((hx - tx) ** 2 + (hy - ty) ** 2) ** .5 / 2 ** .5)
        near = lambda px, py: ((x - px) ** 2 + (y - py) ** 2).double().sqrt() < radius
        out["C"].append(best(cos(coarse[0][0, :, hy, hx].view(1, -1, 1, 1), coarse[1])[0], near(hx, hy) | near(tx, ty)))
    return {k: torch.tensor(v) for k, v in out.items()}


def parity(unet, vae, text, tok, scheduler, rng):
    out = {}
    ids = tok(PROMPTS, padding="max_length", max_length=77, return_tensors="pt").input_ids
    with torch.no_grad():
        out["text.ids"], out["text.hidden"] = ids, text(ids).last_hidden_state

    unet.double()                                                 # in f32, the gradient alone would differ by 1e-4 between two programs
    z, context = normal(rng, 2, 4, 12, 10).double().requires_grad_(), out["text.hidden"][1:3].double()
    t = torch.tensor([261, 981])
    taps = []
    hook = unet.up_blocks[1].register_forward_hook(lambda m, i, o: taps.append(o))
    velocity = unet(z, t, context).sample
    hook.remove()
    keep, add = (v.double() for v in factors(scheduler, t))
    noise = keep * velocity + add * z
    w0, w2 = normal(rng, *noise.shape).double(), normal(rng, *taps[0].shape).double()
    ((noise * w0).sum() + (taps[0] * w2).sum()).backward()
    out |= {"unet.z": z, "unet.t": t, "unet.context": context, "unet.velocity": velocity, "unet.noise": noise, "unet.tap.2": taps[0], "unet.w0": w0, "unet.w2": w2, "unet.gradient": z.grad}
    x0 = (z - add * noise) / keep                                 # what diffusers calls the velocity is what the noise was computed from
    assert (scheduler.get_velocity(x0, noise, t) - velocity).abs().max() < 1e-4

    unet.float()
    with torch.no_grad():
        scheduler.set_timesteps(50)
        z0, one = normal(rng, 1, 4, 12, 10), context[:1].float()
        x, alpha = z0, lambda t: scheduler.alphas_cumprod[t] if t >= 0 else scheduler.final_alpha_cumprod
        for k, t in enumerate((1, 21, 41, 61)):
            keep, add = factors(scheduler, torch.tensor([t]))
            noise = keep * unet(x, t, one).sample + add * x
            x = alpha(t).sqrt() * (x - (1 - alpha(t - 20)).sqrt() * noise) / alpha(t - 20).sqrt() + (1 - alpha(t)).sqrt() * noise
            out[f"ddim.inverted.{k}"] = x
        for k, t in enumerate((61, 41, 21, 1)):
            x = scheduler.step(unet(x, t, one).sample, t, x).prev_sample
            out[f"ddim.denoised.{k}"] = x
        out |= {"ddim.z0": z0, "ddim.context": one}

        t, noise = torch.tensor([3, 500, 999]), normal(rng, 3, 4, 12, 10)
        target = scheduler.get_velocity(z0.expand(3, -1, -1, -1), noise, t)
        predicted = unet(scheduler.add_noise(z0.expand(3, -1, -1, -1), noise, t), t, one.expand(3, -1, -1)).sample
        out |= {"lora.t": t, "lora.noise": noise, "lora.loss": F.mse_loss(predicted, target).reshape(1)}

        image = F.interpolate(normal(rng, 1, 3, 24, 20), (96, 80), mode="bilinear").clamp(-1, 1)
        posterior = vae.encode(image).latent_dist
        samples, noises = [normal(rng, 1, 4, 12, 10) for _ in range(2)], [normal(rng, 1, 4, 12, 10) for _ in range(2)]
        latents = [(posterior.mean + posterior.std * s) * vae.config.scaling_factor for s in samples]
        out |= {"dift.image": image, "dift.features": dift(unet, latents, noises, 261, one, scheduler)}
        out["dift.mode.features"] = dift(unet, [posterior.mode() * vae.config.scaling_factor] * 2, noises, 261, one, scheduler)
        out |= {f"dift.posterior.{k}": v for k, v in enumerate(samples)} | {f"dift.noise.{k}": v for k, v in enumerate(noises)}

        source, edited = normal(rng, 1, 12, 7, 9), normal(rng, 1, 12, 7, 9)
        edited[..., 1:] = .6 * edited[..., 1:] + source[..., :-1]  # roughly the source, moved by a cell
        points = torch.tensor([[12, 9, 25, 14], [30, 30, 33, 31], [50, 5, 20, 36], [0, 39, 55, 0], [27, 20, 27, 20]])
        mask = torch.zeros(MD_SIZE, dtype=torch.bool); mask[6:33, 10:41] = True; mask[15:20, 20:30] = False
        out |= {"md.source": source, "md.edited": edited, "md.points": points, "md.mask": mask.float()}
        out |= {f"md.{k}": v for k, v in matches(source, edited, points, mask).items()}
        small = normal(rng, 1, 3, 13, 9)
        out |= {"nearest.image": small, "nearest.out": F.interpolate(small, (20, 20))}
    return out


def write(folder, tiny):
    torch.set_num_threads(1); torch.use_deterministic_algorithms(True)
    shutil.rmtree(folder, ignore_errors=True)
    model = build(folder, tiny)
    out = parity(*model)
    save_file({k: (v.float() if v.is_floating_point() else v).detach().contiguous().clone() for k, v in out.items()}, folder / "parity.safetensors")
    tok = model[3]
    rows = [json.dumps({"prompt": p, "ids": tok(p, padding="max_length", max_length=77).input_ids}) for p in PROMPTS]
    (folder / "tokens.json").write_text("[\n" + ",\n".join(rows) + "\n]\n")


if __name__ == "__main__":
    write(pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else HERE.parent / "fixtures/sd2", HERE.parent / "fixtures/tiny")
