use super::*;
use crate::diffusion::{NoiseSource, Seeded, Stream};

/// Returns normally distributed values.
fn noise(seed: u64, len: usize) -> Vec<f32> {
    Seeded::new(seed).normal(Stream::VACATED, len)
}

fn shape(
    batch: usize,
    heads: usize,
    queries: usize,
    keys: usize,
    head_size: usize,
) -> AttentionShape {
    AttentionShape {
        batch,
        heads,
        queries,
        keys,
        head_size,
    }
}

/// Operands of an attention in which every picture reads its own keys and values.
struct Case {
    shape: AttentionShape,
    q: Vec<f32>,
    k: Vec<f32>,
    v: Vec<f32>,
    d_o: Vec<f32>,
}

#[derive(Debug, PartialEq)]
struct Results<T> {
    o: Vec<T>,
    stats: Vec<T>,
    dq: Vec<T>,
    dk: Vec<T>,
    dv: Vec<T>,
}

impl Case {
    fn new(shape: AttentionShape) -> Self {
        let (queries, keys) = (
            shape.batch * shape.queries * shape.channels(),
            shape.batch * shape.keys * shape.channels(),
        );
        let q = noise(1, queries).into_iter().map(|x| 4.0 * x).collect();
        Self {
            shape,
            q,
            k: noise(2, keys),
            v: noise(3, keys),
            d_o: noise(4, queries),
        }
    }

    fn forward(&self) -> [Vec<f32>; 2] {
        let sources: Vec<usize> = (0..self.shape.batch).collect();
        let mut o = vec![7.0; self.q.len()];
        let mut stats = vec![7.0; self.shape.batch * self.shape.heads * self.shape.queries];
        attention(
            &self.shape,
            &sources,
            &self.q,
            &self.k,
            &self.v,
            &mut o,
            &mut stats,
        );
        [o, stats]
    }

    fn run(&self) -> Results<f32> {
        let [o, stats] = self.forward();
        let [mut dq, mut dk, mut dv] = [&self.q, &self.k, &self.v].map(|x| vec![7.0; x.len()]);
        let sources = [&self.q[..], &self.k, &self.v, &o, &self.d_o];
        attention_backward(
            &self.shape,
            sources,
            &stats,
            &mut dq,
            Some((&mut dk, &mut dv)),
        );
        Results {
            o,
            stats,
            dq,
            dk,
            dv,
        }
    }

    /// Returns outputs and gradients by their definitions.
    fn expected(&self) -> Results<f64> {
        let AttentionShape {
            batch,
            heads,
            queries,
            keys,
            head_size,
        } = self.shape;
        let channels = heads * head_size;
        let at = |x: &[f32], row: usize, h: usize, column: usize| {
            f64::from(x[row * channels + h * head_size + column])
        };
        let [mut o, mut dq] = [0; 2].map(|_| vec![0.0; self.q.len()]);
        let [mut dk, mut dv] = [0; 2].map(|_| vec![0.0; self.k.len()]);
        let mut stats = Vec::new();
        let scale = 1.0 / (head_size as f64).sqrt();
        for (b, h, i) in (0..batch)
            .flat_map(|b| (0..heads).flat_map(move |h| (0..queries).map(move |i| (b, h, i))))
        {
            let query = b * queries + i;
            let dot = |x: &[f32], y: &[f32], j: usize| -> f64 {
                (0..head_size)
                    .map(|c| at(x, query, h, c) * at(y, b * keys + j, h, c))
                    .sum()
            };
            let scores: Vec<f64> = (0..keys)
                .map(|j| dot(&self.q, &self.k, j) * scale)
                .collect();
            let largest = scores.iter().copied().fold(f64::MIN, f64::max);
            let sum: f64 = scores.iter().map(|s| (s - largest).exp()).sum();
            stats.push(largest + sum.ln());
            let p: Vec<f64> = scores.iter().map(|s| (s - largest).exp() / sum).collect();
            let dp: Vec<f64> = (0..keys).map(|j| dot(&self.d_o, &self.v, j)).collect();
            let mean: f64 = p.iter().zip(&dp).map(|(p, dp)| p * dp).sum();
            for j in 0..keys {
                let ds = p[j] * (dp[j] - mean) * scale;
                for c in 0..head_size {
                    let (row, key) = (
                        query * channels + h * head_size + c,
                        (b * keys + j) * channels + h * head_size + c,
                    );
                    o[row] += p[j] * f64::from(self.v[key]);
                    dq[row] += ds * f64::from(self.k[key]);
                    dk[key] += ds * f64::from(self.q[row]);
                    dv[key] += p[j] * f64::from(self.d_o[row]);
                }
            }
        }
        Results {
            o,
            stats,
            dq,
            dk,
            dv,
        }
    }
}

/// Returns the largest difference, divided by the largest expected value.
fn error(actual: &[f32], expected: &[f64]) -> f64 {
    assert_eq!(actual.len(), expected.len());
    let largest = expected
        .iter()
        .fold(1e-30, |most: f64, x| most.max(x.abs()));
    let difference = |(a, e): (&f32, &f64)| {
        assert!(a.is_finite());
        (f64::from(*a) - e).abs()
    };
    actual
        .iter()
        .zip(expected)
        .map(difference)
        .fold(0.0, f64::max)
        / largest
}

