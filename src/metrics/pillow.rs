//! Resizes as Pillow's `Image.resize` with `BILINEAR` does, to the last bit: evaluation scripts of the field resize edits so.
//!
//! The filter is a triangle, stretched when the picture shrinks. Rows come first, then columns; both round to 8 bits, with weights of 22 bits.

use rayon::prelude::*;

use crate::geometry::Size;
use crate::picture::Picture;

/// Bits of a weight after the binary point.
const BITS: u32 = 22;

/// Returns an 8-bit RGB copy of another size. Alpha is ignored.
pub(crate) fn bilinear(picture: &Picture, size: Size) -> Picture {
    let Size { width, height } = picture.size();
    let rgb = picture.rgb();
    let columns = windows(width, size.width);
    let mut rows = vec![0; size.width * height * 3]; // (height, new width, 3)
    rows.par_chunks_exact_mut(size.width * 3)
        .zip(rgb.par_chunks_exact(width * 3))
        .for_each(|(to, from)| {
            for (to, window) in to.chunks_exact_mut(3).zip(&columns) {
                for (channel, to) in to.iter_mut().enumerate() {
                    *to = window.sum(|index| from[index * 3 + channel]);
                }
            }
        });
    let lines = windows(height, size.height);
    let mut resized = vec![0; size.area() * 3]; // (new height, new width, 3)
    resized
        .par_chunks_exact_mut(size.width * 3)
        .zip(&lines)
        .for_each(|(to, window)| {
            for (place, to) in to.iter_mut().enumerate() {
                *to = window.sum(|index| rows[index * size.width * 3 + place]);
            }
        });
    Picture::from_rgb(size, resized)
}

/// The pixels that one pixel of the result is made from, with their weights.
#[derive(Debug)]
struct Window {
    first: usize,
    weights: Vec<i64>,
}

impl Window {
    fn sum(&self, sample: impl Fn(usize) -> u8) -> u8 {
        let terms = self.weights.iter().enumerate();
        let sum: i64 = terms
            .map(|(index, weight)| weight * i64::from(sample(self.first + index)))
            .sum();
        ((sum + (1 << (BITS - 1))) >> BITS).clamp(0, 255) as u8
    }
}

/// Returns the window of each of `to` pixels, made from `from` pixels.
fn windows(from: usize, to: usize) -> Vec<Window> {
    let scale = from as f64 / to as f64;
    let support = scale.max(1.0);
    (0..to)
        .map(|index| {
            let centre = (index as f64 + 0.5) * scale;
            let first = (centre - support + 0.5).max(0.0) as usize;
            let end = ((centre + support + 0.5) as usize).min(from);
            let weight = |place: usize| {
                let distance = (place as f64 - centre + 0.5) / support;
                (1.0 - distance.abs()).max(0.0)
            };
            let sum: f64 = (first..end).map(weight).sum();
            let fixed = |place| (weight(place) / sum * f64::from(1 << BITS)).round() as i64;
            Window {
                first,
                weights: (first..end).map(fixed).collect(),
            }
        })
        .collect()
}
