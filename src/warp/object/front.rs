//! What stands in front of an object and hides a part of it.
//!
//! A thing that crosses the border of the drawn region and reaches far out of it is not the object. Where it meets the object and the
//! background in one place, the contour of the nearer thing goes straight through, and that of the farther one ends there (a T-junction): around
//! such places the nearer thing has the largest share.

use super::super::component::{neighbours, parts_where};
use super::likeness::difference;
use super::{combined, inverted, mask};
use crate::geometry::Size;
use crate::mask::Mask;
use crate::picture::Raster;

/// Largest step between neighbours on one surface, as a share of the range.
const FLAT: f32 = 5.0 / 255.0;
/// A surface has at least this share of the drawn region, and this many pixels.
const LEAST_SHARE: f64 = 0.01;
const LEAST_PIXELS: usize = 20;
/// A line, such as an outline, is at most twice as wide as this, in pixels. A surface is wider.
const LINE: f32 = 2.5;
/// A thing in front has at least this share of its surface outside the drawn region.
const BEYOND: f64 = 0.1;
/// The background has a larger share of what lies beyond what a region drawn too tight may miss.
const BACKGROUND: f64 = 0.25;
/// A thing in front meets a share of the object's outline that lies between these.
const LEAST_MET: f64 = 0.12;
const MOST_MET: f64 = 0.5;
/// Widest outline of a thing, in pixels, and the width that is taken where it cannot be measured.
const WIDEST: f32 = 6.0;
const ANTIALIASED: f32 = 1.5;
/// Entries of a profile across an outline, two for each pixel.
const STEPS: usize = 2 * WIDEST as usize + 1;
/// Difference up to which a pixel belongs to the outline, as a share of the range.
const SAME: f32 = 0.1;
/// Distance in pixels from the object beyond which an outline is measured.
const APART: usize = 6;
/// Distance in pixels within which three things meet, and radius of the disc that is looked at there.
const MEETING: usize = 2;
const RADIUS: isize = 5;
/// The nearer thing has this many times the share of each other one.
const NEARER: f64 = 1.25;
const LEAST_STRAIGHT: f64 = 0.7;

/// Returns the pixels of what stands in front of `object`, inside the object as found and outside it. `limit` is the drawn region with
/// what it may miss of its object; `middle` are the pixels in the middle of the drawn region.
pub(super) fn front(
    picture: &Raster,
    object: &Mask,
    drawn: &Mask,
    limit: &Mask,
    is_object: impl Fn(&[usize]) -> bool,
) -> Mask {
    let size = picture.size();
    let least = ((LEAST_SHARE * drawn.count() as f64) as usize).max(LEAST_PIXELS);
    let surfaces: Vec<Vec<usize>> = parts_where(size, |from, to| {
        difference(picture.pixels()[from], picture.pixels()[to]) < FLAT
    })
    .into_iter()
    .filter(|surface| surface.len() >= least && is_thick(size, surface))
    .collect();
    let mut on_surface = Mask::filled(size, false);
    for index in surfaces.iter().flatten() {
        on_surface.data[*index] = true;
    }
    let outside = limit.data.iter().filter(|inside| !**inside).count() as f64;
    let mut front = Mask::filled(size, false);
    for surface in &surfaces {
        let beyond = surface.iter().filter(|index| !limit.data[**index]).count();
        let out = surface.iter().filter(|index| !drawn.data[**index]).count();
        let is_far = out as f64 >= BEYOND * surface.len() as f64;
        if !is_far || beyond as f64 > BACKGROUND * outside || is_object(surface) {
            continue;
        }
        let thing = with_outline(surface, object, &on_surface);
        let rest = combined(object, &thing.mask, |object, thing| object && !thing);
        if is_nearer(&thing.mask, &rest) {
            let thing = thing.without_others(picture, object);
            front = combined(&front, &thing, |front, thing| front || thing);
        }
    }
    front
}

/// Returns whether a surface is wider somewhere than a line.
fn is_thick(size: Size, surface: &[usize]) -> bool {
    let mut inside = Mask::filled(size, false);
    for index in surface {
        inside.data[*index] = true;
    }
    let depth = inside.depth();
    surface.iter().any(|index| depth.0[*index] > LINE)
}

/// A thing with its outline.
struct Thing {
    /// All of it.
    mask: Mask,
    /// The outline alone.
    outline: Mask,
    /// Distance of every pixel from its surface.
    distance: Vec<f32>,
    /// Width of its outline.
    width: f32,
}

