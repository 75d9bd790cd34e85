//! Where words stand: close to what they speak of, inside the picture, and beside each other rather than on top.

use super::pen::{Colour, Pen};
use super::text::{Font, Text};
use crate::geometry::{Point, Size};

/// Space around the words of a label, by the height of its text.
const PADDING: f64 = 0.22;
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
        Self { low: Point::new(point.x - radius, point.y - radius), high: Point::new(point.x + radius, point.y + radius) }
    }

    /// The smallest one around points, cut off at the sheet; `None` when nothing of it is there.
    pub(super) fn of(points: impl Iterator<Item = Point>, sheet: Size) -> Option<Self> {
        let all = points.fold(None, |bounds: Option<Self>, point| {
            let Self { low, high } = bounds.unwrap_or(Self { low: point, high: point });
            Some(Self {
                low: Point::new(low.x.min(point.x), low.y.min(point.y)),
                high: Point::new(high.x.max(point.x), high.y.max(point.y)),
            })
        })?;
        let (width, height) = (sheet.width as f64, sheet.height as f64);
        let low = Point::new(all.low.x.max(0.0), all.low.y.max(0.0));
        let high = Point::new(all.high.x.min(width), all.high.y.min(height));
        (low.x <= high.x && low.y <= high.y).then_some(Self { low, high })
    }

    /// Width and height.
    pub(super) fn extent(&self) -> (f64, f64) {
        (self.high.x - self.low.x, self.high.y - self.low.y)
    }

    fn middle(&self) -> Point {
        Point::new(f64::midpoint(self.low.x, self.high.x), f64::midpoint(self.low.y, self.high.y))
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
        let (dx, dy) = (shift(self.low.x, self.high.x, sheet.width as f64), shift(self.low.y, self.high.y, sheet.height as f64));
        Self { low: Point::new(self.low.x + dx, self.low.y + dy), high: Point::new(self.high.x + dx, self.high.y + dy) }
    }
}

/// Words about something on the sheet.
#[derive(Debug, Clone)]
pub(super) struct Label {
    pub(super) words: String,
    /// What they speak of; they stand beside it.
    pub(super) about: Bounds,
    /// Whether they say that something is wrong.
    pub(super) is_fault: bool,
}

/// Draws labels so that they hide as little as possible of `obstacles` and of each other, and not much of `shapes`.
pub(super) fn draw(pen: &mut Pen, labels: &[Label], mut obstacles: Vec<Bounds>, shapes: &[Bounds], sheet: Size, font: Font) {
    for label in labels {
        let padding = (font.line() as f64 * PADDING).round();
        let text = font.text(&label.words, sheet.width.saturating_sub(2 * padding as usize));
        let size = (text.width as f64 + 2.0 * padding, text.height as f64 + padding);
        let plate = place(&label.about, size, &obstacles, shapes, sheet, padding);
        draw_plate(pen, &text, &plate, padding, label.is_fault);
        obstacles.push(plate);
    }
}

/// The place beside `about` for a plate of a size that covers least; the first of equal ones.
fn place(about: &Bounds, (width, height): (f64, f64), obstacles: &[Bounds], shapes: &[Bounds], sheet: Size, gap: f64) -> Bounds {
    let middle = about.middle();
    let beside = |at: f64, low: f64, high: f64, extent: f64| match at {
        -1.0 => low - gap - extent,
        1.0 => high + gap,
        _ => f64::midpoint(low, high) - extent / 2.0,
    };
    let mut best: Option<(f64, Bounds)> = None;
    for away in 0..4 {
        let reach = f64::from(away) * (height + gap);
        let about = Bounds {
            low: Point::new(about.low.x - reach, about.low.y - reach),
            high: Point::new(about.high.x + reach, about.high.y + reach),
        };
        for (x, y) in [(0.0, -1.0), (0.0, 1.0), (1.0, 0.0), (-1.0, 0.0), (1.0, -1.0), (-1.0, -1.0), (1.0, 1.0), (-1.0, 1.0)] {
            let low = Point::new(beside(x, about.low.x, about.high.x, width), beside(y, about.low.y, about.high.y, height));
            let plate =
                Bounds { low: Point::new(low.x.round(), low.y.round()), high: Point::new(low.x.round() + width, low.y.round() + height) };
            let plate = plate.inside(sheet);
            // A hidden mark is worse than to lie on a shape, and that worse than to stand some lines away.
            let hidden: f64 = obstacles.iter().map(|obstacle| obstacle.overlap(&plate) / obstacle.area()).sum();
            let on_shapes: f64 = shapes.iter().map(|shape| shape.overlap(&plate) / (width * height)).sum();
            let cost = hidden + 0.3 * on_shapes.min(2.0) + 0.04 * plate.middle().distance(middle) / height;
            if best.is_none_or(|(least, _)| cost < least) {
                best = Some((cost, plate));
            }
        }
    }
    best.map_or(*about, |(_, plate)| plate)
}

