//! The window: the part of a large image that the network sees.
//!
//! A photograph that is shrunk to the model's size and enlarged again is blurred wherever the edit is pasted. When the drag needs
//! only a part of it, the network sees just that part with some context around it, so that the pasted area keeps more of the
//! photograph's resolution.

use std::f64::consts::TAU;

use super::Amount;
use super::editable::SourceEditable;
use super::motion::motion;
use super::shapes::{POINT_RADIUS, SourceArea, SourceShape};
use crate::drag_file::{Drag, DragFile};
use crate::geometry::{Frame, Point, PointPair, Size, Window};
use crate::region::Motion;

/// Width and height of the window over those of the area in it; the rest is context.
const CONTEXT: f64 = 1.5;
/// Maximum aspect ratio of a window; the working picture has at most twice the area of the model's size.
const MAX_ASPECT: f64 = 2.0;
/// An image that is shrunk by less than this is seen whole.
const MAX_SHRINK: f64 = 1.5;
/// Minimum factor by which a window must enlarge the area; below it, the context of the whole image is worth more.
const MIN_GAIN: f64 = 1.25;
/// Step in radians along a rotation, about a degree. Between two steps, a point deviates from the chord by at most a 25,000th of
/// its distance from the centre.
const TURN_STEP: f64 = TAU / 360.0;
/// Maximum number of rounds. The margin depends on the scale, which depends on the window, which depends on the margin; each
/// round approaches the fixed point from above.
const ROUNDS: usize = 32;

/// An upright rectangle in continuous coordinates.
#[derive(Debug, Clone, Copy)]
struct Extent {
    low: Point,
    high: Point,
}

impl Extent {
    /// The extent of a single point.
    const fn of(point: Point) -> Self {
        Self {
            low: point,
            high: point,
        }
    }

    fn corners(self) -> [Point; 4] {
        [
            self.low,
            Point::new(self.high.x, self.low.y),
            self.high,
            Point::new(self.low.x, self.high.y),
        ]
    }

    fn around(self, other: Self) -> Self {
        Self {
            low: Point::new(self.low.x.min(other.low.x), self.low.y.min(other.low.y)),
            high: Point::new(self.high.x.max(other.high.x), self.high.y.max(other.high.y)),
        }
    }

    fn grown(self, by: f64) -> Self {
        Self {
            low: Point::new(self.low.x - by, self.low.y - by),
            high: Point::new(self.high.x + by, self.high.y + by),
        }
    }

    /// The part inside an image.
    fn within(self, image: Size) -> Self {
        let inside = |point: Point| {
            Point::new(
                point.x.clamp(0.0, image.width as f64),
                point.y.clamp(0.0, image.height as f64),
            )
        };
        Self {
            low: inside(self.low),
            high: inside(self.high),
        }
    }
}

/// The area of the image that a window must contain.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Needed {
    /// What the shapes sweep, and the editable area where it is given.
    shapes: Option<Extent>,
    /// The handles and targets of points, around which a disc of a fixed number of working pixels is dragged.
    points: Option<Extent>,
    /// Working pixels around all of it.
    margin: f64,
}

impl Needed {
    /// Returns the area for a drag that is carried out to the largest amount of a series; `None` when some of it is unknown, or everything
    /// may change.
    ///
    /// `areas` are the areas of the drag's regions, `None` for one that cannot be read. `margin` working pixels are added to the swept area
    /// when no editable area is given.
    pub(super) fn new(
        drag: &DragFile,
        areas: &[Option<SourceArea>],
        editable: &SourceEditable,
        margin: usize,
        amount: Amount,
    ) -> Option<Self> {
        let amount = amount.largest();
        let union = |a: Option<Extent>, b| Some(a.map_or(b, |a| a.around(b)));
        let mut needed = Self::default();
        match editable {
            SourceEditable::Swept => needed.margin = margin as f64,
            SourceEditable::Shape(shape) => needed.shapes = Some(extent(shape)?),
            SourceEditable::Everything | SourceEditable::Unreadable => return None,
        }
        for (region, area) in drag.regions.iter().zip(areas) {
            match area.as_ref()? {
                SourceArea::Shape(shape) => {
                    needed.shapes =
                        union(needed.shapes, swept(&region.drag, amount, extent(shape)?));
                }
                SourceArea::Disc { centre } => {
                    needed.points = union(
                        needed.points,
                        swept(&region.drag, amount, Extent::of(*centre)),
                    );
                }
            }
        }
        Some(needed)
    }

