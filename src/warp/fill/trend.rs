//! The smooth trend of a picture's colours, as light that falls off gives.
//!
//! A quadratic surface for each channel is fitted to differences between pixels a few pixels apart, not to the colours themselves, so
//! that edges and textures are outliers: the fit is reweighted until they have no say (Geman-McClure weights). Patches without the trend
//! can be used anywhere.

use crate::geometry::Size;

/// Weight updates of the fit.
const ITERATIONS: usize = 12;
/// Smallest scale of a difference, as a share of the range; below it are rounding errors of 8 bits.
const LEAST_SCALE: f64 = 0.5 / 255.0;
/// Limit of positions at which differences are taken.
const POSITIONS: usize = 6000;
/// Coefficients of the gradient: `a + b x + c y` along x and `d + c x + e y` along y.
const TERMS: usize = 5;

type Pixel = [f32; 3];

/// A quadratic surface for each channel, 0 at the picture's centre.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Trend {
    size: Size,
    channels: [[f64; TERMS]; 3],
}

/// A difference of two pixels, with the coefficients' factors.
struct Difference {
    factors: [f64; TERMS],
    values: [f64; 3],
}

impl Trend {
    /// Fits the trend of the known pixels.
    pub(super) fn of(size: Size, unknown: &[bool], pixels: &[Pixel]) -> Self {
        let differences = differences(size, unknown, pixels);
        let channels = std::array::from_fn(|channel| fitted(&differences, channel));
        Self { size, channels }
    }

    /// Returns the trend's value at a pixel.
    pub(super) fn at(&self, index: usize) -> Pixel {
        let (x, y) = position(
            self.size,
            (index % self.size.width) as f64,
            (index / self.size.width) as f64,
        );
        self.channels.map(|[a, b, c, d, e]| {
            (a * x + 0.5 * b * x * x + c * x * y + d * y + 0.5 * e * y * y) as f32
        })
    }
}

/// Returns a pixel's position relative to the picture's centre, in shares of the longer side.
fn position(size: Size, column: f64, row: f64) -> (f64, f64) {
    let side = size.width.max(size.height) as f64;
    (
        (column - 0.5 * size.width as f64) / side,
        (row - 0.5 * size.height as f64) / side,
    )
}

fn differences(size: Size, unknown: &[bool], pixels: &[Pixel]) -> Vec<Difference> {
    let Size { width, height } = size;
    let lag = (width.max(height) / 32).clamp(1, 16);
    let stride = ((size.area() / POSITIONS) as f64).sqrt().ceil().max(1.0) as usize;
    let side = width.max(height) as f64;
    let length = lag as f64 / side;
    let mut found = Vec::new();
    for row in (0..height).step_by(stride) {
        for column in (0..width).step_by(stride) {
            let here = row * width + column;
            let middle = 0.5 * lag as f64;
            let mut add = |there: usize, factors: [f64; TERMS]| {
                if !unknown[here] && !unknown[there] {
                    found.push(Difference {
                        factors: factors.map(|factor| factor * length),
                        values: std::array::from_fn(|channel| {
                            f64::from(pixels[there][channel]) - f64::from(pixels[here][channel])
                        }),
                    });
                }
            };
            if column + lag < width {
                let (x, y) = position(size, column as f64 + middle, row as f64);
                add(here + lag, [1.0, x, y, 0.0, 0.0]);
            }
            if row + lag < height {
                let (x, y) = position(size, column as f64, row as f64 + middle);
                add(here + lag * width, [0.0, 0.0, x, 1.0, y]);
            }
        }
    }
    found
}

fn fitted(differences: &[Difference], channel: usize) -> [f64; TERMS] {
    let mut terms = [0.0; TERMS];
    if differences.len() < 4 * TERMS {
        return terms;
    }
    let residual = |terms: &[f64; TERMS], difference: &Difference| {
        let fit: f64 = terms
            .iter()
            .zip(&difference.factors)
            .map(|(t, f)| t * f)
            .sum();
        difference.values[channel] - fit
    };
    for _ in 0..ITERATIONS {
        let mut sizes: Vec<f64> = differences
            .iter()
            .map(|d| residual(&terms, d).abs())
            .collect();
        let middle = sizes.len() / 2;
        let scale = 2.0 * *sizes.select_nth_unstable_by(middle, f64::total_cmp).1;
        let scale = scale.max(LEAST_SCALE);
        // Normal equations, with the right-hand side as the last column and a faint pull towards no trend.
        let mut equations = [[0.0; TERMS + 1]; TERMS];
        for difference in differences {
            let ratio = residual(&terms, difference) / scale;
            let weight = 1.0 / (1.0 + ratio * ratio).powi(2);
            for (row, factor) in difference.factors.iter().enumerate() {
                for (column, other) in difference.factors.iter().enumerate() {
                    equations[row][column] += weight * factor * other;
                }
                equations[row][TERMS] += weight * factor * difference.values[channel];
            }
        }
        let pull = 1e-6
            * equations
                .iter()
                .enumerate()
                .map(|(i, row)| row[i])
                .sum::<f64>();
        (0..TERMS).for_each(|row| equations[row][row] += pull);
        terms = solved(equations);
    }
    terms
}

/// Solves positive definite equations by elimination.
fn solved(mut equations: [[f64; TERMS + 1]; TERMS]) -> [f64; TERMS] {
    for pivot in 0..TERMS {
        if equations[pivot][pivot] <= 0.0 {
            return [0.0; TERMS];
        }
        let of = equations[pivot];
        for (row, equation) in equations.iter_mut().enumerate() {
            if row != pivot {
                let share = equation[pivot] / of[pivot];
                equation
                    .iter_mut()
                    .zip(of)
                    .for_each(|(value, by)| *value -= share * by);
            }
        }
    }
    std::array::from_fn(|row| equations[row][TERMS] / equations[row][row])
}
