//! Which pixels of a region belong to its object.

use super::super::component::{connected, parts};
use super::likeness::{Likeness, around, difference, likeness};
use super::mask;
use crate::mask::Mask;
use crate::picture::Raster;

/// Rounds until the margin is known.
const ROUNDS: usize = 4;
/// Distance in pixels from the object at which the next round's surroundings begin.
const CLOSE: usize = 3;
/// An object covers at least this share of its region.
const LEAST_SHARE: f64 = 0.1;
/// Parts smaller than this share of the largest are specks.
const SPECK: f64 = 0.02;
/// A hole that shows the background covers at least this share of the object, and this many pixels.
const HOLE: f64 = 0.01;
const LEAST_HOLE: usize = 12;
/// Share of a hole's pixels that look like the background behind it.
const HOLE_LIKENESS: f64 = 0.85;
/// Longest outline of an object, in outlines of a disc of the same area.
const RAGGED: f64 = 4.5;
/// Share of the outline across which the colour changes clearly.
const CLEAR: f64 = 0.6;

/// Returns the pixels of the object that the drawn region means, within `growth` pixels around it; `None` when none stands out.
///
/// Every round takes what it recognises as margin for surroundings of the next, which are then closer and known better.
pub(super) fn shape(picture: &Raster, drawn: &Mask, growth: usize) -> Option<Mask> {
    let size = picture.size();
    let limit = drawn.dilated(growth);
    if limit.count() == size.area() {
        return None;
    }
    let mut zone = limit.clone();
    let mut foreign = Mask::filled(size, false);
    let mut round = 0;
    loop {
        let likeness = likeness(picture, &zone, &foreign);
        let passable = combined(&likeness.like, &foreign, |like, foreign| like || foreign);
        let rest = inverted(&connected(&passable, &inverted(&zone)));
        let cut = beyond(&rest, drawn, &limit);
        foreign = combined(&foreign, &cut, |foreign, cut| foreign || cut);
        let mut object =
            without_specks(&combined(&rest, &foreign, |rest, foreign| rest && !foreign))?;
        let next = combined(&object.dilated(CLOSE), &limit, |near, limit| near && limit);
        round += 1;
        if next == zone || round == ROUNDS {
            open_holes(&mut object, &likeness);
            return is_clear(picture, &object, drawn, &likeness).then_some(object);
        }
        zone = next;
    }
}

fn inverted(mask: &Mask) -> Mask {
    super::mask(
        mask.size(),
        mask.data.iter().map(|inside| !inside).collect(),
    )
}

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

/// Returns the pixels that are outside the drawn region and belong to something that reaches the limit. What ends before the limit is the
/// edge of an object that was drawn too tight.
fn beyond(rest: &Mask, drawn: &Mask, limit: &Mask) -> Mask {
    let outer = combined(rest, drawn, |rest, drawn| rest && !drawn);
    let at_limit = combined(&outer, &inverted(limit).dilated(1), |a, b| a && b);
    connected(&outer, &at_limit)
}

/// Returns the mask without its small parts; `None` when it is empty.
fn without_specks(from: &Mask) -> Option<Mask> {
    let parts = parts(from);
    let largest = parts.iter().map(Vec::len).max()?;
    let mut kept = Mask::filled(from.size(), false);
    for part in parts {
        if part.len() as f64 >= SPECK * largest as f64 {
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
    ragged < RAGGED && clear > CLEAR
}
