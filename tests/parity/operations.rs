//! Operations of a backend against the CPU backend, by the cases of the comparison, at sizes that the small networks do not have.

use dragnext::kernels::comparison::{Case, compare};
use dragnext::kernels::{AttentionShape, Backend, ConvShape, Format, GroupShape};

use crate::bench::numbers::Numbers;
use crate::bench::report;

const FORMATS: [Format; 3] = [Format::F32, Format::F16, Format::Bf16];

/// Uploads values that every format represents exactly.
pub(crate) fn representable<B: Backend>(
    backend: &B,
    numbers: &mut Numbers,
    len: usize,
) -> B::Buffer {
    let numbers: Vec<f32> = numbers
        .normal(len)
        .into_iter()
        .map(|x| half::bf16::from_f32(x).to_f32())
        .collect();
    let full = backend.upload(numbers);
    backend.compact(&full, 1.0).unwrap_or(full)
}

fn groups([batch, pixels, channels, groups]: [usize; 4]) -> GroupShape {
    GroupShape {
        batch,
        pixels,
        channels,
        groups,
        eps: 1e-5,
    }
}

/// Returns every operation at awkward sizes: single values, odd channels, and rows and pixels that no tile divides.
pub(crate) fn awkward() -> Vec<Case> {
    let mut cases = Vec::new();
    cases.extend([1, 7, 256, 3001].map(|len| Case::Elementwise { len }));
    for (rows, channels) in [(1, 5), (9, 3), (70, 40), (3, 321)] {
        cases.extend([
            Case::Geglu { rows, channels },
            Case::LayerNorm { rows, channels },
            Case::Linear {
                rows,
                inputs: channels,
                outputs: 2 * channels - 1,
                compared: None,
            },
            Case::Rows { rows, channels },
            Case::Matmul {
                rows,
                inner: channels,
                cols: 2 * channels - 1,
            },
        ]);
    }
    for [rows, inputs, outputs] in [[9, 12, 12], [40, 24, 10], [300, 8, 7], [10, 16, 16]] {
        cases.push(Case::LayersOfOneShape {
            rows,
            inputs,
            outputs,
            compared: None,
        });
    }
    for sizes in [
        [1, 2, 12, 2],
        [2, 35, 12, 4],
        [1, 600, 40, 4],
        // Groups that several blocks reduce where few blocks run at a time.
        [1, 2300, 8, 2],
        [3, 2050, 5, 1],
        [3, 77, 10, 1],
    ] {
        let shape = groups(sizes);
        cases.push(Case::GroupNorm { shape });
    }
    for (sizes, first) in [
        ([2, 35, 12, 4], 8),
        ([1, 2, 12, 2], 5),
        // The boundary lies in a group, and between two values that are read at a time.
        ([1, 2300, 8, 2], 6),
        ([1, 2300, 8, 2], 3),
    ] {
        let shape = groups(sizes);
        cases.push(Case::JoinedGroupNorm { shape, first });
    }
    for (from, to) in [([3, 5], [6, 10]), ([4, 3], [7, 5]), ([1, 1], [3, 2])] {
        let channels = 5;
        cases.push(Case::Upsample { channels, from, to });
    }
    cases.extend([13, 16].map(|channels| Case::Sampling {
        map: [5, 8],
        channels,
        points: 300,
    }));
    cases.push(Case::WeightedL1 {
        pixels: 333,
        channels: 4,
    });
    cases.extend([444, 35].map(|values| Case::SquaredError {
        pictures: 3,
        values,
    }));
    cases.push(Case::Adam { len: 1001 });
    cases
}

