//! The feature loss: L1 between decoder features where the regions should be and reference features where they were (DragNeXt, Eq. 7).

use std::sync::Arc;

use crate::geometry::Size;
use crate::kernels::Backend;
use crate::method::parts::{Correspondence, on_map};
use crate::nn::{Loss, Shape, Tensor};

/// Where the features of all regions are compared at one progress.
#[derive(Debug)]
pub(super) struct Aim<B: Backend> {
    regions: Vec<RegionAim<B>>,
}

/// The pairs of one region.
#[derive(Debug)]
struct RegionAim<B: Backend> {
    /// Per compared decoder stage: the points at which current features are read, and those at which the features expected there are.
    stages: Vec<[B::Points; 2]>,
    /// Number of pairs.
    pairs: usize,
}

impl<B: Backend> Aim<B> {
    /// Places the pairs on maps of these shapes, one for each compared decoder stage.
    pub(super) fn new(
        backend: &B,
        correspondences: &[Correspondence],
        maps: &[Shape],
        picture: Size,
    ) -> Self {
        let region = |pairs: &Correspondence| RegionAim {
            pairs: pairs.edited.len(),
            stages: maps
                .iter()
                .map(|map| {
                    let size = Size::new(map.width, map.height);
                    [&pairs.edited, &pairs.original]
                        .map(|points| backend.points(on_map(points, picture, size)))
                })
                .collect(),
        };
        let pairs = correspondences.iter().filter(|pairs| !pairs.is_empty());
        Self {
            regions: pairs.map(region).collect(),
        }
    }
}

/// What the features of all regions should be.
#[derive(Debug)]
pub(super) struct FeatureLoss<B: Backend> {
    aim: Arc<Aim<B>>,
    /// For each region and stage, the features that are expected (1, 1, points, channels).
    targets: Vec<Tensor<B>>,
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
    /// Samples the reference features, whose maps have the shapes of the aim.
    pub(super) fn new(aim: Arc<Aim<B>>, reference: &[Tensor<B>]) -> Self {
        let of_region = |region: &RegionAim<B>| {
            let stages = reference.iter().zip(&region.stages);
            let sampled = stages.map(|(map, [_, original])| {
                let (backend, channels) = (map.backend(), map.shape().channels);
                let features = backend.sample(channels, map.buffer(), original);
                let shape = Shape::new(1, 1, region.pairs, channels);
                Tensor::from_buffer(backend, shape, features)
            });
            sampled.collect::<Vec<_>>()
        };
        Self {
            targets: aim.regions.iter().flat_map(of_region).collect(),
            aim,
        }
    }

    /// Returns the loss with copies of the expected features in the memory of a pass that is repeated ([`Backend::copied_together`]).
    pub(super) fn prepared(&self, backend: &B) -> Self {
        Self {
            aim: Arc::clone(&self.aim),
            targets: Tensor::copied_together(backend, self.targets.clone(), false),
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
        let mut targets = self.targets.iter();
        for region in &self.aim.regions {
            let stages = features.iter().zip(&mut gradients).zip(&region.stages);
            for (((map, gradient), [edited, _]), target) in stages.zip(&mut targets) {
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
                    edited,
                    target.buffer(),
                    scale as f32,
                    gradient.buffer_mut(),
                );
                loss = loss.plus(1.0, sum);
            }
        }
        (loss, gradients, magnitude)
    }
}
