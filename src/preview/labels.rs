//! The layout of labels: close to their subject, inside the picture, and without overlapping each other.

use super::bounds::{Bounds, rounded};
use super::pen::{Colour, Pen};
use super::text::{Font, Text};
use crate::geometry::{Point, Size};

/// Padding around a label's text, over the height of the text.
const PADDING: f64 = 0.22;
/// A layout is crowded when a label hides more than this share of other labels and marks.
const CROWDED: f64 = 0.1;
/// Scale of the text in a crowded layout.
const SMALL: f64 = 0.7;
/// Colours of the plates behind labels.
const PLATE: Colour = [16, 18, 22, 205];
const FAULT_PLATE: Colour = [150, 16, 16, 235];

/// The subject of a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Subject {
    /// A region; the label avoids regions.
    Region,
    /// A path or a point; the label may lie on regions.
    Detail,
    /// A fault.
    Fault,
}

/// A text about something on the sheet.
#[derive(Debug, Clone)]
pub(super) struct Label {
    pub(super) text: String,
    /// A shorter text for crowded layouts.
    pub(super) short: Option<String>,
    /// The rectangle of the subject, beside which the label lies.
    pub(super) about: Bounds,
    pub(super) subject: Subject,
}

/// A label with its place.
struct Plate {
    text: Text,
    bounds: Bounds,
    padding: f64,
    subject: Subject,
}

/// Draws labels in text about `height` pixels high, so that they hide as little as possible of `obstacles` and each other, and little
/// of `shapes`. In a crowded layout all labels are short, and if that is not enough, also small.
pub(super) fn draw(
    pen: &mut Pen,
    labels: &[Label],
    obstacles: &[Bounds],
    shapes: &[Bounds],
    sheet: Size,
    height: f64,
) {
    let mut least: Option<(f64, Vec<Plate>)> = None;
    for (short, share) in [(false, 1.0), (true, 1.0), (true, SMALL)] {
        let (hidden, plates) = lay_out(
            labels,
            short,
            obstacles,
            shapes,
            sheet,
            Font::near(share * height),
        );
        if least.as_ref().is_none_or(|(least, _)| hidden < *least) {
            least = Some((hidden, plates));
        }
        if hidden <= CROWDED {
            break;
        }
    }
    for plate in least.into_iter().flat_map(|(_, plates)| plates) {
        plate.draw(pen);
    }
}

/// Places all labels, one after the other; returns the largest share that one of them hides, and the plates.
fn lay_out(
    labels: &[Label],
    short: bool,
    obstacles: &[Bounds],
    shapes: &[Bounds],
    sheet: Size,
    font: Font,
) -> (f64, Vec<Plate>) {
    let padding = (font.line() as f64 * PADDING).round();
    let (mut obstacles, mut plates, mut worst) = (obstacles.to_vec(), Vec::new(), 0.0_f64);
    for label in labels {
        let text = if short { label.short.as_ref() } else { None }.unwrap_or(&label.text);
        let text = font.text(text, sheet.width.saturating_sub(2 * padding as usize));
        let size = (
            text.width as f64 + 2.0 * padding,
            text.height as f64 + padding,
        );
        let shapes = if label.subject == Subject::Region {
            shapes
        } else {
            &[]
        };
        let (hidden, bounds) = place(&label.about, size, &obstacles, shapes, sheet, padding);
        worst = worst.max(hidden);
        obstacles.push(bounds);
        plates.push(Plate {
            text,
            bounds,
            padding,
            subject: label.subject,
        });
    }
    (worst, plates)
}

