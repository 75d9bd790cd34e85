//! Regions of a drag in working coordinates, and where their content lies at progress `eta`.
//!
//! Progress 0 is the position before the drag, 1 the position after it. A region maps points forward along the drag and back,
//! and tells which cells of a grid it covers. It knows nothing of drag files; the plan builds it.

mod motion;

use std::f64::consts::TAU;

use serde::Serialize;

use crate::geometry::{Frame, Grid, Point, PointPair, Scale, Size};
use crate::mask::Mask;

use motion::Pose;

pub use motion::Motion;

/// A shift by less than this many pixels of the image counts as no motion.
const STILL_PIXELS: f64 = 1.0;
/// A turn by less than this many degrees counts as no motion.
const STILL_DEGREES: f64 = 0.06;

/// The type of a region in the drag file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RegionKind {
    /// A whole object moves; background appears where it was.
    Translation,
    /// A part of an object moves and stretches the rest; no background appears.
    Deformation,
    /// An object turns about a centre.
    Rotation,
    /// A single point moves, for methods that track points. A method that moves regions takes it as the translation of a small
    /// disc around the handle.
    Point,
}

impl RegionKind {
    /// All kinds, in the order of messages and help.
    pub const ALL: [Self; 4] = [
        Self::Translation,
        Self::Deformation,
        Self::Rotation,
        Self::Point,
    ];

    /// Returns the kind's name in files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Translation => "translation",
            Self::Deformation => "deformation",
            Self::Rotation => "rotation",
            Self::Point => "point",
        }
    }

    /// Returns what it does, in one line.
    pub const fn description(self) -> &'static str {
        match self {
            Self::Translation => "A whole object moves; background appears where it was.",
            Self::Deformation => "A part of an object moves and stretches the rest.",
            Self::Rotation => "An object turns about a centre.",
            Self::Point => "A single point moves; pbsi drags a small disc around it.",
        }
    }
}

/// One region of a drag, in working coordinates.
#[derive(Debug, Clone)]
pub struct Region {
    /// The name in messages and records.
    pub id: String,
    /// The type in the drag file.
    pub kind: RegionKind,
    /// The pixels before the drag, at the working picture's padded size; none in the padding.
    pub mask: Mask,
    /// The whole motion, from progress 0 to 1.
    pub motion: Motion,
    /// Handle and target in continuous working coordinates, neither rounded nor clipped.
    ///
    /// Translations, deformations and points have those of the drag file. The target of a rotation is the handle turned about the
    /// centre, which lies on the handle's circle even where the drag file's target does not. A rotation that is given by its
    /// angle alone has no handle in the file; its handle is the centroid of its mask.
    pub points: PointPair,
    bounds: Option<(Point, Point)>,
    content: Size,
    scale: Scale,
}

impl Region {
    /// Creates a region of the frame's working picture.
    pub fn new(
        id: String,
        kind: RegionKind,
        mask: Mask,
        motion: Motion,
        points: PointPair,
        frame: &Frame,
    ) -> Self {
        Self {
            id,
            kind,
            bounds: mask.bounds(),
            mask,
            motion,
            points,
            content: frame.content,
            scale: frame.scale(),
        }
    }

    /// Returns the point before the drag of the content that lies at `point` at progress `eta`.
    pub fn source_of(&self, eta: f64, point: Point) -> Point {
        self.motion.at(eta).back(point)
    }

    /// Returns the point at progress `eta` of the content that lies at `point` before the drag.
    pub fn forward(&self, eta: f64, point: Point) -> Point {
        self.motion.at(eta).forward(point)
    }

    /// Returns whether the region at progress `eta` covers `point`. Points in the padding and content from outside the image are not
    /// covered.
    pub fn covers(&self, eta: f64, point: Point) -> bool {
        self.pose_covers(self.motion.at(eta), point)
    }

    fn pose_covers(&self, pose: Pose, point: Point) -> bool {
        let source = pose.back(point);
        self.content.contains(point) && self.content.contains(source) && self.mask.at(source)
    }

    /// Returns the cells of `grid` whose centres the region covers at progress `eta`, in ascending order.
    pub fn covered_cells(&self, eta: f64, grid: &Grid) -> Vec<usize> {
        let pose = self.motion.at(eta);
        self.near_cells(pose, grid)
            .filter(|cell| self.pose_covers(pose, grid.centre(*cell)))
            .collect()
    }

    /// Returns the cells under the moved mask's bounding box, in ascending order. They include every covered cell.
    fn near_cells(&self, pose: Pose, grid: &Grid) -> impl Iterator<Item = usize> + use<> {
        let corners = self
            .corners()
            .map(|corners| corners.map(|corner| pose.forward(corner)));
        let cells = |along: fn(&Point) -> f64, count: usize| {
            let places = corners.iter().flatten().map(along);
            let (from, to) = places
                .fold((f64::INFINITY, f64::NEG_INFINITY), |(from, to), place| {
                    (from.min(place), to.max(place))
                });
            ((from / grid.cell).max(0.0) as usize).min(count)
                ..((to / grid.cell).max(-1.0) + 1.0).min(count as f64) as usize
        };
        let (columns, rows, width) = (
            cells(|corner| corner.x, grid.columns),
            cells(|corner| corner.y, grid.rows),
            grid.columns,
        );
        rows.flat_map(move |row| columns.clone().map(move |column| row * width + column))
    }

