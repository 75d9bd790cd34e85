//! Attention.

use super::super::Precision::{Attention, AttentionBackward};
use super::super::recorder::Recorder;
use crate::kernels::{AttentionShape, Backend};

/// Where only some queries are compared, the gradients of the others are zero. So the reference, which has no others, computes the same dk and dv.
pub(super) fn attention<B: Backend>(
    r: &mut Recorder<B>,
    all: &AttentionShape,
    pictures: usize,
    sources: &[usize],
    compared: Option<usize>,
) {
    let backend = r.backend;
    let shape = &AttentionShape {
        queries: r.part(all.queries, compared),
        ..*all
    };
    let (row, rows) = (shape.channels(), shape.batch * shape.queries);
    let (q, numbers) = (r.compact(rows * row), r.numbers(rows * row, 1.0));
    let [k, v] = [(); 2].map(|()| r.compact(pictures * shape.keys * row));
    let kept = compared.map_or(rows, |queries| queries.min(rows)) * row;
    let d_o = (0..).zip(numbers);
    let d_o = d_o.map(|(index, value)| if index < kept { value } else { 0.0 });
    let d_o = r.compact_of(d_o.collect());
    let mut stats = backend.uninit(shape.batch * shape.heads * shape.queries);
    let o = r.write("attention", Attention, &q, rows * row, |backend, o| {
        backend.attention(shape, sources, &q, &k, &v, &mut stats, o);
    });
    if compared.is_none() {
        r.push("attention, statistics", Attention, &stats);
    }
    let reads_own = sources.iter().copied().eq(0..shape.batch);
    if !reads_own && pictures > 1 {
        return;
    }
    let mut dq = backend.uninit_like(&q, rows * row);
    let of_keys = shape.batch * shape.keys * row;
    let [mut dk, mut dv] = [(); 2].map(|()| backend.uninit_like(&q, of_keys));
    let dkv = Some((&mut dk, &mut dv));
    backend.attention_backward(shape, &q, &k, &v, &stats, &o, &d_o, &mut dq, dkv);
    r.push("attention backward, queries", AttentionBackward, &dq);
    r.push("attention backward, keys", AttentionBackward, &dk);
    r.push("attention backward, values", AttentionBackward, &dv);
    let mut dq = backend.uninit_like(&q, rows * row);
    backend.attention_backward(shape, &q, &k, &v, &stats, &o, &d_o, &mut dq, None);
    r.push("attention backward, queries alone", AttentionBackward, &dq);
    if !reads_own || pictures != all.batch || all.queries != all.keys {
        return;
    }
    // The reference of a part has fewer queries than keys: it has computed its gradients above, apart.
    let [dq, dk, dv] = if shape.queries == shape.keys {
        let mut d = backend.uninit_like(&q, 3 * rows * row);
        backend.self_attention_backward(shape, &q, &k, &v, &stats, &o, &d_o, &mut d);
        columns(&backend.download(&d), row)
    } else {
        [dq, dk, dv].map(|gradient| backend.download(&gradient))
    };
    let bound = AttentionBackward;
    r.compact_values("self-attention backward, queries", bound, dq);
    r.compact_values("self-attention backward, keys", bound, dk);
    r.compact_values("self-attention backward, values", bound, dv);
}

/// Returns the thirds of each row of 3 * `channels` values.
fn columns(values: &[f32], channels: usize) -> [Vec<f32>; 3] {
    std::array::from_fn(|index| {
        let rows = values.chunks(3 * channels);
        let of_row = |row: &[f32]| row[index * channels..][..channels].to_vec();
        rows.flat_map(of_row).collect()
    })
}
