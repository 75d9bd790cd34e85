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

    /// Returns the top left and bottom right corner of an upright rectangle around the region before and after the drag; `None` for an empty
    /// region.
    pub fn reach(&self) -> Option<(Point, Point)> {
        let (low, high) = self.bounds?;
        let pose = self.motion.at(1.0);
        let after = self.corners()?.map(|corner| pose.forward(corner));
        Some(after.into_iter().fold((low, high), |(low, high), corner| {
            (
                Point::new(low.x.min(corner.x), low.y.min(corner.y)),
                Point::new(high.x.max(corner.x), high.y.max(corner.y)),
            )
        }))
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
mod tests;
