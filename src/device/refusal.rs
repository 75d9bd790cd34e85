//! Why devices are not used: warnings where another one is, and errors where none is left.

use super::candidate::Candidate;
use crate::error::{Error, ErrorKind};
use crate::kernels::Format;
use crate::warning::{Warning, WarningKind};

/// A candidate that is not used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) candidate: Candidate,
    /// Why, in one line.
    pub(super) reason: String,
    /// Set if it was opened and its check failed.
    pub(super) check: Option<FailedCheck>,
}

/// What else is known of a check that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FailedCheck {
    /// The format that was requested.
    pub(super) format: Format,
    /// Whether the device passes in f32.
    pub(super) passes_in_f32: bool,
}

impl Refusal {
    /// Returns the refusal of a device that cannot be opened.
    pub(super) fn unavailable(candidate: Candidate, reason: String) -> Self {
        Self {
            candidate,
            reason,
            check: None,
        }
    }

    /// Returns the command whose output has everything about the check.
    fn report(&self) -> String {
        format!(
            "`dragnext doctor --device {} --backend {} --check --json`",
            self.candidate.device(),
            self.candidate.backend()
        )
    }
}

/// Returns the first candidate that failed its check.
fn first_failed(refused: &[Refusal]) -> Option<(&Refusal, FailedCheck)> {
    refused
        .iter()
        .find_map(|refusal| Some((refusal, refusal.check?)))
}

/// Returns the warning that `chosen` is used because others are not.
pub(super) fn fallback(chosen: Candidate, refused: &[Refusal]) -> Option<Warning> {
    let because = reasons(refused)?;
    let (kind, used) = if chosen.is_cpu() {
        (WarningKind::DeviceCpu, "on the CPU")
    } else {
        (
            WarningKind::DeviceBackend,
            "with candle's kernels instead of our own",
        )
    };
    let report = first_failed(refused)
        .map(|(refusal, _)| {
            format!(
                "; please report this with the output of {}",
                refusal.report()
            )
        })
        .unwrap_or_default();
    Some(Warning {
        kind,
        message: format!("computing {used}, because {because}{report}"),
    })
}

/// Returns whether the choice deserves a warning. Without an NVIDIA card, computing on the CPU does not, unless a device failed its check.
pub(super) fn is_surprising(
    chosen: Candidate,
    refused: &[Refusal],
    has_card: impl FnOnce() -> bool,
) -> bool {
    let needs_card = |refusal: &Refusal| {
        matches!(
            refusal.candidate,
            Candidate::OwnCuda(_) | Candidate::CandleCuda(_)
        )
    };
    !chosen.is_cpu()
        || first_failed(refused).is_some()
        || !refused.iter().all(needs_card)
        || has_card()
}

/// Returns why candidates are not used, in one line; `None` if there are none.
fn reasons(refused: &[Refusal]) -> Option<String> {
    match refused {
        [] => None,
        [refusal] => Some(refusal.reason.clone()),
        several => {
            let reasons = several
                .iter()
                .map(|refusal| format!("{}: {}", refusal.candidate.kind(), refusal.reason));
            Some(reasons.collect::<Vec<_>>().join("; "))
        }
    }
}

/// Returns the error that no candidate can be used; `None` if none was tried.
pub(super) fn unavailable(refused: &[Refusal]) -> Option<Error> {
    let reason = reasons(refused)?;
    if let Some((refusal, check)) = first_failed(refused) {
        let f32_passes = if check.passes_in_f32 {
            format!(
                "`--dtype f32` passes, and is slower than {}; ",
                check.format.name()
            )
        } else {
            String::new()
        };
        let report = refusal.report();
        return Some(Error::Device {
            kind: ErrorKind::DeviceCheck,
            reason,
            hint: format!(
                "{f32_passes}`--device cpu` computes without a GPU, and `--trust-device` uses it all the same; please report this with the output of {report}"
            ),
        });
    }
    let first = refused.first()?;
    Some(Error::Device {
        kind: ErrorKind::DeviceNone,
        reason: format!("{} cannot be used: {reason}", first.candidate.device()),
        hint: "`dragnext doctor` shows what was found; `--device cpu` computes without a GPU"
            .into(),
    })
}

