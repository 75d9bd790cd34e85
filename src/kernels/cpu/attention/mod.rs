//! Attention in blocks of queries and keys, so that only one block of scores exists per thread and stays in its caches (Dao,
//! FlashAttention-2, arXiv 2307.08691, algorithms 1 and 2). The backward pass recomputes the scores instead of storing them.
//!
//! How the work is split depends on the shape alone and sums run in a fixed order, so results do not depend on the number of threads.

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

/// Minimum number of tasks of a large attention.
const TASKS: usize = 16;

/// Returns head `head` of tokens `first..first + rows` of picture `picture`; a picture has `tokens` tokens.
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

/// Returns the factor of the scores.
fn scale(shape: &AttentionShape) -> f32 {
    1.0 / (shape.head_size as f32).sqrt()
}

/// Splits `total` into the fewest equal parts of at most `most`, each a multiple of `unit`, and returns the size of a part.
fn part(total: usize, most: usize, unit: usize) -> usize {
    total
        .div_ceil(total.div_ceil(most.max(unit)).max(1))
        .next_multiple_of(unit)
}
