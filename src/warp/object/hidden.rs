//! What of an object is hidden behind something: a guess.
//!
//! The object goes on behind what hides it: from the straight line between the two places where its outline disappears, as far as half an
//! ellipse on this line. Its colours continue smoothly.

use super::super::fill::{Fill, fill};
use super::{Pixel, combined, inverted};
use crate::geometry::Point;
use crate::mask::Mask;
use crate::picture::Raster;

/// Height of the ellipse relative to half the line's length: a disc of which a quarter is hidden.
const HEIGHT: f64 = 0.6;

/// Returns the pixels of `front` behind which the object goes on, inside the drawn region.
pub(super) fn hidden(object: &Mask, front: &Mask, drawn: &Mask) -> Option<Mask> {
    let near = front.dilated(1);
    let centres: Vec<Point> = object.size().centres().collect();
    let of = |is: &dyn Fn(usize) -> bool| -> Vec<Point> {
        let indices = (0..centres.len()).filter(|index| is(*index));
        indices.map(|index| centres[index]).collect()
    };
    let contact = of(&|index| object.data[index] && near.data[index]);
    let body = of(&|index| object.data[index]);
    let mean = mean(&body)?;
    let from = farthest(&contact, *contact.first()?)?;
    let to = farthest(&contact, from)?;
    let half = 0.5 * from.distance(to);
    if half < 1.0 {
        return None;
    }
    let middle = Point::new(0.5 * (from.x + to.x), 0.5 * (from.y + to.y));
    let along = Point::new(
        (to.x - from.x) / (2.0 * half),
        (to.y - from.y) / (2.0 * half),
    );
    let away = {
        let across = Point::new(-along.y, along.x);
        let side = across.x * (middle.x - mean.x) + across.y * (middle.y - mean.y);
        Point::new(across.x * side.signum(), across.y * side.signum())
    };
    let is_hidden = |point: Point| {
        let (dx, dy) = (point.x - middle.x, point.y - middle.y);
        let position = (dx * along.x + dy * along.y) / half;
        let height = (dx * away.x + dy * away.y) / half;
        position.abs() < 1.0 && height < HEIGHT * (1.0 - position * position).sqrt()
    };
    let within = combined(front, drawn, |front, drawn| front && drawn);
    let ellipse = Mask::from_fn(object.size(), is_hidden);
    Some(combined(&within, &ellipse, |within, ellipse| {
        within && ellipse
    }))
}

/// Returns the object with what is hidden, and its colours there and within `soft` pixels of `front`, where its own are mixed with
/// others.
pub(super) fn completed(
    picture: &Raster,
    object: &Mask,
    hidden: &Mask,
    front: &Mask,
    soft: usize,
) -> (Mask, Vec<Option<Pixel>>) {
    let whole = combined(object, hidden, |object, hidden| object || hidden);
    let mixed = combined(&front.dilated(soft), &whole, |near, whole| near && whole);
    // Pixels at the object's edge are mixtures.
    let inside = inverted(&inverted(object).dilated(soft));
    let pure = if inside.data.contains(&true) {
        &inside
    } else {
        object
    };
    let others = combined(pure, &mixed, |pure, mixed| !pure && !mixed);
    let colours = fill(picture, &mixed, &others, Fill::Smooth);
    let colour = |(colour, mixed): (&Pixel, &bool)| mixed.then_some(*colour);
    let colours = colours
        .pixels()
        .iter()
        .zip(&mixed.data)
        .map(colour)
        .collect();
    (whole, colours)
}

fn mean(points: &[Point]) -> Option<Point> {
    let count = points.len() as f64;
    let sum = |of: fn(&Point) -> f64| points.iter().map(of).sum::<f64>() / count;
    (!points.is_empty()).then(|| Point::new(sum(|point| point.x), sum(|point| point.y)))
}

fn farthest(points: &[Point], from: Point) -> Option<Point> {
    points
        .iter()
        .copied()
        .max_by(|a, b| a.distance(from).total_cmp(&b.distance(from)))
}
