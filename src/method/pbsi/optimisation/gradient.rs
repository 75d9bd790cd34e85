//! The loss of a latent, and its gradient.

use super::super::feature_loss::{FeatureLoss, Reduction};
use super::Optimisation;
use crate::error::{Error, Result};
use crate::kernels::Backend;
use crate::method::parts::{
    DragLoss, LatentGradient, MaskStep, MaskTerm, MotionLoss, Outputs, TextGradient,
    TextOptimisation, in_range,
};
use crate::model::unet::{Features, Input, Network, NoiseAndFeatures};
use crate::nn::{Finiteness, Loss, Tensor};

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
            let mask = self.mask_term(self.mask_step(t), next);
            let mut evaluate = |z: &Tensor<B>, outputs: &Outputs<B>| {
                Some(self.loss(z, loss, mask.as_ref(), outputs))
            };
            let found = text.gradient(z, t, step, &mut evaluate)?;
            return found.ok_or_else(|| Error::Bug("the loss ended the drag".into()));
        }
        in_range(z.backend(), step, || self.gradient(z, t, loss, next))
    }

    fn reduction(&self) -> Reduction {
        if self.is_literal() {
            Reduction::Sum
        } else {
            Reduction::Mean(self.settings.loss_scale)
        }
    }

    /// Returns the denoising step of the mask term; `None` without the term.
    fn mask_step(&self, t: i64) -> Option<MaskStep<B>> {
        let weight = self.settings.mask_weight;
        let step = [t, self.grid.after(t)];
        let backend = self.reference.backend();
        (self.frozen.is_some() && weight > 0.0)
            .then(|| MaskStep::new(backend, self.schedule, step, weight))
    }

    /// Returns the mask term of a denoising step, after which the reference latent is `next`.
    fn mask_term<'s>(
        &'s self,
        step: Option<MaskStep<B>>,
        next: &'s Tensor<B>,
    ) -> Option<MaskTerm<'s, B>> {
        let (frozen, step) = (self.frozen.as_ref()?, step?);
        Some(MaskTerm {
            frozen,
            step,
            reference: next,
        })
    }

    /// Returns the loss of a latent with these outputs of its pass: the feature loss in place of motion supervision, and the mask term.
    fn loss(
        &self,
        z: &Tensor<B>,
        feature_loss: &FeatureLoss<B>,
        mask: Option<&MaskTerm<B>>,
        (noise, features): &Outputs<B>,
    ) -> DragLoss<B> {
        let (loss, gradients, magnitude) = feature_loss.evaluate(features, self.reduction());
        DragLoss {
            motion: MotionLoss {
                loss,
                gradients,
                magnitude,
                active: self.regions.len(),
            },
            mask: mask.map(|mask| mask.evaluate(z, noise)),
        }
    }

    /// Returns the parts of the loss of a latent at timestep t, whether its gradient to the latent is finite, and the gradient.
    fn gradient(
        &self,
        z: &Tensor<B>,
        t: i64,
        loss: &FeatureLoss<B>,
        next: &Tensor<B>,
    ) -> (Vec<Loss<B>>, Finiteness<B>, Tensor<B>) {
        let input = Input::at(z, t as f64, self.prompt);
        if !self.progress.is_constant() {
            // The points may move from iteration to iteration, and then its calls are others.
            let mask = self.mask_term(self.mask_step(t), next);
            return self.iteration(input, loss, mask.as_ref());
        }
        let others = || {
            let loss = loss.prepared(z.backend());
            (loss, self.mask_step(t), next.full(1.0))
        };
        let iteration = |input, (loss, step, next): (FeatureLoss<B>, _, Tensor<B>)| {
            let mask = self.mask_term(step, &next);
            self.iteration(input, &loss, mask.as_ref())
        };
        let stages = self.settings.taps.0.clone();
        self.unet
            .iteration("drag iteration", stages, input, others, iteration)
    }

    /// As [`Optimisation::gradient`], for the input of the pass.
    fn iteration(
        &self,
        input: Input<B>,
        feature_loss: &FeatureLoss<B>,
        mask: Option<&MaskTerm<B>>,
    ) -> (Vec<Loss<B>>, Finiteness<B>, Tensor<B>) {
        let taps = &self.settings.taps.0;
        let z = input.latents().clone();
        let (losses, gradient) = if mask.is_none() {
            // Without the mask term the noise prediction is not needed.
            let pass = self.unet.record(input, Features::of(taps));
            let (loss, gradients, magnitude) =
                feature_loss.evaluate(pass.outputs(), self.reduction());
            (vec![loss], pass.backward(gradients, magnitude))
        } else {
            let pass = self.unet.record(input, NoiseAndFeatures::of(taps));
            let loss = self.loss(&z, feature_loss, mask, pass.outputs());
            let (gradients, magnitude) = loss.to_outputs(pass.outputs());
            // The mask term depends on the latent directly and through the noise prediction.
            let gradient = loss.with_direct(pass.backward(gradients, magnitude));
            (loss.into_parts(), gradient)
        };
        let finiteness = Finiteness::of(&[&gradient]);
        (losses, finiteness, gradient)
    }
}
