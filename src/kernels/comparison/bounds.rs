//! How far a result is from the expected one, and how far it may be.

use crate::kernels::Format;

/// What rounds a result, besides its sums in f32.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precision {
    /// Nothing: values are copied or counted.
    Exact,
    /// The result, to its format.
    Rounded,
    /// The same; and a device that multiplies in TensorFloat-32 may round on the way.
    Product,
    /// A sum of products, of which a device may round each.
    Products,
    /// Probabilities are stored in the format between two products.
    Attention,
    /// Probabilities and their gradients are stored in the format, and the gradients are differences of larger numbers.
    AttentionBackward,
}

/// The largest error of sums in f32.
const OF_SUMS: f64 = 2e-5;

/// Returns four times the unit roundoff of a format with 16 bits; the bound of sums in f32.
fn base(format: Format) -> f64 {
    match format {
        Format::F32 => OF_SUMS,
        Format::F16 => 2e-3,
        Format::Bf16 => 1.6e-2,
    }
}

/// The largest relative error of a value, and the largest distance of the factor from 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Bounds {
    pub(super) value: f64,
    pub(super) factor: f64,
}

impl Precision {
    /// Returns the bounds of a result that is stored in `format`. `rounds_factors` says whether the device rounds the factors of products
    /// of f32 to TensorFloat-32, which has the precision of f16.
    pub(super) fn bounds(self, format: Format, rounds_factors: bool) -> Bounds {
        let of_products = match format {
            Format::F32 if rounds_factors => Format::F16,
            format => format,
        };
        let (format, times) = match self {
            Self::Exact => {
                return Bounds {
                    value: 0.0,
                    factor: 0.0,
                };
            }
            Self::Rounded => (format, 1.0),
            Self::Product => (of_products, 1.0),
            Self::Products | Self::Attention => (of_products, 2.0),
            Self::AttentionBackward => (of_products, 4.0),
        };
        Bounds {
            value: times * base(format),
            factor: base(format),
        }
    }
}

/// How far a result is from the expected one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Deviation {
    /// The largest difference of a value, relative to the value plus the root mean square of all.
    value: f64,
    /// The distance of the factor between both from 1.
    factor: f64,
}

impl Deviation {
    /// Compares a result with what is expected of its first values. A result with fewer values, or with one that is not finite, is infinitely far.
    pub(super) fn between(got: &[f32], expected: &[f32]) -> Self {
        let infinite = Self {
            value: f64::INFINITY,
            factor: f64::INFINITY,
        };
        if got.len() < expected.len() {
            return infinite;
        }
        let got = &got[..expected.len()];
        let pairs = || {
            got.iter()
                .zip(expected)
                .map(|(got, expected)| (f64::from(*got), f64::from(*expected)))
        };
        if !pairs().all(|(got, _)| got.is_finite()) {
            return infinite;
        }
        let squares: f64 = pairs().map(|(_, expected)| expected * expected).sum();
        if squares == 0.0 {
            let is_zero = pairs().all(|(got, _)| got == 0.0);
            return if is_zero {
                Self {
                    value: 0.0,
                    factor: 0.0,
                }
            } else {
                infinite
            };
        }
        let mean = (squares / expected.len() as f64).sqrt();
        let value = pairs().fold(0.0_f64, |most, (got, expected)| {
            most.max((got - expected).abs() / (expected.abs() + mean))
        });
        let product: f64 = pairs().map(|(got, expected)| got * expected).sum();
        Self {
            value,
            factor: (product / squares - 1.0).abs(),
        }
    }

    /// Returns the larger share of its bound; 0 where both bounds are 0 and nothing differs.
    pub(super) fn share_of(self, bounds: Bounds) -> f64 {
        let share = |found: f64, bound: f64| if found == 0.0 { 0.0 } else { found / bound };
        share(self.value, bounds.value).max(share(self.factor, bounds.factor))
    }

    /// Returns the error that exceeds its bound, with the bound.
    pub(super) fn beyond(self, bounds: Bounds) -> Option<(f64, f64)> {
        let [of_values, of_factor] = [(self.value, bounds.value), (self.factor, bounds.factor)];
        let exceeds = |(found, bound): &(f64, f64)| found > bound;
        Some(of_values)
            .filter(exceeds)
            .or(Some(of_factor).filter(exceeds))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_relative_to_values_and_their_mean() {
        let expected = [3.0_f32, -4.0, 0.0, 0.0];
        let equal = Deviation::between(&expected, &expected);
        assert_eq!((equal.value, equal.factor), (0.0, 0.0));
        // The root mean square is 2.5.
        let one = Deviation::between(&[3.0, -4.0, 0.25, 0.0], &expected);
        assert!((one.value - 0.1).abs() < 1e-12 && one.factor == 0.0);
        let longer = Deviation::between(&[3.0, -4.0, 0.0, 0.0, 7.0], &expected);
        assert_eq!(longer, equal, "only the first values are compared");
        for wrong in [&[3.0, f32::NAN, 0.0, 0.0][..], &[3.0, -4.0]] {
            assert_eq!(Deviation::between(wrong, &expected).value, f64::INFINITY);
        }
        assert_eq!(
            Deviation::between(&[0.0, 1e-30], &[0.0; 2]).value,
            f64::INFINITY
        );
    }

    #[test]
    fn a_common_factor_exceeds_its_bound_where_single_values_do_not() {
        let expected: Vec<f32> = (0..100).map(|i| (i % 7) as f32 - 3.0).collect();
        let scaled: Vec<f32> = expected.iter().map(|x| 1.03 * x).collect();
        let bounds = Precision::AttentionBackward.bounds(Format::Bf16, false);
        let found = Deviation::between(&scaled, &expected);
        assert!(found.value <= bounds.value);
        let (error, bound) = found.beyond(bounds).expect("3 percent are too much");
        assert!((error - 0.03).abs() < 1e-6 && bound == bounds.factor);
    }

    #[test]
    fn products_of_f32_have_the_bound_of_their_factors() {
        let bound = |precision: Precision, rounds| precision.bounds(Format::F32, rounds).value;
        assert_eq!(bound(Precision::Product, true), base(Format::F16));
        assert_eq!(bound(Precision::Product, false), OF_SUMS);
        assert_eq!(bound(Precision::Rounded, true), OF_SUMS);
        assert_eq!(bound(Precision::Exact, true), 0.0);
    }
}
