//! Outlines: rectangles, ellipses and polygons in continuous coordinates, and the pixels that they cover.

use serde::Serialize;

use crate::geometry::{Point, Scale, Size};
use crate::mask::Mask;

/// Corners of the polygon as which an ellipse is drawn; on a circle of 1000 pixels it deviates by a third of a pixel at most.
const ELLIPSE_CORNERS: usize = 128;

/// An outline in continuous coordinates, written in files as `{"rect": [...]}` and so on.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outline {
    /// Left, top, right and bottom edge.
    Rect([f64; 4]),
    /// Centre x and y, radius along x and y.
    Ellipse([f64; 4]),
    /// Corners; inside by the even-odd rule.
    Polygon(Vec<Point>),
}

impl Outline {
    /// Returns the outline in coordinates whose origin is `corner`.
    #[must_use]
    pub fn seen_from(&self, corner: Point) -> Self {
        match self {
            Self::Rect([left, top, right, bottom]) => Self::Rect([
                left - corner.x,
                top - corner.y,
                right - corner.x,
                bottom - corner.y,
            ]),
            Self::Ellipse([cx, cy, rx, ry]) => {
                Self::Ellipse([cx - corner.x, cy - corner.y, *rx, *ry])
            }
            Self::Polygon(corners) => Self::Polygon(
                corners
                    .iter()
                    .map(|point| Point::new(point.x - corner.x, point.y - corner.y))
                    .collect(),
            ),
        }
    }

    /// Returns the outline with all coordinates scaled.
    #[must_use]
    pub fn scaled(&self, by: Scale) -> Self {
        let stretch = |[a, b, c, d]: [f64; 4]| [a * by.x, b * by.y, c * by.x, d * by.y];
        match self {
            Self::Rect(edges) => Self::Rect(stretch(*edges)),
            Self::Ellipse(numbers) => Self::Ellipse(stretch(*numbers)),
            Self::Polygon(corners) => {
                Self::Polygon(corners.iter().map(|corner| corner.scaled(by)).collect())
            }
        }
    }

    /// Returns the top left and bottom right corner of the smallest upright rectangle around the outline.
    pub fn bounds(&self) -> (Point, Point) {
        match self {
            Self::Rect([left, top, right, bottom]) => {
                (Point::new(*left, *top), Point::new(*right, *bottom))
            }
            Self::Ellipse([cx, cy, rx, ry]) => {
                (Point::new(cx - rx, cy - ry), Point::new(cx + rx, cy + ry))
            }
            Self::Polygon(corners) => {
                let nothing = (
                    Point::new(f64::INFINITY, f64::INFINITY),
                    Point::new(f64::NEG_INFINITY, f64::NEG_INFINITY),
                );
                corners.iter().fold(nothing, |(low, high), corner| {
                    (
                        Point::new(low.x.min(corner.x), low.y.min(corner.y)),
                        Point::new(high.x.max(corner.x), high.y.max(corner.y)),
                    )
                })
            }
        }
    }

    /// Returns the corners of the outline; an ellipse is approximated by a polygon.
    pub fn ring(&self) -> Vec<Point> {
        match self {
            Self::Rect([left, top, right, bottom]) => {
                [(left, top), (right, top), (right, bottom), (left, bottom)]
                    .map(|(x, y)| Point::new(*x, *y))
                    .to_vec()
            }
            Self::Ellipse([cx, cy, rx, ry]) => {
                let corner = |index: usize| {
                    (std::f64::consts::TAU * index as f64 / ELLIPSE_CORNERS as f64).sin_cos()
                };
                (0..ELLIPSE_CORNERS)
                    .map(corner)
                    .map(|(sin, cos)| Point::new(cx + rx * cos, cy + ry * sin))
                    .collect()
            }
            Self::Polygon(corners) => corners.clone(),
        }
    }

    /// Returns the pixels of a picture whose centres lie inside.
    pub fn raster(&self, size: Size) -> Mask {
        let mut mask = Mask::filled(size, false);
        let mut crossings = Vec::new();
        // The first column whose centre is not left of x.
        let column = |x: f64| (x - 0.5).ceil().clamp(0.0, size.width as f64) as usize;
        for (row, pixels) in mask.data.chunks_mut(size.width.max(1)).enumerate() {
            self.crossings(row as f64 + 0.5, &mut crossings);
            for span in crossings.chunks_exact(2) {
                let (from, to) = (column(span[0]), column(span[1]));
                pixels[from..to.max(from)].fill(true);
            }
        }
        mask
    }

