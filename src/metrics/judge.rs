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
//! A judge that fails, prints something else or takes too long leaves the drag without a score. After three such drags in a row, it is
//! not called again.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::json;

use super::case::Case;
use super::metric::{Better, Figure, MeanOver, Metric, Reading};
use crate::error::Result;
use crate::interrupt::Interrupt;

/// Calls for each drag, as the paper.
const REPETITIONS: usize = 10;
/// Drags without a score, in a row, after which the judge is not called again.
const MOST_FAILURES: usize = 3;
/// Most bytes of a reply that are read.
const MOST_BYTES: u64 = 1 << 20;
/// How often a running judge is looked at.
const POLL: Duration = Duration::from_millis(10);
/// The best score.
const BEST: f64 = 10.0;

/// An external judge.
#[derive(Debug)]
pub(crate) struct Judge {
    program: PathBuf,
    arguments: Vec<String>,
    limit: Duration,
    figures: [Figure; 1],
    /// The drag that was judged last, with the mean score of each edit or why there is none.
    last: Option<(String, std::result::Result<Vec<Option<f64>>, String>)>,
    failures: usize,
}

/// What a judge prints.
#[derive(Debug, Deserialize)]
struct Reply {
    scores: Vec<f64>,
}

impl Judge {
    /// Creates a judge from a program and its arguments, separated by spaces. A call may take `limit`. `None` for an empty command.
    pub(crate) fn new(command: &str, limit: Duration) -> Option<Self> {
        let mut words = command.split_whitespace().map(str::to_owned);
        Some(Self {
            program: words.next()?.into(),
            arguments: words.collect(),
            limit,
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
    fn scores(
        &self,
        case: &Case,
        interrupt: &Interrupt,
    ) -> Result<std::result::Result<Vec<Option<f64>>, String>> {
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
            let reply = self.call(&request.to_string(), interrupt)?;
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

    /// Runs the judge once and returns what it printed, or what went wrong. Errors are interrupts only.
    fn call(
        &self,
        request: &str,
        interrupt: &Interrupt,
    ) -> Result<std::result::Result<Vec<u8>, String>> {
        let spawned = Command::new(&self.program)
            .args(&self.arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let mut child = match spawned {
            Ok(child) => child,
            Err(error) => return Ok(Err(format!("cannot be started: {error}"))),
        };
        // Reading and writing have threads of their own, because a judge may do neither. They end with the judge's pipes.
        if let Some(mut stdin) = child.stdin.take() {
            let request = request.to_owned();
            // A judge need not read its input.
            thread::spawn(move || stdin.write_all(request.as_bytes()));
        }
        let (sender, receiver) = mpsc::channel();
        if let Some(stdout) = child.stdout.take() {
            thread::spawn(move || {
                let mut reply = Vec::new();
                let read = stdout.take(MOST_BYTES).read_to_end(&mut reply);
                let _ = sender.send(read.map(|_| reply));
            });
        }
        let deadline = Instant::now() + self.limit;
        loop {
            if let Err(error) = interrupt.check() {
                end(&mut child);
                return Err(error);
            }
            match child.try_wait() {
                Ok(Some(status)) if status.success() => break,
                Ok(Some(status)) => return Ok(Err(format!("failed: {status}"))),
                Ok(None) if Instant::now() < deadline => thread::sleep(POLL),
                Ok(None) => {
                    end(&mut child);
                    return Ok(Err(format!(
                        "took more than {} seconds",
                        self.limit.as_secs_f64()
                    )));
                }
                Err(error) => {
                    end(&mut child);
                    return Ok(Err(error.to_string()));
                }
            }
        }
        // A process that the judge left behind may hold the pipe open.
        let wait = deadline.saturating_duration_since(Instant::now());
        Ok(match receiver.recv_timeout(wait.max(POLL)) {
            Ok(Ok(reply)) => Ok(reply),
            Ok(Err(error)) => Err(format!("cannot be read: {error}")),
            Err(_) => Err("did not close its output".into()),
        })
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
            Some((_, Err(reason))) => Reading::Undefined(reason.clone()),
            None => Reading::Undefined("the edit was not judged".into()),
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

fn end(child: &mut Child) {
    // It may have ended by itself.
    let _ = child.kill();
    let _ = child.wait();
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
        assert!(Judge::new("  ", Duration::from_secs(1)).is_none());
    }
}
