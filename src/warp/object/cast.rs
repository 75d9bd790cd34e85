//! A cast shadow as a layer: dark colour that lets the rest of the ground's light through, and where the light throws it.
//!
//! A shadow keeps its offset from the object when the object turns, since the light does not turn. The offset is the one at which the
//! object's own shape fits the shadow best.

use super::super::crop::Crop;
use super::super::fill::{Fill, fill};
use super::edge::{filtered, softened};
use super::shadow::Shadow;
use super::{combined, mask, reduced, reduced_mask};
use crate::geometry::Point;
use crate::mask::Mask;
use crate::picture::Raster;

/// Width of the object's antialiased edge in pixels, on each side.
const EDGE: usize = 2;
/// The offset is searched in a copy whose sides are at most this long, in pixels.
const SIDE: usize = 64;
/// Times that the shape is softened there, as a shadow is soft.
const SOFTENING: usize = 3;
/// A smaller opacity is not seen.
const FAINT: f32 = 1.0 / 255.0;

/// An object's cast shadow.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Cast {
    /// The shadow's opacity at every pixel of the picture, 0 to 1.
    pub opacity: Vec<f32>,
    /// The shadow's colour: black but for the tint of its light.
    pub colour: Raster,
    /// Where the shadow lies, seen from the object, in pixels.
    pub offset: Point,
}

/// Returns the layer of a shadow. It is continued below the object's shape.
pub(super) fn cast(picture: &Raster, shadow: &Shadow, shape: &Mask) -> Cast {
    let size = picture.size();
    let below = shape.dilated(EDGE);
    // Pixels of the shadow are known up to the antialiased edge.
    let below = combined(&below, &shadow.mask, |below, known| below && !known);
    let nothing = Mask::filled(size, false);
    let lit = fill(&shadow.lit, &below, &nothing, Fill::Smooth);
    let shares = (0..size.area()).map(|index| {
        if !shadow.mask.data[index] {
            return [1.0; 3];
        }
        let (pixel, lit) = (picture.pixels()[index], lit.pixels()[index]);
        std::array::from_fn(|channel| (pixel[channel] / lit[channel].max(1e-3)).min(1.0))
    });
    let shares = fill(
        &Raster::new(size, shares.collect()),
        &below,
        &nothing,
        Fill::Smooth,
    );
    let layer = shares
        .pixels()
        .iter()
        .zip(lit.pixels())
        .map(|(share, lit)| {
            let dark = 1.0 - share.iter().copied().fold(1.0, f32::min);
            let opacity = if dark < FAINT { 0.0 } else { dark };
            let colour = std::array::from_fn(|channel| {
                lit[channel] * (share[channel] - 1.0 + opacity) / opacity.max(1e-3)
            });
            (opacity, colour)
        });
    let (opacity, colour): (Vec<f32>, Vec<[f32; 3]>) = layer.unzip();
    let offset = offset(&opacity, &below, &shadow.mask).unwrap_or(Point::new(0.0, 0.0));
    Cast {
        opacity,
        colour: Raster::new(size, colour),
        offset,
    }
}

/// Returns the offset at which the soft shape is most like the visible part of the shadow.
fn offset(darkness: &[f32], shape: &Mask, shadow: &Mask) -> Option<Point> {
    let both = combined(shape, shadow, |shape, shadow| shape || shadow);
    let crop = Crop::around(&both, 0)?;
    let (size, factor) = (
        crop.size(),
        crop.size().width.max(crop.size().height).div_ceil(SIDE),
    );
    let cut: Vec<f32> = crop.cut(darkness);
    let dark = Raster::new(size, cut.into_iter().map(|value| [value; 3]).collect());
    let dark = reduced(&dark, factor);
    let shape = reduced_mask(&mask(size, crop.cut(&shape.data)), factor);
    let mut soft = softened(&shape);
    for _ in 1..SOFTENING {
        soft = filtered(shape.size(), &soft);
    }
    let size = shape.size();
    let (width, height) = (size.width as isize, size.height as isize);
    let visible: Vec<usize> = (0..size.area())
        .filter(|index| !shape.data[*index])
        .collect();
    let fit = |dx: isize, dy: isize| {
        let (mut product, mut square) = (0.0, 0.0);
        for index in &visible {
            let (x, y) = (*index as isize % width - dx, *index as isize / width - dy);
            if (0..width).contains(&x) && (0..height).contains(&y) {
                let value = soft[(y * width + x) as usize];
                product += value * dark.pixels()[*index][0];
                square += value * value;
            }
        }
        product * product / square.max(1e-6)
    };
    let offsets =
        (-height / 2..=height / 2).flat_map(|dy| (-width / 2..=width / 2).map(move |dx| (dx, dy)));
    let fits = offsets.map(|(dx, dy)| (fit(dx, dy), (dx, dy)));
    let (_, (dx, dy)) = fits.max_by(|a, b| a.0.total_cmp(&b.0))?;
    Some(Point::new(
        (dx * factor as isize) as f64,
        (dy * factor as isize) as f64,
    ))
}
