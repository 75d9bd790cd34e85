//! Edits by methods that move latents, compared with the same edits in PyTorch and diffusers (`tests/peer/torch_copies.py`).
//! `tests/fixtures/copies` contains PyTorch's tensors.

use crate::bench::fixture::short_edit::Scene;
use crate::bench::fixture::{Fixture, assert_close};
use dragnext::kernels::cpu::Cpu;
use dragnext::method::Method;
use dragnext::nn::Tensor;
use dragnext::pipeline::{Latents, Outcome};
use dragnext::settings::Overrides;

const FOLDER: &str = "copies";

fn edit(
    dump: &Fixture,
    method: Method,
    change: impl Fn(&mut Overrides),
) -> (Outcome, Latents<Cpu>) {
    let scene = Scene::with_method(FOLDER, method, change);
    let warped = scene.warped();
    scene.edit(Cpu, dump, &warped).unwrap()
}

fn assert_latent(dump: &Fixture, name: &str, latent: &Tensor<Cpu>) {
    let expected = dump.picture(name).to_host();
    assert_close(name, &latent.to_host(), &expected, 1e-4);
}

fn assert_picture(dump: &Fixture, picture: &[f32]) {
    let expected = dump.picture("decoded").to_host();
    let expected: Vec<f32> = expected.iter().map(|value| value * 0.5 + 0.5).collect();
    assert_close("decoded", picture, &expected, 1e-4);
}

#[test]
fn region_drag_agrees_with_the_peer() {
    let dump = Fixture::open("copies/region_drag.safetensors");
    let (outcome, latents) = edit(&dump, Method::RegionDrag, |_| ());
    assert_latent(&dump, "z0", &latents.clean);
    assert_latent(&dump, "prepared", &latents.prepared);
    assert_latent(&dump, "z_end", &latents.denoised);
    assert_picture(&dump, &outcome.picture);
    assert_eq!((outcome.steps.invert, outcome.steps.drag), (10, 0));
}

#[test]
fn fast_drag_agrees_with_the_peer() {
    let dump = Fixture::open("copies/fast_drag.safetensors");
    let (outcome, latents) = edit(&dump, Method::FastDrag, |_| ());
    assert_latent(&dump, "z0", &latents.clean);
    assert_latent(&dump, "prepared", &latents.prepared);
    assert_latent(&dump, "trajectory.0", &latents.reference);
    assert_latent(&dump, "z_end", &latents.denoised);
    assert_picture(&dump, &outcome.picture);
    assert_eq!((outcome.steps.invert, outcome.steps.drag), (7, 0));
}

#[test]
fn fast_drags_other_forms_agree_with_the_peer() {
    let dump = Fixture::open("copies/fast_drag.safetensors");
    for (variant, name, value) in [
        ("kept", "trajectory", "kept"),
        ("noise", "empty_cells", "noise"),
        ("own", "empty_cells", "kept"),
    ] {
        let (_, latents) = edit(&dump, Method::FastDrag, |given| given.set(name, value));
        let expected = |part: &str| format!("{variant}.{part}");
        assert_latent(&dump, &expected("prepared"), &latents.prepared);
        assert_latent(&dump, &expected("z_end"), &latents.denoised);
    }
}