fn draw_plate(pen: &mut Pen, text: &Text, plate: &Bounds, padding: f64, is_fault: bool) {
    pen.area(&rounded(plate, 1.5 * padding), if is_fault { FAULT_PLATE } else { PLATE });
    let origin = (plate.low.x.max(0.0) + padding, plate.low.y.max(0.0) + (padding / 2.0).floor());
    pen.stencil((origin.0 as usize, origin.1 as usize), &text.coverage, text.width, [255; 3]);
}

/// The corners of a rectangle with round corners.
pub(super) fn rounded(bounds: &Bounds, radius: f64) -> Vec<Point> {
    let Bounds { low, high } = *bounds;
    let radius = radius.min((high.x - low.x) / 2.0).min((high.y - low.y) / 2.0).max(0.0);
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
        Bounds { low: Point::new(left, top), high: Point::new(right, bottom) }
    }

    #[test]
    fn words_stand_above_where_there_is_room() {
        let plate = place(&bounds(90.0, 50.0, 110.0, 60.0), (40.0, 10.0), &[], &[], SHEET, 2.0);
        assert_eq!(plate, bounds(80.0, 38.0, 120.0, 48.0));
    }

    #[test]
    fn words_stay_inside_the_picture() {
        for about in [bounds(0.0, 0.0, 5.0, 5.0), bounds(195.0, 95.0, 200.0, 100.0), bounds(0.0, 0.0, 200.0, 100.0)] {
            let plate = place(&about, (60.0, 20.0), &[], &[], SHEET, 2.0);
            assert!(plate.low.x >= 0.0 && plate.low.y >= 0.0 && plate.high.x <= 200.0 && plate.high.y <= 100.0, "{plate:?}");
        }
        let too_large = place(&bounds(50.0, 50.0, 60.0, 60.0), (300.0, 20.0), &[], &[], SHEET, 2.0);
        assert_eq!(too_large.low.x, 0.0, "what does not fit begins at the edge");
    }

    #[test]
    fn words_go_round_what_is_there() {
        let about = bounds(90.0, 45.0, 110.0, 55.0);
        let above = place(&about, (40.0, 10.0), &[], &[], SHEET, 2.0);
        let other = place(&about, (40.0, 10.0), &[above], &[], SHEET, 2.0);
        assert_eq!(above.overlap(&other), 0.0);
    }

    #[test]
    fn words_rather_stand_beside_a_shape_than_on_it() {
        let (about, shape) = (bounds(90.0, 45.0, 110.0, 55.0), bounds(60.0, 0.0, 140.0, 60.0));
        let plate = place(&about, (40.0, 10.0), &[], &[shape], SHEET, 2.0);
        assert_eq!(shape.overlap(&plate), 0.0, "{plate:?}");
    }

    #[test]
    fn bounds_are_cut_off_at_the_sheet() {
        let points = |points: &[(f64, f64)]| Bounds::of(points.iter().map(|(x, y)| Point::new(*x, *y)), SHEET);
        assert_eq!(points(&[(-50.0, 20.0), (10.0, 300.0)]), Some(bounds(0.0, 20.0, 10.0, 100.0)));
        assert_eq!(points(&[(-50.0, 20.0), (-10.0, 30.0)]), None);
        assert_eq!(points(&[]), None);
    }
}
