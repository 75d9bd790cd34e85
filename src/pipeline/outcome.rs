//! What an edit gives.

use serde::Serialize;

use crate::kernels::Backend;
use crate::model::unet::AdapterPlace;
use crate::nn::Tensor;
use crate::progress::Stage;
use crate::warning::Warning;

/// A LoRA that an edit trained.
#[derive(Debug, Clone)]
pub struct Trained {
    /// The adapted projections.
    pub places: Vec<AdapterPlace>,
    /// Their parameters, in the order of the places.
    pub parameters: Vec<f32>,
}

/// Steps that were done, for the record.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Steps {
    /// Fine-tuning steps.
    pub lora: usize,
    /// Inversion steps.
    pub invert: usize,
    /// Iterations of the drag.
    pub drag: usize,
    /// Denoising steps.
    pub denoise: usize,
}

/// What an edit gave.
#[derive(Debug)]
pub struct Outcome {
    /// The edited working picture (padded height, padded width, 3) in 0..1.
    pub picture: Vec<f32>,
    /// First and last loss of the drag.
    pub loss: Option<(f64, f64)>,
    /// Timesteps at which the drag ran away, and went on with the best latent until then.
    pub diverged: usize,
    /// Steps of each stage.
    pub steps: Steps,
    /// Seconds of each stage, in order.
    pub seconds: Vec<(Stage, f64)>,
    /// Stages whose result was taken from the cache.
    pub cached: Vec<Stage>,
    /// What was wrong with the cache.
    pub warnings: Vec<Warning>,
    /// The LoRA that was trained for this edit, or for an earlier one of the same picture.
    pub lora: Option<Trained>,
    /// Adapted projections about which a given LoRA file says nothing.
    pub lora_absent: Vec<String>,
    /// The most bytes of the device's own memory that were held at once; `None` where it is the process's.
    pub device_peak_bytes: Option<u64>,
}

/// The latents of an edit, for checks against another implementation.
#[derive(Debug)]
pub struct Latents<B: Backend> {
    /// The picture's own.
    pub clean: Tensor<B>,
    /// After inversion.
    pub inverted: Tensor<B>,
    /// Where the drag started.
    pub prepared: Tensor<B>,
    /// The edit after denoising.
    pub denoised: Tensor<B>,
    /// The un-dragged picture after denoising.
    pub reference: Tensor<B>,
    /// The loss of every iteration.
    pub losses: Vec<f64>,
}
