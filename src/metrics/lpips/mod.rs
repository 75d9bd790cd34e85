//! LPIPS v0.1 with AlexNet (Zhang et al., "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric", CVPR 2018,
//! arXiv 1801.03924): a distance of two pictures of the same size, 0 for equal ones.
//!
//! The features after each of AlexNet's five convolutions are normalised over their channels; squared differences are weighted by a learned
//! head, averaged over the pixels, and summed over the layers (equation 1). Convolutions are those of [`crate::nn`]; the small steps between
//! them run on the host. [`weights`] reads the file.

mod pool;
#[cfg(test)]
pub(super) mod tests;
mod weights;

use crate::error::{Error, Result};
use crate::geometry::Size;
use crate::kernels::Backend;
use crate::nn::{Conv, Pass, Shape, Tensor};

pub(crate) use weights::{CONVERT, LpipsFile};

use pool::max_pool;

/// Shortest side of a picture that all layers can read.
pub(crate) const MIN_SIDE: usize = 31;
/// Mean and standard deviation of the training pictures in -1 to 1 (`ScalingLayer` of the released code).
const SHIFT: [f32; 3] = [-0.030, -0.088, -0.188];
const SCALE: [f32; 3] = [0.458, 0.448, 0.450];
/// Added to norms (`normalize_tensor` of the released code).
const EPS: f32 = 1e-10;

/// A convolution of AlexNet: outputs, inputs, kernel, stride, padding.
type ConvSizes = [usize; 5];
/// The convolutions of AlexNet (Krizhevsky, arXiv 1404.5997) as torchvision has them.
const CONVS: [ConvSizes; 5] = [
    [64, 3, 11, 4, 2],
    [192, 64, 5, 1, 2],
    [384, 192, 3, 1, 1],
    [256, 384, 3, 1, 1],
    [256, 256, 3, 1, 1],
];
/// Layers whose input is pooled.
const POOLED: [bool; 5] = [false, true, true, false, false];

/// Red, green and blue of a picture, (height, width, 3), -1 to 1.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Pixels {
    /// Width and height.
    pub size: Size,
    /// One value for each pixel and channel.
    pub values: Vec<f32>,
}

/// The network with its heads.
#[derive(Debug)]
pub(crate) struct Lpips<B: Backend> {
    backend: B,
    convs: [Conv<B>; 5],
    /// One weight for each channel of each layer.
    heads: [Vec<f32>; 5],
}

impl<B: Backend> Lpips<B> {
    /// Loads the network onto a device, in f32.
    pub(crate) fn new(backend: &B, file: LpipsFile) -> Self {
        let backend = backend.in_f32();
        let mut index = 0;
        let convs = file.convs.map(|weights::ConvValues { weight, bias }| {
            let [outputs, inputs, kernel, stride, padding] = CONVS[index];
            index += 1;
            let shape = Shape::new(outputs, kernel, kernel, inputs);
            Conv::new(
                &Tensor::from_host(&backend, shape, weight),
                Some(Tensor::vector(&backend, bias)),
                [outputs, kernel, inputs],
                stride,
                [padding; 2],
            )
        });
        Self {
            backend,
            convs,
            heads: file.heads,
        }
    }

    /// Returns the distance of two pictures.
    ///
    /// # Errors
    /// [`Error::NotFinite`] when a feature overflows, as with damaged weights.
    ///
    /// # Panics
    /// When the pictures differ in size, or a side is below [`MIN_SIDE`].
    pub(crate) fn distance(&self, x: &Pixels, y: &Pixels) -> Result<f64> {
        assert_eq!(x.size, y.size, "pictures of the same size");
        let Size { width, height } = x.size;
        assert!(
            width >= MIN_SIDE && height >= MIN_SIDE,
            "the picture is large enough for the network"
        );
        if x == y {
            return Ok(0.0);
        }
        let scaled = |pixels: &Pixels| {
            let values = pixels.values.chunks_exact(3).flat_map(|pixel| {
                [0, 1, 2].map(|channel| (pixel[channel] - SHIFT[channel]) / SCALE[channel])
            });
            values.collect::<Vec<f32>>()
        };
        let mut values = [scaled(x), scaled(y)].concat();
        let mut shape = Shape::new(2, height, width, 3);
        let mut distance = 0.0;
        for (layer, conv) in self.convs.iter().enumerate() {
            if POOLED[layer] {
                (shape, values) = max_pool(shape, &values);
            }
            let input = Tensor::from_host(&self.backend, shape, values);
            let output = self
                .backend
                .run(|| conv.forward(&input, &mut Pass::inference()));
            shape = output.shape();
            values = output.to_host();
            rectify(&mut values);
            let (x, y) = values.split_at(shape.len() / 2);
            let step = layer_distance(x, y, &self.heads[layer]);
            if !step.is_finite() {
                return Err(Error::NotFinite {
                    stage: "LPIPS",
                    step: layer + 1,
                    what: "a distance of features",
                });
            }
            distance += step;
        }
        Ok(distance)
    }
}

/// Replaces negative values by 0. A NaN stays, so that it is reported; `f32::max` would hide it.
fn rectify(values: &mut [f32]) {
    for value in values {
        if *value < 0.0 {
            *value = 0.0;
        }
    }
}

/// Returns the mean over pixels of the weighted squared difference of normalised features x and y, both (pixels, channels); not finite where a
/// feature's norm is not.
fn layer_distance(x: &[f32], y: &[f32], head: &[f32]) -> f64 {
    let channels = head.len();
    let norm = |pixel: &[f32]| pixel.iter().map(|value| value * value).sum::<f32>().sqrt() + EPS;
    let pixels = x.chunks_exact(channels).zip(y.chunks_exact(channels));
    let sum: f64 = pixels
        .map(|(x, y)| {
            let (x_norm, y_norm) = (norm(x), norm(y));
            // A feature divided by an infinite norm would be 0, and hide that it overflowed.
            if !(x_norm.is_finite() && y_norm.is_finite()) {
                return f64::NAN;
            }
            let terms = x.iter().zip(y).zip(head).map(|((x, y), weight)| {
                let difference = x / x_norm - y / y_norm;
                weight * difference * difference
            });
            f64::from(terms.sum::<f32>())
        })
        .sum();
    sum / (x.len() / channels) as f64
}
