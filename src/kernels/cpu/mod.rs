//! The CPU backend: f32, threads from rayon, vector instructions chosen at run time.
//!
//! | room | what is in it |
//! |---|---|
//! | `gemm`, `linear` | matrix products over weights laid out in panels; linear layers and adapters |
//! | `conv` | convolutions: directly, or of three by three as products of transformed tiles (Winograd) |
//! | `attention` | softmax(q k^T) v in blocks, and its way back |
//! | `norm`, `activation`, `resample`, `adam` | normalisation; SiLU and GEGLU; upsampling, columns, bilinear samples and their loss; the optimiser |
//! | `vector`, `exponential` | the instruction set is chosen; vectors with operators; powers of two |
//! | `buffer`, `shared` | memory that is used again; numbers that several tasks write |
//!
//! How sums are split depends on shapes alone and they run in a fixed order, so results are the same bits with any
//! number of threads. With vectors of another width they differ in the last bits: sums of rows, blocks and the way of a convolution
//! follow the lanes.

mod activation;
mod adam;
mod attention;
mod buffer;
mod conv;
mod exponential;
mod gemm;
mod linear;
mod norm;
mod resample;
mod shared;
mod vector;

use std::ops::Range;

use rayon::prelude::*;

use super::{
    AdamStep, Added, AttentionShape, Backend, BilinearPoint, ConvShape, GroupShape, Matrix,
};
pub use buffer::Buffer;
pub use conv::Kernel;
pub use linear::LinearWeight;
use vector::{update, vectorised};

/// The machine's processor cores.
#[derive(Debug, Clone, Copy, Default)]
pub struct Cpu;

/// Numbers that are worth another thread, where each is read and written once.
const GRAIN: usize = 1 << 14;

/// One picture of 512 pixels' sides: larger batches make nothing faster, and take more memory.
const CELLS_AT_ONCE: usize = 64 * 64;

fn slice(m: Matrix<Buffer>) -> Matrix<[f32]> {
    Matrix {
        buffer: m.buffer,
        offset: m.offset,
        rows: m.rows,
        cols: m.cols,
        row_stride: m.row_stride,
        col_stride: m.col_stride,
    }
}

vectorised! {
    fn combine<'a>(simd, a: f32, y: &'a mut [f32], b: f32, x: &'a [f32]) {
        update(simd, [x], [y], |[y], [x]| [y * a + x * b]);
    }
}

/// factor * x, unless that is x.
fn scaled(x: &Buffer, factor: f32) -> Option<Buffer> {
    (factor != 1.0).then(|| {
        let mut y = x.clone();
        combine(factor, &mut y, 0.0, x);
        y
    })
}

impl Backend for Cpu {
    type Buffer = Buffer;
    type LinearWeight = LinearWeight;
    type ConvWeight = Kernel;
    type Points = Vec<BilinearPoint>;

