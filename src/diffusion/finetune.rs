//! Fine-tuning of a LoRA on one picture, so that the model reconstructs it (DragDiffusion, arXiv 2306.14435, section 3.2).
//!
//! The loss is the mean squared error of what the network predicts, noise or velocity, at random timesteps; the optimiser is AdamW at a constant learning
//! rate. The latent is the mean of the picture's posterior; there are no crops and no augmentation.

use super::{NoiseSource, Schedule};
use crate::error::{Error, Result};
use crate::failpoint;
use crate::interrupt::Interrupt;
use crate::kernels::{AdamStep, Backend, Sum};
use crate::model::unet::{Input, Network, Noise};
use crate::nn::{Finiteness, Loss, Shape, Tensor};
use crate::progress::{Progress, Stage};
use crate::settings::LoraSettings;

/// The weight decay of AdamW (released code of DragDiffusion).
const WEIGHT_DECAY: f64 = 1e-2;

/// The picture of the fine-tuning.
#[derive(Debug)]
pub struct Subject<'a, B: Backend> {
    /// The mean latent (1, height, width, 4).
    latent: &'a Tensor<B>,
    /// Its elements.
    elements: Vec<f32>,
    /// The prompt's tokens (1, 1, tokens, channels).
    context: &'a Tensor<B>,
}

impl<'a, B: Backend> Subject<'a, B> {
    /// Takes the mean latent (1, height, width, 4), which it downloads, and the prompt's tokens (1, 1, tokens, channels).
    pub fn new(latent: &'a Tensor<B>, context: &'a Tensor<B>) -> Self {
        Self {
            latent,
            elements: latent.to_host(),
            context,
        }
    }

    /// Returns noisy copies (copies, height, width, 4), one per timestep, with this noise.
    fn noisy(&self, schedule: &Schedule, timesteps: &[usize], noise: &[f32]) -> Tensor<B> {
        let mut noisy = Vec::with_capacity(noise.len());
        for (t, noise) in timesteps
            .iter()
            .zip(noise.chunks_exact(self.elements.len()))
        {
            let alpha = schedule.alpha(*t as i64);
            let (keep, add) = (alpha.sqrt() as f32, (1.0 - alpha).sqrt() as f32);
            let pairs = self.elements.iter().zip(noise);
            noisy.extend(pairs.map(|(x, n)| keep * x + add * n));
        }
        let shape = Shape {
            batch: timesteps.len(),
            ..self.latent.shape()
        };
        Tensor::from_host(self.latent.backend(), shape, noisy)
    }

    /// Returns the mean latent.
    pub fn latent(&self) -> &'a Tensor<B> {
        self.latent
    }
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
        let not_finite = |what| Error::NotFinite {
            stage: Stage::Lora.name(),
            step,
            what,
        };
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
            let finiteness = Finiteness::of(&[&gradient]);
            let (loss, is_finite) = Loss::read(&backend, &[loss], &finiteness);
            if !loss.is_finite() {
                return Err(not_finite("the loss"));
            }
            if is_finite {
                break (loss, gradient);
            }
            if !backend.lower_loss_scale() {
                return Err(not_finite("the gradient of the adapters"));
            }
        };
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
/// The host reads nothing between a forward pass and its backward pass: the device computes the loss, whose value the caller reads.
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
) -> Result<(Loss<B>, Tensor<B>)> {
    let backend = subject.latent.backend();
    let shape = subject.latent.shape();
    let at_once = (backend.cells_at_once() / shape.pixels()).clamp(1, timesteps.len());
    let scale = 2.0 / noise.len() as f32;
    let mut gradient = Tensor::zeros(backend, parameters.shape());
    let mut loss = Loss::zero(backend);
    for (timesteps, noise_part) in timesteps
        .chunks(at_once)
        .zip(noise.chunks(at_once * shape.len()))
    {
        failpoint::wait("wait_in_lora", || interrupt.has_come());
        interrupt.check()?;
        let noisy = subject.noisy(schedule, timesteps, noise_part);
        let shape = noisy.shape();
        let times: Vec<f64> = timesteps.iter().map(|t| *t as f64).collect();
        let input = Input::new(&noisy, &times, subject.context);
        let weights = timesteps.iter().map(|t| schedule.loss_weight(*t as i64));
        let weights: Vec<f32> = weights.map(|weight| weight as f32).collect();
        let others = || {
            let noise = Tensor::from_host(backend, shape, noise_part.to_vec());
            (noise, Tensor::vector(backend, weights))
        };
        let gradient = &mut gradient;
        let step = |input, (noise, weights): (Tensor<B>, Tensor<B>)| {
            let pass = unet.record_adapters(input, Noise, parameters, gradient);
            let mut sum = Sum::Known(0.0);
            let d_noise = noise.build(shape, |d_noise| {
                sum = backend.squared_error_sum(
                    pass.outputs().buffer(),
                    noise.buffer(),
                    weights.buffer(),
                    scale,
                    d_noise,
                );
            });
            pass.backward(d_noise, scale);
            sum
        };
        let sum = unet.iteration("step of the LoRA", Vec::new(), input, others, step);
        // The memory of the sum is that of the pass, which may follow at once.
        let sum = sum.copied(|bits| backend.duplicate(bits));
        loss = loss.plus(1.0 / noise.len() as f64, sum);
    }
    Ok((loss, gradient))
}
