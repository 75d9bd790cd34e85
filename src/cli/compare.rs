//! `dragnext compare`: measures the difference of two pictures and checks it against limits.

use std::path::{Path, PathBuf};

use super::limits::LimitArguments;
use crate::error::{Error, ErrorKind, Result};
use crate::geometry::Size;
use crate::mask::{Mask, MaskError};
use crate::metrics::{self, Comparison, DifferenceLimits, Excess};
use crate::picture;
use crate::report::{self, ComparisonReport};

/// Measures the difference between two pictures.
///
/// Reads PNG (8 or 16 bits), JPEG and WebP, with alpha, and applies the EXIF orientation. Prints the largest and the mean difference of all samples (in levels of
/// 0 to 255, with fractions for 16-bit samples), the share of differing pixels, PSNR and SSIM. With a mask, also prints them inside and
/// outside the mask. Colour profiles and other metadata are not compared.
///
/// Without limits the exit status is 0. With limits it is 1 if one is exceeded. It is 2 if a picture cannot be read or the sizes differ.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n\n  dragnext compare expected.png actual.png\n  dragnext compare expected.png actual.png --max-diff 0          exact equality\n  dragnext compare expected.png actual.png --mask cat.editable.png --min-psnr 40 --outside-max-diff 0"
)]
pub(super) struct Arguments {
    /// The expected picture.
    expected: PathBuf,

    /// The actual picture.
    actual: PathBuf,

    /// A mask: a picture of the same size whose bright pixels (above 127) are inside. Limits then apply inside and outside separately.
    #[arg(long, short, value_name = "FILE")]
    mask: Option<PathBuf>,

    #[command(flatten)]
    limits: LimitArguments,

    /// Print one line of JSON. A PSNR of `null` is infinite.
    #[arg(long)]
    json: bool,
}

/// Compares the pictures, prints the result and checks the limits.
pub(super) fn run(arguments: &Arguments) -> Result<()> {
    let measured = arguments.measure();
    let excesses = measured
        .as_ref()
        .map(|comparison| arguments.excesses(comparison))
        .unwrap_or_default();
    let compared = ComparisonReport::new(
        &arguments.expected,
        &arguments.actual,
        measured.as_ref(),
        &excesses,
    );
    if arguments.json {
        report::print_json(&compared)?;
    } else if let Ok(comparison) = &measured {
        report::print_comparison(comparison)?;
    }
    measured?;
    if excesses.is_empty() {
        Ok(())
    } else {
        Err(differs(&arguments.actual, &arguments.expected, &excesses))
    }
}

impl Arguments {
    fn measure(&self) -> Result<Comparison> {
        let (expected, actual) = (
            picture::read_any(&self.expected)?.picture,
            picture::read_any(&self.actual)?.picture,
        );
        metrics::check_same_size(&self.expected, &expected, &self.actual, &actual)?;
        let mask = self
            .mask
            .as_deref()
            .map(|mask| read_mask(mask, expected.size()))
            .transpose()?;
        Ok(metrics::compare(&expected, &actual, mask.as_ref()))
    }

    fn excesses(&self, comparison: &Comparison) -> Vec<Excess> {
        let limits = self.limits.limits();
        let outside = DifferenceLimits {
            max_diff: self.limits.outside_max_diff(),
            ..DifferenceLimits::default()
        };
        comparison.excesses(&limits, &outside.over(&limits))
    }
}

fn read_mask(path: &Path, size: Size) -> Result<Mask> {
    Mask::read(path, size).map_err(|error| {
        let (kind, reason) = match error {
            MaskError::File { reason, .. } => (ErrorKind::MaskMissing, reason),
            MaskError::Decode { reason, .. } => (ErrorKind::MaskDecode, reason),
            MaskError::Size {
                found, expected, ..
            } => (
                ErrorKind::MaskSize,
                format!("the mask is {found} pixels, the pictures are {expected}"),
            ),
            other => (ErrorKind::MaskShape, other.to_string()),
        };
        Error::Image {
            path: path.to_path_buf(),
            kind,
            reason,
            hint: String::new(),
        }
    })
}

fn differs(actual: &Path, expected: &Path, excesses: &[Excess]) -> Error {
    let excesses: Vec<String> = excesses.iter().map(ToString::to_string).collect();
    let reason = format!(
        "{}: differs from `{}`: {}",
        actual.display(),
        expected.display(),
        excesses.join("; ")
    );
    Error::Finding {
        kind: ErrorKind::CompareDiffers,
        reason,
        hint: String::new(),
    }
}
