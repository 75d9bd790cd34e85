//! Harmonic interpolation: unknown pixels take the solution of Laplace's equation whose border values are the known pixels.
//!
//! The five-point equations are solved by conjugate gradients. The preconditioner is one V-cycle of multigrid: cells of two by two pixels
//! are joined level by level, and each level is smoothed by Gauss-Seidel sweeps, forward before the coarser level and backward after
//! it, which keeps the preconditioner symmetric. Nothing flows through the picture's border.

use crate::geometry::Size;

/// Largest correction, as a share of the picture's range, at which the solution counts as converged: a twentieth of one of 256 levels.
const TOLERANCE: f32 = 0.05 / 255.0;
/// Limit of iterations; a large hole needs about ten.
const MAX_ITERATIONS: usize = 60;
/// Sweeps before and after the coarser level.
const SWEEPS: usize = 2;
/// Share of the border's weight that a coarser level keeps: its cells' centres are farther from the border.
const BORDER_SHARE: f32 = 0.6;
/// Sweeps on the coarsest level.
const COARSEST_SWEEPS: usize = 16;

type Pixel = [f32; 3];

/// Returns the pixels with the unknown ones interpolated. Their old values are not read. Without a known pixel, nothing changes.
///
/// Every interpolated value lies between the smallest and the largest known value of its channel beside an unknown pixel.
pub(super) fn membrane(size: Size, unknown: &[bool], pixels: &[Pixel]) -> Vec<Pixel> {
    let mut result = pixels.to_vec();
    let border = Border::new(size, unknown, pixels);
    if border.is_empty() {
        return result;
    }
    let values = solve(&hierarchy(size, unknown), &border.sums, border.mean);
    for (index, value) in values.into_iter().enumerate() {
        if unknown[index] {
            result[index] = std::array::from_fn(|channel| {
                value[channel].clamp(border.low[channel], border.high[channel])
            });
        }
    }
    result
}

/// Returns values for the unknown pixels, and 0 for the known ones, whose sum of differences to the four neighbours is as given
/// (Poisson's equation). There must be a known pixel.
pub(super) fn poisson(size: Size, unknown: &[bool], differences: &[Pixel]) -> Vec<Pixel> {
    solve(&hierarchy(size, unknown), differences, [0.0; 3])
}

fn hierarchy(size: Size, unknown: &[bool]) -> Vec<Level> {
    let mut levels = vec![Level::new(size, unknown)];
    while let Some(coarser) = levels[levels.len() - 1].coarser() {
        levels.push(coarser);
    }
    levels
}

/// The known pixels beside unknown ones.
struct Border {
    /// For each unknown pixel, the sum of its known neighbours: the right-hand side.
    sums: Vec<Pixel>,
    mean: Pixel,
    low: Pixel,
    high: Pixel,
}

impl Border {
    fn new(size: Size, unknown: &[bool], pixels: &[Pixel]) -> Self {
        let mut sums = vec![[0.0; 3]; unknown.len()];
        let (mut low, mut high) = ([f32::INFINITY; 3], [f32::NEG_INFINITY; 3]);
        let (mut total, mut count) = ([0.0_f64; 3], 0.0_f64);
        for_each_pair(size, |a, b| {
            let (to, from) = match (unknown[a], unknown[b]) {
                (true, false) => (a, b),
                (false, true) => (b, a),
                _ => return,
            };
            count += 1.0;
            for channel in 0..3 {
                let value = pixels[from][channel];
                sums[to][channel] += value;
                total[channel] += f64::from(value);
                low[channel] = low[channel].min(value);
                high[channel] = high[channel].max(value);
            }
        });
        Self {
            sums,
            mean: total.map(|total| (total / count) as f32),
            low,
            high,
        }
    }

    fn is_empty(&self) -> bool {
        self.low[0] > self.high[0]
    }
}

/// Calls `visit` with every pair of pixels that share an edge.
fn for_each_pair(Size { width, height }: Size, mut visit: impl FnMut(usize, usize)) {
    for row in 0..height {
        for column in 0..width {
            let index = row * width + column;
            if column + 1 < width {
                visit(index, index + 1);
            }
            if row + 1 < height {
                visit(index, index + width);
            }
        }
    }
}

