//! Which pixels of a region belong to its object.

use super::super::component::{connected, neighbours, parts};
use super::front::front;
use super::hull::hull_area;
use super::likeness::{Likeness, around, difference, likeness};
use super::{combined, inverted, mask};
use crate::mask::Mask;
use crate::picture::Raster;

/// Rounds until the margin is known.
const ROUNDS: usize = 4;
/// Distance in pixels from the object at which the next round's surroundings begin.
const CLOSE: usize = 3;
/// The middle of a region are the pixels at least this share of the largest depth inside it.
const CORE: f32 = 0.6;
/// Limit of sampled pixels of the middle, and how many of them must have a colour.
const CORE_SAMPLES: usize = 200;
const CORE_SUPPORT: usize = 3;
/// Difference up to which a colour is the middle's, as a share of the range.
const CORE_TOLERANCE: f32 = 8.0 / 255.0;
/// A colour that a larger share of the surroundings has is not the object's.
const MOST_CONTINUED: f64 = 0.12;
/// When a smaller share of the middle has the object's own colours, the object is not in the middle.
const LEAST_OWN: f64 = 0.3;
/// Largest step between neighbours on one surface, as a share of the range.
const FLAT: f32 = 5.0 / 255.0;
/// A tip has at most this share of its border with the region at the limit.
const TIP: f64 = 0.25;
/// A part of an object lies in the region with at least this share.
const INSIDE: f64 = 0.3;
/// An object covers at least this share of its region.
const LEAST_SHARE: f64 = 0.04;
/// Parts smaller than this share of the largest are specks.
const SPECK: f64 = 0.02;
/// Parts that cross the region's border belong to the object when they have at least this share of the largest.
const LARGE: f64 = 0.7;
/// A hole that shows the background covers at least this share of the object, and this many pixels.
const HOLE: f64 = 0.01;
const LEAST_HOLE: usize = 12;
/// Longest outline of an object, in outlines of a disc of the same area.
const RAGGED: f64 = 4.5;
/// The convex hulls of an object's parts cover at least this share of the convex hull of all of it.
const TOGETHER: f64 = 0.85;
/// Share of the outline across which the colour changes clearly.
const CLEAR: f64 = 0.75;

/// An object's pixels, and those of what hides a part of it.
pub(super) struct Shape {
    /// The object.
    pub object: Mask,
    /// What stands in front of it.
    pub front: Mask,
}

/// Returns the pixels of the object that the drawn region means, within `growth` pixels around it; `None` when none stands out.
///
/// Every round takes what it recognises as margin for surroundings of the next, which are then closer and known better.
pub(super) fn shape(picture: &Raster, drawn: &Mask, growth: usize) -> Option<Shape> {
    let limit = drawn.dilated(growth);
    if limit.data.iter().all(|inside| *inside) {
        return None;
    }
    let core = Core::new(picture, drawn, &limit);
    let mut continued = core.continued.clone();
    let mut zone = limit.clone();
    let mut round = 0;
    loop {
        let likeness = likeness(picture, &zone, &continued);
        let seeds = combined(&zone, &continued, |zone, continued| !zone && !continued);
        let margin = connected(&likeness.like, &seeds);
        let rest = combined(&margin, &continued, |margin, continued| {
            !margin || continued
        });
        let cut = crossing(&rest, drawn, &limit);
        let own = combined(&cut, &core.near, |cut, near| cut && near);
        continued = combined(&continued, &own, |continued, own| continued || own);
        let not_object = combined(&margin, &cut, |margin, cut| margin || cut);
        let not_object = core.surfaces(picture, &not_object);
        let rest = inverted(&not_object);
        let object = main_parts(
            &combined(&rest, &limit, |rest, limit| rest && limit),
            drawn,
            &cut,
        )?;
        let next = combined(&object.dilated(CLOSE), &limit, |near, limit| near && limit);
        round += 1;
        if next == zone || round == ROUNDS {
            let front = front(picture, &object, drawn, &limit, |surface| {
                core.is_object(surface)
            });
            let visible = combined(&object, &front, |object, front| object && !front);
            let mut object = main_parts(&visible, drawn, &cut)?;
            open_holes(&mut object, &likeness);
            return is_clear(picture, &object, drawn, &likeness).then_some(Shape { object, front });
        }
        zone = next;
    }
}

