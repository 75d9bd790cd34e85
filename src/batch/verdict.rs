//! How a run as a whole ended.

use super::{StopReason, Tally};
use crate::error::{Error, FAILED, RETRY, Result};
use crate::interrupt::Interrupt;
use crate::report::{Summary, counted};

/// The exit status of the whole: what was stopped goes before what failed, because the same command goes on with it.
///
/// # Errors
/// [`Error::Batch`] unless everything is done.
pub fn verdict(summary: &Summary, tally: &Tally, interrupt: &Interrupt) -> Result<()> {
    let Summary { items, left, .. } = *summary;
    let (all, failed) = (counted(items), summary.failed + summary.failed_before);
    let again = "the same command goes on with what is left".to_owned();
    let error = |kind, reason, hint, status| {
        Err(Error::Batch {
            kind,
            reason,
            hint,
            status,
        })
    };
    if let (Err(interrupted), true) = (interrupt.check(), left > 0) {
        let status = interrupted.exit_status();
        return error(
            "batch.interrupted",
            format!("interrupted; {left} of {all} are left"),
            again,
            status,
        );
    }
    match tally.stopped {
        Some(StopReason::TimeLimit) => error(
            "batch.time_over",
            format!("the time is over; {left} of {all} are left"),
            again,
            RETRY,
        ),
        Some(StopReason::DeviceLost) => {
            let reason = format!(
                "the device stopped answering after {}; {left} of {all} are left",
                counted(tally.done + tally.failed)
            );
            error("device.lost", reason, again, RETRY)
        }
        Some(StopReason::Failures) => {
            let reason = format!(
                "stopped after {} failed; {left} of {all} are left",
                counted(tally.failed)
            );
            error("batch.failures", reason, again, FAILED)
        }
        None if tally.failed > 0 && tally.disk_full == tally.failed && tally.done == 0 => error(
            "output.disk_full",
            "nothing could be written: the disk is full".into(),
            "make room, then run this again".into(),
            RETRY,
        ),
        None if failed > 0 => {
            let hint = "the records say why; --redo failed tries all of them again".into();
            error(
                "batch.failed",
                format!("{failed} of {all} failed"),
                hint,
                FAILED,
            )
        }
        None => Ok(()),
    }
}
