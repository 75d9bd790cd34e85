//! The backward pass of the whole network, to the latents or to the LoRA adapters, and that of its decoder, to the bottlenecks.

use super::UNet;
use super::blocks::{DownBlock, with_skip};
use crate::kernels::{Backend, PassKey};
use crate::nn::{BackwardPass, Shape, Tensor};

/// Gradients of a loss with respect to the outputs of a forward pass.
#[derive(Debug)]
pub(super) struct Gradients<B: Backend> {
    /// About the size of the larger ones.
    pub(super) magnitude: f32,
    /// With respect to the noise prediction, if the pass computed it.
    pub(super) noise: Option<Tensor<B>>,
    /// With respect to the outputs of decoder stages: (stage, gradient). The last layer that the pass ran has a gradient.
    pub(super) features: Vec<(usize, Tensor<B>)>,
}

impl<B: Backend> Gradients<B> {
    /// Identifies a backward pass from these gradients to `to`, of a pass over `latents`.
    fn key(&self, to: &'static str, latents: Shape) -> PassKey {
        let stages = self.features.iter().map(|(stage, _)| *stage);
        let noise = usize::from(self.noise.is_some());
        PassKey {
            kind: to,
            shape: latents.sizes(),
            details: [noise].into_iter().chain(stages).collect(),
        }
    }

    /// Returns the gradients times `scale`, in the number format of activations.
    fn compact(self, backend: &B, scale: f32) -> Self {
        let features = self.features.into_iter();
        Self {
            magnitude: self.magnitude,
            noise: self.noise.map(|noise| noise.compact(backend, scale)),
            features: features
                .map(|(stage, gradient)| (stage, gradient.compact(backend, scale)))
                .collect(),
        }
    }
}

/// Gradients of a loss with respect to the inputs of a forward pass.
#[derive(Debug, Clone)]
pub struct InputGradients<B: Backend> {
    /// With respect to the latents (batch, height, width, 4).
    pub latents: Tensor<B>,
    /// With respect to the prompt's tokens (batch or 1, 1, tokens, channels).
    pub text: Tensor<B>,
}

impl<B: Backend> UNet<B> {
    /// Returns the gradient with respect to the latents (batch, height, width, 4), whose shape is `latents`.
    ///
    /// # Panics
    /// When `pass` is not that of the forward pass with these outputs.
    pub(super) fn backward_to_latents(
        &self,
        latents: Shape,
        gradients: Gradients<B>,
        mut pass: BackwardPass<B>,
    ) -> Tensor<B> {
        self.run_backward_to_latents(latents, gradients, &mut pass)
    }

    fn run_backward_to_latents(
        &self,
        latents: Shape,
        mut gradients: Gradients<B>,
        pass: &mut BackwardPass<B>,
    ) -> Tensor<B> {
        pass.set_loss_scale(self.loss_scale(&gradients));
        let (backend, scale) = (self.backend(), pass.loss_scale());
        let direct = backend.run(|| self.backward_to_velocity(&mut gradients, pass));
        let key = gradients.key("backward to latents", latents);
        let dx = backend.pass(
            key,
            || gradients.compact(backend, scale),
            |gradients| {
                let (dx, mut skips) = self.decoder_backward(gradients, pass)?;
                let mut dx = self.middle_backward(&dx, pass);
                for block in self.down.iter().rev() {
                    dx = block.backward(dx, &mut skips, pass);
                }
                dx = with_skip(dx, &mut skips);
                Some(self.conv_in.backward(&dx, pass))
            },
        );
        let dx = dx.map(|dx| {
            backend.run(|| {
                let dx = dx.full(1.0 / scale);
                match direct {
                    Some(direct) => dx.plus(&direct),
                    None => dx,
                }
            })
        });
        // Without an output, the loss does not depend on the latents.
        dx.unwrap_or_else(|| Tensor::zeros(backend, latents))
    }

    /// As [`UNet::backward_to_latents`], and the gradient with respect to the prompt's tokens, whose shape is `text`.
    ///
    /// # Panics
    /// As [`UNet::backward_to_latents`], and when the prompt of the forward pass was prepared.
    pub(super) fn backward_to_text(
        &self,
        latents: Shape,
        text: Shape,
        gradients: Gradients<B>,
        pass: BackwardPass<B>,
    ) -> InputGradients<B> {
        let zeros = Tensor::zeros(self.backend(), text);
        let pass = &mut pass.with_text(zeros.clone());
        InputGradients {
            latents: self.run_backward_to_latents(latents, gradients, pass),
            text: pass.take_text().unwrap_or(zeros),
        }
    }

