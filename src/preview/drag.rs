//! One drag on the sheet: the region before and after, the way between, and the points that define it.

use std::f64::consts::TAU;

use super::arrow::{Arc, Arrow};
use super::labels::{Bounds, Label, Subject};
use super::line;
use super::pen::{BLUE, Line, Mark, Pen, RED, WHITE};
use super::sheet::Sheet;
use super::trace::edges;
use crate::drag_file::{DragRegion, Movement, Shape};
use crate::geometry::{Frame, Point, Size, turn_angle};
use crate::region::{Region, RegionKind};

/// Radius of a mark, in units: of ordinary ones, and of those in the smallest regions and on the shortest ways.
const RADIUS: f64 = 6.5;
const LEAST_RADIUS: f64 = 3.2;
/// A mark's radius by the smaller side of its region and by the length of its way.
const BY_SIDE: f64 = 0.16;
const BY_WAY: f64 = 0.3;
/// An arrow's head, in units.
const HEAD: f64 = 14.0;
/// An arc has at least this radius, in units, and grows by so much with each turn.
const LEAST_ARC: f64 = 16.0;
const PITCH: f64 = 9.0;
/// Where no handle says how far from the centre an arc is drawn: at the region's middle, unless that is closer to the centre than this
/// share of its furthest point; then at another share of that.
const NEAR: f64 = 0.35;
const MIDWAY: f64 = 0.62;

/// More turns are drawn as so many; the words beside them say how many they are.
const MAX_TURNS: f64 = 2.0;
/// Characters of a region's name.
const LONGEST_NAME: usize = 24;

pub(super) const BEFORE: Line = Line {
    colour: RED,
    width: 1.8,
    casing: 1.6,
    dash: None,
};
pub(super) const AFTER: Line = Line {
    colour: BLUE,
    width: 2.0,
    casing: 2.4,
    dash: Some([6.0, 4.5]),
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
pub(super) struct Drag<'a> {
    entry: &'a DragRegion,
    region: Option<&'a Region>,
    sheet: &'a Sheet,
    source: Size,
    /// Closed lines.
    before: Vec<Vec<Point>>,
    after: Vec<Vec<Point>>,
    radius: f64,
    way: Vec<Point>,
    /// For rotations: the middle of the way, a little outwards.
    beside_arc: Option<Point>,
}

impl<'a> Drag<'a> {
    /// Lays a region out. `region` is what planning made of it, where it could.
    pub(super) fn new(
        entry: &'a DragRegion,
        region: Option<&'a Region>,
        frame: &Frame,
        sheet: &'a Sheet,
    ) -> Self {
        let rings = rings(entry, region, frame);
        let before: Vec<Vec<Point>> = rings
            .iter()
            .map(|ring| closed(ring.iter().map(|point| sheet.place(*point))))
            .collect();
        let after = match region {
            Some(region) if !region.is_still() => {
                let moved = |point: &Point| {
                    sheet.place(frame.to_source(region.forward(1.0, frame.to_working(*point))))
                };
                rings
                    .iter()
                    .map(|ring| closed(ring.iter().map(moved)))
                    .collect()
            }
            _ => Vec::new(),
        };
        let (way, beside_arc) = way(&entry.movement, &before, sheet);
        let side = Bounds::of(before.iter().flatten().copied(), sheet.size)
            .map_or(f64::INFINITY, |bounds| {
                bounds.extent().0.min(bounds.extent().1)
            });
        let radius = (BY_SIDE * side)
            .min(BY_WAY * line::length(&way))
            .clamp(LEAST_RADIUS * sheet.unit, RADIUS * sheet.unit);
        Self {
            entry,
            region,
            sheet,
            source: frame.source,
            before,
            after,
            radius,
            way,
            beside_arc,
        }
    }

    /// Draws where the region is, and where it goes.
    pub(super) fn draw_outlines(&self, pen: &mut Pen) {
        for (rings, style) in [(&self.before, BEFORE), (&self.after, AFTER)] {
            for ring in rings {
                pen.line(ring, style);
            }
        }
    }

