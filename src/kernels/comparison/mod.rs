//! Comparison of a backend's operations with those of the CPU, on numbers that every storage format represents exactly.
//!
//! A [`Case`] is an operation, or a few that belong together, at one shape. [`compare`] runs it on the CPU and on a backend in several
//! formats, and returns what differs by more than the format's rounding explains, named by operation, shape and format. [`small`] has the shapes of a
//! tiny network, with every operation of [`Backend`]; [`stable_diffusion`] has those of Stable Diffusion 1.5 at 512 x 512, where a part
//! of the results is compared so that the CPU has little to compute.
//!
//! # Bounds
//!
//! The inputs are multiples of a power of two with 8 significant bits, which f32, f16, bf16 and TensorFloat-32 all hold. So the only errors are
//! those of sums, and the rounding of the result and of what an operation stores on the way. With u the unit roundoff of the format (2^-11 in f16,
//! 2^-8 in bf16), a bound is 4 u for one rounding with a library that may round twice (convolution, then bias and residual), and a multiple of it where more is rounded
//! ([`Precision`]). Sums of f32 are bounded by 2e-5, six times what their order was found to change. Copies must be equal.
//!
//! An error is relative to the value itself plus the root mean square of all values, so that it counts in every row, and not only where values are
//! large. Beside it, the factor between both results (their inner product over the square of the expected one) must be 1 within 4 u: rounding
//! averages out there, and a result that is a few percent too large does not.

mod bounds;
mod case;
mod numbers;
mod operations;
mod recorder;
mod shapes;

use serde::{Deserialize, Serialize};

pub use bounds::Precision;
pub use case::Case;
pub use numbers::Numbers;
pub use shapes::{small, stable_diffusion};

use super::cpu::Cpu;
use super::fault;
use super::{Backend, Format};
use crate::error::{Error, ErrorKind, Result};
use bounds::Deviation;
use recorder::{Output, Recorder};

/// Which of two backends runs a case. The reference computes the part of the results that is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Reference,
    Tested,
}

/// A result that differs from the CPU's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// The operation, or the computation of a network.
    pub operation: String,
    /// The sizes it was called with.
    pub shape: String,
    /// The storage format: `f32`, `f16` or `bf16`.
    pub format: String,
    /// The relative error; `None` if a value is not finite or there is no result.
    pub error: Option<f64>,
    /// The largest error that is accepted.
    pub bound: f64,
    /// Why there is no result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Difference {
    /// Returns the difference of a computation that failed.
    pub fn of_failure(operation: &str, shape: &str, format: Format, reason: String) -> Self {
        Self {
            operation: operation.into(),
            shape: shape.into(),
            format: format.name().into(),
            error: None,
            bound: 0.0,
            reason: Some(reason),
        }
    }
}

/// As in `convolution, 3 x 3, 8 x 16 x 16 to 16 channels, f16: relative error 0.4, bound 0.002`.
impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            operation,
            shape,
            format,
            ..
        } = self;
        write!(f, "{operation}, ")?;
        if !shape.is_empty() {
            write!(f, "{shape}, ")?;
        }
        write!(f, "{format}: ")?;
        match (&self.reason, self.error) {
            (Some(reason), _) => write!(f, "{reason}"),
            (None, None) => write!(f, "a value that is not finite"),
            (None, Some(error)) => {
                write!(f, "relative error {error:.1e}, bound {:.1e}", self.bound)
            }
        }
    }
}

/// What a comparison found in one format.
#[derive(Debug, Clone, PartialEq)]
pub struct Findings {
    /// The format.
    pub format: Format,
    /// Number of results that were compared.
    pub compared: usize,
    /// The results that differ.
    pub differences: Vec<Difference>,
    /// Why the device does not have the format; bf16 is not required.
    pub unsupported: Option<String>,
    /// The largest share of its bound that any result reached, and which; for choosing bounds.
    pub closest: Option<(f64, String)>,
}

impl Findings {
    fn new(format: Format) -> Self {
        Self {
            format,
            compared: 0,
            differences: Vec::new(),
            unsupported: None,
            closest: None,
        }
    }

    fn add(&mut self, rounds_factors: bool, got: &Output, expected: &Output) {
        self.compared += 1;
        let deviation = Deviation::between(&got.values, &expected.values);
        let bounds = got.bounds(self.format, rounds_factors);
        let share = deviation.share_of(bounds);
        if self.closest.as_ref().is_none_or(|(most, _)| share > *most) {
            self.closest = Some((share, format!("{}, {}", got.operation, got.shape)));
        }
        if let Some((error, bound)) = deviation.beyond(bounds) {
            self.differences.push(Difference {
                operation: got.operation.into(),
                shape: got.shape.clone(),
                format: self.format.name().into(),
                error: error.is_finite().then_some(error),
                bound,
                reason: None,
            });
        }
    }

    /// Adds the failure of a case.
    ///
    /// # Errors
    /// The failure, unless a library refused the operation.
    fn add_failure(&mut self, error: Error, case: &Case) -> Result<()> {
        if error.kind() != ErrorKind::DeviceRefused {
            return Err(error);
        }
        let reason = error.to_string();
        if self.format == Format::Bf16 {
            self.unsupported = Some(reason);
        } else {
            self.compared += 1;
            self.differences.push(Difference::of_failure(
                case.name(),
                &case.shape(),
                self.format,
                reason,
            ));
        }
        Ok(())
    }
}

/// Runs the cases on the CPU and on each backend, whose activations are stored in its format. Returns what was found, in the order of the backends.
///
/// # Errors
/// [`Error::Device`] when a backend runs out of memory or is lost. An operation that a library refuses is a difference.
pub fn compare<B: Backend>(backends: &[(Format, B)], cases: &[Case]) -> Result<Vec<Findings>> {
    let formats = backends.iter().map(|(format, _)| Findings::new(*format));
    let mut all: Vec<Findings> = formats.collect();
    for case in cases {
        let expected = Recorder::run(&Cpu, case, Side::Reference);
        for ((_, backend), findings) in backends.iter().zip(&mut all) {
            if findings.unsupported.is_some() {
                continue;
            }
            match fault::catch(|| Ok(Recorder::run(backend, case, Side::Tested))) {
                Ok(got) => {
                    for (got, expected) in got.iter().zip(&expected) {
                        findings.add(backend.rounds_factors(), got, expected);
                    }
                }
                Err(error) => findings.add_failure(error, case)?,
            }
        }
    }
    Ok(all)
}
