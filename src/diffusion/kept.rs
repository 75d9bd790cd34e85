//! A trajectory that is kept: denoising gets back, step by step, what the inversion lost.
//!
//! A step of the inversion is not the exact inverse of a denoising step, so denoising an inverted latent does not give its picture back. The
//! reference latent is therefore put back on the inversion's own latent after every step, and the edited latent gets the same
//! correction (Direct Inversion, arXiv 2310.01506, Algorithm 1). What is not edited then comes back with any model, at any strength,
//! without a LoRA. It takes no further pass through the network.

use super::denoise::Pair;
use super::invert::Trajectory;
use crate::kernels::{Backend, BilinearPoint};
use crate::nn::{Shape, Tensor};

/// A trajectory, and which cells of the edited latent get its corrections.
#[derive(Debug)]
pub struct KeptTrajectory<B: Backend> {
    trajectory: Trajectory<B>,
    /// The cell of the reference whose content a cell of the edited latent has; `None` when all have their own.
    sources: Option<B::Points>,
    /// 1 for cells whose content is new (1, height, width, 1).
    new: Option<Tensor<B>>,
    /// Share of the correction that new cells do not get at the first step.
    freedom: f64,
}

/// What a cell of the edited latent has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CellContent {
    /// The content of this cell of the reference latent, by its index.
    Of(usize),
    /// Something that the reference latent does not have.
    New,
}

impl<B: Backend> KeptTrajectory<B> {
    /// Keeps a trajectory for an edited latent with these contents, one per cell. `freedom`, 0 to 1, is the share of the correction that new
    /// cells do not get at first.
    ///
    /// # Panics
    /// If the number of contents is not that of the cells.
    pub fn new(trajectory: Trajectory<B>, contents: &[CellContent], freedom: f64) -> Self {
        let Shape { height, width, .. } = trajectory.clean().shape();
        assert_eq!(contents.len(), height * width, "one content per cell");
        let backend = &trajectory.clean().backend().clone();
        let source = |(cell, content): (usize, &CellContent)| match content {
            CellContent::Of(source) => *source,
            CellContent::New => cell,
        };
        let sources: Vec<usize> = contents.iter().enumerate().map(source).collect();
        let is_moved = sources
            .iter()
            .enumerate()
            .any(|(cell, source)| cell != *source);
        let points = sources.iter().map(|source| BilinearPoint {
            pixels: [*source as u32; 4],
            weights: [1.0, 0.0, 0.0, 0.0],
        });
        let new: Vec<f32> = contents
            .iter()
            .map(|content| f32::from(u8::from(*content == CellContent::New)))
            .collect();
        Self {
            trajectory,
            sources: is_moved.then(|| backend.points(points.collect())),
            freedom,
            new: new
                .contains(&1.0)
                .then(|| Tensor::from_host(backend, Shape::new(1, height, width, 1), new)),
        }
    }

    /// Corrects a pair after its denoising step from timestep `t`. The reference latent becomes the trajectory's. The edited latent gets
    /// the difference in every cell that has content of the reference; in new cells it gets 1 - `freedom` of it at the first step and, rising
    /// evenly, all of it at the last.
    #[must_use]
    pub fn corrected(&self, pair: Pair<B>, t: i64) -> Pair<B> {
        let expected = self.trajectory.after(t);
        let lost = expected.clone().combined(1.0, -1.0, &pair.reference);
        let lost = match &self.sources {
            Some(points) => {
                let buffer = lost
                    .backend()
                    .sample(lost.shape().channels, lost.buffer(), points);
                Tensor::from_buffer(lost.backend(), lost.shape(), buffer)
            }
            None => lost,
        };
        let mut edit = pair.edit.clone().plus(&lost);
        if let Some(new) = &self.new {
            let share = 1.0 - self.freedom * (1.0 - self.trajectory.share_done(t));
            let faded = pair.edit.combined(1.0, share as f32, &lost);
            let backend = edit.backend().clone();
            backend.select(new.buffer(), faded.buffer(), edit.buffer_mut());
        }
        Pair {
            reference: expected.clone(),
            edit,
        }
    }
}
