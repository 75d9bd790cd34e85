//! Attention of a backend against the CPU backend.

use dragnext::kernels::cpu::Cpu;
use dragnext::kernels::{AttentionShape, Backend, Format};

use super::operations::representable;
use crate::bench::fixture::{cosine, relative};
use crate::bench::numbers::Numbers;
use crate::bench::report;

/// Returns o, stats, and where pictures read their own keys also dq, dk and dv, again from one buffer if
/// there are as many keys as queries, for a gradient `d_o` of size `d_o_scale`. Picture b reads the keys and values of picture `sources[b]`.
pub(crate) fn attention<B: Backend>(
    backend: &B,
    shape: &AttentionShape,
    pictures: usize,
    sources: &[usize],
    d_o_scale: f32,
) -> Vec<Vec<f32>> {
    let mut numbers = Numbers::new(shape.head_size as u64);
    let mut random = |len: usize| representable(backend, &mut numbers, len);
    let (row, rows) = (shape.channels(), shape.batch * shape.queries);
    let [q, d_o] = [(); 2].map(|()| random(rows * row));
    let [k, v] = [(); 2].map(|()| random(pictures * shape.keys * row));
    let d_o = backend.full(&d_o, d_o_scale).unwrap_or(d_o);
    let d_o = backend.compact(&d_o, 1.0).unwrap_or(d_o);
    let mut stats = backend.uninit(shape.batch * shape.heads * shape.queries);
    let mut o = backend.uninit_like(&q, rows * row);
    backend.attention(shape, sources, &q, &k, &v, &mut stats, &mut o);
    let mut results = vec![backend.download(&o), backend.download(&stats)];
    let own = sources
        .iter()
        .enumerate()
        .all(|(picture, source)| picture == *source);
    if own || pictures == 1 {
        let mut dq = backend.uninit_like(&q, rows * row);
        let [mut dk, mut dv] =
            [(); 2].map(|()| backend.uninit_like(&q, shape.batch * shape.keys * row));
        backend.attention_backward(
            shape,
            &q,
            &k,
            &v,
            &stats,
            &o,
            &d_o,
            &mut dq,
            Some((&mut dk, &mut dv)),
        );
        results.extend([dq, dk, dv].map(|gradient| backend.download(&gradient)));
        if own && pictures == shape.batch && shape.queries == shape.keys {
            let mut d = backend.uninit_like(&q, 3 * rows * row);
            backend.self_attention_backward(shape, &q, &k, &v, &stats, &o, &d_o, &mut d);
            let side_by_side = backend.download(&d);
            for index in 0..3 {
                let of_token = |token: &[f32]| token[index * row..][..row].to_vec();
                results.push(side_by_side.chunks(3 * row).flat_map(of_token).collect());
            }
        }
    }
    results
}

/// Asserts that the attention of a backend in each format agrees with that of the CPU backend: at head sizes with and without a fused
/// kernel in CUDA, and with pictures that read the keys of others.
pub(crate) fn assert_attention<B: Backend>(open: impl Fn(Format) -> B) {
    let shape = |batch, heads, queries, keys, head_size| AttentionShape {
        batch,
        heads,
        queries,
        keys,
        head_size,
    };
    let cases = [
        (shape(2, 2, 65, 65, 32), 2, vec![0, 1]),
        (shape(1, 2, 130, 77, 40), 1, vec![0]),
        (shape(3, 1, 33, 20, 64), 1, vec![0, 0, 0]),
        (shape(1, 1, 70, 100, 80), 1, vec![0]),
        (shape(2, 1, 40, 9, 160), 2, vec![0, 1]),
        // Head sizes without a fused kernel.
        (shape(2, 3, 20, 31, 24), 2, vec![0, 1]),
        (shape(1, 1, 25, 25, 512), 1, vec![0]),
        // Pictures that read the keys of others.
        (shape(4, 2, 17, 17, 40), 3, vec![1, 1, 2, 0]),
        (shape(3, 1, 9, 9, 8), 3, vec![2, 2, 0]),
    ];
    for (shape, pictures, sources) in cases {
        let expected = attention(&Cpu, &shape, pictures, &sources, 1.0);
        for (format, tolerance, direction) in [
            (Format::F32, 1e-5, 1.0 - 1e-9),
            (Format::F16, 2e-3, 0.9999),
            (Format::Bf16, 1.6e-2, 0.999),
        ] {
            let got = attention(&open(format), &shape, pictures, &sources, 1.0);
            assert_eq!(got.len(), expected.len());
            for (index, (got, expected)) in got.iter().zip(&expected).enumerate() {
                let (error, cosine) = (relative(got, expected), cosine(got, expected));
                report(&format!(
                    "{shape:?} {} {index}: relative {error:.1e}, cosine 1 - {:.1e}",
                    format.name(),
                    1.0 - cosine
                ));
                assert!(
                    error
                        <= if index < 2 {
                            tolerance
                        } else {
                            3.0 * tolerance
                        },
                    "{shape:?}, {}, {index}: {error:.2e}",
                    format.name()
                );
                assert!(
                    cosine >= direction,
                    "{shape:?}, {}, {index}: cosine {cosine}",
                    format.name()
                );
            }
        }
    }
}