    fn corners(&self) -> Option<[Point; 4]> {
        self.bounds.map(|(low, high)| {
            [
                low,
                Point::new(high.x, low.y),
                high,
                Point::new(low.x, high.y),
            ]
        })
    }

    /// Returns whether the motion is invisible: less than a pixel of the image, or less than 0.06 degrees.
    pub fn is_still(&self) -> bool {
        match self.motion {
            Motion::Shift { .. } => self.moved_px() < STILL_PIXELS,
            Motion::Turn { angle, .. } => angle.abs().to_degrees() < STILL_DEGREES,
        }
    }

    /// Returns how far the region moves, in pixels of the image: the mean length of its pixels' paths.
    pub fn moved_px(&self) -> f64 {
        match self.motion {
            Motion::Shift { dx, dy } => (dx / self.scale.x).hypot(dy / self.scale.y),
            Motion::Turn { center, angle } => {
                let radii = self.pixels().map(|point| point.distance(center));
                let (count, sum) = radii.fold((0_usize, 0.0), |(count, sum), radius| {
                    (count + 1, sum + radius)
                });
                angle.abs() * sum / count.max(1) as f64 / self.scale.mean()
            }
        }
    }

    /// Returns the share of the region's pixels that the whole drag moves out of the image.
    pub fn share_lost(&self) -> f64 {
        let pose = self.motion.at(1.0);
        let (count, lost) = self
            .pixels()
            .fold((0_usize, 0_usize), |(count, lost), point| {
                (
                    count + 1,
                    lost + usize::from(!self.content.contains(pose.forward(point))),
                )
            });
        lost as f64 / count.max(1) as f64
    }

    /// Marks in `swept`, a mask of the grid's size, the cells of `grid` that the region covers during the drag. The drag is sampled
    /// at 33 positions or more, between which no point moves by more than `step` working pixels.
    pub fn sweep(&self, grid: &Grid, step: f64, swept: &mut Mask) {
        let (end, length) = match self.motion {
            Motion::Shift { dx, dy } => (1.0, dx.hypot(dy)),
            Motion::Turn { center, angle } => {
                // More turns sweep the same area as one full turn.
                let end = (TAU / angle.abs()).min(1.0);
                let radius = self
                    .corners()
                    .into_iter()
                    .flatten()
                    .map(|corner| corner.distance(center))
                    .fold(0.0, f64::max);
                (end, radius * angle.abs() * end)
            }
        };
        let samples = ((length / step).ceil() as usize).max(32);
        for sample in 0..=samples {
            let pose = self.motion.at(end * sample as f64 / samples as f64);
            for cell in self.near_cells(pose, grid) {
                // Most cells are marked already; skipping them saves most of the time.
                if !swept.data[cell] {
                    swept.data[cell] = self.pose_covers(pose, grid.centre(cell));
                }
            }
        }
    }

