//! The limits of `compare` and `check`, as they are typed.

use std::str::FromStr;

use crate::metrics::DifferenceLimits;

/// The limits of `compare` and `check`.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Limits")]
pub(super) struct LimitArguments {
    /// Largest difference of two samples, 0 to 255.
    #[arg(long, value_name = "LEVELS")]
    max_diff: Option<Amount<255>>,

    /// Largest mean difference of all samples, 0 to 255.
    #[arg(long, value_name = "LEVELS")]
    mean_diff: Option<Amount<255>>,

    /// Smallest peak signal-to-noise ratio.
    #[arg(long, value_name = "DECIBELS")]
    min_psnr: Option<Amount<1000>>,

    /// Smallest structural similarity; 1 means equal.
    #[arg(long, value_name = "SIMILARITY")]
    min_ssim: Option<Amount<1>>,

    /// Largest share of pixels that differ, 0 to 1.
    #[arg(long, value_name = "SHARE")]
    max_share: Option<Amount<1>>,

    /// Largest difference of two samples outside the mask or the editable area, 0 to 255.
    #[arg(long, value_name = "LEVELS")]
    outside_max_diff: Option<Amount<255>>,
}

impl LimitArguments {
    /// Returns the limits for the whole picture or, with a mask, for its inside.
    pub(super) fn limits(&self) -> DifferenceLimits {
        let number = |amount: Option<Amount<255>>| amount.map(|amount| amount.0);
        DifferenceLimits {
            max_diff: number(self.max_diff),
            mean_diff: number(self.mean_diff),
            min_psnr: self.min_psnr.map(|amount| amount.0),
            min_ssim: self.min_ssim.map(|amount| amount.0),
            max_share: self.max_share.map(|amount| amount.0),
        }
    }

    /// Returns the limit for the outside of a mask.
    pub(super) fn outside_max_diff(&self) -> Option<f64> {
        self.outside_max_diff.map(|amount| amount.0)
    }
}

/// A number from 0 to `MAX`.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Amount<const MAX: u16>(f64);

impl<const MAX: u16> FromStr for Amount<MAX> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number: Option<f64> = text.parse().ok();
        let within = number.filter(|number| (0.0..=f64::from(MAX)).contains(number));
        within
            .map(Self)
            .ok_or_else(|| format!("expected a number from 0 to {MAX}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_numbers_within_their_range() {
        let read = |text: &str| text.parse::<Amount<255>>().map(|amount| amount.0).ok();
        assert_eq!(
            ["0", "255", "1.5", "1e1"].map(read),
            [Some(0.0), Some(255.0), Some(1.5), Some(10.0)]
        );
        assert_eq!(["-1", "256", "nan", "inf", "", "3px"].map(read), [None; 6]);
    }
}
