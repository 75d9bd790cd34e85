//! Properties of bilinear samples of a backend and of their adjoint.

use dragnext::kernels::{Backend, BilinearPoint};

use crate::bench::fixture::dot;
use crate::bench::numbers::Numbers;

const PIXELS: usize = 40;
const POINTS: usize = 300;

/// Points between the pixels of a map that is 8 pixels wide. Many share their pixels.
fn points(numbers: &mut Numbers) -> Vec<BilinearPoint> {
    let point = |_| {
        let corner = (numbers.uniform() * (PIXELS - 9) as f64) as u32;
        let [x, y] = [(); 2].map(|()| numbers.uniform() as f32);
        BilinearPoint {
            pixels: [corner, corner + 1, corner + 8, corner + 9],
            weights: [(1.0 - x) * (1.0 - y), x * (1.0 - y), (1.0 - x) * y, x * y],
        }
    };
    (0..POINTS).map(point).collect()
}

/// Returns the sampled L1 loss, and by name the samples, the loss's gradient, and values scattered
/// to a map of ones.
fn results<B: Backend>(backend: &B, channels: usize) -> (f64, [(&'static str, Vec<f32>); 3]) {
    let mut numbers = Numbers::new(7);
    let map = backend.upload(numbers.normal(PIXELS * channels));
    let points = backend.points(points(&mut numbers));
    let samples = backend.sample(channels, &map, &points);
    let values = backend.upload(numbers.normal(POINTS * channels));
    let mut gradient = backend.zeros(PIXELS * channels);
    let loss = backend.sampled_l1(channels, &map, &points, &values, 0.25, &mut gradient);
    let mut scattered = backend.upload(vec![1.0; PIXELS * channels]);
    backend.scatter(channels, &values, &points, &mut scattered);
    let buffers = [
        ("samples", &samples),
        ("gradient", &gradient),
        ("scattered", &scattered),
    ];
    (
        loss,
        buffers.map(|(name, buffer)| (name, backend.download(buffer))),
    )
}

/// For every map m and values v, <sample(m), v> = <m, scatter(v)>.
pub(crate) fn scatter_is_the_adjoint_of_sample<B: Backend>(backend: &B) {
    let (mut numbers, channels) = (Numbers::new(8), 6);
    let points = backend.points(points(&mut numbers));
    let (map, values) = (
        numbers.normal(PIXELS * channels),
        numbers.normal(POINTS * channels),
    );
    let samples = backend.sample(channels, &backend.upload(map.clone()), &points);
    let mut scattered = backend.zeros(PIXELS * channels);
    backend.scatter(
        channels,
        &backend.upload(values.clone()),
        &points,
        &mut scattered,
    );
    let left = dot(&backend.download(&samples), &values);
    let right = dot(&map, &backend.download(&scattered));
    assert!((left / right - 1.0).abs() < 1e-5, "{left} is not {right}");
}

pub(crate) fn scatter_is_bitwise_reproducible<B: Backend>(backend: &B) {
    assert_eq!(results(backend, 13), results(backend, 13));
}

pub(crate) fn scatter_without_points_leaves_the_map<B: Backend>(backend: &B) {
    let points = backend.points(Vec::new());
    let mut map = backend.upload(vec![1.5; 8]);
    backend.scatter(4, &backend.upload(Vec::new()), &points, &mut map);
    assert_eq!(backend.download(&map), [1.5; 8]);
}
