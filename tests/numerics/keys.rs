//! Keys and values of self-attentions that one pass keeps and another reads.

use crate::bench::fixture::{self, relative};
use crate::bench::numbers::Numbers;
use dragnext::interrupt::Interrupt;
use dragnext::kernels::cpu::Cpu;
use dragnext::model::UNet;
use dragnext::model::config::UNetConfig;
use dragnext::model::unet::{Input, Network, NoiseAndKeys, Prompt, SelfAttentions};
use dragnext::nn::{Mutual, Shape, Tensor};

struct Setup {
    unet: UNet<Cpu>,
    prompt: Prompt<Cpu>,
    /// Two latents of 12 x 10 cells.
    latents: [Tensor<Cpu>; 2],
}

impl Setup {
    fn new() -> Self {
        let source = fixture::source("tiny");
        let config = UNetConfig::read(&source).expect("the fixture is a model");
        let unet = UNet::load(&Cpu, &source, &config, &Interrupt::never());
        let unet = unet.expect("the fixture has weights");
        let mut numbers = Numbers::new(9);
        let mut random = |shape: Shape| Tensor::from_host(&Cpu, shape, numbers.normal(shape.len()));
        let prompt = unet.prepare(&random(Shape::new(1, 1, 7, 24)));
        let shape = Shape::new(1, 12, 10, 4);
        Self {
            latents: [random(shape), random(shape)],
            unet,
            prompt,
        }
    }

    fn input(&self, latent: &Tensor<Cpu>, t: f64) -> Input<Cpu> {
        Input::at(latent, t, &self.prompt)
    }
}

#[test]
fn a_latents_own_keys_change_nothing() {
    let setup = Setup::new();
    let [z, _] = &setup.latents;
    let expected = setup.unet.predict(setup.input(z, 400.0)).to_host();
    for attentions in [SelfAttentions::All, SelfAttentions::Decoder] {
        let want = NoiseAndKeys::of(attentions);
        let (noise, keys) = setup.unet.forward(setup.input(z, 400.0), want);
        assert_eq!(noise.to_host(), expected);
        let again = setup.unet.predict(setup.input(z, 400.0).with_keys(keys));
        assert_eq!(again.to_host(), expected);
    }
}

/// Attention to keys and values that are all there twice is attention to them.
#[test]
fn a_latents_own_keys_beside_themselves_change_nothing() {
    let setup = Setup::new();
    let [z, other] = &setup.latents;
    let plain = setup.unet.predict(setup.input(z, 400.0)).to_host();
    for attentions in [SelfAttentions::All, SelfAttentions::Decoder] {
        let found = |of: &Tensor<Cpu>| {
            let want = NoiseAndKeys::of(attentions);
            let (_, keys) = setup.unet.forward(setup.input(of, 400.0), want);
            let input = setup.input(z, 400.0).with_keys_beside(keys);
            setup.unet.predict(input).to_host()
        };
        assert!(relative(&found(z), &plain) < 1e-5, "{attentions:?}");
        assert!(relative(&found(other), &plain) > 1e-3, "they are read");
    }
}

/// The encoder has six self-attentions, the middle block one, the decoder nine.
#[test]
fn the_layers_are_those_of_stable_diffusion() {
    let setup = Setup::new();
    let [z, _] = &setup.latents;
    let keys = |attentions| {
        let want = NoiseAndKeys::of(attentions);
        setup.unet.forward(setup.input(z, 1.0), want).1
    };
    let (all, decoder) = (keys(SelfAttentions::All), keys(SelfAttentions::Decoder));
    assert_eq!((all.first(), all.layers().len()), (0, 16));
    assert_eq!((decoder.first(), decoder.layers().len()), (7, 9));
    for (layer, [k, v]) in decoder.layers().iter().enumerate() {
        let [all_k, all_v] = all.of_layer(7 + layer).expect("all layers are kept");
        assert_eq!(k.to_host(), all_k.to_host());
        assert_eq!(v.to_host(), all_v.to_host());
    }
}

/// Mutual self-attention in one pass of two latents reads what two passes of one hand over.
#[test]
fn stored_keys_agree_with_mutual_self_attention() {
    let setup = Setup::new();
    let [reference, edit] = &setup.latents;
    let both = Tensor::stacked(&[reference.clone(), edit.clone()]);
    let plain = setup.unet.predict(setup.input(edit, 300.0)).to_host();
    for (attentions, start_layer) in [(SelfAttentions::All, 0), (SelfAttentions::Decoder, 7)] {
        let mutual = Mutual {
            start_layer,
            sources: vec![0, 0],
        };
        let input = setup.input(&both, 300.0).with_mutual(mutual);
        let expected = setup.unet.predict(input).picture(1).to_host();
        let want = NoiseAndKeys::of(attentions);
        let (_, keys) = setup.unet.forward(setup.input(reference, 300.0), want);
        let input = setup.input(edit, 300.0).with_keys(keys);
        let found = setup.unet.predict(input).to_host();
        assert!(relative(&found, &expected) < 1e-5, "{attentions:?}");
        assert!(relative(&found, &plain) > 1e-2, "the keys have an effect");
    }
}

#[test]
fn keys_of_one_latent_serve_all_latents() {
    let setup = Setup::new();
    let [a, b] = &setup.latents;
    let want = NoiseAndKeys::of(SelfAttentions::All);
    let (_, keys) = setup.unet.forward(setup.input(a, 700.0), want);
    let both = Tensor::stacked(&[a.clone(), b.clone()]);
    let together = setup
        .unet
        .predict(setup.input(&both, 600.0).with_keys(keys.clone()));
    let beside = setup.input(&both, 600.0).with_keys_beside(keys.clone());
    let beside = setup.unet.predict(beside);
    for (index, latent) in [a, b].into_iter().enumerate() {
        let input = setup.input(latent, 600.0).with_keys(keys.clone());
        let alone = setup.unet.predict(input).to_host();
        assert!(relative(&together.picture(index).to_host(), &alone) < 1e-5);
        let input = setup.input(latent, 600.0).with_keys_beside(keys.clone());
        let alone = setup.unet.predict(input).to_host();
        assert!(relative(&beside.picture(index).to_host(), &alone) < 1e-5);
    }
}
