//! Finds the object that a loosely drawn region means.
//!
//! A region is drawn wider than its object, or a little tighter. The pixels that can be reached from outside through what looks like the
//! surroundings are the margin; the rest is the object. Its edge gets an opacity, and its colours there are freed from the background's
//! share, so that it can be put in front of something else. Where no object stands out, the region is used as it is drawn.

mod cast;
mod edge;
mod front;
mod ground;
mod hidden;
mod hull;
mod likeness;
mod shadow;
mod shape;

use super::crop::Crop;
use crate::geometry::Size;
use crate::mask::Mask;
use crate::picture::Raster;
pub(super) use cast::Cast;
use cast::cast;
use edge::{cut_out, softened};
use hidden::{completed, hidden};
use shadow::shadow;
use shape::shape;

/// A region that is drawn too tight is grown by at most this share of its size, or this many pixels if that is more.
const GROWTH: f64 = 0.1;
const LEAST_GROWTH: f64 = 12.0;
/// Width of the surroundings that are compared, as a share of the region's size, and in pixels at least.
const SURROUNDINGS: f64 = 0.125;
const LEAST_SURROUNDINGS: f64 = 15.0;
/// The object's shape is found in a copy whose sides are at most this long, in pixels.
const SHAPE_SIDE: usize = 320;
/// Width of the rim around what was hidden that is a guess as well: an outline. In pixels of that copy.
const RIM: usize = 3;
/// Width of an object's soft edge, on each side, in pixels of that copy.
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
    /// The shadow that goes with it.
    pub cast: Option<Cast>,
    /// What stands in front of it and stays.
    pub front: Option<Front>,
    /// How far every pixel of the object is a guess, 0 to 1: what was hidden, with its rim.
    pub guessed: Option<Vec<f32>>,
}

/// What stands in front of an object, cut out of the picture.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Front {
    /// Its share of every pixel of the picture, 0 to 1.
    pub opacity: Vec<f32>,
    /// Its own colours, as those of [`Object`].
    pub colour: Raster,
}

/// Cuts out the object that the drawn region means. The picture and the mask have the same size.
pub(crate) fn object(picture: &Raster, drawn: &Mask) -> Object {
    find(picture, drawn).unwrap_or_else(|| Object {
        opacity: softened(drawn),
        colour: picture.clone(),
        found: false,
        cast: None,
        front: None,
        guessed: None,
    })
}

/// Takes all of the drawn region, margin and all.
pub(crate) fn drawn(picture: &Raster, drawn: &Mask) -> Object {
    Object {
        opacity: drawn
            .data
            .iter()
            .map(|inside| f32::from(u8::from(*inside)))
            .collect(),
        colour: picture.clone(),
        found: false,
        cast: None,
        front: None,
        guessed: None,
    }
}

/// Finds the object, with the shadow that it casts.
fn find(picture: &Raster, drawn: &Mask) -> Option<Object> {
    let Some(shadow) = shadow(picture, drawn) else {
        return find_in(picture, picture, drawn).map(|(object, _)| object);
    };
    let (mut object, shape) = find_in(picture, &shadow.lit, drawn)?;
    object.cast = Some(cast(picture, &shadow, &shape));
    Some(object)
}

