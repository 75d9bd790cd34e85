//! The operations, each of which is the inner backend's unless it is the wrong one.

use std::ops::Range;

use dragnext::kernels::{
    AdamStep, Added, AttentionShape, Backend, BilinearPoint, ConvShape, Factors, GroupShape,
    Matrix, Sum,
};

use super::table::{inner, returned, written};
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

    inner! {
        fn trim();
        fn arithmetic() -> String;
        fn description() -> String;
        fn cells_at_once() -> usize;
        fn wait();
        fn launches() -> Option<u64>;
        fn fuses_shift() -> bool;
        fn prefers_large_calls() -> bool;
        fn refused_convolutions() -> Vec<String>;
        fn peak_bytes() -> Option<u64>;
        fn uninit(len: usize) -> B::Buffer;
        fn uninit_like(model: &B::Buffer, len: usize) -> B::Buffer;
    }

    returned! {
        fn zeros(len: usize);
        fn upload(data: Vec<f32>);
        fn duplicate(buffer: &B::Buffer);
        fn sample(channels: usize, map: &B::Buffer, points: &B::Points);
    }

    written! {
        fn matmul(
            factor: f32, a: Matrix<B::Buffer>, b: Matrix<B::Buffer>, add: bool, c: &mut B::Buffer,
            c_offset: usize,
        ) writes c as "matmul";
        fn matmuls<const N: usize>(
            factor: f32, products: [Factors<B::Buffer>; N], add: bool, c: &mut B::Buffer,
            c_offsets: [usize; N],
        ) writes c as "matmuls";
        fn linear(
            rows: Range<usize>, x: &B::Buffer, weight: &B::LinearWeight, bias: Option<&B::Buffer>,
            residual: Option<&B::Buffer>, y: &mut B::Buffer,
        ) writes y as "linear";
        fn linear_backward(
            rows: Range<usize>, dy: &B::Buffer, weight: &B::LinearWeight, add: bool,
            dx: &mut B::Buffer,
        ) writes dx as "linear_backward";
        fn linears_backward<const N: usize>(
            rows: Range<usize>, outputs: usize, dy: &B::Buffer, weights: [&B::LinearWeight; N],
            dx: &mut B::Buffer,
        ) writes dx as "linears_backward";

        fn combine(a: f32, y: &mut B::Buffer, b: f32, x: &B::Buffer) writes y as "combine";
        fn combine_by(factors: &B::Buffer, first: usize, y: &mut B::Buffer, x: &B::Buffer) writes y as "combine_by";
        fn sum_pictures(x: &B::Buffer, y: &mut B::Buffer) writes y as "sum_pictures";
        fn select(mask: &B::Buffer, x: &B::Buffer, y: &mut B::Buffer) writes y as "select";

        fn conv(
            shape: &ConvShape, x: &B::Buffer, weight: &B::ConvWeight, added: Added<B::Buffer>,
            y: &mut B::Buffer,
        ) writes y as "conv";
        fn conv_backward(
            shape: &ConvShape, dy: &B::Buffer, weight: &B::ConvWeight, dx: &mut B::Buffer,
        ) writes dx as "conv_backward";

        fn group_norm(
            shape: &GroupShape, x: &B::Buffer, weight: &B::Buffer, bias: &B::Buffer, silu: bool,
            stats: &mut B::Buffer, y: &mut B::Buffer,
        ) writes y as "group_norm", stats as "group_norm stats";
        fn group_norm_backward(
            shape: &GroupShape, x: &B::Buffer, weight: &B::Buffer, bias: &B::Buffer, silu: bool,
            stats: &B::Buffer, dy: &B::Buffer, residual: Option<&B::Buffer>, dx: &mut B::Buffer,
        ) writes dx as "group_norm_backward";
        fn group_norm_joined(
            shape: &GroupShape, parts: [(&B::Buffer, usize); 2], weight: &B::Buffer,
            bias: &B::Buffer, silu: bool, joined: &mut B::Buffer, stats: &mut B::Buffer,
            y: &mut B::Buffer,
        ) writes
            y as "group_norm_joined",
            stats as "group_norm_joined stats",
            joined as "group_norm_joined maps";
        fn layer_norm(
            channels: usize, eps: f32, x: &B::Buffer, weight: &B::Buffer, bias: &B::Buffer,
            y: &mut B::Buffer,
        ) writes y as "layer_norm";
        fn layer_norm_backward(
            channels: usize, eps: f32, x: &B::Buffer, weight: &B::Buffer, dy: &B::Buffer,
            residual: Option<&B::Buffer>, dx: &mut B::Buffer,
        ) writes dx as "layer_norm_backward";

        fn attention(
            shape: &AttentionShape, sources: &[usize], q: &B::Buffer, k: &B::Buffer, v: &B::Buffer,
            stats: &mut B::Buffer, o: &mut B::Buffer,
        ) writes o as "attention", stats as "attention stats";

        fn silu(x: &B::Buffer, y: &mut B::Buffer) writes y as "silu";
        fn silu_backward(x: &B::Buffer, dy: &B::Buffer, dx: &mut B::Buffer)
            writes dx as "silu_backward";
        fn geglu(channels: usize, x: &B::Buffer, y: &mut B::Buffer) writes y as "geglu";
        fn geglu_backward(channels: usize, x: &B::Buffer, dy: &B::Buffer, dx: &mut B::Buffer)
            writes dx as "geglu_backward";

        fn upsample(
            channels: usize, from: [usize; 2], to: [usize; 2], x: &B::Buffer, y: &mut B::Buffer,
        ) writes y as "upsample";
        fn upsample_backward(
            channels: usize, from: [usize; 2], to: [usize; 2], dy: &B::Buffer, dx: &mut B::Buffer,
        ) writes dx as "upsample_backward";
        fn copy_columns(
            count: usize, x: &B::Buffer, x_channels: usize, from: usize, y: &mut B::Buffer,
            y_channels: usize, to: usize,
        ) writes y as "copy_columns";
        fn scatter(channels: usize, values: &B::Buffer, points: &B::Points, map: &mut B::Buffer)
            writes map as "scatter";

        fn adam(
            step: &AdamStep, gradient: &B::Buffer, first: &mut B::Buffer, second: &mut B::Buffer,
            parameter: &mut B::Buffer,
        ) writes first as "adam first", second as "adam second", parameter as "adam";
    }

    fn run<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        self.inner.run(work)
    }

    fn in_f32(&self) -> Self {
        Self {
            inner: self.inner.in_f32(),
            ..self.clone()
        }
    }

    fn rounds_factors(&self) -> bool {
        self.inner.rounds_factors() && !self.is_wrong("rounds_factors")
    }

    fn download(&self, buffer: &B::Buffer) -> Vec<f32> {
        let mut values = self.inner.download(buffer);
        if self.is_wrong("download") {
            self.fault.apply(&mut values);
        }
        values
    }

    fn compact(&self, x: &B::Buffer, factor: f32) -> Option<B::Buffer> {
        let converted = self.inner.compact(x, factor)?;
        Some(self.spoiled("compact", converted))
    }

    fn full(&self, x: &B::Buffer, factor: f32) -> Option<B::Buffer> {
        let converted = self.inner.full(x, factor)?;
        Some(self.spoiled("full", converted))
    }

    fn non_finite(&self, buffer: &B::Buffer) -> Sum<B::Buffer> {
        if self.is_wrong("non_finite") {
            return Sum::Known(f64::from(u8::from(self.fault == Fault::Nan)));
        }
        self.inner.non_finite(buffer)
    }

    fn sum_values(&self, sums: &[&Sum<B::Buffer>]) -> Vec<f64> {
        let mut values = self.inner.sum_values(sums);
        if self.is_wrong("sum_values") {
            let mut rounded: Vec<f32> = values.iter().map(|value| *value as f32).collect();
            self.fault.apply(&mut rounded);
            values = rounded.into_iter().map(f64::from).collect();
        }
        values
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

    fn conv_weight(&self, shape: &ConvShape, weight: &B::Buffer) -> B::ConvWeight {
        let weight = self.spoiled("conv_weight", self.inner.duplicate(weight));
        self.inner.conv_weight(shape, &weight)
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

    fn squared_error_sum(
        &self,
        x: &B::Buffer,
        reference: &B::Buffer,
        weight: &B::Buffer,
        scale: f32,
        gradient: &mut B::Buffer,
    ) -> Sum<B::Buffer> {
        let sum = self
            .inner
            .squared_error_sum(x, reference, weight, scale, gradient);
        self.spoil("squared_error_sum", gradient);
        Sum::Known(self.number("squared_error_sum sum", self.inner.sum_value(&sum)))
    }
}
