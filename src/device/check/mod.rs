//! Whether a device computes what the CPU computes.
//!
//! [`check`] runs a fixed set of computations on a device in several formats and on our kernels on the CPU in f32: every operation of the
//! backend at small shapes ([`crate::kernels::comparison`]), and a network and a VAE with random weights, a step of a LoRA's training and an iteration of a
//! drag ([`networks`], [`drag`]). A GPU then runs the operations of Stable Diffusion 1.5. No file is read, and the numbers are the same everywhere.
//!
//! A device that submits repeated passes together, as CUDA graphs, repeats a drag's and a LoRA's passes until it does so ([`repeated`]).
//!
//! A [`CheckReport`] has what differs. The networks run in the formats in which all operations are right. [`Remembered`] keeps a
//! report in the folder of the cache, so that a device is checked once. [`super::trust`] decides what follows from it.
//!
//! # Bounds of the networks
//!
//! An error is the Euclidean distance from the CPU's result over its length. The largest that were found, with candle's kernels on the CPU and with our
//! CUDA kernels in an emulator, are 2.2e-5 in f32, 0.023 in f16 and 0.23 in bf16: a small random network amplifies rounding. The bounds are more than
//! twice as large. What is a few percent off is found in the operations, whose bounds are narrow. f32 has the bound of f16 where products round their factors
//! to TensorFloat-32, which has f16's precision.

mod drag;
mod networks;
mod remembered;
mod repeated;
mod report;

pub use remembered::{CheckRecord, CheckedDevice, Remembered};
pub use report::{CheckReport, DifferingOperation, FormatReport, MoreDifferences};

use std::time::Instant;

use crate::error::{Error, ErrorKind, Result};
use crate::kernels::comparison::{self, Difference};
use crate::kernels::cpu::Cpu;
use crate::kernels::fault;
use crate::kernels::{Backend, Format};

/// Whether the operations of Stable Diffusion 1.5 are compared too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// The small shapes alone, unless a network differs and no operation does, on a device without graphs.
    Small,
    /// Both, unless a small one differs.
    Full,
}

/// The largest error of a network's result: relative, Euclidean.
fn bound(format: Format, rounds_factors: bool) -> f64 {
    match format {
        Format::F32 if !rounds_factors => 1e-3,
        Format::F32 | Format::F16 => 8e-2,
        Format::Bf16 => 6e-1,
    }
}

/// A result of a network.
#[derive(Debug, Clone, PartialEq)]
struct NetworkResult {
    name: String,
    values: Vec<f32>,
}

/// Runs everything on a device, whose activations each backend stores in its format, and compares it with the CPU.
///
/// # Errors
/// [`Error::Device`] when the device runs out of memory or is lost.
pub fn check<B: Backend>(backends: &[(Format, B)], extent: Extent) -> Result<CheckReport> {
    let start = Instant::now();
    let mut report = CheckReport::of(backends.iter().map(|(format, _)| *format));
    report.add(comparison::compare(backends, &comparison::small())?);
    let has_wrong_operation = !report.passes();
    compare_networks(backends, &mut report)?;
    // Where passes are graphs, a network may differ although every operation is right at every shape.
    let has_graphs = backends.iter().any(|(_, own)| own.graphs().is_some());
    let is_unexplained = !report.passes() && !has_graphs;
    if !has_wrong_operation && (extent == Extent::Full || is_unexplained) {
        let cases = comparison::stable_diffusion();
        report.add_first(comparison::compare(backends, &cases)?);
    }
    report.graphs = backends.iter().find_map(|(_, own)| own.graphs());
    report.seconds = start.elapsed().as_secs_f64();
    Ok(report)
}

