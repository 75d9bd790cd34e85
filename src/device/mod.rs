//! The device and the backend that compute an edit, and the number format of its weights and activations.
//!
//! [`Compute::choose`] takes what was requested, opens the first device and backend that can be used, and returns a [`Compute`];
//! [`Compute::load`] loads a model onto it. `auto` means a GPU where one can be used, else the CPU, and our own kernels where they run, else
//! candle's; a warning says why it is not the first of these, unless the machine has no NVIDIA card. A GPU can be used if it computes what the CPU
//! computes ([`check`], [`trust`]). This module does not know how a device computes: that is [`crate::kernels`].

mod candidate;
mod candidate_check;
mod card;
pub mod check;
mod load;
mod open;
mod refusal;
mod request;
mod trust;

use std::path::Path;

use crate::error::{Error, ErrorKind, Result};
use crate::kernels::Format;
use crate::warning::Warning;
use candidate::{Build, Candidate, candidates};
pub use candidate_check::{CandidateCheck, check_candidates};
use check::Remembered;
use open::{OpenDevice, format};
use refusal::{FailedCheck, Refusal, fallback, is_surprising, only_f32, unavailable};
pub use request::{BackendChoice, Device, Dtype};
use trust::Verdict;
pub use trust::{CheckState, DeviceCheck, Trust};

/// What computes an edit, as its record names it.
#[derive(Debug, Clone, Copy)]
pub struct ComputedOn<'a> {
    /// The device.
    pub device: &'a str,
    /// The backend.
    pub backend: &'static str,
    /// The number format.
    pub dtype: &'a str,
    /// The check of a GPU.
    pub check: Option<&'a DeviceCheck>,
}

/// An open device, its backend and the number format it computes in.
#[derive(Debug, Clone)]
pub struct Compute {
    /// The device's name: `cpu`, `cuda:N` or `metal`.
    pub device: String,
    /// The backend's name: `own` or `candle`.
    pub backend: &'static str,
    /// The kind of device and backend, and the number format. Both affect the pixels of an edit.
    pub numerics: [&'static str; 2],
    /// Set when something was tried before: why it could not be used. Also what else a user should know of the device.
    pub warnings: Vec<Warning>,
    /// What is known of the check of a GPU; `None` for the CPU, which needs none.
    pub check: Option<DeviceCheck>,
    open: OpenDevice,
}

impl Compute {
    /// Opens the requested device with the requested backend. A GPU has to pass its check, unless it is to be trusted without.
    ///
    /// # Errors
    /// [`Error::Device`]: `device.none` when the device cannot be used, `device.check` when it does not compute what the CPU computes,
    /// `device.dtype` when it does not support the number format.
    pub fn choose(
        device: Device,
        backend: BackendChoice,
        dtype: Dtype,
        trust: Trust,
    ) -> Result<Self> {
        let candidates = requested(device, backend)?;
        let remembered = Remembered::from_environment();
        let judge = |candidate: Candidate, open: &OpenDevice, format| {
            // On a handle of its own, so that nothing of the check is left on the device, such as convolutions that a library refused.
            let run = || {
                OpenDevice::open(candidate, format)
                    .map_err(|reason| cannot_open(candidate, &reason))?
                    .check(candidate)
            };
            trust::verdict(open.identity(candidate), format, trust, &remembered, run)
        };
        Self::first_usable(candidates, dtype, OpenDevice::open, judge)
    }

    /// Opens the candidates one after another, and returns the first that can be used. A GPU is `judged`.
    fn first_usable(
        candidates: Vec<Candidate>,
        dtype: Dtype,
        open: impl Fn(Candidate, Format) -> std::result::Result<OpenDevice, String>,
        judge: impl Fn(Candidate, &OpenDevice, Format) -> Result<Verdict>,
    ) -> Result<Self> {
        let mut refused = Vec::new();
        for candidate in candidates {
            if candidate == Candidate::OwnCpu && matches!(dtype, Dtype::F16 | Dtype::Bf16) {
                // The CPU has no 16-bit formats, so falling back to it would only hide the reason.
                return Err(unavailable(&refused).unwrap_or_else(only_f32));
            }
            let format = format(candidate, dtype);
            let opened = match open(candidate, format) {
                Ok(opened) => opened,
                Err(reason) => {
                    refused.push(Refusal::unavailable(candidate, reason));
                    continue;
                }
            };
            let (check, others) = if candidate.is_cpu() {
                (None, Vec::new())
            } else {
                match judge(candidate, &opened, format) {
                    Ok(Verdict::Usable { check, warnings }) => (Some(check), warnings),
                    Ok(Verdict::Failed {
                        reason,
                        passes_in_f32,
                    }) => {
                        let check = Some(FailedCheck {
                            format,
                            passes_in_f32,
                        });
                        refused.push(Refusal {
                            candidate,
                            reason,
                            check,
                        });
                        continue;
                    }
                    Err(error) => {
                        let reason = format!("its check did not end: {error}");
                        refused.push(Refusal::unavailable(candidate, reason));
                        continue;
                    }
                }
            };
            let warning = fallback(candidate, &refused).filter(|_| {
                is_surprising(candidate, &refused, || card::may_be_present(Path::new("/")))
            });
            return Ok(Self {
                device: candidate.device(),
                backend: candidate.backend(),
                numerics: [candidate.kind(), format.name()],
                warnings: warning.into_iter().chain(others).collect(),
                check,
                open: opened,
            });
        }
        Err(unavailable(&refused).unwrap_or_else(only_f32))
    }

