//! Single operations on a GPU against those of the CPU, at sizes that the small networks do not have.

use dragnext::kernels::cpu::Cpu;
use dragnext::kernels::cuda::Cuda;
use dragnext::kernels::cuda::driver::Format;
use dragnext::kernels::{AttentionShape, Backend, BilinearPoint};

use super::emulated::{Emulated, Library, available};
use super::fixture::{cosine, relative, report};
use super::numbers::Numbers;

/// o, stats, dq, dk and dv of an attention of pictures that read the keys and values of `sources`; gradients where these are their own.
fn attention<B: Backend>(backend: &B, shape: &AttentionShape, pictures: usize, sources: &[usize]) -> Vec<Vec<f32>> {
    let mut numbers = Numbers::new(shape.head_size as u64);
    // As every device stores them: what f16 cannot tell apart is no error of an attention.
    let mut given = |len: usize| {
        let numbers: Vec<f32> = numbers.normal(len).into_iter().map(|x| half::bf16::from_f32(x).to_f32()).collect();
        let full = backend.upload(numbers);
        backend.compact(&full, 1.0).unwrap_or(full)
    };
    let (row, rows) = (shape.channels(), shape.batch * shape.queries);
    let [q, d_o] = [(); 2].map(|()| given(rows * row));
    let [k, v] = [(); 2].map(|()| given(pictures * shape.keys * row));
    let mut stats = backend.unset(shape.batch * shape.heads * shape.queries);
    let mut o = backend.unset_like(&q, rows * row);
    backend.attention(shape, sources, &q, &k, &v, &mut stats, &mut o);
    let mut said = vec![backend.download(&o), backend.download(&stats)];
    let own = sources.iter().enumerate().all(|(picture, source)| picture == *source);
    if own || pictures == 1 {
        let mut dq = backend.unset_like(&q, rows * row);
        let [mut dk, mut dv] = [(); 2].map(|()| backend.unset_like(&q, shape.batch * shape.keys * row));
        backend.attention_backward(shape, &q, &k, &v, &stats, &o, &d_o, &mut dq, Some((&mut dk, &mut dv)));
        said.extend([dq, dk, dv].map(|gradient| backend.download(&gradient)));
    }
    said
}

#[test]
fn attention_with_and_without_a_kernel_of_its_own() {
    if !available("attention_with_and_without_a_kernel_of_its_own") {
        return;
    }
    let shape = |batch, heads, queries, keys, head_size| AttentionShape { batch, heads, queries, keys, head_size };
    let cases = [
        (shape(2, 2, 65, 65, 32), 2, vec![0, 1]),
        (shape(1, 2, 130, 77, 40), 1, vec![0]),
        (shape(3, 1, 33, 20, 64), 1, vec![0, 0, 0]),
        (shape(1, 1, 70, 100, 80), 1, vec![0]),
        (shape(2, 1, 40, 9, 160), 2, vec![0, 1]),
        // Sizes without a kernel of their own.
        (shape(2, 3, 20, 31, 24), 2, vec![0, 1]),
        (shape(1, 1, 25, 25, 512), 1, vec![0]),
        // Pictures that read those of others.
        (shape(4, 2, 17, 17, 40), 3, vec![1, 1, 2, 0]),
        (shape(3, 1, 9, 9, 8), 3, vec![2, 2, 0]),
    ];
    for (shape, pictures, sources) in cases {
        let expected = attention(&Cpu, &shape, pictures, &sources);
        for (format, tolerance, direction) in [(Format::F32, 1e-5, 1.0 - 1e-9), (Format::F16, 2e-3, 0.9999), (Format::Bf16, 1.6e-2, 0.999)]
        {
            let got = attention(&Cuda::new(Emulated::new(Library::Absent), format), &shape, pictures, &sources);
            assert_eq!(got.len(), expected.len());
            for (index, (got, expected)) in got.iter().zip(&expected).enumerate() {
                let (error, cosine) = (relative(got, expected), cosine(got, expected));
                report(&format!("{shape:?} {} {index}: relative {error:.1e}, cosine 1 - {:.1e}", format.name(), 1.0 - cosine));
                assert!(error <= if index < 2 { tolerance } else { 3.0 * tolerance }, "{shape:?}, {}, {index}: {error:.2e}", format.name());
                assert!(cosine >= direction, "{shape:?}, {}, {index}: cosine {cosine}", format.name());
            }
        }
    }
}

/// The loss, the values that it compares, and its gradient.
fn said<B: Backend>(backend: &B) -> (f64, [Vec<f32>; 2]) {
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
    (loss, [backend.download(&values), backend.download(&gradient)])
}

#[test]
fn points_of_a_map_and_their_loss() {
    if !available("points_of_a_map_and_their_loss") {
        return;
    }
    let (loss, expected) = said(&Cpu);
    let (got, numbers) = said(&Cuda::new(Emulated::new(Library::Absent), Format::F16));
    assert!((got / loss - 1.0).abs() < 1e-6, "{got} is not {loss}");
    for (got, expected) in numbers.iter().zip(&expected) {
        assert!(relative(got, expected) < 1e-5);
    }
}