/// Runs the networks on the CPU and on each backend whose operations are right: a wrong one explains all that a network would show.
fn compare_networks<B: Backend>(backends: &[(Format, B)], report: &mut CheckReport) -> Result<()> {
    let passes =
        |report: &CheckReport, format| report.of_format(format).is_some_and(FormatReport::passes);
    if !backends.iter().any(|(format, _)| passes(report, *format)) {
        return Ok(());
    }
    let repeats = backends.iter().any(|(_, own)| own.graphs().is_some());
    let expected = results(&Cpu, repeats)?;
    for (format, backend) in backends {
        if !passes(report, *format) {
            continue;
        }
        let found = fault::catch(|| results(backend, repeats));
        backend.restore_loss_scale();
        backend.trim();
        let bound = bound(*format, backend.rounds_factors());
        let mut closest = 0.0_f64;
        let differences = match found {
            Ok(found) => {
                let pairs = found.iter().zip(&expected);
                pairs
                    .filter_map(|(found, expected)| {
                        let error = distance(&found.values, &expected.values);
                        // A distance that is NaN is not within the bound.
                        let is_within = error <= bound;
                        closest = closest.max(if error.is_nan() {
                            f64::MAX
                        } else {
                            error / bound
                        });
                        (!is_within).then(|| difference(&found.name, *format, error, bound))
                    })
                    .collect()
            }
            Err(error) if is_transient(&error) => return Err(error),
            Err(error) => {
                let reason = error.to_string();
                vec![Difference::of_failure("tiny network", "", *format, reason)]
            }
        };
        report.add_network(*format, expected.len(), closest, differences);
    }
    Ok(())
}

/// Returns the difference of a network's result.
fn difference(name: &str, format: Format, error: f64, bound: f64) -> Difference {
    Difference {
        operation: format!("tiny network, {name}"),
        shape: String::new(),
        format: format.name().into(),
        error: error.is_finite().then_some(error),
        bound,
        reason: None,
    }
}

/// Returns whether an error says nothing about what the device computes.
fn is_transient(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ComputeOutOfMemory | ErrorKind::DeviceLost
    )
}

/// Returns all results of the networks; those of repeated passes if `repeats`.
fn results<B: Backend>(backend: &B, repeats: bool) -> Result<Vec<NetworkResult>> {
    let mut results = networks::unet(backend)?;
    results.extend(networks::vae(backend)?);
    results.extend(networks::lora(backend)?);
    results.extend(drag::drag(backend)?);
    if repeats {
        results.extend(repeated::repeated(backend)?);
    }
    Ok(results)
}

/// Returns the Euclidean distance of two results over the length of the expected one; NaN where a value is.
fn distance(found: &[f32], expected: &[f32]) -> f64 {
    if found.len() != expected.len() {
        return f64::INFINITY;
    }
    let square = |x: f64| x * x;
    let pairs = found.iter().zip(expected);
    let difference: f64 = pairs
        .map(|(a, b)| square(f64::from(*a) - f64::from(*b)))
        .sum();
    let length: f64 = expected.iter().map(|x| square(f64::from(*x))).sum();
    (difference / length).sqrt()
}

/// Returns a report of all formats, of which some have a wrong convolution.
#[cfg(test)]
pub(super) fn test_report(wrong: &[Format]) -> CheckReport {
    let formats = [Format::F32, Format::F16, Format::Bf16];
    let mut report = CheckReport::of(formats.into_iter());
    for format in formats {
        let difference = Difference {
            operation: "convolution".into(),
            shape: "3x3".into(),
            format: format.name().into(),
            error: Some(0.4),
            bound: 2e-3,
            reason: None,
        };
        let is_wrong = wrong.contains(&format);
        report.add_network(
            format,
            10,
            0.5,
            is_wrong.then_some(difference).into_iter().collect(),
        );
    }
    report
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cpu_agrees_with_itself() {
        let report = check(&[(Format::F32, Cpu)], Extent::Small).expect("the CPU has memory");
        assert_eq!(
            report.differences().collect::<Vec<_>>(),
            Vec::<&Difference>::new()
        );
        assert!(report.passes() && report.passes_in(Format::F32));
        assert!(!report.passes_in(Format::F16), "it was not checked");
    }

    #[test]
    fn distances_are_relative_and_notice_what_is_not_finite() {
        assert_eq!(distance(&[3.0, 4.0], &[3.0, 4.0]), 0.0);
        assert_eq!(distance(&[0.0, 0.0], &[3.0, 4.0]), 1.0);
        assert!(distance(&[f32::NAN, 4.0], &[3.0, 4.0]).is_nan());
        assert_eq!(distance(&[3.0], &[3.0, 4.0]), f64::INFINITY);
    }
}
