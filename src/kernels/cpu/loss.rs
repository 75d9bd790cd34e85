//! Bilinear samples of a feature map, their adjoint, and the losses with their gradients.

use rayon::prelude::*;

use super::buffer::Buffer;
use crate::kernels::BilinearPoint;

/// Tasks of a scatter. Each task reads all points, so more tasks would not be faster.
const SCATTER_TASKS: usize = 8;

/// Writes the map (pixels, channels) at `point` to `values` (channels).
fn value_at(channels: usize, map: &[f32], point: &BilinearPoint, values: &mut [f32]) {
    values.fill(0.0);
    for (pixel, weight) in point.pixels.iter().zip(point.weights) {
        let row = &map[*pixel as usize * channels..][..channels];
        values
            .iter_mut()
            .zip(row)
            .for_each(|(sum, value)| *sum += weight * value);
    }
}

pub(super) fn sample(channels: usize, map: &[f32], points: &[BilinearPoint]) -> Buffer {
    let mut values = Buffer::uninit(points.len() * channels);
    values
        .par_chunks_mut(channels)
        .zip(points)
        .for_each(|(values, point)| value_at(channels, map, point, values));
    values
}

/// Each task owns a range of pixels and reads all points, so every pixel receives its terms in the order of the points.
pub(super) fn scatter(channels: usize, values: &[f32], points: &[BilinearPoint], map: &mut [f32]) {
    let all = map.len() / channels;
    let is_inside =
        |point: &BilinearPoint| point.pixels.iter().all(|pixel| (*pixel as usize) < all);
    assert!(points.iter().all(is_inside), "points lie on the map");
    assert_eq!(
        values.len(),
        points.len() * channels,
        "a value for every point and channel"
    );
    let pixels = all.div_ceil(SCATTER_TASKS).max(1);
    map.par_chunks_mut(pixels * channels)
        .enumerate()
        .for_each(|(task, map)| {
            let first = task * pixels;
            for (point, values) in points.iter().zip(values.chunks_exact(channels)) {
                for (pixel, weight) in point.pixels.iter().zip(point.weights) {
                    let Some(pixel) = (*pixel as usize).checked_sub(first) else {
                        continue;
                    };
                    if let Some(row) = map.chunks_exact_mut(channels).nth(pixel) {
                        row.iter_mut()
                            .zip(values)
                            .for_each(|(sum, value)| *sum += weight * value);
                    }
                }
            }
        });
}

/// Returns the derivative of |x|: 0 at 0, NaN at NaN.
fn sign(x: f32) -> f32 {
    if x > 0.0 {
        1.0
    } else if x < 0.0 {
        -1.0
    } else {
        x * 0.0
    }
}

pub(super) fn sampled_l1(
    channels: usize,
    map: &[f32],
    points: &[BilinearPoint],
    target: &[f32],
    scale: f32,
    gradient: &mut [f32],
) -> f64 {
    let mut values = sample(channels, map, points);
    let mut sum = 0.0;
    for (values, target) in values
        .chunks_exact_mut(channels)
        .zip(target.chunks_exact(channels))
    {
        sum += values
            .iter()
            .zip(target)
            .map(|(value, target)| f64::from((value - target).abs()))
            .sum::<f64>();
        for (value, target) in values.iter_mut().zip(target) {
            *value = scale * sign(*value - target);
        }
    }
    scatter(channels, &values, points, gradient);
    sum * f64::from(scale)
}

pub(super) fn weighted_l1(
    x: &[f32],
    reference: &[f32],
    weight: &[f32],
    gradient: &mut [f32],
) -> f64 {
    let channels = x.len() / weight.len();
    let mut sum = 0.0;
    for (index, weight) in weight.iter().enumerate() {
        for at in index * channels..(index + 1) * channels {
            let difference = x[at] - reference[at];
            sum += f64::from(weight * difference.abs());
            gradient[at] = weight * sign(difference);
        }
    }
    sum
}

