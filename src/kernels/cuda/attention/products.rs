//! Attention as products of matrices around a softmax, as many heads or queries at a time as memory allows. For f32, and for head sizes
//! that have no kernel of their own.

use super::{Gradients, Inputs, Returning, key_stride, scale};
use crate::kernels::AttentionShape;
use crate::kernels::cuda::driver::{Address, Format, Product, Stored};
use crate::kernels::cuda::memory::Buffer;

/// Bytes of the scores that are there at once.
const SCORES: usize = 128 << 20;

/// Rows of a softmax that a block takes at a time: one for each of its warps.
const ROWS: usize = 8;

/// Some heads, or some queries of one head, of a picture.
#[derive(Debug, Clone, Copy)]
struct Part {
    picture: usize,
    head: usize,
    heads: usize,
    query: usize,
    queries: usize,
}

impl Part {
    /// Rows of scores.
    fn rows(&self) -> usize {
        self.heads * self.queries
    }
}

/// All parts: whole heads, as many as fit, or a head in pieces where not even one fits.
fn parts(shape: &AttentionShape) -> Vec<Part> {
    let AttentionShape {
        batch,
        heads: all,
        queries,
        keys,
        ..
    } = *shape;
    let rows = (SCORES / (Format::F32.bytes() * keys)).max(1);
    let (heads_at_once, queries_at_once) = ((rows / queries).clamp(1, all), rows.min(queries));
    let heads = move |picture| {
        (0..all).step_by(heads_at_once).flat_map(move |head| {
            (0..queries)
                .step_by(queries_at_once)
                .map(move |query| Part {
                    picture,
                    head,
                    heads: heads_at_once.min(all - head),
                    query,
                    queries: queries_at_once.min(queries - query),
                })
        })
    };
    (0..batch).flat_map(heads).collect()
}

/// Where matrices of a part lie.
struct Places {
    shape: AttentionShape,
    part: Part,
}

impl Places {
    /// Queries, outputs, and their gradients.
    fn of_queries(&self, buffer: &Buffer) -> Stored {
        let row = self.part.picture * self.shape.queries + self.part.query;
        self.at(buffer, row)
    }

    /// Keys, values, and their gradients, of the picture whose numbers begin at `start`.
    fn of_keys(&self, buffer: &Buffer, start: usize) -> Stored {
        self.at(buffer, start / self.shape.channels())
    }

    fn at(&self, buffer: &Buffer, row: usize) -> Stored {
        let (channels, size) = (self.shape.channels(), self.shape.head_size);
        Stored {
            address: buffer.at(row * channels + self.part.head * size),
            format: buffer.format(),
            stride: channels,
            batch_stride: size,
        }
    }

    /// Scores and what becomes of them.
    fn of_scores(&self, buffer: &Buffer) -> Stored {
        let keys = self.shape.keys;
        Stored {
            address: buffer.address(),
            format: buffer.format(),
            stride: keys,
            batch_stride: self.part.queries * keys,
        }
    }

    /// The part's rows of one number per query.
    fn of_rows(&self, buffer: &Buffer) -> Address {
        let Part {
            picture,
            head,
            query,
            ..
        } = self.part;
        buffer.at((picture * self.shape.heads + head) * self.shape.queries + query)
    }

    /// c (queries, keys) = a b^T.
    fn scores(&self, a: Stored, b: Stored, c: Stored) -> Product {
        let AttentionShape {
            keys, head_size, ..
        } = self.shape;
        self.product(
            [self.part.queries, keys, head_size],
            (a, false),
            (b, true),
            c,
        )
    }

    /// c (queries, head size) = a b.
    fn outputs(&self, a: Stored, b: Stored, c: Stored) -> Product {
        let AttentionShape {
            keys, head_size, ..
        } = self.shape;
        self.product(
            [self.part.queries, head_size, keys],
            (a, false),
            (b, false),
            c,
        )
    }

