//! Limits on the difference of two pictures.

use std::fmt;

use serde::Serialize;

use super::{Comparison, Difference};

/// Where a difference was measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Area {
    /// The whole picture.
    All,
    /// Inside the mask.
    Inside,
    /// Outside the mask.
    Outside,
}

impl Area {
    /// Returns the name in records and tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Inside => "inside",
            Self::Outside => "outside",
        }
    }
}

/// Limits on the difference in one area. `None` permits any value.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct DifferenceLimits {
    /// Largest difference of two samples, 0 to 255.
    pub max_diff: Option<f64>,
    /// Mean difference of all samples, 0 to 255.
    pub mean_diff: Option<f64>,
    /// Smallest peak signal-to-noise ratio, in decibels.
    pub min_psnr: Option<f64>,
    /// Smallest structural similarity. Ignored in an area that has none.
    pub min_ssim: Option<f64>,
    /// Largest share of pixels that differ, 0 to 1.
    pub max_share: Option<f64>,
}

impl DifferenceLimits {
    /// Permits no difference.
    pub const EQUAL: Self = Self {
        max_diff: Some(0.0),
        mean_diff: None,
        min_psnr: None,
        min_ssim: None,
        max_share: None,
    };

    /// Returns these limits, with those of `other` where there are none.
    #[must_use]
    pub fn over(&self, other: &Self) -> Self {
        Self {
            max_diff: self.max_diff.or(other.max_diff),
            mean_diff: self.mean_diff.or(other.mean_diff),
            min_psnr: self.min_psnr.or(other.min_psnr),
            min_ssim: self.min_ssim.or(other.min_ssim),
            max_share: self.max_share.or(other.max_share),
        }
    }

    /// Returns the limits that `difference` exceeds.
    pub fn exceeded_by(&self, area: Area, difference: &Difference) -> Vec<Excess> {
        let above = [
            ("max_diff", Some(difference.max), self.max_diff),
            ("mean_diff", Some(difference.mean), self.mean_diff),
            ("share", Some(difference.share()), self.max_share),
        ];
        let below = [
            ("psnr", difference.psnr, self.min_psnr),
            ("ssim", difference.ssim, self.min_ssim),
        ];
        let excess = |(metric, value, limit): (&'static str, Option<f64>, Option<f64>),
                      is_over: fn(f64, f64) -> bool| {
            let (value, limit) = (value?, limit?);
            is_over(value, limit).then_some(Excess {
                area,
                metric,
                value,
                limit,
            })
        };
        let above = above
            .into_iter()
            .filter_map(|one| excess(one, |value, limit| value > limit));
        above
            .chain(
                below
                    .into_iter()
                    .filter_map(|one| excess(one, |value, limit| value < limit)),
            )
            .collect()
    }
}

impl Comparison {
    /// Returns the exceeded limits: `limits` apply inside the mask, or to the whole picture without one; `outside` applies outside the mask.
    pub fn excesses(&self, limits: &DifferenceLimits, outside: &DifferenceLimits) -> Vec<Excess> {
        if self.inside.is_none() && self.outside.is_none() {
            return limits.exceeded_by(Area::All, &self.all);
        }
        let excesses = |area, limits: &DifferenceLimits, difference: &Option<Difference>| {
            difference
                .as_ref()
                .map(|difference| limits.exceeded_by(area, difference))
                .unwrap_or_default()
        };
        [
            excesses(Area::Inside, limits, &self.inside),
            excesses(Area::Outside, outside, &self.outside),
        ]
        .concat()
    }
}

/// A limit that is exceeded.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Excess {
    /// Where it was measured.
    pub area: Area,
    /// `max_diff`, `mean_diff`, `psnr`, `ssim` or `share`.
    pub metric: &'static str,
    /// The measured value.
    pub value: f64,
    /// The limit.
    pub limit: f64,
}

impl fmt::Display for Excess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, unit, is_least) = match self.metric {
            "max_diff" => ("largest difference", "", false),
            "mean_diff" => ("mean difference", "", false),
            "psnr" => ("PSNR", " dB", true),
            "ssim" => ("SSIM", "", true),
            _ => ("share of differing pixels", "", false),
        };
        match self.area {
            Area::All => {}
            area => write!(f, "{} the area: ", area.name())?,
        }
        let side = if is_least { "below" } else { "above" };
        write!(
            f,
            "{name} {}{unit} is {side} {}{unit}",
            rounded(self.value),
            rounded(self.limit)
        )
    }
}

/// Rounds to the digits that are worth printing.
fn rounded(value: f64) -> f64 {
    let digits = if value.abs() < 1.0 { 1e5 } else { 1e3 };
    (value * digits).round() / digits
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::Size;

    const DIFFERENCE: Difference = Difference {
        pixels: 100,
        differing: 5,
        max: 9.0,
        mean: 0.25,
        psnr: Some(40.0),
        ssim: Some(0.98),
    };

    #[test]
    fn a_limit_may_be_reached_but_not_exceeded() {
        let reached = DifferenceLimits {
            max_diff: Some(9.0),
            mean_diff: Some(0.25),
            min_psnr: Some(40.0),
            min_ssim: Some(0.98),
            max_share: Some(0.05),
        };
        assert_eq!(reached.exceeded_by(Area::All, &DIFFERENCE), []);
        let exceeded = DifferenceLimits {
            max_diff: Some(8.9),
            mean_diff: Some(0.24),
            min_psnr: Some(40.1),
            min_ssim: Some(0.981),
            max_share: Some(0.049),
        };
        let messages: Vec<String> = exceeded
            .exceeded_by(Area::Inside, &DIFFERENCE)
            .iter()
            .map(ToString::to_string)
            .collect();
        let expected = [
            "inside the area: largest difference 9 is above 8.9",
            "inside the area: mean difference 0.25 is above 0.24",
            "inside the area: share of differing pixels 0.05 is above 0.049",
            "inside the area: PSNR 40 dB is below 40.1 dB",
            "inside the area: SSIM 0.98 is below 0.981",
        ];
        assert_eq!(messages, expected);
    }

    #[test]
    fn no_limits_permit_any_difference() {
        assert_eq!(
            DifferenceLimits::default().exceeded_by(Area::All, &DIFFERENCE),
            []
        );
        let none = Difference {
            psnr: None,
            ssim: None,
            ..DIFFERENCE
        };
        let limits = DifferenceLimits {
            min_psnr: Some(99.0),
            min_ssim: Some(1.0),
            ..DifferenceLimits::default()
        };
        assert_eq!(
            limits.exceeded_by(Area::All, &none),
            [],
            "missing values are not judged"
        );
    }

    #[test]
    fn each_side_of_a_mask_has_its_own_limits() {
        let size = Size::new(10, 10);
        let (inside, outside) = (
            Some(DIFFERENCE),
            Some(Difference {
                max: 1.0,
                ..DIFFERENCE
            }),
        );
        let masked = Comparison {
            size,
            all: DIFFERENCE,
            inside,
            outside,
        };
        let limits = DifferenceLimits {
            max_diff: Some(9.0),
            ..DifferenceLimits::default()
        };
        let excesses = masked.excesses(&limits, &DifferenceLimits::EQUAL);
        assert_eq!(
            excesses
                .iter()
                .map(|excess| (excess.area, excess.value))
                .collect::<Vec<_>>(),
            [(Area::Outside, 1.0)]
        );
        let plain = Comparison {
            inside: None,
            outside: None,
            ..masked
        };
        assert_eq!(
            plain.excesses(&DifferenceLimits::EQUAL, &DifferenceLimits::default())[0].area,
            Area::All
        );
    }
}
