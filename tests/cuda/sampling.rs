//! Bilinear samples of the CUDA backend, their adjoint and their L1 loss against the CPU backend.

use dragnext::kernels::cpu::Cpu;
use dragnext::kernels::cuda::Cuda;
use dragnext::kernels::cuda::driver::Format;
use dragnext::kernels::{Backend, BilinearPoint};

use super::compiled::available;
use super::emulated::{ConvolutionSupport, Emulated};
use crate::bench::fixture::{dot, relative};
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

fn cuda() -> Cuda {
    Cuda::new(Emulated::new(ConvolutionSupport::Unsupported), Format::F16)
}

#[test]
fn samples_their_adjoint_and_their_loss() {
    if !available("samples_their_adjoint_and_their_loss") {
        return;
    }
    // With and without vector loads and stores.
    for channels in [13, 16] {
        let (loss, expected) = results(&Cpu, channels);
        let (found_loss, found) = results(&cuda(), channels);
        assert!(
            (found_loss / loss - 1.0).abs() < 1e-6,
            "{found_loss} is not {loss}"
        );
        for ((name, found), (_, expected)) in found.iter().zip(&expected) {
            let error = relative(found, expected);
            assert!(error < 1e-5, "{name}, {channels} channels: {error:.1e}");
        }
    }
}

/// For every map m and values v, <sample(m), v> = <m, scatter(v)>.
#[test]
fn scatter_is_the_adjoint_of_sample() {
    if !available("scatter_is_the_adjoint_of_sample") {
        return;
    }
    let (cuda, mut numbers, channels) = (cuda(), Numbers::new(8), 6);
    let points = cuda.points(points(&mut numbers));
    let (map, values) = (
        numbers.normal(PIXELS * channels),
        numbers.normal(POINTS * channels),
    );
    let samples = cuda.sample(channels, &cuda.upload(map.clone()), &points);
    let mut scattered = cuda.zeros(PIXELS * channels);
    cuda.scatter(
        channels,
        &cuda.upload(values.clone()),
        &points,
        &mut scattered,
    );
    let left = dot(&cuda.download(&samples), &values);
    let right = dot(&map, &cuda.download(&scattered));
    assert!((left / right - 1.0).abs() < 1e-5, "{left} is not {right}");
}

#[test]
fn scatter_is_bitwise_reproducible() {
    if !available("scatter_is_bitwise_reproducible") {
        return;
    }
    assert_eq!(results(&cuda(), 13), results(&cuda(), 13));
}

#[test]
fn scatter_without_points_leaves_the_map() {
    if !available("scatter_without_points_leaves_the_map") {
        return;
    }
    let cuda = cuda();
    let points = cuda.points(Vec::new());
    let mut map = cuda.upload(vec![1.5; 8]);
    cuda.scatter(4, &cuda.upload(Vec::new()), &points, &mut map);
    assert_eq!(cuda.download(&map), [1.5; 8]);
}
