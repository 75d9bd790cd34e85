//! How far a drag is carried out: several results of one drag show it partly done, done, and going on beyond its target.

use serde::{Deserialize, Serialize};

use super::series::{self, MOST};
use crate::error::Result;

/// How far a drag is carried out, as a multiple of its whole motion ([`Motion::carried_out`](crate::region::Motion::carried_out)).
///
/// The amounts of a series share the window that the network sees and the editable area, those of the largest amount. So they share
/// everything that does not depend on the drag, and an amount gives other pixels in another series.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Amount {
    value: f64,
    largest: f64,
}

impl Amount {
    /// The drag as its file has it.
    pub const WHOLE: Self = Self {
        value: 1.0,
        largest: 1.0,
    };

    /// Returns the amounts of a series, in the order of `values`.
    ///
    /// # Errors
    /// [`crate::Error::Setting`] for a value outside 0 to 4, a value that occurs twice, no value, and more than 16 values.
    pub fn series(values: &[f64]) -> Result<Vec<Self>> {
        series::check("amounts", values)?;
        let largest = values.iter().copied().fold(0.0, f64::max);
        let amount = |value: &f64| Self {
            // Adding zero turns -0.0 into 0.0.
            value: value + 0.0,
            largest,
        };
        Ok(values.iter().map(amount).collect())
    }

    /// Returns the multiple of the whole motion: 0 leaves the picture as it is, 1 is the whole drag.
    pub const fn value(self) -> f64 {
        self.value
    }

    /// Returns the largest amount of the series.
    pub const fn largest(self) -> f64 {
        self.largest
    }

    /// Returns whether this is the drag as its file has it, outside any series that goes on beyond it.
    pub fn is_whole(&self) -> bool {
        *self == Self::WHOLE
    }

    /// Returns whether both numbers are within their bounds, which those of a file may not be.
    pub fn is_valid(self) -> bool {
        (0.0..=MOST).contains(&self.largest) && (0.0..=self.largest).contains(&self.value)
    }
}

/// Writes the multiple with two decimals, or with as many as it has.
impl std::fmt::Display for Amount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        series::write(self.value, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_keeps_its_order_and_knows_its_largest_amount() {
        let amounts = Amount::series(&[1.5, 0.0, 0.125, -0.0 + 1.0]).expect("within bounds");
        let written: Vec<String> = amounts.iter().map(Amount::to_string).collect();
        assert_eq!(written, ["1.50", "0.00", "0.125", "1.00"]);
        assert!(
            amounts
                .iter()
                .all(|amount| amount.largest() == 1.5 && amount.is_valid())
        );
        assert!(Amount::series(&[0.5, 1.0]).is_ok_and(|amounts| amounts[1].is_whole()));
        assert!(!amounts[3].is_whole(), "its series goes on beyond it");
    }

    #[test]
    fn what_is_no_series_is_refused_by_name() {
        for (values, expected) in [
            (&[][..], "amounts: `0 amounts` must be 1 to 16"),
            (&[0.5; 17], "amounts: `17 amounts` must be 1 to 16"),
            (&[0.0, -0.5], "amounts: `-0.5` must be 0 to 4"),
            (&[4.5], "amounts: `4.5` must be 0 to 4"),
            (&[1.0, f64::NAN], "amounts: `NaN` must be 0 to 4"),
            (&[f64::INFINITY], "amounts: `inf` must be 0 to 4"),
            (&[0.5, 1.0, 0.5], "amounts: `0.5` is given twice"),
            (&[0.0, -0.0], "amounts: `-0` is given twice"),
        ] {
            let error = Amount::series(values).expect_err("it is no series");
            assert_eq!(error.to_string(), expected);
        }
    }
}
