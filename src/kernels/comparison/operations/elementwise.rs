//! Operations value by value, on rows, and resizing.

use super::super::Precision::{Exact, Rounded};
use super::super::recorder::Recorder;
use crate::kernels::Backend;

pub(super) fn of_values<B: Backend>(r: &mut Recorder<B>, len: usize) {
    let (x, dy) = (r.compact(len), r.compact(len));
    r.write("SiLU", Rounded, &x, len, |backend, y| backend.silu(&x, y));
    r.write("SiLU backward", Rounded, &x, len, |backend, dx| {
        backend.silu_backward(&x, &dy, dx);
    });
    let mut y = r.compact(len);
    r.backend.combine(0.5, &mut y, -1.5, &x);
    r.push("sum of two", Rounded, &y);
    // Latents are f32 and the network's outputs are not.
    let mut y = r.full(len);
    r.backend.combine(0.75, &mut y, 0.25, &x);
    r.push_f32("sum of two", Rounded, &y);
    let factors = r.backend.upload(vec![3.0, 0.75, -0.25]);
    let (mut y, x) = (r.full(len), r.full(len));
    r.backend.combine_by(&factors, 1, &mut y, &x);
    r.push_f32("sum of two with factors of a buffer", Rounded, &y);
    let x = r.compact(3 * len);
    r.write("sum over pictures", Rounded, &x, len, |backend, y| {
        backend.sum_pictures(&x, y);
    });
}

pub(super) fn of_rows<B: Backend>(r: &mut Recorder<B>, rows: usize, channels: usize) {
    let mask = (0..rows).map(|row| f32::from(u8::from(row % 3 != 1)));
    let mask = r.backend.upload(mask.collect());
    let (x, mut y) = (r.compact(rows * channels), r.compact(rows * channels));
    r.backend.select(&mask, &x, &mut y);
    r.push("selection", Exact, &y);
    let wide = channels + 3;
    let mut y = r.compact(rows * wide);
    let count = channels.max(2) - 1;
    r.backend
        .copy_columns(count, &x, channels, channels - count, &mut y, wide, 2);
    r.push("copy of columns", Exact, &y);
    let mut y = r.compact(rows * wide);
    r.backend
        .copy_columns(channels, &x, channels, 0, &mut y, wide, 0);
    r.push("copy of columns", Exact, &y);
}

pub(super) fn geglu<B: Backend>(r: &mut Recorder<B>, rows: usize, channels: usize) {
    let (x, dy) = (r.compact(2 * rows * channels), r.compact(rows * channels));
    r.write("GEGLU", Rounded, &x, rows * channels, |backend, y| {
        backend.geglu(channels, &x, y);
    });
    let len = 2 * rows * channels;
    r.write("GEGLU backward", Rounded, &x, len, |backend, dx| {
        backend.geglu_backward(channels, &x, &dy, dx);
    });
}

pub(super) fn upsample<B: Backend>(
    r: &mut Recorder<B>,
    channels: usize,
    from: [usize; 2],
    to: [usize; 2],
) {
    let [small, large] = [from, to].map(|[height, width]| 2 * height * width * channels);
    let (x, dy) = (r.compact(small), r.compact(large));
    r.write("upsample", Exact, &x, large, |backend, y| {
        backend.upsample(channels, from, to, &x, y);
    });
    r.write("upsample backward", Rounded, &x, small, |backend, dx| {
        backend.upsample_backward(channels, from, to, &dy, dx);
    });
}
