//! How a run as a whole ended.

use super::limits::Reached;
use super::run::Tally;
use crate::error::{Error, ErrorKind, Result};
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
    let error = |kind, reason, hint| Err(Error::Batch { kind, reason, hint });
    if let (Some(signal), true) = (interrupt.signal(), left > 0) {
        return Err(Error::BatchInterrupted {
            signal,
            reason: format!("interrupted; {left} of {all} are left"),
            hint: again,
        });
    }
    match tally.stopped {
        Some(Reached::Time) => error(
            ErrorKind::BatchTimeOver,
            format!("the time is over; {left} of {all} are left"),
            again,
        ),
        Some(Reached::Device) => {
            let reason = format!(
                "the device stopped answering after {}; {left} of {all} are left",
                counted(tally.done + tally.failed)
            );
            error(ErrorKind::DeviceLost, reason, again)
        }
        Some(Reached::Failures) => {
            let reason = format!(
                "stopped after {} failed; {left} of {all} are left",
                counted(tally.failed)
            );
            error(ErrorKind::BatchFailures, reason, again)
        }
        None if tally.failed > 0 && tally.disk_full == tally.failed && tally.done == 0 => error(
            ErrorKind::OutputDiskFull,
            "nothing could be written: the disk is full".into(),
            "make room, then run this again".into(),
        ),
        None if failed > 0 => {
            let hint = "the records say why; --redo failed tries all of them again".into();
            error(
                ErrorKind::BatchFailed,
                format!("{failed} of {all} failed"),
                hint,
            )
        }
        None => Ok(()),
    }
}
