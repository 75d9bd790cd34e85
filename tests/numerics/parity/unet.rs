//! Outputs of the UNet.

use dragnext::diffusion::{NoiseSource, Seeded};
use dragnext::interrupt::Interrupt;
use dragnext::kernels::cpu::Cpu;
use dragnext::model::unet::Network;
use dragnext::model::unet::{Context, Features, Input, Noise, NoiseAndFeatures};
use dragnext::model::{UNet, Vae};
use dragnext::nn::{Mutual, Tensor};

use super::{ALL_TAPS, Case, FORWARD, decode, encode, gradient_to_z, unet};
use crate::bench::fixture::{self, Fixture, assert_close, relative};

#[test]
fn noise_and_decoder_outputs() {
    let fixture = Fixture::open("parity.safetensors");
    let unet = unet("tiny");
    for name in ["unet", "unet8"] {
        let input = Case::read(&fixture, name);
        let (noise, features) = unet.forward(input.input(), NoiseAndFeatures::of(&ALL_TAPS));
        assert_close(
            &format!("{name}.noise"),
            &noise.to_host(),
            &fixture.picture(&format!("{name}.noise")).to_host(),
            FORWARD,
        );
        for (tap, found) in ALL_TAPS.into_iter().zip(&features) {
            let expected = fixture.picture(&format!("{name}.tap.{tap}"));
            assert_eq!(found.shape(), expected.shape());
            assert_close(
                &format!("{name}.tap.{tap}"),
                &found.to_host(),
                &expected.to_host(),
                FORWARD,
            );
            // A pass that ends early gives the same values.
            let early = unet.forward(input.input(), Features::of(&[tap]));
            assert_eq!(early[0].to_host(), found.to_host());
        }
    }
}

#[test]
fn old_and_new_folder_layouts_give_the_same_model() {
    let fixture = Fixture::open("parity.safetensors");
    let input = Case::read(&fixture, "unet");
    let expected = input.noise(&unet("tiny"));
    for name in ["legacy", "linear"] {
        assert_eq!(input.noise(&unet(name)), expected, "{name}");
    }
    let [tiny, legacy] = ["tiny", "legacy"].map(|name| {
        Vae::load(&Cpu, &fixture::source(name), &Interrupt::never()).expect("the fixture has a VAE")
    });
    let (picture, latent) = (fixture.picture("vae.image"), fixture.picture("vae.latent"));
    assert_eq!(
        encode(&tiny, &picture).to_host(),
        encode(&legacy, &picture).to_host()
    );
    assert_eq!(
        decode(&tiny, &latent).to_host(),
        decode(&legacy, &latent).to_host()
    );
}

#[test]
fn a_prepared_prompt_gives_the_same_result() {
    let input = Case::read(&Fixture::open("parity.safetensors"), "unet");
    let unet = unet("tiny");
    let context = input.context.picture(0);
    let prompt = unet.prepare(&context);
    let both = [Context::from(&context), Context::from(&prompt)].map(|context| {
        let pass = unet.record(Input::new(&input.z, &input.timesteps, context), Noise);
        let noise = pass.outputs().clone();
        (noise.to_host(), pass.backward(noise, 1.0).to_host())
    });
    assert_eq!(both[0], both[1]);
    // The tokens of one prompt are used for all latents.
    let copies = Case {
        context: Tensor::stacked(&[context.clone(), context]),
        ..input
    };
    assert_eq!(copies.noise(&unet), both[0].0);
}

#[test]
fn each_latent_may_have_its_own_prepared_prompt() {
    let input = Case::read(&Fixture::open("parity.safetensors"), "unet");
    let unet = unet("tiny");
    let prompts = unet.prepare(&input.context);
    let prepared = Input::new(&input.z, &input.timesteps, &prompts);
    assert_eq!(unet.predict(prepared).to_host(), input.noise(&unet));
}

#[test]
#[should_panic(expected = "need the prompt's tokens")]
fn gradients_of_adapters_need_the_tokens() {
    let input = Case::read(&Fixture::open("parity.safetensors"), "unet");
    let mut unet = unet("tiny");
    let places = unet.attach_adapters(4);
    let parameters = Tensor::vector(&Cpu, Seeded::new(0).adapters(&places));
    let prompt = unet.prepare(&input.context.picture(0));
    let mut gradient = Tensor::zeros(&Cpu, parameters.shape());
    let input = Input::new(&input.z, &input.timesteps, &prompt);
    unet.record_adapters(input, Noise, &parameters, &mut gradient);
}

/// More timesteps than the cache of time embeddings holds.
#[test]
fn cached_timesteps_give_the_same_result() {
    let input = Case::read(&Fixture::open("parity.safetensors"), "unet");
    let (z, context) = (input.z.picture(0), input.context.picture(0));
    let noise = |unet: &UNet<Cpu>, t: f64| unet.predict(Input::at(&z, t, &context)).to_host();
    let used = unet("tiny");
    for t in 0..130 {
        noise(&used, f64::from(t));
    }
    for t in [0.0, 1.0, 129.0, 400.0] {
        assert_eq!(noise(&used, t), noise(&unet("tiny"), t), "timestep {t}");
    }
}

#[test]
fn a_batch_equals_its_pictures_one_by_one() {
    let input = Case::read(&Fixture::open("parity.safetensors"), "unet");
    let unet = unet("tiny");
    let together = input.noise(&unet);
    let alone = (0..2).flat_map(|index| {
        let alone = Case {
            z: input.z.picture(index),
            timesteps: vec![input.timesteps[index]],
            context: input.context.picture(index),
        };
        alone.noise(&unet)
    });
    assert_close("one by one", &alone.collect::<Vec<f32>>(), &together, 1e-5);
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    let fixture = Fixture::open("parity.safetensors");
    let unet = unet("tiny");
    let vae = Vae::load(&Cpu, &fixture::source("tiny"), &Interrupt::never())
        .expect("the fixture has a VAE");
    let with_threads = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .expect("start threads");
        pool.install(|| {
            let latent = encode(&vae, &fixture.picture("vae.image"));
            [
                gradient_to_z(&unet, &fixture, "unet", NoiseAndFeatures::of(&[2, 3])),
                latent.to_host(),
                decode(&vae, &latent).to_host(),
            ]
        })
    };
    let alone = with_threads(1);
    for threads in [2, 5] {
        assert_eq!(with_threads(threads), alone, "{threads} threads");
    }
}

#[test]
fn mutual_self_attention() {
    let fixture = Fixture::open("parity.safetensors");
    let input = Case::read(&fixture, "mutual");
    let unet = unet("tiny");
    let mutual = |start_layer| Mutual {
        start_layer,
        sources: vec![0, 0],
    };
    let expected = fixture.picture("mutual.noise").to_host();
    let noise = input.noise_with(&unet, mutual(10));
    assert_close("mutual.noise", &noise, &expected, FORWARD);
    let plain = input.noise(&unet);
    let half = plain.len() / 2;
    assert_eq!(
        noise[..half],
        plain[..half],
        "the reference picture does not change"
    );
    assert!(
        relative(&noise[half..], &plain[half..]) > 1e-2,
        "the picture that reads from it does"
    );
    assert_eq!(
        input.noise_with(&unet, mutual(16)),
        plain,
        "there are 16 layers, 0 to 15"
    );
}
