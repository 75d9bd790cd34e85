//! A network and a VAE with random weights: forward and backward passes, and a step of a LoRA's training.

use super::NetworkResult;
use crate::diffusion::finetune::{self, Subject};
use crate::diffusion::{NoiseSource, Schedule, Seeded};
use crate::error::Result;
use crate::interrupt::Interrupt;
use crate::kernels::Backend;
use crate::kernels::comparison::Numbers;
use crate::model::config::{Prediction, ScheduleConfig, UNetConfig, VaeConfig};
use crate::model::unet::{Input, Network, NoiseAndFeatures, NoiseAndKeys, SelfAttentions};
use crate::model::{UNet, Vae};
use crate::nn::{Mutual, Shape, Tensor};
use crate::progress::Silent;
use crate::settings::LoraSettings;

/// Height and width of the latents.
pub(super) const SIDE: usize = 16;
/// Tokens of the prompt, and their channels.
const TOKENS: [usize; 2] = [7, 24];
/// Decoder stages whose features are compared.
pub(super) const STAGES: [usize; 2] = [2, 3];
/// About the size of the gradients that a backward pass starts from.
pub(super) const MAGNITUDE: f32 = 1e-3;
/// Size of a LoRA's parameters that are zero at first: without them, the others have no gradient.
pub(super) const AWAY: f32 = 0.05;

/// Records results by name.
#[derive(Debug, Default)]
pub(super) struct Results(Vec<NetworkResult>);

impl Results {
    pub(super) fn push(&mut self, name: impl Into<String>, values: Vec<f32>) {
        let name = name.into();
        self.0.push(NetworkResult { name, values });
    }

    pub(super) fn into_list(self) -> Vec<NetworkResult> {
        self.0
    }
}

/// Returns a network of four levels whose attention has heads of 32 and 64 channels.
pub(super) fn network<B: Backend>(backend: &B) -> Result<UNet<B>> {
    let config = UNetConfig {
        channels: vec![32, 64, 64, 64],
        layers_per_block: 1,
        down_attention: vec![true, true, true, false],
        up_attention: vec![false, true, true, true],
        heads: vec![1; 4],
        cross_attention_dim: TOKENS[1],
        groups: 8,
        eps: 1e-5,
        sample_size: SIDE,
        flip_sin_to_cos: true,
        freq_shift: 0.0,
        guidance_embedding: None,
    };
    UNet::seeded(backend, &config, &Interrupt::never())
}

/// Returns a small VAE.
pub(super) fn autoencoder<B: Backend>(backend: &B) -> Result<Vae<B>> {
    let config = VaeConfig {
        channels: vec![16, 32, 32, 32],
        layers_per_block: 1,
        groups: 8,
        scaling_factor: 0.18215,
    };
    Vae::seeded(backend, &config, &Interrupt::never())
}

/// Returns the noise schedule of Stable Diffusion.
pub(super) fn schedule() -> Schedule {
    Schedule::new(&ScheduleConfig {
        prediction: Prediction::Noise,
        beta_start: 0.00085,
        beta_end: 0.012,
        scaled: true,
        timesteps: 1000,
        steps_offset: 1,
        set_alpha_to_one: false,
    })
}

/// Returns random numbers of variance 1.
pub(super) fn random<B: Backend>(backend: &B, seed: u64, shape: Shape) -> Tensor<B> {
    let numbers = Numbers::new(seed).spread(shape.len(), 3.0_f32.sqrt());
    Tensor::from_host(backend, shape, numbers)
}

/// Returns the latents of a number of pictures.
pub(super) fn latents<B: Backend>(backend: &B, pictures: usize) -> Tensor<B> {
    random(backend, 1, Shape::new(pictures, SIDE, SIDE, 4))
}

/// Returns a prompt's tokens.
pub(super) fn tokens<B: Backend>(backend: &B) -> Tensor<B> {
    random(backend, 2, Shape::new(1, 1, TOKENS[0], TOKENS[1]))
}

/// Returns gradients in the shape of a tensor.
pub(super) fn gradient_of<B: Backend>(seed: u64, like: &Tensor<B>) -> Tensor<B> {
    let numbers = Numbers::new(seed).spread(like.shape().len(), MAGNITUDE);
    Tensor::from_host(like.backend(), like.shape(), numbers)
}

