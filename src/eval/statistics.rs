//! Statistics of a figure over edits: median, bootstrap interval of a mean, and the sign test. Deterministic for a seed, whatever the number
//! of threads.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use rayon::prelude::*;

/// Most bootstrap resamples.
pub(crate) const MOST_RESAMPLES: usize = 9_999;
/// Resamples of one stream of random numbers.
const CHUNK: usize = 250;
/// About how many random numbers one interval may take; many edits get fewer resamples, but at least [`FEWEST_RESAMPLES`].
const MOST_DRAWS: usize = 20_000_000;
const FEWEST_RESAMPLES: usize = 999;
/// Shares below and above the interval.
const TAIL: f64 = 0.025;

/// The sum of a figure's samples in one edit, and their number: weights of a mean over edits.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Weighted {
    pub(super) sum: f64,
    pub(super) count: f64,
}

/// Returns the mean of all samples; `None` without any.
pub(super) fn mean(edits: &[Weighted]) -> Option<f64> {
    let (sum, count) = edits.iter().fold((0.0, 0.0), |(sum, count), edit| {
        (sum + edit.sum, count + edit.count)
    });
    (count > 0.0).then(|| sum / count)
}

/// Returns the median of values and `failures` further ones that are worse than all of them; `None` where a failure is in the middle, or
/// without values. `is_higher_better` says at which end the failures are.
pub(super) fn median(values: &[f64], failures: usize, is_higher_better: bool) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(|a, b| {
        if is_higher_better {
            b.total_cmp(a)
        } else {
            a.total_cmp(b)
        }
    });
    let count = sorted.len() + failures;
    let middle = [count.checked_sub(1)? / 2, count / 2];
    let [low, high] = middle.map(|place| sorted.get(place));
    Some(f64::midpoint(*low?, *high?))
}

/// Returns the 95 % interval of the mean by the percentile bootstrap (Efron, "Bootstrap Methods: Another Look at the Jackknife", The Annals
/// of Statistics 7(1), 1979): edits are drawn with replacement, and each resample gives a mean. `None` with fewer than two edits.
pub(super) fn bootstrap(edits: &[Weighted], seed: u64) -> Option<[f64; 2]> {
    let count = edits.len();
    if count < 2 {
        return None;
    }
    let resamples = (MOST_DRAWS / count).clamp(FEWEST_RESAMPLES, MOST_RESAMPLES);
    let chunks = (0..resamples.div_ceil(CHUNK)).into_par_iter();
    let mut means: Vec<f64> = chunks
        .flat_map_iter(|chunk| {
            let mut random = ChaCha8Rng::seed_from_u64(seed);
            random.set_stream(chunk as u64);
            let resamples = CHUNK.min(resamples - chunk * CHUNK);
            (0..resamples).map(move |_| {
                let (mut sum, mut weight) = (0.0, 0.0);
                for _ in 0..count {
                    // Scaled to 0..count; the bias is below 2^-50 for any number of edits.
                    let index = (u128::from(random.next_u64()) * count as u128) >> 64;
                    let Weighted { sum: edit, count } = edits[index as usize];
                    sum += edit;
                    weight += count;
                }
                sum / weight
            })
        })
        .collect();
    means.sort_by(f64::total_cmp);
    Some([TAIL, 1.0 - TAIL].map(|share| quantile(&means, share)))
}

/// Returns a quantile of sorted values, interpolated linearly, as `numpy.quantile`.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let place = share * (sorted.len() - 1) as f64;
    let low = place as usize;
    let high = (low + 1).min(sorted.len() - 1);
    sorted[low] + (place - low as f64) * (sorted[high] - sorted[low])
}

/// Returns the two-sided probability, if wins and losses were equally likely, that they differ at least as much (Dixon and Mood, "The
/// Statistical Sign Test", Journal of the American Statistical Association 41, 1946). 1 without wins and losses; ties are left out.
pub(super) fn sign_test(wins: usize, losses: usize) -> f64 {
    let count = wins + losses;
    let log_factorial = |n: usize| libm::lgamma(n as f64 + 1.0);
    let probability = |k: usize| {
        let choices = log_factorial(count) - log_factorial(k) - log_factorial(count - k);
        (choices - count as f64 * std::f64::consts::LN_2).exp()
    };
    let tail: f64 = (0..=wins.min(losses)).map(probability).sum();
    (2.0 * tail).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weighted(values: &[f64]) -> Vec<Weighted> {
        values
            .iter()
            .map(|value| Weighted {
                sum: *value,
                count: 1.0,
            })
            .collect()
    }

    #[test]
    fn a_failure_is_worse_than_any_value() {
        assert_eq!(median(&[1.0, 3.0, 2.0], 0, true), Some(2.0));
        assert_eq!(median(&[1.0, 3.0, 2.0], 1, true), Some(1.5));
        assert_eq!(median(&[1.0, 3.0, 2.0], 1, false), Some(2.5));
        assert_eq!(median(&[1.0, 3.0], 1, true), Some(1.0));
        assert_eq!(median(&[1.0, 3.0], 2, true), None);
        assert_eq!(median(&[], 0, true), None);
    }

    /// `numpy.quantile([1, 2, 4, 8], [0.025, 0.5, 0.975])`.
    #[test]
    fn quantiles_are_those_of_numpy() {
        let sorted = [1.0, 2.0, 4.0, 8.0];
        for (share, expected) in [(0.025, 1.075), (0.5, 3.0), (0.975, 7.7)] {
            assert!((quantile(&sorted, share) - expected).abs() < 1e-12);
        }
    }

    /// `tests/peer/eval_statistics.py` prints these numbers: `scipy.stats.bootstrap(method="percentile")` with 200,000 resamples.
    #[test]
    fn the_interval_is_that_of_scipy() {
        let values: Vec<f64> = (0..40).map(|i| f64::from(i * i * 7 % 41) / 41.0).collect();
        let [low, high] = bootstrap(&weighted(&values), 1).expect("40 edits");
        // The Monte Carlo error of 9,999 resamples is about 0.001.
        assert!((low - SCIPY[0]).abs() < 0.004, "{low}");
        assert!((high - SCIPY[1]).abs() < 0.004, "{high}");
        assert_eq!(bootstrap(&weighted(&values), 1), Some([low, high]));
        assert_ne!(bootstrap(&weighted(&values), 2), Some([low, high]));
        assert_eq!(bootstrap(&weighted(&[1.0]), 1), None);
        assert_eq!(bootstrap(&weighted(&[0.5; 9]), 1), Some([0.5; 2]));
    }
    const SCIPY: [f64; 2] = [0.417_073_170_731_707_3, 0.573_170_731_707_317];

    /// `scipy.stats.binomtest(wins, wins + losses).pvalue`, printed by `tests/peer/eval_statistics.py`.
    #[test]
    fn the_sign_test_is_that_of_scipy() {
        for (wins, losses, expected) in SIGN_TESTS {
            let found = sign_test(wins, losses);
            assert!(
                (found - expected).abs() <= 1e-9 * expected,
                "{wins} {losses}: {found} {expected}"
            );
        }
        assert_eq!(sign_test(0, 0), 1.0);
    }
    const SIGN_TESTS: [(usize, usize, f64); 4] = [
        (8, 2, 0.109_375),
        (5, 5, 1.0),
        (0, 7, 0.015_625),
        (5200, 4800, 6.593_515_598_672_343e-5),
    ];
}
