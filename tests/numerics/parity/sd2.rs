//! A model in the form of Stable Diffusion 2.1 against diffusers and transformers: linear projections, a list of heads, the exact GELU, padding with
//! `!`, and the velocity as the network's output.

use dragnext::diffusion::finetune::{Subject, gradient};
use dragnext::diffusion::invert::invert;
use dragnext::diffusion::{NoiseSource, Schedule, Seeded, Spacing};
use dragnext::interrupt::Interrupt;
use dragnext::kernels::cpu::Cpu;
use dragnext::model::config::Prediction;
use dragnext::model::unet::{Input, Network, NoiseAndFeatures};
use dragnext::model::{Model, UNet};
use dragnext::nn::Tensor;
use dragnext::progress::Silent;
use serde_json::Value;

use super::{Case, FORWARD, gradient_to_z};
use crate::bench::fixture::{Fixture, assert_close, assert_gradient, path};

fn model() -> Model {
    let folder = path("sd2");
    Model::open(folder.to_str().expect("a path of letters"), None).expect("the fixture is a model")
}

fn unet() -> UNet<Cpu> {
    model()
        .unet(&Cpu, &Interrupt::never())
        .expect("the fixture has weights")
}

fn parity() -> Fixture {
    Fixture::open("sd2/parity.safetensors")
}

fn close(fixture: &Fixture, name: &str, found: &Tensor<Cpu>) {
    let expected = fixture.picture(name);
    assert_eq!(found.shape(), expected.shape(), "{name}");
    assert_close(name, &found.to_host(), &expected.to_host(), FORWARD);
}

#[test]
fn prompts_and_their_hidden_states() {
    let (fixture, model) = (parity(), model());
    let text = std::fs::read_to_string(path("sd2/tokens.json")).expect("the fixture exists");
    let cases: Vec<Value> = serde_json::from_str(&text).expect("the fixture is JSON");
    let (tokenizer, encoder) = model
        .text(&Interrupt::never())
        .expect("the fixture has both");
    let hidden = fixture.numbers("text.hidden");
    for (case, expected) in cases.iter().zip(hidden.chunks_exact(77 * 16)) {
        let prompt = case["prompt"].as_str().expect("a prompt is text");
        let ids: Vec<u32> = serde_json::from_value(case["ids"].clone()).expect("ids are numbers");
        let tokens = tokenizer.encode(prompt, 77).expect("a short prompt");
        assert_eq!(tokens, ids, "{prompt:?}");
        let found = encoder.encode(&Cpu, &tokens).expect("known tokens");
        assert_close(prompt, &found.to_host(), expected, FORWARD);
    }
}

#[test]
fn noise_features_and_gradient() {
    let (fixture, unet) = (parity(), unet());
    let case = Case::read(&fixture, "unet");
    let (noise, features) = unet.forward(case.input(), NoiseAndFeatures::of(&[2]));
    close(&fixture, "unet.noise", &noise);
    close(&fixture, "unet.tap.2", &features[0]);
    let gradient = gradient_to_z(&unet, &fixture, "unet", NoiseAndFeatures::of(&[2]));
    let expected = fixture.picture("unet.gradient").to_host();
    assert_close("unet.gradient", &gradient, &expected, FORWARD);
    assert_gradient("unet.gradient", &gradient, &expected);
}

/// Without the conversion, the velocity itself would be what the network returns.
#[test]
fn the_configuration_decides_what_the_output_means() {
    let (fixture, model) = (parity(), model());
    assert_eq!(model.schedule().prediction, Prediction::Velocity);
    let source = crate::bench::fixture::source("sd2");
    let config = dragnext::model::config::UNetConfig::read(&source).expect("a model");
    let plain = UNet::load(&Cpu, &source, &config, &Interrupt::never()).expect("weights");
    let case = Case::read(&fixture, "unet");
    close(&fixture, "unet.velocity", &plain.predict(case.input()));
}

#[test]
fn inversion_and_denoising() {
    let (fixture, model, unet) = (parity(), model(), unet());
    let schedule = Schedule::new(model.schedule());
    let grid = schedule.grid(Spacing::Leading, 50, 4);
    let prompt = unet.prepare(&fixture.tokens("ddim.context"));
    let latent = fixture.picture("ddim.z0");
    let trajectory = invert(
        &unet,
        &schedule,
        &grid,
        &latent,
        &prompt,
        &mut Silent,
        &Interrupt::never(),
    )
    .expect("finite numbers");
    for (index, t) in [1, 21, 41, 61].into_iter().enumerate() {
        let found = trajectory.at(t).expect("a timestep of the grid");
        close(&fixture, &format!("ddim.inverted.{index}"), found);
    }
    let mut z = trajectory.inverted().clone();
    for (index, &t) in grid.timesteps.iter().enumerate() {
        let noise = unet.predict(Input::at(&z, t as f64, &prompt));
        z = schedule.step(z, &noise, t, grid.after(t));
        close(&fixture, &format!("ddim.denoised.{index}"), &z);
    }
}

/// The loss is diffusers' of the velocity; its gradient agrees with finite differences.
#[test]
fn loss_of_a_lora() {
    let (fixture, model, mut unet) = (parity(), model(), unet());
    let schedule = Schedule::new(model.schedule());
    let places = unet.attach_adapters(2);
    let mut parameters = Seeded::new(3).adapters(&places);
    let timesteps: Vec<usize> = fixture
        .integers("lora.t")
        .iter()
        .map(|t| *t as usize)
        .collect();
    let noise = fixture.picture("lora.noise").to_host();
    let (latent, context) = (fixture.picture("ddim.z0"), fixture.tokens("ddim.context"));
    let mut at = |parameters: &[f32]| {
        let parameters = Tensor::vector(&Cpu, parameters.to_vec());
        unet.merge_adapters(&parameters);
        let subject = Subject::new(&latent, &context);
        let (loss, gradient) = gradient(
            &unet,
            &schedule,
            &subject,
            &parameters,
            &timesteps,
            &noise,
            &Interrupt::never(),
        )
        .expect("no interrupt");
        (loss.value(), gradient.to_host())
    };
    let (loss, _) = at(&parameters);
    let expected = f64::from(fixture.numbers("lora.loss")[0]);
    assert!(
        (loss / expected - 1.0).abs() < FORWARD,
        "{loss}, not {expected}"
    );

    // A point where no part of an adapter is zero.
    for (index, value) in parameters.iter_mut().enumerate() {
        *value += 0.03 * (1.3 * index as f32).sin();
    }
    let (_, slope) = at(&parameters);
    let norm = slope
        .iter()
        .map(|d| f64::from(*d).powi(2))
        .sum::<f64>()
        .sqrt();
    let step = 4e-4;
    let mut moved = |sign: f64| {
        let steps = slope
            .iter()
            .map(|d| (sign * step * f64::from(*d) / norm) as f32);
        let moved: Vec<f32> = parameters.iter().zip(steps).map(|(p, d)| p + d).collect();
        at(&moved).0
    };
    let found = (moved(1.0) - moved(-1.0)) / (2.0 * step);
    assert!(
        (found / norm - 1.0).abs() < 1e-2,
        "the loss grows by {found}, its gradient is {norm}"
    );
}
