//! A figure over many edits.

use serde::Serialize;

use super::Outcome;
use super::statistics::{Weighted, bootstrap, mean, median};
use crate::metrics::{Better, Figure, MeanOver};

/// Mean, median and interval of a figure.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Summary {
    /// Edits that were measured.
    pub n: usize,
    /// Samples of these edits: handles or regions, or one for each edit.
    pub samples: usize,
    /// Edits that failed.
    pub failed: usize,
    /// Edits for which the figure is not defined.
    pub undefined: usize,
    /// Mean of the measured edits, or of their samples.
    pub mean: Option<f64>,
    /// Median of the edits' values; a failed edit is worse than all of them.
    pub median: Option<f64>,
    /// 95 % bootstrap interval of the mean.
    pub interval: Option<[f64; 2]>,
}

impl Summary {
    pub(super) fn new<'a>(
        figure: &Figure,
        outcomes: impl Iterator<Item = &'a Outcome>,
        seed: u64,
    ) -> Self {
        let (mut measured, mut values) = (Vec::new(), Vec::new());
        let (mut samples, mut failed, mut undefined) = (0, 0, 0);
        for outcome in outcomes {
            match (outcome, outcome.value()) {
                (Outcome::Measured(all), Some(value)) => {
                    samples += all.len();
                    values.push(value);
                    measured.push(match figure.mean_over {
                        MeanOver::Edits => Weighted {
                            sum: value,
                            count: 1.0,
                        },
                        MeanOver::Samples => Weighted {
                            sum: all.iter().sum(),
                            count: all.len() as f64,
                        },
                    });
                }
                (Outcome::Undefined(_), _) => undefined += 1,
                _ => failed += 1,
            }
        }
        Self {
            n: measured.len(),
            samples,
            failed,
            undefined,
            mean: mean(&measured),
            median: median(&values, failed, figure.better == Better::Higher),
            interval: bootstrap(&measured, seed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure(mean_over: MeanOver) -> Figure {
        Figure {
            name: "d".into(),
            meaning: "",
            better: Better::Lower,
            mean_over,
            weights: None,
            digits: 2,
        }
    }

    #[test]
    fn failures_are_counted_and_rank_last() {
        let outcomes = [
            Outcome::Measured(vec![1.0, 3.0]),
            Outcome::Measured(vec![5.0]),
            Outcome::Failed("missing".into()),
            Outcome::Undefined("nothing there".into()),
        ];
        let summary = Summary::new(&figure(MeanOver::Edits), outcomes.iter(), 0);
        assert_eq!(
            (
                summary.n,
                summary.samples,
                summary.failed,
                summary.undefined
            ),
            (2, 3, 1, 1)
        );
        assert_eq!((summary.mean, summary.median), (Some(3.5), Some(5.0)));
        let pooled = Summary::new(&figure(MeanOver::Samples), outcomes.iter(), 0);
        assert_eq!(pooled.mean, Some(3.0));
        let none = Summary::new(&figure(MeanOver::Edits), outcomes[2..].iter(), 0);
        assert_eq!((none.n, none.mean, none.interval), (0, None, None));
    }
}