/// What the middle of the region looks like.
struct Core {
    /// The region's middle.
    middle: Mask,
    /// Pixels with a colour of the region's middle.
    like: Mask,
    /// Those pixels and the ones around them.
    near: Mask,
    /// Pixels outside the limit with a colour of the middle, and those beside them: the object itself when the region holds only a part of
    /// it.
    continued: Mask,
}

impl Core {
    fn new(picture: &Raster, drawn: &Mask, limit: &Mask) -> Self {
        let size = picture.size();
        let depth = drawn.depth();
        let deepest = depth.largest();
        let middle: Vec<bool> = (depth.0.iter())
            .map(|depth| *depth >= CORE * deepest)
            .collect();
        let outside = inverted(limit);
        let around: Vec<_> = thinned(
            (0..size.area()).filter(|index| outside.data[*index]),
            CORE_SAMPLES,
        )
        .map(|index| picture.pixels()[index])
        .collect();
        // A colour that much of the surroundings has is the background, seen in the middle.
        let is_own = |colour: &_| {
            let like = around
                .iter()
                .filter(|other| difference(*colour, **other) < CORE_TOLERANCE);
            like.count() as f64 <= MOST_CONTINUED * around.len() as f64
        };
        let mut samples: Vec<_> = thinned(
            (0..size.area()).filter(|index| middle[*index]),
            CORE_SAMPLES,
        )
        .map(|index| picture.pixels()[index])
        .collect();
        let all = samples.len() as f64;
        samples.retain(is_own);
        if (samples.len() as f64) < LEAST_OWN * all {
            samples.clear();
        }
        let is_like = |pixel: &_| {
            let like = samples
                .iter()
                .filter(|sample| difference(*pixel, **sample) < CORE_TOLERANCE);
            like.take(CORE_SUPPORT).count() == CORE_SUPPORT
        };
        let like = mask(size, picture.pixels().iter().map(is_like).collect());
        let continued = combined(&like, &outside, |like, outside| like && outside);
        let continued = combined(&continued.dilated(CLOSE), &outside, |near, outside| {
            near && outside
        });
        Self {
            middle: mask(size, middle),
            near: like.dilated(CLOSE + 1),
            like,
            continued,
        }
    }

    /// Returns whether a surface has so much of the middle that it is the object.
    fn is_object(&self, surface: &[usize]) -> bool {
        let inside = surface.iter().filter(|index| self.middle.data[**index]);
        inside.count() as f64 >= LEAST_OWN * self.middle.count() as f64
    }

    /// Returns the area with the surfaces that continue from it without a step, as far as they do not look like the middle.
    fn surfaces(&self, picture: &Raster, area: &Mask) -> Mask {
        let mut reached = area.clone();
        let is_seed = |index: &usize| area.data[*index] && !self.near.data[*index];
        let mut open: Vec<usize> = (0..area.data.len()).filter(is_seed).collect();
        while let Some(index) = open.pop() {
            for next in neighbours(area, index) {
                let step = difference(picture.pixels()[index], picture.pixels()[next]);
                if !self.like.data[next] && !reached.data[next] && step < FLAT {
                    reached.data[next] = true;
                    open.push(next);
                }
            }
        }
        reached
    }
}

/// Returns at most about `limit` of the entries, evenly.
fn thinned(entries: impl Iterator<Item = usize>, limit: usize) -> impl Iterator<Item = usize> {
    let all: Vec<usize> = entries.collect();
    let stride = all.len().div_ceil(limit).max(1);
    all.into_iter().step_by(stride)
}