/// Returns the thing with a surface. The width of its outline is measured where it does not meet the object.
fn with_outline(surface: &[usize], object: &Mask, on_surface: &Mask) -> Thing {
    let mut own = Mask::filled(object.size(), false);
    for index in surface {
        own.data[*index] = true;
    }
    let distance = inverted(&own).depth().0;
    let near_object = object.dilated(APART);
    let is_end = |index: &usize| {
        let is_other = |next: usize| on_surface.data[next] && !own.data[next];
        !on_surface.data[*index]
            && distance[*index] <= WIDEST
            && !near_object.data[*index]
            && neighbours(object, *index).any(is_other)
    };
    let mut ends: Vec<f32> = (0..distance.len())
        .filter(is_end)
        .map(|index| distance[index])
        .collect();
    let width = if ends.is_empty() {
        ANTIALIASED
    } else {
        let middle = ends.len() / 2;
        *ends.select_nth_unstable_by(middle, f32::total_cmp).1
    };
    let is_outline = |index: usize| !on_surface.data[index] && distance[index] <= width;
    let outline = mask(object.size(), (0..distance.len()).map(is_outline).collect());
    Thing {
        mask: combined(&own, &outline, |own, outline| own || outline),
        outline,
        distance,
        width,
    }
}

impl Thing {
    /// Returns the thing without what is as close to it as its outline and has other colours: where both meet the background, the object's
    /// outline.
    fn without_others(mut self, picture: &Raster, object: &Mask) -> Mask {
        let pixels = picture.pixels();
        let third = combined(&self.mask, object, |thing, object| !thing && !object);
        let meeting = third.dilated(self.width as usize + MEETING);
        let near_object = object.dilated(APART);
        let mut sums = [[0.0_f32; 4]; STEPS];
        for (index, distance) in self.distance.iter().enumerate() {
            if self.outline.data[index] && !near_object.data[index] {
                let values = pixels[index].into_iter().chain([1.0]);
                sums[step(*distance)]
                    .iter_mut()
                    .zip(values)
                    .for_each(|(sum, value)| *sum += value);
            }
        }
        let is_other = |index: usize| {
            let [r, g, b, count] = sums[step(self.distance[index])];
            count > 0.0 && difference(pixels[index], [r, g, b].map(|sum| sum / count)) > SAME
        };
        for index in 0..object.data.len() {
            let is_close = object.data[index] && self.outline.data[index] && meeting.data[index];
            if is_close && is_other(index) {
                self.mask.data[index] = false;
            }
        }
        self.mask
    }
}

/// Returns the entry of a profile across an outline for a distance from the surface of at most [`WIDEST`].
fn step(distance: f32) -> usize {
    (2.0 * distance) as usize
}

/// Returns whether a thing is nearer than the object where both meet the background.
fn is_nearer(thing: &Mask, object: &Mask) -> bool {
    let third = combined(thing, object, |thing, object| !thing && !object);
    let near = [thing, object, &third].map(|mask| mask.dilated(MEETING));
    let at_thing = thing.dilated(1);
    let is_outline = |index: &usize| {
        object.data[*index] && neighbours(object, *index).any(|next| !object.data[next])
    };
    let outline: Vec<usize> = (0..object.data.len()).filter(is_outline).collect();
    let met = outline
        .iter()
        .filter(|index| at_thing.data[**index])
        .count();
    let share = met as f64 / outline.len().max(1) as f64;
    if !(LEAST_MET..=MOST_MET).contains(&share) {
        return false;
    }
    let mut shares = [0_usize; 3];
    for index in (0..object.data.len()).filter(|index| near.iter().all(|near| near.data[*index])) {
        for other in disc(object, index) {
            let which = if thing.data[other] {
                0
            } else if object.data[other] {
                1
            } else {
                2
            };
            shares[which] += 1;
        }
    }
    let [thing, object, third] = shares.map(|share| share as f64);
    thing > NEARER * object && thing > LEAST_STRAIGHT * third
}

/// Returns the pixels of a disc around a pixel.
fn disc(of: &Mask, index: usize) -> impl Iterator<Item = usize> {
    let Mask { width, height, .. } = *of;
    let (row, column) = ((index / width) as isize, (index % width) as isize);
    (-RADIUS..=RADIUS)
        .flat_map(|dy| (-RADIUS..=RADIUS).map(move |dx| (dx, dy)))
        .filter(|(dx, dy)| dx * dx + dy * dy <= RADIUS * RADIUS)
        .map(move |(dx, dy)| (row + dy, column + dx))
        .filter(move |(row, column)| {
            (0..height as isize).contains(row) && (0..width as isize).contains(column)
        })
        .map(move |(row, column)| row as usize * width + column as usize)
}