pub(super) fn squared_error(
    x: &[f32],
    reference: &[f32],
    weight: &[f32],
    scale: f32,
    gradient: &mut [f32],
) -> f64 {
    let per_picture = x.len() / weight.len();
    let pictures = x
        .chunks_exact(per_picture)
        .zip(reference.chunks_exact(per_picture))
        .zip(gradient.chunks_exact_mut(per_picture));
    let mut sum = 0.0;
    for (((x, reference), gradient), weight) in pictures.zip(weight) {
        let slope = scale * weight;
        let mut squares = 0.0;
        for ((x, reference), gradient) in x.iter().zip(reference).zip(gradient) {
            let difference = x - reference;
            squares += f64::from(difference).powi(2);
            *gradient = slope * difference;
        }
        sum += f64::from(*weight) * squares;
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEIGHT: usize = 7;
    const WIDTH: usize = 9;
    const CHANNELS: usize = 5;

    /// The point (x, y) of the map. Beyond the last row or column, the outer pixels are the border's own.
    fn at(x: f32, y: f32) -> BilinearPoint {
        let (left, top) = (x as usize, y as usize);
        let (right, bottom) = ((left + 1).min(WIDTH - 1), (top + 1).min(HEIGHT - 1));
        let pixels = [(top, left), (top, right), (bottom, left), (bottom, right)]
            .map(|(row, column)| (row * WIDTH + column) as u32);
        let (u, v) = (x.fract(), y.fract());
        BilinearPoint {
            pixels,
            weights: [(1.0 - u) * (1.0 - v), u * (1.0 - v), (1.0 - u) * v, u * v],
        }
    }

    /// Points of which many share pixels and some are on the border.
    fn points() -> Vec<BilinearPoint> {
        let inside = (0..200).map(|i| at((i * 37 % 80) as f32 / 10.0, (i * 23 % 60) as f32 / 10.0));
        let corner = at((WIDTH - 1) as f32, (HEIGHT - 1) as f32);
        let border = [at(8.0, 2.5), at(3.25, 6.0), corner, corner];
        inside.chain(border).collect()
    }

    fn numbers(len: usize, seed: usize) -> Vec<f32> {
        (0..len)
            .map(|i| ((i + seed) * 7919 % 1009) as f32 / 500.0 - 1.0)
            .collect()
    }

    fn dot(a: &[f32], b: &[f32]) -> f64 {
        let products = a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b));
        products.sum()
    }

    #[test]
    fn scatter_is_the_adjoint_of_sample() {
        let points = points();
        let x = numbers(HEIGHT * WIDTH * CHANNELS, 1);
        let y = numbers(points.len() * CHANNELS, 2);
        let mut scattered = vec![0.0; x.len()];
        scatter(CHANNELS, &y, &points, &mut scattered);
        let (left, right) = (dot(&sample(CHANNELS, &x, &points), &y), dot(&x, &scattered));
        let size = dot(&x, &x).sqrt() * dot(&y, &y).sqrt();
        assert!((left - right).abs() < 1e-6 * size, "{left} is not {right}");
    }

    #[test]
    fn scatter_adds_to_the_map() {
        // Between two pixels of the top row, twice, and on the last pixel.
        let last = at((WIDTH - 1) as f32, (HEIGHT - 1) as f32);
        let points = [at(2.25, 0.0), last, at(2.25, 0.0)];
        let mut map = vec![1.0; HEIGHT * WIDTH];
        scatter(1, &[4.0, 5.0, 8.0], &points, &mut map);
        let mut expected = vec![1.0; HEIGHT * WIDTH];
        expected[2] += 0.75 * 12.0;
        expected[3] += 0.25 * 12.0;
        expected[HEIGHT * WIDTH - 1] += 5.0;
        assert_eq!(map, expected);
    }

    #[test]
    fn scatter_returns_the_same_bits_with_any_number_of_threads() {
        let points = points();
        let values = numbers(points.len() * CHANNELS, 3);
        let run = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .expect("threads can be started");
            let mut map = numbers(HEIGHT * WIDTH * CHANNELS, 4);
            pool.install(|| scatter(CHANNELS, &values, &points, &mut map));
            map
        };
        let alone = run(1);
        assert_ne!(alone, numbers(HEIGHT * WIDTH * CHANNELS, 4));
        assert!([2, 3, 7].into_iter().all(|threads| run(threads) == alone));
    }
}
