//! An object's cast shadow, which belongs to it.
//!
//! A shadow is a darker copy of the ground: all channels keep about the same share of it, its edge is soft, and it touches its object. It
//! is told only where the ground is known, that is, follows one smooth trend; stripes, dots and hard edges are never taken for one. A
//! shadow is taken as a whole or not at all.

use super::super::component::{neighbours, parts};
use super::super::crop::Crop;
use super::super::fill::{Fill, fill};
use super::ground::{Ground, ground};
use super::likeness::difference;
use super::{Pixel, combined, mask};
use crate::geometry::Size;
use crate::mask::Mask;
use crate::picture::Raster;

/// A shadow reaches at most this share of the region's size out of it.
const REACH: f64 = 0.5;
/// Width of the surroundings beyond that, as a share of the region's size.
const SURROUNDINGS: f64 = 0.25;
/// Least share of the ground's light that is left in a shadow.
const DARKEST: f32 = 0.4;
/// Largest difference between the shares that two channels keep.
const TINT: f32 = 0.06;
/// Largest change of the share from pixel to pixel: a shadow's edge is soft.
const STEP: f32 = 0.07;
/// Largest difference of a shadow's pixel to its neighbours, as a share of the range. The edge of a thing is steeper.
const STEEP: f32 = 0.08;
/// A shadow takes at least this share of the light somewhere.
const CLEAR: f32 = 0.08;
/// A shadow's pixels beside plain ground keep at least this share of the light, but for some of them. More of them are a hard edge.
const EDGE: f32 = 0.92;
const HARD: f64 = 0.25;
/// It covers at least this share of what casts it.
const LEAST_SIZE: f64 = 0.04;
/// Dark pixels that touch nothing that could cast a shadow: at most this share of the shadow. More of them are a pattern.
const STRAY: f64 = 0.2;
/// Distance in pixels within which a shadow touches what casts it: the width of an antialiased edge.
const TOUCH: usize = 2;

/// The shadow that an object casts.
pub(super) struct Shadow {
    /// The shadowed pixels.
    pub mask: Mask,
    /// The picture without it.
    pub lit: Raster,
}

/// Returns the shadow of what stands in the drawn region, wherever it falls; `None` when there is no clear one.
pub(super) fn shadow(picture: &Raster, drawn: &Mask) -> Option<Shadow> {
    let (from, to) = drawn.bounds()?;
    let side = (to.x - from.x).max(to.y - from.y);
    let reach = (REACH * side).ceil() as usize;
    let crop = Crop::around(drawn, reach + (SURROUNDINGS * side).ceil() as usize)?;
    let size = crop.size();
    let part = Raster::new(size, crop.cut(picture.pixels()));
    let region = mask(size, crop.cut(&drawn.data));
    let shadowed = shadowed(&part, &region, reach)?;
    let nothing = Mask::filled(picture.size(), false);
    let mut shadow = nothing.clone();
    for (part, index) in crop.indices().enumerate() {
        shadow.data[index] = shadowed.mask.data[part];
    }
    let mut lit = picture.clone();
    for (part, index) in crop.indices().enumerate() {
        if shadow.data[index] {
            lit.pixels_mut()[index] = shadowed.lit.pixels()[part];
        }
    }
    Some(Shadow { mask: shadow, lit })
}

