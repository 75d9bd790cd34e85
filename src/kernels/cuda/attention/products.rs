//! Attention as matrix products around a softmax, for f32 and for head sizes without a fused
//! kernel. It is computed in blocks of heads or queries, to bound the memory of the scores.

use super::{
    AttentionGradients, AttentionInputs, AttentionOutputs, Gradient, ds_scale, key_stride, scale,
};
use crate::kernels::AttentionShape;
use crate::kernels::cuda::driver::{Address, Format, Gemm, MatrixView};
use crate::kernels::cuda::memory::Buffer;

/// Maximum bytes of scores in memory at once.
const SCORE_BYTES: usize = 128 << 20;

/// Softmax rows per block of threads: one per warp.
const ROWS_PER_BLOCK: usize = 8;

/// Some heads of a picture, or some queries of one head.
#[derive(Debug, Clone, Copy)]
struct ScoreBlock {
    picture: usize,
    head: usize,
    heads: usize,
    query: usize,
    queries: usize,
}

impl ScoreBlock {
    /// Returns the number of rows of scores.
    fn rows(&self) -> usize {
        self.heads * self.queries
    }
}

/// Splits an attention into blocks: as many whole heads as fit, or parts of one head if a head does
/// not fit.
fn blocks(shape: &AttentionShape) -> Vec<ScoreBlock> {
    let AttentionShape {
        batch,
        heads: all_heads,
        queries,
        keys,
        ..
    } = *shape;
    let rows = (SCORE_BYTES / (Format::F32.bytes() * keys)).max(1);
    let (heads_at_once, queries_at_once) =
        ((rows / queries).clamp(1, all_heads), rows.min(queries));
    let heads = move |picture| {
        (0..all_heads).step_by(heads_at_once).flat_map(move |head| {
            (0..queries)
                .step_by(queries_at_once)
                .map(move |query| ScoreBlock {
                    picture,
                    head,
                    heads: heads_at_once.min(all_heads - head),
                    query,
                    queries: queries_at_once.min(queries - query),
                })
        })
    };
    (0..batch).flat_map(heads).collect()
}

/// The matrices of one block of scores.
struct BlockMatrices {
    shape: AttentionShape,
    block: ScoreBlock,
}

impl BlockMatrices {
    /// Views queries, outputs, or the gradient of outputs.
    fn of_queries(&self, buffer: &Buffer) -> MatrixView {
        let row = self.block.picture * self.shape.queries + self.block.query;
        self.view(buffer, row)
    }

    /// Views keys or values of the picture whose values begin at `start`.
    fn of_keys(&self, buffer: &Buffer, start: usize) -> MatrixView {
        self.view(buffer, start / self.shape.channels())
    }

    /// Views a gradient that the pass writes, from row `row` on, with `stride` values from one row to the next.
    fn of_gradient(&self, gradient: Gradient, stride: usize, row: usize) -> MatrixView {
        let Gradient { buffer, offset } = gradient;
        let first = offset + row * stride + self.block.head * self.shape.head_size;
        MatrixView {
            address: buffer.address_of(first),
            format: buffer.format(),
            stride,
            batch_stride: self.shape.head_size,
        }
    }

    fn view(&self, buffer: &Buffer, row: usize) -> MatrixView {
        let (channels, size) = (self.shape.channels(), self.shape.head_size);
        MatrixView {
            address: buffer.address_of(row * channels + self.block.head * size),
            format: buffer.format(),
            stride: channels,
            batch_stride: size,
        }
    }

    /// Views scores or probabilities.
    fn of_scores(&self, buffer: &Buffer) -> MatrixView {
        let keys = self.shape.keys;
        MatrixView {
            address: buffer.address(),
            format: buffer.format(),
            stride: keys,
            batch_stride: self.block.queries * keys,
        }
    }

    /// Returns the address of the block's rows in a buffer of one value per query.
    fn of_rows(&self, buffer: &Buffer) -> Address {
        let ScoreBlock {
            picture,
            head,
            query,
            ..
        } = self.block;
        buffer.address_of((picture * self.shape.heads + head) * self.shape.queries + query)
    }

    /// c (queries, keys) = a b^T.
    fn scores(&self, a: MatrixView, b: MatrixView, c: MatrixView) -> Gemm {
        let AttentionShape {
            keys, head_size, ..
        } = self.shape;
        self.gemm(
            [self.block.queries, keys, head_size],
            (a, false),
            (b, true),
            c,
        )
    }

    /// c (queries, head size) = a b.
    fn outputs(&self, a: MatrixView, b: MatrixView, c: MatrixView) -> Gemm {
        let AttentionShape {
            keys, head_size, ..
        } = self.shape;
        self.gemm(
            [self.block.queries, head_size, keys],
            (a, false),
            (b, false),
            c,
        )
    }

    /// c (keys, head size) = a^T b, plus c except for the first queries of the head.
    fn key_gradients(&self, a: MatrixView, b: MatrixView, c: MatrixView) -> Gemm {
        let AttentionShape {
            keys, head_size, ..
        } = self.shape;
        let add = (self.block.query > 0).then_some((c, 1.0));
        Gemm {
            add,
            ..self.gemm(
                [keys, head_size, self.block.queries],
                (a, true),
                (b, false),
                c,
            )
        }
    }

