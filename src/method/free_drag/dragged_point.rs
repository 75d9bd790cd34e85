//! A point with its template, and what it does after the iterations at a place (`FreeDrag`, arXiv 2307.04684, sections 3.2 and 3.3).

use super::line::Line;
use crate::kernels::Backend;
use crate::method::parts::{GridFeatures, PointDrag};
use crate::nn::Tensor;

/// Cells from its target within which a point has arrived.
const ARRIVED: f64 = 2.0;

/// Numbers of the search and of the template's update.
#[derive(Debug, Clone, Copy)]
pub(super) struct Search {
    /// Radius in cells of the patches.
    pub(super) radius: usize,
    /// Cells by which a point moves on at most.
    pub(super) longest_move: f64,
    /// The difference l that a point should have from its template after it moved on.
    pub(super) expected: f64,
}

impl Search {
    /// Returns the difference below which the features at a place have become the template.
    pub(super) fn reached(&self) -> f64 {
        0.5 * self.expected
    }

    /// Returns the share of the current features in the new template: 0.5 at a difference of 0.2 l, 0.1 at 0.8 l.
    fn share(&self, difference: f64) -> f64 {
        let steepness = 9_f64.ln() / (0.6 * self.expected);
        1.0 / (1.0 + (steepness * (difference - 0.2 * self.expected)).exp())
    }
}

/// A point that is dragged along its line.
#[derive(Debug)]
pub(super) struct DraggedPoint<B: Backend> {
    pub(super) line: Line,
    /// Features that the place should get: for each stage, (1, 1, values, channels).
    pub(super) template: Vec<Tensor<B>>,
    /// The difference from the template at the first iteration at the place, and at the end.
    first: f64,
    last: f64,
    /// Whether it is at its target, with the template's features.
    pub(super) has_settled: bool,
}

impl<B: Backend> DraggedPoint<B> {
    /// Starts at the handle, with its features in the reference latent as template.
    pub(super) fn new(drag: &PointDrag, original: GridFeatures<B>, search: &Search) -> Self {
        let line = Line::new(drag);
        let patch = line.patch(0.0, search.radius, original.grid());
        Self {
            template: original.patch(&patch),
            line,
            first: 0.0,
            last: 0.0,
            has_settled: false,
        }
    }

    /// Returns the mean difference of the features at a place from the template.
    fn difference(&self, at: f64, features: GridFeatures<B>, search: &Search) -> f64 {
        let patch = self.line.patch(at, search.radius, features.grid());
        mean_difference(&features.patch(&patch), &self.template)
    }

    /// Says what the difference was at the first iteration at the place.
    pub(super) fn begin(&mut self, difference: f64) {
        self.first = difference;
    }

    /// Ends the iterations at a place, whose features are now these: the point has settled or not, and the template takes on some of them.
    pub(super) fn end(&mut self, features: GridFeatures<B>, search: &Search) {
        let patch = self
            .line
            .patch(self.line.at, search.radius, features.grid());
        let current = features.patch(&patch);
        self.last = mean_difference(&current, &self.template);
        self.has_settled = self.line.left() < ARRIVED && self.last <= search.reached();
        let share = if self.has_settled {
            1.0
        } else {
            search.share(self.last) as f32
        };
        for (template, current) in self.template.iter_mut().zip(&current) {
            *template = template.clone().combined(1.0 - share, share, current);
        }
    }

    /// Moves on along the line, stays, or goes back and searches anew, as the iterations at the place went.
    pub(super) fn search(&mut self, features: GridFeatures<B>, search: &Search) {
        let Search {
            longest_move,
            expected,
            ..
        } = *search;
        let (reach, wanted) = if self.last < search.reached() {
            (longest_move, expected)
        } else if self.last < self.first {
            return;
        } else {
            self.line.at = self.line.back(longest_move);
            (2.0 * longest_move, 0.0)
        };
        let places = self.line.ahead(reach).into_iter();
        let errors = places.map(|at| {
            let difference = self.difference(at, features, search);
            ((difference - wanted).abs(), at)
        });
        let best = errors.reduce(|best, other| if other.0 < best.0 { other } else { best });
        if let Some((_, at)) = best {
            self.line.at = at;
        }
    }
}

