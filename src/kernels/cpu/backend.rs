//! The operations of the CPU, each in the module that implements it.

use std::ops::Range;

use super::{
    Buffer, ConvWeight, Cpu, LinearWeight, activation, adam, attention, buffer, conv, elementwise,
    group_norm, layer_norm, linear, loss, resample, vector,
};
use crate::kernels::{
    AdamStep, Added, AttentionShape, Backend, BilinearPoint, ConvShape, GroupShape, Matrix, Sum,
};

/// The latent of a picture of 512 x 512 pixels. Larger batches are not faster, and take more memory.
const CELLS_AT_ONCE: usize = 64 * 64;

fn matrix(m: Matrix<Buffer>) -> Matrix<[f32]> {
    Matrix {
        buffer: m.buffer,
        offset: m.offset,
        rows: m.rows,
        cols: m.cols,
        row_stride: m.row_stride,
        col_stride: m.col_stride,
    }
}

fn values(buffer: Option<&Buffer>) -> Option<&[f32]> {
    buffer.map(|buffer| &buffer[..])
}

impl Backend for Cpu {
    type Buffer = Buffer;
    type LinearWeight = LinearWeight;
    type ConvWeight = ConvWeight;
    type Points = Vec<BilinearPoint>;

    fn run<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        // Calls from a thread of the pool start tasks without a handover to the pool first.
        rayon::scope(|_| work())
    }

    fn trim(&self) {
        buffer::trim();
    }

    fn arithmetic(&self) -> String {
        format!("cpu f32 {}", vector::instructions())
    }

    fn description(&self) -> String {
        format!("cpu {}", vector::instructions())
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
        elementwise::scaled(x, factor)
    }

    fn full(&self, x: &Buffer, factor: f32) -> Option<Buffer> {
        elementwise::scaled(x, factor)
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

    fn non_finite(&self, buffer: &Buffer) -> Sum<Buffer> {
        let is_finite = elementwise::all_finite(buffer);
        Sum::Known(if is_finite { 0.0 } else { 1.0 })
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
        linear::matmul(factor, matrix(a), matrix(b), add, c);
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
        weight.merged(matrix(up), matrix(down))
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
        linear::linear(rows, x, weight, values(bias), values(residual), y);
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
        elementwise::combine(a, y, b, x);
    }

    fn sum_pictures(&self, x: &Buffer, y: &mut Buffer) {
        elementwise::sum_pictures(x, y);
    }

    fn select(&self, mask: &Buffer, x: &Buffer, y: &mut Buffer) {
        elementwise::select(mask, x, y);
    }

    fn conv_weight(&self, shape: &ConvShape, weight: &Buffer) -> ConvWeight {
        ConvWeight::new(weight, shape.output[2], shape.kernel, shape.input[2])
    }

    fn conv(
        &self,
        shape: &ConvShape,
        x: &Buffer,
        weight: &ConvWeight,
        added: Added<Buffer>,
        y: &mut Buffer,
    ) {
        let added = Added {
            bias: values(added.bias),
            per_picture: values(added.per_picture),
            residual: values(added.residual),
        };
        conv::conv(shape, x, weight, added, y);
    }

    fn conv_backward(&self, shape: &ConvShape, dy: &Buffer, weight: &ConvWeight, dx: &mut Buffer) {
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
        group_norm::group_norm(shape, x, weight, bias, silu, stats, y);
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
        let residual = values(residual);
        group_norm::group_norm_backward(shape, [x, dy], [weight, bias], silu, stats, residual, dx);
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
        layer_norm::layer_norm(channels, eps, x, weight, bias, y);
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
        layer_norm::layer_norm_backward(channels, eps, [x, dy], weight, values(residual), dx);
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

    fn silu_backward(&self, x: &Buffer, dy: &Buffer, dx: &mut Buffer) {
        activation::silu_backward(x, dy, dx);
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
        loss::sample(channels, map, points)
    }

    fn scatter(
        &self,
        channels: usize,
        values: &Buffer,
        points: &Vec<BilinearPoint>,
        map: &mut Buffer,
    ) {
        loss::scatter(channels, values, points, map);
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
        loss::sampled_l1(channels, map, points, target, scale, gradient)
    }

    fn weighted_l1(
        &self,
        x: &Buffer,
        reference: &Buffer,
        weight: &Buffer,
        gradient: &mut Buffer,
    ) -> f64 {
        loss::weighted_l1(x, reference, weight, gradient)
    }

    fn squared_error_sum(
        &self,
        x: &Buffer,
        reference: &Buffer,
        weight: &Buffer,
        scale: f32,
        gradient: &mut Buffer,
    ) -> Sum<Buffer> {
        Sum::Known(loss::squared_error(x, reference, weight, scale, gradient))
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
