//! Single operations on a GPU against those of the CPU, at sizes that the small networks do not have.

use dragnext::kernels::cpu::Cpu;
use dragnext::kernels::cuda::Cuda;
use dragnext::kernels::cuda::driver::Format;
use dragnext::kernels::{AdamStep, AttentionShape, Backend, BilinearPoint, GroupShape};

use super::compiled::available;
use super::emulated::{Emulated, Library};
use crate::bench::fixture::{cosine, relative, report};
use crate::bench::numbers::Numbers;

/// o, stats, dq, dk and dv of an attention of pictures that read the keys and values of `sources`; gradients where these are their own.
fn attention<B: Backend>(
    backend: &B,
    shape: &AttentionShape,
    pictures: usize,
    sources: &[usize],
) -> Vec<Vec<f32>> {
    let mut numbers = Numbers::new(shape.head_size as u64);
    // As every device stores them: what f16 cannot tell apart is no error of an attention.
    let mut given = |len: usize| {
        let numbers: Vec<f32> = numbers
            .normal(len)
            .into_iter()
            .map(|x| half::bf16::from_f32(x).to_f32())
            .collect();
        let full = backend.upload(numbers);
        backend.compact(&full, 1.0).unwrap_or(full)
    };
    let (row, rows) = (shape.channels(), shape.batch * shape.queries);
    let [q, d_o] = [(); 2].map(|()| given(rows * row));
    let [k, v] = [(); 2].map(|()| given(pictures * shape.keys * row));
    let mut stats = backend.uninit(shape.batch * shape.heads * shape.queries);
    let mut o = backend.uninit_like(&q, rows * row);
    backend.attention(shape, sources, &q, &k, &v, &mut stats, &mut o);
    let mut said = vec![backend.download(&o), backend.download(&stats)];
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
        said.extend([dq, dk, dv].map(|gradient| backend.download(&gradient)));
    }
    said
}

