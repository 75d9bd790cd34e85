//! Upright rectangles on the sheet.

use crate::geometry::{Point, Size};

/// An upright rectangle.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Bounds {
    pub(super) low: Point,
    pub(super) high: Point,
}

impl Bounds {
    /// Returns the square around a point.
    pub(super) fn around(point: Point, radius: f64) -> Self {
        Self {
            low: Point::new(point.x - radius, point.y - radius),
            high: Point::new(point.x + radius, point.y + radius),
        }
    }

    /// Returns the smallest rectangle around points; `None` when there are none.
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

    /// Returns the smallest rectangle around points, clipped to the sheet; `None` when nothing is left.
    pub(super) fn of(points: impl Iterator<Item = Point>, sheet: Size) -> Option<Self> {
        let all = Self::of_all(points)?;
        let low = Point::new(all.low.x.max(0.0), all.low.y.max(0.0));
        let high = Point::new(
            all.high.x.min(sheet.width as f64),
            all.high.y.min(sheet.height as f64),
        );
        (low.x <= high.x && low.y <= high.y).then_some(Self { low, high })
    }

    /// Returns width and height.
    pub(super) fn extent(&self) -> (f64, f64) {
        (self.high.x - self.low.x, self.high.y - self.low.y)
    }

    pub(super) fn middle(&self) -> Point {
        Point::new(
            f64::midpoint(self.low.x, self.high.x),
            f64::midpoint(self.low.y, self.high.y),
        )
    }

    pub(super) fn area(&self) -> f64 {
        let (width, height) = self.extent();
        (width * height).max(1.0)
    }

    /// Returns the area of the intersection.
    pub(super) fn overlap(&self, other: &Self) -> f64 {
        let along = |low: f64, high: f64| (high - low).max(0.0);
        along(self.low.x.max(other.low.x), self.high.x.min(other.high.x))
            * along(self.low.y.max(other.low.y), self.high.y.min(other.high.y))
    }

    /// Returns the rectangle moved as little as possible to lie on the sheet. A larger one starts at the sheet's top left.
    pub(super) fn inside(&self, sheet: Size) -> Self {
        let shift = |low: f64, high: f64, side: f64| (side - high).min(0.0).max(-low);
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

/// Returns the outline of a rectangle with rounded corners.
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

    #[test]
    fn bounds_are_clipped_to_the_sheet() {
        let points = |points: &[(f64, f64)]| {
            Bounds::of(points.iter().map(|(x, y)| Point::new(*x, *y)), SHEET)
        };
        assert_eq!(
            points(&[(-50.0, 20.0), (10.0, 300.0)]),
            Some(Bounds {
                low: Point::new(0.0, 20.0),
                high: Point::new(10.0, 100.0)
            })
        );
        assert_eq!(points(&[(-50.0, 20.0), (-10.0, 30.0)]), None);
        assert_eq!(points(&[]), None);
    }
}
