//! A short edit by clip-drag compared with the same edit in PyTorch, diffusers and transformers (`tests/peer/torch_clip.py`).
//! `tests/peer/clip_fixtures.py` says what the tensors are. Unit tests of the method compare its gradients and its tracking.

use crate::bench::fixture::short_edit::Scene;
use crate::bench::fixture::{Fixture, assert_close};
use dragnext::kernels::cpu::Cpu;
use dragnext::method::Method;
use dragnext::pipeline::{Latents, Outcome};
use dragnext::settings::Overrides;

fn dump() -> Fixture {
    Fixture::open("clip/edit/dump.safetensors")
}

fn edit(change: impl Fn(&mut Overrides)) -> (Outcome, Latents<Cpu>) {
    let scene = Scene::with_method("clip/edit", Method::ClipDrag, |given| {
        given.set("strength", 0.08);
        given.set("lora_steps", 0);
        change(given);
    });
    let scene = scene.with_clip();
    let warped = scene.warped();
    scene.edit(Cpu, &dump(), &warped).unwrap()
}

/// Asserts that losses and latents agree with those in the dump whose names start with `prefix`.
fn assert_peers(prefix: &str, latents: &Latents<Cpu>) {
    let dump = dump();
    let number = |name: String| f64::from(dump.numbers(&format!("{prefix}{name}"))[0]);
    for (iteration, loss) in latents.losses.iter().enumerate() {
        let expected =
            number(format!("loss.0.{iteration}")) + number(format!("clip_loss.0.{iteration}"));
        assert!(
            (loss / expected - 1.0).abs() < 1e-4,
            "loss {iteration}: {loss}, not {expected}"
        );
    }
    let expected = dump.picture(&format!("{prefix}z_end")).to_host();
    let name = format!("{prefix}z_end");
    assert_close(&name, &latents.denoised.to_host(), &expected, 1e-4);
}

#[test]
fn a_drag_along_a_text_agrees_with_the_peer() {
    let (outcome, latents) = edit(|given| given.set("iterations", 12));
    assert_eq!(latents.losses.len(), 12);
    assert_peers("", &latents);
    let dump = dump();
    for (name, latent) in [("z0", &latents.clean), ("z_T", &latents.inverted)] {
        assert_close(name, &latent.to_host(), &dump.picture(name).to_host(), 1e-4);
    }
    let decoded = dump.picture("decoded").to_host();
    let decoded: Vec<f32> = decoded.iter().map(|value| value * 0.5 + 0.5).collect();
    assert_close("picture", &outcome.picture, &decoded, 1e-3);
}

#[test]
fn the_released_fusion_agrees_with_the_peer() {
    let (_, latents) = edit(|given| {
        given.set("iterations", 5);
        given.set("fusion", "code");
    });
    assert_eq!(latents.losses.len(), 5);
    assert_peers("code.", &latents);
}

/// The text has no part in the loss or in the gradient.
#[test]
fn without_a_share_of_the_text_no_clip_is_needed() {
    let (_, latents) = edit(|given| {
        given.set("iterations", 1);
        given.set("fusion_weight", 0.0);
    });
    let expected = f64::from(dump().numbers("loss.0.0")[0]);
    assert!((latents.losses[0] / expected - 1.0).abs() < 1e-4);
}
