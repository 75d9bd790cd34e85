//! The image tower: a vision transformer (Dosovitskiy et al., arXiv 2010.11929) from a picture's patches to its feature.

use super::EPS;
use super::config::ImageConfig;
use super::layer::Layer;
use crate::error::Result;
use crate::kernels::Backend;
use crate::model::weights::Weights;
use crate::nn::{BackwardPass, LayerNorm, Linear, Pass, Shape, Tape, Tensor};

/// Patches, class token and positions, layers, and the projection of the class token.
#[derive(Debug)]
pub(super) struct ImageTower<B: Backend> {
    /// The patch convolution as a linear layer: its stride is its kernel's size.
    patches: Linear<B>,
    /// The class token with its position (1, 1, 1, channels).
    class: Tensor<B>,
    /// Positions of the patches (1, 1, patches, channels).
    positions: Tensor<B>,
    before: LayerNorm<B>,
    layers: Vec<Layer<B>>,
    after: LayerNorm<B>,
    projection: Linear<B>,
}

impl<B: Backend> ImageTower<B> {
    pub(super) fn load(w: &mut Weights<B>, config: &ImageConfig, features: usize) -> Result<Self> {
        let (channels, count, side) = (config.channels, config.patches(), config.patch);
        let inputs = 3 * side * side;
        let name = "vision_model.embeddings";
        let weight = w.values(
            &format!("{name}.patch_embedding.weight"),
            &[&[channels, 3, side, side]],
        )?;
        let weight = Tensor::from_host(w.backend(), Shape::new(1, 1, channels, inputs), weight);
        let mut class = w.values(&format!("{name}.class_embedding"), &[&[channels]])?;
        let mut positions = w.values(
            &format!("{name}.position_embedding.weight"),
            &[&[count + 1, channels]],
        )?;
        let of_patches = positions.split_off(channels);
        for (class, position) in class.iter_mut().zip(positions) {
            *class += position;
        }
        Ok(Self {
            patches: Linear::new(&weight, None),
            class: Tensor::from_host(w.backend(), Shape::new(1, 1, 1, channels), class),
            positions: Tensor::from_host(
                w.backend(),
                Shape::new(1, 1, count, channels),
                of_patches,
            ),
            // The name is misspelled in all files.
            before: w.layer_norm("vision_model.pre_layrnorm", channels, EPS)?,
            layers: (0..config.layers)
                .map(|index| {
                    Layer::load(w, &format!("vision_model.encoder.layers.{index}"), config)
                })
                .collect::<Result<_>>()?,
            after: w.layer_norm("vision_model.post_layernorm", channels, EPS)?,
            projection: w.linear("visual_projection", channels, features, false)?,
        })
    }

    /// Returns the device.
    pub(super) fn backend(&self) -> &B {
        self.class.backend()
    }

    /// Patches (1, 1, patches, 3 * pixels) to the feature (1, 1, 1, features), not of unit length.
    pub(super) fn forward(&self, patches: &Tensor<B>, pass: &mut Pass<B>) -> Tensor<B> {
        let backend = self.backend();
        let embedded = self
            .patches
            .forward_plus(patches, Some(&self.positions), pass);
        let [class, rest] = [&self.class, &embedded].map(|x| x.shape().len());
        let shape = embedded.shape();
        let tokens = Shape {
            width: shape.width + 1,
            ..shape
        };
        let tokens = embedded.build(tokens, |y| {
            backend.copy_columns(class, self.class.buffer(), class, 0, y, class + rest, 0);
            backend.copy_columns(rest, embedded.buffer(), rest, 0, y, class + rest, class);
        });
        let mut x = self.before.forward(&tokens, pass);
        for layer in &self.layers {
            x = layer.forward(&x, pass);
        }
        let first = x.build(self.class.shape(), |y| {
            backend.copy_columns(class, x.buffer(), class + rest, 0, y, class, 0);
        });
        self.projection
            .forward(&self.after.forward(&first, pass), pass)
    }

    /// The gradient with respect to the feature to that with respect to the patches.
    pub(super) fn backward(&self, dy: &Tensor<B>, tape: Tape<B>) -> Tensor<B> {
        let (backend, pass) = (self.backend(), &mut BackwardPass::new(tape));
        let d_first = self
            .after
            .backward(&self.projection.backward(dy, pass), pass);
        let [class, rest] = [&self.class, &self.positions].map(|x| x.shape().len());
        let shape = self.positions.shape();
        let tokens = Shape {
            width: shape.width + 1,
            ..shape
        };
        // The other tokens of the last layer do not affect the feature.
        let mut dx = Tensor::zeros(backend, tokens).compact(backend, 1.0);
        backend.copy_columns(
            class,
            d_first.buffer(),
            class,
            0,
            dx.buffer_mut(),
            class + rest,
            0,
        );
        for layer in self.layers.iter().rev() {
            dx = layer.backward(&dx, pass);
        }
        dx = self.before.backward(&dx, pass);
        let d_embedded = dx.build(shape, |y| {
            backend.copy_columns(rest, dx.buffer(), class + rest, class, y, rest, 0);
        });
        self.patches.backward(&d_embedded, pass)
    }
}
