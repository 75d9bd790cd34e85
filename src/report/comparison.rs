//! The difference of two pictures, as a table and as JSON.

use std::fmt::Write;
use std::path::Path;

use serde::{Serialize, Serializer};

use super::Failure;
use super::messages::print_text;
use crate::error::Error;
use crate::metrics::{Comparison, Difference, Excess};

/// The result of `compare` as data.
#[derive(Debug, Serialize)]
pub struct ComparisonReport {
    /// Version of this format.
    v: u8,
    expected: String,
    actual: String,
    status: ComparisonStatus,
    #[serde(flatten)]
    numbers: Option<Numbers>,
    /// Limits that are exceeded.
    over: Vec<Excess>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Failure>,
}

/// How a comparison ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum ComparisonStatus {
    /// No limit is exceeded.
    Within,
    /// A limit is exceeded; see `over`.
    Over,
    /// The pictures could not be compared; see `error`.
    Failed,
}

impl ComparisonReport {
    /// Returns the result for two files.
    pub fn new(
        expected: &Path,
        actual: &Path,
        measured: Result<&Comparison, &Error>,
        over: &[Excess],
    ) -> Self {
        let status = match &measured {
            Err(_) => ComparisonStatus::Failed,
            Ok(_) if over.is_empty() => ComparisonStatus::Within,
            Ok(_) => ComparisonStatus::Over,
        };
        Self {
            v: 1,
            expected: expected.to_string_lossy().into_owned(),
            actual: actual.to_string_lossy().into_owned(),
            status,
            numbers: measured.ok().map(Numbers::from),
            over: over.to_vec(),
            error: measured.err().map(Failure::from),
        }
    }
}

/// The differences in each area, as data.
#[derive(Debug, Serialize)]
pub(super) struct Numbers {
    size: [usize; 2],
    all: AreaNumbers,
    #[serde(skip_serializing_if = "Option::is_none")]
    inside: Option<AreaNumbers>,
    #[serde(skip_serializing_if = "Option::is_none")]
    outside: Option<AreaNumbers>,
}

impl From<&Comparison> for Numbers {
    fn from(comparison: &Comparison) -> Self {
        Self {
            size: [comparison.size.width, comparison.size.height],
            all: AreaNumbers(comparison.all),
            inside: comparison.inside.map(AreaNumbers),
            outside: comparison.outside.map(AreaNumbers),
        }
    }
}

#[derive(Debug)]
struct AreaNumbers(Difference);

impl Serialize for AreaNumbers {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Fields {
            pixels: usize,
            differing: usize,
            share: f64,
            max_diff: f64,
            mean_diff: f64,
            /// `null` means infinity, which JSON does not have.
            psnr: Option<f64>,
            #[serde(skip_serializing_if = "Option::is_none")]
            ssim: Option<f64>,
        }
        let Difference {
            pixels,
            differing,
            max,
            mean,
            psnr,
            ssim,
        } = self.0;
        let psnr = psnr.filter(|psnr| psnr.is_finite());
        Fields {
            pixels,
            differing,
            share: self.0.share(),
            max_diff: max,
            mean_diff: mean,
            psnr,
            ssim,
        }
        .serialize(serializer)
    }
}

/// Prints the differences of each area to stdout, as a table.
///
/// # Errors
/// As [`print_text`].
pub fn print_comparison(comparison: &Comparison) -> Result<(), Error> {
    print_text(&table(comparison))
}

fn table(comparison: &Comparison) -> String {
    let mut text = format!(
        "{:<8}{:>10}{:>12}{:>9}{:>9}{:>11}{:>9}\n",
        "", "pixels", "differing", "max", "mean", "PSNR", "SSIM"
    );
    for (area, difference) in comparison.areas() {
        let [max, mean, psnr, ssim] = cells(difference);
        let share = format!("{:.3} %", 100.0 * difference.share());
        let _ = writeln!(
            text,
            "{:<8}{:>10}{share:>12}{max:>9}{mean:>9}{psnr:>11}{ssim:>9}",
            area.name(),
            difference.pixels
        );
    }
    text
}

/// Returns the largest and the mean difference, PSNR and SSIM, formatted for a table.
pub(super) fn cells(difference: &Difference) -> [String; 4] {
    let psnr = difference.psnr.map_or("-".into(), |psnr| {
        if psnr.is_finite() {
            format!("{psnr:.2} dB")
        } else {
            "inf".into()
        }
    });
    let ssim = difference
        .ssim
        .map_or("-".into(), |ssim| format!("{ssim:.5}"));
    let max = (difference.max * 1e3).round() / 1e3;
    [
        max.to_string(),
        format!("{:.4}", difference.mean),
        psnr,
        ssim,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::Size;

    #[test]
    fn each_area_is_a_row_of_the_table() {
        let all = Difference {
            pixels: 4096,
            differing: 41,
            max: 3.0,
            mean: 0.125,
            psnr: Some(51.25),
            ssim: Some(0.99),
        };
        let outside = Difference {
            pixels: 4000,
            differing: 0,
            max: 0.0,
            mean: 0.0,
            psnr: Some(f64::INFINITY),
            ssim: None,
        };
        let comparison = Comparison {
            size: Size::new(64, 64),
            all,
            inside: None,
            outside: Some(outside),
        };
        let expected = concat!(
            "            pixels   differing      max     mean       PSNR     SSIM\n",
            "all           4096     1.001 %        3   0.1250   51.25 dB  0.99000\n",
            "outside       4000     0.000 %        0   0.0000        inf        -\n",
        );
        assert_eq!(table(&comparison), expected);
    }
}