/// Returns convolutions with an odd number of channels, strides, and padding on one side or on both.
pub(crate) fn convolutions() -> Vec<Case> {
    let of =
        |(kernel, stride, pad, [height, width]): (usize, usize, usize, [usize; 2])| Case::Conv {
            shape: ConvShape {
                batch: 2,
                input: [7, 6, 5],
                output: [height, width, 4],
                kernel,
                stride,
                pad,
            },
            compared: None,
        };
    let sizes = [
        (3, 1, 1, [7, 6]),
        (3, 2, 0, [3, 3]),
        (3, 2, 1, [4, 3]),
        (1, 1, 0, [7, 6]),
    ];
    sizes.map(of).to_vec()
}

/// Returns attentions at head sizes with and without a fused kernel in CUDA, and of pictures that read the keys of others.
pub(crate) fn attentions() -> Vec<Case> {
    let of = |([batch, heads, queries, keys, head_size], pictures, sources): (
        [usize; 5],
        usize,
        Vec<usize>,
    )| Case::Attention {
        shape: AttentionShape {
            batch,
            heads,
            queries,
            keys,
            head_size,
        },
        pictures,
        sources,
        compared: None,
    };
    let cases = [
        ([2, 2, 65, 65, 32], 2, vec![0, 1]),
        ([1, 2, 130, 77, 40], 1, vec![0]),
        ([3, 1, 33, 20, 64], 1, vec![0, 0, 0]),
        ([1, 1, 70, 100, 80], 1, vec![0]),
        ([2, 1, 40, 9, 160], 2, vec![0, 1]),
        // Head sizes without a fused kernel.
        ([2, 3, 20, 31, 24], 2, vec![0, 1]),
        ([1, 1, 25, 25, 512], 1, vec![0]),
        // Pictures that read the keys of others.
        ([4, 2, 17, 17, 40], 3, vec![1, 1, 2, 0]),
        ([3, 1, 9, 9, 8], 3, vec![2, 2, 0]),
    ];
    cases.map(of).to_vec()
}

/// Asserts that the cases on a backend agree with the CPU backend in every format.
pub(crate) fn assert_agrees<B: Backend>(open: impl Fn(Format) -> B, cases: &[Case]) {
    let backends = FORMATS.map(|format| (format, open(format)));
    for found in compare(&backends, cases).expect("there is memory") {
        let format = found.format.name();
        assert_eq!(found.differences, [], "{format}");
        assert!(found.compared > cases.len(), "{format}");
        let (share, name) = found.closest.expect("there are results");
        report(&format!(
            "{} results, {format}: {share:.2} of its bound: {name}",
            found.compared
        ));
    }
}

/// Asserts that non-finite values are found, and that they spread through a normalisation.
pub(crate) fn assert_non_finite_values<B: Backend>(open: impl Fn(Format) -> B) {
    for format in FORMATS {
        let backend = open(format);
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            for place in [0, 4, 1000] {
                let mut numbers = vec![1.5; 1001];
                let whole = backend.upload(numbers.clone());
                assert!(
                    backend.all_finite(&backend.compact(&whole, 1.0).unwrap_or(whole)),
                    "{format:?}"
                );
                numbers[place] = bad;
                let full = backend.upload(numbers);
                let x = backend.compact(&full, 1.0).unwrap_or(full);
                assert!(!backend.all_finite(&x), "{bad} at {place}, {format:?}");
                let mut stats = backend.uninit(2);
                let mut y = backend.uninit_like(&x, 1001);
                let ones = backend.upload(vec![1.0; 7]);
                let shape = GroupShape {
                    batch: 1,
                    pixels: 143,
                    channels: 7,
                    groups: 1,
                    eps: 1e-5,
                };
                backend.group_norm(&shape, &x, &ones, &ones, true, &mut stats, &mut y);
                assert!(
                    !backend.all_finite(&y),
                    "{bad} through a group norm, {format:?}"
                );
            }
        }
        // f16 overflows to infinity.
        let large = backend.upload(vec![1e6; 5]);
        let compact = backend.compact(&large, 1.0).unwrap_or(large);
        assert_eq!(backend.all_finite(&compact), format != Format::F16);
    }
}
