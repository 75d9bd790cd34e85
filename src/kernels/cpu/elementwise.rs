//! Operations value by value, or pixel by pixel.

use rayon::prelude::*;

use super::GRAIN;
use super::buffer::Buffer;
use super::vector::{update, vectorised};

vectorised! {
    fn combine_chunk<'a>(simd, a: f32, y: &'a mut [f32], b: f32, x: &'a [f32]) {
        update(simd, [x], [y], |[y], [x]| [y * a + x * b]);
    }
}

pub(super) fn combine(a: f32, y: &mut [f32], b: f32, x: &[f32]) {
    y.par_chunks_mut(GRAIN)
        .zip(x.par_chunks(GRAIN))
        .for_each(|(y, x)| combine_chunk(a, y, b, x));
}

/// Returns factor * x; `None` if that equals x.
pub(super) fn scaled(x: &Buffer, factor: f32) -> Option<Buffer> {
    (factor != 1.0).then(|| {
        let mut y = x.clone();
        combine(factor, &mut y, 0.0, x);
        y
    })
}

pub(super) fn all_finite(x: &[f32]) -> bool {
    x.par_chunks(1 << 16)
        .all(|chunk| chunk.iter().all(|x| x.is_finite()))
}

pub(super) fn sum_pictures(x: &[f32], y: &mut [f32]) {
    y.fill(0.0);
    for x in x.chunks_exact(y.len()) {
        y.iter_mut().zip(x).for_each(|(sum, value)| *sum += value);
    }
}

pub(super) fn select(mask: &[f32], x: &[f32], y: &mut [f32]) {
    let channels = y.len() / mask.len();
    for ((mask, x), y) in mask
        .iter()
        .zip(x.chunks_exact(channels))
        .zip(y.chunks_exact_mut(channels))
    {
        if *mask > 0.5 {
            y.copy_from_slice(x);
        }
    }
}
