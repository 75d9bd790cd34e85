//! Attention: one fused kernel where one exists for the head size and number format, otherwise
//! matrix products.

mod fused;
mod products;

use super::driver::Address;
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

/// Where the backward pass writes the gradient to queries, keys or values.
#[derive(Debug, Clone, Copy)]
pub(super) struct Gradient<'a> {
    buffer: &'a Buffer,
    /// Index of the first value.
    offset: usize,
}

impl Gradient<'_> {
    fn address(&self) -> Address {
        self.buffer.address_of(self.offset)
    }
}

/// The gradients that the backward pass writes; dk and dv only if they are needed.
#[derive(Debug)]
pub(super) struct AttentionGradients<'a> {
    dq: Gradient<'a>,
    dkv: Option<[Gradient<'a>; 2]>,
    /// Values from one token of a gradient to the next.
    stride: usize,
}

impl<'a> AttentionGradients<'a> {
    /// Gradients in buffers of their own.
    pub(super) fn apart(
        shape: &AttentionShape,
        dq: &'a Buffer,
        dkv: Option<[&'a Buffer; 2]>,
    ) -> Self {
        let whole = |buffer| Gradient { buffer, offset: 0 };
        Self {
            dq: whole(dq),
            dkv: dkv.map(|both| both.map(whole)),
            stride: shape.channels(),
        }
    }

    /// The three gradients of every token side by side in one buffer.
    pub(super) fn side_by_side(shape: &AttentionShape, buffer: &'a Buffer) -> Self {
        let channels = shape.channels();
        assert_eq!(
            buffer.len(),
            3 * shape.batch * shape.queries * channels,
            "three gradients of the same tokens"
        );
        let [dq, dk, dv] = [0, 1, 2].map(|index| Gradient {
            buffer,
            offset: index * channels,
        });
        Self {
            dq,
            dkv: Some([dk, dv]),
            stride: 3 * channels,
        }
    }
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
    match fused::tiles(&inputs) {
        Some(tiles) => fused::attention_backward(inputs, tiles, outputs, gradients),
        None => products::attention_backward(inputs, outputs, gradients),
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