#[test]
fn outputs_and_gradients_match_the_definitions() {
    let sizes = [
        1, 2, 3, 5, 7, 8, 12, 13, 16, 17, 24, 25, 31, 32, 33, 40, 56, 80, 96, 160,
    ];
    let mut cases: Vec<AttentionShape> = sizes
        .iter()
        .enumerate()
        .map(|(i, size)| shape(1, 2, 3 + 19 * i % 101, 1 + 37 * i % 333, *size))
        .collect();
    cases.extend([
        shape(2, 3, 1, 1, 5),
        shape(1, 1, 1, 700, 40),
        shape(1, 1, 300, 1, 8),
        shape(2, 2, 130, 77, 40),
        shape(1, 1, 23, 90, 512),
    ]);
    cases.extend([
        shape(1, 1, 600, 530, 32),
        shape(1, 2, 129, 1025, 40),
        shape(3, 1, 97, 257, 48),
        shape(1, 1, 1, 1, 1),
    ]);
    for shape in cases {
        let case = Case::new(shape);
        let (actual, expected) = (case.run(), case.expected());
        let forward = [
            error(&actual.o, &expected.o),
            error(&actual.stats, &expected.stats),
        ];
        let backward = [
            error(&actual.dq, &expected.dq),
            error(&actual.dk, &expected.dk),
            error(&actual.dv, &expected.dv),
        ];
        let single = shape.keys == 1;
        // Scores of 512 normally distributed products have larger rounding errors.
        assert!(
            forward.iter().all(|e| *e <= 4e-6),
            "{shape:?}: o, stats {forward:?}"
        );
        // With a single key the gradients of the scores are zero, up to rounding.
        assert!(
            single && backward[2] <= 1e-5 || backward.iter().all(|e| *e <= 1e-5),
            "{shape:?}: dq, dk, dv {backward:?}"
        );
    }
}

#[test]
fn query_gradients_do_not_depend_on_whether_dk_and_dv_are_requested() {
    let case = Case::new(shape(1, 2, 200, 300, 40));
    let all = case.run();
    let mut dq = vec![7.0; case.q.len()];
    attention_backward(
        &case.shape,
        [&case.q, &case.k, &case.v, &all.o, &case.d_o],
        &all.stats,
        &mut dq,
        None,
    );
    let expected: Vec<f64> = all.dq.iter().map(|x| f64::from(*x)).collect();
    assert!(error(&dq, &expected) <= 1e-6);
}

#[test]
fn pictures_read_the_keys_of_their_sources() {
    let case = Case::new(shape(3, 2, 20, 30, 16));
    let mut other = Case::new(shape(3, 2, 20, 30, 16));
    let picture = 30 * other.shape.channels();
    for x in [&mut other.k, &mut other.v] {
        // In `other`, picture 2 has the keys and values of picture 1, so pictures 1 and 2 should match those of `case` with source 1.
        x.copy_within(picture..2 * picture, 2 * picture);
        x[..picture].fill(f32::NAN);
    }
    let mut expected = other.forward();
    let mut o = vec![7.0; case.q.len()];
    let mut stats = vec![7.0; expected[1].len()];
    attention(
        &case.shape,
        &[1, 1, 1],
        &case.q,
        &case.k,
        &case.v,
        &mut o,
        &mut stats,
    );
    let (rows, heads) = (o.len() / 3, stats.len() / 3);
    assert_eq!(o[rows..], expected[0].split_off(rows));
    assert_eq!(stats[heads..], expected[1].split_off(heads));
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    for shape in [
        shape(2, 2, 260, 300, 40),
        shape(1, 1, 1000, 520, 32),
        shape(1, 2, 64, 77, 16),
    ] {
        let case = Case::new(shape);
        let with = |threads: usize| {
            rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .expect("the pool starts")
                .install(|| case.run())
        };
        let one = with(1);
        assert!(
            [2, 3, 8].into_iter().all(|threads| with(threads) == one),
            "{shape:?}"
        );
    }
}

#[test]
fn large_scores_select_the_largest() {
    // Scores grow between blocks of keys by far more than the range of the exponential; with the last factor they overflow.
    for (factor, keys) in [(1e3, 2000), (1e16, 2000), (3e19, 40)] {
        let mut case = Case::new(shape(1, 1, 3, keys, 4));
        for (key, k) in case.k.chunks_exact_mut(4).enumerate() {
            k.fill(factor * key as f32);
        }
        case.q[..4].fill(factor);
        case.q[4..8].fill(-factor);
        case.q[8..].fill(0.0);
        let results = case.run();
        let finite = [
            &results.o,
            &results.stats,
            &results.dq,
            &results.dk,
            &results.dv,
        ]
        .iter()
        .all(|x| x.iter().all(|x| x.is_finite()));
        if factor < 1e19 {
            assert!(finite, "{factor}");
            assert_eq!(results.o[..4], case.v[4 * (keys - 1)..], "the last key");
            assert_eq!(results.o[4..8], case.v[..4], "the first key");
        } else {
            assert!(
                results
                    .o
                    .iter()
                    .chain(&results.stats)
                    .all(|x| x.is_finite()),
                "{factor}"
            );
            assert_eq!(results.o[4..8], case.v[..4], "the first key");
        }
    }
}

#[test]
fn a_nan_reaches_outputs_and_gradients() {
    let shape = shape(1, 1, 50, 300, 24);
    for (key, operand) in [(0, 0), (0, 1), (299, 1), (150, 1), (299, 2), (3, 2)] {
        let mut case = Case::new(shape);
        [&mut case.q, &mut case.k, &mut case.v][operand]
            [if operand == 0 { 0 } else { key * 24 + 5 }] = f32::NAN;
        let results = case.run();
        assert!(
            results.o[..24].iter().any(|x| x.is_nan()),
            "o of operand {operand} at {key}"
        );
        assert!(
            [&results.dq, &results.dk]
                .iter()
                .any(|x| x.iter().any(|x| x.is_nan())),
            "gradients of operand {operand} at {key}"
        );
        if operand == 0 {
            assert!(results.o[24..].iter().all(|x| x.is_finite()), "other rows");
        }
    }
}
