//! Losses of kernels, with their gradients.

use super::super::reference::{self, wide};
use super::{FORWARD, assert_close, assert_gradient, buffer};
use crate::bench::numbers::Numbers;
use dragnext::kernels::{Backend, BilinearPoint};

/// Returns random points of a map.
fn points(numbers: &mut Numbers, count: usize, height: usize, width: usize) -> Vec<BilinearPoint> {
    let point = |numbers: &mut Numbers| {
        let (y, x) = (
            numbers.uniform() * (height - 1) as f64,
            numbers.uniform() * (width - 1) as f64,
        );
        let pixel = |dy: usize, dx: usize| ((y as usize + dy) * width + x as usize + dx) as u32;
        let (v, u) = (y.fract() as f32, x.fract() as f32);
        let weights = [(1.0 - v) * (1.0 - u), (1.0 - v) * u, v * (1.0 - u), v * u];
        BilinearPoint {
            pixels: [pixel(0, 0), pixel(0, 1), pixel(1, 0), pixel(1, 1)],
            weights,
        }
    };
    (0..count).map(|_| point(numbers)).collect()
}

#[allow(clippy::float_cmp, reason = "zeros")]
fn sampled_l1_loss<B: Backend>(backend: &B) {
    let mut numbers = Numbers::new(13);
    let (height, width, channels) = (5, 6, 3);
    let places = points(&mut numbers, 20, height, width);
    let points = backend.points(places.clone());
    let (map, target) = (
        numbers.normal(height * width * channels),
        numbers.normal(20 * channels),
    );
    let on_device = buffer(backend, &map);
    let values = backend.sample(channels, &on_device, &points);
    assert_close(
        "samples",
        &backend.download(&values),
        &reference::sample(channels, &wide(&map), &places),
        FORWARD,
    );

    let scale = 0.3;
    let loss = |map: &[f64]| -> Vec<f64> {
        let sampled = reference::sample(channels, map, &places);
        vec![
            sampled
                .iter()
                .zip(&target)
                .map(|(value, target)| f64::from(scale) * (value - f64::from(*target)).abs())
                .sum(),
        ]
    };
    let start = numbers.normal(map.len());
    let mut gradient = buffer(backend, &start);
    let got = backend.sampled_l1(
        channels,
        &on_device,
        &points,
        &buffer(backend, &target),
        scale,
        &mut gradient,
    );
    assert!((got / loss(&wide(&map))[0] - 1.0).abs() < 1e-6);
    let added: Vec<f32> = backend
        .download(&gradient)
        .iter()
        .zip(&start)
        .map(|(sum, start)| sum - start)
        .collect();
    assert_gradient("sampled loss", &map, &[1.0], &added, loss);

    let mut unmoved = backend.zeros(map.len());
    assert_eq!(
        backend.sampled_l1(channels, &on_device, &points, &values, scale, &mut unmoved),
        0.0,
        "at its target the loss is zero"
    );
    assert!(
        backend.download(&unmoved).iter().all(|value| *value == 0.0),
        "and so is its gradient"
    );
}

fn weighted_l1_loss<B: Backend>(backend: &B) {
    let mut numbers = Numbers::new(14);
    let (cells, channels) = (30, 4);
    let (x, kept) = (
        numbers.normal(cells * channels),
        numbers.normal(cells * channels),
    );
    let weight: Vec<f32> = (0..cells).map(|cell| (cell % 3) as f32 * 0.5).collect();
    let loss = |x: &[f64]| -> Vec<f64> {
        let term =
            |at: usize| f64::from(weight[at / channels]) * (x[at] - f64::from(kept[at])).abs();
        vec![(0..x.len()).map(term).sum()]
    };
    let mut gradient = buffer(backend, &vec![f32::NAN; x.len()]);
    let got = backend.weighted_l1(
        &buffer(backend, &x),
        &buffer(backend, &kept),
        &buffer(backend, &weight),
        &mut gradient,
    );
    assert!((got / loss(&wide(&x))[0] - 1.0).abs() < 1e-6);
    assert_gradient(
        "weighted loss",
        &x,
        &[1.0],
        &backend.download(&gradient),
        loss,
    );
}

fn squared_error<B: Backend>(backend: &B) {
    let mut numbers = Numbers::new(15);
    let (weight, scale) = ([0.5_f32, 3.0], 0.25_f32);
    // Values of a picture that are read four at a time, and one at a time.
    for values in [320, 45] {
        let len = weight.len() * values;
        let (x, noise) = (numbers.normal(len), numbers.normal(len));
        let loss = |x: &[f64]| -> Vec<f64> {
            let term =
                |at: usize| f64::from(weight[at / values]) * (x[at] - f64::from(noise[at])).powi(2);
            vec![(0..x.len()).map(term).sum()]
        };
        let mut gradient = buffer(backend, &vec![f32::NAN; len]);
        let sum = backend.squared_error_sum(
            &buffer(backend, &x),
            &buffer(backend, &noise),
            &buffer(backend, &weight),
            scale,
            &mut gradient,
        );
        let got = backend.sum_value(&sum);
        assert!((got / loss(&wide(&x))[0] - 1.0).abs() < 1e-6);
        assert_gradient(
            "squared error",
            &x,
            &[scale / 2.0],
            &backend.download(&gradient),
            loss,
        );
    }
}

on_backends!(sampled_l1_loss, weighted_l1_loss, squared_error);
