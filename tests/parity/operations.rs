//! Operations of a backend against the CPU backend, at sizes that the small networks do not have.

use dragnext::kernels::cpu::Cpu;
use dragnext::kernels::{AdamStep, Backend, Format, GroupShape, Matrix};

use crate::bench::numbers::Numbers;
use crate::bench::report;

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

/// Runs operations at awkward sizes and collects their results.
struct Results<'a, B: Backend> {
    backend: &'a B,
    numbers: Numbers,
    named: Vec<(String, Vec<f32>)>,
}

impl<B: Backend> Results<'_, B> {
    fn random(&mut self, len: usize) -> B::Buffer {
        representable(self.backend, &mut self.numbers, len)
    }

    fn random_f32(&mut self, len: usize) -> B::Buffer {
        self.backend.upload(self.numbers.normal(len))
    }

    /// Collects what `work` writes into a buffer in the format of `like`.
    fn write(
        &mut self,
        name: &str,
        like: &B::Buffer,
        len: usize,
        work: impl FnOnce(&B, &mut B::Buffer),
    ) -> B::Buffer {
        let mut y = self.backend.uninit_like(like, len);
        work(self.backend, &mut y);
        self.push(name, &y);
        y
    }

    fn push(&mut self, name: &str, y: &B::Buffer) {
        self.named.push((name.to_owned(), self.backend.download(y)));
    }

    fn elementwise(&mut self, len: usize) {
        let x = self.random(len);
        self.write(&format!("silu of {len}"), &x, len, |backend, y| {
            backend.silu(&x, y);
        });
        let dy = self.random(len);
        self.write(
            &format!("silu backward of {len}"),
            &x,
            len,
            |backend, dx| backend.silu_backward(&x, &dy, dx),
        );
        let mut y = self.random(len);
        self.backend.combine(0.5, &mut y, -1.5, &x);
        self.push(&format!("a y + b x of {len}"), &y);
        let x = self.random(3 * len);
        self.write(
            &format!("sum of three pictures of {len}"),
            &x,
            len,
            |backend, y| backend.sum_pictures(&x, y),
        );
    }

    fn rows(&mut self, rows: usize, channels: usize) {
        let name = format!("{rows} rows of {channels}");
        let (x, dy) = (
            self.random(2 * rows * channels),
            self.random(rows * channels),
        );
        self.write(
            &format!("GEGLU, {name}"),
            &x,
            rows * channels,
            |backend, y| backend.geglu(channels, &x, y),
        );
        self.write(
            &format!("GEGLU backward, {name}"),
            &x,
            2 * rows * channels,
            |backend, dx| backend.geglu_backward(channels, &x, &dy, dx),
        );
        let (x, residual) = (self.random(rows * channels), self.random(rows * channels));
        let (weight, bias) = (self.random_f32(channels), self.random_f32(channels));
        self.write(
            &format!("layer norm, {name}"),
            &x,
            rows * channels,
            |backend, y| {
                backend.layer_norm(channels, 1e-5, &x, &weight, &bias, y);
            },
        );
        for residual in [None, Some(&residual)] {
            self.write(
                &format!("layer norm backward, {name}"),
                &x,
                rows * channels,
                |backend, dx| {
                    backend.layer_norm_backward(channels, 1e-5, &x, &weight, &dy, residual, dx);
                },
            );
        }
        let outputs = 2 * channels - 1;
        let weight = self.random(outputs * channels);
        let weight = self.backend.linear_weight(outputs, channels, &weight);
        let bias = self.random_f32(outputs);
        let y = self.write(
            &format!("linear, {name}"),
            &x,
            rows * outputs,
            |backend, y| backend.linear(0..rows, &x, &weight, Some(&bias), None, y),
        );
        self.write(
            &format!("linear with residual, {name}"),
            &x,
            rows * outputs,
            |backend, to| {
                backend.linear(0..rows, &x, &weight, None, Some(&y), to);
            },
        );
        let mut dx = self.random(rows * channels);
        self.backend
            .linear_backward(0..rows, &y, &weight, true, &mut dx);
        self.push(&format!("linear backward, {name}"), &dx);
        let mut some = self.random(rows * outputs);
        self.backend.linear(
            rows / 3..rows - rows / 4,
            &x,
            &weight,
            Some(&bias),
            Some(&y),
            &mut some,
        );
        self.push(&format!("linear of some rows, {name}"), &some);
        let mut some = self.random(rows * channels);
        self.backend
            .linear_backward(rows / 3..rows - rows / 4, &y, &weight, false, &mut some);
        self.push(&format!("linear backward of some rows, {name}"), &some);
        let cells = self
            .backend
            .upload((0..rows).map(|row| (row % 2) as f32).collect());
        let mut y = self.random(rows * channels);
        self.backend.select(&cells, &x, &mut y);
        self.push(&format!("select, {name}"), &y);
        let mut wide = self.random(rows * (channels + 3));
        self.backend
            .copy_columns(channels - 1, &x, channels, 1, &mut wide, channels + 3, 2);
        self.push(&format!("copied columns, {name}"), &wide);
    }

    /// Numbers in f32 that every format represents exactly.
    fn representable_f32(&mut self, len: usize) -> B::Buffer {
        let numbers = self.numbers.normal(len).into_iter();
        let rounded = numbers.map(|x| half::bf16::from_f32(x).to_f32());
        self.backend.upload(rounded.collect())
    }

    /// Three layers of one shape with the same input, and their adapters.
    fn alike(&mut self, rows: usize, inputs: usize, outputs: usize) {
        const RANK: usize = 4;
        let name = format!("{rows} rows, {inputs} to {outputs}");
        let x = self.random(rows * inputs);
        let weights = [(); 3].map(|()| {
            let weight = self.representable_f32(outputs * inputs);
            self.backend.linear_weight(outputs, inputs, &weight)
        });
        let stacked = self.backend.stacked_weights(weights.each_ref());
        for (layout, weights) in [
            ("apart", &weights),
            ("stacked", stacked.as_ref().unwrap_or(&weights)),
        ] {
            let weights = weights.each_ref();
            let mut ys = self.backend.uninit_planes(&x, rows * outputs);
            self.backend.linears(0..rows, &x, weights, ys.each_mut());
            for y in &ys {
                self.push(&format!("alike, {layout}, {name}"), y);
            }
        }
        let weights = stacked.unwrap_or(weights);
        let dy = self.random(rows * 3 * outputs);
        let all = weights.each_ref();
        self.write(
            &format!("backward of all, {name}"),
            &x,
            rows * inputs,
            |backend, dx| backend.linears_backward(0..rows, outputs, &dy, all, dx),
        );
        let mut some = self.random(rows * inputs);
        self.backend
            .linears_backward(rows / 3..rows, outputs, &dy, all, &mut some);
        self.push(&format!("backward of some rows, {name}"), &some);
        let parameters = self.representable_f32(3 * RANK * (inputs + outputs));
        let adapters = std::array::from_fn(|index| {
            let down = index * RANK * (inputs + outputs);
            let up = Matrix::dense(&parameters, down + RANK * inputs, outputs, RANK);
            (up, Matrix::dense(&parameters, down, RANK, inputs))
        });
        let merged: [B::LinearWeight; 3] = self.backend.merged_all(weights.each_ref(), adapters);
        // The rows of the unit matrix select the weights of an input.
        let unit = (0..inputs * inputs).map(|at| f32::from(u8::from(at % (inputs + 1) == 0)));
        let unit = self.backend.upload(unit.collect());
        let unit = self.backend.compact(&unit, 1.0).unwrap_or(unit);
        let mut ys = self.backend.uninit_planes(&x, inputs * outputs);
        self.backend
            .linears(0..inputs, &unit, merged.each_ref(), ys.each_mut());
        for y in &ys {
            self.push(&format!("merged, {name}"), y);
        }
        let x = Matrix::dense(&x, 0, rows, inputs);
        let products = adapters.map(|(_, down)| (x, down.transposed()));
        let offsets = [0, rows * RANK, 2 * rows * RANK];
        for (add, factor) in [(false, 1.0), (true, 0.5)] {
            let mut c = self.representable_f32(3 * rows * RANK);
            self.backend.matmuls(factor, products, add, &mut c, offsets);
            self.push(&format!("products, {add}, {name}"), &c);
        }
    }

    fn groups(&mut self, [batch, pixels, channels, groups]: [usize; 4]) {
        let shape = GroupShape {
            batch,
            pixels,
            channels,
            groups,
            eps: 1e-5,
        };
        let len = batch * pixels * channels;
        let (x, dy, residual) = (self.random(len), self.random(len), self.random(len));
        let (weight, bias) = (self.random_f32(channels), self.random_f32(channels));
        for silu in [false, true] {
            let name = format!("{shape:?}, SiLU {silu}");
            let mut stats = self.backend.uninit(2 * batch * groups);
            self.write(&format!("group norm, {name}"), &x, len, |backend, y| {
                backend.group_norm(&shape, &x, &weight, &bias, silu, &mut stats, y);
            });
            self.push(&format!("statistics, {name}"), &stats);
            for residual in [None, Some(&residual)] {
                self.write(
                    &format!("group norm backward, {name}"),
                    &x,
                    len,
                    |backend, dx| {
                        backend.group_norm_backward(
                            &shape, &x, &weight, &bias, silu, &stats, &dy, residual, dx,
                        );
                    },
                );
            }
        }
    }

    /// A group norm of two buffers side by side, and the gradients to both.
    fn joined_groups(&mut self, [batch, pixels, channels, groups]: [usize; 4], left: usize) {
        let shape = GroupShape {
            batch,
            pixels,
            channels,
            groups,
            eps: 1e-5,
        };
        let name = format!("{left} channels of {shape:?}");
        let len = batch * pixels * channels;
        let both = [left, channels - left];
        let [x, z] = both.map(|channels| self.random(batch * pixels * channels));
        let (dy, residual) = (self.random(len), self.random(len));
        let (weight, bias) = (self.random_f32(channels), self.random_f32(channels));
        let mut stats = self.backend.uninit(2 * batch * groups);
        let mut joined = self.backend.uninit_like(&x, len);
        let parts = [(&x, both[0]), (&z, both[1])];
        self.write(&format!("group norm, {name}"), &x, len, |backend, y| {
            backend.group_norm_joined(
                &shape,
                parts,
                &weight,
                &bias,
                true,
                &mut joined,
                &mut stats,
                y,
            );
        });
        self.push(&format!("joined, {name}"), &joined);
        for residual in [None, Some(&residual)] {
            let [mut dx, mut dz] =
                both.map(|channels| self.backend.uninit_like(&x, batch * pixels * channels));
            self.backend.group_norm_backward_split(
                &shape,
                &joined,
                &weight,
                &bias,
                true,
                &stats,
                &dy,
                residual,
                [(&mut dx, both[0]), (&mut dz, both[1])],
            );
            self.push(&format!("left gradient, {name}"), &dx);
            self.push(&format!("right gradient, {name}"), &dz);
        }
    }

    fn resize(&mut self, channels: usize, from: [usize; 2], to: [usize; 2]) {
        let sizes = [from, to].map(|[height, width]| 2 * height * width * channels);
        let (x, dy) = (self.random(sizes[0]), self.random(sizes[1]));
        self.write(
            &format!("{from:?} to {to:?}"),
            &x,
            sizes[1],
            |backend, y| backend.upsample(channels, from, to, &x, y),
        );
        self.write(
            &format!("backward from {to:?} to {from:?}"),
            &x,
            sizes[0],
            |backend, dx| backend.upsample_backward(channels, from, to, &dy, dx),
        );
    }

    fn optimiser(&mut self, len: usize) {
        let gradient = self.random_f32(len);
        let mut state = [(); 3].map(|()| self.random_f32(len));
        // Second moments are not negative.
        let squares = self
            .backend
            .download(&state[1])
            .iter()
            .map(|x| x * x)
            .collect();
        state[1] = self.backend.upload(squares);
        let [first, second, parameter] = &mut state;
        self.backend.adam(
            &AdamStep {
                step: 3,
                lr: 0.02,
                decay: 0.01,
            },
            &gradient,
            first,
            second,
            parameter,
        );
        state
            .iter()
            .enumerate()
            .for_each(|(index, x)| self.push(&format!("Adam, buffer {index}"), x));
    }

    fn weighted_l1(&mut self, cells: usize, channels: usize) {
        let [x, reference] = [(); 2].map(|()| self.random_f32(cells * channels));
        let weight = self
            .backend
            .upload((0..cells).map(|cell| (cell % 3) as f32).collect());
        let mut sum = 0.0;
        self.write(
            &format!("gradient of weighted L1, {cells} cells"),
            &x,
            cells * channels,
            |backend, gradient| {
                sum = backend.weighted_l1(&x, &reference, &weight, gradient);
            },
        );
        self.named.push(("weighted L1".into(), vec![sum as f32]));
    }
}

