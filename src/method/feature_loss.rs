//! The drag's loss: L1 between decoder features where the regions shall be and reference features where they were.

use super::Correspondence;
use super::correspondence::on_map;
use crate::geometry::Size;
use crate::kernels::Backend;
use crate::nn::Tensor;

/// One region's target at one progress: features to reach, at points of each compared decoder stage.
#[derive(Debug)]
struct Goal<B: Backend> {
    /// Per stage: where the current features are read, and what they shall be.
    stages: Vec<(B::Points, B::Buffer)>,
    /// Number of pairs.
    pairs: usize,
}

/// All regions' targets at one progress.
#[derive(Debug)]
pub(super) struct FeatureLoss<B: Backend> {
    goals: Vec<Goal<B>>,
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
    /// Reads the reference features once, at the pairs' sources.
    pub(super) fn new(
        correspondences: &[Correspondence],
        reference: &[Tensor<B>],
        picture: Size,
    ) -> Self {
        let goal = |pairs: &Correspondence| Goal {
            pairs: pairs.here.len(),
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
                        points(&pairs.here),
                        backend.sample(map.shape().channels, map.buffer(), &points(&pairs.there)),
                    )
                })
                .collect(),
        };
        Self {
            goals: correspondences
                .iter()
                .filter(|pairs| !pairs.is_empty())
                .map(goal)
                .collect(),
        }
    }

    /// The loss of the current features, its gradient to each stage's, and the largest factor of a difference.
    pub(super) fn evaluate(
        &self,
        features: &[Tensor<B>],
        reduction: Reduction,
    ) -> (f64, Vec<Tensor<B>>, f32) {
        let mut gradients: Vec<Tensor<B>> = features
            .iter()
            .map(|map| Tensor::zeros(map.backend(), map.shape()))
            .collect();
        let (mut loss, mut magnitude) = (0.0, f32::MIN_POSITIVE);
        for goal in &self.goals {
            for ((map, gradient), (points, target)) in
                features.iter().zip(&mut gradients).zip(&goal.stages)
            {
                let channels = map.shape().channels;
                let scale = match reduction {
                    Reduction::Mean(factor) => {
                        factor / (features.len() * goal.pairs * channels) as f64
                    }
                    Reduction::Sum => 1.0,
                };
                magnitude = magnitude.max(scale as f32);
                loss += map.backend().sampled_l1(
                    channels,
                    map.buffer(),
                    points,
                    target,
                    scale as f32,
                    gradient.buffer_mut(),
                );
            }
        }
        (loss, gradients, magnitude)
    }
}
