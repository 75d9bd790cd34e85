//! What a drag does to a region: where its pixels stand at progress `eta`, and where what stands at a point came from.

use std::f64::consts::TAU;

use serde::Serialize;

use crate::geometry::{Frame, Grid, Point, PointPair, Scale, Size};
use crate::mask::Mask;

/// A shift below this many source pixels is none.
const STILL_PIXELS: f64 = 1.0;
/// A turn below this many degrees is none.
const STILL_DEGREES: f64 = 0.06;

/// What the user asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RegionKind {
    /// A whole object moves; background appears where it was.
    Translation,
    /// A part of an object moves and stretches the rest; nothing is uncovered.
    Deformation,
    /// An object turns about a centre.
    Rotation,
    /// A single point moves, for methods that track points. A method that moves regions takes it as the translation of a small
    /// disc around the handle.
    Point,
}

impl RegionKind {
    /// All kinds.
    pub const ALL: [Self; 4] = [
        Self::Translation,
        Self::Deformation,
        Self::Rotation,
        Self::Point,
    ];

    /// The kind's name in files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Translation => "translation",
            Self::Deformation => "deformation",
            Self::Rotation => "rotation",
            Self::Point => "point",
        }
    }

    /// What it does, in one line.
    pub const fn description(self) -> &'static str {
        match self {
            Self::Translation => "A whole object moves; background appears where it was.",
            Self::Deformation => "A part of an object moves and stretches the rest.",
            Self::Rotation => "An object turns about a centre.",
            Self::Point => "A single point moves; pbsi drags a small disc around it.",
        }
    }
}

/// A region's whole way, at progress 1, in working coordinates.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Motion {
    /// Every point moves by the same offset.
    Shift {
        /// To the right.
        dx: f64,
        /// Down.
        dy: f64,
    },
    /// Every point turns about a centre.
    Turn {
        /// What stays in place.
        center: Point,
        /// Radians, counter-clockwise on the screen; may be more than a full turn.
        angle: f64,
    },
}

/// A motion stopped at some progress: an exact map and its exact inverse.
#[derive(Debug, Clone, Copy)]
enum Pose {
    Shift { dx: f64, dy: f64 },
    Turn { center: Point, cos: f64, sin: f64 },
}

impl Motion {
    /// Returns the shift that moves the handle to the target.
    pub fn shift(points: PointPair) -> Self {
        Self::Shift {
            dx: points.target.x - points.handle.x,
            dy: points.target.y - points.handle.y,
        }
    }

    /// Returns the handle with the point to which the whole motion moves it.
    pub fn pair(self, handle: Point) -> PointPair {
        PointPair {
            handle,
            target: self.at(1.0).forward(handle),
        }
    }

    fn at(self, eta: f64) -> Pose {
        match self {
            Self::Shift { dx, dy } => Pose::Shift {
                dx: eta * dx,
                dy: eta * dy,
            },
            Self::Turn { center, angle } => {
                let (sin, cos) = (eta * angle).sin_cos();
                Pose::Turn { center, cos, sin }
            }
        }
    }
}

impl Pose {
    fn forward(self, point: Point) -> Point {
        match self {
            Self::Shift { dx, dy } => Point::new(point.x + dx, point.y + dy),
            // Counter-clockwise on a screen whose y points down.
            Self::Turn { center, cos, sin } => turned(point, center, cos, sin),
        }
    }

    fn back(self, point: Point) -> Point {
        match self {
            Self::Shift { dx, dy } => Point::new(point.x - dx, point.y - dy),
            Self::Turn { center, cos, sin } => turned(point, center, cos, -sin),
        }
    }
}

fn turned(point: Point, center: Point, cos: f64, sin: f64) -> Point {
    let (dx, dy) = (point.x - center.x, point.y - center.y);
    Point::new(
        center.x + cos * dx + sin * dy,
        center.y - sin * dx + cos * dy,
    )
}

