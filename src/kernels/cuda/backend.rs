//! The operations of the backend by name. Those that write drop cached copies of what they overwrite.

use std::ops::Range;

use super::attention::{AttentionGradients, AttentionInputs, AttentionOutputs};
use super::driver::Format;
use super::memory::{Buffer, Planes};
use super::norm::{NormGradient, NormInput};
use super::{
    ConvWeight, Cuda, LinearWeight, Points, adam, attention, batch, conv, elementwise, linear,
    loss, norm, pass, sampling,
};
use crate::kernels::cpu::Cpu;
use crate::kernels::{
    AdamStep, Added, AttentionShape, Backend, BilinearPoint, ConvShape, Factors, GraphFigures,
    GroupShape, Matrix, PassKey, Sum,
};

/// Latent cells of a picture of 512 x 512.
const CELLS_PER_PICTURE: usize = 64 * 64;

impl Backend for Cuda {
    type Buffer = Buffer;
    type LinearWeight = LinearWeight;
    type ConvWeight = ConvWeight;
    type Points = Points;

    fn run<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        work()
    }

    fn pass<I, R: Send>(
        &self,
        key: PassKey,
        inputs: impl FnOnce() -> I + Send,
        work: impl FnOnce(I) -> R + Send,
    ) -> R {
        let Some(mut run) = pass::begin(&self.gpu, key, self.format) else {
            return work(inputs());
        };
        let inputs = inputs();
        run.start();
        let result = work(inputs);
        run.end();
        result
    }

    fn copied_together(&self, buffers: &[&Buffer], are_read_compact: bool) -> Option<Vec<Buffer>> {
        if !self.gpu.passes().is_enabled() {
            return None;
        }
        for buffer in buffers.iter().filter(|_| are_read_compact) {
            buffer.as_format(self.format);
        }
        Some(Buffer::copied_together(&self.gpu, buffers))
    }

    fn trim(&self) {
        self.gpu.trim();
    }

    fn arithmetic(&self) -> String {
        let driver = self.gpu.driver();
        let (gpu, blocks) = (driver.description(), driver.multiprocessors());
        // The text encoder runs on the CPU.
        format!(
            "cuda {} {gpu}, {blocks} multiprocessors, {} cells; {}",
            self.format.name(),
            self.cells_at_once(),
            Cpu.arithmetic()
        )
    }

    fn description(&self) -> String {
        self.gpu.driver().description()
    }

    fn cells_at_once(&self) -> usize {
        self.gpu.pictures_at_once() * CELLS_PER_PICTURE
    }

    fn fuses_shift(&self) -> bool {
        // The libraries take the bias in the format of the result, and bf16 would lose most of the shift.
        self.format != Format::Bf16
    }

    fn rounds_factors(&self) -> bool {
        self.format == Format::F32
    }

    fn prefers_large_calls(&self) -> bool {
        true
    }

    fn refused_convolutions(&self) -> Vec<String> {
        let refused = self.gpu.driver().refused_convolutions();
        let mut texts: Vec<String> = refused
            .iter()
            .map(|(shape, reason)| format!("{shape}: {reason}"))
            .collect();
        texts.sort();
        texts
    }

    fn graphs(&self) -> Option<GraphFigures> {
        let passes = self.gpu.passes();
        passes.is_enabled().then(|| passes.figures().clone())
    }

    fn wait(&self) {
        self.gpu.synchronise();
    }

    fn launches(&self) -> Option<u64> {
        Some(self.gpu.launches())
    }

    fn in_f32(&self) -> Self {
        Self {
            format: Format::F32,
            ..self.clone()
        }
    }

    fn peak_bytes(&self) -> Option<u64> {
        Some(self.gpu.pool().peak())
    }

    fn uninit(&self, len: usize) -> Buffer {
        Buffer::uninit(&self.gpu, Format::F32, len)
    }

    fn uninit_like(&self, like: &Buffer, len: usize) -> Buffer {
        Buffer::uninit(&self.gpu, like.format(), len)
    }

    fn zeros(&self, len: usize) -> Buffer {
        Buffer::zeros(&self.gpu, len)
    }

    fn upload(&self, data: Vec<f32>) -> Buffer {
        Buffer::upload(&self.gpu, &data)
    }

    fn compact(&self, x: &Buffer, factor: f32) -> Option<Buffer> {
        converted(x, self.format, factor)
    }

    fn full(&self, x: &Buffer, factor: f32) -> Option<Buffer> {
        converted(x, Format::F32, factor)
    }

    fn loss_scale(&self) -> Option<f32> {
        (self.format == Format::F16).then(|| self.gpu.loss_scale().get())
    }

    fn lower_loss_scale(&self) -> bool {
        self.format == Format::F16 && self.gpu.loss_scale().lower()
    }

    fn restore_loss_scale(&self) {
        self.gpu.loss_scale().restore();
    }

    fn download(&self, buffer: &Buffer) -> Vec<f32> {
        buffer.download()
    }

    fn duplicate(&self, buffer: &Buffer) -> Buffer {
        buffer.duplicate()
    }

    fn non_finite(&self, buffer: &Buffer) -> Sum<Buffer> {
        elementwise::non_finite(buffer)
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
        c.forget_converted();
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
        y.forget_converted();
        linear::linear(rows, x, weight, bias, residual, y);
    }

    fn linear_backward(
        &self,
        rows: Range<usize>,
        dy: &Buffer,
        weight: &LinearWeight,
        add: bool,
        dx: &mut Buffer,
    ) {
        dx.forget_converted();
        linear::linear_backward(rows, dy, weight, add, dx);
    }

    fn uninit_planes<const N: usize>(&self, like: &Buffer, len: usize) -> [Buffer; N] {
        let planes = Planes::uninit(&self.gpu, like.format(), len, N);
        std::array::from_fn(|index| planes.plane(index))
    }

    fn stacked_weights<const N: usize>(
        &self,
        weights: [&LinearWeight; N],
    ) -> Option<[LinearWeight; N]> {
        Some(LinearWeight::stacked(weights))
    }

    fn linears<const N: usize>(
        &self,
        rows: Range<usize>,
        x: &Buffer,
        weights: [&LinearWeight; N],
        mut ys: [&mut Buffer; N],
    ) {
        for y in &mut ys {
            y.forget_converted();
        }
        batch::linears(rows, x, weights, ys);
    }

    fn linears_backward<const N: usize>(
        &self,
        rows: Range<usize>,
        outputs: usize,
        dy: &Buffer,
        weights: [&LinearWeight; N],
        dx: &mut Buffer,
    ) {
        dx.forget_converted();
        batch::linears_backward(rows, outputs, dy, weights, dx);
    }

    fn merged_all<const N: usize>(
        &self,
        weights: [&LinearWeight; N],
        adapters: [Factors<Buffer>; N],
    ) -> [LinearWeight; N] {
        batch::merged_all(weights, adapters)
    }

    fn matmuls<const N: usize>(
        &self,
        factor: f32,
        products: [Factors<Buffer>; N],
        add: bool,
        c: &mut Buffer,
        c_offsets: [usize; N],
    ) {
        c.forget_converted();
        batch::matmuls(factor, products, add, c, c_offsets);
    }

    fn combine(&self, a: f32, y: &mut Buffer, b: f32, x: &Buffer) {
        y.forget_converted();
        elementwise::combine(a, y, b, x);
    }

    fn combine_by(&self, factors: &Buffer, first: usize, y: &mut Buffer, x: &Buffer) {
        y.forget_converted();
        elementwise::combine_by(factors, first, y, x);
    }

    fn sum_pictures(&self, x: &Buffer, y: &mut Buffer) {
        y.forget_converted();
        elementwise::sum_pictures(x, y);
    }

    fn select(&self, mask: &Buffer, x: &Buffer, y: &mut Buffer) {
        y.forget_converted();
        elementwise::select(mask, x, y);
    }

    fn conv_weight(&self, _: &ConvShape, weight: &Buffer) -> ConvWeight {
        ConvWeight::new(weight, self.format)
    }

    fn conv(
        &self,
        shape: &ConvShape,
        x: &Buffer,
        weight: &ConvWeight,
        added: Added<Buffer>,
        y: &mut Buffer,
    ) {
        y.forget_converted();
        conv::conv(shape, x, weight, added, y);
    }

    fn conv_backward(&self, shape: &ConvShape, dy: &Buffer, weight: &ConvWeight, dx: &mut Buffer) {
        dx.forget_converted();
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
        stats.forget_converted();
        y.forget_converted();
        let input = NormInput::Whole(x);
        norm::group_norm(shape, &input, [weight, bias], silu, stats, y);
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
        dx.forget_converted();
        let gradient = NormGradient::Whole(dx);
        norm::group_norm_backward(
            shape,
            [x, dy],
            [weight, bias],
            silu,
            stats,
            residual,
            &gradient,
        );
    }

    fn group_norm_joined(
        &self,
        shape: &GroupShape,
        parts: [(&Buffer, usize); 2],
        weight: &Buffer,
        bias: &Buffer,
        silu: bool,
        joined: &mut Buffer,
        stats: &mut Buffer,
        y: &mut Buffer,
    ) {
        joined.forget_converted();
        stats.forget_converted();
        y.forget_converted();
        let input = NormInput::Parts { parts, joined };
        norm::group_norm(shape, &input, [weight, bias], silu, stats, y);
    }

    fn group_norm_backward_split(
        &self,
        shape: &GroupShape,
        x: &Buffer,
        weight: &Buffer,
        bias: &Buffer,
        silu: bool,
        stats: &Buffer,
        dy: &Buffer,
        residual: Option<&Buffer>,
        parts: [(&mut Buffer, usize); 2],
    ) {
        let parts = parts.map(|(part, channels)| {
            part.forget_converted();
            (&*part, channels)
        });
        let gradient = NormGradient::Parts(parts);
        norm::group_norm_backward(
            shape,
            [x, dy],
            [weight, bias],
            silu,
            stats,
            residual,
            &gradient,
        );
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
        y.forget_converted();
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
        dx.forget_converted();
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
        stats.forget_converted();
        o.forget_converted();
        attention::attention(
            AttentionInputs {
                shape: *shape,
                q,
                k,
                v,
            },
            sources,
            stats,
            o,
        );
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
        dq.forget_converted();
        let dkv = dkv.map(|(dk, dv)| {
            dk.forget_converted();
            dv.forget_converted();
            [&*dk, &*dv]
        });
        attention::attention_backward(
            AttentionInputs {
                shape: *shape,
                q,
                k,
                v,
            },
            AttentionOutputs { stats, o, d_o },
            &AttentionGradients::apart(shape, dq, dkv),
        );
    }

    fn self_attention_backward(
        &self,
        shape: &AttentionShape,
        q: &Buffer,
        k: &Buffer,
        v: &Buffer,
        stats: &Buffer,
        o: &Buffer,
        d_o: &Buffer,
        d: &mut Buffer,
    ) {
        d.forget_converted();
        attention::attention_backward(
            AttentionInputs {
                shape: *shape,
                q,
                k,
                v,
            },
            AttentionOutputs { stats, o, d_o },
            &AttentionGradients::side_by_side(shape, d),
        );
    }

    fn silu(&self, x: &Buffer, y: &mut Buffer) {
        y.forget_converted();
        elementwise::silu(x, y);
    }

    fn silu_backward(&self, x: &Buffer, dy: &Buffer, dx: &mut Buffer) {
        dx.forget_converted();
        elementwise::silu_backward(x, dy, dx);
    }

    fn geglu(&self, channels: usize, x: &Buffer, y: &mut Buffer) {
        y.forget_converted();
        elementwise::geglu(channels, x, y);
    }

    fn geglu_backward(&self, channels: usize, x: &Buffer, dy: &Buffer, dx: &mut Buffer) {
        dx.forget_converted();
        elementwise::geglu_backward(channels, x, dy, dx);
    }

    fn upsample(
        &self,
        channels: usize,
        from: [usize; 2],
        to: [usize; 2],
        x: &Buffer,
        y: &mut Buffer,
    ) {
        y.forget_converted();
        elementwise::upsample(channels, from, to, x, y);
    }

    fn upsample_backward(
        &self,
        channels: usize,
        from: [usize; 2],
        to: [usize; 2],
        dy: &Buffer,
        dx: &mut Buffer,
    ) {
        dx.forget_converted();
        elementwise::upsample_backward(channels, from, to, dy, dx);
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
        y.forget_converted();
        elementwise::copy_columns(count, x, [x_channels, from], y, [y_channels, to]);
    }

    fn points(&self, points: Vec<BilinearPoint>) -> Points {
        Points::new(&self.gpu, points)
    }

    fn sample(&self, channels: usize, map: &Buffer, points: &Points) -> Buffer {
        sampling::sample(channels, map, points)
    }

    fn scatter(&self, channels: usize, values: &Buffer, points: &Points, map: &mut Buffer) {
        map.forget_converted();
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
        self.sum_value(&self.sampled_l1_sum(channels, map, points, target, scale, gradient))
    }

    fn sampled_l1_sum(
        &self,
        channels: usize,
        map: &Buffer,
        points: &Points,
        target: &Buffer,
        scale: f32,
        gradient: &mut Buffer,
    ) -> Sum<Buffer> {
        gradient.forget_converted();
        loss::sampled_l1(channels, map, points, target, scale, gradient)
    }

    fn weighted_l1(
        &self,
        x: &Buffer,
        reference: &Buffer,
        weight: &Buffer,
        gradient: &mut Buffer,
    ) -> f64 {
        self.sum_value(&self.weighted_l1_sum(x, reference, weight, gradient))
    }

    fn weighted_l1_sum(
        &self,
        x: &Buffer,
        reference: &Buffer,
        weight: &Buffer,
        gradient: &mut Buffer,
    ) -> Sum<Buffer> {
        gradient.forget_converted();
        loss::weighted_l1(x, reference, weight, gradient)
    }

    fn sum_values(&self, sums: &[&Sum<Buffer>]) -> Vec<f64> {
        loss::values(&self.gpu, sums)
    }

    fn squared_error_sum(
        &self,
        x: &Buffer,
        reference: &Buffer,
        weight: &Buffer,
        scale: f32,
        gradient: &mut Buffer,
    ) -> Sum<Buffer> {
        gradient.forget_converted();
        loss::squared_error(x, reference, weight, scale, gradient)
    }

    fn adam(
        &self,
        step: &AdamStep,
        gradient: &Buffer,
        first: &mut Buffer,
        second: &mut Buffer,
        parameter: &mut Buffer,
    ) {
        first.forget_converted();
        second.forget_converted();
        parameter.forget_converted();
        adam::adam(step, gradient, [first, second], parameter);
    }
}

/// Returns factor * x in a format; a copy among the inputs of a pass, and `None` elsewhere, if that equals `x` in value and format.
fn converted(x: &Buffer, format: Format, factor: f32) -> Option<Buffer> {
    if factor != 1.0 || x.format() != format {
        return Some(x.converted(format, factor));
    }
    pass::is_preparing(x.gpu()).then(|| x.duplicate())
}