/// Runs the network forward and backward, to the latents and to the prompt, with keys of another latent and with keys that were kept.
pub(super) fn unet<B: Backend>(backend: &B) -> Result<Vec<NetworkResult>> {
    let mut results = Results::default();
    let unet = network(backend)?;
    let (z, context) = (latents(backend, 2), tokens(backend));
    let prompt = unet.prepare(&context);
    let input = Input::new(&z, &[981.0, 21.0], &prompt);
    let pass = unet.record(input, NoiseAndFeatures::of(&STAGES));
    let (noise, features) = pass.outputs().clone();
    results.push("noise prediction", noise.to_host());
    for (name, map) in ["features of stage 2", "features of stage 3"]
        .into_iter()
        .zip(&features)
    {
        results.push(name, map.to_host());
    }
    let of_features = (4..).zip(&features);
    let of_features = of_features.map(|(seed, map)| gradient_of(seed, map));
    let gradients = (gradient_of(3, &noise), of_features.collect());
    let dx = pass.backward(gradients, MAGNITUDE);
    results.push("gradient of the latents", dx.to_host());

    let input = Input::new(&z, &[981.0, 21.0], &context);
    let pass = unet.record_text(input, NoiseAndFeatures::of(&STAGES[1..]));
    let (noise, features) = pass.outputs().clone();
    let gradients = (gradient_of(6, &noise), vec![gradient_of(7, &features[0])]);
    let gradients = pass.backward(gradients, MAGNITUDE);
    results.push("gradient of the prompt", gradients.text.to_host());

    let mutual = Mutual {
        start_layer: 2,
        sources: vec![0, 0],
    };
    let input = Input::at(&z, 500.0, &prompt).with_mutual(mutual);
    results.push("mutual self-attention", unet.predict(input).to_host());
    let want = NoiseAndKeys::of(SelfAttentions::Decoder);
    let (_, keys) = unet.forward(Input::at(&z.picture(0), 600.0, &prompt), want);
    let input = Input::at(&z, 500.0, &prompt).with_keys(keys.clone());
    results.push(
        "self-attention with kept keys",
        unet.predict(input).to_host(),
    );
    let input = Input::at(&z, 500.0, &prompt).with_keys_beside(keys);
    results.push(
        "self-attention with kept keys beside its own",
        unet.predict(input).to_host(),
    );
    Ok(results.into_list())
}

/// Encodes a picture, decodes its latent, and takes the gradient of a loss of the picture to the latent.
pub(super) fn vae<B: Backend>(backend: &B) -> Result<Vec<NetworkResult>> {
    let never = Interrupt::never();
    let mut results = Results::default();
    let vae = autoencoder(backend)?;
    let picture = random(backend, 8, Shape::new(1, 48, 64, 3));
    let latent = vae.encode(&picture, &never)?;
    results.push("VAE, latent", latent.to_host());
    // From here on the device goes on with the numbers of its own encoder, as an edit does.
    let decoded = vae.decode(&latent, &never)?;
    results.push("VAE, picture", decoded.to_host());
    let pass = vae.record_decode(&latent, &never)?;
    let dx = pass.backward(&random(backend, 9, decoded.shape()), &never)?;
    results.push("VAE, gradient of the latent", dx.to_host());
    Ok(results.into_list())
}

/// Trains a LoRA for one step.
pub(super) fn lora<B: Backend>(backend: &B) -> Result<Vec<NetworkResult>> {
    let never = Interrupt::never();
    let mut results = Results::default();
    let mut unet = network(backend)?;
    let settings = LoraSettings {
        steps: 1,
        rank: 4,
        batch: 2,
        ..LoraSettings::default()
    };
    let places = unet.attach_adapters(settings.rank);
    let mut noise = Seeded::new(3);
    let start = noise.adapters(&places);
    let away = Numbers::new(10).spread(start.len(), AWAY);
    let start: Vec<f32> = start.iter().zip(away).map(|(a, b)| a + b).collect();
    let (latent, context) = (latents(backend, 1), tokens(backend));
    let subject = Subject::new(&latent, &context);
    let schedule = schedule();
    let (loss, gradient) = lora_gradient(&mut unet, &subject, start.clone(), 3)?;
    results.push("LoRA, loss", vec![loss]);
    results.push("LoRA, gradient", gradient);
    finetune::finetune(
        &mut unet,
        &schedule,
        &subject,
        start,
        &settings,
        &mut noise,
        &mut Silent,
        &never,
    )?;
    let input = Input::at(&latent, 500.0, &context);
    results.push(
        "LoRA, noise prediction after a step",
        unet.predict(input).to_host(),
    );
    Ok(results.into_list())
}

/// Merges a LoRA's parameters, and returns the loss of a step at two timesteps and its gradient with respect to them. The seed draws timesteps and noise.
pub(super) fn lora_gradient<B: Backend>(
    unet: &mut UNet<B>,
    subject: &Subject<B>,
    parameters: Vec<f32>,
    seed: u64,
) -> Result<(f32, Vec<f32>)> {
    let (schedule, latent) = (schedule(), subject.latent());
    let parameters = Tensor::vector(latent.backend(), parameters);
    unet.merge_adapters(&parameters);
    let draws = Seeded::new(seed).fine_tuning(2, latent.shape().len(), schedule.timesteps());
    let (loss, gradient) = finetune::gradient(
        unet,
        &schedule,
        subject,
        &parameters,
        &draws.timesteps,
        &draws.noise,
        &Interrupt::never(),
    )?;
    Ok((loss.value() as f32, gradient.to_host()))
}