/// Returns the error that our kernels on the CPU have one format.
pub(super) fn only_f32() -> Error {
    Error::Device {
        kind: ErrorKind::DeviceDtype,
        reason: "the CPU computes in f32 only".into(),
        hint:
            "use `--dtype f32` or leave it out; `--backend candle` has f16 and bf16, and is slower"
                .into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unopened(candidate: Candidate, reason: &str) -> Refusal {
        Refusal::unavailable(candidate, reason.into())
    }

    fn failed(candidate: Candidate, passes_in_f32: bool) -> Refusal {
        Refusal {
            check: Some(FailedCheck {
                format: Format::F16,
                passes_in_f32,
            }),
            ..unopened(candidate, "convolution, 3x3, f16: relative error 0.4")
        }
    }

    #[test]
    fn a_machine_without_a_card_computes_without_a_warning() {
        let cuda = unopened(Candidate::OwnCuda(0), "no driver");
        let metal = unopened(Candidate::CandleMetal, "no Apple GPU");
        let told =
            |chosen, refused: &[Refusal], has_card| is_surprising(chosen, refused, || has_card);
        assert!(!told(Candidate::OwnCpu, std::slice::from_ref(&cuda), false));
        assert!(told(Candidate::OwnCpu, std::slice::from_ref(&cuda), true));
        assert!(told(Candidate::OwnCpu, &[cuda.clone(), metal], false));
        assert!(told(Candidate::CandleCuda(0), &[cuda], false));
        let failed = failed(Candidate::OwnCuda(0), true);
        assert!(told(Candidate::OwnCpu, &[failed], false));
    }

    #[test]
    fn one_line_says_why_something_else_computes() {
        let own = unopened(Candidate::OwnCuda(0), "no cuBLASLt");
        let candle = unopened(Candidate::CandleCuda(0), "no driver");
        let message = |chosen: Candidate, refused: &[Refusal]| {
            fallback(chosen, refused).map(|warning| (warning.kind, warning.message))
        };
        assert_eq!(message(Candidate::OwnCuda(0), &[]), None);
        assert_eq!(
            message(Candidate::CandleCuda(0), std::slice::from_ref(&own)),
            Some((
                WarningKind::DeviceBackend,
                "computing with candle's kernels instead of our own, because no cuBLASLt".into()
            ))
        );
        assert_eq!(
            message(Candidate::OwnCpu, &[own, candle]),
            Some((
                WarningKind::DeviceCpu,
                "computing on the CPU, because cuda: no cuBLASLt; candle-cuda: no driver".into()
            ))
        );
    }

    #[test]
    fn a_failed_check_says_what_to_report() {
        let own = failed(Candidate::OwnCuda(1), true);
        let command = "`dragnext doctor --device cuda:1 --backend own --check --json`";
        let warning = fallback(Candidate::CandleCuda(1), std::slice::from_ref(&own));
        let message = warning.expect("something else computes").message;
        assert!(
            message.contains("relative error 0.4") && message.contains(command),
            "{message}"
        );
        let candle = unopened(Candidate::CandleCuda(1), "no driver");
        let error = unavailable(&[candle, own]).expect("nothing is left");
        assert_eq!(
            (error.kind(), error.exit_status()),
            (ErrorKind::DeviceCheck, 2)
        );
        let hint = error.hint().expect("a hint");
        for part in [command, "--trust-device", "`--dtype f32` passes"] {
            assert!(hint.contains(part), "{hint}");
        }
        let none = unavailable(&[failed(Candidate::OwnCuda(1), false)]).expect("nothing is left");
        assert!(!none.hint().expect("a hint").contains("--dtype"));
    }
}