/// Runs every operation at sizes that the networks above do not have.
fn operations<B: Backend>(backend: &B) -> Vec<(String, Vec<f32>)> {
    let mut results = Results {
        backend,
        numbers: Numbers::new(11),
        named: Vec::new(),
    };
    for len in [1, 7, 256, 3001] {
        results.elementwise(len);
    }
    for (rows, channels) in [(1, 5), (9, 3), (70, 40), (3, 321)] {
        results.rows(rows, channels);
    }
    for [rows, inputs, outputs] in [[9, 12, 12], [40, 24, 10], [300, 8, 7], [10, 16, 16]] {
        results.alike(rows, inputs, outputs);
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
        results.groups(sizes);
    }
    for (sizes, left) in [
        ([2, 35, 12, 4], 8),
        ([1, 2, 12, 2], 5),
        // The boundary lies in a group, and between two values that are read at a time.
        ([1, 2300, 8, 2], 6),
        ([1, 2300, 8, 2], 3),
    ] {
        results.joined_groups(sizes, left);
    }
    for (from, to) in [([3, 5], [6, 10]), ([4, 3], [7, 5]), ([1, 1], [3, 2])] {
        results.resize(5, from, to);
    }
    results.optimiser(1001);
    results.weighted_l1(333, 4);
    results.named
}

