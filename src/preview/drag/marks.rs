//! The marks of a drag's points: handles, targets, centre and anchor. A point beyond the image is marked at the edge, with its coordinates.

use super::super::arrow::Arrow;
use super::super::bounds::Bounds;
use super::super::labels::{Label, Subject};
use super::super::pen::{Mark, Pen};
use super::caption::rounded;
use super::{DragDrawing, HEAD};
use crate::drag_file::Drag;
use crate::geometry::Point;

impl DragDrawing<'_> {
    /// Draws the marks; returns what they cover, and the labels of points beyond the image.
    pub(in super::super) fn draw_marks(&self, pen: &mut Pen) -> (Vec<Bounds>, Vec<Label>) {
        let (mut covered, mut labels) = (Vec::new(), Vec::new());
        for (mark, point) in points(&self.entry.drag) {
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
            // A centre or an anchor may lie outside the picture; handle and target may not.
            let (outside, subject) = match mark {
                Mark::Center | Mark::Anchor => ("", Subject::Detail),
                Mark::Handle | Mark::Target => (" is outside", Subject::Fault),
            };
            let text = format!(
                "{} ({}, {}){outside}",
                mark.name(),
                rounded(point.x),
                rounded(point.y)
            );
            labels.push(Label {
                text,
                short: None,
                about,
                subject,
            });
        }
        (covered, labels)
    }

    /// Returns the first point of the drag, moved onto the sheet.
    pub(super) fn first_mark(&self) -> Option<Point> {
        let (_, point) = *points(&self.entry.drag).first()?;
        Some(self.edge_towards(self.sheet.place(point)))
    }

    /// Returns the point of the sheet closest to `at`, away from the edges by the size of a mark and an arrow.
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
}

/// Returns the points of a drag in drawing order. Handles are last, so that they are visible where they coincide with a target.
fn points(drag: &Drag) -> Vec<(Mark, Point)> {
    let center = drag.center().map(|center| (Mark::Center, center));
    let anchor = drag.anchor().map(|anchor| (Mark::Anchor, anchor));
    let pairs = drag.pairs();
    let targets = pairs.iter().map(|pair| (Mark::Target, pair.target));
    let handles = pairs.iter().map(|pair| (Mark::Handle, pair.handle));
    center
        .into_iter()
        .chain(anchor)
        .chain(targets)
        .chain(handles)
        .collect()
}
