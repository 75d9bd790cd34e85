//! The feature loss: L1 between decoder features where the regions should be and reference features where they were (DragNeXt, Eq. 7).

use crate::geometry::Size;
use crate::kernels::Backend;
use crate::method::parts::{Correspondence, on_map};
use crate::nn::{Loss, Tensor};

/// What one region's features should be at one progress.
#[derive(Debug)]
struct RegionTarget<B: Backend> {
    /// Per compared decoder stage: the points at which current features are read, and the features expected there (points, channels).
    stages: Vec<(B::Points, B::Buffer)>,
    /// Number of pairs.
    pairs: usize,
}

/// What the features of all regions should be at one progress.
#[derive(Debug)]
pub(super) struct FeatureLoss<B: Backend> {
    regions: Vec<RegionTarget<B>>,
}

/// How the differences of one region are added up.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Reduction {
    /// A factor times the mean over stages, of the mean over channels and pairs (released code of DragNeXt).
    Mean(f64),
    /// The plain sum over stages, channels and pairs (DragNeXt, Eq. 7).
    Sum,
}

impl<B: Backend> FeatureLoss<B> {
    /// Samples the reference features at the source points of the pairs.
    pub(super) fn new(
        correspondences: &[Correspondence],
        reference: &[Tensor<B>],
        picture: Size,
    ) -> Self {
        let target = |pairs: &Correspondence| RegionTarget {
            pairs: pairs.edited.len(),
            stages: reference
                .iter()
                .map(|map| {
                    let backend = map.backend();
                    let points = |pairs| {
                        backend.points(on_map(
                            pairs,
                            picture,
                            Size::new(map.shape().width, map.shape().height),
                        ))
                    };
                    (
                        points(&pairs.edited),
                        backend.sample(
                            map.shape().channels,
                            map.buffer(),
                            &points(&pairs.original),
                        ),
                    )
                })
                .collect(),
        };
        Self {
            regions: correspondences
                .iter()
                .filter(|pairs| !pairs.is_empty())
                .map(target)
                .collect(),
        }
    }

    /// Returns the loss of the current features, its gradient to the features of each stage, and the largest factor of a difference, which
    /// bounds the gradient.
    pub(super) fn evaluate(
        &self,
        features: &[Tensor<B>],
        reduction: Reduction,
    ) -> (Loss<B>, Vec<Tensor<B>>, f32) {
        let mut gradients: Vec<Tensor<B>> = features
            .iter()
            .map(|map| Tensor::zeros(map.backend(), map.shape()))
            .collect();
        let mut loss = Loss::zero(features[0].backend());
        let mut magnitude = f32::MIN_POSITIVE;
        for region in &self.regions {
            for ((map, gradient), (points, target)) in
                features.iter().zip(&mut gradients).zip(&region.stages)
            {
                let channels = map.shape().channels;
                let scale = match reduction {
                    Reduction::Mean(factor) => {
                        factor / (features.len() * region.pairs * channels) as f64
                    }
                    Reduction::Sum => 1.0,
                };
                magnitude = magnitude.max(scale as f32);
                let sum = map.backend().sampled_l1_sum(
                    channels,
                    map.buffer(),
                    points,
                    target,
                    scale as f32,
                    gradient.buffer_mut(),
                );
                loss = loss.plus(1.0, sum);
            }
        }
        (loss, gradients, magnitude)
    }
}
