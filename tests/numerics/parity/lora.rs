//! Merged adapters and the number of their parameters.

use dragnext::diffusion::{NoiseSource, Seeded};
use dragnext::kernels::cpu::Cpu;
use dragnext::model::UNet;
use dragnext::model::lora::LoraFile;
use dragnext::model::unet::Network;
use dragnext::model::unet::{AdapterPlace, Input};
use dragnext::nn::Tensor;

use super::{Case, FORWARD, unet};
use crate::bench::fixture::{self, Fixture, assert_close};

#[test]
fn merged_adapters_of_every_name_format() {
    let fixture = Fixture::open("parity.safetensors");
    let input = Case::read(&fixture, "unet");
    let expected = fixture.picture("lora.noise").to_host();
    let mut unet = unet("tiny");
    let untouched = input.noise(&unet);
    for format in ["peft", "adapter", "old", "attn_procs"] {
        let file = LoraFile::open(&fixture::path(&format!("lora_{format}.safetensors")))
            .expect("the fixture is a LoRA");
        let places = unet.attach_adapters(file.rank().expect("one rank"));
        let lora = file.read(&places).expect("the LoRA fits the model");
        assert_eq!(lora.absent, [] as [&str; 0]);
        let parameters = Tensor::vector(&Cpu, lora.parameters);
        assert_eq!(
            input.noise(&unet),
            untouched,
            "attached adapters have no effect before they are merged"
        );
        unet.merge_adapters(&parameters);
        assert_close(
            &format!("{format}, merged"),
            &input.noise(&unet),
            &expected,
            FORWARD,
        );
        unet.merge_adapters(&parameters);
        assert_close(
            &format!("{format}, merged again"),
            &input.noise(&unet),
            &expected,
            FORWARD,
        );
        unet.detach_adapters();
        assert_eq!(
            input.noise(&unet),
            untouched,
            "detaching restores every bit"
        );
    }
}

/// Returns the parameters of the query, key, value and output adapters in the self-attention and cross-attention of each transformer.
fn adapter_parameters(transformers: &[usize], context: usize, rank: usize) -> usize {
    transformers
        .iter()
        .map(|channels| rank * (12 * channels + 2 * (channels + context)))
        .sum()
}

#[test]
fn the_number_of_adapter_parameters_is_that_of_the_paper() {
    // Three levels with two transformers in the down block and three in the up block, and one transformer in the middle.
    let levels = |widths: [usize; 3], middle: usize| {
        widths
            .into_iter()
            .flat_map(|width| [width; 5])
            .chain([middle])
            .collect::<Vec<usize>>()
    };
    assert_eq!(
        adapter_parameters(&levels([320, 640, 1280], 1280), 768, 16),
        3_188_736,
        "Stable Diffusion 1.5 at rank 16"
    );
    let tiny: usize = unet("tiny")
        .attach_adapters(4)
        .iter()
        .map(AdapterPlace::len)
        .sum();
    assert_eq!(tiny, adapter_parameters(&levels([8, 16, 16], 16), 24, 4));
}

/// An adapter whose second matrix is zero has no effect.
#[test]
fn a_new_adapter_has_no_effect() {
    let fixture = Fixture::open("parity.safetensors");
    let (z, context) = (fixture.picture("unet.z"), fixture.tokens("unet.context"));
    let mut unet = unet("tiny");
    let noise = |unet: &UNet<Cpu>| unet.predict(Input::at(&z, 741.0, &context)).to_host();
    let plain = noise(&unet);
    let places = unet.attach_adapters(4);
    let parameters = Tensor::vector(&Cpu, Seeded::new(0).adapters(&places));
    assert!(
        parameters.to_host().iter().any(|x| *x != 0.0),
        "`down` is not zero"
    );
    unet.merge_adapters(&parameters);
    assert_eq!(noise(&unet), plain);
}
