//! How much difference is too much, as it is typed.

use std::str::FromStr;

use crate::metrics::Limits;

/// The limits of `compare` and `check`.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Limits")]
pub(super) struct LimitArguments {
    /// Largest difference of two samples, 0 to 255.
    #[arg(long, value_name = "LEVELS")]
    max_diff: Option<Amount<255>>,

    /// Mean difference of all samples, 0 to 255.
    #[arg(long, value_name = "LEVELS")]
    mean_diff: Option<Amount<255>>,

    /// Peak signal-to-noise ratio, at least.
    #[arg(long, value_name = "DECIBELS")]
    min_psnr: Option<Amount<1000>>,

    /// Structural similarity, at least; 1 is the same.
    #[arg(long, value_name = "SIMILARITY")]
    min_ssim: Option<Amount<1>>,

    /// Share of the pixels that differ at all, 0 to 1.
    #[arg(long, value_name = "SHARE")]
    max_share: Option<Amount<1>>,

    /// Largest difference of two samples outside the area (the mask, or what may be edited), 0 to 255.
    #[arg(long, value_name = "LEVELS")]
    outside_max_diff: Option<Amount<255>>,
}

impl LimitArguments {
    /// The limits without a mask, and inside of one.
    pub(super) fn limits(&self) -> Limits {
        let number = |amount: Option<Amount<255>>| amount.map(|amount| amount.0);
        Limits {
            max_diff: number(self.max_diff),
            mean_diff: number(self.mean_diff),
            min_psnr: self.min_psnr.map(|amount| amount.0),
            min_ssim: self.min_ssim.map(|amount| amount.0),
            max_share: self.max_share.map(|amount| amount.0),
        }
    }

    /// The one that is only for outside of a mask.
    pub(super) fn outside_max_diff(&self) -> Option<f64> {
        self.outside_max_diff.map(|amount| amount.0)
    }
}

/// A number from 0 to `MOST`.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Amount<const MOST: u16>(f64);

impl<const MOST: u16> FromStr for Amount<MOST> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number: Option<f64> = text.parse().ok();
        let within = number.filter(|number| (0.0..=f64::from(MOST)).contains(number));
        within
            .map(Self)
            .ok_or_else(|| format!("expected a number from 0 to {MOST}"))
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
