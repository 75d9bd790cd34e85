//! Motion supervision: features a little ahead of every point should become those that its content has (DragDiffusion, arXiv 2306.14435,
//! Eq. 3; `GoodDrag`, arXiv 2404.07206, Eq. 7, compares with the features of the original handle).

use super::grid_features::{GridFeatures, Patch};
use super::point_pairs::{Cell, PointDrag};
use crate::kernels::Backend;
use crate::nn::{Loss, Tensor};

/// What the loss compares.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MotionSupervision {
    /// Patches have (2 radius + 1) x (2 radius + 1) values.
    pub radius: usize,
    /// Cells ahead of a point, towards its target and not beyond, at which the patch lies that should change.
    pub reach: f64,
    /// Factor of the mean over a patch.
    pub factor: f64,
}

/// The loss of one set of features.
#[derive(Debug)]
pub struct MotionLoss<B: Backend> {
    /// Sum over the points that have not arrived of factor * mean |ahead - source| over values and channels.
    pub loss: Loss<B>,
    /// Its gradient to the features of every stage.
    pub gradients: Vec<Tensor<B>>,
    /// The factor of one difference, which bounds the gradient.
    pub magnitude: f32,
    /// Points that have not arrived.
    pub active: usize,
}

impl MotionSupervision {
    /// Returns the loss for points that are now at `points`. The patch ahead of each should equal that of `source` at its `origins`, which gets
    /// no gradient.
    pub fn evaluate<B: Backend>(
        &self,
        features: GridFeatures<B>,
        points: &[Cell],
        drags: &[PointDrag],
        source: GridFeatures<B>,
        origins: &[Cell],
    ) -> MotionLoss<B> {
        let zeros = |map: &Tensor<B>| Tensor::zeros(map.backend(), map.shape());
        let values = (2 * self.radius + 1).pow(2) * features.channels();
        let scale = (self.factor / values as f64) as f32;
        let mut found = MotionLoss {
            loss: Loss::zero(features.maps()[0].backend()),
            gradients: features.maps().iter().map(zeros).collect(),
            magnitude: scale,
            active: 0,
        };
        for ((point, drag), origin) in points.iter().zip(drags).zip(origins) {
            if drag.has_arrived(*point) {
                continue;
            }
            found.active += 1;
            let ahead = self.ahead(*point, drag.target);
            let now = Patch::new(*point, self.radius, ahead, features.grid());
            let then = Patch::new(*origin, self.radius, [0.0; 2], source.grid());
            let target = source.patch(&then);
            let sums = features.patch_l1(&now, &target, scale, &mut found.gradients);
            found.loss = sums
                .into_iter()
                .fold(found.loss, |loss, sum| loss.plus(1.0, sum));
        }
        found
    }

    /// Returns rows and columns from a point to the middle of the patch ahead of it.
    fn ahead(&self, point: Cell, target: Cell) -> [f64; 2] {
        let [rows, columns] = point.to(target);
        let distance = rows.hypot(columns);
        let share = self.reach.min(distance) / distance;
        [rows * share, columns * share]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::{Frame, Size};
    use crate::kernels::cpu::Cpu;
    use crate::nn::Shape;

    fn frame() -> Frame {
        Frame::new(Size::new(64, 48), 48)
    }

    /// Smooth random features on an eighth and a quarter of the picture's resolution.
    fn maps(seed: usize) -> Vec<Tensor<Cpu>> {
        let map = |height: usize, width: usize, channels: usize| {
            let number = |at: usize| ((at * 7919 + seed * 104_729) % 1009) as f32 / 500.0 - 1.0;
            let numbers = (0..height * width * channels).map(number).collect();
            Tensor::from_host(&Cpu, Shape::new(1, height, width, channels), numbers)
        };
        vec![map(6, 8, 3), map(12, 16, 2)]
    }

    fn drags() -> Vec<PointDrag> {
        let drag = |from: (usize, usize), to: (usize, usize)| PointDrag {
            id: String::new(),
            handle: Cell {
                row: from.0,
                column: from.1,
            },
            target: Cell {
                row: to.0,
                column: to.1,
            },
        };
        vec![
            drag((10, 9), (15, 21)),
            drag((1, 2), (9, 2)),
            drag((20, 20), (21, 20)),
        ]
    }

    const LOSS: MotionSupervision = MotionSupervision {
        radius: 2,
        reach: 1.0,
        factor: 25.0,
    };

    fn evaluate(loss: MotionSupervision, features: &[Tensor<Cpu>]) -> MotionLoss<Cpu> {
        let (source, drags) = (maps(2), drags());
        let on_grid = |maps| GridFeatures::new(maps, &frame());
        let (source, handles) = (
            GridFeatures::new(&source, &frame()),
            PointDrag::handles(&drags),
        );
        loss.evaluate(on_grid(features), &handles, &drags, source, &handles)
    }

    #[test]
    fn the_gradient_matches_finite_differences() {
        let features = maps(1);
        let found = evaluate(LOSS, &features);
        assert_eq!(found.active, 2, "the third point has arrived");
        for stage in 0..2 {
            let gradient = found.gradients[stage].to_host();
            let mut largest = 0.0_f64;
            for at in 0..gradient.len() {
                // The loss is piecewise linear, so a short step on both sides is exact unless it crosses a kink.
                let moved = |step: f32| {
                    let mut features = features.clone();
                    let mut numbers = features[stage].to_host();
                    numbers[at] += step;
                    features[stage] = Tensor::from_host(&Cpu, features[stage].shape(), numbers);
                    evaluate(LOSS, &features).loss.value()
                };
                let slope = (moved(1e-3) - moved(-1e-3)) / 2e-3;
                largest = largest.max((slope - f64::from(gradient[at])).abs());
            }
            let size = gradient.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
            assert!(size > 0.0 && largest < 0.05 * f64::from(size), "{largest}");
        }
    }

    #[test]
    fn equal_features_at_equal_places_have_no_loss() {
        let features = maps(1);
        let drags = drags();
        let on_grid = GridFeatures::new(&features, &frame());
        let handles = PointDrag::handles(&drags);
        let still = MotionSupervision { reach: 0.0, ..LOSS };
        let found = still.evaluate(on_grid, &handles, &drags, on_grid, &handles);
        assert!(
            found.loss.value() == 0.0 && found.gradients[0].to_host().iter().all(|x| *x == 0.0)
        );
    }

    #[test]
    fn a_patch_lies_ahead_but_not_beyond_the_target() {
        let (from, to) = (Cell { row: 5, column: 5 }, Cell { row: 8, column: 9 });
        let half = MotionSupervision { reach: 2.5, ..LOSS };
        assert_eq!(half.ahead(from, to), [1.5, 2.0]);
        let far = MotionSupervision { reach: 9.0, ..LOSS };
        assert_eq!(far.ahead(from, to), [3.0, 4.0]);
    }

    #[test]
    fn the_loss_is_the_factor_times_the_mean() {
        let features = maps(1);
        let twice = MotionSupervision {
            factor: 50.0,
            ..LOSS
        };
        let (once, twice) = (evaluate(LOSS, &features), evaluate(twice, &features));
        assert!((twice.loss.value() / once.loss.value() - 2.0).abs() < 1e-6);
        assert!((once.magnitude - 25.0 / (25.0 * 5.0)).abs() < 1e-6);
    }
}
