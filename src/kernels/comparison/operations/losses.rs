//! Samples of a map, losses, and the optimiser.

use super::super::Numbers;
use super::super::Precision::{Exact, Rounded};
use super::super::recorder::Recorder;
use crate::kernels::{AdamStep, Backend, BilinearPoint, Sum};

/// Points between the pixels of a map, many of which share their pixels.
fn points([height, width]: [usize; 2], count: usize) -> Vec<BilinearPoint> {
    let mut numbers = Numbers::new(5);
    let mut below = |count: usize| (numbers.uniform() * count as f64) as usize;
    let mut point = |_| {
        let (row, column) = (below(height - 1), below(width - 1));
        let corner = row * width + column;
        let [x, y] = [(); 2].map(|()| below(8) as f32 / 8.0);
        BilinearPoint {
            pixels: [corner, corner + 1, corner + width, corner + width + 1]
                .map(|pixel| pixel as u32),
            weights: [(1.0 - x) * (1.0 - y), x * (1.0 - y), (1.0 - x) * y, x * y],
        }
    };
    (0..count).map(&mut point).collect()
}

pub(super) fn sampling<B: Backend>(
    r: &mut Recorder<B>,
    map: [usize; 2],
    channels: usize,
    count: usize,
) {
    let backend = r.backend;
    let len = map[0] * map[1] * channels;
    let points = backend.points(points(map, count));
    let map = r.compact(len);
    let values = backend.sample(channels, &map, &points);
    r.push_f32("samples", Rounded, &values);
    let target = r.full(count * channels);
    let mut gradient = backend.zeros(len);
    let loss = backend.sampled_l1(channels, &map, &points, &target, 0.25, &mut gradient);
    r.values("L1 of samples", Rounded, vec![loss as f32]);
    r.push_f32("L1 of samples, gradient", Rounded, &gradient);
    let mut scattered = r.full(len);
    backend.scatter(channels, &target, &points, &mut scattered);
    r.push_f32("scatter", Rounded, &scattered);
}

pub(super) fn weighted_l1<B: Backend>(r: &mut Recorder<B>, pixels: usize, channels: usize) {
    let backend = r.backend;
    let len = pixels * channels;
    let [x, reference] = [(); 2].map(|()| r.full(len));
    let weight = backend.upload((0..pixels).map(|pixel| (pixel % 3) as f32).collect());
    let mut gradient = backend.uninit(len);
    let sum = backend.weighted_l1(&x, &reference, &weight, &mut gradient);
    r.values("weighted L1", Rounded, vec![sum as f32]);
    r.push_f32("weighted L1, gradient", Exact, &gradient);
    let again = backend.weighted_l1_sum(&x, &reference, &weight, &mut gradient);
    let known = Sum::Known(2.0);
    let values = backend.sum_values(&[&again, &known, &backend.non_finite(&x)]);
    let values = values.iter().map(|value| *value as f32).collect();
    r.values("sums read together", Rounded, values);
}

pub(super) fn squared_error<B: Backend>(r: &mut Recorder<B>, pictures: usize, values: usize) {
    let backend = r.backend;
    let len = pictures * values;
    let [x, reference] = [(); 2].map(|()| r.full(len));
    let weight = backend.upload((1..=pictures).map(|picture| picture as f32).collect());
    let mut gradient = backend.uninit(len);
    let sum = backend.squared_error_sum(&x, &reference, &weight, 0.25, &mut gradient);
    let sum = backend.sum_value(&sum);
    r.values("squared error", Rounded, vec![sum as f32]);
    r.push_f32("squared error, gradient", Exact, &gradient);
}

pub(super) fn adam<B: Backend>(r: &mut Recorder<B>, len: usize) {
    let gradient = r.full(len);
    let [mut first, mut parameter] = [(); 2].map(|()| r.full(len));
    // Second moments are not negative.
    let squares = r.numbers(len, 1.0).iter().map(|x| x * x).collect();
    let mut second = r.backend.upload(squares);
    let step = AdamStep {
        step: 3,
        lr: 0.02,
        decay: 0.01,
    };
    r.backend
        .adam(&step, &gradient, &mut first, &mut second, &mut parameter);
    r.push_f32("Adam, first moments", Rounded, &first);
    r.push_f32("Adam, second moments", Rounded, &second);
    r.push_f32("Adam, parameters", Rounded, &parameter);
}
