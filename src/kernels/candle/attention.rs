//! Attention by matrix products around a softmax, in f32, some heads or some queries of a head at a time.

use std::ops::Range;

use candle_core::{D, DType, Result, Tensor};

use super::buffer::Buffer;
use super::dtype;
use crate::kernels::AttentionShape;

/// Returns buffer (pictures, tokens, channels) as f32 (batch * heads, tokens, head size), where picture b of the batch is picture
/// `sources[b]` of the buffer.
fn heads(
    shape: &AttentionShape,
    buffer: &Buffer,
    tokens: usize,
    sources: Option<&[usize]>,
) -> Result<Tensor> {
    let AttentionShape {
        batch,
        heads,
        head_size,
        ..
    } = *shape;
    let x = buffer.shaped(((), tokens, heads * head_size))?;
    let x = match sources {
        Some(sources) => {
            let sources = sources.iter().map(|source| *source as u32).collect();
            let sources = Tensor::from_vec(sources, batch, x.device())?;
            x.index_select(&sources, 0)?
        }
        None => x,
    };
    x.reshape((batch, tokens, heads, head_size))?
        .transpose(1, 2)?
        .contiguous()?
        .to_dtype(DType::F32)?
        .reshape((batch * heads, tokens, head_size))
}

/// The reverse of [`heads`], in the format of `like`.
fn joined(shape: &AttentionShape, x: &Tensor, tokens: usize, like: &Buffer) -> Result<Tensor> {
    let AttentionShape {
        batch,
        heads,
        head_size,
        ..
    } = *shape;
    x.reshape((batch, heads, tokens, head_size))?
        .transpose(1, 2)?
        .to_dtype(dtype(like.format()))?
        .contiguous()
}

/// Some heads of the batch, and some of their queries.
struct ScoreBlock {
    heads: Range<usize>,
    queries: Range<usize>,
}

/// Splits the scores (batch * heads, queries, keys) into blocks of at most `scores` values: whole heads if they fit, or parts of one head.
fn blocks(shape: &AttentionShape, scores: usize) -> Vec<ScoreBlock> {
    let (all_heads, all_queries) = (shape.batch * shape.heads, shape.queries);
    let rows = (scores / shape.keys.max(1)).max(1);
    let heads = (rows / all_queries.max(1)).clamp(1, all_heads.max(1));
    let queries = rows.clamp(1, all_queries.max(1));
    let parts = |all: usize, at_once: usize| {
        (0..all)
            .step_by(at_once)
            .map(move |first| first..all.min(first + at_once))
    };
    parts(all_heads, heads)
        .flat_map(|heads| {
            parts(all_queries, queries).map(move |queries| ScoreBlock {
                heads: heads.clone(),
                queries,
            })
        })
        .collect()
}

impl ScoreBlock {
    /// Returns the block's rows of a tensor (batch * heads, queries, ..).
    fn of_queries(&self, x: &Tensor) -> Result<Tensor> {
        self.of_keys(x)?
            .narrow(1, self.queries.start, self.queries.len())?
            .contiguous()
    }

    /// Returns the block's heads of a tensor (batch * heads, ..).
    fn of_keys(&self, x: &Tensor) -> Result<Tensor> {
        x.narrow(0, self.heads.start, self.heads.len())
    }
}

/// Joins the results of blocks (heads, queries, ..) to (batch * heads, queries, ..).
fn assembled(shape: &AttentionShape, blocks: &[ScoreBlock], parts: &[Tensor]) -> Result<Tensor> {
    let mut heads = Vec::new();
    let mut queries = Vec::new();
    for (block, part) in blocks.iter().zip(parts) {
        queries.push(part);
        if block.queries.end == shape.queries {
            heads.push(Tensor::cat(&std::mem::take(&mut queries), 1)?);
        }
    }
    Tensor::cat(&heads, 0)
}

/// Returns 1 / sqrt(head size).
fn scale(shape: &AttentionShape) -> f64 {
    1.0 / (shape.head_size as f64).sqrt()
}

