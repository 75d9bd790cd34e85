//! The parts of two pictures that a figure compares: masked at full size, cropped, warped, and the automatic mask of DragFlow.

use rayon::prelude::*;

use super::lpips::Pixels;
use crate::geometry::{Point, Size};
use crate::mask::Mask;
use crate::region::Region;

/// Shortest side of a crop, where the picture has that many pixels. AlexNet needs 31 (its third layer pools twice).
const MIN_CROP: usize = 64;

/// Returns the original moved by the whole drag of a region, and the pixels that the region then covers in the picture. Zeros elsewhere.
pub(super) fn moved(original: &Pixels, region: &Region) -> (Pixels, Mask) {
    let size = original.size;
    let centres: Vec<Point> = size.centres().collect();
    let pixels: Vec<Option<[f32; 3]>> = centres
        .into_par_iter()
        .map(|centre| {
            region
                .covers(1.0, centre)
                .then(|| original.at(region.source_of(1.0, centre)))
        })
        .collect();
    let mask = Mask {
        width: size.width,
        height: size.height,
        data: pixels.iter().map(Option::is_some).collect(),
    };
    let values = pixels
        .into_iter()
        .flat_map(|pixel| pixel.unwrap_or_default())
        .collect();
    (Pixels { size, values }, mask)
}

/// Returns the upright rectangle around a mask as left, top and size, at least [`MIN_CROP`] wide and high where the picture is; `None` for an
/// empty mask.
pub(super) fn crop(mask: &Mask) -> Option<([usize; 2], Size)> {
    let (low, high) = mask.bounds()?;
    let axis = |low: f64, high: f64, length: usize| {
        let (low, high) = (low as usize, high as usize);
        let wanted = (high - low).max(MIN_CROP).min(length);
        let start = low
            .saturating_sub((wanted - (high - low)) / 2)
            .min(length - wanted);
        (start, wanted)
    };
    let (left, width) = axis(low.x, high.x, mask.width);
    let (top, height) = axis(low.y, high.y, mask.height);
    Some(([left, top], Size::new(width, height)))
}

/// Returns the pixels outside `mask`; `None` if there are none.
pub(super) fn outside(mask: &Mask) -> Option<Mask> {
    let data: Vec<bool> = mask.data.iter().map(|inside| !inside).collect();
    data.contains(&true).then_some(Mask {
        data,
        ..mask.clone()
    })
}

/// Returns the automatic mask of DragFlow (section 11.2 of its metrics): for each region, the smallest rectangle of any direction around its
/// pixels before and after the drag.
pub(super) fn automatic_mask(size: Size, regions: &[Region]) -> Mask {
    let mut mask = Mask::filled(size, false);
    for region in regions {
        let after = size.centres().map(|centre| region.covers(1.0, centre));
        let both: Vec<bool> = region
            .mask
            .data
            .iter()
            .zip(after)
            .map(|(before, after)| *before || after)
            .collect();
        if let Some(rectangle) = Rectangle::around(&corners(size, &both)) {
            for (inside, centre) in mask.data.iter_mut().zip(size.centres()) {
                *inside |= rectangle.contains(centre);
            }
        }
    }
    mask
}

/// Returns the corners of the first and the last marked pixel of every row: their hull is that of all marked pixels.
fn corners(size: Size, marked: &[bool]) -> Vec<Point> {
    let mut corners = Vec::new();
    for (row, line) in marked.chunks_exact(size.width).enumerate() {
        let (Some(first), Some(last)) = (
            line.iter().position(|inside| *inside),
            line.iter().rposition(|inside| *inside),
        ) else {
            continue;
        };
        for x in [first, last + 1] {
            corners.extend([row, row + 1].map(|y| Point::new(x as f64, y as f64)));
        }
    }
    corners
}

/// A rectangle along a direction and across it.
#[derive(Debug, Clone, Copy)]
struct Rectangle {
    /// A unit vector.
    direction: (f64, f64),
    along: (f64, f64),
    across: (f64, f64),
}