#[test]
fn attention_with_and_without_a_kernel_of_its_own() {
    if !available("attention_with_and_without_a_kernel_of_its_own") {
        return;
    }
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
        // Sizes without a kernel of their own.
        (shape(2, 3, 20, 31, 24), 2, vec![0, 1]),
        (shape(1, 1, 25, 25, 512), 1, vec![0]),
        // Pictures that read those of others.
        (shape(4, 2, 17, 17, 40), 3, vec![1, 1, 2, 0]),
        (shape(3, 1, 9, 9, 8), 3, vec![2, 2, 0]),
    ];
    for (shape, pictures, sources) in cases {
        let expected = attention(&Cpu, &shape, pictures, &sources);
        for (format, tolerance, direction) in [
            (Format::F32, 1e-5, 1.0 - 1e-9),
            (Format::F16, 2e-3, 0.9999),
            (Format::Bf16, 1.6e-2, 0.999),
        ] {
            let got = attention(
                &Cuda::new(Emulated::new(Library::Absent), format),
                &shape,
                pictures,
                &sources,
            );
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

/// The loss, the values that it compares, its gradient, and the values scattered to a map of ones.
fn said<B: Backend>(backend: &B) -> (f64, [Vec<f32>; 3]) {
    let (channels, pixels, count) = (13, 40, 300);
    let mut numbers = Numbers::new(7);
    let map = backend.upload(numbers.normal(pixels * channels));
    let points = (0..count).map(|_| {
        let corner = (numbers.uniform() * (pixels - 9) as f64) as u32;
        let [x, y] = [(); 2].map(|()| numbers.uniform() as f32);
        BilinearPoint {
            pixels: [corner, corner + 1, corner + 8, corner + 9],
            weights: [(1.0 - x) * (1.0 - y), x * (1.0 - y), (1.0 - x) * y, x * y],
        }
    });
    let points = backend.points(points.collect());
    let values = backend.sample(channels, &map, &points);
    let target = backend.upload(numbers.normal(count * channels));
    let mut gradient = backend.zeros(pixels * channels);
    let loss = backend.sampled_l1(channels, &map, &points, &target, 0.25, &mut gradient);
    let mut scattered = backend.upload(vec![1.0; pixels * channels]);
    backend.scatter(channels, &target, &points, &mut scattered);
    (
        loss,
        [&values, &gradient, &scattered].map(|buffer| backend.download(buffer)),
    )
}

#[test]
fn points_of_a_map_and_their_loss() {
    if !available("points_of_a_map_and_their_loss") {
        return;
    }
    let (loss, expected) = said(&Cpu);
    let (got, numbers) = said(&Cuda::new(Emulated::new(Library::Absent), Format::F16));
    assert!((got / loss - 1.0).abs() < 1e-6, "{got} is not {loss}");
    for (got, expected) in numbers.iter().zip(&expected) {
        assert!(relative(got, expected) < 1e-5);
    }
}

/// Numbers that every format holds exactly.
fn given<B: Backend>(backend: &B, numbers: &mut Numbers, len: usize) -> B::Buffer {
    let numbers: Vec<f32> = numbers
        .normal(len)
        .into_iter()
        .map(|x| half::bf16::from_f32(x).to_f32())
        .collect();
    let full = backend.upload(numbers);
    backend.compact(&full, 1.0).unwrap_or(full)
}

/// What a device makes of a list of operations at awkward sizes.
struct Said<'a, B: Backend> {
    backend: &'a B,
    numbers: Numbers,
    results: Vec<(String, Vec<f32>)>,
}

impl<B: Backend> Said<'_, B> {
    fn given(&mut self, len: usize) -> B::Buffer {
        given(self.backend, &mut self.numbers, len)
    }

    fn full(&mut self, len: usize) -> B::Buffer {
        self.backend.upload(self.numbers.normal(len))
    }

    /// Keeps what `work` writes into a buffer like `model`.
    fn write(
        &mut self,
        name: &str,
        model: &B::Buffer,
        len: usize,
        work: impl FnOnce(&B, &mut B::Buffer),
    ) -> B::Buffer {
        let mut y = self.backend.uninit_like(model, len);
        work(self.backend, &mut y);
        self.keep(name, &y);
        y
    }

    fn keep(&mut self, name: &str, y: &B::Buffer) {
        self.results
            .push((name.to_owned(), self.backend.download(y)));
    }

    fn elementwise(&mut self, len: usize) {
        let x = self.given(len);
        self.write(&format!("silu of {len}"), &x, len, |backend, y| {
            backend.silu(&x, y)
        });
        let mut y = self.given(len);
        self.backend.combine(0.5, &mut y, -1.5, &x);
        self.keep(&format!("a y + b x of {len}"), &y);
        let x = self.given(3 * len);
        self.write(
            &format!("sum of three pictures of {len}"),
            &x,
            len,
            |backend, y| backend.sum_pictures(&x, y),
        );
    }

    fn rows(&mut self, rows: usize, channels: usize) {
        let name = format!("{rows} rows of {channels}");
        let (x, dy) = (self.given(2 * rows * channels), self.given(rows * channels));
        self.write(
            &format!("GEGLU, {name}"),
            &x,
            rows * channels,
            |backend, y| backend.geglu(channels, &x, y),
        );
        self.write(
            &format!("GEGLU back, {name}"),
            &x,
            2 * rows * channels,
            |backend, dx| backend.geglu_backward(channels, &x, &dy, dx),
        );
        let (x, residual) = (self.given(rows * channels), self.given(rows * channels));
        let (weight, bias) = (self.full(channels), self.full(channels));
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
                &format!("layer norm back, {name}"),
                &x,
                rows * channels,
                |backend, dx| {
                    backend.layer_norm_backward(channels, 1e-5, &x, &weight, &dy, residual, dx);
                },
            );
        }
        let outputs = 2 * channels - 1;
        let weight = self.given(outputs * channels);
        let weight = self.backend.linear_weight(outputs, channels, &weight);
        let bias = self.full(outputs);
        let y = self.write(
            &format!("linear, {name}"),
            &x,
            rows * outputs,
            |backend, y| backend.linear(0..rows, &x, &weight, Some(&bias), None, y),
        );
        self.write(
            &format!("linear plus, {name}"),
            &x,
            rows * outputs,
            |backend, to| {
                backend.linear(0..rows, &x, &weight, None, Some(&y), to);
            },
        );
        let mut dx = self.given(rows * channels);
        self.backend
            .linear_backward(0..rows, &y, &weight, true, &mut dx);
        self.keep(&format!("linear back, {name}"), &dx);
        let mut some = self.given(rows * outputs);
        self.backend.linear(
            rows / 3..rows - rows / 4,
            &x,
            &weight,
            Some(&bias),
            Some(&y),
            &mut some,
        );
        self.keep(&format!("linear of some rows, {name}"), &some);
        let mut some = self.given(rows * channels);
        self.backend
            .linear_backward(rows / 3..rows - rows / 4, &y, &weight, false, &mut some);
        self.keep(&format!("linear of some rows back, {name}"), &some);
        let cells = self
            .backend
            .upload((0..rows).map(|row| (row % 2) as f32).collect());
        let mut y = self.given(rows * channels);
        self.backend.select(&cells, &x, &mut y);
        self.keep(&format!("select, {name}"), &y);
        let mut wide = self.given(rows * (channels + 3));
        self.backend
            .copy_columns(channels - 1, &x, channels, 1, &mut wide, channels + 3, 2);
        self.keep(&format!("columns, {name}"), &wide);
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
        let (x, dy, residual) = (self.given(len), self.given(len), self.given(len));
        let (weight, bias) = (self.full(channels), self.full(channels));
        for silu in [false, true] {
            let name = format!("{shape:?}, SiLU {silu}");
            let mut stats = self.backend.uninit(2 * batch * groups);
            self.write(&format!("group norm, {name}"), &x, len, |backend, y| {
                backend.group_norm(&shape, &x, &weight, &bias, silu, &mut stats, y);
            });
            self.keep(&format!("statistics, {name}"), &stats);
            for residual in [None, Some(&residual)] {
                self.write(
                    &format!("group norm back, {name}"),
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

    fn resized(&mut self, channels: usize, from: [usize; 2], to: [usize; 2]) {
        let sizes = [from, to].map(|[height, width]| 2 * height * width * channels);
        let (x, dy) = (self.given(sizes[0]), self.given(sizes[1]));
        self.write(
            &format!("{from:?} to {to:?}"),
            &x,
            sizes[1],
            |backend, y| backend.upsample(channels, from, to, &x, y),
        );
        self.write(
            &format!("{to:?} back to {from:?}"),
            &x,
            sizes[0],
            |backend, dx| backend.upsample_backward(channels, from, to, &dy, dx),
        );
    }

    fn optimiser(&mut self, len: usize) {
        let gradient = self.full(len);
        let mut state = [(); 3].map(|()| self.full(len));
        // A second moment is a mean of squares.
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
            .for_each(|(index, x)| self.keep(&format!("Adam's {index}"), x));
    }

    fn mask_term(&mut self, cells: usize, channels: usize) {
        let [x, reference] = [(); 2].map(|()| self.full(cells * channels));
        let weight = self
            .backend
            .upload((0..cells).map(|cell| (cell % 3) as f32).collect());
        let mut sum = 0.0;
        self.write(
            &format!("mask term, {cells} cells"),
            &x,
            cells * channels,
            |backend, gradient| {
                sum = backend.weighted_l1(&x, &reference, &weight, gradient);
            },
        );
        self.results
            .push(("mask term's sum".into(), vec![sum as f32]));
    }
}

/// Every operation that no network above does at these sizes.
fn operations<B: Backend>(backend: &B) -> Vec<(String, Vec<f32>)> {
    let mut said = Said {
        backend,
        numbers: Numbers::new(11),
        results: Vec::new(),
    };
    for len in [1, 7, 256, 3001] {
        said.elementwise(len);
    }
    for (rows, channels) in [(1, 5), (9, 3), (70, 40), (3, 321)] {
        said.rows(rows, channels);
    }
    for sizes in [
        [1, 2, 12, 2],
        [2, 35, 12, 4],
        [1, 600, 40, 4],
        [3, 77, 10, 1],
    ] {
        said.groups(sizes);
    }
    for (from, to) in [([3, 5], [6, 10]), ([4, 3], [7, 5]), ([1, 1], [3, 2])] {
        said.resized(5, from, to);
    }
    said.optimiser(1001);
    said.mask_term(333, 4);
    said.results
}

#[test]
fn every_operation_is_its_twin_on_the_cpu() {
    if !available("every_operation_is_its_twin_on_the_cpu") {
        return;
    }
    let expected = operations(&Cpu);
    // Numbers come out with one rounding of their format beside the errors of f32.
    for (format, tolerance) in [
        (Format::F32, 3e-5),
        (Format::F16, 1e-3),
        (Format::Bf16, 8e-3),
    ] {
        let got = operations(&Cuda::new(Emulated::new(Library::Absent), format));
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
            "{} results, {}: at most {:.1e} off ({})",
            got.len(),
            format.name(),
            worst.0,
            worst.1
        ));
    }
}