/// Returns the pixels outside the drawn region of what crosses its border and reaches the limit. What only touches the limit is the tip of
/// an object that was drawn too tight.
fn crossing(rest: &Mask, drawn: &Mask, limit: &Mask) -> Mask {
    let outer = combined(rest, drawn, |rest, drawn| rest && !drawn);
    let within = combined(&outer, limit, |outer, limit| outer && limit);
    let (at_limit, at_drawn) = (inverted(limit).dilated(CLOSE), drawn.dilated(1));
    let mut crossing = combined(&outer, limit, |outer, limit| outer && !limit);
    for part in parts(&within) {
        let count = |mask: &Mask| part.iter().filter(|index| mask.data[**index]).count();
        if count(&at_limit) as f64 > CLOSE as f64 * TIP * count(&at_drawn) as f64 {
            for index in part {
                crossing.data[index] = true;
            }
        }
    }
    crossing
}

/// Returns the parts that lie in the drawn region, without specks and without the inner ends of smaller things that cross its border;
/// `None` when there are none.
fn main_parts(from: &Mask, drawn: &Mask, crossing: &Mask) -> Option<Mask> {
    let near_crossing = crossing.dilated(1);
    let inside = |part: &[usize]| part.iter().filter(|index| drawn.data[**index]).count();
    let parts = parts(from);
    let largest = parts
        .iter()
        .map(|part| inside(part))
        .max()
        .filter(|largest| *largest > 0)?;
    let mut kept = Mask::filled(from.size(), false);
    for part in parts {
        let inside = inside(&part) as f64;
        let is_end = part.iter().any(|index| near_crossing.data[*index]);
        let least = if is_end { LARGE } else { SPECK };
        if inside >= least * largest as f64 && inside >= INSIDE * part.len() as f64 {
            for index in part {
                kept.data[index] = true;
            }
        }
    }
    Some(kept)
}

/// Takes holes out of the object through which the background is seen.
fn open_holes(object: &mut Mask, likeness: &Likeness) {
    let enclosed = object.data.iter().zip(&likeness.continued.data);
    let enclosed = mask(object.size(), enclosed.map(|(a, b)| *a && *b).collect());
    let least = (HOLE * object.count() as f64).max(LEAST_HOLE as f64);
    for part in parts(&enclosed) {
        if part.len() as f64 >= least {
            for index in part {
                object.data[index] = false;
            }
        }
    }
}

/// Returns whether the object is large enough, compact, and different from what surrounds it.
fn is_clear(picture: &Raster, object: &Mask, drawn: &Mask, likeness: &Likeness) -> bool {
    let size = picture.size();
    let (count, region) = (object.count() as f64, drawn.count() as f64);
    if count < LEAST_SHARE * region {
        return false;
    }
    let is_outline = |index: &usize| {
        object.data[*index] && around(size, *index, 1).any(|other| !object.data[other])
    };
    let outline: Vec<usize> = (0..size.area()).filter(is_outline).collect();
    let ragged = outline.len() as f64 / (4.0 * std::f64::consts::PI * count).sqrt();
    let is_clear = |index: &&usize| {
        around(size, **index, 2)
            .filter(|other| !object.data[*other])
            .any(|other| {
                difference(picture.pixels()[**index], picture.pixels()[other]) > likeness.tolerance
            })
    };
    let clear = outline.iter().filter(is_clear).count() as f64 / outline.len().max(1) as f64;
    ragged < RAGGED && clear > CLEAR && is_whole(object)
}

/// Returns whether the parts of the object lie together, as those of one that a line crosses, and are not fragments of a larger one. What
/// only threads of at most two pixels connect counts as separate.
fn is_whole(object: &Mask) -> bool {
    let eroded = inverted(&inverted(object).dilated(1));
    let firm = combined(&eroded.dilated(1), object, |near, object| near && object);
    let hull = |pixels: &[usize]| hull_area(pixels, object.width);
    let parts = parts(&firm);
    let filled: f64 = parts.iter().map(|part| hull(part)).sum();
    filled >= TOGETHER * hull(&parts.concat())
}