    /// Returns what computes, as a record names it.
    pub fn names(&self) -> ComputedOn<'_> {
        ComputedOn {
            device: &self.device,
            backend: self.backend,
            dtype: self.numerics[1],
            check: self.check.as_ref(),
        }
    }
}

/// Returns the candidates for a request.
///
/// # Errors
/// [`Error::Device`] `device.none` when this build has none.
fn requested(device: Device, backend: BackendChoice) -> Result<Vec<Candidate>> {
    candidates(device, backend, Build::THIS).map_err(|[reason, hint]| Error::Device {
        kind: ErrorKind::DeviceNone,
        reason,
        hint,
    })
}

/// Returns the error that a device which was opened before cannot be opened again.
fn cannot_open(candidate: Candidate, reason: &str) -> Error {
    Error::Device {
        kind: ErrorKind::DeviceNone,
        reason: format!("{} cannot be opened: {reason}", candidate.device()),
        hint: String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::candle::Candle;
    use crate::warning::WarningKind;

    #[test]
    fn half_precision_on_the_cpu_needs_candle() {
        for dtype in [Dtype::F16, Dtype::Bf16] {
            let error = Compute::choose(Device::Cpu, BackendChoice::Auto, dtype, Trust::Checked)
                .expect_err("the CPU has no f16 kernels");
            assert_eq!(error.kind(), ErrorKind::DeviceDtype);
        }
        let candle = Compute::choose(
            Device::Cpu,
            BackendChoice::Candle,
            Dtype::Bf16,
            Trust::Checked,
        )
        .expect("candle has bf16");
        assert_eq!(candle.numerics, ["candle-cpu", "bf16"]);
        assert_eq!(
            (candle.names().device, candle.names().backend),
            ("cpu", "candle")
        );
        assert_eq!((candle.warnings, candle.check), (Vec::new(), None));
    }

    #[test]
    fn an_absent_gpu_is_an_error() {
        let error = Compute::choose(
            Device::Cuda(4711),
            BackendChoice::Auto,
            Dtype::Auto,
            Trust::Checked,
        )
        .expect_err("no machine has 4712 GPUs");
        assert_eq!(
            (error.kind(), error.exit_status()),
            (ErrorKind::DeviceNone, 2)
        );
        assert!(
            error.to_string().starts_with("cuda:4711 cannot be used: "),
            "{error}"
        );
    }

    /// GPUs of our kernels and of candle's, which compute as candle does on the CPU. `judge` says what their checks found.
    fn choose(
        candidates: &[Candidate],
        judge: impl Fn(Candidate) -> Result<Verdict>,
    ) -> Result<Compute> {
        let open = |_, format| Ok(OpenDevice::Candle(Candle::cpu(format)));
        let judge = |candidate: Candidate, _: &OpenDevice, _| judge(candidate);
        Compute::first_usable(candidates.to_vec(), Dtype::Auto, open, judge)
    }

    fn usable() -> Verdict {
        Verdict::Usable {
            check: DeviceCheck {
                state: CheckState::Passed,
                trusted: false,
                ended: Some(1),
                text: "passed".into(),
            },
            warnings: Vec::new(),
        }
    }

    fn failed() -> Verdict {
        Verdict::Failed {
            reason: "a wrong convolution".into(),
            passes_in_f32: true,
        }
    }

    const ALL: [Candidate; 3] = [
        Candidate::OwnCuda(0),
        Candidate::CandleCuda(0),
        Candidate::OwnCpu,
    ];

    #[test]
    fn a_gpu_that_fails_its_check_is_passed_over() {
        let of_own = |candidate| {
            Ok(match candidate {
                Candidate::OwnCuda(_) => failed(),
                _ => usable(),
            })
        };
        let compute = choose(&ALL, of_own).expect("candle passes");
        assert_eq!(compute.numerics, ["candle-cuda", "f16"]);
        assert_eq!(compute.warnings[0].kind, WarningKind::DeviceBackend);
        assert!(compute.warnings[0].message.contains("a wrong convolution"));
        assert_eq!(
            compute.check.map(|check| check.state),
            Some(CheckState::Passed)
        );

        let compute = choose(&ALL, |_| Ok(failed())).expect("there is a CPU");
        assert_eq!(compute.numerics, ["cpu", "f32"]);
        assert_eq!((compute.warnings.len(), compute.check), (1, None));

        let error = choose(&ALL[..2], |_| Ok(failed())).expect_err("no CPU was requested");
        assert_eq!(error.kind(), ErrorKind::DeviceCheck);

        let compute = choose(&ALL, |_| Ok(usable())).expect("the first passes");
        assert_eq!((compute.numerics[0], compute.warnings.len()), ("cuda", 0));
        assert!(compute.names().check.is_some());
    }

    #[test]
    fn the_cpu_is_not_checked() {
        let never = |_| panic!("it is what others are compared with");
        for cpu in [Candidate::OwnCpu, Candidate::CandleCpu] {
            let compute = choose(&[cpu], never).expect("a CPU can be used");
            assert_eq!(compute.check, None);
        }
    }

    #[test]
    fn a_check_that_does_not_end_is_not_a_failed_one() {
        let short = |_| Err(Error::Bug("out of memory".into()));
        let compute = choose(&ALL, short).expect("there is a CPU");
        assert_eq!(compute.numerics[0], "cpu");
        let error = choose(&ALL[..1], short).expect_err("no CPU was requested");
        assert_eq!(error.kind(), ErrorKind::DeviceNone);
    }
}
