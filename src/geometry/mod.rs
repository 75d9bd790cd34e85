//! Points, sizes, grids, angles and linear maps, and the mapping between the image and the working picture ([`Frame`]).
//!
//! All coordinates are continuous with the origin at the top left corner, x to the right and y down: pixel `(row, column)`
//! covers `column..column + 1` times `row..row + 1`, and its centre is at a half. Angles are radians, counter-clockwise as
//! seen on the screen.

mod frame;
mod linear;

use std::f64::consts::PI;

use serde::Serialize;

pub use frame::{Frame, Window};
pub use linear::Linear;

/// Side of a latent cell in working pixels. The working picture's sides are multiples of it, since the VAE halves them three times.
pub const LATENT_CELL: usize = 8;
/// Side of a cell of the supervision grid in working pixels: features are compared at half the working picture's resolution
/// (DragNeXt, arXiv 2506.07611, implementation details).
pub const SUPERVISION_CELL: usize = 2;

/// A point in continuous image coordinates; `[x, y]` in files.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(into = "[f64; 2]")]
pub struct Point {
    /// Distance from the left edge.
    pub x: f64,
    /// Distance from the top edge.
    pub y: f64,
}

impl Point {
    /// Creates the point `(x, y)`.
    pub const fn new(x: f64, y: f64) -> Self {
        Self { x, y }
    }

    /// Returns the Euclidean distance.
    pub fn distance(self, other: Self) -> f64 {
        (self.x - other.x).hypot(self.y - other.y)
    }

    /// Returns the point with both coordinates scaled.
    #[must_use]
    pub fn scaled(self, by: Scale) -> Self {
        Self::new(self.x * by.x, self.y * by.y)
    }
}

impl From<Point> for [f64; 2] {
    fn from(point: Point) -> Self {
        [point.x, point.y]
    }
}

impl std::fmt::Display for Point {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "({}, {})", self.x, self.y)
    }
}

/// The two points of a drag: what lies at the handle is dragged to the target.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct PointPair {
    /// The point where the drag begins.
    pub handle: Point,
    /// The point where the drag ends.
    pub target: Point,
}

impl PointPair {
    /// Returns the pair with both points mapped.
    #[must_use]
    pub fn map(self, f: impl Fn(Point) -> Point) -> Self {
        Self {
            handle: f(self.handle),
            target: f(self.target),
        }
    }
}

/// Scale factors along x and y. They differ because a picture's sides are rounded to whole pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scale {
    /// Factor along x.
    pub x: f64,
    /// Factor along y.
    pub y: f64,
}

impl Scale {
    /// Returns the geometric mean, the factor for lengths without a direction.
    pub fn mean(self) -> f64 {
        (self.x * self.y).sqrt()
    }
}

/// Width and height in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Size {
    /// Pixels along x.
    pub width: usize,
    /// Pixels along y.
    pub height: usize,
}

impl Size {
    /// Creates a size of `width` by `height` pixels.
    pub const fn new(width: usize, height: usize) -> Self {
        Self { width, height }
    }

    /// Returns the number of pixels.
    pub const fn area(self) -> usize {
        self.width * self.height
    }

    /// Returns whether a point lies in the picture; all four edges belong to it.
    pub fn contains(self, point: Point) -> bool {
        (0.0..=self.width as f64).contains(&point.x)
            && (0.0..=self.height as f64).contains(&point.y)
    }

    /// Returns the factors that scale this size to `other`.
    pub fn scale_to(self, other: Self) -> Scale {
        Scale {
            x: other.width as f64 / self.width as f64,
            y: other.height as f64 / self.height as f64,
        }
    }

    /// Returns the centres of all pixels, row by row.
    pub fn centres(self) -> impl Iterator<Item = Point> {
        Grid {
            columns: self.width,
            rows: self.height,
            cell: 1.0,
        }
        .centres()
    }
}

impl std::fmt::Display for Size {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} x {}", self.width, self.height)
    }
}

/// Square cells over the working picture, stored row by row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Grid {
    /// Cells along x.
    pub columns: usize,
    /// Cells along y.
    pub rows: usize,
    /// Side of a cell in working pixels.
    pub cell: f64,
}

impl Grid {
    /// Returns the number of cells.
    pub const fn len(&self) -> usize {
        self.columns * self.rows
    }

    /// Returns whether the grid has no cell.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the grid's size in cells.
    pub const fn size(&self) -> Size {
        Size::new(self.columns, self.rows)
    }

    /// Returns the centre of cell `index` (`row * columns + column`), in working coordinates.
    pub fn centre(&self, index: usize) -> Point {
        let (row, column) = (index / self.columns, index % self.columns);
        Point::new(
            (column as f64 + 0.5) * self.cell,
            (row as f64 + 0.5) * self.cell,
        )
    }

    /// Returns the centre of the top left pixel of cell `index`, in working coordinates.
    pub fn first_pixel(&self, index: usize) -> Point {
        let (row, column) = (index / self.columns, index % self.columns);
        Point::new(
            column as f64 * self.cell + 0.5,
            row as f64 * self.cell + 0.5,
        )
    }

    /// Returns the centres of all cells, row by row.
    pub fn centres(self) -> impl Iterator<Item = Point> {
        (0..self.len()).map(move |index| self.centre(index))
    }
}

/// Returns the angle in `(-pi, pi]` that turns `handle` about `center` to the direction of `target`, counter-clockwise on the
/// screen positive.
pub fn turn_angle(handle: Point, target: Point, center: Point) -> f64 {
    let (hx, hy) = (handle.x - center.x, handle.y - center.y);
    let (tx, ty) = (target.x - center.x, target.y - center.y);
    // y points down, so the cross product is negated. Adding zero turns -0.0 into 0.0; atan2 distinguishes them.
    let (cross, dot) = (hy * tx - hx * ty + 0.0, hx * tx + hy * ty);
    let angle = cross.atan2(dot);
    if angle <= -PI { PI } else { angle }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_from_right_to_up_is_positive() {
        let center = Point::new(10.0, 10.0);
        let (right, up) = (Point::new(13.0, 10.0), Point::new(10.0, 7.0));
        assert!((turn_angle(right, up, center).to_degrees() - 90.0).abs() < 1e-12);
        assert!((turn_angle(up, right, center).to_degrees() + 90.0).abs() < 1e-12);
    }

    #[test]
    fn an_angle_near_half_a_turn_keeps_its_sign() {
        let at = |degrees: f64| Point::new(degrees.to_radians().cos(), -degrees.to_radians().sin());
        for degrees in [179.0, -179.0, 1.0, -1.0] {
            let angle = turn_angle(at(0.0), at(degrees), Point::new(0.0, 0.0)).to_degrees();
            assert!((angle - degrees).abs() < 1e-9, "{degrees} became {angle}");
        }
    }

    #[test]
    fn half_a_turn_is_positive_for_every_handle() {
        let center = Point::new(0.0, 0.0);
        for (x, y) in [(3.0, 0.0), (-3.0, 0.0), (0.0, 3.0), (0.0, -3.0)] {
            let angle = turn_angle(Point::new(x, y), Point::new(-x, -y), center);
            assert_eq!(angle.to_bits(), PI.to_bits(), "handle ({x}, {y})");
        }
    }
}
