//! Plain ground: one colour with a gradient, as a quadratic surface for each channel.
//!
//! The surfaces are fitted to the colours outside a region by least squares. The weights are updated so that other things have no say
//! (Geman-McClure weights, whose scale falls from update to update).

use super::Pixel;
use super::likeness::difference;
use crate::geometry::Size;
use crate::mask::Mask;
use crate::picture::Raster;

/// Difference up to which a pixel is plain ground, as a share of the range.
const PLAIN: f32 = 3.0 / 255.0;
/// At least this share of the surroundings is plain ground.
const LEAST_PLAIN: f64 = 0.5;
/// Limit of sampled pixels.
const SAMPLES: usize = 3000;
/// First and last scale of a residual, as shares of the range, and the factor from one update to the next.
const FIRST_SCALE: f64 = 0.2;
const LAST_SCALE: f64 = 1.0 / 255.0;
const SCALE_FACTOR: f64 = 0.75;
/// Coefficients of 1, x, y, x^2, x y, y^2.
const TERMS: usize = 6;

/// The ground, at every pixel.
pub(super) struct Ground {
    /// Its colour.
    pub colours: Vec<Pixel>,
    /// Whether the pixel shows it.
    pub plain: Mask,
}

/// Fits the ground outside the drawn region; `None` when little of the surroundings is plain.
pub(super) fn ground(picture: &Raster, drawn: &Mask) -> Option<Ground> {
    let size = picture.size();
    let outside: Vec<usize> = (0..size.area())
        .filter(|index| !drawn.data[*index])
        .collect();
    let stride = outside.len().div_ceil(SAMPLES).max(1);
    let samples: Vec<([f64; TERMS], Pixel)> = (outside.iter().step_by(stride))
        .map(|index| (terms(size, *index), picture.pixels()[*index]))
        .collect();
    let surfaces = fitted(&samples)?;
    let colours: Vec<Pixel> = (0..size.area())
        .map(|index| colour(&surfaces, &terms(size, index)))
        .collect();
    let plain = Mask {
        width: size.width,
        height: size.height,
        data: (picture.pixels().iter().zip(&colours))
            .map(|(pixel, ground)| difference(*pixel, *ground) <= PLAIN)
            .collect(),
    };
    let count = outside.iter().filter(|index| plain.data[**index]).count();
    (count as f64 >= LEAST_PLAIN * outside.len() as f64).then_some(Ground { colours, plain })
}

/// Returns the terms of a surface at a pixel, with its position in shares of the longer side.
fn terms(size: Size, index: usize) -> [f64; TERMS] {
    let side = size.width.max(size.height) as f64;
    let (x, y) = (
        (index % size.width) as f64 / side - 0.5,
        (index / size.width) as f64 / side - 0.5,
    );
    [1.0, x, y, x * x, x * y, y * y]
}

fn colour(surfaces: &[[f64; TERMS]; 3], terms: &[f64; TERMS]) -> Pixel {
    surfaces.map(|surface| {
        let sum: f64 = surface.iter().zip(terms).map(|(a, b)| a * b).sum();
        (sum as f32).clamp(0.0, 1.0)
    })
}

fn fitted(samples: &[([f64; TERMS], Pixel)]) -> Option<[[f64; TERMS]; 3]> {
    let mut weights = vec![1.0; samples.len()];
    let mut scale = FIRST_SCALE;
    loop {
        let surfaces = weighted(samples, &weights)?;
        if scale < LAST_SCALE {
            return Some(surfaces);
        }
        for (weight, (terms, pixel)) in weights.iter_mut().zip(samples) {
            let ratio = f64::from(difference(*pixel, colour(&surfaces, terms))) / scale;
            *weight = 1.0 / (1.0 + ratio * ratio).powi(2);
        }
        scale *= SCALE_FACTOR;
    }
}

/// Solves the weighted normal equations of all three channels by elimination; `None` when they do not determine the surfaces.
fn weighted(samples: &[([f64; TERMS], Pixel)], weights: &[f64]) -> Option<[[f64; TERMS]; 3]> {
    let mut rows = [[0.0; TERMS + 3]; TERMS];
    for ((terms, pixel), weight) in samples.iter().zip(weights) {
        for (row, term) in rows.iter_mut().zip(terms) {
            let values = terms.iter().copied().chain(pixel.map(f64::from));
            row.iter_mut()
                .zip(values)
                .for_each(|(sum, value)| *sum += weight * term * value);
        }
    }
    let least = 1e-9 * weights.iter().sum::<f64>();
    for pivot in 0..TERMS {
        let of = rows[pivot];
        if of[pivot] <= least {
            return None;
        }
        for (row, entries) in rows.iter_mut().enumerate() {
            if row != pivot {
                let share = entries[pivot] / of[pivot];
                entries
                    .iter_mut()
                    .zip(of)
                    .for_each(|(entry, by)| *entry -= share * by);
            }
        }
    }
    Some(std::array::from_fn(|channel| {
        std::array::from_fn(|term| rows[term][TERMS + channel] / rows[term][term])
    }))
}
