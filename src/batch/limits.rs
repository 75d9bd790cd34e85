//! When a run stops before its end.

use std::time::{Duration, Instant};

/// How much may go wrong, and how long it may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    max_failures: Option<usize>,
    deadline: Option<Instant>,
}

/// Why no further item is begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reached {
    /// As many items failed as may fail.
    Failures,
    /// The time is over.
    Time,
    /// The device does not answer any more.
    Device,
}

impl Limits {
    /// The clock starts now. A time too far to be counted is none.
    pub fn new(max_failures: Option<usize>, max_seconds: Option<f64>) -> Self {
        let limit = max_seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        Self {
            max_failures,
            deadline: limit.and_then(|limit| Instant::now().checked_add(limit)),
        }
    }

    /// Which limit is reached when so many items have failed.
    pub fn reached(&self, failures: usize) -> Option<Reached> {
        if self
            .max_failures
            .is_some_and(|limit| failures >= limit.max(1))
        {
            return Some(Reached::Failures);
        }
        self.deadline
            .filter(|deadline| Instant::now() >= *deadline)
            .map(|_| Reached::Time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_reached_and_not_passed() {
        assert_eq!(Limits::new(None, None).reached(1000), None);
        let limits = Limits::new(Some(2), Some(f64::MAX));
        assert_eq!(
            [limits.reached(1), limits.reached(2)],
            [None, Some(Reached::Failures)]
        );
        assert_eq!(Limits::new(None, Some(0.0)).reached(0), Some(Reached::Time));
    }
}
