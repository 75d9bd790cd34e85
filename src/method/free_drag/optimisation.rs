//! The optimisation of the latent towards the points' templates, place by place.

use super::dragged_point::{DraggedPoint, Search};
use super::settings::FreeDragSettings;
use crate::error::Result;
use crate::geometry::Point;
use crate::interrupt::Interrupt;
use crate::kernels::{Backend, Sum};
use crate::method::PointTrack;
use crate::method::parts::{
    DragGradient, DragLoss, GridFeatures, LatentGradient, MotionLoss, Noisiest, Optimised, Outputs,
};
use crate::model::unet::Network;
use crate::nn::{Loss, Tensor};
use crate::progress::Progress;

/// The points, and where they were.
struct Points<B: Backend> {
    all: Vec<DraggedPoint<B>>,
    search: Search,
    /// The places of each point, in working pixels.
    paths: Vec<Vec<Point>>,
}

impl<B: Backend> Points<B> {
    fn new(noisiest: &Noisiest<B>, search: Search) -> Self {
        let original = GridFeatures::new(noisiest.original, noisiest.frame);
        let point = |drag| DraggedPoint::new(drag, original, &search);
        let all: Vec<DraggedPoint<B>> = noisiest.drags.iter().map(point).collect();
        let grid = original.grid();
        let paths = all.iter().map(|point| vec![point.line.point(grid)]);
        Self {
            paths: paths.collect(),
            all,
            search,
        }
    }

    fn have_settled(&self) -> bool {
        self.all.iter().all(|point| point.has_settled)
    }

    /// Ends the iterations at the places.
    fn end(&mut self, features: GridFeatures<B>) {
        for point in &mut self.all {
            point.end(features, &self.search);
        }
    }

    /// Moves all points on that have not settled.
    fn search(&mut self, features: GridFeatures<B>) {
        for (point, path) in self.all.iter_mut().zip(&mut self.paths) {
            if !point.has_settled {
                point.search(features, &self.search);
            }
            path.push(point.line.point(features.grid()));
        }
    }

    /// Returns the sum over the points of the mean difference of the features at their places from their templates, and each of its terms.
    fn loss(&self, features: GridFeatures<B>) -> (MotionLoss<B>, Vec<f64>) {
        let values = (2 * self.search.radius + 1).pow(2) * features.channels();
        let scale = (1.0 / values as f64) as f32;
        let zeros = |map: &Tensor<B>| Tensor::zeros(map.backend(), map.shape());
        let mut gradients: Vec<Tensor<B>> = features.maps().iter().map(zeros).collect();
        let term = |point: &DraggedPoint<B>| {
            let line = &point.line;
            let patch = line.patch(line.at, self.search.radius, features.grid());
            features.patch_l1(&patch, &point.template, scale, &mut gradients)
        };
        let sums: Vec<_> = self.all.iter().flat_map(term).collect();
        let backend = features.maps()[0].backend();
        // Where the points go next depends on the terms.
        let values = backend.sum_values(&sums.iter().collect::<Vec<_>>());
        let stages = features.maps().len();
        let terms: Vec<f64> = values
            .chunks(stages)
            .map(|term| term.iter().sum())
            .collect();
        let loss = MotionLoss {
            loss: terms.iter().fold(Loss::zero(backend), |loss, term| {
                loss.plus(1.0, Sum::Known(*term))
            }),
            gradients,
            magnitude: scale,
            active: self.all.len(),
        };
        (loss, terms)
    }
}

/// Optimises `start`, at most `settings.iterations` times, until all points have settled.
///
/// # Errors
/// [`crate::Error::Interrupted`], [`crate::Error::NotFinite`], [`crate::Error::Diverged`].
pub(super) fn optimise<B: Backend, N: Network<B>>(
    settings: &FreeDragSettings,
    noisiest: &Noisiest<B>,
    start: &Tensor<B>,
    gradient: &mut DragGradient<B, N>,
    progress: &mut dyn Progress,
    interrupt: &Interrupt,
) -> Result<Optimised<B>> {
    let search = Search {
        radius: settings.template_radius,
        longest_move: settings.longest_move,
        expected: settings.expected_difference,
    };
    let mut points = Points::new(noisiest, search);
    let mut descent = noisiest.updates.begin(start);
    let (mut losses, mut at_place) = (Vec::new(), 0);
    for iteration in 0..settings.iterations {
        interrupt.check()?;
        let variable = descent.variable().clone();
        let mut differences = Vec::new();
        let mut loss = |z: &Tensor<B>, (noise, maps): &Outputs<B>| {
            let features = GridFeatures::new(maps, noisiest.frame);
            if at_place == 0 {
                // The pass that begins at the next places also shows how it ended at those before.
                if iteration > 0 {
                    points.end(features);
                }
                if points.have_settled() {
                    return None;
                }
                points.search(features);
            }
            let (motion, terms) = points.loss(features);
            if at_place == 0 {
                for (point, difference) in points.all.iter_mut().zip(&terms) {
                    point.begin(*difference);
                }
            }
            differences = terms;
            let mask = noisiest.mask.as_ref().map(|mask| mask.evaluate(z, noise));
            Some(DragLoss { motion, mask })
        };
        let step = iteration + 1;
        let evaluated = gradient.gradient(&variable, noisiest.t, step, &mut loss)?;
        let Some((loss, gradient)) = evaluated else {
            break;
        };
        losses.push(loss);
        progress.step(Some(loss));
        if !descent.step(loss, &gradient, step)? {
            break;
        }
        let largest = differences.iter().copied().fold(0.0, f64::max);
        at_place += 1;
        if at_place == settings.place_iterations || largest < search.reached() {
            at_place = 0;
        }
    }
    let (latent, diverged) = descent.end();
    let grid = noisiest.frame.supervision_grid();
    let tracks = noisiest.drags.iter().zip(points.paths);
    let tracks = tracks.map(|(drag, points)| PointTrack {
        region: drag.id.clone(),
        points,
        target: drag.target.centre(&grid),
    });
    Ok(Optimised {
        latent,
        diverged,
        prompts: None,
        bottleneck: None,
        losses,
        tracks: tracks.collect(),
    })
}
