//! The picture below the drawing: veiled outside the editable area, striped where the drag sweeps.

use rayon::prelude::*;

use super::sheet::Sheet;
use crate::geometry::{Grid, Point};
use crate::mask::Mask;
use crate::picture::Picture;
use crate::plan::Plan;

/// The grey of the veil, visible on dark and on light pictures, and its opacity.
const VEIL: f64 = 88.0;
const VEIL_SHARE: f64 = 0.62;
/// The colour of the stripes over the swept area, and its opacity on a stripe and between two. Stripes keep the picture's colours
/// visible.
pub(super) const TINT: [u8; 3] = [255, 168, 0];
const STRIPE_SHARE: f64 = 0.55;
const BETWEEN_SHARE: f64 = 0.08;
/// Distance between stripes along a row, and the width of a stripe, in units of the sheet.
const STRIPES: f64 = 9.0;
const STRIPE: f64 = 2.6;
/// Longest step of the sweep, in working pixels.
const SWEEP_STEP: f64 = 2.0;
/// Weights of red, green and blue in a grey value (ITU-R BT.709).
const LUMA: [f64; 3] = [0.2126, 0.7152, 0.0722];

/// Returns the picture at the sheet's size, (height, width, 3), with veil and stripes.
pub(super) fn ground(picture: &Picture, plan: &Plan, sheet: &Sheet) -> Vec<u8> {
    let mut rgb = picture.displayed(sheet.size);
    let swept = Swept::new(plan);
    rgb.par_chunks_exact_mut(sheet.size.width * 3)
        .enumerate()
        .for_each(|(y, row)| {
            for (x, pixel) in row.chunks_exact_mut(3).enumerate() {
                let point = sheet.source_of(Point::new(x as f64 + 0.5, y as f64 + 0.5));
                if plan
                    .editable_source
                    .as_ref()
                    .is_some_and(|editable| !editable.at(point))
                {
                    veil(pixel);
                }
                let swept = swept.share(plan.frame.to_working(point));
                if swept > 0.0 {
                    mix(
                        pixel,
                        TINT.map(f64::from),
                        swept * stripe_opacity((x + y) as f64 / sheet.unit),
                    );
                }
            }
        });
    rgb
}

/// Turns a pixel grey and mixes it with the veil.
pub(super) fn veil(pixel: &mut [u8]) {
    let luma: f64 = pixel
        .iter()
        .zip(LUMA)
        .map(|(sample, weight)| f64::from(*sample) * weight)
        .sum();
    mix(pixel, [luma; 3], VEIL_SHARE);
    mix(pixel, [VEIL; 3], VEIL_SHARE);
}

/// Returns the opacity of the tint at a place across the stripes; their edges are half a unit wide.
fn stripe_opacity(place: f64) -> f64 {
    let from_middle = (place.rem_euclid(STRIPES) - STRIPES / 2.0).abs();
    let inside = (STRIPE / 2.0 - from_middle + 0.5).clamp(0.0, 1.0);
    BETWEEN_SHARE + (STRIPE_SHARE - BETWEEN_SHARE) * inside
}

fn mix(pixel: &mut [u8], colour: [f64; 3], share: f64) {
    for (sample, colour) in pixel.iter_mut().zip(colour) {
        *sample = (f64::from(*sample) * (1.0 - share) + colour * share).round() as u8;
    }
}

/// The cells that the regions sweep.
struct Swept {
    grid: Grid,
    cells: Mask,
}

impl Swept {
    fn new(plan: &Plan) -> Self {
        let grid = plan.frame.supervision_grid();
        let mut cells = Mask::filled(grid.size(), false);
        for region in &plan.regions {
            region.sweep(&grid, SWEEP_STEP, &mut cells);
        }
        Self { grid, cells }
    }

    /// Returns how much of a working point's neighbourhood is swept, 0 to 1, interpolated between the centres of cells.
    fn share(&self, point: Point) -> f64 {
        let (x, y) = (
            point.x / self.grid.cell - 0.5,
            point.y / self.grid.cell - 0.5,
        );
        let (left, top) = (x.floor(), y.floor());
        let cell = |column: f64, row: f64| {
            f64::from(u8::from(self.cells.at(Point::new(column + 0.5, row + 0.5))))
        };
        let (right, down) = (x - left, y - top);
        let upper = cell(left, top) * (1.0 - right) + cell(left + 1.0, top) * right;
        let lower = cell(left, top + 1.0) * (1.0 - right) + cell(left + 1.0, top + 1.0) * right;
        upper * (1.0 - down) + lower * down
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_veil_is_visible_on_dark_and_on_light_pictures() {
        for ground in [[0, 0, 0], [255, 255, 255], [250, 20, 20]] {
            let mut veiled = ground;
            veil(&mut veiled);
            let largest = veiled
                .iter()
                .zip(ground)
                .map(|(veiled, ground)| veiled.abs_diff(ground))
                .max();
            assert!(largest > Some(50), "{ground:?} became {veiled:?}");
        }
    }
}
