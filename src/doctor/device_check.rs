//! The check of devices: whether they compute what the CPU computes.

use super::{Check, State};
use crate::device::check::{CheckRecord, DifferingOperation, FormatReport};
use crate::device::{BackendChoice, CandidateCheck, Device, check_candidates};
use crate::error::{Error, ErrorKind, Result};
use crate::kernels::GraphFigures;

/// Checks the devices and backends of a request. Also returns the error that one failed, or that there is none.
///
/// # Errors
/// [`Error::Device`] when this build has no such device.
pub(super) fn device_checks(
    device: Device,
    backend: BackendChoice,
) -> Result<(Vec<Check>, Option<Error>)> {
    let candidates = check_candidates(device, backend)?;
    // `auto` goes on to the next where a device cannot be opened.
    let is_auto = matches!(device, Device::Auto);
    let is_one_open = candidates.iter().any(|found| found.outcome.is_ok());
    let error = candidates.iter().find_map(failure).or_else(|| {
        let unavailable = |found: &CandidateCheck| {
            let reason = found.outcome.as_ref().err()?;
            Some(Error::Device {
                kind: ErrorKind::DeviceNone,
                reason: format!("{} cannot be checked: {reason}", found.device),
                hint: "`dragnext doctor` shows what was found".into(),
            })
        };
        let none = !(is_auto || is_one_open);
        none.then(|| candidates.iter().find_map(unavailable))?
    });
    let checks = candidates.iter().map(|found| check(found, is_one_open));
    Ok((checks.collect(), error))
}

/// Returns the error about a device that computes something else.
fn failure(found: &CandidateCheck) -> Option<Error> {
    let record = found.outcome.as_ref().ok()?;
    if record.report.passes() {
        return None;
    }
    let first = record.report.differences().next()?;
    Some(Error::Device {
        kind: ErrorKind::DeviceCheck,
        reason: format!(
            "{} with the {} kernels does not compute what the CPU computes: {first}",
            found.device, found.backend
        ),
        hint: "please report this with the output of `dragnext doctor --check --json`; edits use another device, unless `--trust-device` is given".into(),
    })
}

/// Returns the result for people and scripts.
fn check(found: &CandidateCheck, is_one_open: bool) -> Check {
    let name = format!("{}, {}", found.device, found.backend);
    let record = match &found.outcome {
        Ok(record) => record,
        Err(reason) => {
            let text = format!("{name}: cannot be checked: {reason}");
            let state = if is_one_open { State::Note } else { State::Bad };
            return Check {
                state,
                ..Check::new("check", text)
            };
        }
    };
    let mut check = Check {
        details: details(record),
        comparison: Some(record.clone()),
        ..Check::new(
            "check",
            format!(
                "{name}: {} in {:.1} s",
                if record.report.passes() {
                    "passed"
                } else {
                    "failed"
                },
                record.report.seconds
            ),
        )
    };
    if let Some(reason) = graphs_unused(record) {
        check = check.with_note(reason);
    }
    if let Some(warning) = &found.warning {
        check = check.with_note(warning.message.clone());
    }
    if let Some(error) = failure(found) {
        check.state = State::Bad;
        check.hint = error.hint();
    }
    check
}

/// Returns why passes were not submitted as CUDA graphs although that was requested.
fn graphs_unused(record: &CheckRecord) -> Option<String> {
    let reason = record.report.graphs.as_ref()?.failure.as_ref()?;
    Some(format!(
        "CUDA graphs could not be made, so that operations are submitted one by one: {reason}"
    ))
}