impl Rectangle {
    /// Returns the rectangle of the smallest area around points; one of its sides lies on a side of their hull. `None` without points.
    fn around(points: &[Point]) -> Option<Self> {
        let hull = hull(points);
        let sides = hull.iter().zip(hull.iter().cycle().skip(1));
        let rectangles = sides.filter_map(|(from, to)| {
            let length = from.distance(*to);
            (length > 0.0).then(|| {
                let direction = ((to.x - from.x) / length, (to.y - from.y) / length);
                Self::along(direction, &hull)
            })
        });
        rectangles.min_by(|a, b| a.area().total_cmp(&b.area()))
    }

    fn along(direction: (f64, f64), points: &[Point]) -> Self {
        let range = |places: &mut dyn Iterator<Item = f64>| {
            places.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), place| {
                (low.min(place), high.max(place))
            })
        };
        let places = |point: &Point| place(direction, *point);
        Self {
            direction,
            along: range(&mut points.iter().map(|point| places(point).0)),
            across: range(&mut points.iter().map(|point| places(point).1)),
        }
    }

    fn area(&self) -> f64 {
        (self.along.1 - self.along.0) * (self.across.1 - self.across.0)
    }

    fn contains(&self, point: Point) -> bool {
        let (along, across) = place(self.direction, point);
        (self.along.0..=self.along.1).contains(&along)
            && (self.across.0..=self.across.1).contains(&across)
    }
}

/// Returns the coordinates of a point along a direction and across it.
fn place((x, y): (f64, f64), point: Point) -> (f64, f64) {
    (x * point.x + y * point.y, x * point.y - y * point.x)
}

/// Returns the corners of the convex hull, in order (Andrew's monotone chain).
fn hull(points: &[Point]) -> Vec<Point> {
    let mut sorted = points.to_vec();
    sorted.sort_by(|a, b| a.x.total_cmp(&b.x).then(a.y.total_cmp(&b.y)));
    let chain = |points: &mut dyn Iterator<Item = Point>| {
        let mut chain: Vec<Point> = Vec::new();
        for point in points {
            while let [.., a, b] = chain[..]
                && (b.x - a.x) * (point.y - a.y) <= (b.y - a.y) * (point.x - a.x)
            {
                chain.pop();
            }
            chain.push(point);
        }
        chain.pop(); // it is the first of the other chain
        chain
    };
    let mut hull = chain(&mut sorted.iter().copied());
    hull.extend(chain(&mut sorted.iter().rev().copied()));
    hull
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_rectangle_follows_a_slanted_strip() {
        let size = Size::new(100, 100);
        let strip = Mask::from_fn(size, |point| {
            (point.x - point.y).abs() < 4.0 && point.x + point.y > 60.0 && point.x + point.y < 140.0
        });
        let rectangle =
            Rectangle::around(&corners(size, &strip.data)).expect("the strip has pixels");
        let inside = Mask::from_fn(size, |point| rectangle.contains(point));
        assert!(
            strip
                .data
                .iter()
                .zip(&inside.data)
                .all(|(strip, inside)| !strip || *inside),
            "the rectangle is around the strip"
        );
        let upright = 44 * 44;
        assert!(
            inside.count() < upright / 2,
            "{} pixels, the upright rectangle has {upright}",
            inside.count()
        );
        assert!(Rectangle::around(&[]).is_none());
    }

    #[test]
    fn a_crop_is_grown_inside_the_picture() {
        let mut mask = Mask::filled(Size::new(100, 50), false);
        mask.data[3] = true;
        assert_eq!(crop(&mask), Some(([0, 0], Size::new(64, 50))));
        mask.data[100 * 49 + 99] = true;
        assert_eq!(crop(&mask), Some(([3, 0], Size::new(97, 50))));
        assert_eq!(crop(&Mask::filled(Size::new(9, 9), false)), None);
    }
}
