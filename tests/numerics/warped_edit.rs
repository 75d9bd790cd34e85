//! A short edit of every new part compared, stage by stage, with the same edit in PyTorch and diffusers (`tests/peer/torch_edit.py`): a warped
//! start, a kept trajectory, a correction, carried detail. `tests/fixtures/warped_edit` contains PyTorch's pictures and tensors.

use crate::bench::fixture::short_edit::{Scene, assert_trained, read};
use crate::bench::fixture::{Fixture, assert_close};
use crate::bench::report;
use dragnext::kernels::cpu::Cpu;
use dragnext::nn::Tensor;
use dragnext::picture::Picture;
use dragnext::pipeline::{Latents, Outcome};
use dragnext::settings::Overrides;
use dragnext::warp::{self, Warped};

const FOLDER: &str = "warped_edit";
/// Share of pixels that may differ by one of 256 levels, because their colour lies between two.
const ROUNDED: f64 = 0.001;

fn dump() -> Fixture {
    Fixture::open("warped_edit/dump.safetensors")
}

/// Returns the scene's warped picture with the pixels of PyTorch's, so that a level of difference does not reach the later stages.
fn peers_warped(scene: &Scene) -> Warped {
    let mut warped = scene.warped();
    warped.picture = read(FOLDER, "warped.png");
    warped
}

fn edit(change: impl Fn(&mut Overrides)) -> (Outcome, Latents<Cpu>) {
    let scene = Scene::of(FOLDER, change);
    let warped = peers_warped(&scene);
    scene.edit(Cpu, &dump(), &warped).unwrap()
}

/// Returns the samples of an 8-bit picture.
fn levels(picture: &Picture) -> Vec<i32> {
    let raster = picture.raster(dragnext::geometry::Window::whole(picture.size()));
    let level = |value: &f32| (value * 255.0).round() as i32;
    raster.pixels().as_flattened().iter().map(level).collect()
}

/// Asserts that two pictures differ by a level at most, in few samples.
fn assert_levels(what: &str, got: &Picture, expected: &Picture) {
    let (got, expected) = (levels(got), levels(expected));
    let differences: Vec<i32> = got
        .iter()
        .zip(&expected)
        .map(|(got, expected)| (got - expected).abs())
        .collect();
    let largest = differences.iter().max().copied().unwrap_or(0);
    let count = differences.iter().filter(|d| **d > 0).count();
    let share = count as f64 / differences.len() as f64;
    report(&format!(
        "{what}: {count} samples differ, by at most {largest} levels"
    ));
    assert!(
        largest <= 1 && share <= ROUNDED,
        "{what}: {count} samples differ, by at most {largest} levels"
    );
}

fn assert_latent(dump: &Fixture, name: &str, latent: &Tensor<Cpu>, tolerance: f64) {
    let expected = dump.picture(name).to_host();
    assert_close(name, &latent.to_host(), &expected, tolerance);
}

fn assert_losses(dump: &Fixture, prefix: &str, losses: &[f64]) {
    assert_eq!(losses.len(), 2);
    for (iteration, loss) in losses.iter().enumerate() {
        let name = format!("{prefix}drag.loss.0.{iteration}");
        assert_close(&name, &[*loss as f32], &dump.numbers(&name), 1e-4);
    }
}

/// Returns PyTorch's picture, which is in -1..1, in 0..1.
fn picture(dump: &Fixture, name: &str) -> Vec<f32> {
    let host = dump.picture(name).to_host();
    host.iter().map(|value| value * 0.5 + 0.5).collect()
}

#[test]
fn the_warped_picture_agrees_with_the_peer() {
    let scene = Scene::of(FOLDER, |_| ());
    let warped = scene.warped();
    assert_levels("warped", &warped.picture, &read(FOLDER, "warped.png"));
    let new: Vec<f32> = warped
        .new_cells(&scene.plan.frame)
        .iter()
        .map(|share| f32::from(u8::from(*share > 0.05)))
        .collect();
    assert_eq!(new, dump().numbers("new"), "the same cells are new");
}

#[test]
fn every_motion_warps_as_in_the_peer() {
    let scene = Scene::of("motions", |_| ());
    let warped = scene.warped();
    assert_levels("motions", &warped.picture, &read("motions", "warped.png"));
    let centres = scene.plan.frame.source.centres();
    let new: Vec<f32> = centres.map(|centre| warped.new_at(centre)).collect();
    let expected = Fixture::open("motions/new.safetensors").numbers("new");
    let differing = new
        .iter()
        .zip(&expected)
        .filter(|(a, b)| (*a - *b).abs() > 1e-4)
        .count();
    report(&format!("new: {differing} pixels differ"));
    // A fill that is just visible may be just invisible.
    assert!(differing as f64 <= ROUNDED * new.len() as f64);
}

