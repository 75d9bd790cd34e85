//! Benchmark of the CPU kernels against the peak of the machine, at the shapes of Stable Diffusion 1.5 and of the demo model.
//!
//!     cargo run --release --example kernels [-- PART OF A NAME]
//!
//! The peak is measured in the same run: fused multiply-adds on registers, on all threads. The operations of a convolution are those of the
//! direct algorithm, so Winograd's, which needs fewer, may exceed the peak. The backward pass of an attention counts five products, since it
//! recomputes the scores. Each line shows the median and the best of five.

#![allow(clippy::print_stdout, reason = "the program prints its measurements")]

use std::hint::black_box;
use std::time::Instant;

use dragnext::diffusion::{NoiseSource, Seeded, Stream};
use dragnext::kernels::cpu::{Buffer, Cpu};
use dragnext::kernels::{Added, AttentionShape, Backend, ConvShape, GroupShape};
use pulp::{Simd, WithSimd};

/// Minimum seconds of a measurement.
const MIN_SECONDS: f64 = 0.1;

/// A loop of fused multiply-adds on twelve vectors.
struct Peak {
    rounds: usize,
}

impl WithSimd for Peak {
    /// Operations, and a value that depends on all of them.
    type Output = (f64, f32);

    #[inline(always)]
    #[expect(
        clippy::inline_always,
        reason = "the loop has the instruction set of the function it is inlined into"
    )]
    fn with_simd<S: Simd>(self, simd: S) -> (f64, f32) {
        let (factor, add) = (
            simd.splat_f32s(black_box(0.999)),
            simd.splat_f32s(black_box(1e-4)),
        );
        let mut sums = [simd.splat_f32s(1.0); 12];
        for _ in 0..self.rounds {
            for sum in &mut sums {
                *sum = simd.mul_add_f32s(*sum, factor, add);
            }
        }
        let all = sums
            .iter()
            .fold(simd.splat_f32s(0.0), |all, sum| simd.add_f32s(all, *sum));
        (
            (self.rounds * sums.len() * S::F32_LANES * 2) as f64,
            simd.reduce_sum_f32s(all),
        )
    }
}

/// Returns the GFLOP/s of all threads together: the best of five.
fn peak() -> f64 {
    let run = || {
        let start = Instant::now();
        let work: f64 = rayon::broadcast(|_| {
            black_box(pulp::Arch::new().dispatch(Peak { rounds: 20_000_000 })).0
        })
        .iter()
        .sum();
        work / start.elapsed().as_secs_f64() / 1e9
    };
    run();
    (0..5).map(|_| run()).fold(0.0, f64::max)
}

struct Bench {
    /// GFLOP/s.
    peak: f64,
    /// Only kernels whose names contain this run.
    filter: String,
}

impl Bench {
    /// Measures and prints `work`, which takes `flop` operations or, if `flop` is 0, reads and writes `bytes`.
    fn measure(&self, name: &str, flop: usize, bytes: usize, mut work: impl FnMut() + Send) {
        if !name.contains(&self.filter) {
            return;
        }
        let mut seconds = Cpu.run(|| {
            work();
            (0..5)
                .map(|_| {
                    let (start, mut count) = (Instant::now(), 0);
                    while start.elapsed().as_secs_f64() < MIN_SECONDS {
                        work();
                        count += 1;
                    }
                    start.elapsed().as_secs_f64() / f64::from(count)
                })
                .collect::<Vec<f64>>()
        });
        seconds.sort_by(f64::total_cmp);
        let (median, best) = (seconds[2], seconds[0]);
        if flop > 0 {
            let rate = flop as f64 / median / 1e9;
            println!(
                "{name:44} {:9.3} ms {:9.3} best {rate:7.1} GFLOP/s {:4.0} %",
                median * 1e3,
                best * 1e3,
                100.0 * rate / self.peak
            );
        } else {
            println!(
                "{name:44} {:9.3} ms {:9.3} best {:7.1} GB/s",
                median * 1e3,
                best * 1e3,
                bytes as f64 / median / 1e9
            );
        }
    }

    fn linear(&self, rows: usize, inputs: usize, outputs: usize) {
        let (x, w, mut y) = (
            values(rows * inputs),
            values(inputs * outputs),
            Cpu.zeros(rows * outputs),
        );
        let weight = Cpu.linear_weight(outputs, inputs, &w);
        let flop = 2 * rows * inputs * outputs;
        self.measure(
            &format!("linear {rows} x {inputs} to {outputs}"),
            flop,
            0,
            || Cpu.linear(0..rows, &x, &weight, None, None, &mut y),
        );
        let (dy, mut dx) = (values(rows * outputs), Cpu.zeros(rows * inputs));
        self.measure(
            &format!("linear {rows} x {inputs} to {outputs}, backward"),
            flop,
            0,
            || {
                Cpu.linear_backward(0..rows, &dy, &weight, false, &mut dx);
            },
        );
    }

    fn conv(&self, batch: usize, side: usize, inputs: usize, outputs: usize) {
        let shape = ConvShape {
            batch,
            input: [side, side, inputs],
            output: [side, side, outputs],
            kernel: 3,
            stride: 1,
            pad: 1,
        };
        let pixels = batch * side * side;
        let (x, w, bias, mut y) = (
            values(pixels * inputs),
            values(9 * inputs * outputs),
            values(outputs),
            Cpu.zeros(pixels * outputs),
        );
        let weight = Cpu.conv_weight(&shape, &w);
        let (name, flop) = (
            format!("conv {batch} x {side}x{side} x {inputs} to {outputs}"),
            18 * pixels * inputs * outputs,
        );
        let added = Added {
            bias: Some(&bias),
            per_picture: None,
            residual: None,
        };
        self.measure(&name, flop, 0, || {
            Cpu.conv(&shape, &x, &weight, added, &mut y);
        });
        let (dy, mut dx) = (values(pixels * outputs), Cpu.zeros(pixels * inputs));
        self.measure(&format!("{name}, backward"), flop, 0, || {
            Cpu.conv_backward(&shape, &dy, &weight, &mut dx);
        });
    }