/// Returns the mean of |a - b| over all values and channels.
fn mean_difference<B: Backend>(a: &[Tensor<B>], b: &[Tensor<B>]) -> f64 {
    let (mut sum, mut count) = (0.0, 0_usize);
    for (a, b) in a.iter().zip(b) {
        let (a, b) = (a.to_host(), b.to_host());
        count += a.len();
        sum += a
            .iter()
            .zip(&b)
            .map(|(a, b)| f64::from((a - b).abs()))
            .sum::<f64>();
    }
    sum / count.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::{Frame, Size};
    use crate::kernels::cpu::Cpu;
    use crate::method::parts::Cell;
    use crate::nn::Shape;

    const SEARCH: Search = Search {
        radius: 1,
        longest_move: 4.0,
        expected: 1.0,
    };

    /// A picture whose grid has 20 x 16 cells, with features there that rise by `slope` for each column.
    fn features(slope: f32) -> (Frame, [Tensor<Cpu>; 1]) {
        let numbers = (0..16 * 20).map(|at| slope * (at % 20) as f32);
        let map = Tensor::from_host(&Cpu, Shape::new(1, 16, 20, 1), numbers.collect());
        (Frame::new(Size::new(40, 32), 32), [map])
    }

    fn point(slope: f32) -> DraggedPoint<Cpu> {
        let (frame, maps) = features(slope);
        let drag = PointDrag {
            id: String::new(),
            handle: Cell { row: 8, column: 4 },
            target: Cell { row: 8, column: 12 },
        };
        DraggedPoint::new(&drag, GridFeatures::new(&maps, &frame), &SEARCH)
    }

    #[test]
    fn the_share_of_the_current_features_falls_with_their_difference() {
        for (difference, share) in [(0.2, 0.5), (0.8, 0.1)] {
            assert!((SEARCH.share(difference) - share).abs() < 1e-12);
        }
        assert!(SEARCH.share(0.0) > 0.5 && SEARCH.share(5.0) < 1e-6);
    }

    #[test]
    fn a_point_moves_on_to_the_expected_difference() {
        let (frame, maps) = features(0.4);
        let mut point = point(0.4);
        point.search(GridFeatures::new(&maps, &frame), &SEARCH);
        // At 2.4 of at most 4 cells, the difference is 0.96, which is nearest to 1.
        assert!((point.line.at - 2.4).abs() < 1e-9, "{}", point.line.at);
    }

    #[test]
    fn a_point_stays_while_the_difference_falls_and_goes_back_when_it_does_not() {
        let (frame, maps) = features(0.4);
        let on_grid = || GridFeatures::new(&maps, &frame);
        let mut point = point(0.4);
        point.line.at = 3.0;
        point.begin(1.5);
        point.end(on_grid(), &SEARCH);
        assert!((point.last - 1.2).abs() < 1e-6 && !point.has_settled);
        point.search(on_grid(), &SEARCH);
        assert_eq!(point.line.at, 3.0, "1.2 is below 1.5");
        point.begin(1.0);
        point.search(on_grid(), &SEARCH);
        // From the handle on, 8 cells ahead: the nearest candidate is most like the template.
        assert!((point.line.at - 0.8).abs() < 1e-9, "{}", point.line.at);
    }

    #[test]
    fn a_point_settles_at_its_target_with_the_templates_features() {
        let (frame, maps) = features(0.01);
        let mut point = point(0.01);
        point.line.at = 6.5;
        point.end(GridFeatures::new(&maps, &frame), &SEARCH);
        assert!(point.has_settled);
        // The template is now what is there.
        assert!(point.difference(6.5, GridFeatures::new(&maps, &frame), &SEARCH) < 1e-6);
        point.line.at = 5.9;
        point.end(GridFeatures::new(&maps, &frame), &SEARCH);
        assert!(!point.has_settled, "2.1 cells are left");
    }
}