#[test]
fn a_warped_edit_agrees_with_the_peer() {
    let dump = dump();
    let (outcome, latents) = edit(|_| ());
    assert_trained(&dump, &outcome, 1e-3);
    assert_latent(&dump, "trajectory.4", &latents.clean, 1e-4);
    assert_latent(&dump, "trajectory.0", &latents.inverted, 1e-4);
    assert_latent(&dump, "prepared", &latents.prepared, 1e-4);
    assert_losses(&dump, "", &latents.losses);
    assert_latent(&dump, "z_end", &latents.denoised, 1e-4);
    assert_latent(&dump, "z0.warped", &latents.reference, 1e-4);
    let (decoded, seen) = (picture(&dump, "decoded"), picture(&dump, "seen"));
    assert_close("decoded", &outcome.picture, &decoded, 1e-4);
    let reconstruction = outcome.reconstruction.expect("detail is carried");
    assert_close("reconstruction", &reconstruction, &seen, 1e-4);

    let scene = Scene::of(FOLDER, |_| ());
    let (warped, frame) = (peers_warped(&scene), &scene.plan.frame);
    let detailed = warp::carry(&outcome.picture, &reconstruction, &warped, frame, 1.0);
    let detailed = detailed.pixels().as_flattened();
    let expected = picture(&dump, "detailed");
    assert_close("detailed", detailed, &expected, 1e-4);
}

#[test]
fn a_correction_towards_the_original_features_agrees_with_the_peer() {
    let dump = dump();
    let (_, latents) = edit(|given| {
        given.set("features", "original");
        given.set("lora_steps", 0);
    });
    assert_latent(&dump, "original.z_T", &latents.inverted, 1e-4);
    assert_latent(&dump, "original.prepared", &latents.prepared, 1e-4);
    assert_losses(&dump, "original.", &latents.losses);
    assert_latent(&dump, "original.z_end", &latents.denoised, 1e-4);
}

#[test]
fn a_moved_start_on_a_kept_trajectory_agrees_with_the_peer() {
    let dump = dump();
    let change = |given: &mut Overrides| {
        given.set("start", "moved");
        given.set("trajectory", "kept");
        given.set("vacated_noise", 0.6);
        given.set("detail", 0.5);
        given.set("lora_steps", 0);
    };
    let (outcome, latents) = edit(change);
    assert_latent(&dump, "moved.z_T", &latents.inverted, 1e-4);
    assert_latent(&dump, "moved.prepared", &latents.prepared, 1e-4);
    assert_losses(&dump, "moved.", &latents.losses);
    assert_latent(&dump, "moved.z_end", &latents.denoised, 1e-4);

    let scene = Scene::of(FOLDER, change);
    let reconstruction = outcome.reconstruction.expect("detail is carried");
    let (warped, frame) = (peers_warped(&scene), &scene.plan.frame);
    let detailed = warp::carry(&outcome.picture, &reconstruction, &warped, frame, 0.5);
    let detailed = detailed.pixels().as_flattened();
    let expected = picture(&dump, "moved.detailed");
    assert_close("detailed", detailed, &expected, 1e-4);
}

/// Largest relative error of the losses of a correction with an optimised embedding. The features are nearly right, so a loss is small beside them; and
/// Adam moves the embedding by a full step where its gradient is rounding noise.
const LOSSES: f64 = 1e-3;

/// With `DragText`, the embedding starts anew at the second timestep; that of a correction is the one of the smallest loss.
#[test]
fn optimised_embeddings_agree_with_the_peer() {
    let dump = dump();
    for (mode, iterations) in [("clean", 4), ("code", 3), ("joint", 3)] {
        let (_, latents) = edit(|given| {
            given.set("text_optimisation", mode);
            given.set("timesteps", 2);
            given.set("iterations", iterations);
            given.set("lora_steps", 0);
            if mode != "clean" {
                given.set("start", "moved");
                given.set("trajectory", "kept");
                given.set("vacated_noise", 0.6);
            }
        });
        let names = (0..2).flat_map(|t| (0..iterations).map(move |k| (t, k)));
        let losses: Vec<f32> = names
            .flat_map(|(t, k)| dump.numbers(&format!("{mode}.drag.loss.{t}.{k}")))
            .collect();
        let found: Vec<f32> = latents.losses.iter().map(|loss| *loss as f32).collect();
        assert_latent(&dump, &format!("{mode}.z_end"), &latents.denoised, 1e-4);
        let prompts = latents.prompts.expect("the embedding was optimised");
        let expected = dump.tokens(&format!("{mode}.text")).to_host();
        let text = prompts.picture(1).to_host();
        assert_close(&format!("{mode}.text"), &text, &expected, 1e-4);
        let own = prompts.picture(0).to_host();
        let moved = expected.iter().zip(own);
        assert!(
            moved.into_iter().any(|(a, b)| (a - b).abs() > 1e-3),
            "it moved"
        );
        report(&format!("{mode}: losses {found:?}, expected {losses:?}"));
        assert_close(&format!("{mode}.losses"), &found, &losses, LOSSES);
    }
}
