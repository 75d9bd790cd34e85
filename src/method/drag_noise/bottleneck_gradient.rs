//! The gradient of the drag's loss to the bottleneck, with the latent held.

use crate::error::Result;
use crate::kernels::Backend;
use crate::method::parts::{LatentGradient, LossOf, in_range};
use crate::model::unet::{Input, Network, NoiseAndFeatures, Prompt};
use crate::nn::{Finiteness, Tensor};

/// Runs the decoder from a bottleneck. The encoder's outputs are those of one latent.
#[derive(Debug)]
pub(super) struct BottleneckGradient<'a, B: Backend, N> {
    pub(super) network: &'a N,
    pub(super) prompt: &'a Prompt<B>,
    /// The compared decoder stages.
    pub(super) taps: &'a [usize],
    pub(super) latent: &'a Tensor<B>,
}

impl<B: Backend, N: Network<B>> LatentGradient<B> for BottleneckGradient<'_, B, N> {
    fn gradient(
        &mut self,
        bottleneck: &Tensor<B>,
        t: i64,
        step: usize,
        loss: &mut LossOf<B>,
    ) -> Result<Option<(f64, Tensor<B>)>> {
        let input = Input::at(self.latent, t as f64, self.prompt);
        let input = input.with_bottlenecks(vec![Some(bottleneck.clone())]);
        let want = NoiseAndFeatures::of(self.taps);
        let mut pass = self.network.record_bottlenecks(input, want);
        let Some(loss) = loss(self.latent, pass.outputs()) else {
            return Ok(None);
        };
        // The latent is held, so the loss's direct share of its gradient plays no part.
        let (value, gradient) = in_range(bottleneck.backend(), step, || {
            let (gradients, magnitude) = loss.to_outputs(pass.outputs());
            let gradient = pass.backward_keeping(gradients, magnitude);
            (loss.parts(), Finiteness::of(&[&gradient]), gradient)
        })?;
        Ok(Some((value, gradient)))
    }
}
