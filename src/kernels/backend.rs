//! The operations of a device. The conventions that all of them follow are in the documentation of [`crate::kernels`].

use std::fmt::Debug;
use std::ops::Range;

use super::{
    AdamStep, Added, AttentionShape, BilinearPoint, ConvShape, Factors, GraphFigures, GroupShape,
    Matrix, PassKey, Sum,
};

/// A device: memory, the operations of the network with their backward passes, losses and the optimiser.
///
/// Layout, storage formats, and what is overwritten are described in [`crate::kernels`]. A clone is a second handle to the same
/// device.
pub trait Backend: Clone + Debug + Send + Sync + 'static {
    /// Numbers in the device's memory.
    type Buffer: Debug + Send + Sync;
    /// Weights of a linear layer, in the device's preferred layout.
    type LinearWeight: Debug + Send + Sync;
    /// Weights of a convolution, in the device's preferred layout.
    type ConvWeight: Debug + Send + Sync;
    /// Sampling points of a feature map, in the device's preferred layout.
    type Points: Debug + Send + Sync;

    /// Runs `work`, a sequence of many device calls such as a forward pass, in the context where calls are cheapest (on the CPU,
    /// inside the thread pool), and returns its result.
    fn run<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R;
    /// As [`Backend::run`], for work that is repeated, such as a pass through a network or several with what lies between them: `inputs`
    /// prepares what may differ from run to run, and `work` makes the device calls of the pass. A device may submit the calls of `work`
    /// together if they are those of its last run; the results are the same bits. In `inputs`, [`Backend::compact`] and [`Backend::full`]
    /// return copies then. A pass within `work` is a part of this one.
    fn pass<I, R: Send>(
        &self,
        _key: PassKey,
        inputs: impl FnOnce() -> I + Send,
        work: impl FnOnce(I) -> R + Send,
    ) -> R {
        self.run(|| work(inputs()))
    }
    /// Returns copies of buffers, in the memory of the pass where [`Backend::pass`] prepares its inputs, and laid out so that one call copies
    /// them again; `None` where the device has no use for them. `are_read_compact` says that calls read them in the format of activations.
    fn copied_together(
        &self,
        _buffers: &[&Self::Buffer],
        _are_read_compact: bool,
    ) -> Option<Vec<Self::Buffer>> {
        None
    }
    /// Releases memory that is kept for reuse. Called when a stage of an edit ends.
    fn trim(&self);
    /// Returns a description of everything that affects rounding: device, format, instruction set, batch sizes. Equal descriptions
    /// mean equal bits for equal work; cached results are keyed by it.
    fn arithmetic(&self) -> String;
    /// Returns the device's name with the versions of its driver and libraries, as far as they are known. With another description, the device may
    /// compute something else.
    fn description(&self) -> String;
    /// Returns how many latent cells (height * width, summed over the batch) a recorded forward pass should process at once. The
    /// batches of LoRA training follow from it.
    fn cells_at_once(&self) -> usize;
    /// Waits until all calls made so far have finished.
    fn wait(&self);
    /// Returns the number of kernel launches and library calls so far; `None` if the backend does not count them.
    fn launches(&self) -> Option<u64>;
    /// Returns a handle to the same device whose weights and activations are f32. The VAE uses it, since its activations exceed the
    /// range of f16.
    #[must_use]
    fn in_f32(&self) -> Self;
    /// Returns whether the shift of a timestep that all pictures have is a part of a convolution's bias, which saves a kernel launch. The
    /// sum is rounded once more. Otherwise the shift is a term per picture.
    fn fuses_shift(&self) -> bool {
        false
    }
    /// Returns whether products of f32 round their factors to TensorFloat-32, which has the precision of f16 and the range of f32.
    fn rounds_factors(&self) -> bool {
        false
    }
    /// Returns whether one call with more work is faster than several with less, because each call takes time of its own. Where it is not,
    /// the calls one by one need less memory, and their results are those of earlier versions.
    fn prefers_large_calls(&self) -> bool {
        false
    }
    /// Returns the convolutions that a library of the device refused so far, each with its reason;
    /// slower kernels computed them. The results are right, but the device is not as fast as it could be.
    fn refused_convolutions(&self) -> Vec<String> {
        Vec::new()
    }
    /// Returns what became of repeated passes, if that they are submitted together was requested; `None` if it was not.
    fn graphs(&self) -> Option<GraphFigures> {
        None
    }
    /// Returns the peak of device memory in bytes; `None` if the device uses the process's memory.
    fn peak_bytes(&self) -> Option<u64>;

    /// Returns an uninitialised f32 buffer of `len` values. Overwrite all of them before reading any.
    fn uninit(&self, len: usize) -> Self::Buffer;
    /// Returns an uninitialised buffer of `len` values in the storage format of `model`. Overwrite all of them before reading any.
    fn uninit_like(&self, model: &Self::Buffer, len: usize) -> Self::Buffer;
    /// Returns an f32 buffer of `len` zeros.
    fn zeros(&self, len: usize) -> Self::Buffer;
    /// Copies `data` from the host to a new f32 buffer.
    fn upload(&self, data: Vec<f32>) -> Self::Buffer;
    /// Copies a buffer of any format to the host, as f32.
    fn download(&self, buffer: &Self::Buffer) -> Vec<f32>;
    /// Returns a copy of `buffer` in the same format.
    fn duplicate(&self, buffer: &Self::Buffer) -> Self::Buffer;
    /// Returns factor * x in the backend's format for activations; `None` if that equals `x` in value and format.
    fn compact(&self, x: &Self::Buffer, factor: f32) -> Option<Self::Buffer>;
    /// Returns factor * x in f32; `None` if that equals `x` in value and format.
    fn full(&self, x: &Self::Buffer, factor: f32) -> Option<Self::Buffer>;
    /// Returns a sum that is 0 exactly if every value of a buffer of any format is finite, without waiting for it where the device runs
    /// behind the host.
    fn non_finite(&self, buffer: &Self::Buffer) -> Sum<Self::Buffer>;
    /// Returns whether every value of a buffer of any format is finite; waits for the device.
    fn all_finite(&self, buffer: &Self::Buffer) -> bool {
        self.sum_value(&self.non_finite(buffer)) == 0.0
    }

    /// Returns the loss scale, a power of two by which gradients are multiplied before a backward pass so that they do not underflow
    /// in f16; `None` if the backend's format needs none.
    fn loss_scale(&self) -> Option<f32>;
    /// Halves the loss scale after a gradient overflowed. Returns `false`, and changes nothing, if the scale is `None` or already so
    /// small that the overflow must have another cause.
    fn lower_loss_scale(&self) -> bool;
    /// Resets the loss scale to its initial value. Called when a stage or an edit ends.
    fn restore_loss_scale(&self);

    /// c = factor * a b, or c += factor * a b if `add`, where c is a dense row-major matrix (a rows, b columns) that starts at index
    /// `c_offset` of its buffer; the rest of the buffer is unchanged.
    ///
    /// Each of a and b is dense, or some columns of a dense matrix, or the transpose of one of these ([`Matrix::transposed`]). a, b and c
    /// may differ in format; where a or b is compact, both are rounded to that format before they are multiplied.
    fn matmul(
        &self,
        factor: f32,
        a: Matrix<Self::Buffer>,
        b: Matrix<Self::Buffer>,
        add: bool,
        c: &mut Self::Buffer,
        c_offset: usize,
    );
    /// Converts the f32 weights (out, in) of a linear layer to the device's layout and format.
    fn linear_weight(
        &self,
        outputs: usize,
        inputs: usize,
        weight: &Self::Buffer,
    ) -> Self::LinearWeight;
    /// Returns W + up down, the weights with a LoRA adapter of f32 matrices up (out, rank) and down (rank, in). The sum is taken in
    /// f32 and rounded once.
    fn merged(
        &self,
        weight: &Self::LinearWeight,
        up: Matrix<Self::Buffer>,
        down: Matrix<Self::Buffer>,
    ) -> Self::LinearWeight;
    /// y = x W^T + bias + residual, with x (rows, in), bias (out), residual and y (rows, out).
    ///
    /// Only `rows` are computed; the other rows of y are unchanged. x, residual and y have the format of the weights, or are all f32
    /// (as the timestep's embedding is).
    fn linear(
        &self,
        rows: Range<usize>,
        x: &Self::Buffer,
        weight: &Self::LinearWeight,
        bias: Option<&Self::Buffer>,
        residual: Option<&Self::Buffer>,
        y: &mut Self::Buffer,
    );
    /// Returns uninitialised buffers of `len` values each in the storage format of `like`, laid out so that one call can write all of
    /// them where the device has such calls.
    fn uninit_planes<const N: usize>(&self, like: &Self::Buffer, len: usize) -> [Self::Buffer; N] {
        std::array::from_fn(|_| self.uninit_like(like, len))
    }
    /// Returns copies of weights of one shape that one call of [`Backend::linears`] reads together; `None` if the device has no such
    /// calls.
    fn stacked_weights<const N: usize>(
        &self,
        _weights: [&Self::LinearWeight; N],
    ) -> Option<[Self::LinearWeight; N]> {
        None
    }
    /// As [`Backend::linear`] without bias and residual, for layers of one shape with the same input x: one y for each weight.
    fn linears<const N: usize>(
        &self,
        rows: Range<usize>,
        x: &Self::Buffer,
        weights: [&Self::LinearWeight; N],
        ys: [&mut Self::Buffer; N],
    ) {
        for (weight, y) in weights.into_iter().zip(ys) {
            self.linear(rows.clone(), x, weight, None, None, y);
        }
    }
    /// dx = the sum of dy W over weights of one shape, with dy (rows, N * `outputs`) = the dy of every weight side by side, and dx (rows, in).
    ///
    /// Only `rows` are computed; the other rows of dx are unchanged.
    fn linears_backward<const N: usize>(
        &self,
        rows: Range<usize>,
        outputs: usize,
        dy: &Self::Buffer,
        weights: [&Self::LinearWeight; N],
        dx: &mut Self::Buffer,
    ) {
        for (index, weight) in weights.into_iter().enumerate() {
            let mut own = self.uninit_like(dy, rows.end * outputs);
            self.copy_columns(
                outputs,
                dy,
                N * outputs,
                index * outputs,
                &mut own,
                outputs,
                0,
            );
            self.linear_backward(rows.clone(), &own, weight, index > 0, dx);
        }
    }
    /// As [`Backend::merged`], for weights of one shape with adapters (up, down) of one rank.
    fn merged_all<const N: usize>(
        &self,
        weights: [&Self::LinearWeight; N],
        adapters: [Factors<Self::Buffer>; N],
    ) -> [Self::LinearWeight; N] {
        std::array::from_fn(|index| {
            let (up, down) = adapters[index];
            self.merged(weights[index], up, down)
        })
    }
    /// As [`Backend::matmul`], for products (a, b) of one shape: one offset in c for each.
    fn matmuls<const N: usize>(
        &self,
        factor: f32,
        products: [Factors<Self::Buffer>; N],
        add: bool,
        c: &mut Self::Buffer,
        c_offsets: [usize; N],
    ) {
        for ((a, b), offset) in products.into_iter().zip(c_offsets) {
            self.matmul(factor, a, b, add, c, offset);
        }
    }
    /// dx = dy W, or dx += dy W if `add`, with dy (rows, out) and dx (rows, in), both in the format of the weights.
    ///
    /// Only `rows` are computed; the other rows of dx are unchanged.
    fn linear_backward(
        &self,
        rows: Range<usize>,
        dy: &Self::Buffer,
        weight: &Self::LinearWeight,
        add: bool,
        dx: &mut Self::Buffer,
    );

    /// Updates y = a * y + b * x, of equal lengths; x may have another format than y.
    fn combine(&self, a: f32, y: &mut Self::Buffer, b: f32, x: &Self::Buffer);
    /// As [`Backend::combine`] with a = factors\[first\] and b = factors\[first + 1\]; all buffers are f32. Where the device reads the factors
    /// itself, the call is the same whatever they are.
    fn combine_by(
        &self,
        factors: &Self::Buffer,
        first: usize,
        y: &mut Self::Buffer,
        x: &Self::Buffer,
    ) {
        let factors = self.download(factors);
        self.combine(factors[first], y, factors[first + 1], x);
    }
    /// y = the sum of the pictures of x, where y has the length of one picture and x that of a whole number of them.
    fn sum_pictures(&self, x: &Self::Buffer, y: &mut Self::Buffer);
    /// Updates y = x in the pixels where `mask` > 0.5, and leaves the others unchanged; mask is f32 (pixels), x and y are (pixels,
    /// channels).
    fn select(&self, mask: &Self::Buffer, x: &Self::Buffer, y: &mut Self::Buffer);

    /// Converts the f32 weights (out, kernel, kernel, in) of a convolution to the device's layout and format. Of `shape`, only
    /// channels and kernel size are read.
    fn conv_weight(&self, shape: &ConvShape, weight: &Self::Buffer) -> Self::ConvWeight;
    /// y = the convolution of x with zero padding + the terms of `added`, with x (batch, input) and y (batch, output) in the format
    /// of the weights.
    fn conv(
        &self,
        shape: &ConvShape,
        x: &Self::Buffer,
        weight: &Self::ConvWeight,
        added: Added<Self::Buffer>,
        y: &mut Self::Buffer,
    );
    /// dx = the gradient of [`Backend::conv`], a transposed convolution of dy.
    fn conv_backward(
        &self,
        shape: &ConvShape,
        dy: &Self::Buffer,
        weight: &Self::ConvWeight,
        dx: &mut Self::Buffer,
    );

    /// Group normalisation (Wu and He, arXiv 1803.08494): z = weight * (x - mean) / sqrt(variance + eps) + bias, with mean and
    /// (biased) variance over the pixels and channels of a group; y = SiLU(z) if `silu`, else z.
    ///
    /// x and y are (batch, pixels, channels), weight and bias (channels). Writes mean and 1 / sqrt(variance + eps) to `stats`, f32
    /// (batch, groups, 2).
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
    /// dx = the gradient of [`Backend::group_norm`] (through SiLU if `silu`) + residual, with the `stats` that it wrote.
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
    /// As [`Backend::group_norm`], where x is two buffers (batch, pixels, ..) side by side, each with its number of channels. Writes x to
    /// `joined`.
    fn group_norm_joined(
        &self,
        shape: &GroupShape,
        parts: [(&Self::Buffer, usize); 2],
        weight: &Self::Buffer,
        bias: &Self::Buffer,
        silu: bool,
        joined: &mut Self::Buffer,
        stats: &mut Self::Buffer,
        y: &mut Self::Buffer,
    ) {
        let mut to = 0;
        for (part, channels) in parts {
            self.copy_columns(channels, part, channels, 0, joined, shape.channels, to);
            to += channels;
        }
        self.group_norm(shape, joined, weight, bias, silu, stats, y);
    }
    /// As [`Backend::group_norm_backward`], where dx is two buffers (batch, pixels, ..) side by side, each with its number of channels.
    fn group_norm_backward_split(
        &self,
        shape: &GroupShape,
        x: &Self::Buffer,
        weight: &Self::Buffer,
        bias: &Self::Buffer,
        silu: bool,
        stats: &Self::Buffer,
        dy: &Self::Buffer,
        residual: Option<&Self::Buffer>,
        parts: [(&mut Self::Buffer, usize); 2],
    ) {
        let mut dx = self.uninit_like(x, shape.batch * shape.pixels * shape.channels);
        self.group_norm_backward(shape, x, weight, bias, silu, stats, dy, residual, &mut dx);
        let mut from = 0;
        for (part, channels) in parts {
            self.copy_columns(channels, &dx, shape.channels, from, part, channels, 0);
            from += channels;
        }
    }
    /// Layer normalisation (Ba et al., arXiv 1607.06450): y = weight * (x - mean) / sqrt(variance + eps) + bias, with mean and
    /// variance over a row. x and y are (rows, channels), weight and bias (channels).
    fn layer_norm(
        &self,
        channels: usize,
        eps: f32,
        x: &Self::Buffer,
        weight: &Self::Buffer,
        bias: &Self::Buffer,
        y: &mut Self::Buffer,
    );
    /// dx = the gradient of [`Backend::layer_norm`] + residual.
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

    /// o = softmax(q k^T / sqrt(head size)) v in every head (Vaswani et al., arXiv 1706.03762), with q and o (batch, queries,
    /// channels), k and v (pictures, keys, channels); a head is `head_size` neighbouring channels.
    ///
    /// Picture b of the batch reads the keys and values of picture `sources[b]`. Writes, to `stats`, f32 (batch, heads, queries), the
    /// logarithm of the sum of exp(q k^T / sqrt(head size)) over the keys.
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
    /// dq, and (dk, dv) if `dkv` is given, of [`Backend::attention`], with the `stats` and `o` that it wrote.
    ///
    /// Every picture must have read its own keys and values; or k and v hold one picture, which all have read. dk and dv are (batch,
    /// keys, channels) in both cases: the caller sums them over the batch in the second.
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

    /// As [`Backend::attention_backward`] where every picture has read its own keys and values, as many as it has queries: d (batch,
    /// queries, 3 * channels) = dq, dk and dv side by side.
    fn self_attention_backward(
        &self,
        shape: &AttentionShape,
        q: &Self::Buffer,
        k: &Self::Buffer,
        v: &Self::Buffer,
        stats: &Self::Buffer,
        o: &Self::Buffer,
        d_o: &Self::Buffer,
        d: &mut Self::Buffer,
    ) {
        let channels = shape.channels();
        let len = shape.batch * shape.queries * channels;
        let [mut dq, mut dk, mut dv] = [(); 3].map(|()| self.uninit_like(q, len));
        let dkv = Some((&mut dk, &mut dv));
        self.attention_backward(shape, q, k, v, stats, o, d_o, &mut dq, dkv);
        for (index, gradient) in [dq, dk, dv].iter().enumerate() {
            let to = index * channels;
            self.copy_columns(channels, gradient, channels, 0, d, 3 * channels, to);
        }
    }

    /// y = x * sigmoid(x).
    fn silu(&self, x: &Self::Buffer, y: &mut Self::Buffer);
    /// dx = the gradient of [`Backend::silu`].
    fn silu_backward(&self, x: &Self::Buffer, dy: &Self::Buffer, dx: &mut Self::Buffer);
    /// y = h * GELU(gate), with x (rows, 2 * channels) = (h, gate) and y (rows, channels) (Shazeer, arXiv 2002.05202). GELU is the
    /// exact one, x * (1 + erf(x / sqrt 2)) / 2.
    fn geglu(&self, channels: usize, x: &Self::Buffer, y: &mut Self::Buffer);
    /// dx (rows, 2 * channels) = the gradient of [`Backend::geglu`].
    fn geglu_backward(
        &self,
        channels: usize,
        x: &Self::Buffer,
        dy: &Self::Buffer,
        dx: &mut Self::Buffer,
    );

    /// Nearest-neighbour resize of x (batch, from height, from width, channels) to y (batch, to height, to width, channels): row i
    /// of y is row floor(i * from height / to height) of x, and so are columns (`nearest` of PyTorch).
    fn upsample(
        &self,
        channels: usize,
        from: [usize; 2],
        to: [usize; 2],
        x: &Self::Buffer,
        y: &mut Self::Buffer,
    );
    /// dx = the gradient of [`Backend::upsample`]: every pixel of x receives the sum of its copies.
    fn upsample_backward(
        &self,
        channels: usize,
        from: [usize; 2],
        to: [usize; 2],
        dy: &Self::Buffer,
        dx: &mut Self::Buffer,
    );
    /// Copies channels `from..from + count` of x (rows, `x_channels`) to channels `to..to + count` of y (rows, `y_channels`), of
    /// the same format, in the rows that both have; the rest of y is unchanged.
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

    /// Converts points of a map to the device's layout, for [`Backend::sample`], [`Backend::scatter`] and [`Backend::sampled_l1`].
    fn points(&self, points: Vec<BilinearPoint>) -> Self::Points;
    /// Returns f32 values (points, channels): for every point p, the sum over its four pixels of weight * map\[pixel\]. The map is
    /// (pixels, channels), of any format.
    fn sample(&self, channels: usize, map: &Self::Buffer, points: &Self::Points) -> Self::Buffer;
    /// Adds every value to the four pixels of its point: map\[pixel\] += weight * values\[point\], with f32 values (points, channels)
    /// and an f32 map (pixels, channels). A pixel receives its terms in the order of the points.
    ///
    /// It is the adjoint of [`Backend::sample`]: if `values` is the gradient of any loss of sampled values, this adds the gradient of
    /// the loss to the map, so a new loss on sampled features needs no kernel of its own. [`Backend::sampled_l1`] contains this step.
    fn scatter(
        &self,
        channels: usize,
        values: &Self::Buffer,
        points: &Self::Points,
        map: &mut Self::Buffer,
    );
    /// Returns scale * sum |sample(map) - target| over points and channels, and adds the gradient with respect to the map to
    /// `gradient`: sample, L1 distance, its gradient (0 where the values are equal) and scatter in one call.
    ///
    /// The map is (pixels, channels) of any format, target f32 (points, channels), gradient f32 in the map's shape.
    fn sampled_l1(
        &self,
        channels: usize,
        map: &Self::Buffer,
        points: &Self::Points,
        target: &Self::Buffer,
        scale: f32,
        gradient: &mut Self::Buffer,
    ) -> f64;
    /// Returns the sum of weight * |x - reference| over pixels and channels, and writes the gradient with respect to x to `gradient`.
    /// weight is (pixels), the others are (pixels, channels), all f32.
    fn weighted_l1(
        &self,
        x: &Self::Buffer,
        reference: &Self::Buffer,
        weight: &Self::Buffer,
        gradient: &mut Self::Buffer,
    ) -> f64;

    /// As [`Backend::sampled_l1`], without waiting for the sum where the device runs behind the host.
    fn sampled_l1_sum(
        &self,
        channels: usize,
        map: &Self::Buffer,
        points: &Self::Points,
        target: &Self::Buffer,
        scale: f32,
        gradient: &mut Self::Buffer,
    ) -> Sum<Self::Buffer> {
        Sum::Known(self.sampled_l1(channels, map, points, target, scale, gradient))
    }
    /// As [`Backend::weighted_l1`], without waiting for the sum where the device runs behind the host.
    fn weighted_l1_sum(
        &self,
        x: &Self::Buffer,
        reference: &Self::Buffer,
        weight: &Self::Buffer,
        gradient: &mut Self::Buffer,
    ) -> Sum<Self::Buffer> {
        Sum::Known(self.weighted_l1(x, reference, weight, gradient))
    }
    /// Returns the sum of weight * (x - reference)^2, summed in f64, without waiting for it where the device runs behind the host.
    /// Writes scale * weight * (x - reference) to `gradient`: the gradient of scale / 2 times the sum with respect to x.
    ///
    /// weight has one value per picture, x, reference and gradient are (pictures, ..), all f32.
    fn squared_error_sum(
        &self,
        x: &Self::Buffer,
        reference: &Self::Buffer,
        weight: &Self::Buffer,
        scale: f32,
        gradient: &mut Self::Buffer,
    ) -> Sum<Self::Buffer>;
    /// Returns a sum; waits for it.
    fn sum_value(&self, sum: &Sum<Self::Buffer>) -> f64 {
        sum.value(|bits| self.download(bits))
    }
    /// Returns sums; waits for all of them once.
    fn sum_values(&self, sums: &[&Sum<Self::Buffer>]) -> Vec<f64> {
        sums.iter().map(|sum| self.sum_value(sum)).collect()
    }

    /// Updates `parameter`, and its moments `first` and `second`, by one step of Adam (Kingma and Ba, arXiv 1412.6980, algorithm 1)
    /// with decoupled weight decay (Loshchilov and Hutter, arXiv 1711.05101, algorithm 2). All buffers are f32 of one length.
    ///
    /// With g the gradient, t the step, b1 = 0.9, b2 = 0.999, eps = 1e-8: m = b1 m + (1 - b1) g, v = b2 v + (1 - b2) g^2,
    /// p = p (1 - lr decay) - lr (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + eps). Moments start as zeros.
    fn adam(
        &self,
        step: &AdamStep,
        gradient: &Self::Buffer,
        first: &mut Self::Buffer,
        second: &mut Self::Buffer,
        parameter: &mut Self::Buffer,
    );
}
