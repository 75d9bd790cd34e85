//! The result of a batch as a whole, which decides the exit status.

use super::limits::StopReason;
use super::tally::Tally;
use crate::error::{Error, FAILED, RETRY, Result};
use crate::interrupt::Interrupt;
use crate::report::{Summary, counted};

/// Returns whether all items are done. A stop takes precedence over failures, because the same command continues the batch.
///
/// # Errors
/// [`Error::Batch`] unless all items are done.
pub(super) fn batch_result(summary: &Summary, tally: &Tally, interrupt: &Interrupt) -> Result<()> {
    let Summary { items, left, .. } = *summary;
    let failed = summary.failed + summary.failed_before;
    let all = counted(items);
    let resume = "run the same command again to continue";
    let error = |kind, reason, hint: &str, status| {
        Err(Error::Batch {
            kind,
            reason,
            hint: hint.to_owned(),
            status,
        })
    };
    if let (Err(interrupted), true) = (interrupt.check(), left > 0) {
        let reason = format!("interrupted; {left} of {all} remain");
        return error(
            "batch.interrupted",
            reason,
            resume,
            interrupted.exit_status(),
        );
    }
    match tally.stopped {
        Some(StopReason::TimeLimit) => {
            let reason = format!("time limit reached; {left} of {all} remain");
            error("batch.time_over", reason, resume, RETRY)
        }
        Some(StopReason::DeviceLost) => {
            let edited = counted(tally.done + tally.failed);
            let reason =
                format!("the device stopped responding after {edited}; {left} of {all} remain");
            error("device.lost", reason, resume, RETRY)
        }
        Some(StopReason::Failures) => {
            let reason = format!(
                "stopped after {} failed; {left} of {all} remain",
                counted(tally.failed)
            );
            error("batch.failures", reason, resume, FAILED)
        }
        None if tally.failed > 0 && tally.disk_full == tally.failed && tally.done == 0 => error(
            "output.disk_full",
            "no result could be written: the disk is full".into(),
            "free some disk space, then run the same command again",
            RETRY,
        ),
        None if failed > 0 => error(
            "batch.failed",
            format!("{failed} of {all} failed"),
            "see the records for the reasons; `--redo failed` edits the failed items again",
            FAILED,
        ),
        None => Ok(()),
    }
}
