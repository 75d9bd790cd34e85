//! Compares all algorithms with sums in f64.

use super::*;
use crate::diffusion::{NoiseSource, Seeded, Stream};

/// Returns normally distributed values.
fn normal(len: usize, seed: u64) -> Vec<f32> {
    Seeded::new(seed).normal(Stream::VACATED, len)
}

fn shape(
    batch: usize,
    input: [usize; 3],
    outputs: usize,
    kernel: usize,
    stride: usize,
    pad: usize,
    below: usize,
) -> ConvShape {
    let size = |size: usize| (size + pad + below - kernel) / stride + 1;
    ConvShape {
        batch,
        input,
        output: [size(input[0]), size(input[1]), outputs],
        kernel,
        stride,
        pad,
    }
}

/// Returns output and input gradient by the definition.
fn reference(shape: &ConvShape, x: &[f32], weights: &[f32], dy: &[f32]) -> (Vec<f64>, Vec<f64>) {
    let ConvShape {
        batch,
        input: [height, width, inputs],
        output: [out_height, out_width, outputs],
        kernel,
        stride,
        pad,
    } = *shape;
    let (mut y, mut dx) = (vec![0.0; dy.len()], vec![0.0; x.len()]);
    for index in 0..batch * out_height * out_width * kernel * kernel {
        let (tap, pixel) = (index % (kernel * kernel), index / (kernel * kernel));
        let (picture, i, j) = (
            pixel / (out_height * out_width),
            pixel / out_width % out_height,
            pixel % out_width,
        );
        let (line, column) = (
            (i * stride + tap / kernel).wrapping_sub(pad),
            (j * stride + tap % kernel).wrapping_sub(pad),
        );
        if line >= height || column >= width {
            continue;
        }
        let from = ((picture * height + line) * width + column) * inputs;
        for output in 0..outputs {
            let weights = &weights[(output * kernel * kernel + tap) * inputs..][..inputs];
            let dy = f64::from(dy[pixel * outputs + output]);
            for (input, weight) in weights.iter().enumerate() {
                y[pixel * outputs + output] += f64::from(x[from + input]) * f64::from(*weight);
                dx[from + input] += dy * f64::from(*weight);
            }
        }
    }
    (y, dx)
}

/// Returns the largest difference, divided by the largest expected value.
fn error(found: &[f32], expected: &[f64]) -> f64 {
    let largest = expected.iter().fold(0.0, |all: f64, x| all.max(x.abs()));
    let differences = found
        .iter()
        .zip(expected)
        .map(|(a, b)| (f64::from(*a) - b).abs());
    // NaN counts as the largest difference.
    differences.fold(
        0.0,
        |all: f64, x| if x <= all || all.is_nan() { all } else { x },
    ) / largest
}

struct Case {
    shape: ConvShape,
    x: Vec<f32>,
    kernel: ConvWeight,
    dy: Vec<f32>,
    y: Vec<f64>,
    dx: Vec<f64>,
}

impl Case {
    fn new(shape: ConvShape) -> Self {
        let ConvShape {
            batch,
            input,
            output,
            kernel: size,
            ..
        } = shape;
        let x = normal(batch * input.iter().product::<usize>(), 1);
        let weights = normal(output[2] * size * size * input[2], 2);
        let dy = normal(batch * output.iter().product::<usize>(), 3);
        let (y, dx) = reference(&shape, &x, &weights, &dy);
        Self {
            shape,
            x,
            kernel: ConvWeight::new(&weights, output[2], size, input[2]),
            dy,
            y,
            dx,
        }
    }

    /// Returns output and input gradient of a 3x3 convolution with stride 1 by tiles of `side` by `side` outputs.
    fn by_tiles_of(&self, side: usize) -> (Vec<f32>, Vec<f32>) {
        let (mut y, mut dx) = (vec![f32::NAN; self.y.len()], vec![f32::NAN; self.x.len()]);
        let ConvShape {
            batch,
            input,
            output,
            pad,
            ..
        } = self.shape;
        let target = |values, [height, width, channels]: [usize; 3]| {
            Target::new(values, [batch, height, width, channels], Added::default())
        };
        let forward = Grid {
            batch,
            input,
            output,
            pad,
            side,
        };
        let backward = Grid {
            batch,
            input: output,
            output: input,
            pad: 2 - pad,
            side,
        };
        for (grid, x, to, out, backward) in [
            (forward, &self.x, &mut y, output, false),
            (backward, &self.dy, &mut dx, input, true),
        ] {
            let weights = Weights {
                kernel: &self.kernel,
                backward,
            };
            match side {
                4 => winograd::convolve::<6, 4>(grid, weights, x, &target(to, out)),
                _ => winograd::convolve::<4, 2>(grid, weights, x, &target(to, out)),
            }
        }
        (y, dx)
    }

    /// Returns output and input gradient by the algorithm that the backend chooses.
    fn by_default(&self) -> (Vec<f32>, Vec<f32>) {
        let (mut y, mut dx) = (vec![f32::NAN; self.y.len()], vec![f32::NAN; self.x.len()]);
        conv(&self.shape, &self.x, &self.kernel, Added::default(), &mut y);
        conv_backward(&self.shape, &self.dy, &self.kernel, &mut dx);
        (y, dx)
    }
}