    /// Returns the rectangle around the area as a frame of the image shows it; `None` when there is no area.
    fn extent(&self, frame: &Frame) -> Option<Extent> {
        let scale = frame.scale().mean();
        let points = self.points.map(|points| points.grown(POINT_RADIUS / scale));
        let all = self.shapes.into_iter().chain(points);
        let all = all.reduce(Extent::around)?;
        Some(all.grown(self.margin / scale).within(frame.source))
    }
}

/// Returns the window for a drag that needs this area, or the whole image when the area is not known or a window is not worth it. `size` is
/// the shorter side of the working picture.
pub(super) fn choose(needed: Option<Needed>, image: Size, size: usize) -> Window {
    let whole = Frame::new(image, size);
    if 1.0 / whole.scale().mean() < MAX_SHRINK {
        return whole.window;
    }
    let Some(needed) = needed else {
        return whole.window;
    };
    let mut frame = whole;
    for _ in 0..ROUNDS {
        let Some(area) = needed.extent(&frame) else {
            return whole.window;
        };
        let window = around(area, image, size);
        if window == frame.window {
            break;
        }
        frame = Frame::windowed(image, window, size);
    }
    if frame.scale().mean() < MIN_GAIN * whole.scale().mean() {
        whole.window
    } else {
        frame.window
    }
}

fn extent(shape: &SourceShape) -> Option<Extent> {
    shape.bounds().map(|(low, high)| Extent { low, high })
}

/// Returns the rectangle around everything that a drag sweeps when it is carried out to `amount`, starting from `from`.
fn swept(drag: &Drag, amount: f64, from: Extent) -> Extent {
    match drag {
        // With an anchor, a point moves by a part of the way.
        Drag::Translation {
            points,
            angle: None,
            ..
        }
        | Drag::Deformation { points, .. }
        | Drag::Point { points } => shifted(*points, amount, from),
        Drag::Rotation { center, turn, .. } => {
            turned(*center, amount * turn.radians(*center), from)
        }
        Drag::Translation { angle: Some(_), .. } | Drag::Scale { .. } | Drag::Affine { .. } => {
            followed(motion(drag, |point| point).carried_out(amount), from)
        }
    }
}

/// Follows the corners along a motion.
fn followed(motion: Motion, from: Extent) -> Extent {
    let steps = motion.chords(TURN_STEP);
    let places = (1..=steps).flat_map(|step| {
        let eta = step as f64 / steps as f64;
        from.corners().map(|corner| motion.forward(eta, corner))
    });
    places.fold(from, |extent, point| extent.around(Extent::of(point)))
}

fn shifted(PointPair { handle, target }: PointPair, amount: f64, from: Extent) -> Extent {
    let (dx, dy) = (
        amount * (target.x - handle.x),
        amount * (target.y - handle.y),
    );
    let moved = |point: Point| Point::new(point.x + dx, point.y + dy);
    from.around(Extent {
        low: moved(from.low),
        high: moved(from.high),
    })
}

fn turned(center: Point, angle: f64, from: Extent) -> Extent {
    let angle = angle.clamp(-TAU, TAU);
    let steps = (angle.abs() / TURN_STEP).ceil().max(1.0) as usize;
    let corners = from.corners();
    let turned = (1..=steps).flat_map(|step| {
        let (sin, cos) = (angle * step as f64 / steps as f64).sin_cos();
        corners.map(|corner| {
            let (dx, dy) = (corner.x - center.x, corner.y - center.y);
            Point::new(
                center.x + cos * dx + sin * dy,
                center.y - sin * dx + cos * dy,
            )
        })
    });
    turned.fold(from, |extent, point| extent.around(Extent::of(point)))
}

/// Returns the window around an area of the image: with context, at least as large as the working picture, within the maximum
/// aspect ratio, and inside the image.
fn around(area: Extent, image: Size, size: usize) -> Window {
    let (width, height) = (
        CONTEXT * (area.high.x - area.low.x),
        CONTEXT * (area.high.y - area.low.y),
    );
    let least = (width.max(height) / MAX_ASPECT).max(size as f64);
    let (left, width) = side(area.low.x, area.high.x, width.max(least), image.width);
    let (top, height) = side(area.low.y, area.high.y, height.max(least), image.height);
    Window {
        left,
        top,
        size: Size::new(width, height),
    }
}

/// Returns start and length of a window's side of at least `length` around `low..high`, moved into `0..limit`.
fn side(low: f64, high: f64, length: f64, limit: usize) -> (usize, usize) {
    let (first, last) = (low.floor(), high.ceil());
    let length = length.ceil().max(last - first).min(limit as f64);
    // The clamp keeps the area's ends inside despite the rounding, without adding a pixel.
    let start = ((low + high - length) / 2.0)
        .round()
        .clamp(last - length, first)
        .clamp(0.0, limit as f64 - length);
    (start as usize, length as usize)
}

#[cfg(test)]
mod tests;
