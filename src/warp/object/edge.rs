//! The soft edge of an object: opacity, and colours without the background's share.

use super::super::fill::{Fill, fill};
use super::{Pixel, mask};
use crate::geometry::Size;
use crate::mask::Mask;
use crate::picture::Raster;

/// Smallest difference between object and background for which a pixel's shares of both can be told, as a share of the range.
const CONTRAST: f32 = 12.0 / 255.0;
/// Below this opacity the object's own colour is taken from its inside, since the division would amplify rounding.
const FAINT: f32 = 0.3;

/// Returns the opacity of every pixel and the object's own colours. Pixels within `soft` pixels of the shape's edge are mixtures of
/// what lies farther inside and farther outside.
pub(super) fn cut_out(picture: &Raster, shape: &Mask, soft: usize) -> (Vec<f32>, Vec<Pixel>) {
    let size = picture.size();
    let nothing = Mask::filled(size, false);
    let wide = shape.dilated(soft);
    let outer = mask(size, shape.data.iter().map(|inside| !inside).collect());
    let shallow = outer.dilated(soft);
    let ground = fill(picture, &wide, &nothing, Fill::Smooth);
    let own = fill(picture, &shallow, &nothing, Fill::Smooth);
    let soft_shape = softened(shape);
    let mut opacity = Vec::with_capacity(size.area());
    let mut colours = picture.pixels().to_vec();
    for index in 0..size.area() {
        if !(wide.data[index] && shallow.data[index]) {
            opacity.push(if shape.data[index] { 1.0 } else { 0.0 });
            continue;
        }
        let (ground, own) = (ground.pixels()[index], own.pixels()[index]);
        let pixel = &mut colours[index];
        let alpha = share(*pixel, ground, own).unwrap_or(soft_shape[index]);
        opacity.push(alpha);
        if alpha < FAINT {
            *pixel = own;
        } else {
            *pixel = std::array::from_fn(|channel| {
                ((pixel[channel] - (1.0 - alpha) * ground[channel]) / alpha).clamp(0.0, 1.0)
            });
        }
    }
    (opacity, colours)
}

/// Returns the share of `own` in a mixture with `ground`, by projection on the line between both; `None` where both look alike.
fn share(pixel: Pixel, ground: Pixel, own: Pixel) -> Option<f32> {
    let (mut product, mut square) = (0.0, 0.0);
    for channel in 0..3 {
        let line = own[channel] - ground[channel];
        product += line * (pixel[channel] - ground[channel]);
        square += line * line;
    }
    (square > CONTRAST * CONTRAST).then(|| (product / square).clamp(0.0, 1.0))
}

/// Returns the mask as an opacity, its edge softened by a binomial filter of three by three pixels.
pub(super) fn softened(mask: &Mask) -> Vec<f32> {
    let values: Vec<f32> = (mask.data.iter())
        .map(|inside| f32::from(u8::from(*inside)))
        .collect();
    filtered(mask.size(), &values)
}

/// Returns the values after a binomial filter of three by three pixels.
pub(super) fn filtered(size: Size, values: &[f32]) -> Vec<f32> {
    let at = |row: isize, column: isize| {
        let row = row.clamp(0, size.height as isize - 1) as usize;
        let column = column.clamp(0, size.width as isize - 1) as usize;
        values[row * size.width + column]
    };
    let value = |index: usize| {
        let (row, column) = ((index / size.width) as isize, (index % size.width) as isize);
        let line = |row: isize| {
            0.25 * at(row, column - 1) + 0.5 * at(row, column) + 0.25 * at(row, column + 1)
        };
        0.25 * line(row - 1) + 0.5 * line(row) + 0.25 * line(row + 1)
    };
    (0..values.len()).map(value).collect()
}