    /// c (keys, head size) = a^T b, plus c where other queries of the head came before.
    fn key_gradients(&self, a: Stored, b: Stored, c: Stored) -> Product {
        let AttentionShape {
            keys, head_size, ..
        } = self.shape;
        let add = (self.part.query > 0).then_some((c, 1.0));
        Product {
            add,
            ..self.product(
                [keys, head_size, self.part.queries],
                (a, true),
                (b, false),
                c,
            )
        }
    }

    fn product(
        &self,
        [rows, cols, inner]: [usize; 3],
        a: (Stored, bool),
        b: (Stored, bool),
        c: Stored,
    ) -> Product {
        let ((a, a_transposed), (b, b_transposed)) = (a, b);
        Product {
            rows,
            cols,
            inner,
            batch: self.part.heads,
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

pub(super) fn attention(inputs: Inputs, sources: &[usize], stats: &Buffer, o: &Buffer) {
    let Inputs { shape, q, k, v } = inputs;
    let gpu = q.gpu();
    for part in parts(&shape) {
        let places = Places { shape, part };
        let source = sources[part.picture] * shape.keys * shape.channels();
        let [scores, p] = [Format::F32, q.format()]
            .map(|format| Buffer::uninit(gpu, format, part.rows() * shape.keys));
        gpu.product(&places.scores(
            places.of_queries(q),
            places.of_keys(k, source),
            places.of_scores(&scores),
        ));
        let arguments = [
            (&scores).into(),
            (&p).into(),
            places.of_rows(stats).into(),
            scale(&shape).into(),
            shape.keys.into(),
            part.rows().into(),
        ];
        gpu.launch(
            &format!("softmax_{}", q.format().name()),
            [gpu.blocks(part.rows(), ROWS), 1, 1],
            &arguments,
        );
        gpu.product(&places.outputs(
            places.of_scores(&p),
            places.of_keys(v, source),
            places.of_queries(o),
        ));
    }
}

pub(super) fn attention_backward(
    inputs: Inputs,
    returning: Returning,
    delta: &Buffer,
    gradients: &Gradients,
) {
    let Inputs { shape, q, k, v } = inputs;
    let gpu = q.gpu();
    let stride = key_stride(&shape, k);
    for part in parts(&shape) {
        let places = Places { shape, part };
        let source = part.picture * stride;
        let numbers = part.rows() * shape.keys;
        let [scores, dp] = [(); 2].map(|()| Buffer::uninit(gpu, Format::F32, numbers));
        let [p, ds] = [(); 2].map(|()| Buffer::uninit(gpu, q.format(), numbers));
        let d_o = places.of_queries(returning.d_o);
        gpu.product(&places.scores(
            places.of_queries(q),
            places.of_keys(k, source),
            places.of_scores(&scores),
        ));
        gpu.product(&places.scores(d_o, places.of_keys(v, source), places.of_scores(&dp)));
        let arguments = [
            (&scores).into(),
            (&dp).into(),
            places.of_rows(returning.stats).into(),
            places.of_rows(delta).into(),
            (&p).into(),
            (&ds).into(),
            scale(&shape).into(),
            shape.keys.into(),
            part.rows().into(),
        ];
        gpu.launch(
            &format!("softmax_backward_{}", q.format().name()),
            [gpu.blocks(part.rows(), ROWS), 1, 1],
            &arguments,
        );
        gpu.product(&places.outputs(
            places.of_scores(&ds),
            places.of_keys(k, source),
            places.of_queries(gradients.dq),
        ));
        if let Some([dk, dv]) = gradients.dkv {
            let own = part.picture * shape.keys * shape.channels();
            gpu.product(&places.key_gradients(places.of_scores(&p), d_o, places.of_keys(dv, own)));
            gpu.product(&places.key_gradients(
                places.of_scores(&ds),
                places.of_queries(q),
                places.of_keys(dk, own),
            ));
        }
    }
}