#[test]
fn all_kernels_strides_and_edges_match_the_definition() {
    for (kernel, stride, pad, below) in [
        (3, 1, 1, 1),
        (3, 1, 0, 0),
        (3, 1, 2, 2),
        (3, 1, 0, 1),
        (3, 2, 1, 1),
        (3, 2, 0, 1),
        (3, 2, 1, 0),
        (1, 1, 0, 0),
        (1, 2, 0, 0),
        (2, 3, 0, 0),
        (4, 2, 1, 1),
        (5, 1, 2, 2),
    ] {
        for (batch, input, outputs) in [
            (1, [7, 5, 3], 20),
            (2, [8, 9, 20], 3),
            (3, [6, 6, 37], 50),
            (1, [16, 19, 4], 8),
        ] {
            let case = Case::new(shape(batch, input, outputs, kernel, stride, pad, below));
            let (y, dx) = case.by_default();
            let errors = [error(&y, &case.y), error(&dx, &case.dx)];
            assert!(
                errors.iter().all(|error| *error < 3e-6),
                "{:?}: {errors:?}",
                case.shape
            );
        }
    }
}

#[test]
fn tiles_of_both_sizes_match_the_definition_at_all_edges() {
    // Few and many tiles; weights whose transforms are cached, computed at once, and computed in parts.
    for (batch, input, outputs) in [
        (1, [5, 7, 10], 21),
        (2, [23, 37, 40], 24),
        (1, [9, 10, 200], 300),
        (3, [13, 6, 290], 170),
        (1, [24, 24, 190], 180),
    ] {
        for pad in [0, 1, 2] {
            let case = Case::new(shape(batch, input, outputs, 3, 1, pad, 1));
            for (side, bound) in [(2, 1e-6), (4, 4e-6)] {
                let (y, dx) = case.by_tiles_of(side);
                let errors = [error(&y, &case.y), error(&dx, &case.dx)];
                assert!(
                    errors.iter().all(|error| *error < bound),
                    "{:?} by {side}: {errors:?}",
                    case.shape
                );
            }
        }
    }
}

/// The transformed pixels exceed the limit, and are computed in several groups.
#[test]
fn tiles_in_several_groups_match_the_definition() {
    let case = Case::new(shape(1, [56, 52, 390], 40, 3, 1, 1, 1));
    let (y, dx) = case.by_tiles_of(4);
    let errors = [error(&y, &case.y), error(&dx, &case.dx)];
    assert!(errors.iter().all(|error| *error < 4e-6), "{errors:?}");
}

#[test]
fn input_gradient_of_many_channels_with_stride_two_matches_the_definition() {
    let case = Case::new(shape(2, [10, 11, 130], 100, 3, 2, 1, 1));
    let (y, dx) = case.by_default();
    assert!(error(&y, &case.y) < 2e-6 && error(&dx, &case.dx) < 2e-6);
}

#[test]
fn bias_per_picture_and_residual_are_added_once() {
    for (stride, channels) in [(1, 40), (2, 40), (1, 3)] {
        let mut case = Case::new(shape(2, [12, 9, channels], 21, 3, stride, 1, 1));
        let (bias, rows, residual) = (normal(21, 4), normal(2 * 21, 5), normal(case.y.len(), 6));
        let picture = case.y.len() / 2;
        for (index, value) in case.y.iter_mut().enumerate() {
            *value += f64::from(bias[index % 21])
                + f64::from(rows[index / picture * 21 + index % 21])
                + f64::from(residual[index]);
        }
        let mut y = vec![f32::NAN; case.y.len()];
        conv(
            &case.shape,
            &case.x,
            &case.kernel,
            Added {
                bias: Some(&bias),
                per_picture: Some(&rows),
                residual: Some(&residual),
            },
            &mut y,
        );
        assert!(
            error(&y, &case.y) < 3e-6,
            "stride {stride}, {channels} channels"
        );
    }
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    for (stride, input, outputs) in [
        (1, [17, 19, 200], 190),
        (1, [40, 40, 32], 32),
        (2, [32, 32, 64], 64),
        (1, [30, 30, 3], 64),
    ] {
        let case = Case::new(shape(2, input, outputs, 3, stride, 1, 1));
        let runs = [1, 2, 5].map(|threads| {
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .expect("the pool starts");
            pool.install(|| {
                if stride == 1 {
                    [case.by_default(), case.by_tiles_of(2), case.by_tiles_of(4)]
                } else {
                    [case.by_default(), case.by_default(), case.by_default()]
                }
            })
        });
        assert!(runs[0] == runs[1] && runs[0] == runs[2], "{:?}", case.shape);
    }
}

#[test]
fn a_nan_reaches_only_the_outputs_that_read_it() {
    for stride in [1, 2] {
        let mut case = Case::new(shape(1, [16, 16, 32], 32, 3, stride, 1, 1));
        case.x[(5 * 16 + 5) * 32 + 7] = f32::NAN;
        let (y, _) = case.by_default();
        let width = case.shape.output[1];
        let pixel = &y[((5 / stride) * width + 5 / stride) * 32..][..32];
        assert!(pixel.iter().all(|value| value.is_nan()), "stride {stride}");
        assert!(y[y.len() - 1].is_finite(), "an output far away is finite");
    }
}

#[test]
fn transforms_of_small_weights_are_cached() {
    let cached = |kernel: &ConvWeight| {
        kernel
            .transforms
            .iter()
            .filter(|transform| transform.get().is_some())
            .count()
    };
    let small = Case::new(shape(1, [16, 16, 64], 64, 3, 1, 1, 1));
    small.by_default();
    assert_eq!(cached(&small.kernel), 2);
    let large = Case::new(shape(1, [8, 8, 320], 320, 3, 1, 1, 1));
    large.by_default();
    assert_eq!(cached(&large.kernel), 0);
}
