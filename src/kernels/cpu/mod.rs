//! The CPU backend: f32 in plain vectors, threads from rayon, matrix products from `gemm`.
//!
//! How work is split depends on shapes alone and sums run in a fixed order, so results are the same bits with any
//! number of threads.

mod activation;
mod adam;
mod attention;
mod conv;
mod gemm;
mod norm;
mod resample;
mod vector;

use rayon::prelude::*;

use super::{AdamStep, AttentionShape, Backend, BilinearPoint, ConvShape, GroupShape, Matrix};

/// The machine's processor cores.
#[derive(Debug, Clone, Copy, Default)]
pub struct Cpu;

fn slice(m: Matrix<Vec<f32>>) -> Matrix<[f32]> {
    Matrix { buffer: m.buffer.as_slice(), offset: m.offset, rows: m.rows, cols: m.cols, row_stride: m.row_stride, col_stride: m.col_stride }
}

impl Backend for Cpu {
    type Buffer = Vec<f32>;

    fn zeros(&self, len: usize) -> Vec<f32> {
        vec![0.0; len]
    }

    fn upload(&self, data: Vec<f32>) -> Vec<f32> {
        data
    }

    fn download(&self, buffer: &Vec<f32>) -> Vec<f32> {
        buffer.clone()
    }

    fn duplicate(&self, buffer: &Vec<f32>) -> Vec<f32> {
        buffer.clone()
    }

    fn all_finite(&self, buffer: &Vec<f32>) -> bool {
        buffer.par_chunks(1 << 16).all(|chunk| chunk.iter().all(|x| x.is_finite()))
    }

    fn matmul(&self, alpha: f32, a: Matrix<Vec<f32>>, b: Matrix<Vec<f32>>, beta: f32, c: &mut Vec<f32>, c_offset: usize) {
        gemm::parallel_gemm(alpha, slice(a), slice(b), beta, &mut c[c_offset..], b.cols);
    }

    fn add_bias(&self, bias: &Vec<f32>, y: &mut Vec<f32>) {
        self.add_per_picture(1, bias, y);
    }

    fn add_per_picture(&self, batch: usize, bias: &Vec<f32>, y: &mut Vec<f32>) {
        let (channels, picture) = (bias.len() / batch, y.len() / batch);
        for (bias, y) in bias.chunks_exact(channels).zip(y.chunks_exact_mut(picture)) {
            y.par_chunks_mut(64 * channels).for_each(|rows| {
                rows.chunks_exact_mut(channels).for_each(|row| row.iter_mut().zip(bias).for_each(|(y, bias)| *y += bias));
            });
        }
    }

    fn combine(&self, a: f32, y: &mut Vec<f32>, b: f32, x: &Vec<f32>) {
        y.par_chunks_mut(1 << 14).zip(x.par_chunks(1 << 14)).for_each(|(y, x)| y.iter_mut().zip(x).for_each(|(y, x)| *y = a * *y + b * x));
    }

    fn select(&self, mask: &Vec<f32>, x: &Vec<f32>, y: &mut Vec<f32>) {
        let channels = y.len() / mask.len();
        for ((mask, x), y) in mask.iter().zip(x.chunks_exact(channels)).zip(y.chunks_exact_mut(channels)) {
            if *mask > 0.5 {
                y.copy_from_slice(x);
            }
        }
    }

    fn conv(&self, shape: &ConvShape, x: &Vec<f32>, weight: &Vec<f32>, bias: Option<&Vec<f32>>, y: &mut Vec<f32>) {
        conv::conv(shape, x, weight, bias.map(Vec::as_slice), y);
    }

    fn flip_kernel(&self, shape: &ConvShape, weight: &Vec<f32>) -> Vec<f32> {
        conv::flip_kernel(shape, weight)
    }

    fn conv_input_gradient(&self, shape: &ConvShape, dy: &Vec<f32>, weight: &Vec<f32>, dx: &mut Vec<f32>) {
        conv::input_gradient(shape, dy, weight, dx);
    }

    fn group_norm(
        &self,
        shape: &GroupShape,
        x: &Vec<f32>,
        weight: &Vec<f32>,
        bias: &Vec<f32>,
        silu: bool,
        stats: &mut Vec<f32>,
        y: &mut Vec<f32>,
    ) {
        norm::group_norm(shape, x, weight, bias, silu, stats, y);
    }