    fn run<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        // Inside the pool a call is shared with the other threads without waking one up first.
        rayon::scope(|_| work())
    }

    fn trim(&self) {
        buffer::trim();
    }

    fn arithmetic(&self) -> String {
        format!("cpu f32 {}", vector::instructions())
    }

    fn cells_at_once(&self) -> usize {
        CELLS_AT_ONCE
    }

    fn wait(&self) {}

    fn launches(&self) -> Option<u64> {
        None
    }

    fn in_f32(&self) -> Self {
        *self
    }

    fn peak_bytes(&self) -> Option<u64> {
        None
    }

    fn uninit(&self, len: usize) -> Buffer {
        Buffer::uninit(len)
    }

    fn uninit_like(&self, _: &Buffer, len: usize) -> Buffer {
        Buffer::uninit(len)
    }

    fn zeros(&self, len: usize) -> Buffer {
        Buffer::zeros(len)
    }

    fn upload(&self, data: Vec<f32>) -> Buffer {
        data.into()
    }

    fn compact(&self, x: &Buffer, factor: f32) -> Option<Buffer> {
        scaled(x, factor)
    }

    fn full(&self, x: &Buffer, factor: f32) -> Option<Buffer> {
        scaled(x, factor)
    }

    fn loss_scale(&self) -> Option<f32> {
        None
    }

    fn lower_loss_scale(&self) -> bool {
        false
    }

    fn restore_loss_scale(&self) {}

    fn download(&self, buffer: &Buffer) -> Vec<f32> {
        buffer.to_vec()
    }

    fn duplicate(&self, buffer: &Buffer) -> Buffer {
        buffer.clone()
    }

    fn all_finite(&self, buffer: &Buffer) -> bool {
        buffer
            .par_chunks(1 << 16)
            .all(|chunk| chunk.iter().all(|x| x.is_finite()))
    }

    fn matmul(
        &self,
        factor: f32,
        a: Matrix<Buffer>,
        b: Matrix<Buffer>,
        add: bool,
        c: &mut Buffer,
        c_offset: usize,
    ) {
        let c = &mut c[c_offset..][..a.rows * b.cols];
        if factor == 1.0 {
            return linear::product(slice(a), slice(b), add, c, b.cols);
        }
        let mut product = Buffer::uninit(c.len());
        linear::product(slice(a), slice(b), false, &mut product, b.cols);
        if add {
            combine(1.0, c, factor, &product);
        } else {
            c.iter_mut()
                .zip(&product[..])
                .for_each(|(c, product)| *c = factor * product);
        }
    }

    fn linear_weight(&self, outputs: usize, inputs: usize, weight: &Buffer) -> LinearWeight {
        LinearWeight::new(outputs, inputs, weight)
    }

    fn merged(
        &self,
        weight: &LinearWeight,
        up: Matrix<Buffer>,
        down: Matrix<Buffer>,
    ) -> LinearWeight {
        weight.merged(slice(up), slice(down))
    }

    fn linear(
        &self,
        rows: Range<usize>,
        x: &Buffer,
        weight: &LinearWeight,
        bias: Option<&Buffer>,
        residual: Option<&Buffer>,
        y: &mut Buffer,
    ) {
        linear::linear(
            rows,
            x,
            weight,
            bias.map(|bias| &bias[..]),
            residual.map(|residual| &residual[..]),
            y,
        );
    }

    fn linear_backward(
        &self,
        rows: Range<usize>,
        dy: &Buffer,
        weight: &LinearWeight,
        add: bool,
        dx: &mut Buffer,
    ) {
        linear::linear_backward(rows, dy, weight, add, dx);
    }

    fn combine(&self, a: f32, y: &mut Buffer, b: f32, x: &Buffer) {
        y.par_chunks_mut(GRAIN)
            .zip(x.par_chunks(GRAIN))
            .for_each(|(y, x)| combine(a, y, b, x));
    }

    fn sum_pictures(&self, x: &Buffer, y: &mut Buffer) {
        y.fill(0.0);
        for x in x.chunks_exact(y.len()) {
            y.iter_mut().zip(x).for_each(|(sum, value)| *sum += value);
        }
    }

    fn select(&self, mask: &Buffer, x: &Buffer, y: &mut Buffer) {
        let channels = y.len() / mask.len();
        for ((mask, x), y) in mask
            .iter()
            .zip(x.chunks_exact(channels))
            .zip(y.chunks_exact_mut(channels))
        {
            if *mask > 0.5 {
                y.copy_from_slice(x);
            }
        }
    }

    fn conv_weight(&self, shape: &ConvShape, weight: &Buffer) -> Kernel {
        Kernel::new(weight, shape.output[2], shape.kernel, shape.input[2])
    }

    fn conv(
        &self,
        shape: &ConvShape,
        x: &Buffer,
        weight: &Kernel,
        added: Added<Buffer>,
        y: &mut Buffer,
    ) {
        let Added {
            bias,
            per_picture,
            residual,
        } = added;
        let [bias, per_picture, residual] =
            [bias, per_picture, residual].map(|buffer| buffer.map(|buffer| &buffer[..]));
        conv::conv(
            shape,
            x,
            weight,
            Added {
                bias,
                per_picture,
                residual,
            },
            y,
        );
    }

    fn conv_backward(&self, shape: &ConvShape, dy: &Buffer, weight: &Kernel, dx: &mut Buffer) {
        conv::conv_backward(shape, dy, weight, dx);
    }

    fn group_norm(
        &self,
        shape: &GroupShape,
        x: &Buffer,
        weight: &Buffer,
        bias: &Buffer,
        silu: bool,
        stats: &mut Buffer,
        y: &mut Buffer,
    ) {
        norm::group_norm(shape, x, weight, bias, silu, stats, y);
    }

    fn group_norm_backward(
        &self,
        shape: &GroupShape,
        x: &Buffer,
        weight: &Buffer,
        bias: &Buffer,
        silu: bool,
        stats: &Buffer,
        dy: &Buffer,
        residual: Option<&Buffer>,
        dx: &mut Buffer,
    ) {
        let residual = residual.map(|residual| &residual[..]);
        norm::group_norm_backward(shape, [x, dy], [weight, bias], silu, stats, residual, dx);
    }

    fn layer_norm(
        &self,
        channels: usize,
        eps: f32,
        x: &Buffer,
        weight: &Buffer,
        bias: &Buffer,
        y: &mut Buffer,
    ) {
        norm::layer_norm(channels, eps, x, weight, bias, y);
    }

    fn layer_norm_backward(
        &self,
        channels: usize,
        eps: f32,
        x: &Buffer,
        weight: &Buffer,
        dy: &Buffer,
        residual: Option<&Buffer>,
        dx: &mut Buffer,
    ) {
        norm::layer_norm_backward(
            channels,
            eps,
            [x, dy],
            weight,
            residual.map(|residual| &residual[..]),
            dx,
        );
    }

    fn attention(
        &self,
        shape: &AttentionShape,
        sources: &[usize],
        q: &Buffer,
        k: &Buffer,
        v: &Buffer,
        stats: &mut Buffer,
        o: &mut Buffer,
    ) {
        attention::attention(shape, sources, q, k, v, o, stats);
    }

    fn attention_backward(
        &self,
        shape: &AttentionShape,
        q: &Buffer,
        k: &Buffer,
        v: &Buffer,
        stats: &Buffer,
        o: &Buffer,
        d_o: &Buffer,
        dq: &mut Buffer,
        dkv: Option<(&mut Buffer, &mut Buffer)>,
    ) {
        let dkv = dkv.map(|(dk, dv)| (&mut dk[..], &mut dv[..]));
        attention::attention_backward(shape, [q, k, v, o, d_o], stats, dq, dkv);
    }

    fn silu(&self, x: &Buffer, y: &mut Buffer) {
        activation::silu(x, y);
    }

    fn geglu(&self, channels: usize, x: &Buffer, y: &mut Buffer) {
        activation::geglu(channels, x, y);
    }

    fn geglu_backward(&self, channels: usize, x: &Buffer, dy: &Buffer, dx: &mut Buffer) {
        activation::geglu_backward(channels, x, dy, dx);
    }

    fn upsample(
        &self,
        channels: usize,
        from: [usize; 2],
        to: [usize; 2],
        x: &Buffer,
        y: &mut Buffer,
    ) {
        resample::upsample(channels, from, to, x, y);
    }

    fn upsample_backward(
        &self,
        channels: usize,
        from: [usize; 2],
        to: [usize; 2],
        dy: &Buffer,
        dx: &mut Buffer,
    ) {
        resample::upsample_backward(channels, from, to, dy, dx);
    }

    fn copy_columns(
        &self,
        count: usize,
        x: &Buffer,
        x_channels: usize,
        from: usize,
        y: &mut Buffer,
        y_channels: usize,
        to: usize,
    ) {
        resample::copy_columns(count, x, x_channels, from, y, y_channels, to);
    }

    fn points(&self, points: Vec<BilinearPoint>) -> Vec<BilinearPoint> {
        points
    }

    fn sample(&self, channels: usize, map: &Buffer, points: &Vec<BilinearPoint>) -> Buffer {
        resample::sample(channels, map, points)
    }

    fn scatter(
        &self,
        channels: usize,
        values: &Buffer,
        points: &Vec<BilinearPoint>,
        map: &mut Buffer,
    ) {
        resample::scatter(channels, values, points, map);
    }

    fn sampled_l1(
        &self,
        channels: usize,
        map: &Buffer,
        points: &Vec<BilinearPoint>,
        target: &Buffer,
        scale: f32,
        gradient: &mut Buffer,
    ) -> f64 {
        resample::sampled_l1(channels, map, points, target, scale, gradient)
    }

    fn weighted_l1(
        &self,
        x: &Buffer,
        reference: &Buffer,
        weight: &Buffer,
        gradient: &mut Buffer,
    ) -> f64 {
        resample::weighted_l1(x, reference, weight, gradient)
    }

    fn adam(
        &self,
        step: &AdamStep,
        gradient: &Buffer,
        first: &mut Buffer,
        second: &mut Buffer,
        parameter: &mut Buffer,
    ) {
        adam::adam(step, gradient, first, second, parameter);
    }
}
