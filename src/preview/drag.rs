//! One region or point of the drag file, laid out and drawn on the sheet: its outline before and after the drag, the arrow between
//! them, and the points that define it.

mod caption;
mod marks;
mod path;

use super::arrow::Arrow;
use super::bounds::Bounds;
use super::line;
use super::pen::{BLUE, Line, Pen, RED, WHITE, faint};
use super::sheet::Sheet;
use super::trace::edges;
use crate::drag_file::{Drag, DragRegion, Growth, Shape, Turn};
use crate::geometry::{Frame, Point, Size};
use crate::outline::Outline;
use crate::plan::POINT_RADIUS;
use crate::region::Region;

use path::{Paths, paths};

/// Radius of a mark, in units of the sheet; at least the second one on small regions and short drags.
const RADIUS: f64 = 6.5;
const LEAST_RADIUS: f64 = 3.2;
/// Limits of a mark's radius: these shares of the region's shorter side and of the drag's length.
const RADIUS_BY_SIDE: f64 = 0.16;
const RADIUS_BY_LENGTH: f64 = 0.3;
/// Length of an arrow's head, in units.
const HEAD: f64 = 14.0;
/// Number of pieces into which an edge of a stretched outline is divided.
const DIVISIONS: u32 = 48;

/// The outline of a region before the drag.
pub(super) const BEFORE: Line = Line {
    colour: RED,
    width: 1.8,
    casing: 1.6,
    dash: None,
};
/// The outline of a region after the drag.
pub(super) const AFTER: Line = Line {
    colour: BLUE,
    width: 2.0,
    casing: 2.4,
    dash: Some([6.0, 4.5]),
};
/// The outline of the disc that is dragged for a point.
pub(super) const DISC_BEFORE: Line = Line {
    colour: faint(RED),
    width: 1.2,
    casing: 0.6,
    dash: None,
};
const DISC_AFTER: Line = Line {
    colour: faint(BLUE),
    width: 1.2,
    casing: 0.6,
    dash: Some([4.0, 3.0]),
};
const SHAFT: Line = Line {
    colour: WHITE,
    width: 2.4,
    casing: 2.0,
    dash: None,
};
const SPOKE: Line = Line {
    colour: WHITE,
    width: 0.9,
    casing: 1.1,
    dash: None,
};

/// A region of the drag file, laid out on the sheet.
pub(super) struct DragDrawing<'a> {
    entry: &'a DragRegion,
    region: Option<&'a Region>,
    sheet: &'a Sheet,
    source: Size,
    /// The outline before the drag, as closed lines.
    before: Vec<Vec<Point>>,
    /// The outline after the drag, as closed lines; none when the region does not move or was not planned.
    after: Vec<Vec<Point>>,
    /// Radius of the marks in pixels.
    radius: f64,
    paths: Paths,
}

impl<'a> DragDrawing<'a> {
    /// Lays out an entry of the drag file. `region` is the planned region; `None` when it has faults.
    pub(super) fn new(
        entry: &'a DragRegion,
        region: Option<&'a Region>,
        frame: &Frame,
        sheet: &'a Sheet,
    ) -> Self {
        let outlines = outlines(&entry.drag, region, frame);
        let before: Vec<Vec<Point>> = outlines
            .iter()
            .map(|outline| closed(outline.iter().map(|point| sheet.place(*point))))
            .collect();
        let moved = |region: &Region, eta: f64, point: Point| {
            sheet.place(frame.to_source(region.forward(eta, frame.to_working(point))))
        };
        let after = match region {
            Some(region) if !region.is_still() => outlines
                .iter()
                .map(|outline| closed(outline.iter().map(|point| moved(region, 1.0, *point))))
                .collect(),
            _ => Vec::new(),
        };
        let followed = region.map(|region| move |eta, point| moved(region, eta, point));
        let paths = paths(&entry.drag, &before, followed.as_ref(), sheet);
        // The disc of a point does not limit the marks: its handle is all that the user gave.
        let side = match entry.drag.shape() {
            Some(_) => Bounds::of(before.iter().flatten().copied(), sheet.size),
            None => None,
        }
        .map_or(f64::INFINITY, |bounds| {
            bounds.extent().0.min(bounds.extent().1)
        });
        let length = paths.lines.iter().map(|path| line::length(path));
        let length = length.fold(0.0, f64::max);
        let radius = (RADIUS_BY_SIDE * side)
            .min(RADIUS_BY_LENGTH * length)
            .clamp(LEAST_RADIUS * sheet.unit, RADIUS * sheet.unit);
        Self {
            entry,
            region,
            sheet,
            source: frame.source,
            before,
            after,
            radius,
            paths,
        }
    }

    /// Draws the outlines before and after the drag.
    pub(super) fn draw_outlines(&self, pen: &mut Pen) {
        let (before, after) = match self.entry.drag.shape() {
            Some(_) => (BEFORE, AFTER),
            None => (DISC_BEFORE, DISC_AFTER),
        };
        for (lines, style) in [(&self.before, before), (&self.after, after)] {
            for line in lines {
                pen.line(line, style);
            }
        }
    }

