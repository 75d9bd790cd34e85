//! Fine-tuning of a LoRA on one picture, so that the model reconstructs it (DragDiffusion, arXiv 2306.14435, section 3.2).
//!
//! The loss is the mean squared error of what the network predicts, noise or velocity, at random timesteps; the optimiser is AdamW at a constant learning
//! rate. The latent is the mean of the picture's posterior; there are no crops and no augmentation.

use super::{NoiseSource, Schedule, require_finite};
use crate::error::{Error, Result};
use crate::failpoint;
use crate::interrupt::Interrupt;
use crate::kernels::{AdamStep, Backend};
use crate::model::unet::{Input, Network, Noise};
use crate::nn::{Shape, Tensor};
use crate::progress::{Progress, Stage};
use crate::settings::LoraSettings;

/// The weight decay of AdamW (released code of DragDiffusion).
const WEIGHT_DECAY: f64 = 1e-2;

/// The picture of the fine-tuning.
#[derive(Debug)]
pub struct Subject<'a, B: Backend> {
    /// The mean latent (1, height, width, 4).
    pub latent: &'a Tensor<B>,
    /// The prompt's tokens (1, 1, tokens, channels).
    pub context: &'a Tensor<B>,
}

/// Trains the adapters of `unet`, starting with the parameters `start`, and returns the parameters, which are then merged into the
/// weights.
///
/// # Errors
/// [`Error::NotFinite`] when the loss diverges, [`Error::Interrupted`]. The weights then include the adapters of the failed step;
/// [`crate::model::UNet::detach_adapters`] restores them.
pub fn finetune<B: Backend>(
    unet: &mut impl Network<B>,
    schedule: &Schedule,
    subject: &Subject<B>,
    start: Vec<f32>,
    settings: &LoraSettings,
    noise: &mut dyn NoiseSource,
    progress: &mut dyn Progress,
    interrupt: &Interrupt,
) -> Result<Tensor<B>> {
    let backend = subject.latent.backend().clone();
    let mut parameters = Tensor::vector(&backend, start);
    let mut moments = [
        Tensor::zeros(&backend, parameters.shape()),
        Tensor::zeros(&backend, parameters.shape()),
    ];
    for step in 1..=settings.steps {
        interrupt.check()?;
        unet.merge_adapters(&parameters);
        let draw = noise.fine_tuning(
            settings.batch,
            subject.latent.shape().len(),
            schedule.timesteps(),
        );
        let (loss, gradient) = loop {
            let (loss, gradient) = gradient(
                unet,
                schedule,
                subject,
                &parameters,
                &draw.timesteps,
                &draw.noise,
                interrupt,
            )?;
            if !loss.is_finite() || gradient.is_finite() || !backend.lower_loss_scale() {
                break (loss, gradient);
            }
        };
        if !loss.is_finite() {
            return Err(Error::NotFinite {
                stage: Stage::Lora.name(),
                step,
                what: "the loss",
            });
        }
        require_finite(&gradient, Stage::Lora, step, "the gradient of the adapters")?;
        let [first, second] = &mut moments;
        let adam = AdamStep {
            step,
            lr: settings.lr,
            decay: WEIGHT_DECAY,
        };
        backend.adam(
            &adam,
            gradient.buffer(),
            first.buffer_mut(),
            second.buffer_mut(),
            parameters.buffer_mut(),
        );
        progress.step(Some(loss));
    }
    unet.merge_adapters(&parameters);
    Ok(parameters)
}

/// Returns the loss and its gradient with respect to the adapters' parameters, which are merged into the weights: the mean squared
/// error of what the network predicts for noisy copies of the subject, one per timestep, with `noise` (copies, height, width, 4).
///
/// # Errors
/// [`Error::Interrupted`].
pub fn gradient<B: Backend>(
    unet: &impl Network<B>,
    schedule: &Schedule,
    subject: &Subject<B>,
    parameters: &Tensor<B>,
    timesteps: &[usize],
    noise: &[f32],
    interrupt: &Interrupt,
) -> Result<(f64, Tensor<B>)> {
    let backend = subject.latent.backend();
    let (shape, latent) = (subject.latent.shape(), subject.latent.to_host());
    let at_once = (backend.cells_at_once() / shape.pixels()).clamp(1, timesteps.len());
    let mut gradient = Tensor::zeros(backend, parameters.shape());
    let mut loss = 0.0;
    for (timesteps, noise_part) in timesteps
        .chunks(at_once)
        .zip(noise.chunks(at_once * latent.len()))
    {
        failpoint::wait("wait_in_lora", || interrupt.has_come());
        interrupt.check()?;
        let mut noisy = Vec::with_capacity(noise_part.len());
        for (t, noise) in timesteps.iter().zip(noise_part.chunks_exact(latent.len())) {
            let alpha = schedule.alpha(*t as i64);
            let (keep, add) = (alpha.sqrt() as f32, (1.0 - alpha).sqrt() as f32);
            noisy.extend(latent.iter().zip(noise).map(|(x, n)| keep * x + add * n));
        }
        let shape = Shape {
            batch: timesteps.len(),
            ..shape
        };
        let noisy = Tensor::from_host(backend, shape, noisy);
        let times: Vec<f64> = timesteps.iter().map(|t| *t as f64).collect();
        let input = Input::new(&noisy, &times, subject.context);
        let pass = unet.record_adapters(input, Noise, parameters, &mut gradient);
        let predicted = pass.outputs().to_host();
        let scale = 2.0 / noise.len() as f32;
        let mut d_noise = Vec::with_capacity(noise_part.len());
        for ((t, predicted), noise_part) in timesteps
            .iter()
            .zip(predicted.chunks_exact(latent.len()))
            .zip(noise_part.chunks_exact(latent.len()))
        {
            let weight = schedule.loss_weight(*t as i64);
            let difference = || predicted.iter().zip(noise_part).map(|(p, n)| p - n);
            let squares = difference().map(|d| f64::from(d).powi(2));
            loss += weight * squares.sum::<f64>() / noise.len() as f64;
            let scale = scale * weight as f32;
            d_noise.extend(difference().map(|d| scale * d));
        }
        pass.backward(Tensor::from_host(backend, shape, d_noise), scale);
    }
    Ok((loss, gradient))
}
