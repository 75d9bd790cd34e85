//! The counts of a batch.

use std::fmt;

use serde::Serialize;

/// The number of items that ended in each way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Summary {
    /// Items of the list, or of the shard.
    pub items: usize,
    /// Done in this run.
    pub done: usize,
    /// Of those, how many replaced an existing file: the result of an earlier run, or with `--overwrite` any.
    pub replaced: usize,
    /// Done in an earlier run and unchanged since.
    pub done_before: usize,
    /// Failed in this run.
    pub failed: usize,
    /// Failed in an earlier run, and unchanged since.
    pub failed_before: usize,
    /// Not begun, or interrupted.
    pub left: usize,
    /// Seconds of the run.
    pub seconds: f64,
}

impl Summary {
    /// Returns the summary as JSON. Unlike the records on stdout, it has no `id`.
    pub fn to_json(self) -> serde_json::Value {
        serde_json::json!({ "v": 1, "summary": { "seconds": (self.seconds * 1e3).round() / 1e3, "items": self.items, "done": self.done, "replaced": self.replaced,
            "done_before": self.done_before, "failed": self.failed, "failed_before": self.failed_before, "left": self.left } })
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            items,
            done,
            replaced,
            done_before,
            failed,
            failed_before,
            left,
            seconds,
        } = *self;
        let parts = [
            (done, "done"),
            (done_before, "done before"),
            (failed, "failed"),
            (failed_before, "failed before"),
            (left, "left"),
        ];
        let counts: Vec<String> = parts
            .iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, what)| format!("{count} {what}"))
            .collect();
        let counts = if counts.is_empty() {
            "nothing to do".to_owned()
        } else {
            counts.join(", ")
        };
        write!(f, "{}: {counts} in {seconds:.1} s", counted(items))?;
        match replaced {
            0 => Ok(()),
            1 => f.write_str("; 1 existing file was replaced"),
            _ => write!(f, "; {replaced} existing files were replaced"),
        }
    }
}

/// Returns the number with its noun: `1 item`, `2 items`.
pub fn counted(items: usize) -> String {
    if items == 1 {
        "1 item".to_owned()
    } else {
        format!("{items} items")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_of_zero_are_left_out() {
        let summary = Summary {
            items: 24,
            done: 20,
            failed: 1,
            left: 3,
            seconds: 61.04,
            ..Summary::default()
        };
        assert_eq!(
            summary.to_string(),
            "24 items: 20 done, 1 failed, 3 left in 61.0 s"
        );
        assert_eq!(
            Summary {
                items: 5,
                done: 3,
                replaced: 2,
                done_before: 2,
                ..Summary::default()
            }
            .to_string(),
            "5 items: 3 done, 2 done before in 0.0 s; 2 existing files were replaced"
        );
        assert_eq!(
            Summary {
                items: 1,
                done_before: 1,
                ..Summary::default()
            }
            .to_string(),
            "1 item: 1 done before in 0.0 s"
        );
    }
}