/// The equations of one level: `diagonal * x - sum(weight * neighbour) = right-hand side` in every cell with a diagonal above zero.
struct Level {
    size: Size,
    diagonal: Vec<f32>,
    /// Weight of the pair of a cell and the one to its right; 0 where there is none.
    right: Vec<f32>,
    /// Weight of the pair of a cell and the one below.
    down: Vec<f32>,
}

impl Level {
    fn new(size: Size, unknown: &[bool]) -> Self {
        let mut level = Self::empty(size);
        for_each_pair(size, |a, b| {
            for (cell, other) in [(a, b), (b, a)] {
                if unknown[cell] {
                    level.diagonal[cell] += 1.0;
                    if cell < other && unknown[other] {
                        let weights = if other == cell + 1 && size.width > 1 {
                            &mut level.right
                        } else {
                            &mut level.down
                        };
                        weights[cell] = 1.0;
                    }
                }
            }
        });
        level
    }

    fn empty(size: Size) -> Self {
        let zeros = || vec![0.0; size.area()];
        Self {
            size,
            diagonal: zeros(),
            right: zeros(),
            down: zeros(),
        }
    }

    /// Joins cells two by two. Weights between the joined cells are halved, since their centres are twice as far apart; `None` on the
    /// coarsest level.
    fn coarser(&self) -> Option<Self> {
        let Size { width, height } = self.size;
        if width <= 2 && height <= 2 {
            return None;
        }
        let mut coarse = Self::empty(Size::new(width.div_ceil(2), height.div_ceil(2)));
        // First the share of the border, then the weights between cells.
        for cell in 0..self.diagonal.len() {
            let (row, column) = (cell / width, cell % width);
            let to = row / 2 * coarse.size.width + column / 2;
            coarse.diagonal[to] += BORDER_SHARE * (self.diagonal[cell] - self.weights_around(cell));
            if column % 2 == 1 {
                coarse.right[to] += 0.5 * self.right[cell];
            }
            if row % 2 == 1 {
                coarse.down[to] += 0.5 * self.down[cell];
            }
        }
        for cell in 0..coarse.diagonal.len() {
            coarse.diagonal[cell] += coarse.weights_around(cell);
        }
        Some(coarse)
    }

    fn weights_around(&self, cell: usize) -> f32 {
        let width = self.size.width;
        let mut sum = self.right[cell] + self.down[cell];
        if !cell.is_multiple_of(width) {
            sum += self.right[cell - 1];
        }
        if cell >= width {
            sum += self.down[cell - width];
        }
        sum
    }

    /// Returns the weighted sum of a cell's neighbours.
    fn around(&self, x: &[Pixel], cell: usize) -> Pixel {
        let width = self.size.width;
        let mut sum = [0.0; 3];
        let mut add = |weight: f32, other: &Pixel| {
            for channel in 0..3 {
                sum[channel] += weight * other[channel];
            }
        };
        if let Some(other) = x.get(cell + 1) {
            add(self.right[cell], other);
        }
        if let Some(other) = x.get(cell + width) {
            add(self.down[cell], other);
        }
        if cell > 0 {
            add(self.right[cell - 1], &x[cell - 1]);
        }
        if cell >= width {
            add(self.down[cell - width], &x[cell - width]);
        }
        sum
    }

    fn relax(&self, x: &mut [Pixel], b: &[Pixel], cell: usize) {
        if self.diagonal[cell] > 0.0 {
            let around = self.around(x, cell);
            let share = 1.0 / self.diagonal[cell];
            x[cell] = std::array::from_fn(|channel| (b[cell][channel] + around[channel]) * share);
        }
    }

