//! Limits that end a run early.

use std::time::{Duration, Instant};

/// How many items may fail, and how long the run may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    max_failures: Option<usize>,
    deadline: Option<Instant>,
}

/// Why a run began no further item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StopReason {
    /// The permitted number of items failed.
    Failures,
    /// The time limit was reached.
    TimeLimit,
    /// The device stopped responding.
    DeviceLost,
}

impl Limits {
    /// Starts the clock. `max_seconds` that exceed the clock's range are no limit.
    pub(crate) fn new(max_failures: Option<usize>, max_seconds: Option<f64>) -> Self {
        let limit = max_seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        Self {
            max_failures,
            deadline: limit.and_then(|limit| Instant::now().checked_add(limit)),
        }
    }

    /// Returns the limit that is reached after this number of failed items.
    pub(super) fn reached(&self, failures: usize) -> Option<StopReason> {
        if self
            .max_failures
            .is_some_and(|limit| failures >= limit.max(1))
        {
            return Some(StopReason::Failures);
        }
        self.deadline
            .filter(|deadline| Instant::now() >= *deadline)
            .map(|_| StopReason::TimeLimit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_reached_when_its_value_is_reached() {
        assert_eq!(Limits::new(None, None).reached(1000), None);
        let limits = Limits::new(Some(2), Some(f64::MAX));
        assert_eq!(
            [limits.reached(1), limits.reached(2)],
            [None, Some(StopReason::Failures)]
        );
        assert_eq!(
            Limits::new(None, Some(0.0)).reached(0),
            Some(StopReason::TimeLimit)
        );
    }
}
