//! Networks in the full shape of Stable Diffusion 1.5, compared with diffusers. The files are too large for the repository, so the test
//! runs on demand:
//!
//!     python3 tests/peer/full_size.py make DIR/model
//!     python3 tests/peer/full_size.py predict DIR/model DIR/predicted.safetensors --vae
//!     DRAGNEXT_FULL_SIZE=DIR cargo test --release --features failpoints,cuda --test numerics full_size -- --nocapture

use std::path::PathBuf;

use crate::bench::fixture::{Fixture, assert_close};
use crate::bench::report;
use dragnext::interrupt::Interrupt;
use dragnext::kernels::cpu::Cpu;
use dragnext::model::Model;
use dragnext::model::unet::{Input, Network, NoiseAndFeatures};

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
