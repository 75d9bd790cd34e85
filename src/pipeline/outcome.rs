//! What an edit returns.

use serde::Serialize;

use crate::kernels::Backend;
use crate::method::PointTrack;
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

/// Number of steps of each stage, for the record.
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

/// What an edit returns.
#[derive(Debug)]
pub struct Outcome {
    /// The edited working picture (padded height, padded width, 3) in 0..1.
    pub picture: Vec<f32>,
    /// What the VAE keeps of the warped working picture, in the same form, where detail is carried.
    pub reconstruction: Option<Vec<f32>>,
    /// The loss of every iteration of the drag.
    pub losses: Vec<f64>,
    /// Where each tracked point was, in the picture's coordinates.
    pub tracks: Vec<PointTrack>,
    /// Timesteps at which the drag diverged and continued with the best latent.
    pub diverged: usize,
    /// Steps of each stage.
    pub steps: Steps,
    /// Seconds of each stage, in order.
    pub seconds: Vec<(Stage, f64)>,
    /// Stages whose result came from the cache.
    pub cached: Vec<Stage>,
    /// Warnings of the cache.
    pub warnings: Vec<Warning>,
    /// The LoRA that was trained for this edit, or for an earlier one of the same picture.
    pub lora: Option<Trained>,
    /// Adapted projections that a given LoRA file does not cover.
    pub lora_absent: Vec<String>,
    /// Peak bytes of the device's own memory; `None` where the device uses the process's memory.
    pub device_peak_bytes: Option<u64>,
}

/// The latents between the stages, for checks against another implementation. Where the network does not run, all are the clean one.
#[derive(Debug)]
pub struct Latents<B: Backend> {
    /// The picture's latent.
    pub clean: Tensor<B>,
    /// The inverted latent.
    pub inverted: Tensor<B>,
    /// The latent that the drag started from.
    pub prepared: Tensor<B>,
    /// The edited latent at the end of the drag.
    pub dragged: Tensor<B>,
    /// The embeddings that the reference latent and the edited latent were denoised with, where the method optimised one.
    pub prompts: Option<Tensor<B>>,
    /// The bottleneck that was injected into the edited latent's denoising, where the method optimised one.
    pub bottleneck: Option<Tensor<B>>,
    /// The edited latent after denoising.
    pub denoised: Tensor<B>,
    /// The reference latent after denoising.
    pub reference: Tensor<B>,
    /// The loss of every iteration.
    pub losses: Vec<f64>,
}
