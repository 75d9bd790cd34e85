//! PSNR and SSIM outside the editable area: what an edit changes that it should not.

use super::case::Case;
use super::metric::{Better, Figure, MeanOver, Metric, Reading};
use super::{Difference, compare};
use crate::error::Result;
use crate::interrupt::Interrupt;

/// Largest PSNR in decibels. Equal pixels have an infinite one, and so would the mean of many edits.
const MOST_DECIBELS: f64 = 100.0;
/// Why there is nothing to measure.
pub(super) const EVERYTHING: &str = "the editable area is the whole picture";

/// Why there is no similarity where pixels lie outside.
const NO_WINDOW: &str =
    "no window of SSIM (11 x 11 pixels) lies in the picture and outside the editable area";

/// PSNR and SSIM of the pixels outside the editable area.
#[derive(Debug)]
pub(crate) struct Outside {
    figures: [Figure; 2],
}

impl Outside {
    /// Creates the metric.
    pub(crate) fn new() -> Self {
        let figure = |name: &str, meaning, digits| Figure {
            name: name.into(),
            meaning,
            better: Better::Higher,
            mean_over: MeanOver::Edits,
            weights: None,
            digits,
        };
        Self {
            figures: [
                figure(
                    "PSNR outside",
                    "peak signal-to-noise ratio outside the editable area, in decibels, at most 100",
                    2,
                ),
                figure(
                    "SSIM outside",
                    "structural similarity outside the editable area, over windows that lie in the picture and outside the area",
                    4,
                ),
            ],
        }
    }
}

impl Metric for Outside {
    fn figures(&self) -> &[Figure] {
        &self.figures
    }

    fn measure(&mut self, case: &Case, _: &Interrupt) -> Result<Vec<Reading>> {
        let difference = case
            .areas
            .editable
            .as_ref()
            .and_then(|mask| compare(case.original, case.edited, Some(mask)).outside);
        let Some(Difference {
            psnr: Some(psnr),
            ssim,
            ..
        }) = difference
        else {
            return Ok(vec![Reading::Undefined(EVERYTHING.into()); 2]);
        };
        let no_window = || Reading::Undefined(NO_WINDOW.into());
        Ok(vec![
            Reading::Value(psnr.min(MOST_DECIBELS)),
            ssim.map_or_else(no_window, Reading::Value),
        ])
    }
}