/// One region of a drag, in working coordinates.
#[derive(Debug, Clone)]
pub struct Region {
    /// The name it has in messages and records.
    pub id: String,
    /// What the user asked for.
    pub kind: RegionKind,
    /// Its pixels before the drag, at the working picture's padded size; none in the padding.
    pub mask: Mask,
    /// Its whole way.
    pub motion: Motion,
    /// Its handle and its target, in continuous working coordinates, neither rounded nor clipped.
    ///
    /// A translation and a deformation have those of the drag file. The target of a rotation is the handle turned about the
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

    /// Where the content that stands at `point` at progress `eta` came from.
    pub fn source_of(&self, eta: f64, point: Point) -> Point {
        self.motion.at(eta).back(point)
    }

    /// Where the content of `point` stands at progress `eta`.
    pub fn forward(&self, eta: f64, point: Point) -> Point {
        self.motion.at(eta).forward(point)
    }

    /// Whether the region, moved to progress `eta`, covers `point`. Neither the padding nor what came from beyond the image counts.
    pub fn covers(&self, eta: f64, point: Point) -> bool {
        self.pose_covers(self.motion.at(eta), point)
    }

    fn pose_covers(&self, pose: Pose, point: Point) -> bool {
        let source = pose.back(point);
        self.content.contains(point) && self.content.contains(source) && self.mask.at(source)
    }

    /// The cells of `grid` whose centres the region covers at progress `eta`, in ascending order.
    pub fn covered_cells(&self, eta: f64, grid: &Grid) -> Vec<usize> {
        let pose = self.motion.at(eta);
        self.near_cells(pose, grid)
            .filter(|cell| self.pose_covers(pose, grid.centre(*cell)))
            .collect()
    }

    /// The cells under the moved mask's bounding box, in ascending order: all that can be covered, and some more.
    fn near_cells(&self, pose: Pose, grid: &Grid) -> impl Iterator<Item = usize> + use<> {
        let corners = self
            .corners()
            .map(|corners| corners.map(|corner| pose.forward(corner)));
        let cells = |along: fn(&Point) -> f64, count: usize| {
            let ways = corners.iter().flatten().map(along);
            let (from, to) = ways.fold((f64::INFINITY, f64::NEG_INFINITY), |(from, to), way| {
                (from.min(way), to.max(way))
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

    /// Whether the drag asks for no visible motion: less than a pixel of the image, or than 0.06 degrees.
    pub fn is_still(&self) -> bool {
        match self.motion {
            Motion::Shift { .. } => self.moved_px() < STILL_PIXELS,
            Motion::Turn { angle, .. } => angle.abs().to_degrees() < STILL_DEGREES,
        }
    }

    /// How far the region moves, in pixels of the image: the mean length of its points' ways.
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

    /// The share of the region's pixels that the whole drag carries out of the image.
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

    /// Marks the cells of `grid` that the region covers at any time of the drag in `swept`, a mask of the grid's size. No point
    /// moves by more than `step` working pixels from one sample to the next, and there are at least 33 samples.
    pub fn sweep(&self, grid: &Grid, step: f64, swept: &mut Mask) {
        let (end, length) = match self.motion {
            Motion::Shift { dx, dy } => (1.0, dx.hypot(dy)),
            Motion::Turn { center, angle } => {
                // One full turn sweeps all that more turns do.
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
                // Most cells were swept before; asking again would cost most of the time.
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
    fn a_quarter_turn_to_the_left_lands_above_the_centre() {
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
    fn nearly_half_a_turn_passes_on_its_own_side() {
        let center = Point::new(32.0, 32.0);
        for (degrees, above) in [(179.0_f64, true), (-179.0, false)] {
            let motion = Motion::Turn {
                center,
                angle: degrees.to_radians(),
            };
            let half_way = region(
                Size::new(64, 64),
                &Outline::Rect([40.0, 30.0, 44.0, 34.0]),
                motion,
            )
            .forward(0.5, Point::new(42.0, 32.0));
            assert_eq!(
                half_way.y < center.y,
                above,
                "{degrees} degrees pass through {half_way}"
            );
        }
    }

    #[test]
    fn covered_cells_are_all_that_are_covered() {
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
    fn what_leaves_the_image_is_dropped_and_counted() {
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
    fn many_turns_sweep_what_one_does() {
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