    /// Returns the gradient with respect to the given outputs of the middle block, whose shape is `bottlenecks`.
    ///
    /// # Panics
    /// When `pass` is not that of the decoder of the forward pass with these outputs.
    pub(super) fn backward_to_bottlenecks(
        &self,
        bottlenecks: Shape,
        mut gradients: Gradients<B>,
        mut pass: BackwardPass<B>,
    ) -> Tensor<B> {
        let pass = &mut pass;
        pass.set_loss_scale(self.loss_scale(&gradients));
        let (backend, scale) = (self.backend(), pass.loss_scale());
        // The latents are held: their share of the gradient is dropped.
        backend.run(|| self.backward_to_velocity(&mut gradients, pass));
        let key = gradients.key("backward to bottlenecks", bottlenecks);
        let d = backend.pass(
            key,
            || gradients.compact(backend, scale),
            |gradients| Some(self.decoder_backward(gradients, pass)?.0),
        );
        let d = d.map(|d| backend.run(|| d.full(1.0 / scale)));
        d.unwrap_or_else(|| Tensor::zeros(backend, bottlenecks))
    }

    /// Adds the gradients with respect to the adapters to those of the pass's learners. Ends at the first layer with an adapter.
    ///
    /// # Panics
    /// When `pass` is not that of the forward pass with these outputs.
    pub(super) fn backward_to_adapters(
        &self,
        mut gradients: Gradients<B>,
        mut pass: BackwardPass<B>,
    ) {
        let pass = &mut pass;
        pass.set_loss_scale(self.loss_scale(&gradients));
        let (backend, scale) = (self.backend(), pass.loss_scale());
        // The latents are those of the picture: their share of the gradient ends here.
        backend.run(|| self.backward_to_velocity(&mut gradients, pass));
        let noise = gradients.noise.as_ref().map(Tensor::shape);
        let key = gradients.key(
            "backward to adapters",
            noise.unwrap_or(Shape::new(0, 0, 0, 0)),
        );
        let inputs = || gradients.compact(backend, scale);
        backend.pass(key, inputs, |gradients| {
            let Some((dx, mut skips)) = self.decoder_backward(gradients, pass) else {
                return;
            };
            let mut dx = self.middle_backward(&dx, pass);
            let first = self.down.iter().position(DownBlock::has_attention);
            for (level, block) in self.down.iter().enumerate().rev() {
                if Some(level) == first {
                    block.backward_to_attention(dx, &mut skips, pass);
                    return;
                }
                dx = block.backward(dx, &mut skips, pass);
            }
        });
    }

    /// Returns the factor by which all gradients of a pass are multiplied, to avoid underflow in a short number format.
    /// It is a power of two, so that multiplying and dividing by it are exact.
    fn loss_scale(&self, gradients: &Gradients<B>) -> f32 {
        let magnitude = if gradients.magnitude.is_normal() {
            gradients.magnitude.log2().round().clamp(-60.0, 60.0)
        } else {
            0.0
        };
        let scale = self.backend().loss_scale();
        scale.map_or(1.0, |scale| scale / magnitude.exp2())
    }

    /// Runs the middle block, from the gradient with respect to its output to that with respect to the encoder's.
    fn middle_backward(&self, dx: &Tensor<B>, pass: &mut BackwardPass<B>) -> Tensor<B> {
        let dx = self.mid_second.backward(dx, pass);
        let dx = self.mid_attention.backward(&dx, pass);
        self.mid_first.backward(&dx, pass)
    }

    /// Runs the layers behind the decoder, and the decoder, from scaled gradients in the number format of activations. Returns the gradients with respect to the middle block's output
    /// and to the skip connections, the finest first; `None` when there are no gradients.
    fn decoder_backward(
        &self,
        gradients: Gradients<B>,
        pass: &mut BackwardPass<B>,
    ) -> Option<(Tensor<B>, Vec<Tensor<B>>)> {
        let Gradients {
            noise,
            mut features,
            ..
        } = gradients;
        let depth = if noise.is_some() {
            self.up.len()
        } else {
            features.iter().map(|(stage, _)| *stage).max().unwrap_or(0)
        };
        let mut dx = noise.map(|noise| {
            let dx = self.conv_out.backward(&noise, pass);
            self.norm_out.backward(&dx, pass)
        });
        let mut with_features = |mut dx: Option<Tensor<B>>, stage: usize| {
            while let Some(position) = features.iter().position(|(of, _)| *of == stage) {
                let gradient = features.swap_remove(position).1;
                dx = Some(match dx {
                    Some(dx) => dx.plus(&gradient),
                    None => gradient,
                });
            }
            dx
        };
        let mut skips = Vec::new();
        for (stage, block) in self.up.iter().enumerate().take(depth).rev() {
            dx = with_features(dx, stage + 1);
            dx = dx.map(|dx| block.backward(dx, &mut skips, pass));
        }
        Some((with_features(dx, 0)?, skips))
    }
}
