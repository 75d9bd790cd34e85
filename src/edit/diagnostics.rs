//! Pictures that show how a result came about: what the warp did, and what the network contributed to it.

use rayon::prelude::*;

use super::Canvas;
use crate::geometry::{Frame, Point, Size, Window};
use crate::picture::{Picture, Raster};
use crate::pipeline::Outcome;
use crate::plan::Plan;
use crate::warp::{Warped, agreement};

/// Names of the files, in the order in which they are written.
pub(crate) const DIAGNOSTICS: [&str; 4] = [WARPED, VACATED, AGREEMENT, CONTRIBUTION];

const WARPED: &str = "warped.png";
const VACATED: &str = "vacated.png";
const AGREEMENT: &str = "agreement.png";
const CONTRIBUTION: &str = "contribution.png";

/// Grey of no difference, and levels that one level of difference is shown as.
const NO_DIFFERENCE: f32 = 128.0;
const ENLARGED: f32 = 4.0;

impl Canvas {
    /// Returns the pictures of an edit with their names. Without a warped picture there are none; without a reconstruction of it, there is no
    /// agreement.
    pub(super) fn diagnostics(
        &self,
        picture: &Picture,
        plan: &Plan,
        outcome: Option<&Outcome>,
        edited: &Picture,
    ) -> Vec<(&'static str, Picture)> {
        let (Some(warped), Some(outcome)) = (&self.warped, outcome) else {
            return Vec::new();
        };
        let shown = match &self.transparency {
            None => warped.picture.clone(),
            Some(transparency) => transparency.of_warped(picture, &warped.picture),
        };
        let mut pictures = vec![(WARPED, shown.clone()), (VACATED, vacated(warped))];
        if let Some(seen) = &outcome.reconstruction {
            let agreement = agreement(&outcome.picture, seen, plan.frame.padded);
            pictures.push((AGREEMENT, shown_agreement(&agreement, &plan.frame)));
        }
        pictures.push((CONTRIBUTION, contribution(edited, &shown, plan)));
        pictures
    }
}

/// Returns the share of each pixel that was filled in: black for none, white for all.
fn vacated(warped: &Warped) -> Picture {
    grey(warped.picture.size(), |point| warped.new_at(point))
}

/// Returns the agreement at the picture's size: white where the result carries all detail of the warped picture. Outside the window, where
/// the picture stays as it is, it is white.
fn shown_agreement(agreement: &Raster, frame: &Frame) -> Picture {
    let Window { left, top, size } = frame.window;
    let (left, top) = (left as f64, top as f64);
    grey(frame.source, |point| {
        let is_seen = (left..left + size.width as f64).contains(&point.x)
            && (top..top + size.height as f64).contains(&point.y);
        if is_seen {
            agreement.bilinear(frame.to_working(point))[0]
        } else {
            1.0
        }
    })
}

/// Returns a grey picture of a share, 0 to 1, at each pixel centre.
fn grey(size: Size, share: impl Fn(Point) -> f32 + Sync) -> Picture {
    let samples = (0..size.area()).into_par_iter().map(|index| {
        let (x, y) = (index % size.width, index / size.width);
        let share = share(Point::new(x as f64 + 0.5, y as f64 + 0.5));
        (share * 255.0).round() as u8
    });
    Picture::from_grey(size, samples.collect())
}

/// Returns the result less the warped picture, four times enlarged on a grey of 128; grey outside the editable area.
fn contribution(edited: &Picture, warped: &Picture, plan: &Plan) -> Picture {
    let size = edited.size();
    let row = Size::new(size.width, 1);
    // Row by row, because rasters of the whole picture may not fit into memory.
    let rows = (0..size.height).into_par_iter().flat_map_iter(|top| {
        let window = Window {
            left: 0,
            top,
            size: row,
        };
        let (edited, warped) = (edited.raster(window), warped.raster(window));
        let pairs = edited.pixels().iter().zip(warped.pixels());
        let levels = pairs.enumerate().flat_map(|(x, (edited, warped))| {
            let editable = plan.editable_source.as_ref();
            let may_change = editable.is_none_or(|mask| mask.data[top * size.width + x]);
            std::array::from_fn::<u8, 3, _>(|channel| {
                let difference = if may_change {
                    255.0 * (edited[channel] - warped[channel])
                } else {
                    0.0
                };
                (NO_DIFFERENCE + ENLARGED * difference).round() as u8
            })
        });
        levels.collect::<Vec<u8>>()
    });
    Picture::from_rgb(size, rows.collect())
}
