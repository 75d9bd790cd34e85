//! Networks in the full shape of Stable Diffusion 1.5, compared with diffusers. The files are too large for the repository, so the test
//! runs on demand:
//!
//!     python3 tests/peer/full_size.py make DIR/model
//!     python3 tests/peer/full_size.py predict DIR/model DIR/predicted.safetensors --vae
//!     DRAGNEXT_FULL_SIZE=DIR cargo test --release --features failpoints,cuda --test numerics full_size -- --nocapture

use std::path::PathBuf;

use crate::bench::fixture::{Fixture, assert_close};
use crate::bench::numbers::Numbers;
use crate::bench::report;
use dragnext::interrupt::Interrupt;
use dragnext::kernels::cpu::Cpu;
use dragnext::model::unet::{Input, Network, NoiseAndFeatures};
use dragnext::model::{Model, Source, Vae};
use dragnext::nn::{Shape, Tensor};

#[test]
fn the_full_shape_agrees_with_diffusers() {
    let Some(folder) = std::env::var_os("DRAGNEXT_FULL_SIZE").map(PathBuf::from) else {
        report("skipped: DRAGNEXT_FULL_SIZE is not set to a folder with the full-size model");
        return;
    };
    let expected = Fixture::open(&folder.join("predicted.safetensors").to_string_lossy());
    let model = Model::open(&folder.join("model").to_string_lossy(), None).unwrap();
    let never = Interrupt::never();
    let (z, context) = (expected.picture("z"), expected.tokens("context"));

    let unet = model.unet(&Cpu, &never).unwrap();
    let input = Input::new(&z, &expected.timesteps("t"), &context);
    let (noise, features) = unet.forward(input, NoiseAndFeatures::of(&[1, 2, 3, 4]));
    assert_close(
        "noise",
        &noise.to_host(),
        &expected.picture("noise").to_host(),
        1e-3,
    );
    for (stage, map) in (1..).zip(&features) {
        let name = format!("tap.{stage}");
        assert_close(
            &name,
            &map.to_host(),
            &expected.picture(&name).to_host(),
            1e-3,
        );
    }
    drop(unet);

    let vae = model.vae(&Cpu, &never).unwrap();
    assert_close(
        "mean",
        &vae.posterior(&expected.picture("image"), &never)
            .unwrap()
            .mean
            .to_host(),
        &expected.picture("mean").to_host(),
        1e-3,
    );
    assert_close(
        "decoded",
        &vae.decode_unscaled(&expected.picture("latent"), &never)
            .unwrap()
            .to_host(),
        &expected.picture("decoded").to_host(),
        1e-3,
    );
}

/// Memory of the decoder's backward pass at 512 x 512, with every block computed again and with all tapes.
#[test]
fn the_decoder_has_the_same_gradient_with_less_memory() {
    let Some(folder) = std::env::var_os("DRAGNEXT_FULL_SIZE").map(PathBuf::from) else {
        report("skipped: DRAGNEXT_FULL_SIZE is not set to a folder with the full-size model");
        return;
    };
    let never = Interrupt::never();
    let vae = Vae::load(&Cpu, &Source::Folder(folder.join("model")), &never).unwrap();
    let mut numbers = Numbers::new(5);
    let shape = Shape::new(1, 64, 64, 4);
    let latent = Tensor::from_host(&Cpu, shape, numbers.normal(shape.len()));
    let picture = Shape::new(1, 512, 512, 3);
    let weights = Tensor::from_host(&Cpu, picture, numbers.normal(picture.len()));
    let mut expected: Option<Vec<f32>> = None;
    let before = resident("VmRSS:");
    // The smaller peak first: the peak of a process never falls.
    for limit in [0, usize::MAX] {
        let pass = vae.record_decode_within(&latent, limit, &never).unwrap();
        let kept = pass.kept_bytes() as f64 / 1e9;
        let gradient = pass.backward(&weights, &never).unwrap().to_host();
        let peak = before.zip(resident("VmHWM:"));
        let peak = peak.map(|(before, peak)| peak.saturating_sub(before) as f64 / 1e9);
        report(&format!(
            "tapes within {limit} bytes: {kept:.2} GB kept, peak {peak:?} GB above the weights"
        ));
        match &expected {
            Some(expected) => assert_eq!(&gradient, expected),
            None => expected = Some(gradient),
        }
    }
}

/// Returns a number of `/proc/self/status` in bytes, where there is one.
fn resident(key: &str) -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(key))?;
    let kibibytes: u64 = line.trim().trim_end_matches(" kB").parse().ok()?;
    Some(1024 * kibibytes)
}
