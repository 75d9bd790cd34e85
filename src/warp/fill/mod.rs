//! Fills holes of a picture from what is around them.
//!
//! [`Fill::Smooth`] continues colours and gradients, [`Fill::Patches`] also edges and textures. Both are deterministic and never read the
//! hole's own pixels. No network takes part.

mod membrane;

use super::component::connected;
use super::crop::Crop;
use crate::mask::Mask;
use crate::picture::Raster;

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
        data: (hole.data.iter().zip(&excluded.data))
            .map(|(hole, excluded)| *hole || *excluded)
            .collect(),
        ..*hole
    };
    let Some(crop) = Crop::around(&connected(&unknown, hole), 1) else {
        return result;
    };
    let values = match how {
        Fill::Smooth | Fill::Patches => membrane::membrane(
            crop.size(),
            &crop.cut(&unknown.data),
            &crop.cut(picture.pixels()),
        ),
    };
    for (index, value) in crop.indices().zip(values) {
        if hole.data[index] {
            result.pixels_mut()[index] = value;
        }
    }
    result
}

#[cfg(test)]
mod tests;