    /// Returns `b - A x`.
    fn residual(&self, x: &[Pixel], b: &[Pixel]) -> Vec<Pixel> {
        let cell = |cell: usize| {
            if self.diagonal[cell] == 0.0 {
                return [0.0; 3];
            }
            let around = self.around(x, cell);
            std::array::from_fn(|channel| {
                b[cell][channel] + around[channel] - self.diagonal[cell] * x[cell][channel]
            })
        };
        (0..x.len()).map(cell).collect()
    }
}

/// Solves the finest level's equations for the right-hand side, starting from one colour everywhere.
fn solve(levels: &[Level], b: &[Pixel], start: Pixel) -> Vec<Pixel> {
    let is_unknown: Vec<bool> = levels[0].diagonal.iter().map(|d| *d > 0.0).collect();
    let mut x: Vec<Pixel> = (is_unknown.iter())
        .map(|unknown| if *unknown { start } else { [0.0; 3] })
        .collect();
    let nothing = vec![[0.0; 3]; x.len()];
    let mut residual = levels[0].residual(&x, b);
    let mut direction: Vec<Pixel> = Vec::new();
    let mut before = [0.0_f64; 3];
    for _ in 0..MAX_ITERATIONS {
        let correction = cycle(levels, &residual);
        let now = dot(&residual, &correction);
        let largest = correction
            .iter()
            .flatten()
            .fold(0.0_f32, |a, c| a.max(c.abs()));
        if direction.is_empty() {
            direction = correction;
        } else {
            let share: Pixel = std::array::from_fn(|c| ratio(now[c], before[c]));
            for (d, z) in direction.iter_mut().zip(correction) {
                *d = std::array::from_fn(|c| z[c] + share[c] * d[c]);
            }
        }
        before = now;
        // A d, as the negative residual of a zero right-hand side.
        let applied = levels[0].residual(&direction, &nothing);
        let curvature = dot(&direction, &applied);
        let step: Pixel = std::array::from_fn(|c| ratio(now[c], -curvature[c]));
        for cell in 0..x.len() {
            for channel in 0..3 {
                x[cell][channel] += step[channel] * direction[cell][channel];
                residual[cell][channel] += step[channel] * applied[cell][channel];
            }
        }
        if largest < TOLERANCE {
            break;
        }
    }
    x
}

/// Applies the preconditioner: one V-cycle from zero.
fn cycle(levels: &[Level], b: &[Pixel]) -> Vec<Pixel> {
    let mut x = vec![[0.0; 3]; b.len()];
    let Some((level, coarser)) = levels.split_first() else {
        return x;
    };
    let cells = b.len();
    let sweeps = if coarser.is_empty() {
        COARSEST_SWEEPS
    } else {
        SWEEPS
    };
    for _ in 0..sweeps {
        (0..cells).for_each(|cell| level.relax(&mut x, b, cell));
    }
    if let Some(below) = coarser.first() {
        let Size { width, .. } = level.size;
        let to = |cell: usize| cell / width / 2 * below.size.width + cell % width / 2;
        let mut sums = vec![[0.0; 3]; below.diagonal.len()];
        for (cell, value) in level.residual(&x, b).into_iter().enumerate() {
            (0..3).for_each(|channel| sums[to(cell)][channel] += value[channel]);
        }
        let correction = cycle(coarser, &sums);
        for (cell, value) in x.iter_mut().enumerate() {
            if level.diagonal[cell] > 0.0 {
                (0..3).for_each(|channel| value[channel] += correction[to(cell)][channel]);
            }
        }
    }
    for _ in 0..sweeps {
        (0..cells)
            .rev()
            .for_each(|cell| level.relax(&mut x, b, cell));
    }
    x
}

fn dot(a: &[Pixel], b: &[Pixel]) -> [f64; 3] {
    let mut sum = [0.0; 3];
    for (a, b) in a.iter().zip(b) {
        for channel in 0..3 {
            sum[channel] += f64::from(a[channel]) * f64::from(b[channel]);
        }
    }
    sum
}

/// Returns `a / b`, or 0 where a channel has converged and both vanish.
fn ratio(a: f64, b: f64) -> f32 {
    if b > 0.0 { (a / b) as f32 } else { 0.0 }
}
