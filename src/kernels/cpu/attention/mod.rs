//! Attention in blocks of queries and keys, so that scores exist for one block at a time and stay in the nearest caches
//! (Dao, FlashAttention-2, 2023, algorithms 1 and 2); the backward pass computes them again instead of keeping them.
//!
//! How work is split depends on shapes alone and sums run in a fixed order: the same bits with any number of threads.

#![allow(unsafe_code)]
#![expect(
    clippy::inline_always,
    reason = "a loop has the instruction set of the function it is inlined into"
)]

mod backward;
mod forward;
mod panels;
mod probabilities;
mod product;
#[cfg(test)]
mod tests;

use crate::kernels::AttentionShape;
use panels::Tokens;

pub(super) use backward::attention_backward;
pub(super) use forward::attention;

/// Tasks that an attention is split into at least, where it is large enough.
const TASKS: usize = 16;

/// Head `head` of tokens `first..first + rows` of picture `picture`, which has `tokens` of them.
fn head<'a>(
    shape: &AttentionShape,
    x: &'a [f32],
    tokens: usize,
    picture: usize,
    head: usize,
    first: usize,
    rows: usize,
) -> Tokens<'a> {
    let channels = shape.channels();
    let data = &x[(picture * tokens + first) * channels + head * shape.head_size..];
    Tokens {
        data,
        rows,
        cols: shape.head_size,
        stride: channels,
    }
}

/// What scores are multiplied by.
fn scale(shape: &AttentionShape) -> f32 {
    1.0 / (shape.head_size as f32).sqrt()
}

/// `total` in the fewest equal parts of at most `most`, each a multiple of `unit`: the size of a part.
fn part(total: usize, most: usize, unit: usize) -> usize {
    total
        .div_ceil(total.div_ceil(most.max(unit)).max(1))
        .next_multiple_of(unit)
}
