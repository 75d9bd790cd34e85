//! The seam between right and fast: what the layers of [`crate::nn`] ask of a device, as one trait.
//!
//! A backend owns buffers of numbers and computes on them. What is summed is summed as f32; what is stored is f32 too, or, for the
//! network's weights and activations, a shorter format of the backend's choice ([`Backend::compact`]). It knows
//! shapes and strides, but no layers, no tape and no model. Activations are NHWC: (batch, height, width,
//! channels); a row is one pixel or token. Convolution weights are KRSC: (out, kernel height, kernel width, in).
//! Every method has a plain meaning that the tests check against a slow reference.

pub mod cpu;
#[cfg(feature = "cuda")]
pub mod cuda;
pub mod fault;
mod shape;

use std::fmt::Debug;
use std::ops::Range;

pub use shape::{AdamStep, Added, AttentionShape, BilinearPoint, ConvShape, GroupShape, Matrix};

/// What a device can do. Outputs of a shape that an input has are stored as that input is.
pub trait Backend: Clone + Debug + Send + Sync + 'static {
    /// Numbers on the device.
    type Buffer: Debug + Send + Sync;
    /// Weights of a linear layer, as the device likes them best.
    type LinearWeight: Debug + Send + Sync;
    /// Weights of a convolution, as the device likes them best.
    type ConvWeight: Debug + Send + Sync;
    /// Points of a map, as the device likes them best.
    type Points: Debug + Send + Sync;

    /// Runs `work`, which calls the device many times, where calls cost least.
    fn run<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R;
    /// Gives memory back that waits to be used again, for example because a stage of an edit is over.
    fn trim(&self);

    /// What decides how numbers are rounded: with the same arithmetic the same work gives the same bits.
    fn arithmetic(&self) -> String;

    /// Latent cells of all pictures that best go through the network at once when a way back is recorded.
    fn cells_at_once(&self) -> usize;

    /// Waits until all that was asked for is done.
    fn wait(&self);
    /// Kernels and library calls so far; `None` where nobody counts them.
    fn launches(&self) -> Option<u64>;

    /// The same device, computing as the encoding and decoding of pictures wants it: the numbers there leave the range of f16.
    #[must_use]
    fn in_f32(&self) -> Self;

    /// The most bytes of the device's own memory that were held at once; `None` where it is the process's.
    fn peak_bytes(&self) -> Option<u64>;

    /// A buffer of any f32 numbers, for one who overwrites all of them.
    fn uninit(&self, len: usize) -> Self::Buffer;
    /// A buffer of any numbers, stored as those of `model` are.
    fn uninit_like(&self, model: &Self::Buffer, len: usize) -> Self::Buffer;
    /// A buffer of f32 zeros.
    fn zeros(&self, len: usize) -> Self::Buffer;
    /// Host to device, as f32.
    fn upload(&self, data: Vec<f32>) -> Self::Buffer;
    /// factor * x, stored as the network's activations are; `None` where that is x itself.
    fn compact(&self, x: &Self::Buffer, factor: f32) -> Option<Self::Buffer>;
    /// factor * x, stored as f32; `None` where that is x itself.
    fn full(&self, x: &Self::Buffer, factor: f32) -> Option<Self::Buffer>;
    /// The size, a power of two, to which gradients are brought for their way back, so that none is lost to a short format; `None` where
    /// they are f32 throughout.
    fn loss_scale(&self) -> Option<f32>;
    /// Brings gradients to a smaller size from now on, because one left the format's range; `false` where that cannot be the reason.
    fn lower_loss_scale(&self) -> bool;
    /// Brings gradients to the size at which they start again: what one stage of an edit met says nothing of the next.
    fn restore_loss_scale(&self);
    /// Device to host.
    fn download(&self, buffer: &Self::Buffer) -> Vec<f32>;
    /// A second buffer with the same numbers.
    fn duplicate(&self, buffer: &Self::Buffer) -> Self::Buffer;
    /// Is every number finite?
    fn all_finite(&self, buffer: &Self::Buffer) -> bool;

    /// c = factor * a b, plus c if `add`, with c a dense row-major matrix that starts at `c_offset`.
    fn matmul(
        &self,
        factor: f32,
        a: Matrix<Self::Buffer>,
        b: Matrix<Self::Buffer>,
        add: bool,
        c: &mut Self::Buffer,
        c_offset: usize,
    );
    /// Prepares the weights (out, in) of a linear layer.
    fn linear_weight(
        &self,
        outputs: usize,
        inputs: usize,
        weight: &Self::Buffer,
    ) -> Self::LinearWeight;
    /// W + up down, for the adapter matrices up (out, rank) and down (rank, in).
    fn merged(
        &self,
        weight: &Self::LinearWeight,
        up: Matrix<Self::Buffer>,
        down: Matrix<Self::Buffer>,
    ) -> Self::LinearWeight;
    /// y (.., out) = x W^T, plus bias (out), plus residual (.., out), in these rows; the others of y stay as they are.
    fn linear(
        &self,
        rows: Range<usize>,
        x: &Self::Buffer,
        weight: &Self::LinearWeight,
        bias: Option<&Self::Buffer>,
        residual: Option<&Self::Buffer>,
        y: &mut Self::Buffer,
    );
    /// dx (.., in) = dy W, plus dx if `add`, in these rows; the others of dx stay as they are.
    fn linear_backward(
        &self,
        rows: Range<usize>,
        dy: &Self::Buffer,
        weight: &Self::LinearWeight,
        add: bool,
        dx: &mut Self::Buffer,
    );
    /// y = a * y + b * x.
    fn combine(&self, a: f32, y: &mut Self::Buffer, b: f32, x: &Self::Buffer);
    /// y (picture) = sum of the pictures of x.
    fn sum_pictures(&self, x: &Self::Buffer, y: &mut Self::Buffer);
    /// y = x where the cell's mask is above one half, else y. The mask is (pixels), y and x are (pixels, channels).
    fn select(&self, mask: &Self::Buffer, x: &Self::Buffer, y: &mut Self::Buffer);

    /// Prepares the weights (out, kernel, kernel, in) of a convolution; of `shape`, channels and kernel are read.
    fn conv_weight(&self, shape: &ConvShape, weight: &Self::Buffer) -> Self::ConvWeight;
    /// y = convolution of x, plus what is added.
    fn conv(
        &self,
        shape: &ConvShape,
        x: &Self::Buffer,
        weight: &Self::ConvWeight,
        added: Added<Self::Buffer>,
        y: &mut Self::Buffer,
    );
    /// dx of [`Backend::conv`].
    fn conv_backward(
        &self,
        shape: &ConvShape,
        dy: &Self::Buffer,
        weight: &Self::ConvWeight,
        dx: &mut Self::Buffer,
    );

    /// y = weight * (x - mean) / deviation + bias per group, then SiLU if `silu`; `stats` (batch, groups, 2) receives mean and inverse deviation.
    fn group_norm(
        &self,
        shape: &GroupShape,
        x: &Self::Buffer,
        weight: &Self::Buffer,
        bias: &Self::Buffer,
        silu: bool,
        stats: &mut Self::Buffer,
        y: &mut Self::Buffer,
    );
    /// dx of [`Backend::group_norm`], plus `residual`.
    fn group_norm_backward(
        &self,
        shape: &GroupShape,
        x: &Self::Buffer,
        weight: &Self::Buffer,
        bias: &Self::Buffer,
        silu: bool,
        stats: &Self::Buffer,
        dy: &Self::Buffer,
        residual: Option<&Self::Buffer>,
        dx: &mut Self::Buffer,
    );
    /// Normalises every row of `channels` numbers.
    fn layer_norm(
        &self,
        channels: usize,
        eps: f32,
        x: &Self::Buffer,
        weight: &Self::Buffer,
        bias: &Self::Buffer,
        y: &mut Self::Buffer,
    );
    /// dx of [`Backend::layer_norm`], plus `residual`.
    fn layer_norm_backward(
        &self,
        channels: usize,
        eps: f32,
        x: &Self::Buffer,
        weight: &Self::Buffer,
        dy: &Self::Buffer,
        residual: Option<&Self::Buffer>,
        dx: &mut Self::Buffer,
    );

    /// o = softmax(q k^T / sqrt(head size)) v per head. Picture b reads the keys and values of picture `sources[b]`; k and v hold at least
    /// the pictures that are read. `stats` (batch, heads, queries) receives the logarithms of the sums of the scores' exponentials.
    fn attention(
        &self,
        shape: &AttentionShape,
        sources: &[usize],
        q: &Self::Buffer,
        k: &Self::Buffer,
        v: &Self::Buffer,
        stats: &mut Self::Buffer,
        o: &mut Self::Buffer,
    );
    /// dq, and dk and dv where they are asked for, of an attention in which every picture reads its own keys and values, or, when there is
    /// one picture of keys and values, all read that; dk and dv are always those of all pictures (batch, keys, channels).
    fn attention_backward(
        &self,
        shape: &AttentionShape,
        q: &Self::Buffer,
        k: &Self::Buffer,
        v: &Self::Buffer,
        stats: &Self::Buffer,
        o: &Self::Buffer,
        d_o: &Self::Buffer,
        dq: &mut Self::Buffer,
        dkv: Option<(&mut Self::Buffer, &mut Self::Buffer)>,
    );

    /// y = x * sigmoid(x).
    fn silu(&self, x: &Self::Buffer, y: &mut Self::Buffer);
    /// Row by row, x = (h, gate): y = h * gelu(gate) with the erf form of GELU. y has `channels` per row.
    fn geglu(&self, channels: usize, x: &Self::Buffer, y: &mut Self::Buffer);
    /// dx of [`Backend::geglu`].
    fn geglu_backward(
        &self,
        channels: usize,
        x: &Self::Buffer,
        dy: &Self::Buffer,
        dx: &mut Self::Buffer,
    );

    /// Nearest neighbour resize of pictures (batch, from height, from width, channels) to (to height, to width).
    fn upsample(
        &self,
        channels: usize,
        from: [usize; 2],
        to: [usize; 2],
        x: &Self::Buffer,
        y: &mut Self::Buffer,
    );
    /// dx of [`Backend::upsample`].
    fn upsample_backward(
        &self,
        channels: usize,
        from: [usize; 2],
        to: [usize; 2],
        dy: &Self::Buffer,
        dx: &mut Self::Buffer,
    );
    /// Copies columns: row by row, y[to..to + count] = x[from..from + count], with `x_channels` and `y_channels` numbers per row.
    fn copy_columns(
        &self,
        count: usize,
        x: &Self::Buffer,
        x_channels: usize,
        from: usize,
        y: &mut Self::Buffer,
        y_channels: usize,
        to: usize,
    );

    /// Prepares points of a map.
    fn points(&self, points: Vec<BilinearPoint>) -> Self::Points;
    /// f32 values (points, channels) of a map (pixels, channels) at `points`.
    fn sample(&self, channels: usize, map: &Self::Buffer, points: &Self::Points) -> Self::Buffer;
    /// scale * sum |map at `points` - target| and, added to `gradient` (the map's shape, f32), its gradient to the map.
    fn sampled_l1(
        &self,
        channels: usize,
        map: &Self::Buffer,
        points: &Self::Points,
        target: &Self::Buffer,
        scale: f32,
        gradient: &mut Self::Buffer,
    ) -> f64;
    /// sum weight * |x - reference| over cells (cells) and channels, and its gradient to x. Weight is (cells), the others (cells, channels), all f32.
    fn weighted_l1(
        &self,
        x: &Self::Buffer,
        reference: &Self::Buffer,
        weight: &Self::Buffer,
        gradient: &mut Self::Buffer,
    ) -> f64;

    /// One Adam step on flat f32 buffers: betas 0.9 and 0.999, eps 1e-8, bias corrected, decoupled decay.
    fn adam(
        &self,
        step: &AdamStep,
        gradient: &Self::Buffer,
        first: &mut Self::Buffer,
        second: &mut Self::Buffer,
        parameter: &mut Self::Buffer,
    );
}