/// The largest error of each format relative to the largest value: results are rounded once to their format, besides the rounding in f32.
pub(crate) const TOLERANCES: [(Format, f64); 3] = [
    (Format::F32, 3e-5),
    (Format::F16, 1e-3),
    (Format::Bf16, 8e-3),
];

/// Asserts that the operations of a backend in each format agree with those of the CPU backend.
pub(crate) fn assert_operations<B: Backend>(
    open: impl Fn(Format) -> B,
    tolerances: [(Format, f64); 3],
) {
    let expected = operations(&Cpu);
    for (format, tolerance) in tolerances {
        let got = operations(&open(format));
        let mut worst: (f64, &str) = (0.0, "");
        for ((name, got), (_, expected)) in got.iter().zip(&expected) {
            let largest = expected
                .iter()
                .fold(1e-6, |largest: f32, x| largest.max(x.abs()));
            let error = got
                .iter()
                .zip(expected)
                .fold(0.0, |error: f32, (a, b)| error.max((a - b).abs()));
            assert!(
                got.iter().all(|x| x.is_finite()) && got.len() == expected.len(),
                "{name}"
            );
            let error = f64::from(error / largest);
            assert!(error <= tolerance, "{name}, {}: {error:.2e}", format.name());
            worst = if error > worst.0 {
                (error, name)
            } else {
                worst
            };
        }
        report(&format!(
            "{} results, {}: maximum error {:.1e} ({})",
            got.len(),
            format.name(),
            worst.0,
            worst.1
        ));
    }
}

/// Asserts that non-finite values are found, and that they spread through a normalisation.
pub(crate) fn assert_non_finite_values<B: Backend>(open: impl Fn(Format) -> B) {
    for format in [Format::F32, Format::F16, Format::Bf16] {
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
