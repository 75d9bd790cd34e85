//! The result of a batch as a whole, which decides the exit status.

use super::limits::StopReason;
use super::tally::Tally;
use crate::error::{Error, ErrorKind, Result};
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
    let error = |kind, reason, hint: &str| {
        Err(Error::Batch {
            kind,
            reason,
            hint: hint.to_owned(),
        })
    };
    if let (Some(signal), true) = (interrupt.signal(), left > 0) {
        return Err(Error::BatchInterrupted {
            signal,
            reason: format!("interrupted; {left} of {all} remain"),
            hint: resume.into(),
        });
    }
    match tally.stopped {
        Some(StopReason::TimeLimit) => {
            let reason = format!("time limit reached; {left} of {all} remain");
            error(ErrorKind::BatchTimeOver, reason, resume)
        }
        Some(StopReason::DeviceLost) => {
            let edited = counted(tally.done + tally.failed);
            let reason =
                format!("the device stopped responding after {edited}; {left} of {all} remain");
            error(ErrorKind::DeviceLost, reason, resume)
        }
        Some(StopReason::Failures) => {
            let reason = format!(
                "stopped after {} failed; {left} of {all} remain",
                counted(tally.failed)
            );
            error(ErrorKind::BatchFailures, reason, resume)
        }
        None if tally.failed > 0 && tally.disk_full == tally.failed && tally.done == 0 => error(
            ErrorKind::OutputDiskFull,
            "no result could be written: the disk is full".into(),
            "free some space, then run this again",
        ),
        None if failed > 0 => error(
            ErrorKind::BatchFailed,
            format!("{failed} of {all} failed"),
            "see the records for the reasons; `--redo failed` edits the failed items again",
        ),
        None => Ok(()),
    }
}
