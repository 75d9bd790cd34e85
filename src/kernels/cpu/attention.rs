//! Attention in blocks of queries: the score matrix exists for one block at a time, and the backward pass
//! computes it again instead of keeping it.

use rayon::prelude::*;

use super::activation::exp;
use super::gemm::gemm;
use super::vector::{largest, sum, vectorised};
use crate::kernels::{AttentionShape, Matrix};

/// Queries whose scores exist at once, per thread.
const BLOCK: usize = 64;
/// Parts of the queries that collect key and value gradients of their own, so that they can run at once.
const PARTS: usize = 4;

/// Head `head` of tokens `first..first + rows` of picture `picture`, as a matrix (rows, head size).
fn head<'a>(shape: &AttentionShape, x: &'a [f32], picture_offset: usize, head: usize, first: usize, rows: usize) -> Matrix<'a, [f32]> {
    let channels = shape.channels();
    let offset = picture_offset + first * channels + head * shape.head_size;
    Matrix { buffer: x, offset, rows, cols: shape.head_size, row_stride: channels, col_stride: 1 }
}

fn scale(shape: &AttentionShape) -> f32 {
    1.0 / (shape.head_size as f32).sqrt()
}

/// Scores of a block, softmaxed: (rows, keys).
fn probabilities(shape: &AttentionShape, q: Matrix<[f32]>, k: Matrix<[f32]>, scores: &mut Vec<f32>) {
    scores.resize(q.rows * shape.keys, 0.0);
    gemm(scale(shape), q, k.transposed(), 0.0, scores, shape.keys);
    vectorised(|| {
        for row in scores.chunks_exact_mut(shape.keys) {
            let largest = largest(row);
            for score in row.iter_mut() {
                *score = exp(*score - largest);
            }
            let inverse = 1.0 / sum(row);
            for score in row.iter_mut() {
                *score *= inverse;
            }
        }
    });
}

pub(super) fn attention(shape: &AttentionShape, sources: &[usize], q: &[f32], k: &[f32], v: &[f32], o: &mut [f32]) {
    let channels = shape.channels();
    let keys = shape.keys * channels;
    o.par_chunks_mut(shape.queries * channels).enumerate().for_each(|(picture, o)| {
        o.par_chunks_mut(BLOCK * channels).enumerate().for_each_init(Vec::new, |scores, (block, o)| {
            let rows = o.len() / channels;
            for h in 0..shape.heads {
                let q = head(shape, q, picture * shape.queries * channels, h, block * BLOCK, rows);
                let [k, v] = [k, v].map(|x| head(shape, x, sources[picture] * keys, h, 0, shape.keys));
                probabilities(shape, q, k, scores);
                gemm(1.0, Matrix::dense(scores, 0, rows, shape.keys), v, 0.0, &mut o[h * shape.head_size..], channels);
            }
        });
    });
}

/// Gradients of one picture's part of the queries.
struct Part {
    dk: Vec<f32>,
    dv: Vec<f32>,
}

pub(super) fn attention_backward(
    shape: &AttentionShape,
    [q, k, v, o, d_o]: [&[f32]; 5],
    dq: &mut [f32],
    dkv: Option<(&mut [f32], &mut [f32])>,
) {
    let channels = shape.channels();
    let (queries, keys) = (shape.queries * channels, shape.keys * channels);
    let part_rows = shape.queries.div_ceil(BLOCK).div_ceil(PARTS) * BLOCK;
    let wanted = dkv.is_some();
    let parts: Vec<Vec<Part>> = dq
        .par_chunks_mut(queries)
        .enumerate()
        .map(|(picture, dq)| {
            dq.par_chunks_mut(part_rows * channels)
                .enumerate()
                .map(|(part, dq)| {
                    let len = if wanted { keys } else { 0 };
                    let mut gradients = Part { dk: vec![0.0; len], dv: vec![0.0; len] };
                    let mut scratch = [Vec::new(), Vec::new()];
                    for (block, dq) in dq.chunks_mut(BLOCK * channels).enumerate() {
                        let first = part * part_rows + block * BLOCK;
                        block_backward(shape, [q, k, v, o, d_o], picture, first, dq, wanted.then_some(&mut gradients), &mut scratch);
                    }
                    gradients
                })
                .collect()
        })
        .collect();
    if let Some((dk, dv)) = dkv {
        for ((dk, dv), parts) in dk.chunks_mut(keys).zip(dv.chunks_mut(keys)).zip(&parts) {
            for (sum, pick) in [(dk, (|part| &part.dk) as fn(&Part) -> &Vec<f32>), (dv, |part| &part.dv)] {
                sum.fill(0.0);
                for part in parts {
                    sum.iter_mut().zip(pick(part)).for_each(|(sum, value)| *sum += value);
                }
            }
        }
    }
}

/// dV += P^T dO; dP = dO V^T; dS = P (dP - rowsum(dO O)) scale; dQ = dS K; dK += dS^T Q, head by head.
fn block_backward(
    shape: &AttentionShape,
    [q, k, v, o, d_o]: [&[f32]; 5],
    picture: usize,
    first: usize,
    dq: &mut [f32],
    mut gradients: Option<&mut Part>,
    [p, ds]: &mut [Vec<f32>; 2],
) {
    let channels = shape.channels();
    let (rows, scale) = (dq.len() / channels, scale(shape));
    for h in 0..shape.heads {
        let [q, o, d_o] = [q, o, d_o].map(|x| head(shape, x, picture * shape.queries * channels, h, first, rows));
        let [k, v] = [k, v].map(|x| head(shape, x, picture * shape.keys * channels, h, 0, shape.keys));
        probabilities(shape, q, k, p);
        ds.resize(p.len(), 0.0);
        gemm(1.0, d_o, v.transposed(), 0.0, ds, shape.keys);
        for (row, (p, ds)) in p.chunks_exact(shape.keys).zip(ds.chunks_exact_mut(shape.keys)).enumerate() {
            let at = |m: &Matrix<[f32]>, column: usize| m.buffer[m.offset + row * m.row_stride + column];
            let product: f32 = (0..shape.head_size).map(|column| at(&d_o, column) * at(&o, column)).sum();
            vectorised(|| ds.iter_mut().zip(p).for_each(|(ds, p)| *ds = p * (*ds - product) * scale));
        }
        let (p, ds) = (Matrix::dense(&p[..], 0, rows, shape.keys), Matrix::dense(&ds[..], 0, rows, shape.keys));
        gemm(1.0, ds, k, 0.0, &mut dq[h * shape.head_size..], channels);
        if let Some(gradients) = gradients.as_deref_mut() {
            gemm(1.0, p.transposed(), d_o, 1.0, &mut gradients.dv[h * shape.head_size..], channels);
            gemm(1.0, ds.transposed(), q, 1.0, &mut gradients.dk[h * shape.head_size..], channels);
        }
    }
}
