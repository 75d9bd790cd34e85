//! What a device can fail with. The network's layers know nothing of it: a fault unwinds through them, so that all memory of the edit is
//! given back, and becomes an error where the edit was asked for.

use std::panic::{self, AssertUnwindSafe};

use crate::error::{Error, Result};

/// Why a device could not go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// There is not so much memory.
    OutOfMemory {
        /// Bytes that were asked for; 0 where a library does not say what it wanted.
        need: u64,
        /// Bytes that are free.
        free: u64,
        /// Bytes in all.
        total: u64,
    },
    /// A call could not be done; others can.
    Refused {
        /// The library's function.
        call: String,
        /// Why not.
        reason: String,
    },
    /// A call failed, and with it all that come after.
    Lost {
        /// The driver's or library's function.
        call: String,
        /// What it said.
        reason: String,
    },
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::OutOfMemory { need, free, total } => {
                let [need, free, total] = [need, free, total].map(|bytes| bytes.div_ceil(1 << 20));
                let need = if need == 0 { "memory".to_owned() } else { format!("{need} MiB") };
                Self::Device {
                    kind: "compute.out_of_memory",
                    reason: format!("the GPU has no {need} more: {free} of its {total} MiB are free"),
                    hint: "try `--dtype f16`, a smaller `--size`, `--lora-batch 1`, or `--device cpu`; other programs may hold memory too"
                        .into(),
                }
            }
            Fault::Refused { call, reason } => Self::Device {
                kind: "device.refused",
                reason: format!("the GPU's libraries cannot do what was asked: {call}: {reason}"),
                hint: "please report this with what `dragnext doctor` says; `--device cpu` does without them".into(),
            },
            Fault::Lost { call, reason } => Self::Device {
                kind: "device.lost",
                reason: format!("the GPU stopped answering: {call}: {reason}"),
                hint: "try again; if it happens again, `dragnext doctor` shows device and driver, and `--device cpu` does without them"
                    .into(),
            },
        }
    }
}

/// Leaves everything up to [`caught`], without a word on the way.
pub fn throw(fault: Fault) -> ! {
    panic::resume_unwind(Box::new(fault))
}

/// Does `work`; a fault inside becomes an error.
///
/// # Errors
/// Those of `work`; [`Error::Device`]: `compute.out_of_memory` or `device.lost`.
pub fn caught<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    match panic::catch_unwind(AssertUnwindSafe(work)) {
        Ok(result) => result,
        Err(payload) => match payload.downcast::<Fault>() {
            Ok(fault) => Err((*fault).into()),
            Err(payload) => panic::resume_unwind(payload),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_an_error_and_a_panic_stays_one() {
        let lost = || {
            throw(Fault::Lost {
                call: "cuLaunchKernel".into(),
                reason: "an illegal address".into(),
            })
        };
        assert_eq!(
            caught::<()>(lost).expect_err("it was thrown").kind(),
            "device.lost"
        );
        let memory = Fault::OutOfMemory {
            need: 3 << 20,
            free: 1,
            total: 2 << 20,
        };
        let error = caught::<()>(|| throw(memory)).expect_err("it was thrown");
        assert_eq!(
            (error.kind(), error.exit_status()),
            ("compute.out_of_memory", 1)
        );
        assert!(
            error.to_string().contains("no 3 MiB more: 1 of its 2 MiB"),
            "{error}"
        );
        assert_eq!(caught(|| Ok(7)).expect("nothing was thrown"), 7);
        assert!(
            panic::catch_unwind(|| caught::<()>(|| panic::resume_unwind(Box::new("a bug"))))
                .is_err()
        );
    }
}
