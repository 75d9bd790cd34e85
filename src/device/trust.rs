//! Whether a GPU computes edits: only if it passed its check, or is trusted all the same.
//!
//! The check runs once for each device, driver, libraries and program, and its report is remembered ([`Remembered`]). The CPU is not checked: it is
//! what a GPU is compared with.

use serde::Serialize;

use super::check::{CheckRecord, CheckReport, CheckedDevice, Remembered};
use crate::error::Result;
use crate::kernels::Format;
use crate::warning::{Warning, WarningKind};

/// Whether a GPU must pass its check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Trust {
    /// It must.
    #[default]
    Checked,
    /// It computes whatever its check found, and none is made.
    Always,
}

/// What is known of a device's check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckState {
    /// The device computes what the CPU computes.
    Passed,
    /// It does not, and is used all the same.
    Failed,
    /// It was not checked.
    NotChecked,
}

/// The check of the GPU that computed an edit, for its record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeviceCheck {
    /// How it ended.
    pub state: CheckState,
    /// Whether the device was used because of `--trust-device`.
    pub trusted: bool,
    /// When it ended, in seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended: Option<u64>,
    /// The same in words.
    pub text: String,
}

/// Whether a device may compute.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Verdict {
    /// It may.
    Usable {
        check: DeviceCheck,
        warnings: Vec<Warning>,
    },
    /// It may not.
    Failed {
        /// Why, in one line.
        reason: String,
        /// Whether it may in f32.
        passes_in_f32: bool,
    },
}

/// Decides whether a device may compute in a format. `run` checks it, if that was not done before or not in this format.
///
/// # Errors
/// Those of `run`, which say nothing about what the device computes.
pub(super) fn verdict(
    on: CheckedDevice,
    format: Format,
    trust: Trust,
    remembered: &Remembered,
    run: impl FnOnce() -> Result<CheckReport>,
) -> Result<Verdict> {
    let known = remembered.find(&on);
    if trust == Trust::Always {
        return Ok(trusted(known, format));
    }
    let knows = |record: &CheckRecord| record.report.of_format(format).is_some();
    let (record, unwritten) = if let Some(record) = known.filter(knows) {
        (record, None)
    } else {
        let record = CheckRecord::now(on, run()?);
        let unwritten = remembered.keep(&record);
        (record, unwritten)
    };
    if record.report.passes_in(format) {
        return Ok(Verdict::Usable {
            check: passed(&record, false),
            warnings: unwritten.into_iter().collect(),
        });
    }
    Ok(Verdict::Failed {
        reason: failure(&record, format),
        passes_in_f32: format != Format::F32 && record.report.passes_in(Format::F32),
    })
}

/// Returns why a device is not used.
fn failure(record: &CheckRecord, format: Format) -> String {
    format!(
        "{} with the {} kernels does not compute what the CPU computes: {}",
        record.on.device,
        record.on.backend,
        record.report.summary(format)
    )
}

fn passed(record: &CheckRecord, trusted: bool) -> DeviceCheck {
    let trusted_too = if trusted {
        ", and trusted (`--trust-device`)"
    } else {
        ""
    };
    DeviceCheck {
        state: CheckState::Passed,
        trusted,
        ended: Some(record.ended),
        text: format!(
            "the device computed what the CPU computes when it was checked on {}{trusted_too}",
            record.date()
        ),
    }
}

