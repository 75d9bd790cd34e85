//! The gradient of an iteration: that of the drag, fused with that of the text.

use super::fusion::{Fused, Fusion};
use super::text_loss::{TextGradient, TextLoss};
use crate::error::Result;
use crate::interrupt::Interrupt;
use crate::kernels::Backend;
use crate::method::parts::{LatentGradient, LossOf, in_range};
use crate::model::unet::{Input, Network, NoiseAndFeatures, Prompt};
use crate::nn::{Finiteness, Loss, Tensor};

/// One forward pass and two backward passes of it: from the drag's loss, and from the text's.
#[derive(Debug)]
pub(super) struct GuidedGradient<'a, B: Backend, N> {
    pub(super) network: &'a N,
    pub(super) prompt: &'a Prompt<B>,
    /// The compared decoder stages.
    pub(super) taps: &'a [usize],
    pub(super) text: TextLoss<'a, B>,
    pub(super) fusion: Fusion,
    /// Share of the text's gradient.
    pub(super) weight: f64,
    pub(super) interrupt: &'a Interrupt,
}

/// Both gradients of a latent, before they are fused.
#[derive(Debug)]
pub(super) struct Gradients<B: Backend> {
    /// The drag's loss plus the text's.
    pub(super) loss: f64,
    /// Of the drag's loss.
    pub(super) local: Tensor<B>,
    /// Of the text's loss.
    pub(super) global: Tensor<B>,
}

impl<B: Backend, N: Network<B>> GuidedGradient<'_, B, N> {
    /// Returns both gradients; `None` when `loss` returns `None`.
    ///
    /// # Errors
    /// As [`LatentGradient::gradient`].
    pub(super) fn both(
        &self,
        z: &Tensor<B>,
        t: i64,
        step: usize,
        loss: &mut LossOf<B>,
    ) -> Result<Option<Gradients<B>>> {
        let input = Input::at(z, t as f64, self.prompt);
        let mut pass = self.network.record(input, NoiseAndFeatures::of(self.taps));
        let Some(loss) = loss(z, pass.outputs()) else {
            return Ok(None);
        };
        let (value, local) = in_range(z.backend(), step, || {
            let (gradients, magnitude) = loss.to_outputs(pass.outputs());
            let local = pass.backward_keeping(gradients, magnitude);
            (loss.parts(), Finiteness::of(&[&local]), local)
        })?;
        let (noise, features) = pass.outputs();
        let zeros = |map: &Tensor<B>| Tensor::zeros(map.backend(), map.shape());
        let untouched: Vec<Tensor<B>> = features.iter().map(zeros).collect();
        let TextGradient {
            loss: text_loss,
            direct,
            to_noise,
            magnitude,
        } = self.text.evaluate(z, noise, step, self.interrupt)?;
        let (_, global) = in_range(z.backend(), step, || {
            let gradients = (to_noise.clone(), untouched.clone());
            let global = pass.backward_keeping(gradients, magnitude);
            (Vec::<Loss<B>>::new(), Finiteness::of(&[&global]), global)
        })?;
        Ok(Some(Gradients {
            loss: value + text_loss,
            local: loss.with_direct(local),
            global: global.plus(&direct),
        }))
    }
}

impl<B: Backend, N: Network<B>> LatentGradient<B> for GuidedGradient<'_, B, N> {
    fn gradient(
        &mut self,
        z: &Tensor<B>,
        t: i64,
        step: usize,
        loss: &mut LossOf<B>,
    ) -> Result<Option<(f64, Tensor<B>)>> {
        let both = self.both(z, t, step, loss)?;
        Ok(both.map(|both| {
            let [local, global] = [&both.local, &both.global].map(Tensor::to_host);
            let Fused { gradient, .. } = self.fusion.fuse(&local, &global, self.weight);
            let fused = Tensor::from_host(z.backend(), z.shape(), gradient);
            (both.loss, fused)
        }))
    }
}
