//! The loss of a latent, and its gradient.

use super::super::feature_loss::{FeatureLoss, Reduction};
use super::Optimisation;
use crate::error::{Error, Result};
use crate::failpoint;
use crate::kernels::Backend;
use crate::method::parts::{
    DragLoss, LatentGradient, MaskTerm, MotionLoss, Outputs, TextGradient, TextOptimisation,
};
use crate::model::unet::{Features, Input, Network, NoiseAndFeatures};
use crate::nn::Tensor;
use crate::progress::Stage;

impl<'a, B: Backend, N: Network<B>> Optimisation<'a, B, N> {
    /// Returns the optimiser of the text embedding, which starts at the prompt's; `None` where it stays.
    pub(super) fn text_gradient(&self) -> Option<TextGradient<'a, B, N>> {
        let (context, words) = self.context;
        let (taps, text) = (&self.settings.taps.0, self.settings.text());
        (text.mode != TextOptimisation::Off)
            .then(|| TextGradient::new(self.unet, taps, context, words, text))
    }

    /// Returns the loss of a latent at timestep t, and its gradient to the latent, with a smaller loss scale where that leaves the range of the
    /// number format. The text embedding makes a step.
    ///
    /// # Errors
    /// [`Error::NotFinite`] when that does not help.
    pub(super) fn finite_gradient(
        &self,
        z: &Tensor<B>,
        t: i64,
        loss: &FeatureLoss<B>,
        next: &Tensor<B>,
        step: usize,
        text: Option<&mut TextGradient<B, N>>,
    ) -> Result<(f64, Tensor<B>)> {
        if let Some(text) = text {
            let mut evaluate =
                |z: &Tensor<B>, outputs: &Outputs<B>| Some(self.loss(z, t, loss, next, outputs));
            let found = text.gradient(z, t, step, &mut evaluate)?;
            return found.ok_or_else(|| Error::Bug("the loss ended the drag".into()));
        }
        let not_finite = |what| Error::NotFinite {
            stage: Stage::Drag.name(),
            step,
            what,
        };
        loop {
            let (loss, gradient) = self.gradient(z, t, loss, next);
            if !loss.is_finite() || failpoint::is_hit("nan_in_loss") {
                return Err(not_finite("the loss"));
            }
            if gradient.is_finite() {
                return Ok((loss, gradient));
            }
            if !z.backend().lower_loss_scale() {
                return Err(not_finite("the gradient of the latent"));
            }
        }
    }

    fn reduction(&self) -> Reduction {
        if self.is_literal() {
            Reduction::Sum
        } else {
            Reduction::Mean(self.settings.loss_scale)
        }
    }

    /// Returns the loss of a latent with these outputs of its pass: the feature loss in place of motion supervision, and the mask term.
    fn loss(
        &self,
        z: &Tensor<B>,
        t: i64,
        feature_loss: &FeatureLoss<B>,
        reference: &Tensor<B>,
        (noise, features): &Outputs<B>,
    ) -> DragLoss<B> {
        let (loss, gradients, magnitude) = feature_loss.evaluate(features, self.reduction());
        let weight = self.settings.mask_weight;
        let frozen = self.frozen.as_ref().filter(|_| weight > 0.0);
        let mask = frozen.map(|frozen| {
            let term = MaskTerm {
                frozen,
                weight,
                schedule: self.schedule,
                step: [t, self.grid.after(t)],
                reference,
            };
            term.evaluate(z, noise)
        });
        DragLoss {
            motion: MotionLoss {
                loss,
                gradients,
                magnitude,
                active: self.regions.len(),
            },
            mask,
        }
    }

    /// Returns the loss of a latent at timestep t, and its gradient to the latent.
    fn gradient(
        &self,
        z: &Tensor<B>,
        t: i64,
        feature_loss: &FeatureLoss<B>,
        reference: &Tensor<B>,
    ) -> (f64, Tensor<B>) {
        let taps = &self.settings.taps.0;
        let input = Input::at(z, t as f64, self.prompt);
        if self.frozen.is_none() || self.settings.mask_weight <= 0.0 {
            // Without the mask term the noise prediction is not needed.
            let pass = self.unet.record(input, Features::of(taps));
            let (loss, gradients, magnitude) =
                feature_loss.evaluate(pass.outputs(), self.reduction());
            let gradient = pass.backward(gradients, magnitude);
            return (loss.value(), gradient);
        }
        let pass = self.unet.record(input, NoiseAndFeatures::of(taps));
        let loss = self.loss(z, t, feature_loss, reference, pass.outputs());
        let (gradients, magnitude) = loss.to_outputs(pass.outputs());
        // The mask term depends on the latent directly and through the noise prediction.
        let gradient = loss.with_direct(pass.backward(gradients, magnitude));
        (loss.sum(), gradient)
    }
}