#[test]
fn what_is_not_a_number_is_found_and_comes_out_as_such() {
    if !available("what_is_not_a_number_is_found_and_comes_out_as_such") {
        return;
    }
    for format in [Format::F32, Format::F16, Format::Bf16] {
        let cuda = Cuda::new(Emulated::new(Library::Absent), format);
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            for place in [0, 4, 1000] {
                let mut numbers = vec![1.5; 1001];
                let whole = cuda.upload(numbers.clone());
                assert!(
                    cuda.all_finite(&cuda.compact(&whole, 1.0).unwrap_or(whole)),
                    "{format:?}"
                );
                numbers[place] = bad;
                let full = cuda.upload(numbers);
                let x = cuda.compact(&full, 1.0).unwrap_or(full);
                assert!(!cuda.all_finite(&x), "{bad} at {place}, {format:?}");
                let mut stats = cuda.uninit(2);
                let mut y = cuda.uninit_like(&x, 1001);
                let ones = cuda.upload(vec![1.0; 7]);
                let shape = GroupShape {
                    batch: 1,
                    pixels: 143,
                    channels: 7,
                    groups: 1,
                    eps: 1e-5,
                };
                cuda.group_norm(&shape, &x, &ones, &ones, true, &mut stats, &mut y);
                assert!(
                    !cuda.all_finite(&y),
                    "{bad} through a group norm, {format:?}"
                );
            }
        }
        // What f16 cannot hold is infinite there.
        let large = cuda.upload(vec![1e6; 5]);
        let compact = cuda.compact(&large, 1.0).unwrap_or(large);
        assert_eq!(cuda.all_finite(&compact), format != Format::F16);
    }
}
