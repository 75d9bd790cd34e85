//! Bilinear samples of the CUDA backend and their loss against the CPU backend.

use dragnext::kernels::cpu::Cpu;
use dragnext::kernels::cuda::Cuda;
use dragnext::kernels::cuda::driver::Format;
use dragnext::kernels::{Backend, BilinearPoint};

use super::compiled::available;
use super::emulated::{ConvolutionSupport, Emulated};
use super::fixture::relative;
use super::numbers::Numbers;

/// Returns the sampled L1 loss, the sampled values and the gradient.
fn sampled_l1<B: Backend>(backend: &B) -> (f64, [Vec<f32>; 2]) {
    let (channels, pixels, count) = (13, 40, 300);
    let mut numbers = Numbers::new(7);
    let map = backend.upload(numbers.normal(pixels * channels));
    let points = (0..count).map(|_| {
        let corner = (numbers.uniform() * (pixels - 9) as f64) as u32;
        let [x, y] = [(); 2].map(|()| numbers.uniform() as f32);
        BilinearPoint {
            pixels: [corner, corner + 1, corner + 8, corner + 9],
            weights: [(1.0 - x) * (1.0 - y), x * (1.0 - y), (1.0 - x) * y, x * y],
        }
    });
    let points = backend.points(points.collect());
    let values = backend.sample(channels, &map, &points);
    let target = backend.upload(numbers.normal(count * channels));
    let mut gradient = backend.zeros(pixels * channels);
    let loss = backend.sampled_l1(channels, &map, &points, &target, 0.25, &mut gradient);
    (
        loss,
        [backend.download(&values), backend.download(&gradient)],
    )
}

#[test]
fn samples_and_their_l1_loss() {
    if !available("samples_and_their_l1_loss") {
        return;
    }
    let (loss, expected) = sampled_l1(&Cpu);
    let (got, numbers) = sampled_l1(&Cuda::new(
        Emulated::new(ConvolutionSupport::Unsupported),
        Format::F16,
    ));
    assert!((got / loss - 1.0).abs() < 1e-6, "{got} is not {loss}");
    for (got, expected) in numbers.iter().zip(&expected) {
        assert!(relative(got, expected) < 1e-5);
    }
}