/// Finds the object in `lit`, the picture without its shadow; returns it with its shape.
fn find_in(picture: &Raster, lit: &Raster, drawn: &Mask) -> Option<(Object, Mask)> {
    let (from, to) = drawn.bounds()?;
    let side = (to.x - from.x).max(to.y - from.y);
    let growth = (GROWTH * side).max(LEAST_GROWTH).round();
    let surroundings = (SURROUNDINGS * side).max(LEAST_SURROUNDINGS);
    let crop = Crop::around(drawn, (growth + surroundings) as usize)?;
    let size = crop.size();
    let part = Raster::new(size, crop.cut(picture.pixels()));
    let region = mask(size, crop.cut(&drawn.data));
    let factor = size.width.max(size.height).div_ceil(SHAPE_SIDE);
    let small = shape(
        &reduced(&Raster::new(size, crop.cut(lit.pixels())), factor),
        &reduced_mask(&region, factor),
        (growth / factor as f64).round() as usize,
    )?;
    let soft = SOFT.max(factor + 1);
    // Returns the shares of all pixels of the picture, and the colours.
    let cut = |shape: &Mask| {
        let (shares, colours) = cut_out(&part, shape, soft);
        let (mut opacity, mut colour) = (vec![0.0; drawn.data.len()], picture.clone());
        for (part, index) in crop.indices().enumerate() {
            opacity[index] = shares[part];
            colour.pixels_mut()[index] = colours[part];
        }
        (opacity, colour)
    };
    let shape = enlarged(&small.object, factor, size);
    let (mut opacity, mut colour) = cut(&shape);
    let front_shape = enlarged(&small.front, factor, size);
    let front = front_shape.data.contains(&true).then(|| {
        let (opacity, colour) = cut(&front_shape);
        Front { opacity, colour }
    });
    let mut whole = Mask::filled(picture.size(), false);
    for (part, index) in crop.indices().enumerate() {
        whole.data[index] = shape.data[part];
    }
    let guessed =
        hidden(&small.object, &small.front, &reduced_mask(&region, factor)).map(|small| {
            let hidden = enlarged(&small, factor, size);
            let (whole, colours) = completed(&part, &shape, &hidden, &front_shape, soft + 1);
            let soft_whole = softened(&whole);
            let rim = softened(&hidden.dilated(RIM * factor));
            let mut guessed = vec![0.0; drawn.data.len()];
            for (part, index) in crop.indices().enumerate() {
                if let Some(own) = colours[part] {
                    colour.pixels_mut()[index] = own;
                    opacity[index] = f32::max(opacity[index], soft_whole[part]);
                }
                guessed[index] = rim[part];
            }
            guessed
        });
    let object = Object {
        opacity,
        colour,
        found: true,
        cast: None,
        front,
        guessed,
    };
    Some((object, whole))
}

fn mask(Size { width, height }: Size, data: Vec<bool>) -> Mask {
    Mask {
        width,
        height,
        data,
    }
}

fn inverted(from: &Mask) -> Mask {
    mask(
        from.size(),
        from.data.iter().map(|inside| !inside).collect(),
    )
}

/// Returns the mask of a function of two masks.
fn combined(a: &Mask, b: &Mask, value: impl Fn(bool, bool) -> bool) -> Mask {
    mask(
        a.size(),
        a.data
            .iter()
            .zip(&b.data)
            .map(|(a, b)| value(*a, *b))
            .collect(),
    )
}

/// Returns the size after `factor` times `factor` pixels were joined.
fn reduced_size(size: Size, factor: usize) -> Size {
    Size::new(size.width.div_ceil(factor), size.height.div_ceil(factor))
}

/// Returns the picture with `factor` times `factor` pixels joined into their mean.
fn reduced(picture: &Raster, factor: usize) -> Raster {
    let size = reduced_size(picture.size(), factor);
    let mut sums = vec![[0.0; 4]; size.area()];
    let width = picture.size().width;
    for (index, pixel) in picture.pixels().iter().enumerate() {
        let sum = &mut sums[index / width / factor * size.width + index % width / factor];
        let entries = pixel.iter().chain(&[1.0]);
        sum.iter_mut()
            .zip(entries)
            .for_each(|(sum, value)| *sum += value);
    }
    let means = sums
        .into_iter()
        .map(|[r, g, b, count]| [r / count, g / count, b / count]);
    Raster::new(size, means.collect())
}

/// Returns the mask with `factor` times `factor` pixels joined; inside is what contains a pixel inside.
fn reduced_mask(from: &Mask, factor: usize) -> Mask {
    let size = reduced_size(from.size(), factor);
    let mut reduced = Mask::filled(size, false);
    for (index, inside) in from.data.iter().enumerate() {
        let to = index / from.width / factor * size.width + index % from.width / factor;
        reduced.data[to] |= inside;
    }
    reduced
}

/// Returns the mask whose pixels were joined by [`reduced_mask`].
fn enlarged(from: &Mask, factor: usize, size: Size) -> Mask {
    let inside = |index: usize| {
        from.data[index / size.width / factor * from.width + index % size.width / factor]
    };
    mask(size, (0..size.area()).map(inside).collect())
}

#[cfg(test)]
mod tests;