/// Returns the verdict on a device that is used whatever its last check found.
fn trusted(known: Option<CheckRecord>, format: Format) -> Verdict {
    let known = known.filter(|record| record.report.of_format(format).is_some());
    let Some(record) = known else {
        return Verdict::Usable {
            check: DeviceCheck {
                state: CheckState::NotChecked,
                trusted: true,
                ended: None,
                text: "the device was trusted without a check (`--trust-device`)".into(),
            },
            warnings: Vec::new(),
        };
    };
    if record.report.passes_in(format) {
        return Verdict::Usable {
            check: passed(&record, true),
            warnings: Vec::new(),
        };
    }
    let reason = failure(&record, format);
    Verdict::Usable {
        check: DeviceCheck {
            state: CheckState::Failed,
            trusted: true,
            ended: Some(record.ended),
            text: format!(
                "the device was trusted (`--trust-device`) although it failed its check on {}: {reason}",
                record.date()
            ),
        },
        warnings: vec![Warning {
            kind: WarningKind::DeviceTrusted,
            message: format!("{reason}; it is used because of `--trust-device`"),
        }],
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::device::check::test_report;
    use crate::error::Error;

    fn on(driver: &str) -> CheckedDevice {
        CheckedDevice {
            device: "cuda:0".into(),
            backend: "own".into(),
            description: format!("a GPU, {driver}"),
            system: String::new(),
            program: "this".into(),
        }
    }

    /// A device whose checks are counted.
    struct Device {
        remembered: Remembered,
        checks: Cell<usize>,
        report: CheckReport,
        _folder: tempfile::TempDir,
    }

    impl Device {
        fn new(report: CheckReport) -> Self {
            let folder = tempfile::tempdir().expect("a temporary folder");
            Self {
                remembered: Remembered::in_cache(folder.path()),
                checks: Cell::new(0),
                report,
                _folder: folder,
            }
        }

        fn verdict(&self, driver: &str, format: Format, trust: Trust) -> (Verdict, usize) {
            let run = || {
                self.checks.set(self.checks.get() + 1);
                Ok(self.report.clone())
            };
            let verdict = verdict(on(driver), format, trust, &self.remembered, run);
            (verdict.expect("the check ends"), self.checks.get())
        }
    }

    fn state(verdict: &Verdict) -> Option<(CheckState, bool)> {
        match verdict {
            Verdict::Usable { check, .. } => Some((check.state, check.trusted)),
            Verdict::Failed { .. } => None,
        }
    }

    #[test]
    fn a_pass_is_remembered_until_the_driver_changes() {
        let device = Device::new(test_report(&[]));
        for (driver, checks) in [
            ("driver 1", 1),
            ("driver 1", 1),
            ("driver 2", 2),
            ("driver 1", 2),
        ] {
            let (verdict, found) = device.verdict(driver, Format::F16, Trust::Checked);
            assert_eq!(state(&verdict), Some((CheckState::Passed, false)));
            assert_eq!(found, checks, "{driver}");
            let Verdict::Usable { check, warnings } = verdict else {
                panic!("it passed")
            };
            assert!(check.ended.is_some() && check.text.contains(" UTC") && warnings.is_empty());
        }
    }

    #[test]
    fn a_failure_is_remembered_and_names_what_differs() {
        let device = Device::new(test_report(&[Format::F16]));
        for _ in 0..2 {
            let (verdict, checks) = device.verdict("driver 1", Format::F16, Trust::Checked);
            assert_eq!(checks, 1);
            let Verdict::Failed {
                reason,
                passes_in_f32,
            } = verdict
            else {
                panic!("it failed")
            };
            assert!(passes_in_f32);
            assert!(
                reason.starts_with("cuda:0 with the own kernels does not compute")
                    && reason.contains("convolution, 3x3, f16: relative error 4.0e-1"),
                "{reason}"
            );
        }
        // What an edit in f32 uses is right.
        let (verdict, checks) = device.verdict("driver 1", Format::F32, Trust::Checked);
        assert_eq!(
            (state(&verdict), checks),
            (Some((CheckState::Passed, false)), 1)
        );
        let all = Device::new(test_report(&[Format::F32]));
        for format in [Format::F16, Format::F32] {
            let (verdict, _) = all.verdict("driver 1", format, Trust::Checked);
            assert_eq!(state(&verdict), None, "pictures are decoded in f32");
        }
    }

    #[test]
    fn a_trusted_device_is_not_checked_and_its_record_says_what_is_known() {
        let device = Device::new(test_report(&[Format::F16]));
        let (verdict, checks) = device.verdict("driver 1", Format::F16, Trust::Always);
        assert_eq!(
            (state(&verdict), checks),
            (Some((CheckState::NotChecked, true)), 0)
        );
        device.verdict("driver 1", Format::F16, Trust::Checked);
        let (verdict, checks) = device.verdict("driver 1", Format::F16, Trust::Always);
        assert_eq!(
            (state(&verdict), checks),
            (Some((CheckState::Failed, true)), 1)
        );
        let Verdict::Usable { check, warnings } = verdict else {
            panic!("it is trusted")
        };
        assert!(check.text.contains("although it failed"), "{}", check.text);
        assert_eq!(warnings[0].kind, WarningKind::DeviceTrusted);
    }

    #[test]
    fn a_check_that_cannot_end_is_an_error_and_is_not_remembered() {
        let device = Device::new(test_report(&[]));
        let run = || Err(Error::Bug("out of memory".into()));
        verdict(
            on("driver 1"),
            Format::F16,
            Trust::Checked,
            &device.remembered,
            run,
        )
        .expect_err("the check did not end");
        let (_, checks) = device.verdict("driver 1", Format::F16, Trust::Checked);
        assert_eq!(checks, 1);
    }
}