    fn gemm(
        &self,
        [rows, cols, inner]: [usize; 3],
        a: (MatrixView, bool),
        b: (MatrixView, bool),
        c: MatrixView,
    ) -> Gemm {
        let ((a, a_transposed), (b, b_transposed)) = (a, b);
        Gemm {
            rows,
            cols,
            inner,
            batch: self.block.heads,
            alpha: 1.0,
            a,
            a_transposed,
            b,
            b_transposed,
            c,
            add: None,
            bias: None,
        }
    }
}

pub(super) fn attention(inputs: AttentionInputs, sources: &[usize], stats: &Buffer, o: &Buffer) {
    let AttentionInputs { shape, q, k, v } = inputs;
    let gpu = q.gpu();
    for block in blocks(&shape) {
        let matrices = BlockMatrices { shape, block };
        let source = sources[block.picture] * shape.keys * shape.channels();
        let [scores, p] = [Format::F32, q.format()]
            .map(|format| Buffer::uninit(gpu, format, block.rows() * shape.keys));
        gpu.gemm(&matrices.scores(
            matrices.of_queries(q),
            matrices.of_keys(k, source),
            matrices.of_scores(&scores),
        ));
        let arguments = [
            (&scores).into(),
            (&p).into(),
            matrices.of_rows(stats).into(),
            scale(&shape).into(),
            shape.keys.into(),
            block.rows().into(),
        ];
        gpu.launch(
            &format!("softmax_{}", q.format().name()),
            [gpu.grid_size(block.rows(), ROWS_PER_BLOCK), 1, 1],
            &arguments,
        );
        gpu.gemm(&matrices.outputs(
            matrices.of_scores(&p),
            matrices.of_keys(v, source),
            matrices.of_queries(o),
        ));
    }
}

/// Returns the sum of o * `d_o` over the channels of every head (batch, heads, queries), which the
/// gradients of all scores of a query share.
fn delta(shape: &AttentionShape, outputs: AttentionOutputs) -> Buffer {
    let (gpu, rows) = (outputs.o.gpu(), shape.batch * shape.heads * shape.queries);
    let delta = Buffer::uninit(gpu, Format::F32, rows);
    let arguments = [
        outputs.o.into(),
        outputs.d_o.into(),
        (&delta).into(),
        shape.batch.into(),
        shape.heads.into(),
        shape.queries.into(),
        shape.head_size.into(),
    ];
    let kernel = format!("attention_delta_{}", outputs.o.format().name());
    gpu.launch_elementwise(&kernel, rows, &arguments);
    delta
}

pub(super) fn attention_backward(
    inputs: AttentionInputs,
    outputs: AttentionOutputs,
    gradients: &AttentionGradients,
) {
    let AttentionInputs { shape, q, k, v } = inputs;
    let (gpu, delta) = (q.gpu(), delta(&shape, outputs));
    let stride = key_stride(&shape, k);
    // The gradients of the scaled scores are stored times a power of two.
    let (scale, ds_scale) = (scale(&shape), ds_scale(&shape));
    let alpha = scale / ds_scale;
    for block in blocks(&shape) {
        let matrices = BlockMatrices { shape, block };
        let source = block.picture * stride;
        let len = block.rows() * shape.keys;
        let [scores, dp] = [(); 2].map(|()| Buffer::uninit(gpu, Format::F32, len));
        let [p, ds] = [(); 2].map(|()| Buffer::uninit(gpu, q.format(), len));
        let d_o = matrices.of_queries(outputs.d_o);
        gpu.gemm(&matrices.scores(
            matrices.of_queries(q),
            matrices.of_keys(k, source),
            matrices.of_scores(&scores),
        ));
        gpu.gemm(&matrices.scores(d_o, matrices.of_keys(v, source), matrices.of_scores(&dp)));
        let arguments = [
            (&scores).into(),
            (&dp).into(),
            matrices.of_rows(outputs.stats).into(),
            matrices.of_rows(&delta).into(),
            (&p).into(),
            (&ds).into(),
            scale.into(),
            ds_scale.into(),
            shape.keys.into(),
            block.rows().into(),
        ];
        gpu.launch(
            &format!("softmax_backward_{}", q.format().name()),
            [gpu.grid_size(block.rows(), ROWS_PER_BLOCK), 1, 1],
            &arguments,
        );
        let query = block.picture * shape.queries + block.query;
        gpu.gemm(&Gemm {
            alpha,
            ..matrices.outputs(
                matrices.of_scores(&ds),
                matrices.of_keys(k, source),
                matrices.of_gradient(gradients.dq, gradients.stride, query),
            )
        });
        if let Some([dk, dv]) = gradients.dkv {
            let own = block.picture * shape.keys;
            gpu.gemm(&matrices.key_gradients(
                matrices.of_scores(&p),
                d_o,
                matrices.of_gradient(dv, gradients.stride, own),
            ));
            gpu.gemm(&Gemm {
                alpha,
                ..matrices.key_gradients(
                    matrices.of_scores(&ds),
                    matrices.of_queries(q),
                    matrices.of_gradient(dk, gradients.stride, own),
                )
            });
        }
    }
}
