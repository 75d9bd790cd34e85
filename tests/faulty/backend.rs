//! The operations, each of which is the inner backend's unless it is the wrong one.

use std::ops::Range;

use dragnext::kernels::{
    AdamStep, Added, AttentionShape, Backend, BilinearPoint, ConvShape, Factors, GroupShape, Matrix,
};

use super::{Fault, Faulty};

/// The gradients side by side that [`Backend::self_attention_backward`] returns.
const SELF_ATTENTION_GRADIENTS: [&str; 3] = [
    "self_attention_backward",
    "self_attention_backward keys",
    "self_attention_backward values",
];

impl<B: Backend> Backend for Faulty<B> {
    type Buffer = B::Buffer;
    type LinearWeight = B::LinearWeight;
    type ConvWeight = B::ConvWeight;
    type Points = B::Points;

    fn run<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        self.inner.run(work)
    }

    fn trim(&self) {
        self.inner.trim();
    }

    fn arithmetic(&self) -> String {
        self.inner.arithmetic()
    }

    fn description(&self) -> String {
        self.inner.description()
    }

    fn cells_at_once(&self) -> usize {
        self.inner.cells_at_once()
    }

    fn wait(&self) {
        self.inner.wait();
    }

    fn launches(&self) -> Option<u64> {
        self.inner.launches()
    }

    fn in_f32(&self) -> Self {
        Self {
            inner: self.inner.in_f32(),
            ..self.clone()
        }
    }

    fn fuses_shift(&self) -> bool {
        self.inner.fuses_shift()
    }

    fn rounds_factors(&self) -> bool {
        self.inner.rounds_factors() && !self.is_wrong("rounds_factors")
    }

    fn prefers_large_calls(&self) -> bool {
        self.inner.prefers_large_calls()
    }

    fn refused_convolutions(&self) -> Vec<String> {
        self.inner.refused_convolutions()
    }

    fn peak_bytes(&self) -> Option<u64> {
        self.inner.peak_bytes()
    }

    fn uninit(&self, len: usize) -> B::Buffer {
        self.inner.uninit(len)
    }

    fn uninit_like(&self, model: &B::Buffer, len: usize) -> B::Buffer {
        self.inner.uninit_like(model, len)
    }

    fn zeros(&self, len: usize) -> B::Buffer {
        self.spoiled("zeros", self.inner.zeros(len))
    }

    fn upload(&self, data: Vec<f32>) -> B::Buffer {
        self.spoiled("upload", self.inner.upload(data))
    }

    fn download(&self, buffer: &B::Buffer) -> Vec<f32> {
        let mut values = self.inner.download(buffer);
        if self.is_wrong("download") {
            self.fault.apply(&mut values);
        }
        values
    }

    fn duplicate(&self, buffer: &B::Buffer) -> B::Buffer {
        self.spoiled("duplicate", self.inner.duplicate(buffer))
    }

    fn compact(&self, x: &B::Buffer, factor: f32) -> Option<B::Buffer> {
        let converted = self.inner.compact(x, factor)?;
        Some(self.spoiled("compact", converted))
    }

    fn full(&self, x: &B::Buffer, factor: f32) -> Option<B::Buffer> {
        let converted = self.inner.full(x, factor)?;
        Some(self.spoiled("full", converted))
    }

    fn all_finite(&self, buffer: &B::Buffer) -> bool {
        if self.is_wrong("all_finite") {
            return self.fault != Fault::Nan;
        }
        self.inner.all_finite(buffer)
    }

    fn loss_scale(&self) -> Option<f32> {
        let scale = self.inner.loss_scale()?;
        Some(if self.is_wrong("loss_scale") {
            3.0 * scale
        } else {
            scale
        })
    }

    fn lower_loss_scale(&self) -> bool {
        if self.is_wrong("lower_loss_scale") {
            return self.inner.loss_scale().is_none();
        }
        self.inner.lower_loss_scale()
    }

    fn restore_loss_scale(&self) {
        if !self.is_wrong("restore_loss_scale") {
            self.inner.restore_loss_scale();
        }
    }

    fn matmul(
        &self,
        factor: f32,
        a: Matrix<B::Buffer>,
        b: Matrix<B::Buffer>,
        add: bool,
        c: &mut B::Buffer,
        c_offset: usize,
    ) {
        self.inner.matmul(factor, a, b, add, c, c_offset);
        self.spoil("matmul", c);
    }

    fn linear_weight(&self, outputs: usize, inputs: usize, weight: &B::Buffer) -> B::LinearWeight {
        let weight = self.spoiled("linear_weight", self.inner.duplicate(weight));
        self.inner.linear_weight(outputs, inputs, &weight)
    }

    fn merged(
        &self,
        weight: &B::LinearWeight,
        up: Matrix<B::Buffer>,
        down: Matrix<B::Buffer>,
    ) -> B::LinearWeight {
        let buffer = self.spoiled("merged", self.inner.duplicate(up.buffer));
        let up = Matrix {
            buffer: &buffer,
            ..up
        };
        self.inner.merged(weight, up, down)
    }

    fn linear(
        &self,
        rows: Range<usize>,
        x: &B::Buffer,
        weight: &B::LinearWeight,
        bias: Option<&B::Buffer>,
        residual: Option<&B::Buffer>,
        y: &mut B::Buffer,
    ) {
        self.inner.linear(rows, x, weight, bias, residual, y);
        self.spoil("linear", y);
    }

    fn linear_backward(
        &self,
        rows: Range<usize>,
        dy: &B::Buffer,
        weight: &B::LinearWeight,
        add: bool,
        dx: &mut B::Buffer,
    ) {
        self.inner.linear_backward(rows, dy, weight, add, dx);
        self.spoil("linear_backward", dx);
    }

    fn uninit_planes<const N: usize>(&self, like: &B::Buffer, len: usize) -> [B::Buffer; N] {
        self.inner.uninit_planes(like, len)
    }

    fn stacked_weights<const N: usize>(
        &self,
        mut weights: [&B::LinearWeight; N],
    ) -> Option<[B::LinearWeight; N]> {
        if self.is_wrong("stacked_weights") {
            weights.rotate_left(1);
        }
        self.inner.stacked_weights(weights)
    }

    fn linears<const N: usize>(
        &self,
        rows: Range<usize>,
        x: &B::Buffer,
        weights: [&B::LinearWeight; N],
        mut ys: [&mut B::Buffer; N],
    ) {
        let reborrowed = ys.each_mut().map(|y| &mut **y);
        self.inner.linears(rows, x, weights, reborrowed);
        self.spoil("linears", ys[N - 1]);
    }

    fn linears_backward<const N: usize>(
        &self,
        rows: Range<usize>,
        outputs: usize,
        dy: &B::Buffer,
        weights: [&B::LinearWeight; N],
        dx: &mut B::Buffer,
    ) {
        self.inner.linears_backward(rows, outputs, dy, weights, dx);
        self.spoil("linears_backward", dx);
    }

    fn merged_all<const N: usize>(
        &self,
        weights: [&B::LinearWeight; N],
        adapters: [Factors<B::Buffer>; N],
    ) -> [B::LinearWeight; N] {
        if !self.is_wrong("merged_all") {
            return self.inner.merged_all(weights, adapters);
        }
        let (up, down) = adapters[N - 1];
        let mut values = self.inner.download(up.buffer);
        let end = up.offset + up.rows * up.cols;
        self.fault.apply(&mut values[up.offset..end]);
        let wrong = self.inner.upload(values);
        let last = Matrix {
            buffer: &wrong,
            ..up
        };
        let mut adapters: [Factors<B::Buffer>; N] = adapters;
        adapters[N - 1] = (last, down);
        self.inner.merged_all(weights, adapters)
    }

    fn matmuls<const N: usize>(
        &self,
        factor: f32,
        products: [Factors<B::Buffer>; N],
        add: bool,
        c: &mut B::Buffer,
        c_offsets: [usize; N],
    ) {
        self.inner.matmuls(factor, products, add, c, c_offsets);
        self.spoil("matmuls", c);
    }

    fn combine(&self, a: f32, y: &mut B::Buffer, b: f32, x: &B::Buffer) {
        self.inner.combine(a, y, b, x);
        self.spoil("combine", y);
    }

    fn sum_pictures(&self, x: &B::Buffer, y: &mut B::Buffer) {
        self.inner.sum_pictures(x, y);
        self.spoil("sum_pictures", y);
    }

    fn select(&self, mask: &B::Buffer, x: &B::Buffer, y: &mut B::Buffer) {
        self.inner.select(mask, x, y);
        self.spoil("select", y);
    }

    fn conv_weight(&self, shape: &ConvShape, weight: &B::Buffer) -> B::ConvWeight {
        let weight = self.spoiled("conv_weight", self.inner.duplicate(weight));
        self.inner.conv_weight(shape, &weight)
    }

    fn conv(
        &self,
        shape: &ConvShape,
        x: &B::Buffer,
        weight: &B::ConvWeight,
        added: Added<B::Buffer>,
        y: &mut B::Buffer,
    ) {
        self.inner.conv(shape, x, weight, added, y);
        self.spoil("conv", y);
    }

    fn conv_backward(
        &self,
        shape: &ConvShape,
        dy: &B::Buffer,
        weight: &B::ConvWeight,
        dx: &mut B::Buffer,
    ) {
        self.inner.conv_backward(shape, dy, weight, dx);
        self.spoil("conv_backward", dx);
    }

    fn group_norm(
        &self,
        shape: &GroupShape,
        x: &B::Buffer,
        weight: &B::Buffer,
        bias: &B::Buffer,
        silu: bool,
        stats: &mut B::Buffer,
        y: &mut B::Buffer,
    ) {
        self.inner
            .group_norm(shape, x, weight, bias, silu, stats, y);
        self.spoil("group_norm", y);
        self.spoil("group_norm stats", stats);
    }

    fn group_norm_backward(
        &self,
        shape: &GroupShape,
        x: &B::Buffer,
        weight: &B::Buffer,
        bias: &B::Buffer,
        silu: bool,
        stats: &B::Buffer,
        dy: &B::Buffer,
        residual: Option<&B::Buffer>,
        dx: &mut B::Buffer,
    ) {
        self.inner
            .group_norm_backward(shape, x, weight, bias, silu, stats, dy, residual, dx);
        self.spoil("group_norm_backward", dx);
    }

    fn group_norm_joined(
        &self,
        shape: &GroupShape,
        parts: [(&B::Buffer, usize); 2],
        weight: &B::Buffer,
        bias: &B::Buffer,
        silu: bool,
        joined: &mut B::Buffer,
        stats: &mut B::Buffer,
        y: &mut B::Buffer,
    ) {
        self.inner
            .group_norm_joined(shape, parts, weight, bias, silu, joined, stats, y);
        self.spoil("group_norm_joined", y);
        self.spoil("group_norm_joined stats", stats);
        self.spoil("group_norm_joined maps", joined);
    }

    fn group_norm_backward_split(
        &self,
        shape: &GroupShape,
        x: &B::Buffer,
        weight: &B::Buffer,
        bias: &B::Buffer,
        silu: bool,
        stats: &B::Buffer,
        dy: &B::Buffer,
        residual: Option<&B::Buffer>,
        mut parts: [(&mut B::Buffer, usize); 2],
    ) {
        let reborrowed = parts
            .each_mut()
            .map(|(part, channels)| (&mut **part, *channels));
        self.inner.group_norm_backward_split(
            shape, x, weight, bias, silu, stats, dy, residual, reborrowed,
        );
        let [(first, _), (second, _)] = parts;
        self.spoil("group_norm_backward_split", first);
        self.spoil("group_norm_backward_split second", second);
    }

    fn layer_norm(
        &self,
        channels: usize,
        eps: f32,
        x: &B::Buffer,
        weight: &B::Buffer,
        bias: &B::Buffer,
        y: &mut B::Buffer,
    ) {
        self.inner.layer_norm(channels, eps, x, weight, bias, y);
        self.spoil("layer_norm", y);
    }

    fn layer_norm_backward(
        &self,
        channels: usize,
        eps: f32,
        x: &B::Buffer,
        weight: &B::Buffer,
        dy: &B::Buffer,
        residual: Option<&B::Buffer>,
        dx: &mut B::Buffer,
    ) {
        self.inner
            .layer_norm_backward(channels, eps, x, weight, dy, residual, dx);
        self.spoil("layer_norm_backward", dx);
    }

    fn attention(
        &self,
        shape: &AttentionShape,
        sources: &[usize],
        q: &B::Buffer,
        k: &B::Buffer,
        v: &B::Buffer,
        stats: &mut B::Buffer,
        o: &mut B::Buffer,
    ) {
        self.inner.attention(shape, sources, q, k, v, stats, o);
        self.spoil("attention", o);
        self.spoil("attention stats", stats);
    }

    fn attention_backward(
        &self,
        shape: &AttentionShape,
        q: &B::Buffer,
        k: &B::Buffer,
        v: &B::Buffer,
        stats: &B::Buffer,
        o: &B::Buffer,
        d_o: &B::Buffer,
        dq: &mut B::Buffer,
        mut dkv: Option<(&mut B::Buffer, &mut B::Buffer)>,
    ) {
        let reborrowed = dkv.as_mut().map(|(dk, dv)| (&mut **dk, &mut **dv));
        self.inner
            .attention_backward(shape, q, k, v, stats, o, d_o, dq, reborrowed);
        self.spoil("attention_backward", dq);
        if let Some((dk, dv)) = dkv {
            self.spoil("attention_backward keys", dk);
            self.spoil("attention_backward values", dv);
        }
    }

    fn self_attention_backward(
        &self,
        shape: &AttentionShape,
        q: &B::Buffer,
        k: &B::Buffer,
        v: &B::Buffer,
        stats: &B::Buffer,
        o: &B::Buffer,
        d_o: &B::Buffer,
        d: &mut B::Buffer,
    ) {
        self.inner
            .self_attention_backward(shape, q, k, v, stats, o, d_o, d);
        for (index, operation) in SELF_ATTENTION_GRADIENTS.into_iter().enumerate() {
            self.spoil_columns(operation, d, shape.channels(), index);
        }
    }

    fn silu(&self, x: &B::Buffer, y: &mut B::Buffer) {
        self.inner.silu(x, y);
        self.spoil("silu", y);
    }

    fn silu_backward(&self, x: &B::Buffer, dy: &B::Buffer, dx: &mut B::Buffer) {
        self.inner.silu_backward(x, dy, dx);
        self.spoil("silu_backward", dx);
    }

    fn geglu(&self, channels: usize, x: &B::Buffer, y: &mut B::Buffer) {
        self.inner.geglu(channels, x, y);
        self.spoil("geglu", y);
    }

    fn geglu_backward(&self, channels: usize, x: &B::Buffer, dy: &B::Buffer, dx: &mut B::Buffer) {
        self.inner.geglu_backward(channels, x, dy, dx);
        self.spoil("geglu_backward", dx);
    }

    fn upsample(
        &self,
        channels: usize,
        from: [usize; 2],
        to: [usize; 2],
        x: &B::Buffer,
        y: &mut B::Buffer,
    ) {
        self.inner.upsample(channels, from, to, x, y);
        self.spoil("upsample", y);
    }

    fn upsample_backward(
        &self,
        channels: usize,
        from: [usize; 2],
        to: [usize; 2],
        dy: &B::Buffer,
        dx: &mut B::Buffer,
    ) {
        self.inner.upsample_backward(channels, from, to, dy, dx);
        self.spoil("upsample_backward", dx);
    }

    fn copy_columns(
        &self,
        count: usize,
        x: &B::Buffer,
        x_channels: usize,
        from: usize,
        y: &mut B::Buffer,
        y_channels: usize,
        to: usize,
    ) {
        self.inner
            .copy_columns(count, x, x_channels, from, y, y_channels, to);
        self.spoil("copy_columns", y);
    }

    fn points(&self, mut points: Vec<BilinearPoint>) -> B::Points {
        if self.is_wrong("points") {
            let middle = points.len() / 2;
            match self.fault {
                Fault::Percent => points
                    .iter_mut()
                    .for_each(|point| point.weights = point.weights.map(|weight| 1.05 * weight)),
                Fault::Element => points[middle].pixels.rotate_left(1),
                Fault::Row => points[middle].weights = [0.0; 4],
                Fault::Nan => points[middle].weights = [f32::NAN; 4],
            }
        }
        self.inner.points(points)
    }

    fn sample(&self, channels: usize, map: &B::Buffer, points: &B::Points) -> B::Buffer {
        self.spoiled("sample", self.inner.sample(channels, map, points))
    }

    fn scatter(
        &self,
        channels: usize,
        values: &B::Buffer,
        points: &B::Points,
        map: &mut B::Buffer,
    ) {
        self.inner.scatter(channels, values, points, map);
        self.spoil("scatter", map);
    }

    fn sampled_l1(
        &self,
        channels: usize,
        map: &B::Buffer,
        points: &B::Points,
        target: &B::Buffer,
        scale: f32,
        gradient: &mut B::Buffer,
    ) -> f64 {
        let sum = self
            .inner
            .sampled_l1(channels, map, points, target, scale, gradient);
        self.spoil("sampled_l1", gradient);
        self.number("sampled_l1 sum", sum)
    }

    fn weighted_l1(
        &self,
        x: &B::Buffer,
        reference: &B::Buffer,
        weight: &B::Buffer,
        gradient: &mut B::Buffer,
    ) -> f64 {
        let sum = self.inner.weighted_l1(x, reference, weight, gradient);
        self.spoil("weighted_l1", gradient);
        self.number("weighted_l1 sum", sum)
    }

    fn adam(
        &self,
        step: &AdamStep,
        gradient: &B::Buffer,
        first: &mut B::Buffer,
        second: &mut B::Buffer,
        parameter: &mut B::Buffer,
    ) {
        self.inner.adam(step, gradient, first, second, parameter);
        self.spoil("adam first", first);
        self.spoil("adam second", second);
        self.spoil("adam", parameter);
    }
}