/// Returns a line for each format, one for each difference that is kept, and one for CUDA graphs if they were requested.
fn details(record: &CheckRecord) -> Vec<String> {
    let of_format = |found: &FormatReport| {
        let verdict = match (&found.unsupported, found.differing) {
            (Some(reason), _) => format!("not supported: {reason}"),
            (None, 0) => {
                let closest = found.closest[0].max(found.closest[1]);
                format!(
                    "{} results agree with the CPU; the largest error is {:.0} % of its bound",
                    found.compared,
                    100.0 * closest
                )
            }
            (None, differing) => format!("{differing} of {} results differ", found.compared),
        };
        let mut lines = vec![format!("{}: {verdict}", found.format)];
        for DifferingOperation { name, kept, more } in found.by_operation() {
            lines.extend(kept.iter().map(|difference| format!("  {difference}")));
            if more > 0 {
                lines.push(format!(
                    "  {name}, {}: {more} more results differ",
                    found.format
                ));
            }
        }
        lines
    };
    let lines = record.report.formats.iter().flat_map(of_format);
    let graphs = record.report.graphs.as_ref().map(|found| {
        let GraphFigures { made, launched, .. } = found;
        match graphs_unused(record) {
            Some(reason) => reason,
            None => format!("CUDA graphs: {made} made, {launched} launched"),
        }
    });
    std::iter::once(format!("device: {}", record.on.description))
        .chain(lines)
        .chain(graphs)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::check::{CheckReport, CheckedDevice, MoreDifferences};
    use crate::kernels::comparison::Difference;

    fn on() -> CheckedDevice {
        CheckedDevice {
            device: "cuda:0".into(),
            backend: "own".into(),
            description: "a GPU".into(),
            system: String::new(),
            program: String::new(),
        }
    }

    #[test]
    fn every_operation_that_differs_has_a_line_and_a_count() {
        let difference = |operation: &str, shape: &str| Difference {
            operation: operation.into(),
            shape: shape.into(),
            format: "f16".into(),
            error: Some(0.5),
            bound: 2e-3,
            reason: None,
        };
        let format = FormatReport {
            format: "f16".into(),
            compared: 90,
            differing: 5,
            closest: [250.0, 0.0],
            differences: vec![
                difference("convolution", "3x3"),
                difference("attention", "batch 1"),
                difference("convolution", "1x1"),
            ],
            more: vec![MoreDifferences {
                operation: "convolution".into(),
                count: 2,
            }],
            unsupported: None,
        };
        let formats = vec![format];
        let report = CheckReport {
            formats,
            seconds: 1.5,
            graphs: None,
        };
        let expected = [
            "device: a GPU",
            "f16: 5 of 90 results differ",
            "  convolution, 3x3, f16: relative error 5.0e-1, bound 2.0e-3",
            "  convolution, 1x1, f16: relative error 5.0e-1, bound 2.0e-3",
            "  convolution, f16: 2 more results differ",
            "  attention, batch 1, f16: relative error 5.0e-1, bound 2.0e-3",
        ];
        assert_eq!(details(&CheckRecord::now(on(), report)), expected);
    }

    #[test]
    fn requested_graphs_are_counted_or_their_absence_is_explained() {
        let found = |failure: Option<&str>| {
            let graphs = GraphFigures {
                made: 2,
                launched: 5,
                failure: failure.map(str::to_owned),
            };
            let report = CheckReport {
                graphs: Some(graphs),
                ..CheckReport::default()
            };
            let outcome = Ok(CheckRecord::now(on(), report));
            let found = CandidateCheck {
                device: "cuda:0".into(),
                backend: "own",
                outcome,
                warning: None,
            };
            check(&found, true)
        };
        let good = found(None);
        assert_eq!(good.state, State::Good);
        assert_eq!(good.details[1], "CUDA graphs: 2 made, 5 launched");
        let refused = found(Some("`cuStreamEndCapture`: not permitted"));
        assert_eq!(refused.state, State::Note);
        let line = refused.hint.as_deref().unwrap_or_default();
        assert!(line.contains("`cuStreamEndCapture`: not permitted"));
        assert_eq!(refused.details[1], line);
        let json = serde_json::to_value(&refused).expect("it can be written");
        let graphs = &json["device_check"]["report"]["graphs"];
        assert_eq!(graphs["failure"], "`cuStreamEndCapture`: not permitted");
    }

    #[test]
    fn both_backends_of_the_cpu_pass() {
        for backend in [BackendChoice::Own, BackendChoice::Candle] {
            let (checks, error) = device_checks(Device::Cpu, backend).expect("there is a CPU");
            assert!(error.is_none(), "{error:?} {checks:?}");
            let [check] = &checks[..] else {
                panic!("one device: {checks:?}")
            };
            assert_eq!(check.state, State::Good);
            assert!(check.text.contains("passed"), "{}", check.text);
        }
    }

    #[test]
    #[cfg(not(feature = "metal"))]
    fn a_device_that_this_build_lacks_is_an_error() {
        let error = device_checks(Device::Metal, BackendChoice::Auto).expect_err("no Metal");
        assert_eq!(error.kind(), ErrorKind::DeviceNone);
        let index = Device::Cuda(4711);
        if let Ok((checks, error)) = device_checks(index, BackendChoice::Auto) {
            assert_eq!(checks[0].state, State::Bad);
            let error = error.expect("no machine has 4712 GPUs");
            assert_eq!(error.kind(), ErrorKind::DeviceNone);
        }
    }
}
