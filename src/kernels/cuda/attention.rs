//! Attention: one fused kernel where one exists for the head size and number format, otherwise
//! matrix products.

mod fused;
mod products;

use super::driver::Format;
use super::memory::Buffer;
use crate::kernels::AttentionShape;

/// Largest power of two of [`ds_scale`].
const MAX_DS_SCALE: usize = 1024;

/// Queries (batch, queries, channels), and keys and values (pictures, keys, channels).
#[derive(Debug, Clone, Copy)]
pub(super) struct AttentionInputs<'a> {
    pub(super) shape: AttentionShape,
    pub(super) q: &'a Buffer,
    pub(super) k: &'a Buffer,
    pub(super) v: &'a Buffer,
}

/// Results of the forward pass that the backward pass needs, and the gradient to the outputs.
#[derive(Debug, Clone, Copy)]
pub(super) struct AttentionOutputs<'a> {
    pub(super) stats: &'a Buffer,
    pub(super) o: &'a Buffer,
    pub(super) d_o: &'a Buffer,
}

/// The buffers that the backward pass writes; dk and dv only if they are needed.
#[derive(Debug)]
pub(super) struct AttentionGradients<'a> {
    pub(super) dq: &'a Buffer,
    pub(super) dkv: Option<[&'a Buffer; 2]>,
}

/// o = softmax(q k^T / sqrt(head size)) v per head. Picture b reads the keys and values of picture
/// `sources[b]`.
pub(super) fn attention(inputs: AttentionInputs, sources: &[usize], stats: &Buffer, o: &Buffer) {
    match fused::tiles(&inputs) {
        Some(tiles) => fused::attention(inputs, tiles, sources, stats, o),
        None => products::attention(inputs, sources, stats, o),
    }
}

/// Computes the gradients of an attention in which every picture reads its own keys and values, or
/// all pictures read the only ones.
pub(super) fn attention_backward(
    inputs: AttentionInputs,
    outputs: AttentionOutputs,
    gradients: &AttentionGradients,
) {
    let AttentionInputs { shape, q, .. } = inputs;
    let gpu = q.gpu();
    let rows = shape.batch * shape.heads * shape.queries;
    let delta = Buffer::uninit(gpu, Format::F32, rows);
    let arguments = [
        outputs.o.into(),
        outputs.d_o.into(),
        (&delta).into(),
        shape.batch.into(),
        shape.heads.into(),
        shape.queries.into(),
        shape.head_size.into(),
    ];
    gpu.launch_elementwise(
        &format!("attention_delta_{}", q.format().name()),
        rows,
        &arguments,
    );
    match fused::tiles(&inputs) {
        Some(tiles) => fused::attention_backward(inputs, tiles, outputs, &delta, gradients),
        None => products::attention_backward(inputs, outputs, &delta, gradients),
    }
}

/// Returns the factor of the scores, 1 / sqrt(head size).
fn scale(shape: &AttentionShape) -> f32 {
    (1.0 / (shape.head_size as f64).sqrt()) as f32
}

/// Returns the number of values from one picture's keys to those of the next; 0 if all pictures
/// read the same keys.
fn key_stride(shape: &AttentionShape, k: &Buffer) -> usize {
    let picture = shape.keys * shape.channels();
    if k.len() == picture { 0 } else { picture }
}

/// Returns the power of two by which the gradients of the scores are multiplied while they are stored
/// in a 16-bit format: about a quarter of the number of keys. A probability is about 1 / keys, so the
/// gradients are then about as large as those of the probabilities, with room for larger ones. If
/// they overflow all the same, the loss scale is lowered.
fn ds_scale(shape: &AttentionShape) -> f32 {
    (shape.keys.next_power_of_two() / 4).clamp(1, MAX_DS_SCALE) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scale_follows_the_number_of_keys() {
        let scale_of = |keys| {
            ds_scale(&AttentionShape {
                batch: 1,
                heads: 8,
                queries: 1,
                keys,
                head_size: 40,
            })
        };
        assert_eq!(
            [1, 4, 77, 1024, 4096, 16384].map(scale_of),
            [1.0, 1.0, 32.0, 256.0, 1024.0, 1024.0]
        );
    }
}
