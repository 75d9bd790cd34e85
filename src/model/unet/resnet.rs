//! The residual block of the UNet and the VAE.

use crate::error::Result;
use crate::kernels::Backend;
use crate::model::config::UNetConfig;
use crate::model::weights::Weights;
use crate::nn::{BackwardPass, Conv, GroupNorm, Linear, Pass, Tensor};

/// Norm, SiLU, convolution, time shift, norm, SiLU, convolution, plus the input (through a 1x1 convolution where the channels change).
#[derive(Debug)]
pub struct Resnet<B: Backend> {
    norm1: GroupNorm<B>,
    conv1: Conv<B>,
    time: Option<Linear<B>>,
    norm2: GroupNorm<B>,
    conv2: Conv<B>,
    shortcut: Option<Linear<B>>,
}

impl<B: Backend> Resnet<B> {
    /// Loads a block of the UNet, with its time projection.
    ///
    /// # Errors
    /// As [`Weights::numbers`].
    pub fn load(
        weights: &mut Weights<B>,
        config: &UNetConfig,
        name: &str,
        inputs: usize,
        outputs: usize,
    ) -> Result<Self> {
        let time = weights.linear(
            &format!("{name}.time_emb_proj"),
            4 * config.channels[0],
            outputs,
            true,
        )?;
        let block = Self::load_plain(weights, name, inputs, outputs, config.groups, config.eps)?;
        Ok(Self {
            time: Some(time),
            ..block
        })
    }

    /// Loads a block of the VAE, which has no time projection.
    ///
    /// # Errors
    /// As [`Weights::numbers`].
    pub fn load_plain(
        weights: &mut Weights<B>,
        name: &str,
        inputs: usize,
        outputs: usize,
        groups: usize,
        eps: f64,
    ) -> Result<Self> {
        let shortcut = if inputs == outputs {
            None
        } else {
            Some(weights.linear(&format!("{name}.conv_shortcut"), inputs, outputs, true)?)
        };
        Ok(Self {
            norm1: weights.group_norm(&format!("{name}.norm1"), inputs, groups, eps, true)?,
            conv1: weights.conv3(&format!("{name}.conv1"), inputs, outputs)?,
            time: None,
            norm2: weights.group_norm(&format!("{name}.norm2"), outputs, groups, eps, true)?,
            conv2: weights.conv3(&format!("{name}.conv2"), outputs, outputs)?,
            shortcut,
        })
    }

    /// Returns the number of output channels.
    pub fn outputs(&self) -> usize {
        self.conv2.outputs()
    }

    /// Returns what the time embedding after SiLU (timesteps, 1, 1, channels) adds to every pixel: (timesteps, 1, 1, out); `None` without a
    /// time projection. Includes the bias of the first convolution where it is [fused](Self::is_fused). It does not depend on the latent, so
    /// that nothing is recorded.
    pub fn shift(&self, time: &Tensor<B>) -> Option<Tensor<B>> {
        let bias = self.conv1.bias().filter(|_| Self::is_fused(time));
        self.time
            .as_ref()
            .map(|layer| layer.forward_plus(time, bias, &mut Pass::inference()))
    }

    /// Whether an embedding, or the shift that was computed from it, is that of one timestep on a device that fuses shift and bias.
    fn is_fused(of: &Tensor<B>) -> bool {
        of.shape().batch == 1 && of.backend().fuses_shift()
    }

    /// x (b, h, w, in) and the shift of the time, for all pictures or one for each, to (b, h, w, out).
    pub fn forward(
        &self,
        x: &Tensor<B>,
        shift: Option<&Tensor<B>>,
        pass: &mut Pass<B>,
    ) -> Tensor<B> {
        let h = self.norm1.forward(x, pass);
        self.after_first_norm(x, &h, shift, pass)
    }

    /// As [`Resnet::forward`], of two tensors whose channels are side by side those of x.
    pub fn forward_joined(
        &self,
        parts: [&Tensor<B>; 2],
        shift: Option<&Tensor<B>>,
        pass: &mut Pass<B>,
    ) -> Tensor<B> {
        let [x, h] = self.norm1.forward_joined(parts, pass);
        self.after_first_norm(&x, &h, shift, pass)
    }

    /// x and its first norm to (b, h, w, out).
    fn after_first_norm(
        &self,
        x: &Tensor<B>,
        h: &Tensor<B>,
        shift: Option<&Tensor<B>>,
        pass: &mut Pass<B>,
    ) -> Tensor<B> {
        let h = match shift {
            Some(shift) if Self::is_fused(shift) => self.conv1.forward_with_bias(h, shift, pass),
            Some(shift) => self.conv1.forward_with_shift(h, shift, pass),
            None => self.conv1.forward(h, pass),
        };
        let h = self.norm2.forward(&h, pass);
        let through = self
            .shortcut
            .as_ref()
            .map(|shortcut| shortcut.forward(x, pass));
        self.conv2
            .forward_plus(&h, Some(through.as_ref().unwrap_or(x)), pass)
    }

    /// dy to dx.
    pub fn backward(&self, dy: &Tensor<B>, pass: &mut BackwardPass<B>) -> Tensor<B> {
        let (d, around) = self.before_first_norm(dy, pass);
        self.norm1
            .backward_plus(&d, Some(around.as_ref().unwrap_or(dy)), pass)
    }

    /// dy to dx, divided into its first `left` channels and the others.
    pub fn backward_split(
        &self,
        dy: &Tensor<B>,
        left: usize,
        pass: &mut BackwardPass<B>,
    ) -> [Tensor<B>; 2] {
        let (d, around) = self.before_first_norm(dy, pass);
        self.norm1
            .backward_split(&d, Some(around.as_ref().unwrap_or(dy)), left, pass)
    }

    /// dy to the gradients with respect to the first norm's output, and to x through the shortcut, if there is one.
    fn before_first_norm(
        &self,
        dy: &Tensor<B>,
        pass: &mut BackwardPass<B>,
    ) -> (Tensor<B>, Option<Tensor<B>>) {
        let d = self.conv2.backward(dy, pass);
        let d = self.norm2.backward(&d, pass);
        let d = self.conv1.backward(&d, pass);
        let around = self
            .shortcut
            .as_ref()
            .map(|shortcut| shortcut.backward(dy, pass));
        (d, around)
    }
}