    fn group_norm_backward(
        &self,
        shape: &GroupShape,
        x: &Vec<f32>,
        weight: &Vec<f32>,
        bias: &Vec<f32>,
        silu: bool,
        stats: &Vec<f32>,
        dy: &Vec<f32>,
        dx: &mut Vec<f32>,
    ) {
        norm::group_norm_backward(shape, x, weight, bias, silu, stats, dy, dx);
    }

    fn layer_norm(&self, channels: usize, eps: f32, x: &Vec<f32>, weight: &Vec<f32>, bias: &Vec<f32>, y: &mut Vec<f32>) {
        norm::layer_norm(channels, eps, x, weight, bias, y);
    }

    fn layer_norm_backward(&self, channels: usize, eps: f32, x: &Vec<f32>, weight: &Vec<f32>, dy: &Vec<f32>, dx: &mut Vec<f32>) {
        norm::layer_norm_backward(channels, eps, x, weight, dy, dx);
    }

    fn attention(&self, shape: &AttentionShape, sources: &[usize], q: &Vec<f32>, k: &Vec<f32>, v: &Vec<f32>, o: &mut Vec<f32>) {
        attention::attention(shape, sources, q, k, v, o);
    }

    fn attention_backward(
        &self,
        shape: &AttentionShape,
        q: &Vec<f32>,
        k: &Vec<f32>,
        v: &Vec<f32>,
        o: &Vec<f32>,
        d_o: &Vec<f32>,
        dq: &mut Vec<f32>,
        dkv: Option<(&mut Vec<f32>, &mut Vec<f32>)>,
    ) {
        let dkv = dkv.map(|(dk, dv)| (dk.as_mut_slice(), dv.as_mut_slice()));
        attention::attention_backward(shape, [q, k, v, o, d_o], dq, dkv);
    }

    fn silu(&self, x: &Vec<f32>, y: &mut Vec<f32>) {
        activation::silu(x, y);
    }

    fn geglu(&self, channels: usize, x: &Vec<f32>, y: &mut Vec<f32>) {
        activation::geglu(channels, x, y);
    }

    fn geglu_backward(&self, channels: usize, x: &Vec<f32>, dy: &Vec<f32>, dx: &mut Vec<f32>) {
        activation::geglu_backward(channels, x, dy, dx);
    }

    fn upsample(&self, channels: usize, from: [usize; 2], to: [usize; 2], x: &Vec<f32>, y: &mut Vec<f32>) {
        resample::upsample(channels, from, to, x, y);
    }

    fn upsample_backward(&self, channels: usize, from: [usize; 2], to: [usize; 2], dy: &Vec<f32>, dx: &mut Vec<f32>) {
        resample::upsample_backward(channels, from, to, dy, dx);
    }

    fn copy_columns(&self, count: usize, x: &Vec<f32>, x_channels: usize, from: usize, y: &mut Vec<f32>, y_channels: usize, to: usize) {
        resample::copy_columns(count, x, x_channels, from, y, y_channels, to);
    }

    fn sample(&self, channels: usize, map: &Vec<f32>, points: &[BilinearPoint]) -> Vec<f32> {
        resample::sample(channels, map, points)
    }

    fn sampled_l1(
        &self,
        channels: usize,
        map: &Vec<f32>,
        points: &[BilinearPoint],
        target: &Vec<f32>,
        scale: f32,
        gradient: &mut Vec<f32>,
    ) -> f64 {
        resample::sampled_l1(channels, map, points, target, scale, gradient)
    }

    fn weighted_l1(&self, x: &Vec<f32>, reference: &Vec<f32>, weight: &Vec<f32>, gradient: &mut Vec<f32>) -> f64 {
        resample::weighted_l1(x, reference, weight, gradient)
    }

    fn adam(&self, step: &AdamStep, gradient: &Vec<f32>, first: &mut Vec<f32>, second: &mut Vec<f32>, parameter: &mut Vec<f32>) {
        adam::adam(step, gradient, first, second, parameter);
    }
}
