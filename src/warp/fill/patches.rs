//! Fills unknown pixels with what the known ones around them look like, patch by patch (Wexler et al. 2007).
//!
//! On each scale, from coarse to fine, two steps alternate: every patch with unknown pixels looks for the most similar known one, and every
//! unknown pixel takes the mean of what the matches of the patches around it show there. The picture's smooth trend is taken away
//! first and put back at the end.

use rayon::prelude::*;

use super::super::crop::Crop;
use super::field::{Field, Shift};
use super::level::{Level, Wide};
use super::membrane::membrane;
use super::seam::seams;
use super::shift::{best_shifts, carried, doubled_shifts};
use super::trend::Trend;
use super::vote::Votes;
use crate::geometry::Size;
use crate::mask::Mask;

/// Halving ends when no unknown pixel is farther than this from a known one.
const COARSEST_DEPTH: f32 = 3.0;
/// Halving ends before there are fewer known patches than this.
const LEAST_SOURCES: usize = 120;
/// Longest side of a scale on which translations are looked for, in pixels.
const SHIFT_SIDE: usize = 128;
/// Longest side of a scale on which matches are looked for; finer scales take the coarser one's.
const SEARCH_SIDE: usize = 600;
/// Rounds of search and vote on the coarsest scale.
const COARSEST_ROUNDS: usize = 10;
/// A pixel's vote loses this factor with every pixel between it and the known ones.
const CERTAINTY: f32 = 1.3;

type Pixel = [f32; 3];

/// Returns the pixels with the unknown ones filled; by [`membrane`] where no patch is known.
pub(super) fn patches(size: Size, unknown: &[bool], pixels: &[Pixel]) -> Vec<Pixel> {
    let smooth = interpolated(size, unknown, pixels);
    let trend = Trend::of(size, unknown, pixels);
    let flat = (smooth.iter().enumerate())
        .map(|(index, pixel)| {
            let trend = trend.at(index);
            [
                pixel[0] - trend[0],
                pixel[1] - trend[1],
                pixel[2] - trend[2],
                0.0,
            ]
        })
        .collect();
    let finest = Level::new(size, flat, unknown.to_vec());
    if finest.sources() == 0 || finest.targets.is_empty() {
        return smooth;
    }
    let mut levels = vec![finest];
    loop {
        let last = &levels[levels.len() - 1];
        let halved = last.halved();
        if depth(last) <= COARSEST_DEPTH || halved.sources() < LEAST_SOURCES {
            break;
        }
        levels.push(halved);
    }
    let Some((level, field)) = synthesise(levels) else {
        return smooth;
    };
    let correction = seams(&level, &field, &certainty(&level));
    let (low, high) = range(unknown, pixels);
    let mut result = pixels.to_vec();
    for index in level.holes() {
        let trend = trend.at(index);
        result[index] = std::array::from_fn(|channel| {
            let value = level.pixels[index][channel] + correction[index][channel];
            (value + trend[channel]).clamp(low, high)
        });
    }
    result
}

/// Returns the range of values that a fill may have: 0 to 1, and what known pixels have beyond.
fn range(unknown: &[bool], pixels: &[Pixel]) -> (f32, f32) {
    let known = pixels.iter().zip(unknown).filter(|(_, unknown)| !**unknown);
    known
        .flat_map(|(pixel, _)| pixel)
        .fold((0.0, 1.0), |(low, high), value| {
            (value.min(low), value.max(high))
        })
}

fn depth(level: &Level) -> f32 {
    distances(level).into_iter().fold(0.0, f32::max)
}

/// Returns the distance of every unknown pixel to the known ones.
fn distances(level: &Level) -> Vec<f32> {
    let Size { width, height } = level.size;
    Mask {
        width,
        height,
        data: level.unknown.clone(),
    }
    .depth()
    .0
}

/// Fills the levels from the last, the coarsest, to the first, and returns the first with the matches that its pixels come from.
fn synthesise(levels: Vec<Level>) -> Option<(Level, Field)> {
    let with_shifts = levels.iter().position(|level| level.side() <= SHIFT_SIDE);
    let mut shifts: Vec<Shift> = Vec::new();
    let mut filled: Option<(Level, Field)> = None;
    for (number, mut level) in levels.into_iter().enumerate().rev() {
        let seed = (number as u64 + 1) << 48;
        let mut field;
        let rounds;
        if let Some((coarser, coarse_field)) = &filled {
            field = coarse_field.doubled(coarser, &level);
            field.measure(&level);
            let certainty = certainty(&level);
            vote(&mut level, &field, &certainty, 0.0);
            shifts = doubled_shifts(&level, &shifts);
            rounds = rounds_for(level.side());
        } else {
            field = Field::random(&level, seed);
            rounds = COARSEST_ROUNDS;
        }
        refine(&mut level, &mut field, &shifts, rounds, seed);
        if with_shifts == Some(number) {
            shifts = best_shifts(&level);
            let mut other = (level.clone(), field.clone());
            let carried = carried(&level, &shifts);
            put(&mut other.0, carried);
            refine(&mut other.0, &mut other.1, &shifts, rounds_for(0), seed + 1);
            if other.1.energy(&other.0) < field.energy(&level) {
                (level, field) = other;
            }
        }
        filled = Some((level, field));
    }
    filled
}

/// Returns the rounds of search and vote on a scale that starts from a coarser one's matches.
fn rounds_for(side: usize) -> usize {
    match side {
        ..=300 => 4,
        301..=SEARCH_SIDE => 2,
        _ => 0,
    }
}

fn certainty(level: &Level) -> Vec<f32> {
    distances(level)
        .into_iter()
        .map(|distance| CERTAINTY.powf(-distance))
        .collect()
}

fn put(level: &mut Level, pixels: Vec<(usize, Wide)>) {
    for (index, pixel) in pixels {
        level.pixels[index] = pixel;
    }
}

/// Gives the unknown pixels the colours that the matches show.
fn vote(level: &mut Level, field: &Field, certainty: &[f32], sharpness: f32) {
    let votes = Votes {
        level,
        field,
        certainty,
        sharpness,
    };
    let holes = level.holes().into_par_iter();
    let colours = holes.map(|index| (index, votes.colour(index))).collect();
    put(level, colours);
}

/// Alternates search and vote. The field's distances fit the level's pixels afterwards.
fn refine(level: &mut Level, field: &mut Field, shifts: &[Shift], rounds: usize, seed: u64) {
    let certainty = certainty(level);
    field.measure(level);
    for round in 0..rounds {
        for (number, step) in [1, 4, 1].into_iter().enumerate() {
            let seed = seed + (round * 16 + number) as u64 * 0x1_0000_0000;
            field.improve(level, shifts, step, seed);
        }
        let scale = field.quantile(level, 0.75).max(1e-7);
        vote(level, field, &certainty, 0.5 / scale * (1.0 + round as f32));
        field.measure(level);
    }
}

/// Interpolates as [`membrane`] does, in the part of the picture around the unknown pixels.
fn interpolated(size: Size, unknown: &[bool], pixels: &[Pixel]) -> Vec<Pixel> {
    let mut result = pixels.to_vec();
    let mask = Mask {
        width: size.width,
        height: size.height,
        data: unknown.to_vec(),
    };
    if let Some(crop) = Crop::around(&mask, 1) {
        let values = membrane(crop.size(), &crop.cut(unknown), &crop.cut(pixels));
        for (index, value) in crop.indices().zip(values) {
            result[index] = value;
        }
    }
    result
}
