//! Operations of the candle backend against the CPU backend, in every format.

use dragnext::kernels::candle::Candle;
use dragnext::kernels::{Backend, Format, Matrix};

use crate::parity::operations::{
    assert_agrees, assert_non_finite_values, attentions, awkward, convolutions,
};
use crate::parity::sampling;

#[test]
fn operations_agree_with_the_cpu() {
    assert_agrees(Candle::cpu, &awkward());
}

#[test]
fn operations_in_chunks_agree_with_the_cpu() {
    let open = |format| Candle::cpu(format).with_chunks_of(1000);
    assert_agrees(open, &awkward());
}

#[test]
fn attention_agrees_with_the_cpu() {
    assert_agrees(Candle::cpu, &attentions());
    // Whole heads, and parts of one.
    for bytes in [40_000, 6_000] {
        let open = |format| Candle::cpu(format).with_chunks_of(bytes);
        assert_agrees(open, &attentions());
    }
}

#[test]
fn convolutions_agree_with_the_cpu() {
    assert_agrees(Candle::cpu, &convolutions());
    let open = |format| Candle::cpu(format).with_chunks_of(700);
    assert_agrees(open, &convolutions());
}

#[test]
fn non_finite_values_are_detected_and_propagated() {
    assert_non_finite_values(Candle::cpu);
}

#[test]
fn scatter_is_the_adjoint_of_sample() {
    let candle = Candle::cpu(Format::F16);
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
