//! The results of an attention and its backward pass on a backend.

use dragnext::kernels::{AttentionShape, Backend};

use super::operations::representable;
use crate::bench::numbers::Numbers;

/// Returns o, stats, dq, dk and dv of pictures that read the keys of one, for a gradient `d_o` of size `d_o_scale`.
pub(crate) fn attention<B: Backend>(
    backend: &B,
    shape: &AttentionShape,
    d_o_scale: f32,
) -> [Vec<f32>; 5] {
    let mut numbers = Numbers::new(shape.head_size as u64);
    let mut random = |len: usize| representable(backend, &mut numbers, len);
    let (row, rows) = (shape.channels(), shape.batch * shape.queries);
    let [q, d_o] = [(); 2].map(|()| random(rows * row));
    let [k, v] = [(); 2].map(|()| random(shape.keys * row));
    let d_o = backend.full(&d_o, d_o_scale).unwrap_or(d_o);
    let d_o = backend.compact(&d_o, 1.0).unwrap_or(d_o);
    let mut stats = backend.uninit(shape.batch * shape.heads * shape.queries);
    let mut o = backend.uninit_like(&q, rows * row);
    let sources = vec![0; shape.batch];
    backend.attention(shape, &sources, &q, &k, &v, &mut stats, &mut o);
    let mut dq = backend.uninit_like(&q, rows * row);
    let [mut dk, mut dv] =
        [(); 2].map(|()| backend.uninit_like(&q, shape.batch * shape.keys * row));
    let dkv = Some((&mut dk, &mut dv));
    backend.attention_backward(shape, &q, &k, &v, &stats, &o, &d_o, &mut dq, dkv);
    [o, stats, dq, dk, dv].map(|buffer| backend.download(&buffer))
}
