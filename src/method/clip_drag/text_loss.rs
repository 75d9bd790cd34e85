//! The text's loss: how the picture that a noise prediction promises fits the text, and where the latent should move to fit it better.

use std::sync::PoisonError;

use super::settings::ClipDragSettings;
use crate::diffusion::{Schedule, require_finite};
use crate::error::{Error, Result};
use crate::geometry::{Frame, Size};
use crate::interrupt::Interrupt;
use crate::kernels::Backend;
use crate::method::Guide;
use crate::model::Vae;
use crate::model::clip::ClipView;
use crate::nn::Tensor;
use crate::progress::Stage;

/// weight * (1 - cosine) between the features of a picture and of the text, as a loss of a latent at one timestep.
///
/// The picture is the decoded clean latent x0 = (z - sqrt(1 - a) e) / sqrt(a) of the latent z and the noise prediction e, with a the alpha at the
/// timestep.
#[derive(Debug)]
pub(super) struct TextLoss<'a, B: Backend> {
    guide: &'a Guide<'a, B>,
    vae: &'a Vae<B>,
    view: ClipView,
    weight: f64,
    /// Factors of z and of e in x0.
    factors: (f64, f64),
}

/// The loss and where its gradient goes.
#[derive(Debug)]
pub(super) struct TextGradient<B: Backend> {
    /// The loss.
    pub(super) loss: f64,
    /// With respect to the latent, without the way through the noise prediction.
    pub(super) direct: Tensor<B>,
    /// With respect to the noise prediction.
    pub(super) to_noise: Tensor<B>,
    /// The size of the largest value of `to_noise`.
    pub(super) magnitude: f32,
}

impl<'a, B: Backend> TextLoss<'a, B> {
    pub(super) fn new(
        guide: &'a Guide<'a, B>,
        vae: &'a Vae<B>,
        frame: &Frame,
        settings: &ClipDragSettings,
        schedule: &Schedule,
        t: i64,
    ) -> Self {
        let alpha = schedule.alpha(t);
        let sides = |size: Size| [size.height, size.width];
        Self {
            guide,
            vae,
            view: ClipView {
                padded: sides(frame.padded),
                content: sides(frame.content),
                side: guide.clip.side(),
            },
            weight: settings.clip_weight,
            factors: (1.0 / alpha.sqrt(), -((1.0 - alpha) / alpha).sqrt()),
        }
    }

    /// Evaluates the loss of a latent z with the noise prediction e. `step` numbers the iteration in messages.
    ///
    /// # Errors
    /// [`crate::Error::NotFinite`], [`crate::Error::Interrupted`].
    pub(super) fn evaluate(
        &self,
        z: &Tensor<B>,
        e: &Tensor<B>,
        step: usize,
        interrupt: &Interrupt,
    ) -> Result<TextGradient<B>> {
        let (of_latent, of_noise) = self.factors;
        let clean = z.clone().combined(of_latent as f32, of_noise as f32, e);
        let _alone = self
            .guide
            .alone
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let pass = self.vae.record_decode(&clean, interrupt)?;
        require_finite(pass.picture(), Stage::Drag, step, "the decoded picture")?;
        let decoded = pass.picture().to_host();
        let similarity = self
            .guide
            .clip
            .similarity(&self.view.pixels(&decoded), &self.guide.text);
        if !similarity.cosine.is_finite() {
            return Err(Error::NotFinite {
                stage: Stage::Drag.name(),
                step,
                what: "the feature of the decoded picture",
            });
        }
        let weight = -self.weight as f32;
        let d_pixels: Vec<f32> = similarity.gradient.iter().map(|d| weight * d).collect();
        let d_decoded = self.view.backward(&decoded, &d_pixels);
        let picture = pass.picture();
        let d_decoded = Tensor::from_host(picture.backend(), picture.shape(), d_decoded);
        let d_clean = pass.backward(&d_decoded, interrupt)?;
        let largest = d_clean
            .to_host()
            .iter()
            .fold(0.0_f32, |largest, d| largest.max(d.abs()));
        let times = |factor: f64| d_clean.clone().combined(factor as f32, 0.0, &d_clean);
        Ok(TextGradient {
            loss: self.weight * (1.0 - similarity.cosine),
            direct: times(of_latent),
            to_noise: times(of_noise),
            magnitude: largest * of_noise.abs() as f32,
        })
    }
}
