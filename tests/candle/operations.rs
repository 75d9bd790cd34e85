//! Operations of the candle backend against the CPU backend, in every format.

use dragnext::kernels::candle::Candle;
use dragnext::kernels::{Backend, ConvShape, Format, Matrix};

use crate::bench::fixture::relative;
use crate::bench::numbers::Numbers;
use crate::parity::attention::assert_attention;
use crate::parity::operations::{TOLERANCES, assert_non_finite_values, assert_operations};
use crate::parity::sampling;

#[test]
fn operations_agree_with_the_cpu() {
    assert_operations(Candle::cpu, TOLERANCES);
}

#[test]
fn operations_in_chunks_agree_with_the_cpu() {
    assert_operations(
        |format| Candle::cpu(format).with_chunks_of(1000),
        TOLERANCES,
    );
}

#[test]
fn attention_agrees_with_the_cpu() {
    assert_attention(Candle::cpu);
    // Whole heads, and parts of one.
    for bytes in [40_000, 6_000] {
        assert_attention(|format| Candle::cpu(format).with_chunks_of(bytes));
    }
}

#[test]
fn non_finite_values_are_detected_and_propagated() {
    assert_non_finite_values(Candle::cpu);
}

#[test]
fn samples_their_adjoint_and_their_loss() {
    let candle = Candle::cpu(Format::F16);
    sampling::samples_their_adjoint_and_their_loss(&candle);
    sampling::scatter_is_the_adjoint_of_sample(&candle);
    sampling::scatter_is_bitwise_reproducible(&candle);
    sampling::scatter_without_points_leaves_the_map(&candle);
}

/// A buffer is written in place, so no other buffer may have its memory.
#[test]
fn writing_to_a_copy_leaves_the_original() {
    let candle = Candle::cpu(Format::F32);
    let x = candle.upload(vec![1.0; 12]);
    let mut y = candle.uninit(12);
    candle.upsample(3, [2, 2], [2, 2], &x, &mut y);
    let mut sum = candle.uninit(12);
    candle.sum_pictures(&x, &mut sum);
    let weight = candle.linear_weight(3, 4, &x);
    let ones = candle.upload(vec![1.0; 4]);
    let mut copy = candle.duplicate(&x);
    let change = candle.upload(vec![7.0; 4]);
    for buffer in [&mut y, &mut sum, &mut copy] {
        candle.copy_columns(2, &change, 2, 0, buffer, 6, 3);
        let values = candle.download(buffer);
        assert_eq!(values[3..5], [7.0; 2]);
        assert_eq!(candle.download(&x), [1.0; 12]);
    }
    let mut x = x;
    candle.copy_columns(2, &change, 2, 0, &mut x, 6, 0);
    let mut product = candle.uninit(3);
    candle.linear(0..1, &ones, &weight, None, None, &mut product);
    assert_eq!(
        candle.download(&product),
        [4.0; 3],
        "weights are a copy of what they are made from"
    );
}

/// A product that is written to f32 keeps the range of f32, as gradients of LoRA matrices need.
#[test]
fn a_product_in_f32_of_compact_factors_is_not_rounded_to_their_format() {
    let candle = Candle::cpu(Format::F16);
    let compact = |values: Vec<f32>| {
        let full = candle.upload(values);
        candle.compact(&full, 1.0).unwrap()
    };
    let (a, b) = (compact(vec![300.0, 1.0]), compact(vec![300.0, 0.5]));
    let mut c = candle.upload(vec![1.0, 2.0, 3.0]);
    let (a, b) = (Matrix::dense(&a, 0, 1, 2), Matrix::dense(&b, 0, 2, 1));
    candle.matmul(2.0, a, b, true, &mut c, 1);
    assert_eq!(candle.download(&c), [1.0, 180_003.0, 3.0]);
}

/// Convolutions with a term per picture, a residual, strides and asymmetric padding, in one piece and in chunks.
#[test]
fn convolutions_with_all_terms() {
    use dragnext::kernels::Added;
    use dragnext::kernels::cpu::Cpu;

    fn results<B: Backend>(backend: &B, shape: &ConvShape) -> [Vec<f32>; 2] {
        let mut numbers = Numbers::new(21);
        let [inputs, outputs] =
            [shape.input, shape.output].map(|size| shape.batch * size.iter().product::<usize>());
        let channels = shape.output[2];
        let mut random = |len: usize, scale: f32| backend.upload(numbers.scaled(len, scale));
        let patch = shape.kernel * shape.kernel * shape.input[2];
        let weight = random(channels * patch, 1.0 / (patch as f32).sqrt());
        let weight = backend.conv_weight(shape, &weight);
        let compact = |x: B::Buffer| backend.compact(&x, 1.0).unwrap_or(x);
        let bias = random(channels, 1.0);
        let [x, residual, dy] = [inputs, outputs, outputs].map(|len| compact(random(len, 1.0)));
        let per_picture = compact(random(shape.batch * channels, 1.0));
        let added = Added {
            bias: Some(&bias),
            per_picture: Some(&per_picture),
            residual: Some(&residual),
        };
        let (mut y, mut dx) = (
            backend.uninit_like(&x, outputs),
            backend.uninit_like(&x, inputs),
        );
        backend.conv(shape, &x, &weight, added, &mut y);
        backend.conv_backward(shape, &dy, &weight, &mut dx);
        [&y, &dx].map(|buffer| backend.download(buffer))
    }
    for (kernel, stride, pad, output) in [
        (3, 1, 1, [7, 6]),
        (3, 2, 0, [3, 3]),
        (3, 2, 1, [4, 3]),
        (1, 1, 0, [7, 6]),
    ] {
        let shape = ConvShape {
            batch: 2,
            input: [7, 6, 5],
            output: [output[0], output[1], 4],
            kernel,
            stride,
            pad,
        };
        let expected = results(&Cpu, &shape);
        for (format, tolerance) in [
            (Format::F32, 1e-6),
            (Format::F16, 1e-3),
            (Format::Bf16, 8e-3),
        ] {
            for chunk in [128 << 20, 700] {
                let candle = Candle::cpu(format).with_chunks_of(chunk);
                for (got, expected) in results(&candle, &shape).iter().zip(&expected) {
                    let error = relative(got, expected);
                    assert!(
                        error < tolerance,
                        "{shape:?}, {}: {error:.1e}",
                        format.name()
                    );
                }
            }
        }
    }
}

#[test]
fn the_loss_scale_is_lowered_and_restored() {
    let candle = Candle::cpu(Format::F16);
    let first = candle.loss_scale().expect("f16 has a loss scale");
    assert!(candle.lower_loss_scale());
    assert_eq!(candle.clone().loss_scale(), Some(first / 2.0));
    candle.restore_loss_scale();
    assert_eq!(candle.loss_scale(), Some(first), "restoring resets it");
    for format in [Format::F32, Format::Bf16] {
        let candle = Candle::cpu(format);
        assert_eq!(
            (candle.loss_scale(), candle.lower_loss_scale()),
            (None, false)
        );
    }
}
