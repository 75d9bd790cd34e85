//! The loss of a point drag at one iteration, and the gradient that the optimiser gets from it.

use std::borrow::Borrow;
use std::iter::once;

use super::mask_term::MaskLoss;
use super::motion_supervision::MotionLoss;
use crate::error::{Error, Result};
use crate::failpoint;
use crate::kernels::Backend;
use crate::model::unet::{Input, Network, NoiseAndFeatures, Prompt};
use crate::nn::{Finiteness, Loss, Tensor};
use crate::progress::Stage;

/// What a pass through the network returns: the noise prediction, and the features of each compared decoder stage.
pub type Outputs<B> = (Tensor<B>, Vec<Tensor<B>>);

/// The loss of one latent: motion supervision, and the mask term where there is one.
#[derive(Debug)]
pub struct DragLoss<B: Backend> {
    /// Motion supervision.
    pub motion: MotionLoss<B>,
    /// The mask term.
    pub mask: Option<MaskLoss<B>>,
}

impl<B: Backend> DragLoss<B> {
    /// Returns its parts.
    pub fn parts(&self) -> Vec<&Loss<B>> {
        let mask = self.mask.as_ref().map(|mask| &mask.loss);
        once(&self.motion.loss).chain(mask).collect()
    }

    /// Returns its parts without the gradients.
    pub fn into_parts(self) -> Vec<Loss<B>> {
        let mask = self.mask.map(|mask| mask.loss);
        once(self.motion.loss).chain(mask).collect()
    }

    /// Returns the gradients to the outputs of a pass, and about the size of the larger ones.
    pub fn to_outputs(&self, outputs: &Outputs<B>) -> (Outputs<B>, f32) {
        let motion = &self.motion;
        let (noise, magnitude) = match &self.mask {
            Some(mask) => (mask.to_noise.clone(), motion.magnitude.max(mask.magnitude)),
            None => (zeros(&outputs.0), motion.magnitude),
        };
        ((noise, motion.gradients.clone()), magnitude)
    }

    /// Adds the part of the gradient that reaches the latent directly to the part that comes through the network.
    pub fn with_direct(&self, through_network: Tensor<B>) -> Tensor<B> {
        match &self.mask {
            Some(mask) => through_network.plus(&mask.to_latent),
            None => through_network,
        }
    }
}

/// Returns zeros in the shape of a tensor.
pub(super) fn zeros<B: Backend>(like: &Tensor<B>) -> Tensor<B> {
    Tensor::zeros(like.backend(), like.shape())
}

/// The loss of a latent with these outputs; `None` ends the drag.
pub type LossOf<'a, B> = dyn FnMut(&Tensor<B>, &Outputs<B>) -> Option<DragLoss<B>> + 'a;

/// How the loss of an iteration becomes the gradient that the optimiser of a variable gets.
///
/// The variable is the latent, and [`DragGradient`] returns the loss's own gradient to it. Other implementations may mix it with another loss of the
/// same pass (`CLIPDrag`), update something beside the latent (`DragText`), or have another variable (`DragNoise`).
pub trait LatentGradient<B: Backend> {
    /// Runs a pass of the variable `z` at timestep `t`, lets `loss` evaluate its outputs, and returns the loss and the gradient. `None` when `loss`
    /// returns `None`, because the drag has ended. `step` is the number of the iteration for error messages.
    ///
    /// # Errors
    /// [`Error::NotFinite`], and those of the implementation.
    fn gradient(
        &mut self,
        z: &Tensor<B>,
        t: i64,
        step: usize,
        loss: &mut LossOf<B>,
    ) -> Result<Option<(f64, Tensor<B>)>>;
}

/// The gradient of the loss to the latent.
#[derive(Debug)]
pub struct DragGradient<'a, B: Backend, N> {
    /// The network.
    pub network: &'a N,
    /// The prompt of its passes.
    pub prompt: &'a Prompt<B>,
    /// The compared decoder stages.
    pub taps: &'a [usize],
}

impl<B: Backend, N: Network<B>> LatentGradient<B> for DragGradient<'_, B, N> {
    fn gradient(
        &mut self,
        z: &Tensor<B>,
        t: i64,
        step: usize,
        loss: &mut LossOf<B>,
    ) -> Result<Option<(f64, Tensor<B>)>> {
        let input = Input::at(z, t as f64, self.prompt);
        let mut pass = self.network.record(input, NoiseAndFeatures::of(self.taps));
        let Some(loss) = loss(z, pass.outputs()) else {
            return Ok(None);
        };
        let (value, gradient) = in_range(z.backend(), step, || {
            let (gradients, magnitude) = loss.to_outputs(pass.outputs());
            let gradient = pass.backward_keeping(gradients, magnitude);
            (loss.parts(), Finiteness::of(&[&gradient]), gradient)
        })?;
        Ok(Some((value, loss.with_direct(gradient))))
    }
}

/// Runs a backward pass, again with a smaller loss scale where a gradient leaves the range of the number format. `backward` returns the
/// losses, whether their gradients are finite, and its result. Returns the sum of the losses, and the result.
///
/// # Errors
/// [`Error::NotFinite`]: a loss, or a gradient where a smaller loss scale does not help.
pub fn in_range<B: Backend, L: Borrow<Loss<B>>, T>(
    backend: &B,
    step: usize,
    mut backward: impl FnMut() -> (Vec<L>, Finiteness<B>, T),
) -> Result<(f64, T)> {
    let not_finite = |what| Error::NotFinite {
        stage: Stage::Drag.name(),
        step,
        what,
    };
    loop {
        let (losses, gradients, found) = backward();
        let (loss, is_finite) = Loss::read(backend, &losses, &gradients);
        let fails = !losses.is_empty() && failpoint::is_hit("nan_in_loss");
        if !loss.is_finite() || fails {
            return Err(not_finite("the loss"));
        }
        if is_finite {
            return Ok((loss, found));
        }
        if !backend.lower_loss_scale() {
            return Err(not_finite("the gradient of the latent"));
        }
    }
}
