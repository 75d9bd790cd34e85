//! Limits on the difference between a result and the expected picture.

use std::path::Path;

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::error::{Error, ErrorKind, Result};
use crate::metrics::DifferenceLimits;

/// A longer file is rejected unread.
const MAX_BYTES: u64 = 64 << 10;

/// Limits of a golden edit. The command line takes precedence over the case's own file, and that over [`Thresholds::DEFAULT`].
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Thresholds {
    /// Inside the editable area.
    pub inside: DifferenceLimits,
    /// Largest difference of two samples outside the editable area, 0 to 255.
    pub outside_max_diff: Option<f64>,
}

impl Thresholds {
    /// Limits that hold across processors. Other vector instructions round sums differently, and the iterations of the drag amplify that.
    ///
    /// Measured in the editable areas of ten of the examples with the model `demo`. Kernels with another order of summation gave PSNRs of at least
    /// 45.2 dB, SSIMs of at least 0.9986 and mean differences of at most 0.17, with single samples 58 levels apart. Different edits (another
    /// seed, another number of iterations, 60 LoRA steps instead of 40) gave at most 35.3 dB and 0.990, and at least 0.75.
    pub(crate) const DEFAULT: Self = Self {
        inside: DifferenceLimits {
            max_diff: None,
            mean_diff: Some(0.5),
            min_psnr: Some(40.0),
            min_ssim: Some(0.995),
            max_share: None,
        },
        outside_max_diff: Some(0.0),
    };

    /// Reads a case's own limits.
    ///
    /// # Errors
    /// [`Error::Given`] `check.limits`.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let refuse = |reason: String, hint: &str| Error::Given {
            path: path.to_path_buf(),
            kind: ErrorKind::CheckLimits,
            reason,
            hint: hint.to_owned(),
        };
        let failed = |error: std::io::Error| refuse(error.to_string(), "");
        if std::fs::metadata(path).map_err(failed)?.len() > MAX_BYTES {
            return Err(refuse("is too long for a file of limits".into(), ""));
        }
        let text = std::fs::read(path).map_err(failed)?;
        let hint = "it contains numbers for any of max_diff, mean_diff, min_psnr, min_ssim, max_share and outside_max_diff";
        // serde would read an array as the values in the order of the fields.
        if text
            .trim_ascii_start()
            .first()
            .is_some_and(|first| *first != b'{')
        {
            return Err(refuse("is not an object".into(), hint));
        }
        let file: File =
            serde_json::from_slice(&text).map_err(|error| refuse(error.to_string(), hint))?;
        let ranges = [
            ("max_diff", file.max_diff, 255.0),
            ("mean_diff", file.mean_diff, 255.0),
            ("min_psnr", file.min_psnr, 1000.0),
            ("min_ssim", file.min_ssim, 1.0),
            ("max_share", file.max_share, 1.0),
            ("outside_max_diff", file.outside_max_diff, 255.0),
        ];
        for (name, value, most) in ranges {
            if let Some(value) = value.filter(|value| !(0.0..=most).contains(value)) {
                return Err(refuse(
                    format!("`{name}` is {value}; it must be 0 to {most}"),
                    "",
                ));
            }
        }
        let File {
            max_diff,
            mean_diff,
            min_psnr,
            min_ssim,
            max_share,
            outside_max_diff,
            ..
        } = file;
        Ok(Self {
            inside: DifferenceLimits {
                max_diff,
                mean_diff,
                min_psnr,
                min_ssim,
                max_share,
            },
            outside_max_diff,
        })
    }

    /// Returns these limits, with those of `other` where there are none.
    #[must_use]
    pub(crate) fn over(&self, other: &Self) -> Self {
        Self {
            inside: self.inside.over(&other.inside),
            outside_max_diff: self.outside_max_diff.or(other.outside_max_diff),
        }
    }

    /// Returns the limits outside the editable area.
    pub(crate) fn outside(&self) -> DifferenceLimits {
        DifferenceLimits {
            max_diff: self.outside_max_diff,
            ..DifferenceLimits::default()
        }
    }
}

/// A case's `check.json`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    max_diff: Option<f64>,
    mean_diff: Option<f64>,
    min_psnr: Option<f64>,
    min_ssim: Option<f64>,
    max_share: Option<f64>,
    outside_max_diff: Option<f64>,
    /// Ignored.
    #[serde(rename = "comment")]
    _comment: Option<IgnoredAny>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Thresholds> {
        let folder = tempfile::tempdir().expect("a folder for the limits");
        let path = folder.path().join("check.json");
        std::fs::write(&path, text).expect("limits");
        Thresholds::read(&path)
    }

    #[test]
    fn the_limits_of_a_case_take_precedence_over_the_defaults() {
        let own = read(r#"{"comment": "its edge moves", "min_psnr": 30, "outside_max_diff": 2}"#)
            .expect("they are right");
        let all = own.over(&Thresholds::DEFAULT);
        assert_eq!(
            (all.inside.min_psnr, all.inside.min_ssim),
            (Some(30.0), Thresholds::DEFAULT.inside.min_ssim)
        );
        assert_eq!(all.outside().max_diff, Some(2.0));
        assert_eq!(read("{}").expect("no limits"), Thresholds::default());
    }

    #[test]
    fn an_invalid_limit_is_rejected() {
        for text in [
            "",
            "[]",
            r#"{"psnr": 30}"#,
            r#"{"min_psnr": "30"}"#,
            r#"{"min_ssim": 1.5}"#,
            r#"{"max_diff": -1}"#,
        ] {
            let error = read(text).expect_err(text);
            assert_eq!(
                (error.kind(), error.exit_status()),
                (ErrorKind::CheckLimits, 2),
                "{text}"
            );
        }
        let message = read("{\n  \"psnr\": 30 }")
            .expect_err("there is no such key")
            .to_string();
        assert!(
            message.contains("unknown field `psnr`") && message.contains("line 2"),
            "{message}"
        );
    }
}
