//! A short edit compared with the same edit in PyTorch and diffusers (`tests/peer/torch_edit.py`), with the same random numbers: two LoRA
//! steps, four of fifty timesteps, two iterations of the drag. `tests/fixtures/edit/dump.safetensors` contains PyTorch's tensors.

use crate::bench::fixture::short_edit::{assert_peers, try_edit};
use crate::bench::fixture::{Fixture, assert_close};
use dragnext::kernels::cpu::Cpu;
use dragnext::pipeline::{Latents, Outcome};
use dragnext::settings::Overrides;

fn edit(dump: &Fixture, change: impl Fn(&mut Overrides)) -> (Outcome, Latents<Cpu>) {
    try_edit(Cpu, dump, change).unwrap()
}

#[test]
fn a_short_edit_agrees_with_the_peer() {
    let dump = Fixture::open("edit/dump.safetensors");
    let (outcome, latents) = edit(&dump, |_| ());
    assert_peers(&dump, &outcome, &latents, [1e-2, 1e-4, 1e-3, 1e-3]);
}

/// Without optimisation and with the paper's start the edited latent equals the reference latent, and mutual self-attention between equal
/// latents is plain self-attention.
#[test]
fn without_a_drag_the_edited_latent_equals_the_reference_latent() {
    let dump = Fixture::open("edit/dump.safetensors");
    let still = |start_layer| {
        let (_, latents) = edit(&dump, |given| {
            given.set("timesteps", 0);
            given.set("start", "paper");
            given.set("start_layer", start_layer);
        });
        latents
    };
    let (mutual, plain) = (still(10), still(1000));
    assert_eq!(
        mutual.inverted.to_host(),
        mutual.prepared.to_host(),
        "the paper's start is the inverted latent"
    );
    // Rounding depends on a row's position in a tile of a matrix product.
    assert_close(
        "both branches",
        &mutual.denoised.to_host(),
        &mutual.reference.to_host(),
        1e-5,
    );
    assert_close(
        "with and without mutual attention",
        &mutual.denoised.to_host(),
        &plain.denoised.to_host(),
        1e-5,
    );
}

/// The mode of the paper: a sum over all decoder stages, and one more timestep, because its range is inclusive.
#[test]
fn the_literal_mode_sums_over_all_stages_and_timesteps() {
    let dump = Fixture::open("edit/dump.safetensors");
    let (outcome, latents) = edit(&dump, |given| {
        given.set("mode", "literal");
        given.set("start", "paper");
        given.set("timesteps", 1);
    });
    assert_eq!(
        outcome.steps.drag,
        2 * 2,
        "timesteps 0 and 1, two iterations each"
    );
    assert_eq!(latents.losses.len(), 4);
    assert_eq!(
        latents.losses[0], 0.0,
        "eta is 0 at first, and the source is the current latent's own features"
    );
    assert!(
        latents.losses[1] > 100.0,
        "a sum, not a mean: {:?}",
        latents.losses
    );
}
