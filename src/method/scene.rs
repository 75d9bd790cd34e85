//! What a method gets, and what it returns.

use std::sync::{Arc, Mutex};

use crate::diffusion::denoise::{Injection, Pair};
use crate::diffusion::invert::Trajectory;
use crate::diffusion::kept::KeptTrajectory;
use crate::diffusion::{Grid, NoiseSource, Schedule};
use crate::geometry::{Frame, Point};
use crate::kernels::Backend;
use crate::mask::Mask;
use crate::model::unet::Prompt;
use crate::model::{Clip, Vae};
use crate::nn::Tensor;
use crate::region::Region;
use crate::settings::DiffusionSettings;

/// Everything that a method works on. Latents are (1, height / 8, width / 8, 4) of the padded working picture.
pub struct Scene<'a, B: Backend, N> {
    /// The noise predictor, with the LoRA merged.
    pub network: &'a N,
    /// The VAE, for methods whose loss looks at pictures.
    pub vae: &'a Vae<B>,
    /// What the edited picture should show, for methods that need a CLIP ([`super::Needs::clip`]).
    pub guide: Option<&'a Guide<'a, B>>,
    /// The prompt, prepared for these weights.
    pub prompt: &'a Prompt<B>,
    /// The prompt's embedding (1, 1, tokens, channels), for methods that optimise it.
    pub context: &'a Tensor<B>,
    /// The embedding of the empty prompt, for methods that need it ([`super::Needs::unconditional`]); `None` too when the prompt is empty.
    pub unconditional: Option<&'a Tensor<B>>,
    /// How many tokens of the prompt stand before its first end token: the start token and the words.
    pub words: usize,
    /// The noise schedule.
    pub schedule: &'a Schedule,
    /// The executed timesteps, at least one, the noisiest first.
    pub grid: &'a Grid,
    /// Settings of the diffusion process.
    pub diffusion: &'a DiffusionSettings,
    /// The regions that move, with their handles and targets.
    pub regions: &'a [Region],
    /// How the picture lies in the latent.
    pub frame: Frame,
    /// Where the working picture may change; `None` is everywhere.
    pub editable: Option<&'a Mask>,
    /// The inversion of the picture that the method starts from ([`super::Needs::start`]). The reference latent starts at its end. For a method
    /// with an inversion of its own ([`super::Inversion::Own`]) it has the clean latent alone.
    pub trajectory: &'a Trajectory<B>,
    /// The inversion of the original picture; the same as `trajectory` unless the method starts from the warped picture and asked for both.
    pub original: &'a Trajectory<B>,
    /// For each latent cell, the share of its pixels that the warped picture has anew: the fill of the vacated area. All 0 with the original
    /// picture.
    pub new: &'a [f32],
    /// Normal noise from the seed, in independent streams ([`crate::diffusion::Stream`]).
    pub noise: &'a mut dyn NoiseSource,
}

/// A text that the edited picture should fit, and what measures how well it does.
#[derive(Debug)]
pub struct Guide<'a, B: Backend> {
    /// The CLIP.
    pub clip: Arc<Clip<B>>,
    /// The feature of the text, of unit length.
    pub text: Vec<f32>,
    /// Held while the decoder's activations are in memory. Edits side by side take turns, since they are the largest of an edit.
    pub alone: &'a Mutex<()>,
}

/// What a drag returns.
#[derive(Debug)]
pub struct Dragged<B: Backend> {
    /// The latent that the drag started from.
    pub start: Tensor<B>,
    /// Reference latent and edited latent after the last executed step; without one, the inverted latent and `start`.
    pub pair: Pair<B>,
    /// How the rest of the denoising is corrected; `None` leaves it to the model.
    pub kept: Option<KeptTrajectory<B>>,
    /// Steps of the grid that were executed, as [`super::Cost::steps`].
    pub steps: usize,
    /// The loss of every iteration.
    pub losses: Vec<f64>,
    /// Timesteps at which the optimisation diverged and the best latent was kept.
    pub diverged: usize,
    /// Where each tracked point was; empty for methods that track none.
    pub tracks: Vec<PointTrack>,
    /// The embeddings of the rest of the denoising (2, 1, tokens, channels), that of the reference latent first and that of the edited latent
    /// second, for a method that optimises the text embedding; `None` is the scene's for both.
    pub prompts: Option<Tensor<B>>,
    /// What replaces the edited latent's bottleneck at the first steps of the rest of the denoising, for a method that optimises it.
    pub bottleneck: Option<Bottleneck<B>>,
}

/// An optimised output of the U-Net's middle block.
#[derive(Debug, Clone)]
pub struct Bottleneck<B: Backend> {
    /// That of the reference latent (1, height, width, channels).
    pub own: Tensor<B>,
    /// The optimised one.
    pub optimised: Tensor<B>,
    /// Steps of the denoising at which it replaces the edited latent's own.
    pub steps: usize,
}

/// What the rest of the denoising starts from, at one degree of the drag.
#[derive(Debug)]
pub struct DenoisingStart<B: Backend> {
    /// Reference latent and edited latent.
    pub pair: Pair<B>,
    /// As [`Dragged::prompts`].
    pub prompts: Option<Tensor<B>>,
    /// What replaces the edited latent's bottleneck.
    pub injection: Option<Injection<B>>,
}

impl<B: Backend> Dragged<B> {
    /// Returns what the denoising starts from at the degree s: the edited latent z and its text embedding c' at z0 + s (z - z0) and c + s (c' - c), with
    /// the reference latent z0 and the prompt's embedding c (`DragText`, arXiv 2407.17843). A bottleneck is taken the same way; at degree 0, which
    /// is no drag, none is replaced.
    pub fn at_degree(&self, degree: f64) -> DenoisingStart<B> {
        let share = degree as f32;
        let between = |from: &Tensor<B>, to: &Tensor<B>| {
            if degree == 1.0 {
                return to.clone();
            }
            let from = from.clone();
            from.combined(1.0 - share, share, to)
        };
        let bottleneck = self.bottleneck.as_ref().filter(|_| degree != 0.0);
        let injection = bottleneck.map(|at| Injection {
            bottleneck: between(&at.own, &at.optimised),
            steps: at.steps,
        });
        let Pair { reference, edit } = &self.pair;
        let prompts = self.prompts.as_ref().map(|both| {
            let own = both.picture(0);
            let edited = between(&own, &both.picture(1));
            Tensor::stacked(&[own, edited])
        });
        let pair = Pair {
            edit: between(reference, edit),
            reference: reference.clone(),
        };
        DenoisingStart {
            pair,
            prompts,
            injection,
        }
    }
}

/// The path of a point that a method tracks.
#[derive(Debug, Clone, PartialEq)]
pub struct PointTrack {
    /// The region's `id`.
    pub region: String,
    /// The handle before the drag and after each tracking, in working pixels.
    pub points: Vec<Point>,
    /// Where it should go, in working pixels.
    pub target: Point,
}
