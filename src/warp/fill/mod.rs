//! Fills holes of a picture from what is around them.
//!
//! [`Fill::Smooth`] continues colours and gradients, [`Fill::Patches`] also edges and textures. Both are deterministic and never read the
//! hole's own pixels. No network takes part.

mod field;
mod level;
mod membrane;
mod patches;
mod seam;
mod shift;
mod trend;
mod vote;

use super::component::connected;
use super::crop::Crop;
use crate::mask::Mask;
use crate::picture::Raster;
use membrane::membrane;
use patches::patches;

/// Smallest distance in pixels from which patches are taken.
const LEAST_MARGIN: usize = 48;

/// How a hole is filled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fill {
    /// Harmonic interpolation from the hole's border.
    Smooth,
    /// Patches from around the hole, on several scales; the smooth fill is the start.
    Patches,
}

/// Returns the picture with the pixels of `hole` filled.
///
/// Pixels of `excluded` are kept, but are neither a source nor a border: the background is continued behind them. Without any source,
/// the picture is returned unchanged. The picture and both masks have the same size.
pub(crate) fn fill(picture: &Raster, hole: &Mask, excluded: &Mask, how: Fill) -> Raster {
    let mut result = picture.clone();
    let unknown = Mask {
        width: hole.width,
        height: hole.height,
        data: (hole.data.iter().zip(&excluded.data))
            .map(|(hole, excluded)| *hole || *excluded)
            .collect(),
    };
    let margin = match how {
        Fill::Smooth => 1,
        Fill::Patches => patch_margin(hole),
    };
    let Some(crop) = Crop::around(&connected(&unknown, hole), margin) else {
        return result;
    };
    let (size, pixels) = (crop.size(), crop.cut(picture.pixels()));
    let unknown = crop.cut(&unknown.data);
    let values = match how {
        Fill::Smooth => membrane(size, &unknown, &pixels),
        Fill::Patches => patches(size, &unknown, &pixels),
    };
    for (index, value) in crop.indices().zip(values) {
        if hole.data[index] {
            result.pixels_mut()[index] = value;
        }
    }
    result
}

/// Returns how far around a hole patches are taken from, in pixels: as far as the hole is wide.
fn patch_margin(hole: &Mask) -> usize {
    let side = (hole.bounds()).map_or(0.0, |(from, to)| (to.x - from.x).max(to.y - from.y));
    (side as usize).max(LEAST_MARGIN)
}

#[cfg(test)]
mod tests;
