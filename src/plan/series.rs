//! Lists of numbers, of which each has a result of its own.

use std::fmt::{self, Formatter};

use crate::error::{Error, Result};

/// The largest number.
pub(super) const MOST: f64 = 4.0;
/// Maximum number of results.
const MAX_COUNT: usize = 16;

/// Checks the numbers of the flag `name`.
///
/// # Errors
/// [`Error::Setting`] for a value outside 0 to 4, a value that occurs twice, no value, and more than 16 values.
pub(super) fn check(name: &'static str, values: &[f64]) -> Result<()> {
    let refused = |value: String, reason: String| {
        Err(Error::Setting {
            name: name.into(),
            value,
            reason,
        })
    };
    if values.is_empty() || values.len() > MAX_COUNT {
        let found = format!("{} {name}", values.len());
        return refused(found, format!("must be 1 to {MAX_COUNT}"));
    }
    for (index, value) in values.iter().enumerate() {
        if !(0.0..=MOST).contains(value) {
            return refused(value.to_string(), format!("must be 0 to {MOST}"));
        }
        if values[..index].contains(value) {
            return refused(value.to_string(), "is given twice".into());
        }
    }
    Ok(())
}

/// Writes a number with two decimals, or with as many as it has.
pub(super) fn write(value: f64, f: &mut Formatter<'_>) -> fmt::Result {
    let short = format!("{value:.2}");
    if short.parse() == Ok(value) {
        f.pad(&short)
    } else {
        f.pad(&value.to_string())
    }
}