/// Returns the cheapest place beside `about` for a plate of a size, the first of equal ones, and the share of obstacles that it hides:
/// 1 for a whole one.
fn place(
    about: &Bounds,
    (width, height): (f64, f64),
    obstacles: &[Bounds],
    shapes: &[Bounds],
    sheet: Size,
    gap: f64,
) -> (f64, Bounds) {
    let middle = about.middle();
    let beside = |at: f64, low: f64, high: f64, extent: f64| match at {
        -1.0 => low - gap - extent,
        1.0 => high + gap,
        _ => f64::midpoint(low, high) - extent / 2.0,
    };
    let mut best: Option<(f64, f64, Bounds)> = None;
    for away in 0..4 {
        let reach = f64::from(away) * (height + gap);
        let about = Bounds {
            low: Point::new(about.low.x - reach, about.low.y - reach),
            high: Point::new(about.high.x + reach, about.high.y + reach),
        };
        for (x, y) in [
            (0.0, -1.0),
            (0.0, 1.0),
            (1.0, 0.0),
            (-1.0, 0.0),
            (1.0, -1.0),
            (-1.0, -1.0),
            (1.0, 1.0),
            (-1.0, 1.0),
        ] {
            let low = Point::new(
                beside(x, about.low.x, about.high.x, width),
                beside(y, about.low.y, about.high.y, height),
            );
            let plate = Bounds {
                low: Point::new(low.x.round(), low.y.round()),
                high: Point::new(low.x.round() + width, low.y.round() + height),
            };
            let plate = plate.inside(sheet);
            // Hiding a mark costs more than lying on a shape, and that costs more than some lines of distance.
            let hidden: f64 = obstacles
                .iter()
                .map(|obstacle| obstacle.overlap(&plate) / obstacle.area())
                .sum();
            let on_shapes: f64 = shapes
                .iter()
                .map(|shape| shape.overlap(&plate) / (width * height))
                .sum();
            let cost =
                hidden + 0.3 * on_shapes.min(2.0) + 0.04 * plate.middle().distance(middle) / height;
            if best.is_none_or(|(least, ..)| cost < least) {
                best = Some((cost, hidden, plate));
            }
        }
    }
    best.map_or((0.0, *about), |(_, hidden, plate)| (hidden, plate))
}

impl Plate {
    fn draw(&self, pen: &mut Pen) {
        let Bounds { low, .. } = self.bounds;
        let colour = if self.subject == Subject::Fault {
            FAULT_PLATE
        } else {
            PLATE
        };
        pen.area(&rounded(&self.bounds, 1.5 * self.padding), colour);
        let origin = (
            low.x.max(0.0) + self.padding,
            low.y.max(0.0) + (self.padding / 2.0).floor(),
        );
        pen.stencil(
            (origin.0 as usize, origin.1 as usize),
            &self.text.coverage,
            self.text.width,
            [255; 3],
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHEET: Size = Size::new(200, 100);

    fn bounds(left: f64, top: f64, right: f64, bottom: f64) -> Bounds {
        Bounds {
            low: Point::new(left, top),
            high: Point::new(right, bottom),
        }
    }

    #[test]
    fn a_label_lies_above_its_subject_if_possible() {
        let plate = place(
            &bounds(90.0, 50.0, 110.0, 60.0),
            (40.0, 10.0),
            &[],
            &[],
            SHEET,
            2.0,
        )
        .1;
        assert_eq!(plate, bounds(80.0, 38.0, 120.0, 48.0));
    }

    #[test]
    fn labels_stay_inside_the_picture() {
        for about in [
            bounds(0.0, 0.0, 5.0, 5.0),
            bounds(195.0, 95.0, 200.0, 100.0),
            bounds(0.0, 0.0, 200.0, 100.0),
        ] {
            let plate = place(&about, (60.0, 20.0), &[], &[], SHEET, 2.0).1;
            assert!(
                plate.low.x >= 0.0
                    && plate.low.y >= 0.0
                    && plate.high.x <= 200.0
                    && plate.high.y <= 100.0,
                "{plate:?}"
            );
        }
        let too_large = place(
            &bounds(50.0, 50.0, 60.0, 60.0),
            (300.0, 20.0),
            &[],
            &[],
            SHEET,
            2.0,
        )
        .1;
        assert_eq!(
            too_large.low.x, 0.0,
            "a label that does not fit starts at the edge"
        );
    }

    #[test]
    fn labels_do_not_overlap() {
        let about = bounds(90.0, 45.0, 110.0, 55.0);
        let above = place(&about, (40.0, 10.0), &[], &[], SHEET, 2.0).1;
        let other = place(&about, (40.0, 10.0), &[above], &[], SHEET, 2.0).1;
        assert_eq!(above.overlap(&other), 0.0);
    }

    #[test]
    fn a_label_of_a_region_lies_beside_a_shape() {
        let (about, shape) = (
            bounds(90.0, 45.0, 110.0, 55.0),
            bounds(60.0, 0.0, 140.0, 60.0),
        );
        let plate = place(&about, (40.0, 10.0), &[], &[shape], SHEET, 2.0).1;
        assert_eq!(shape.overlap(&plate), 0.0, "{plate:?}");
    }
}
