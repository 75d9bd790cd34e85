//! What `dragnext eval` measures of an edit, behind one trait.
//!
//! A [`Metric`] is a family of [`Figure`]s that are computed together, such as DAI with its radii. It gets one [`Case`], an original with its
//! edit and its drag, and returns a [`Reading`] for each of its figures. Statistics, tables and missing edits are not its concern: they are
//! those of [`crate::eval`].
//!
//! To add a metric: implement [`Metric`] in a file of its own here, add its family to [`Family`], and construct it in `cli/eval/metrics.rs`, where the
//! weights that it needs are opened. A family whose weights are missing is reported there with the command that provides them; it never stops
//! the others.

use std::fmt::Debug;

use serde::Serialize;

use super::case::Case;
use crate::error::Result;
use crate::interrupt::Interrupt;

/// A family of figures that are computed together.
pub(crate) trait Metric: Debug {
    /// Returns the figures, in the order of their readings. They do not change.
    fn figures(&self) -> &[Figure];

    /// Measures one edit. Returns one reading for each figure.
    ///
    /// # Errors
    /// [`crate::Error::Interrupted`] and [`crate::Error::Device`] stop the evaluation, unless a device lacks memory for this case. With any other
    /// error, the readings of this case fail and the evaluation continues.
    fn measure(&mut self, case: &Case, interrupt: &Interrupt) -> Result<Vec<Reading>>;
}

/// One number of an edit, with the variant that it is computed by.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Figure {
    /// Name with its variant, such as `DAI(5)` or `MD-A`. Unique among all figures.
    pub name: String,
    /// How it is computed, as one phrase.
    pub meaning: &'static str,
    /// Which values are better.
    pub better: Better,
    /// How values of several edits are averaged.
    pub mean_over: MeanOver,
    /// SHA-256 of the weights that it depends on; `None` without weights.
    pub weights: Option<String>,
    /// Digits after the decimal point in tables.
    #[serde(skip)]
    pub digits: usize,
}

/// Which values of a figure are better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Better {
    /// High ones.
    Higher,
    /// Low ones.
    Lower,
}

impl Better {
    /// Returns a number that is larger for a worse value.
    pub(crate) fn badness(self, value: f64) -> f64 {
        match self {
            Self::Higher => -value,
            Self::Lower => value,
        }
    }
}

/// How a figure is averaged over edits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum MeanOver {
    /// The mean of each edit, then the mean over the edits.
    Edits,
    /// The mean over all samples of all edits, as variant A of the mean distance: an edit with more points counts more.
    Samples,
}

/// The value of a figure for one edit.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Reading {
    /// One number.
    Value(f64),
    /// A number for each handle or region of the drag; never empty. The edit's value is their mean.
    Samples(Vec<f64>),
    /// The figure is not defined for this case, and why: for example, no pixel lies outside the editable area. The case is left out of the
    /// figure's mean, whatever the edit looks like.
    Undefined(String),
}

impl Reading {
    /// Returns a reading of the samples; undefined without any.
    pub(crate) fn of_samples(samples: Vec<f64>, reason: &str) -> Self {
        if samples.is_empty() {
            Self::Undefined(reason.into())
        } else {
            Self::Samples(samples)
        }
    }
}

/// The families of figures, as `--metrics` names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Family {
    /// LPIPS and the IF figures that are made from it.
    Lpips,
    /// DAI of GoodDrag.
    Dai,
    /// PSNR and SSIM outside the editable area.
    Outside,
    /// Mean distance of matched features.
    Md,
    /// Similarity of CLIP embeddings.
    Clip,
    /// Scores of an external judge.
    Gscore,
}
