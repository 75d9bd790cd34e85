//! Whole edits on the candle backend, against PyTorch and diffusers and against the CPU backend.

use dragnext::kernels::candle::Candle;
use dragnext::kernels::cpu::Cpu;
use dragnext::kernels::{Backend, Format};
use dragnext::settings::TrajectoryChoice;

use crate::bench::fixture::short_edit::{assert_peers, try_edit};
use crate::bench::fixture::unedited::Unedited;
use crate::bench::fixture::{Fixture, assert_close};
use crate::bench::report;

#[test]
fn a_short_edit_agrees_with_pytorch() {
    let dump = Fixture::open("edit/dump.safetensors");
    // Tolerances of LoRA and final latent, of the encoded latent, of the inverted latent, and of the losses.
    for (format, tolerances) in [
        (Format::F32, [1e-2, 1e-4, 1e-3, 1e-3]),
        (Format::F16, [5e-2, 1e-4, 1e-2, 1e-2]),
    ] {
        let (outcome, latents) = try_edit(Candle::cpu(format), &dump, |_| ()).unwrap();
        assert_peers(&dump, &outcome, &latents, tolerances);
    }
}

#[test]
fn a_short_edit_agrees_with_the_cpu_backend() {
    fn edit<B: Backend>(backend: B, dump: &Fixture) -> [Vec<f32>; 2] {
        let (_, latents) = try_edit(backend, dump, |_| ()).unwrap();
        [latents.inverted.to_host(), latents.denoised.to_host()]
    }
    let dump = Fixture::open("edit/dump.safetensors");
    let expected = edit(Cpu, &dump);
    let got = edit(Candle::cpu(Format::F32), &dump);
    for (name, (got, expected)) in ["inverted", "final"].iter().zip(got.iter().zip(&expected)) {
        assert_close(&format!("{name} latent"), got, expected, 1e-3);
    }
}

#[test]
fn an_unedited_picture_comes_back_on_a_kept_trajectory() {
    let unedited = Unedited::new(&Candle::cpu(Format::F16));
    for strength in [0.1, 0.5] {
        let kept = unedited.distance(strength, TrajectoryChoice::Kept);
        report(&format!("f16, strength {strength}: {kept:?}"));
        assert!(
            kept.loss_db.abs() <= 0.1 && kept.latent <= 1e-5 && kept.psnr >= 100.0,
            "strength {strength}: {kept:?}"
        );
    }
}
