//! A backend that is wrong on purpose in one operation.

use std::ops::Range;

use dragnext::kernels::{
    AdamStep, Added, AttentionShape, Backend, BilinearPoint, ConvShape, GroupShape, Matrix,
};

/// How an operation is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// All values are 5 percent too large.
    Percent,
    /// One value is wrong.
    Element,
    /// An eighth of the values, such as a row, is zero.
    Row,
    /// One value is NaN.
    Nan,
}

impl Fault {
    pub(crate) const ALL: [Self; 4] = [Self::Percent, Self::Element, Self::Row, Self::Nan];

    fn apply(self, values: &mut [f32]) {
        let largest = values.iter().fold(0.5_f32, |most, x| most.max(x.abs()));
        let middle = values.len() / 2;
        match self {
            Self::Percent => values.iter_mut().for_each(|x| *x *= 1.05),
            Self::Element => values[middle] += 0.5 * largest,
            Self::Row => {
                let end = (middle + values.len().div_ceil(8)).min(values.len());
                values[middle..end].fill(0.0);
            }
            Self::Nan => values[middle] = f32::NAN,
        }
    }

    /// Returns a wrong number.
    fn of_number(self, number: f64) -> f64 {
        match self {
            Self::Nan => f64::NAN,
            _ => 1.05 * number,
        }
    }
}

/// The operations that can be wrong, each with what the first difference must be called. Those with several results stand once for each.
pub(crate) const OPERATIONS: &[(&str, &str)] = &[
    ("upload", "upload"),
    ("download", "upload"),
    ("zeros", "zeros"),
    ("duplicate", "duplicate"),
    ("compact", "conversion to the format"),
    ("full", "conversion to f32"),
    ("all_finite", "test for finite values"),
    ("loss_scale", "loss scale"),
    ("lower_loss_scale", "lower loss scale"),
    ("restore_loss_scale", "restored loss scale"),
    ("matmul", "matrix product"),
    ("linear_weight", "linear"),
    ("merged", "linear with a merged LoRA"),
    ("linear", "linear"),
    ("linear_backward", "linear backward"),
    ("combine", "sum of two"),
    ("sum_pictures", "sum over pictures"),
    ("select", "selection"),
    ("conv_weight", "convolution"),
    ("conv", "convolution"),
    ("conv_backward", "convolution backward"),
    ("group_norm", "group norm"),
    ("group_norm stats", "group norm, statistics"),
    ("group_norm_backward", "group norm backward"),
    ("layer_norm", "layer norm"),
    ("layer_norm_backward", "layer norm backward"),
    ("attention", "attention"),
    ("attention stats", "attention, statistics"),
    ("attention_backward", "attention backward, queries"),
    ("attention_backward keys", "attention backward, keys"),
    ("attention_backward values", "attention backward, values"),
    ("silu", "SiLU"),
    ("silu_backward", "SiLU backward"),
    ("geglu", "GEGLU"),
    ("geglu_backward", "GEGLU backward"),
    ("upsample", "upsample"),
    ("upsample_backward", "upsample backward"),
    ("copy_columns", "copy of columns"),
    ("points", "samples"),
    ("sample", "samples"),
    ("scatter", "scatter"),
    ("sampled_l1", "L1 of samples, gradient"),
    ("sampled_l1 sum", "L1 of samples"),
    ("weighted_l1", "weighted L1, gradient"),
    ("weighted_l1 sum", "weighted L1"),
    ("adam", "Adam, parameters"),
    ("adam first", "Adam, first moments"),
    ("adam second", "Adam, second moments"),
];

/// Methods of the trait that return no numbers which an edit uses.
pub(crate) const OTHERS: &[&str] = &[
    "run",
    "trim",
    "arithmetic",
    "description",
    "cells_at_once",
    "wait",
    "launches",
    "in_f32",
    "fuses_shift",
    "rounds_factors",
    "refused_convolutions",
    "peak_bytes",
    "uninit",
    "uninit_like",
    "prefers_large_calls",
    "uninit_planes",
    "stacked_weights",
];

/// Several operations in one call. The networks of the check run them; single operations are not compared with them.
pub(crate) const COMBINED: &[&str] = &[
    "linears",
    "linears_backward",
    "merged_all",
    "matmuls",
    "group_norm_joined",
    "group_norm_backward_split",
    "self_attention_backward",
];

/// A backend with one wrong operation.
#[derive(Debug, Clone)]
pub(crate) struct Faulty<B: Backend> {
    pub(crate) inner: B,
    pub(crate) operation: &'static str,
    pub(crate) fault: Fault,
}

impl<B: Backend> Faulty<B> {
    fn is_wrong(&self, operation: &str) -> bool {
        self.operation == operation
    }

    fn spoil(&self, operation: &str, buffer: &mut B::Buffer) {
        if !self.is_wrong(operation) {
            return;
        }
        let mut values = self.inner.download(buffer);
        self.fault.apply(&mut values);
        let full = self.inner.upload(values);
        let is_compact = self.inner.full(buffer, 1.0).is_some();
        let compact = is_compact.then(|| self.inner.compact(&full, 1.0)).flatten();
        *buffer = compact.unwrap_or(full);
    }

    fn spoiled(&self, operation: &str, mut buffer: B::Buffer) -> B::Buffer {
        self.spoil(operation, &mut buffer);
        buffer
    }

    fn number(&self, operation: &str, number: f64) -> f64 {
        if self.is_wrong(operation) {
            self.fault.of_number(number)
        } else {
            number
        }
    }
}

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
