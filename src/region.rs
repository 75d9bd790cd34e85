//! Regions of a drag in working coordinates, and where their content lies at progress `eta`.
//!
//! Progress 0 is the position before the drag, 1 the position after it. A region maps points forward along the drag and back,
//! and tells which cells of a grid it covers. It knows nothing of drag files; the plan builds it.

mod motion;
mod pose;

use serde::Serialize;

use crate::geometry::{Frame, Grid, Point, PointPair, Scale, Size};
use crate::mask::Mask;

use pose::Pose;

pub use motion::Motion;

/// A shift by less than this many pixels of the image counts as no motion.
const STILL_PIXELS: f64 = 1.0;
/// A turn by less than this many degrees counts as no motion.
const STILL_DEGREES: f64 = 0.06;
/// Curved paths are measured in chords that turn by at most this many radians; their length is right to a thousandth.
const TURN_STEP: f64 = 0.1;
/// Number of pixels whose paths are measured, about, when they are curved.
const MEASURED: usize = 4096;

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
    /// An object grows or shrinks about a centre.
    Scale,
    /// An object moves, turns and stretches as three points of it do.
    Affine,
    /// A single point moves, for methods that track points. A method that moves regions takes it as the translation of a small
    /// disc around the handle.
    Point,
}

impl RegionKind {
    /// All kinds, in the order of messages and help.
    pub const ALL: [Self; 6] = [
        Self::Translation,
        Self::Deformation,
        Self::Rotation,
        Self::Scale,
        Self::Affine,
        Self::Point,
    ];