    /// Draws the arrows and returns what they cover.
    pub(super) fn draw_arrows(&self, pen: &mut Pen) -> Vec<Bounds> {
        if let Some(center) = self.entry.drag.center() {
            let center = self.sheet.place(center);
            for path in &self.paths.lines {
                for end in path.first().into_iter().chain(path.last()) {
                    pen.line(&[center, *end], SPOKE);
                }
            }
        }
        if let Drag::Deformation {
            points,
            anchor: Some(anchor),
            ..
        } = &self.entry.drag
        {
            let between = [*anchor, points.handle];
            pen.line(&between.map(|point| self.sheet.place(point)), SPOKE);
        }
        let paths = self.paths.lines.iter();
        paths.flat_map(|path| self.draw_arrow(path, pen)).collect()
    }

    /// Draws the arrow along a path and returns what it covers.
    fn draw_arrow(&self, path: &[Point], pen: &mut Pen) -> Vec<Bounds> {
        let unit = self.sheet.unit;
        // Free space at both ends, for the marks.
        let (start, end) = match &self.entry.drag {
            Drag::Translation { .. } if self.paths.turn.is_some() => (0.0, 0.0),
            Drag::Translation { .. }
            | Drag::Deformation { .. }
            | Drag::Affine { .. }
            | Drag::Scale {
                growth: Growth::Points(_),
                ..
            }
            | Drag::Point { .. } => (self.radius, 1.25 * self.radius + 2.0 * unit),
            Drag::Rotation {
                turn: Turn::Points(_),
                ..
            } => (self.radius, self.radius + 2.0 * unit),
            Drag::Rotation {
                turn: Turn::Angle { .. },
                ..
            }
            | Drag::Scale {
                growth: Growth::Factor { .. },
                ..
            } => (0.0, 0.0),
        };
        let Some(arrow) = Arrow::along(path, start, end, HEAD * unit) else {
            return Vec::new();
        };
        pen.line(&arrow.shaft, SHAFT);
        pen.edged_area(&arrow.head, WHITE, 1.0);
        let head = Bounds::around(arrow.head[0], HEAD * unit);
        let pieces = line::near(&arrow.shaft, self.sheet.size, 0.0);
        let spots = pieces.iter().flat_map(|piece| {
            let count = (line::length(piece) / (HEAD * unit)).ceil() as usize;
            (0..count).filter_map(move |spot| line::at(piece, spot as f64 * HEAD * unit))
        });
        spots
            .map(|spot| Bounds::around(spot, HEAD * unit / 2.0))
            .chain([head])
            .collect()
    }

    /// Returns the rectangles around the outlines before and after the drag, as far as they lie on the sheet.
    pub(super) fn bounds(&self) -> impl Iterator<Item = Bounds> {
        [&self.before, &self.after]
            .into_iter()
            .filter_map(|lines| Bounds::of(lines.iter().flatten().copied(), self.sheet.size))
    }
}

/// Returns the outlines of a region in the image's coordinates. A shape of numbers is drawn as given, a mask as the working picture
/// has it, a point as the disc that is dragged for it.
fn outlines(drag: &Drag, region: Option<&Region>, frame: &Frame) -> Vec<Vec<Point>> {
    let to_source = |outline: Vec<Point>| {
        outline
            .into_iter()
            .map(|point| frame.to_source(point))
            .collect()
    };
    if let Drag::Point { points } = drag {
        let Point { x, y } = frame.to_working(points.handle);
        let disc = Outline::Ellipse([x, y, POINT_RADIUS, POINT_RADIUS]);
        return vec![to_source(disc.ring())];
    }
    match (drag.shape(), region) {
        // The lines of a stretched region are bent, so they need points between their corners.
        (Some(Shape::Outline(outline)), _) if drag.anchor().is_some() => {
            vec![divided(&outline.ring())]
        }
        (Some(Shape::Outline(outline)), _) => vec![outline.ring()],
        (Some(Shape::Mask { .. }), Some(region)) => {
            edges(&region.mask).into_iter().map(to_source).collect()
        }
        (Some(Shape::Mask { .. }), None) | (None, _) => Vec::new(),
    }
}

/// Returns a closed line with [`DIVISIONS`] points on each of its edges.
fn divided(ring: &[Point]) -> Vec<Point> {
    let next = ring.iter().cycle().skip(1);
    let edges = ring.iter().zip(next);
    edges
        .flat_map(|(from, to)| {
            (0..DIVISIONS).map(move |step| {
                let share = f64::from(step) / f64::from(DIVISIONS);
                Point::new(
                    from.x + share * (to.x - from.x),
                    from.y + share * (to.y - from.y),
                )
            })
        })
        .collect()
}

fn closed(line: impl Iterator<Item = Point>) -> Vec<Point> {
    let mut line: Vec<Point> = line.collect();
    line.extend(line.first().copied());
    line
}
