//! Finds the object that a loosely drawn region means.
//!
//! A region is drawn wider than its object, or a little tighter. The pixels that can be reached from its border through what looks like
//! the background are the margin; the rest is the object. Its edge gets an opacity, and its colours there are freed from the background's
//! share, so that it can be put in front of something else. Where no object stands out, the region is used as it is drawn.

use super::component::connected;
use super::crop::Crop;
use super::fill::{Fill, fill};
use crate::geometry::Size;
use crate::mask::Mask;
use crate::picture::Raster;

/// Smallest difference from the background, in shares of the range, at which a pixel belongs to something else.
const CONTRAST: f32 = 6.0 / 255.0;
/// An object covers at least this share of its region.
const LEAST_SHARE: f64 = 0.1;
/// A region that is drawn too tight is grown by at most this share of its size, and at least by [`LEAST_GROWTH`] pixels.
const GROWTH: f64 = 0.06;
const LEAST_GROWTH: f64 = 6.0;
/// Width of an object's soft edge in pixels, on each side.
const SOFT: usize = 2;

type Pixel = [f32; 3];

/// An object cut out of its picture.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Object {
    /// The object's share of every pixel of the picture, 0 to 1.
    pub opacity: Vec<f32>,
    /// The object's own colours, without the background's share at soft pixels; the picture's where the object is opaque or absent.
    pub colour: Raster,
    /// Whether an object stands out. Otherwise the opacity is that of the region as drawn.
    pub found: bool,
}

/// Cuts out the object that the drawn region means.
pub(crate) fn object(picture: &Raster, drawn: &Mask) -> Object {
    find(picture, drawn).unwrap_or_else(|| as_drawn(picture, drawn))
}

/// Returns the region as drawn, with a softened edge.
pub(crate) fn as_drawn(picture: &Raster, drawn: &Mask) -> Object {
    Object {
        opacity: softened(drawn),
        colour: picture.clone(),
        found: false,
    }
}

fn find(picture: &Raster, drawn: &Mask) -> Option<Object> {
    let (from, to) = drawn.bounds()?;
    let side = (to.x - from.x).max(to.y - from.y);
    let growth = (GROWTH * side).max(LEAST_GROWTH).round() as usize;
    let crop = Crop::around(drawn, growth + 2 + (0.25 * side).max(12.0) as usize)?;
    let size = crop.size();
    let picture_part = Raster::new(size, crop.cut(picture.pixels()));
    let drawn_part = mask(size, crop.cut(&drawn.data));
    let shape = shape(&picture_part, &drawn_part, growth)?;
    let (opacity, colour) = cut_out(&picture_part, &shape);
    let mut object = Object {
        opacity: vec![0.0; drawn.data.len()],
        colour: picture.clone(),
        found: true,
    };
    for (part, index) in crop.indices().enumerate() {
        object.opacity[index] = opacity[part];
        object.colour.pixels_mut()[index] = colour[part];
    }
    Some(object)
}

/// Returns the pixels of the object; `None` when none stands out.
fn shape(picture: &Raster, drawn: &Mask, growth: usize) -> Option<Mask> {
    let size = picture.size();
    let limit = drawn.dilated(growth);
    let nothing = Mask::filled(size, false);
    let ground = fill(picture, &limit, &nothing, Fill::Smooth);
    let stands_out = mask(
        size,
        (picture.pixels().iter().zip(ground.pixels()))
            .map(|(pixel, ground)| difference(*pixel, *ground) > CONTRAST)
            .collect(),
    );
    let outside = mask(size, limit.data.iter().map(|inside| !inside).collect());
    let passable = mask(size, stands_out.data.iter().map(|stands| !stands).collect());
    let margin = connected(&passable, &outside);
    let mut object = mask(size, margin.data.iter().map(|margin| !margin).collect());
    object
        .data
        .iter_mut()
        .zip(&limit.data)
        .for_each(|(inside, limit)| *inside &= limit);
    let enough = LEAST_SHARE * drawn.count() as f64;
    let is_whole = object.count() < limit.count() * 95 / 100;
    (object.count() as f64 >= enough && is_whole).then_some(object)
}

/// Returns the opacity of every pixel and the object's own colours.
fn cut_out(picture: &Raster, shape: &Mask) -> (Vec<f32>, Vec<Pixel>) {
    let size = picture.size();
    let nothing = Mask::filled(size, false);
    let wide = shape.dilated(SOFT);
    let outer = mask(size, shape.data.iter().map(|inside| !inside).collect());
    let not_deep = outer.dilated(SOFT);
    let ground = fill(picture, &wide, &nothing, Fill::Smooth);
    let own = fill(picture, &not_deep, &nothing, Fill::Smooth);
    let is_edge = |index: usize| wide.data[index] && not_deep.data[index];
    let mut colours = picture.pixels().to_vec();
    let opacity = |index: usize| {
        if !is_edge(index) {
            return if shape.data[index] { 1.0 } else { 0.0 };
        }
        let (ground, own) = (ground.pixels()[index], own.pixels()[index]);
        let pixel = picture.pixels()[index];
        share(pixel, ground, own).unwrap_or(if shape.data[index] { 1.0 } else { 0.0 })
    };
    let opacity: Vec<f32> = (0..size.area()).map(opacity).collect();
    for index in (0..size.area()).filter(|index| is_edge(*index)) {
        let alpha = opacity[index];
        let ground = ground.pixels()[index];
        if alpha < 0.25 {
            colours[index] = own.pixels()[index];
        } else {
            colours[index] = std::array::from_fn(|channel| {
                ((colours[index][channel] - (1.0 - alpha) * ground[channel]) / alpha)
                    .clamp(0.0, 1.0)
            });
        }
    }
    (opacity, colours)
}

/// Returns the share of `own` in a pixel between `ground` and `own`, by projection on the line between both; `None` where both look alike.
fn share(pixel: Pixel, ground: Pixel, own: Pixel) -> Option<f32> {
    let (mut product, mut square) = (0.0, 0.0);
    for channel in 0..3 {
        let line = own[channel] - ground[channel];
        product += line * (pixel[channel] - ground[channel]);
        square += line * line;
    }
    (square > CONTRAST * CONTRAST).then(|| (product / square).clamp(0.0, 1.0))
}

fn difference(a: Pixel, b: Pixel) -> f32 {
    (0..3).fold(0.0, |largest, channel| {
        (a[channel] - b[channel]).abs().max(largest)
    })
}

/// Returns the mask as an opacity, its edge softened by a binomial filter of three by three pixels.
fn softened(mask: &Mask) -> Vec<f32> {
    let at = |row: isize, column: isize| {
        let row = row.clamp(0, mask.height as isize - 1) as usize;
        let column = column.clamp(0, mask.width as isize - 1) as usize;
        f32::from(u8::from(mask.data[row * mask.width + column]))
    };
    let value = |index: usize| {
        let (row, column) = ((index / mask.width) as isize, (index % mask.width) as isize);
        let line = |row: isize| {
            0.25 * at(row, column - 1) + 0.5 * at(row, column) + 0.25 * at(row, column + 1)
        };
        0.25 * line(row - 1) + 0.5 * line(row) + 0.25 * line(row + 1)
    };
    (0..mask.data.len()).map(value).collect()
}

fn mask(Size { width, height }: Size, data: Vec<bool>) -> Mask {
    Mask {
        width,
        height,
        data,
    }
}
