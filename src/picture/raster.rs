//! A picture in floating point, for work between the photograph's samples and the network's input.

use crate::geometry::{Point, Size};

/// Red, green and blue of every pixel, row by row. The scale is 0 to 1 unless a function says otherwise; values may lie outside it.
#[derive(Debug, Clone, PartialEq)]
pub struct Raster {
    size: Size,
    pixels: Vec<[f32; 3]>,
}

impl Raster {
    /// Creates a raster from its pixels.
    ///
    /// # Panics
    /// If the number of pixels is not that of the size, or there is none.
    pub fn new(size: Size, pixels: Vec<[f32; 3]>) -> Self {
        assert_eq!(pixels.len(), size.area(), "one entry per pixel");
        assert!(!pixels.is_empty(), "a picture has at least one pixel");
        Self { size, pixels }
    }

    /// Returns width and height.
    pub const fn size(&self) -> Size {
        self.size
    }

    /// Returns the pixels, row by row.
    pub fn pixels(&self) -> &[[f32; 3]] {
        &self.pixels
    }

    /// Returns the pixels, row by row, for changes.
    pub fn pixels_mut(&mut self) -> &mut [[f32; 3]] {
        &mut self.pixels
    }

    /// Returns the value at a point, interpolated between the four nearest pixel centres (bilinear). A point beyond the outermost
    /// centres has the value of the nearest point between them.
    pub fn bilinear(&self, point: Point) -> [f32; 3] {
        let (left, right, x) = neighbours(point.x, self.size.width);
        let (top, bottom, y) = neighbours(point.y, self.size.height);
        let row = |row: usize| {
            let line = &self.pixels[row * self.size.width..];
            mixed(line[left], line[right], x)
        };
        mixed(row(top), row(bottom), y)
    }

    /// Returns the value at a point by bicubic interpolation of the sixteen nearest pixels (Catmull-Rom spline), clamped to the range of
    /// the four nearest, so that edges do not ring. Pixels beyond the border repeat the border's.
    pub fn bicubic(&self, point: Point) -> [f32; 3] {
        let (column, x) = base(point.x, self.size.width);
        let (row, y) = base(point.y, self.size.height);
        if x == 0.0 && y == 0.0 {
            return self.at_clamped(column, row);
        }
        let (across, down) = (spline(x), spline(y));
        let (mut value, mut low, mut high) = ([0.0; 3], [f32::INFINITY; 3], [f32::NEG_INFINITY; 3]);
        for (j, wy) in down.into_iter().enumerate() {
            for (i, wx) in across.into_iter().enumerate() {
                let pixel = self.at_clamped(column + i as isize - 1, row + j as isize - 1);
                let is_near = (1..3).contains(&i) && (1..3).contains(&j);
                for channel in 0..3 {
                    value[channel] += wx * wy * pixel[channel];
                    if is_near {
                        low[channel] = low[channel].min(pixel[channel]);
                        high[channel] = high[channel].max(pixel[channel]);
                    }
                }
            }
        }
        std::array::from_fn(|channel| value[channel].clamp(low[channel], high[channel]))
    }

    fn at_clamped(&self, column: isize, row: isize) -> [f32; 3] {
        let Size { width, height } = self.size;
        let column = column.clamp(0, width as isize - 1) as usize;
        let row = row.clamp(0, height as isize - 1) as usize;
        self.pixels[row * width + column]
    }
}

/// Returns `a` and `b` mixed, with the share `b_share` of `b`.
pub fn mixed(a: [f32; 3], b: [f32; 3], b_share: f32) -> [f32; 3] {
    std::array::from_fn(|channel| a[channel] + b_share * (b[channel] - a[channel]))
}

/// Returns the pixels on both sides of a position along an axis and the second one's share, clamped to the outermost centres.
fn neighbours(position: f64, length: usize) -> (usize, usize, f32) {
    let at = (position - 0.5).clamp(0.0, (length - 1) as f64);
    let low = at as usize;
    (low, (low + 1).min(length - 1), (at - low as f64) as f32)
}

/// Returns the pixel before a position along an axis, and how far the position lies behind its centre. Positions are clamped to one
/// pixel beyond the border.
fn base(position: f64, length: usize) -> (isize, f32) {
    let at = (position - 0.5).clamp(-1.0, length as f64);
    (at.floor() as isize, (at - at.floor()) as f32)
}

/// Returns the weights of four neighbours at fraction `t` between the second and the third (Catmull-Rom).
fn spline(t: f32) -> [f32; 4] {
    let (t2, t3) = (t * t, t * t * t);
    [
        -0.5 * t3 + t2 - 0.5 * t,
        1.5 * t3 - 2.5 * t2 + 1.0,
        -1.5 * t3 + 2.0 * t2 + 0.5 * t,
        0.5 * t3 - 0.5 * t2,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ramp(width: usize, height: usize) -> Raster {
        let size = Size::new(width, height);
        let pixels = size.centres().map(|centre| {
            let (x, y) = (centre.x as f32, centre.y as f32);
            [x, y, x + 2.0 * y]
        });
        Raster::new(size, pixels.collect())
    }

    #[test]
    fn both_interpolations_reproduce_a_linear_ramp() {
        let picture = ramp(9, 7);
        for (x, y) in [(3.2, 2.9), (4.5, 3.5), (5.0, 2.0)] {
            for value in [
                picture.bilinear(Point::new(x, y)),
                picture.bicubic(Point::new(x, y)),
            ] {
                let expected = [x as f32, y as f32, (x + 2.0 * y) as f32];
                for (value, expected) in value.iter().zip(expected) {
                    assert!((value - expected).abs() < 1e-5, "{value} is not {expected}");
                }
            }
        }
    }

    #[test]
    fn pixel_centres_give_the_pixels_bit_for_bit() {
        let picture = ramp(5, 4);
        for (centre, pixel) in picture.size().centres().zip(picture.pixels()) {
            assert_eq!(picture.bilinear(centre), *pixel);
            assert_eq!(picture.bicubic(centre), *pixel);
        }
    }

    #[test]
    fn points_far_outside_have_the_value_of_the_border() {
        let picture = ramp(5, 4);
        for point in [Point::new(-1e9, -1e9), Point::new(f64::NEG_INFINITY, -3.0)] {
            assert_eq!(picture.bilinear(point), picture.pixels()[0]);
            assert_eq!(picture.bicubic(point), picture.pixels()[0]);
        }
        let single = Raster::new(Size::new(1, 1), vec![[0.25; 3]]);
        assert_eq!(single.bilinear(Point::new(0.1, 7.0)), [0.25; 3]);
        assert_eq!(single.bicubic(Point::new(0.1, 7.0)), [0.25; 3]);
    }

    #[test]
    fn bicubic_interpolation_does_not_ring_at_an_edge() {
        let size = Size::new(8, 1);
        let pixels = (0..8).map(|x| [if x < 4 { 0.0 } else { 1.0 }; 3]).collect();
        let step = Raster::new(size, pixels);
        for tenth in 0..80 {
            let value = step.bicubic(Point::new(f64::from(tenth) / 10.0, 0.5))[0];
            assert!((0.0..=1.0).contains(&value));
        }
    }
}
