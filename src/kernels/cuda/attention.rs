//! Attention: fused into one kernel where its head size and number format have one, else by products of matrices.

mod fused;
mod products;

use super::memory::Buffer;
use crate::kernels::AttentionShape;

/// What an attention reads: queries (batch, queries, channels), keys and values (pictures, keys, channels).
#[derive(Debug, Clone, Copy)]
pub(super) struct Inputs<'a> {
    pub(super) shape: AttentionShape,
    pub(super) q: &'a Buffer,
    pub(super) k: &'a Buffer,
    pub(super) v: &'a Buffer,
}

/// What comes back to an attention.
#[derive(Debug, Clone, Copy)]
pub(super) struct Returning<'a> {
    pub(super) stats: &'a Buffer,
    pub(super) o: &'a Buffer,
    pub(super) d_o: &'a Buffer,
}

/// Where an attention's gradients go.
#[derive(Debug)]
pub(super) struct Gradients<'a> {
    pub(super) dq: &'a Buffer,
    pub(super) dkv: Option<[&'a Buffer; 2]>,
}

/// o = softmax(q k^T / sqrt(head size)) v per head; picture b reads the keys and values of picture `sources[b]`.
pub(super) fn attention(inputs: Inputs, sources: &[usize], stats: &Buffer, o: &Buffer) {
    if fused::exists(&inputs) {
        fused::attention(inputs, sources, stats, o)
    } else {
        products::attention(inputs, sources, stats, o)
    }
}

/// Gradients of an attention in which every picture reads its own keys and values, or all read the only ones.
pub(super) fn attention_backward(inputs: Inputs, returning: Returning, gradients: &Gradients) {
    let Inputs { shape, q, .. } = inputs;
    let gpu = q.gpu();
    let rows = shape.batch * shape.heads * shape.queries;
    let delta = Buffer::uninit(gpu, super::driver::Format::F32, rows);
    let arguments = [
        returning.o.into(),
        returning.d_o.into(),
        (&delta).into(),
        shape.batch.into(),
        shape.heads.into(),
        shape.queries.into(),
        shape.head_size.into(),
    ];
    gpu.spread(
        &format!("attention_delta_{}", q.format().name()),
        rows,
        &arguments,
    );
    if fused::exists(&inputs) {
        fused::attention_backward(inputs, returning, &delta, gradients);
    } else {
        products::attention_backward(inputs, returning, &delta, gradients);
    }
}

/// The factor of the scores.
fn scale(shape: &AttentionShape) -> f32 {
    (1.0 / (shape.head_size as f64).sqrt()) as f32
}

/// Numbers from one picture's keys to those of the next; 0 where all pictures read the only ones.
fn key_stride(shape: &AttentionShape, k: &Buffer) -> usize {
    let picture = shape.keys * shape.channels();
    if k.len() == picture { 0 } else { picture }
}
