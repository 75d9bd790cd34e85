//! Two methods compared by one figure, pair by pair.

use serde::Serialize;

use super::Outcome;
use super::statistics::{Weighted, bootstrap, mean, sign_test};
use crate::metrics::{Better, Figure};

/// The paired differences of a figure.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Comparison {
    /// Pairs of which both edits were measured.
    pub n: usize,
    /// Mean of this method's value minus the other's, over these pairs.
    pub mean_difference: Option<f64>,
    /// 95 % bootstrap interval of that mean.
    pub interval: Option<[f64; 2]>,
    /// Pairs in which this method's edit is better, or the other failed.
    pub wins: usize,
    /// Pairs in which the other method's edit is better, or this one failed.
    pub losses: usize,
    /// Pairs with equal values, and pairs of which both edits failed.
    pub ties: usize,
    /// Two-sided probability of the sign test: how often chance alone gives wins and losses as unequal as these.
    pub p: f64,
}

impl Comparison {
    pub(super) fn new<'a>(
        figure: &Figure,
        pairs: impl Iterator<Item = [&'a Outcome; 2]>,
        seed: u64,
    ) -> Self {
        let mut differences = Vec::new();
        let [mut wins, mut losses, mut ties] = [0; 3];
        for pair in pairs {
            match (pair, pair.map(Outcome::value)) {
                (_, [Some(this), Some(other)]) => {
                    differences.push(Weighted {
                        sum: this - other,
                        count: 1.0,
                    });
                    let is_better = match figure.better {
                        Better::Higher => this > other,
                        Better::Lower => this < other,
                    };
                    if this == other {
                        ties += 1;
                    } else if is_better {
                        wins += 1;
                    } else {
                        losses += 1;
                    }
                }
                ([Outcome::Failed(_), Outcome::Failed(_)], _) => ties += 1,
                (_, [Some(_), None]) if matches!(pair[1], Outcome::Failed(_)) => wins += 1,
                (_, [None, Some(_)]) if matches!(pair[0], Outcome::Failed(_)) => losses += 1,
                // The figure is not defined for this case.
                _ => {}
            }
        }
        Self {
            n: differences.len(),
            mean_difference: mean(&differences),
            interval: bootstrap(&differences, seed),
            wins,
            losses,
            ties,
            p: sign_test(wins, losses),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::MeanOver;

    #[test]
    fn a_failed_edit_loses_its_pair() {
        let figure = Figure {
            name: "d".into(),
            meaning: "",
            better: Better::Lower,
            mean_over: MeanOver::Edits,
            weights: None,
            digits: 2,
        };
        let value = |value| Outcome::Measured(vec![value]);
        let (failed, undefined) = (
            Outcome::Failed(String::new()),
            Outcome::Undefined(String::new()),
        );
        let pairs = [
            [value(1.0), value(2.0)],
            [value(4.0), value(2.0)],
            [value(2.0), value(2.0)],
            [failed.clone(), value(9.0)],
            [value(9.0), failed.clone()],
            [failed.clone(), failed.clone()],
            [undefined.clone(), value(1.0)],
            [undefined, failed],
        ];
        let compared = Comparison::new(&figure, pairs.iter().map(|[a, b]| [a, b]), 0);
        assert_eq!(
            (
                compared.n,
                compared.wins,
                compared.losses,
                compared.ties,
                compared.p
            ),
            (3, 2, 2, 2, 1.0)
        );
        assert!((compared.mean_difference.expect("three pairs") - 1.0 / 3.0).abs() < 1e-12);
    }
}
