//! Where words stand: close to what they speak of, inside the picture, and beside each other rather than on top.

use super::pen::{Colour, Pen};
use super::text::{Font, Text};
use crate::geometry::{Point, Size};

/// Space around the words of a label, by the height of its text.
const PADDING: f64 = 0.22;
/// It is crowded where words hide more than this of other words and marks; then they are so much smaller.
const CROWDED: f64 = 0.1;
const SMALL: f64 = 0.7;
/// The plates behind words.
const PLATE: Colour = [16, 18, 22, 205];
const FAULT_PLATE: Colour = [150, 16, 16, 235];

/// An upright rectangle.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Bounds {
    pub(super) low: Point,
    pub(super) high: Point,
}

impl Bounds {
    /// The square around a point.
    pub(super) fn around(point: Point, radius: f64) -> Self {
        Self {
            low: Point::new(point.x - radius, point.y - radius),
            high: Point::new(point.x + radius, point.y + radius),
        }
    }

    /// The smallest one around points; `None` when there are none.
    pub(super) fn of_all(points: impl Iterator<Item = Point>) -> Option<Self> {
        points.fold(None, |bounds: Option<Self>, point| {
            let Self { low, high } = bounds.unwrap_or(Self {
                low: point,
                high: point,
            });
            Some(Self {
                low: Point::new(low.x.min(point.x), low.y.min(point.y)),
                high: Point::new(high.x.max(point.x), high.y.max(point.y)),
            })
        })
    }

    /// The same, cut off at the sheet; `None` when nothing of it is there.
    pub(super) fn of(points: impl Iterator<Item = Point>, sheet: Size) -> Option<Self> {
        let all = Self::of_all(points)?;
        let low = Point::new(all.low.x.max(0.0), all.low.y.max(0.0));
        let high = Point::new(
            all.high.x.min(sheet.width as f64),
            all.high.y.min(sheet.height as f64),
        );
        (low.x <= high.x && low.y <= high.y).then_some(Self { low, high })
    }

    /// Width and height.
    pub(super) fn extent(&self) -> (f64, f64) {
        (self.high.x - self.low.x, self.high.y - self.low.y)
    }

    pub(super) fn middle(&self) -> Point {
        Point::new(
            f64::midpoint(self.low.x, self.high.x),
            f64::midpoint(self.low.y, self.high.y),
        )
    }

    fn area(&self) -> f64 {
        let (width, height) = self.extent();
        (width * height).max(1.0)
    }

    /// The area that two have in common.
    fn overlap(&self, other: &Self) -> f64 {
        let along = |low: f64, high: f64| (high - low).max(0.0);
        along(self.low.x.max(other.low.x), self.high.x.min(other.high.x))
            * along(self.low.y.max(other.low.y), self.high.y.min(other.high.y))
    }

    /// Moved as little as possible to lie on the sheet; what is larger than that begins at its top left.
    fn inside(&self, sheet: Size) -> Self {
        let shift = |low: f64, high: f64, room: f64| (room - high).min(0.0).max(-low);
        let (dx, dy) = (
            shift(self.low.x, self.high.x, sheet.width as f64),
            shift(self.low.y, self.high.y, sheet.height as f64),
        );
        Self {
            low: Point::new(self.low.x + dx, self.low.y + dy),
            high: Point::new(self.high.x + dx, self.high.y + dy),
        }
    }
}

/// What words are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Subject {
    /// A region; they stand beside regions where they can.
    Region,
    /// A way or a point; they stand close to it.
    Detail,
    /// Something that is wrong.
    Fault,
}

/// Words about something on the sheet.
#[derive(Debug, Clone)]
pub(super) struct Label {
    pub(super) words: String,
    /// Fewer of them, for where it is crowded.
    pub(super) short: Option<String>,
    /// What they speak of; they stand beside it.
    pub(super) about: Bounds,
    pub(super) subject: Subject,
}

/// A label on its plate.
struct Plate {
    text: Text,
    bounds: Bounds,
    padding: f64,
    subject: Subject,
}

/// Draws labels so that they hide as little as possible of `obstacles` and of each other, and not much of `shapes`, in text about
/// `height` pixels high. Where it is crowded, all are short, and then small.
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

/// Places for all labels, one after the other, and how much the worst of them hides.
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
        let words = if short { label.short.as_ref() } else { None }.unwrap_or(&label.words);
        let text = font.text(words, sheet.width.saturating_sub(2 * padding as usize));
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

/// The place beside `about` for a plate of a size that covers least, the first of equal ones, and how much of the obstacles it hides: 1
/// for a whole one.
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
            // A hidden mark is worse than to lie on a shape, and that worse than to stand some lines away.
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

/// The corners of a rectangle with round corners.
pub(super) fn rounded(bounds: &Bounds, radius: f64) -> Vec<Point> {
    let Bounds { low, high } = *bounds;
    let radius = radius
        .min((high.x - low.x) / 2.0)
        .min((high.y - low.y) / 2.0)
        .max(0.0);
    let corners = [
        (high.x - radius, low.y + radius),
        (low.x + radius, low.y + radius),
        (low.x + radius, high.y - radius),
        (high.x - radius, high.y - radius),
    ];
    let quarter = |(index, (x, y)): (usize, (f64, f64))| {
        (0..=6).map(move |step| {
            let angle = std::f64::consts::FRAC_PI_2 * (index as f64 + f64::from(step) / 6.0);
            Point::new(x + radius * angle.cos(), y - radius * angle.sin())
        })
    };
    corners.into_iter().enumerate().flat_map(quarter).collect()
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
    fn words_stand_above_where_there_is_room() {
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
    fn words_stay_inside_the_picture() {
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
        assert_eq!(too_large.low.x, 0.0, "what does not fit begins at the edge");
    }

    #[test]
    fn words_go_round_what_is_there() {
        let about = bounds(90.0, 45.0, 110.0, 55.0);
        let above = place(&about, (40.0, 10.0), &[], &[], SHEET, 2.0).1;
        let other = place(&about, (40.0, 10.0), &[above], &[], SHEET, 2.0).1;
        assert_eq!(above.overlap(&other), 0.0);
    }

    #[test]
    fn words_rather_stand_beside_a_shape_than_on_it() {
        let (about, shape) = (
            bounds(90.0, 45.0, 110.0, 55.0),
            bounds(60.0, 0.0, 140.0, 60.0),
        );
        let plate = place(&about, (40.0, 10.0), &[], &[shape], SHEET, 2.0).1;
        assert_eq!(shape.overlap(&plate), 0.0, "{plate:?}");
    }

    #[test]
    fn bounds_are_cut_off_at_the_sheet() {
        let points = |points: &[(f64, f64)]| {
            Bounds::of(points.iter().map(|(x, y)| Point::new(*x, *y)), SHEET)
        };
        assert_eq!(
            points(&[(-50.0, 20.0), (10.0, 300.0)]),
            Some(bounds(0.0, 20.0, 10.0, 100.0))
        );
        assert_eq!(points(&[(-50.0, 20.0), (-10.0, 30.0)]), None);
        assert_eq!(points(&[]), None);
    }
}