    /// Finds where the horizontal line at `y` crosses the outline, from left to right; an even number of places.
    fn crossings(&self, y: f64, places: &mut Vec<f64>) {
        places.clear();
        match self {
            Self::Rect([left, top, right, bottom]) => {
                if (*top..*bottom).contains(&y) {
                    places.extend([*left, *right]);
                }
            }
            Self::Ellipse([cx, cy, rx, ry]) => {
                let height = (y - cy) / ry;
                if height.abs() < 1.0 {
                    let half = rx * (1.0 - height * height).sqrt();
                    places.extend([cx - half, cx + half]);
                }
            }
            Self::Polygon(corners) => {
                for (index, a) in corners.iter().enumerate() {
                    let b = corners[(index + 1) % corners.len()];
                    // An end on the line belongs to one of its two edges only, so that a corner is not counted twice.
                    if (a.y <= y) != (b.y <= y) {
                        places.push(a.x + (y - a.y) / (b.y - a.y) * (b.x - a.x));
                    }
                }
                places.sort_by(f64::total_cmp);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(outline: &Outline, size: Size) -> Vec<String> {
        let mask = outline.raster(size);
        mask.data
            .chunks(size.width)
            .map(|row| {
                row.iter()
                    .map(|inside| if *inside { '#' } else { '.' })
                    .collect()
            })
            .collect()
    }

    fn polygon(corners: &[[f64; 2]]) -> Outline {
        Outline::Polygon(corners.iter().map(|[x, y]| Point::new(*x, *y)).collect())
    }

    #[test]
    fn a_pixel_is_covered_when_its_centre_is() {
        let rect = Outline::Rect([0.6, 1.0, 3.5, 3.4]);
        assert_eq!(
            rows(&rect, Size::new(5, 4)),
            [".....", ".##..", ".##..", "....."]
        );
    }

    #[test]
    fn an_ellipse_is_symmetric() {
        let ellipse = Outline::Ellipse([3.0, 2.0, 3.0, 2.0]);
        assert_eq!(
            rows(&ellipse, Size::new(6, 4)),
            [".####.", "######", "######", ".####."]
        );
    }

    #[test]
    fn the_ring_lies_on_the_edge() {
        let ellipse = Outline::Ellipse([30.0, 20.0, 20.0, 5.0]).ring();
        assert!(ellipse.iter().all(|point| {
            (((point.x - 30.0) / 20.0).hypot((point.y - 20.0) / 5.0) - 1.0).abs() < 1e-12
        }));
        let rect = Outline::Rect([1.0, 2.0, 5.0, 9.0]);
        let size = Size::new(12, 12);
        assert_eq!(
            Outline::Polygon(rect.ring()).raster(size),
            rect.raster(size)
        );
    }

    #[test]
    fn a_polygon_is_filled_by_the_even_odd_rule() {
        let inner_square_twice = polygon(&[
            [0.0, 0.0],
            [6.0, 0.0],
            [6.0, 6.0],
            [0.0, 6.0],
            [0.0, 0.0],
            [2.0, 2.0],
            [4.0, 2.0],
            [4.0, 4.0],
            [2.0, 4.0],
            [2.0, 2.0],
        ]);
        assert_eq!(
            rows(&inner_square_twice, Size::new(6, 6)),
            ["######", "######", "##..##", "##..##", "######", "######"]
        );
    }

    #[test]
    fn an_outline_is_clipped_at_the_picture() {
        let rect = Outline::Rect([-5.0, -5.0, 2.0, 1e6]);
        assert_eq!(rows(&rect, Size::new(3, 2)), ["##.", "##."]);
        assert_eq!(
            Outline::Rect([10.0, 0.0, 20.0, 5.0])
                .raster(Size::new(4, 4))
                .count(),
            0
        );
    }

    #[test]
    fn a_rectangle_covers_the_same_pixels_as_its_polygon() {
        let size = Size::new(20, 20);
        let rect = Outline::Rect([2.5, 3.5, 10.0, 12.2]);
        let same = polygon(&[[2.5, 3.5], [10.0, 3.5], [10.0, 12.2], [2.5, 12.2]]);
        assert_eq!(rect.raster(size), same.raster(size));
    }
}