    fn pixels(&self) -> impl Iterator<Item = Point> {
        self.mask
            .size()
            .centres()
            .zip(&self.mask.data)
            .filter_map(|(centre, inside)| inside.then_some(centre))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::turn_angle;
    use crate::outline::Outline;
    use proptest::prelude::*;

    fn region(size: Size, outline: &Outline, motion: Motion) -> Region {
        let frame = Frame::new(size, size.width.min(size.height));
        Region::new(
            "it".into(),
            RegionKind::Translation,
            outline.raster(frame.padded),
            motion,
            motion.pair(Point::new(0.0, 0.0)),
            &frame,
        )
    }

    #[test]
    fn a_quarter_turn_counter_clockwise_moves_right_to_above() {
        let center = Point::new(32.0, 32.0);
        let angle = turn_angle(Point::new(38.0, 32.0), Point::new(32.0, 26.0), center);
        let it = region(
            Size::new(64, 64),
            &Outline::Rect([36.0, 30.0, 40.0, 34.0]),
            Motion::Turn { center, angle },
        );
        assert!(
            it.forward(1.0, Point::new(38.0, 32.0))
                .distance(Point::new(32.0, 26.0))
                < 1e-12
        );
        assert!(it.covers(1.0, Point::new(32.0, 26.0)) && !it.covers(1.0, Point::new(32.0, 38.0)));
        assert!(it.covers(0.0, Point::new(38.0, 32.0)) && !it.covers(1.0, Point::new(38.0, 32.0)));
    }

    #[test]
    fn turns_of_179_and_minus_179_degrees_pass_on_opposite_sides() {
        let center = Point::new(32.0, 32.0);
        for (degrees, above) in [(179.0_f64, true), (-179.0, false)] {
            let motion = Motion::Turn {
                center,
                angle: degrees.to_radians(),
            };
            let halfway = region(
                Size::new(64, 64),
                &Outline::Rect([40.0, 30.0, 44.0, 34.0]),
                motion,
            )
            .forward(0.5, Point::new(42.0, 32.0));
            assert_eq!(
                halfway.y < center.y,
                above,
                "{degrees} degrees pass through {halfway}"
            );
        }
    }

    #[test]
    fn covered_cells_agree_with_covers() {
        let frame = Frame::new(Size::new(100, 64), 64);
        let grid = frame.supervision_grid();
        for motion in [
            Motion::Shift { dx: 13.3, dy: -7.9 },
            Motion::Shift { dx: -60.0, dy: 0.0 },
            Motion::Turn {
                center: Point::new(90.0, 20.0),
                angle: 1.234,
            },
            Motion::Turn {
                center: Point::new(30.0, 30.0),
                angle: -7.0,
            },
        ] {
            let it = region(
                frame.source,
                &Outline::Ellipse([40.0, 30.0, 20.0, 11.0]),
                motion,
            );
            for eta in [0.0, 0.3, 1.0] {
                let all: Vec<usize> = (0..grid.len())
                    .filter(|index| it.covers(eta, grid.centre(*index)))
                    .collect();
                assert_eq!(it.covered_cells(eta, &grid), all, "{motion:?} at {eta}");
            }
        }
    }

    #[test]
    fn pixels_that_leave_the_image_are_dropped_and_counted() {
        let it = region(
            Size::new(64, 64),
            &Outline::Rect([40.0, 0.0, 60.0, 20.0]),
            Motion::Shift { dx: 14.0, dy: 0.0 },
        );
        assert!((it.share_lost() - 0.5).abs() < 1e-12);
        let cells = it.covered_cells(1.0, &Frame::new(Size::new(64, 64), 64).supervision_grid());
        assert_eq!(cells.len(), 5 * 10);
    }

    #[test]
    fn stillness_and_length_are_measured_in_pixels_of_the_image() {
        let frame = Frame::new(Size::new(256, 256), 512);
        let with = |motion| {
            Region::new(
                "it".into(),
                RegionKind::Translation,
                Outline::Rect([100.0, 100.0, 140.0, 140.0]).raster(frame.padded),
                motion,
                motion.pair(Point::new(0.0, 0.0)),
                &frame,
            )
        };
        assert!(
            with(Motion::Shift { dx: 1.9, dy: 0.0 }).is_still()
                && !with(Motion::Shift { dx: 2.1, dy: 0.0 }).is_still()
        );
        assert!((with(Motion::Shift { dx: 60.0, dy: 80.0 }).moved_px() - 50.0).abs() < 1e-9);
        let turn = |degrees: f64| {
            with(Motion::Turn {
                center: Point::new(120.0, 120.0),
                angle: degrees.to_radians(),
            })
        };
        assert!(turn(-0.05).is_still() && !turn(-0.07).is_still());
        let (half, full) = (turn(180.0).moved_px(), turn(-360.0).moved_px());
        assert!((full - 2.0 * half).abs() < 1e-9 && half > 0.0);
    }

    #[test]
    fn many_turns_sweep_the_same_area_as_one() {
        let frame = Frame::new(Size::new(64, 64), 64);
        let turn = |turns: f64| {
            let motion = Motion::Turn {
                center: Point::new(32.0, 32.0),
                angle: turns * TAU,
            };
            let mut swept = Mask::filled(frame.supervision_grid().size(), false);
            region(
                frame.source,
                &Outline::Rect([40.0, 30.0, 50.0, 34.0]),
                motion,
            )
            .sweep(&frame.supervision_grid(), 2.0, &mut swept);
            swept
        };
        assert_eq!(turn(1.0), turn(10.0));
        assert!(turn(0.25).count() < turn(1.0).count());
    }

    proptest! {
        #[test]
        fn source_and_forward_are_inverse(
            x in 0.0..512.0_f64, y in 0.0..512.0_f64, eta in 0.0..=1.0_f64, dx in -512.0..512.0_f64, dy in -512.0..512.0_f64, angle in -70.0..70.0_f64
        ) {
            let point = Point::new(x, y);
            for motion in [Motion::Shift { dx, dy }, Motion::Turn { center: Point::new(dx, dy), angle }] {
                let it = region(Size::new(16, 16), &Outline::Rect([2.0, 2.0, 9.0, 9.0]), motion);
                prop_assert!(it.source_of(eta, it.forward(eta, point)).distance(point) < 1e-9);
                prop_assert!(it.forward(eta, it.source_of(eta, point)).distance(point) < 1e-9);
            }
        }
    }
}
