//! How a batch ended, in numbers.

use std::fmt;

use serde::Serialize;

/// How many items of a run ended how, or were not begun.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Summary {
    /// Items of the list, or of this shard of it.
    pub items: usize,
    /// With a picture, in this run.
    pub done: usize,
    /// Done by an earlier run, and nothing of them changed.
    pub done_before: usize,
    /// Failed in this run.
    pub failed: usize,
    /// Failed in an earlier run, and would fail again.
    pub failed_before: usize,
    /// Not begun, or not finished.
    pub left: usize,
    /// Seconds of the run.
    pub seconds: f64,
}

impl Summary {
    /// The summary as a line of JSON among records: it has no `id`.
    pub fn to_json(self) -> serde_json::Value {
        serde_json::json!({ "v": 1, "summary": { "seconds": (self.seconds * 1e3).round() / 1e3, "items": self.items, "done": self.done,
            "done_before": self.done_before, "failed": self.failed, "failed_before": self.failed_before, "left": self.left } })
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            items,
            done,
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
        let told: Vec<String> = parts
            .iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, what)| format!("{count} {what}"))
            .collect();
        let told = if told.is_empty() {
            "nothing to do".to_owned()
        } else {
            told.join(", ")
        };
        write!(f, "{}: {told} in {seconds:.1} s", counted(items))
    }
}

/// `1 item`, `2 items`.
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
    fn only_what_there_is_is_told() {
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
                items: 1,
                done_before: 1,
                ..Summary::default()
            }
            .to_string(),
            "1 item: 1 done before in 0.0 s"
        );
    }
}