/// Finds the shadow in the part of the picture that it can reach.
fn shadowed(picture: &Raster, drawn: &Mask, reach: usize) -> Option<Shadow> {
    let size = picture.size();
    let Ground { colours, plain } = ground(picture, drawn)?;
    let shares: Vec<Option<f32>> = (picture.pixels().iter().zip(&colours))
        .map(|(pixel, ground)| share(*pixel, *ground))
        .collect();
    let dark = soft(picture, &shares, &plain);
    let rest = combined(&dark, &plain, |dark, plain| !dark && !plain);

    // What casts the shadow is the largest thing in the region; specks are the remains of edges, not things.
    let inside = |part: &[usize]| part.iter().filter(|index| drawn.data[**index]).count();
    let mut things = parts(&rest);
    things.sort_by_key(|part| std::cmp::Reverse(inside(part)));
    let (caster, others) = things.split_first()?;
    let least = LEAST_SIZE * inside(caster) as f64;
    let others = others.iter().filter(|part| part.len() as f64 > least);
    let at_caster = of_parts(size, [caster]).dilated(TOUCH);
    let at_others = of_parts(size, others).dilated(TOUCH);

    let limit = drawn.dilated(reach);
    let (mut own, mut stray) = (Vec::new(), 0);
    for part in parts(&dark) {
        let touches = |mask: &Mask| part.iter().any(|index| mask.data[*index]);
        let is_within = part.iter().all(|index| limit.data[*index]);
        match (touches(&at_caster), touches(&at_others)) {
            (true, false) if is_within => own.push(part),
            (true, _) => return None,
            (false, true) => {}
            (false, false) => stray += part.len(),
        }
    }
    let shadow = of_parts(size, &own);
    let count = shadow.count() as f64;
    if count < least || stray as f64 > STRAY * count || !is_soft(&shadow, &plain, &shares) {
        return None;
    }
    // The faint end of the edge looks plain.
    let end = combined(&shadow.dilated(TOUCH), &plain, |near, plain| near && plain);
    let shadow = combined(&shadow, &end, |shadow, end| shadow || end);
    let lit = fill(picture, &shadow, &rest.dilated(TOUCH), Fill::Smooth);
    Some(Shadow { mask: shadow, lit })
}

/// Returns the mask of these parts.
fn of_parts<'a>(size: Size, parts: impl IntoIterator<Item = &'a Vec<usize>>) -> Mask {
    let mut of = Mask::filled(size, false);
    for index in parts.into_iter().flatten() {
        of.data[*index] = true;
    }
    of
}

/// Returns whether a shadow is clear somewhere, and faint where it ends on plain ground.
fn is_soft(shadow: &Mask, plain: &Mask, shares: &[Option<f32>]) -> bool {
    let share = |index: usize| shares[index].unwrap_or(1.0);
    let all: Vec<usize> = (0..shares.len())
        .filter(|index| shadow.data[*index])
        .collect();
    let is_edge = |index: &&usize| neighbours(plain, **index).any(|next| plain.data[next]);
    let edge: Vec<&usize> = all.iter().filter(is_edge).collect();
    let hard = edge.iter().filter(|index| share(***index) < EDGE).count();
    all.iter().any(|index| share(*index) < 1.0 - CLEAR) && hard as f64 <= HARD * edge.len() as f64
}

/// Returns the share of the ground's light that a pixel keeps; `None` when it is something else than the ground in shadow.
fn share(pixel: Pixel, ground: Pixel) -> Option<f32> {
    let shares: Pixel =
        std::array::from_fn(|channel| pixel[channel] / ground[channel].max(1.0 / 255.0));
    let low = shares.iter().copied().fold(f32::INFINITY, f32::min);
    let high = shares.iter().copied().fold(0.0, f32::max);
    let is_shadow = high - low <= TINT && low >= DARKEST && high <= 1.0 + TINT;
    is_shadow.then_some(shares.iter().sum::<f32>() / 3.0)
}

/// Returns the pixels in shadow that are reached from plain ground without a step.
fn soft(picture: &Raster, shares: &[Option<f32>], plain: &Mask) -> Mask {
    let (size, pixels) = (picture.size(), picture.pixels());
    let is_steep = |index: usize| {
        neighbours(plain, index).any(|next| difference(pixels[index], pixels[next]) > STEEP)
    };
    let mut reached = plain.clone();
    let mut open: Vec<usize> = (0..size.area())
        .filter(|index| plain.data[*index])
        .collect();
    while let Some(index) = open.pop() {
        for next in neighbours(plain, index) {
            let (Some(here), Some(there)) = (shares[index], shares[next]) else {
                continue;
            };
            let is_step = (here - there).abs() > STEP;
            if !reached.data[next] && !is_step && !is_steep(next) {
                reached.data[next] = true;
                open.push(next);
            }
        }
    }
    combined(&reached, plain, |reached, plain| reached && !plain)
}
