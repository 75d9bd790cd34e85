//! GScore of GoodDrag (arXiv 2404.07206): a judge, a program of the user's, rates edits from 0 to 10.
//!
//! The paper's judge is a multimodal model that sees the original and the results of all compared methods in a fixed order. No judge comes with
//! this program. It is called ten times for each drag, with one JSON object on stdin:
//!
//! ```text
//! {"v": 1, "id": "cat", "repetition": 1, "repetitions": 10, "prompt": "a cat", "original": "/in/cat.png", "results": ["/a/cat.png", "/b/cat.png"]}
//! ```
//!
//! It must print `{"scores": [7.5, 6]}`: a number from 0 to 10 for each result, in their order, which is the edits' and then the other method's.
//! A judge that fails, prints something else or takes too long leaves the drag without a score, which is reported as a failed measurement. After
//! three such drags in a row, it is not called again.

mod call;

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use serde_json::json;

use super::case::Case;
use super::metric::{Better, Figure, MeanOver, Metric, Reading};
use crate::error::{Error, ErrorKind, Result};
use crate::interrupt::Interrupt;

use call::Program;

/// Calls for each drag, as the paper.
const REPETITIONS: usize = 10;
/// Drags without a score, in a row, after which the judge is not called again.
const MOST_FAILURES: usize = 3;
/// The best score.
const BEST: f64 = 10.0;

/// An external judge.
#[derive(Debug)]
pub(crate) struct Judge {
    program: Program,
    figures: [Figure; 1],
    /// The drag that was judged last, with its scores.
    last: Option<(String, Scores)>,
    failures: usize,
}

/// The mean score of each edit, `None` for one without a file; or why there are none.
type Scores = std::result::Result<Vec<Option<f64>>, String>;

/// What a judge prints.
#[derive(Debug, Deserialize)]
struct Reply {
    scores: Vec<f64>,
}

impl Judge {
    /// Creates a judge from a program and its arguments, separated by spaces. A call may take `limit`.
    ///
    /// # Errors
    /// [`Error::Finding`] `eval.unavailable` for an empty command, and for a program that is not there.
    pub(crate) fn new(command: &str, limit: Duration) -> Result<Self> {
        let program = Program::new(command, limit).map_err(|reason| Error::Finding {
            kind: ErrorKind::EvalUnavailable,
            reason: format!("the judge cannot be started: {reason}"),
            hint: "`--judge` takes a program and its arguments, separated by spaces; put anything else into a script".into(),
        })?;
        Ok(Self {
            program,
            figures: [Figure {
                name: "GScore".into(),
                meaning: "mean of ten scores of an external judge, 0 to 10",
                better: Better::Higher,
                mean_over: MeanOver::Edits,
                weights: None,
                digits: 2,
            }],
            last: None,
            failures: 0,
        })
    }

    /// Returns the mean score of each edit of a case; `None` for one without a file.
    fn scores(&self, case: &Case, interrupt: &Interrupt) -> Result<Scores> {
        let results: Vec<PathBuf> = case
            .edited_paths
            .iter()
            .filter(|path| path.is_file())
            .map(|path| absolute(path))
            .collect();
        let mut sums = vec![0.0; results.len()];
        for repetition in 1..=REPETITIONS {
            let request = json!({
                "v": 1,
                "id": case.id,
                "repetition": repetition,
                "repetitions": REPETITIONS,
                "prompt": case.drag.prompt,
                "original": absolute(case.original_path),
                "results": results,
            });
            let reply = self.program.call(&request.to_string(), interrupt)?;
            match reply.and_then(|reply| parse(&reply, results.len())) {
                Ok(scores) => {
                    for (sum, score) in sums.iter_mut().zip(scores) {
                        *sum += score;
                    }
                }
                Err(reason) => return Ok(Err(format!("the judge {reason}"))),
            }
        }
        let mut means = sums.into_iter().map(|sum| sum / REPETITIONS as f64);
        let paths = case.edited_paths.iter();
        Ok(Ok(paths
            .map(|path| path.is_file().then(|| means.next()).flatten())
            .collect()))
    }
}

impl Metric for Judge {
    fn figures(&self) -> &[Figure] {
        &self.figures
    }

    fn measure(&mut self, case: &Case, interrupt: &Interrupt) -> Result<Vec<Reading>> {
        if self.last.as_ref().is_none_or(|(id, _)| id != case.id) {
            let scores = if self.failures >= MOST_FAILURES {
                Err(format!(
                    "the judge gave no score for {MOST_FAILURES} drags in a row"
                ))
            } else {
                self.scores(case, interrupt)?
            };
            self.failures = if scores.is_ok() { 0 } else { self.failures + 1 };
            self.last = Some((case.id.to_owned(), scores));
        }
        let reading = match &self.last {
            Some((_, Ok(scores))) => scores.get(case.edit).copied().flatten().map_or_else(
                || Reading::Undefined("the edit has no file".into()),
                Reading::Value,
            ),
            Some((_, Err(reason))) => return Err(no_score(reason.clone())),
            None => return Err(no_score("the judge was not called".into())),
        };
        Ok(vec![reading])
    }
}

/// Reads one score from 0 to 10 for each of `count` results.
fn parse(reply: &[u8], count: usize) -> std::result::Result<Vec<f64>, String> {
    let Reply { scores } = serde_json::from_slice(reply)
        .map_err(|error| format!("printed something else than {{\"scores\": [...]}}: {error}"))?;
    if scores.len() != count {
        return Err(format!(
            "printed {} scores for {count} results",
            scores.len()
        ));
    }
    match scores.iter().find(|score| !(0.0..=BEST).contains(*score)) {
        Some(score) => Err(format!("printed the score {score}, not one from 0 to 10")),
        None => Ok(scores),
    }
}

fn no_score(reason: String) -> Error {
    Error::Finding {
        kind: ErrorKind::EvalFailed,
        reason,
        hint: String::new(),
    }
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_scores_are_accepted() {
        assert_eq!(parse(b"{\"scores\": [0, 10.0]}\n", 2), Ok(vec![0.0, 10.0]));
        for (reply, reason) in [
            ("", "something else"),
            ("7", "something else"),
            ("{\"scores\": [1]}", "1 scores for 2"),
            ("{\"scores\": [1, 11]}", "score 11"),
            ("{\"scores\": [1, -0.5]}", "score -0.5"),
            ("{\"scores\": [1, NaN]}", "something else"),
            ("{\"scores\": [1, 1e999]}", "something else"),
        ] {
            let error = parse(reply.as_bytes(), 2).expect_err(reply);
            assert!(error.contains(reason), "{reply}: {error}");
        }
    }
}