/// Computes o and the logarithms of the sums of exponentials.
pub(super) fn attention(
    shape: &AttentionShape,
    sources: &[usize],
    [q, k, v]: [&Buffer; 3],
    stats: &mut Buffer,
    o: &mut Buffer,
) {
    let device = q.device();
    let blocks = blocks(shape, device.values_per_chunk(size_of::<f32>()));
    let [sums, output] = device.run(|| {
        let queries = (heads(shape, q, shape.queries, None)? * scale(shape))?;
        let [k, v] = [k, v].map(|x| heads(shape, x, shape.keys, Some(sources)));
        let (k, v) = (k?.t()?, v?);
        let (mut sums, mut outputs) = (Vec::new(), Vec::new());
        for block in &blocks {
            let scores = block.of_queries(&queries)?.matmul(&block.of_keys(&k)?)?;
            let largest = scores.max_keepdim(D::Minus1)?;
            let exponentials = scores.broadcast_sub(&largest)?;
            drop(scores);
            let exponentials = exponentials.exp()?;
            let sum = exponentials.sum_keepdim(D::Minus1)?;
            outputs.push(
                exponentials
                    .matmul(&block.of_keys(&v)?)?
                    .broadcast_div(&sum)?,
            );
            sums.push((largest + sum.log()?)?);
        }
        let o = assembled(shape, &blocks, &outputs)?;
        Ok([
            assembled(shape, &blocks, &sums)?,
            joined(shape, &o, shape.queries, q)?,
        ])
    });
    stats.set(sums);
    o.set(output);
}

/// Computes dq, and dk and dv if `with_keys`, from the gradient `d_o` of o.
pub(super) fn attention_backward(
    shape: &AttentionShape,
    [q, k, v]: [&Buffer; 3],
    [stats, o, d_o]: [&Buffer; 3],
    with_keys: bool,
) -> (Tensor, Option<[Tensor; 2]>) {
    let device = q.device();
    let blocks = blocks(shape, device.values_per_chunk(size_of::<f32>()));
    // Pictures read their own keys, or all of them those of the only picture.
    let pictures = k.len() / (shape.keys * shape.channels()).max(1);
    let sources: Option<Vec<usize>> = (pictures != shape.batch).then(|| vec![0; shape.batch]);
    let sources = sources.as_deref();
    device.run(|| {
        let queries = (heads(shape, q, shape.queries, None)? * scale(shape))?;
        let [k, v] = [k, v].map(|x| heads(shape, x, shape.keys, sources));
        let (k, v) = (k?, v?);
        let d_o = heads(shape, d_o, shape.queries, None)?;
        let delta = (&d_o * heads(shape, o, shape.queries, None)?)?.sum_keepdim(D::Minus1)?;
        let sums = stats.shaped((shape.batch * shape.heads, shape.queries, 1))?;
        let mut dqs = Vec::new();
        let mut gradients: Vec<[Tensor; 2]> = Vec::new();
        for block in &blocks {
            let [query, d_o, delta, sums] =
                [&queries, &d_o, &delta, &sums].map(|x| block.of_queries(x));
            let (query, d_o) = (query?, d_o?);
            let (block_k, block_v) = (block.of_keys(&k)?, block.of_keys(&v)?);
            let scores = query.matmul(&block_k.t()?)?;
            let p = scores.broadcast_sub(&sums?)?;
            drop(scores);
            let p = p.exp()?;
            let dp = d_o.matmul(&block_v.t()?)?;
            let difference = dp.broadcast_sub(&delta?)?;
            drop(dp);
            let ds = (&p * difference)?;
            dqs.push((ds.matmul(&block_k)? * scale(shape))?);
            if with_keys {
                let new = [ds.t()?.matmul(&query)?, p.t()?.matmul(&d_o)?];
                // Later queries of a head add to its gradients.
                if block.queries.start > 0
                    && let Some([dk, dv]) = gradients.last_mut()
                {
                    let [new_dk, new_dv] = new;
                    *dk = (&*dk + new_dk)?;
                    *dv = (&*dv + new_dv)?;
                } else {
                    gradients.push(new);
                }
            }
        }
        let dq = joined(shape, &assembled(shape, &blocks, &dqs)?, shape.queries, q)?;
        let dkv = if with_keys {
            let of = |which: usize| {
                let parts: Vec<&Tensor> = gradients.iter().map(|pair| &pair[which]).collect();
                joined(shape, &Tensor::cat(&parts, 0)?, shape.keys, q)
            };
            Some([of(0)?, of(1)?])
        } else {
            None
        };
        Ok((dq, dkv))
    })
}
