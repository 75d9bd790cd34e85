//! The operations of candle's devices, each in the module that implements it.

use std::ops::Range;

use super::attention::{attention, attention_backward};
use super::gather::Resize;
use super::{
    Buffer, Candle, ConvWeight, LinearWeight, Points, activation, adam, conv, elementwise, linear,
    norm, resample, sampling,
};
use crate::kernels::cpu::Cpu;
use crate::kernels::{
    AdamStep, Added, AttentionShape, Backend, BilinearPoint, ConvShape, Format, GroupShape, Matrix,
    Sum,
};

/// The latent of a picture of 512 x 512 pixels.
const CELLS_AT_ONCE: usize = 64 * 64;

impl Backend for Candle {
    type Buffer = Buffer;
    type LinearWeight = LinearWeight;
    type ConvWeight = ConvWeight;
    type Points = Points;

    fn run<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        work()
    }

    fn trim(&self) {
        self.device.trim();
    }

    fn arithmetic(&self) -> String {
        // The text encoder runs on the CPU.
        format!(
            "candle {} {}; {}",
            self.format.name(),
            self.device.description(),
            Cpu.arithmetic()
        )
    }

    fn description(&self) -> String {
        self.device.identity()
    }

    fn cells_at_once(&self) -> usize {
        CELLS_AT_ONCE
    }

    fn wait(&self) {
        self.device.synchronise();
    }

    fn launches(&self) -> Option<u64> {
        None
    }

    fn in_f32(&self) -> Self {
        Self {
            format: Format::F32,
            ..self.clone()
        }
    }

    fn peak_bytes(&self) -> Option<u64> {
        self.device.peak_bytes()
    }

    fn uninit(&self, len: usize) -> Buffer {
        Buffer::uninit(&self.device, Format::F32, len)
    }

    fn uninit_like(&self, like: &Buffer, len: usize) -> Buffer {
        Buffer::uninit(&self.device, like.format(), len)
    }

    fn zeros(&self, len: usize) -> Buffer {
        let mut zeros = Buffer::uninit(&self.device, Format::F32, len);
        // What was never written is 0.
        zeros.write(|_| Ok(()));
        zeros
    }

    fn upload(&self, data: Vec<f32>) -> Buffer {
        Buffer::upload(&self.device, &data)
    }

    fn compact(&self, x: &Buffer, factor: f32) -> Option<Buffer> {
        (factor != 1.0 || x.format() != self.format).then(|| x.converted(self.format, factor))
    }

    fn full(&self, x: &Buffer, factor: f32) -> Option<Buffer> {
        (factor != 1.0 || x.format() != Format::F32).then(|| x.converted(Format::F32, factor))
    }

    fn loss_scale(&self) -> Option<f32> {
        (self.format == Format::F16).then(|| self.device.loss_scale().get())
    }

    fn lower_loss_scale(&self) -> bool {
        self.format == Format::F16 && self.device.loss_scale().lower()
    }

    fn restore_loss_scale(&self) {
        self.device.loss_scale().restore();
    }

    fn download(&self, buffer: &Buffer) -> Vec<f32> {
        buffer.download()
    }

    fn duplicate(&self, buffer: &Buffer) -> Buffer {
        buffer.duplicate()
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
        linear::matmul(factor, a, b, add, c, c_offset);
    }

    fn linear_weight(&self, outputs: usize, inputs: usize, weight: &Buffer) -> LinearWeight {
        LinearWeight::new(outputs, inputs, weight, self.format)
    }

    fn merged(
        &self,
        weight: &LinearWeight,
        up: Matrix<Buffer>,
        down: Matrix<Buffer>,
    ) -> LinearWeight {
        weight.merged(up, down)
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
        linear::linear(&rows, x, weight, bias, residual, y);
    }

    fn linear_backward(
        &self,
        rows: Range<usize>,
        dy: &Buffer,
        weight: &LinearWeight,
        add: bool,
        dx: &mut Buffer,
    ) {
        linear::linear_backward(&rows, dy, weight, add, dx);
    }

    fn combine(&self, a: f32, y: &mut Buffer, b: f32, x: &Buffer) {
        elementwise::combine(a, y, b, x);
    }

    fn combine_by(&self, factors: &Buffer, first: usize, y: &mut Buffer, x: &Buffer) {
        elementwise::combine_by(factors, first, y, x);
    }

    fn sum_pictures(&self, x: &Buffer, y: &mut Buffer) {
        elementwise::sum_pictures(x, y);
    }

    fn select(&self, mask: &Buffer, x: &Buffer, y: &mut Buffer) {
        elementwise::select(mask, x, y);
    }

    fn conv_weight(&self, shape: &ConvShape, weight: &Buffer) -> ConvWeight {
        ConvWeight::new(shape, weight, self.format)
    }

    fn conv(
        &self,
        shape: &ConvShape,
        x: &Buffer,
        weight: &ConvWeight,
        added: Added<Buffer>,
        y: &mut Buffer,
    ) {
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
        norm::group_norm(shape, x, [weight, bias], silu, stats, y);
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
        norm::layer_norm(channels, eps, x, [weight, bias], y);
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
        norm::layer_norm_backward(channels, eps, [x, dy], weight, residual, dx);
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
        attention(shape, sources, [q, k, v], stats, o);
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
        let (new_dq, new_dkv) =
            attention_backward(shape, [q, k, v], [stats, o, d_o], dkv.is_some());
        dq.set(new_dq);
        if let (Some((dk, dv)), Some([new_dk, new_dv])) = (dkv, new_dkv) {
            dk.set(new_dk);
            dv.set(new_dv);
        }
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
        resample::upsample(channels, Resize { from, to }, x, y);
    }

    fn upsample_backward(
        &self,
        channels: usize,
        from: [usize; 2],
        to: [usize; 2],
        dy: &Buffer,
        dx: &mut Buffer,
    ) {
        resample::upsample_backward(channels, Resize { from, to }, dy, dx);
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
        resample::copy_columns(count, x, [x_channels, from], y, [y_channels, to]);
    }

    fn points(&self, points: Vec<BilinearPoint>) -> Points {
        Points::new(&self.device, &points)
    }

    fn sample(&self, channels: usize, map: &Buffer, points: &Points) -> Buffer {
        sampling::sample(channels, map, points)
    }

    fn scatter(&self, channels: usize, values: &Buffer, points: &Points, map: &mut Buffer) {
        sampling::scatter(channels, values, points, map);
    }

    fn sampled_l1(
        &self,
        channels: usize,
        map: &Buffer,
        points: &Points,
        target: &Buffer,
        scale: f32,
        gradient: &mut Buffer,
    ) -> f64 {
        sampling::sampled_l1(channels, map, points, target, scale, gradient)
    }

    fn weighted_l1(
        &self,
        x: &Buffer,
        reference: &Buffer,
        weight: &Buffer,
        gradient: &mut Buffer,
    ) -> f64 {
        sampling::weighted_l1(x, reference, weight, gradient)
    }

    fn squared_error_sum(
        &self,
        x: &Buffer,
        reference: &Buffer,
        weight: &Buffer,
        scale: f32,
        gradient: &mut Buffer,
    ) -> Sum<Buffer> {
        Sum::Known(sampling::squared_error(
            x, reference, weight, scale, gradient,
        ))
    }

    fn adam(
        &self,
        step: &AdamStep,
        gradient: &Buffer,
        first: &mut Buffer,
        second: &mut Buffer,
        parameter: &mut Buffer,
    ) {
        adam::adam(step, gradient, [first, second], parameter);
    }
}