    /// Draws the arrow; returns what it covers.
    pub(super) fn draw_way(&self, pen: &mut Pen) -> Vec<Bounds> {
        let unit = self.sheet.unit;
        if let Movement::Turn { center, .. } | Movement::TurnBy { center, .. } = self.entry.movement
        {
            let center = self.sheet.place(center);
            for end in self.way.first().into_iter().chain(self.way.last()) {
                pen.line(&[center, *end], SPOKE);
            }
        }
        let (start, end) = match self.entry.movement {
            Movement::Pull { .. } => (self.radius, 1.25 * self.radius + 2.0 * unit),
            Movement::Turn { .. } => (self.radius, self.radius + 2.0 * unit),
            Movement::TurnBy { .. } => (0.0, 0.0),
        };
        let Some(arrow) = Arrow::along(&self.way, start, end, HEAD * unit) else {
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

    /// Marks the points; returns what the marks cover, and words about points beyond the image.
    pub(super) fn draw_marks(&self, pen: &mut Pen) -> (Vec<Bounds>, Vec<Label>) {
        let (mut covered, mut labels) = (Vec::new(), Vec::new());
        for (mark, point) in points(&self.entry.movement) {
            let at = self.sheet.place(point);
            if self.source.contains(point) {
                pen.mark(mark, at, self.radius);
                covered.push(Bounds::around(at, 1.5 * self.radius));
                continue;
            }
            let edge = self.edge_towards(at);
            if let Some(arrow) = Arrow::along(
                &[edge, at],
                1.6 * self.radius,
                (edge.distance(at) - 4.0 * self.radius).max(0.0),
                HEAD * self.sheet.unit,
            ) {
                pen.edged_area(&arrow.head, mark.colour(), 1.0);
            }
            pen.mark(mark, edge, self.radius);
            let about = Bounds::around(edge, 3.0 * self.radius);
            covered.push(about);
            // A hinge may lie beside the picture; what is dragged may not.
            let (outside, subject) = if mark == Mark::Center {
                ("", Subject::Detail)
            } else {
                (" is outside", Subject::Fault)
            };
            let words = format!(
                "{} ({}, {}){outside}",
                mark.name(),
                rounded(point.x),
                rounded(point.y)
            );
            labels.push(Label {
                words,
                short: None,
                about,
                subject,
            });
        }
        (covered, labels)
    }

    /// The point on the sheet closest to one beyond it, with room for a mark and an arrow.
    fn edge_towards(&self, at: Point) -> Point {
        let inset = 4.5 * self.radius;
        let within = |at: f64, side: usize| {
            at.clamp(
                inset.min(side as f64 / 2.0),
                (side as f64 - inset).max(side as f64 / 2.0),
            )
        };
        Point::new(
            within(at.x, self.sheet.size.width),
            within(at.y, self.sheet.size.height),
        )
    }

    /// What the region takes of the sheet, before and after.
    pub(super) fn bounds(&self) -> impl Iterator<Item = Bounds> {
        [&self.before, &self.after]
            .into_iter()
            .filter_map(|rings| Bounds::of(rings.iter().flatten().copied(), self.sheet.size))
    }

    /// Words about the whole drag, and about its angle.
    pub(super) fn labels(&self) -> Vec<Label> {
        let mut labels = Vec::new();
        if let (Some(beside), Some(angle)) = (self.beside_arc, angle(&self.entry.movement)) {
            let about = Bounds::around(beside, self.sheet.unit);
            labels.push(Label {
                words: degrees(angle),
                short: None,
                about,
                subject: Subject::Detail,
            });
        }
        let id = short(&self.entry.id);
        let does = match (self.region, self.entry.kind) {
            (None, _) => String::new(),
            (Some(region), _) if region.is_still() => " stays".into(),
            (Some(_), RegionKind::Rotation) => " turns".into(),
            (Some(region), RegionKind::Translation) => {
                format!(" moves {} px", rounded(region.moved_px()))
            }
            (Some(region), RegionKind::Deformation) => {
                format!(" stretches {} px", rounded(region.moved_px()))
            }
        };
        let words = format!("{id}{does}");
        let shape = Bounds::of(self.before.iter().flatten().copied(), self.sheet.size);
        let point = || {
            points(&self.entry.movement)
                .first()
                .map(|(_, point)| self.edge_towards(self.sheet.place(*point)))
        };
        if let Some(about) =
            shape.or_else(|| point().map(|point| Bounds::around(point, self.radius)))
        {
            labels.push(Label {
                words,
                short: Some(id),
                about,
                subject: Subject::Region,
            });
        }
        labels
    }
}

/// The lines around a region, in the image's coordinates. Shapes given by numbers are drawn as they were given, masks as the edit
/// sees them.
fn rings(entry: &DragRegion, region: Option<&Region>, frame: &Frame) -> Vec<Vec<Point>> {
    match (&entry.shape, region) {
        (Shape::Outline(outline), _) => vec![outline.ring()],
        (Shape::Mask { .. }, None) => Vec::new(),
        (Shape::Mask { .. }, Some(region)) => {
            let source = |ring: Vec<Point>| {
                ring.into_iter()
                    .map(|point| frame.to_source(point))
                    .collect()
            };
            edges(&region.mask).into_iter().map(source).collect()
        }
    }
}

fn closed(ring: impl Iterator<Item = Point>) -> Vec<Point> {
    let mut ring: Vec<Point> = ring.collect();
    ring.extend(ring.first().copied());
    ring
}

/// The way of the drag on the sheet, and for turns the place for words about it.
fn way(movement: &Movement, before: &[Vec<Point>], sheet: &Sheet) -> (Vec<Point>, Option<Point>) {
    let (center, start) = match *movement {
        Movement::Pull { handle, target } => {
            return (vec![sheet.place(handle), sheet.place(target)], None);
        }
        Movement::Turn { center, handle, .. } => (sheet.place(center), sheet.place(handle)),
        Movement::TurnBy { center, .. } => {
            let center = sheet.place(center);
            (center, start_of_turn(center, before))
        }
    };
    let arc = Arc::new(
        center,
        start,
        drawn(angle(movement).unwrap_or_default()),
        LEAST_ARC * sheet.unit,
        PITCH * sheet.unit,
    );
    (arc.line(), Some(arc.at(0.5, HEAD * sheet.unit)))
}

/// Where an arc begins that no handle says.
fn start_of_turn(center: Point, before: &[Vec<Point>]) -> Point {
    let points = || before.iter().flatten();
    let middle = Bounds::of_all(points().copied()).map_or(center, |bounds| bounds.middle());
    let furthest = points()
        .map(|point| point.distance(center))
        .fold(0.0, f64::max);
    if middle.distance(center) > NEAR * furthest {
        middle
    } else {
        Point::new(center.x + MIDWAY * furthest, center.y)
    }
}

fn points(movement: &Movement) -> Vec<(Mark, Point)> {
    match *movement {
        // The handle last: where the drag is none, it lies on the target.
        Movement::Pull { handle, target } => vec![(Mark::Target, target), (Mark::Handle, handle)],
        Movement::Turn {
            center,
            handle,
            target,
        } => vec![
            (Mark::Center, center),
            (Mark::Target, target),
            (Mark::Handle, handle),
        ],
        Movement::TurnBy { center, .. } => vec![(Mark::Center, center)],
    }
}

/// Radians of a turn.
fn angle(movement: &Movement) -> Option<f64> {
    match *movement {
        Movement::Pull { .. } => None,
        Movement::Turn {
            center,
            handle,
            target,
        } => Some(turn_angle(handle, target, center)),
        Movement::TurnBy { angle, .. } => Some(angle.to_radians()),
    }
}

/// A region's name, cut off where it would hide more than it says.
fn short(id: &str) -> String {
    let rest = if id.chars().nth(LONGEST_NAME).is_some() {
        ".."
    } else {
        ""
    };
    id.chars().take(LONGEST_NAME).chain(rest.chars()).collect()
}

/// A turn without the whole turns that would only be drawn over each other.
fn drawn(angle: f64) -> f64 {
    let extra = ((angle.abs() - MAX_TURNS * TAU) / TAU).ceil().max(0.0);
    angle - angle.signum() * extra * TAU
}

/// An angle as it is written, such as `-35°`.
fn degrees(angle: f64) -> String {
    format!("{}\u{b0}", rounded(angle.to_degrees()))
}

/// Whole numbers, and a tenth where that matters.
fn rounded(number: f64) -> String {
    let tenths = (number * 10.0).round() / 10.0 + 0.0;
    if tenths.abs() >= 10.0 {
        format!("{number:.0}")
    } else {
        format!("{tenths}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_as_exact_as_one_reads_them() {
        let shown = [-35.2_f64, 400.0, 0.26, -0.04, 9.96, 5.0, -179.6]
            .map(|angle| degrees(angle.to_radians()));
        assert_eq!(shown, ["-35°", "400°", "0.3°", "0°", "10°", "5°", "-180°"]);
    }

    #[test]
    fn many_turns_are_drawn_as_two_and_end_where_they_should() {
        for (given, expected) in [
            (-35.0, -35.0),
            (400.0, 400.0),
            (720.0, 720.0),
            (730.0, 370.0),
            (-3600.0, -720.0),
            (0.0, 0.0),
        ] {
            assert!(
                (drawn(f64::to_radians(given)).to_degrees() - expected).abs() < 1e-9,
                "{given}"
            );
        }
    }

    #[test]
    fn long_names_are_cut_off() {
        assert_eq!(short("tail"), "tail");
        assert_eq!(short(&"x".repeat(24)), "x".repeat(24));
        assert_eq!(short(&"\u{732b}".repeat(25)), "\u{732b}".repeat(24) + "..");
    }

    #[test]
    fn a_turn_without_a_handle_begins_at_the_regions_middle_or_beside_its_centre() {
        let square = |x: f64, y: f64| {
            closed(
                [
                    (x - 10.0, y - 10.0),
                    (x + 10.0, y - 10.0),
                    (x + 10.0, y + 10.0),
                    (x - 10.0, y + 10.0),
                ]
                .into_iter()
                .map(|(x, y)| Point::new(x, y)),
            )
        };
        let hinge = start_of_turn(Point::new(0.0, 0.0), &[square(100.0, 50.0)]);
        assert_eq!(hinge, Point::new(100.0, 50.0));
        let spin = start_of_turn(Point::new(100.0, 50.0), &[square(100.0, 50.0)]);
        assert_eq!(
            (spin.y, spin.x > 105.0 && spin.x < 114.0),
            (50.0, true),
            "{spin}"
        );
        assert_eq!(
            start_of_turn(Point::new(3.0, 4.0), &[]),
            Point::new(3.0, 4.0)
        );
    }
}