    /// Returns the kind's name in files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Translation => "translation",
            Self::Deformation => "deformation",
            Self::Rotation => "rotation",
            Self::Scale => "scale",
            Self::Affine => "affine",
            Self::Point => "point",
        }
    }

    /// Returns what it does, in one line.
    pub const fn description(self) -> &'static str {
        match self {
            Self::Translation => "A whole object moves; background appears where it was.",
            Self::Deformation => "A part of an object moves and stretches the rest.",
            Self::Rotation => "An object turns about a centre.",
            Self::Scale => "An object grows or shrinks about a centre.",
            Self::Affine => "An object moves, turns and stretches as three points of it do.",
            Self::Point => "A single point moves; pbsi drags a small disc around it.",
        }
    }

    /// Returns whether background appears where the region was: an object leaves its place, a deformed part only stretches.
    pub const fn vacates(self) -> bool {
        match self {
            Self::Translation | Self::Rotation | Self::Scale | Self::Affine | Self::Point => true,
            Self::Deformation => false,
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
    /// centre, which lies on the handle's circle even where the drag file's target does not. The target of a scale is where the handle
    /// moves, on the ray from the centre through it. The handle of a rotation that is given by its angle, or of a scale that is given
    /// by its factor, is the pixel of its mask that is furthest from the centre, which moves most. An affine region has its first handle and target.
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

    /// Returns the region with its motion carried out to `amount`, a multiple of the whole motion.
    #[must_use]
    pub fn carried_out(self, amount: f64) -> Self {
        if amount == 1.0 {
            return self;
        }
        let motion = self.motion.carried_out(amount);
        Self {
            motion,
            points: motion.pair(self.points.handle),
            ..self
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
        let hull: Vec<Point> = self
            .corners()
            .into_iter()
            .flat_map(|corners| pose.hull(corners))
            .collect();
        let cells = |along: fn(&Point) -> f64, count: usize| {
            let places = hull.iter().map(along);
            let (from, to) = places
                .fold((f64::INFINITY, f64::NEG_INFINITY), |(from, to), place| {
                    (from.min(place), to.max(place))
                });
            ((from / grid.cell).max(0.0) as usize).min(count)
                ..((to / grid.cell).max(-1.0) + 1.0).min(count as f64) as usize
        };
        let (columns, rows, width) = (
            cells(|place| place.x, grid.columns),
            cells(|place| place.y, grid.rows),
            grid.columns,
        );
        rows.flat_map(move |row| columns.clone().map(move |column| row * width + column))
    }

    fn corners(&self) -> Option<[Point; 4]> {
        self.bounds.map(|(low, high)| corners(low, high))
    }

    /// Returns the top left and bottom right corner of an upright rectangle around the region before and after the drag; `None` for an empty
    /// region.
    pub fn reach(&self) -> Option<(Point, Point)> {
        let (low, high) = self.bounds?;
        let after = self.motion.at(1.0).hull(self.corners()?);
        Some(after.into_iter().fold((low, high), |(low, high), corner| {
            (
                Point::new(low.x.min(corner.x), low.y.min(corner.y)),
                Point::new(high.x.max(corner.x), high.y.max(corner.y)),
            )
        }))
    }

    /// Returns whether the motion is invisible: no point moves by a pixel of the image or more and, where the region turns, it turns by
    /// less than 0.06 degrees.
    pub fn is_still(&self) -> bool {
        let turns = |angle: f64| angle.abs().to_degrees() >= STILL_DEGREES;
        let longest = || self.speed() / self.scale.mean();
        match self.motion {
            Motion::Shift { .. } => self.moved_px() < STILL_PIXELS,
            Motion::Turn { angle, .. } => !turns(angle),
            Motion::Affine { angle, .. } => !turns(angle) && longest() < STILL_PIXELS,
            Motion::Scale { .. } | Motion::Anchored { .. } => longest() < STILL_PIXELS,
        }
    }

    /// Returns how far the region moves, in pixels of the image: the mean length of its pixels' paths.
    pub fn moved_px(&self) -> f64 {
        match self.motion {
            Motion::Shift { dx, dy } => (dx / self.scale.x).hypot(dy / self.scale.y),
            Motion::Turn { center, angle } => {
                let (sum, count) = totals(self.pixels().map(|point| point.distance(center)));
                angle.abs() * sum / count / self.scale.mean()
            }
            Motion::Scale { .. } | Motion::Affine { .. } | Motion::Anchored { .. } => {
                let chords = self.motion.chords(TURN_STEP);
                let poses: Vec<Pose> = (1..=chords)
                    .map(|chord| self.motion.at(chord as f64 / chords as f64))
                    .collect();
                let length = |point: Point| {
                    let path = poses.iter().map(|pose| pose.forward(point));
                    path.fold((0.0, point), |(length, from), to| {
                        (length + from.distance(to), to)
                    })
                    .0
                };
                let stride = (self.mask.count() / MEASURED).max(1);
                let (sum, count) = totals(self.pixels().step_by(stride).map(length));
                sum / count / self.scale.mean()
            }
        }
    }

    /// Returns an upper bound of the speed of the region's points while they are in the image, in working pixels per unit of progress.
    fn speed(&self) -> f64 {
        let image = corners(
            Point::new(0.0, 0.0),
            Point::new(self.content.width as f64, self.content.height as f64),
        );
        self.corners()
            .map_or(0.0, |corners| self.motion.speed(corners, image))
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
    /// at 33 positions or more, between which no point in the image moves by more than `step` working pixels.
    pub fn sweep(&self, grid: &Grid, step: f64, swept: &mut Mask) {
        let end = self.motion.covering();
        let length = self.speed() * end;
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

/// Returns the corners of a rectangle.
fn corners(low: Point, high: Point) -> [Point; 4] {
    [
        low,
        Point::new(high.x, low.y),
        high,
        Point::new(low.x, high.y),
    ]
}

/// Returns the sum of lengths and their number, at least 1.
fn totals(lengths: impl Iterator<Item = f64>) -> (f64, f64) {
    let (sum, count) = lengths.fold((0.0, 0_usize), |(sum, count), length| {
        (sum + length, count + 1)
    });
    (sum, count.max(1) as f64)
}

#[cfg(test)]
mod tests;
