//! Pictures as the metrics' networks read them, and how they are resized.

use rayon::prelude::*;

use super::lpips::Pixels;
use crate::geometry::{Point, Size};
use crate::mask::Mask;
use crate::picture::Picture;

impl Pixels {
    /// Returns a picture's red, green and blue in 8 bits, scaled to -1 to 1. Alpha is ignored.
    pub(crate) fn of(picture: &Picture) -> Self {
        let values = picture.rgb().into_par_iter();
        Self {
            size: picture.size(),
            values: values
                .map(|sample| f32::from(sample) / 127.5 - 1.0)
                .collect(),
        }
    }

    /// Returns the picture in another size, bilinear between the centres of pixels and without a low-pass filter: `interpolate` of PyTorch
    /// with `mode="bilinear"`.
    pub(crate) fn resized(&self, size: Size) -> Self {
        let columns = taps(self.size.width, size.width);
        let rows = taps(self.size.height, size.height);
        let mut values = vec![0.0; size.area() * 3]; // (height, width, 3)
        values
            .par_chunks_exact_mut(size.width * 3)
            .zip(&rows)
            .for_each(|(line, row)| {
                for (pixel, column) in line.chunks_exact_mut(3).zip(&columns) {
                    pixel.copy_from_slice(&self.blend(row, column));
                }
            });
        Self { size, values }
    }

    /// Returns the value at a point, bilinear between the centres of pixels. Beyond the outer centres, the picture continues unchanged.
    pub(crate) fn at(&self, point: Point) -> [f32; 3] {
        let tap = |place: f64, length: usize| Tap::new((place - 0.5).max(0.0), length);
        self.blend(
            &tap(point.y, self.size.height),
            &tap(point.x, self.size.width),
        )
    }

    fn blend(&self, row: &Tap, column: &Tap) -> [f32; 3] {
        let value = |row: usize, column: usize, channel: usize| {
            self.values[(row * self.size.width + column) * 3 + channel]
        };
        [0, 1, 2].map(|channel| {
            let line = |row: usize| {
                (1.0 - column.share) * value(row, column.first, channel)
                    + column.share * value(row, column.second, channel)
            };
            (1.0 - row.share) * line(row.first) + row.share * line(row.second)
        })
    }

    /// Returns the picture with zeros, which are mid-grey, outside a mask.
    pub(crate) fn within(&self, mask: &Mask) -> Self {
        assert_eq!(mask.size(), self.size, "the mask has the picture's size");
        let mut masked = self.clone();
        let pixels = masked.values.par_chunks_exact_mut(3);
        pixels.zip(&mask.data).for_each(|(pixel, inside)| {
            if !inside {
                pixel.fill(0.0);
            }
        });
        masked
    }

    /// Returns the part of `size` whose top left pixel is at (`left`, `top`).
    pub(crate) fn cropped(&self, [left, top]: [usize; 2], size: Size) -> Self {
        let rows = self.values.chunks_exact(self.size.width * 3);
        let rows = rows.skip(top).take(size.height);
        Self {
            size,
            values: rows
                .flat_map(|row| &row[left * 3..(left + size.width) * 3])
                .copied()
                .collect(),
        }
    }
}

/// Two neighbouring pixels along one axis, and the share of the second.
#[derive(Debug, Clone, Copy)]
struct Tap {
    first: usize,
    second: usize,
    share: f32,
}

impl Tap {
    /// Returns the pixels around a place in units of pixels, from the first pixel's centre.
    fn new(place: f64, length: usize) -> Self {
        let first = (place as usize).min(length - 1);
        Self {
            first,
            second: (first + 1).min(length - 1),
            share: (place - first as f64) as f32,
        }
    }
}

/// Returns the pixels of a side of `from` pixels that each of `to` pixels is made from.
fn taps(from: usize, to: usize) -> Vec<Tap> {
    let scale = from as f64 / to as f64;
    (0..to)
        .map(|index| Tap::new(((index as f64 + 0.5) * scale - 0.5).max(0.0), from))
        .collect()
}