    fn attention(&self, batch: usize, queries: usize, keys: usize, heads: usize, head_size: usize) {
        let shape = AttentionShape {
            batch,
            heads,
            queries,
            keys,
            head_size,
        };
        let [rows, tokens] = [queries, keys].map(|count| batch * count * heads * head_size);
        let (q, k, v, d_o) = (values(rows), values(tokens), values(tokens), values(rows));
        let (mut o, mut stats, mut dq) = (
            Cpu.zeros(rows),
            Cpu.zeros(batch * heads * queries),
            Cpu.zeros(rows),
        );
        let [mut dk, mut dv] = [Cpu.zeros(tokens), Cpu.zeros(tokens)];
        let sources: Vec<usize> = (0..batch).collect();
        let name = format!("attention {batch} x {queries} to {keys}, {heads} x {head_size}");
        let product = 2 * batch * queries * keys * heads * head_size;
        self.measure(&name, 2 * product, 0, || {
            Cpu.attention(&shape, &sources, &q, &k, &v, &mut stats, &mut o);
        });
        self.measure(&format!("{name}, backward"), 5 * product, 0, || {
            Cpu.attention_backward(
                &shape,
                &q,
                &k,
                &v,
                &stats,
                &o,
                &d_o,
                &mut dq,
                Some((&mut dk, &mut dv)),
            );
        });
    }

    fn pointwise(&self, pixels: usize, channels: usize, groups: usize) {
        let len = pixels * channels;
        let shape = GroupShape {
            batch: 1,
            pixels,
            channels,
            groups,
            eps: 1e-5,
        };
        let (x, dy, mut y) = (values(len), values(len), Cpu.zeros(len));
        let (weight, bias, mut stats) = (values(channels), values(channels), Cpu.zeros(2 * groups));
        self.measure(
            &format!("group norm + SiLU {pixels} x {channels}"),
            0,
            8 * len,
            || {
                Cpu.group_norm(&shape, &x, &weight, &bias, true, &mut stats, &mut y);
            },
        );
        self.measure(
            &format!("group norm + SiLU {pixels} x {channels}, backward"),
            0,
            12 * len,
            || {
                Cpu.group_norm_backward(
                    &shape, &x, &weight, &bias, true, &stats, &dy, None, &mut y,
                );
            },
        );
        self.measure(
            &format!("layer norm {pixels} x {channels}"),
            0,
            8 * len,
            || Cpu.layer_norm(channels, 1e-5, &x, &weight, &bias, &mut y),
        );
        self.measure(
            &format!("layer norm {pixels} x {channels}, backward"),
            0,
            12 * len,
            || {
                Cpu.layer_norm_backward(channels, 1e-5, &x, &weight, &dy, None, &mut y);
            },
        );
        let (wide, d_gated, mut gated, mut d_wide) = (
            values(8 * len),
            values(4 * len),
            Cpu.zeros(4 * len),
            Cpu.zeros(8 * len),
        );
        self.measure(&format!("GEGLU {pixels} x {channels}"), 0, 48 * len, || {
            Cpu.geglu(4 * channels, &wide, &mut gated);
        });
        self.measure(
            &format!("GEGLU {pixels} x {channels}, backward"),
            0,
            80 * len,
            || {
                Cpu.geglu_backward(4 * channels, &wide, &d_gated, &mut d_wide);
            },
        );
    }
}

/// Returns normally distributed values.
fn values(len: usize) -> Buffer {
    Cpu.upload(Seeded::new(len as u64).normal(Stream::VACATED, len))
}

fn main() {
    let bench = Bench {
        peak: peak(),
        filter: std::env::args().nth(1).unwrap_or_default(),
    };
    println!(
        "{} threads, {:.0} GFLOP/s in registers",
        rayon::current_num_threads(),
        bench.peak
    );
    for (side, inputs, outputs) in [
        (64, 320, 320),
        (64, 960, 320),
        (32, 640, 640),
        (16, 1280, 1280),
        (16, 2560, 1280),
        (8, 1280, 1280),
        (128, 512, 512),
        (512, 128, 128),
    ] {
        bench.conv(1, side, inputs, outputs);
    }
    for (pixels, channels) in [(4096, 320), (1024, 640), (256, 1280)] {
        bench.linear(pixels, channels, channels);
        bench.linear(pixels, channels, 8 * channels);
        bench.linear(pixels, 4 * channels, channels);
    }
    for (tokens, head_size) in [(4096, 40), (1024, 80), (256, 160)] {
        bench.attention(1, tokens, tokens, 8, head_size);
        bench.attention(1, tokens, 77, 8, head_size);
    }
    bench.attention(1, 4096, 4096, 1, 512);
    bench.pointwise(4096, 320, 32);
    for batch in [1, 4] {
        for (side, channels) in [(32, 32), (16, 64), (8, 96)] {
            bench.conv(batch, side, channels, channels);
            bench.linear(batch * side * side, channels, channels);
            bench.linear(batch * side * side, channels, 8 * channels);
            bench.attention(batch, side * side, side * side, 1, channels);
            bench.attention(batch, side * side, 77, 1, channels);
        }
    }
    bench.pointwise(1024, 32, 8);
}
