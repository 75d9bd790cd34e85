//! Checks of all devices and backends that a request may use.

use super::candidate::Candidate;
use super::check::{CheckRecord, Remembered};
use super::open::OpenDevice;
use super::request::{BackendChoice, Device};
use super::requested;
use crate::error::Result;
use crate::kernels::Format;
use crate::warning::Warning;

/// A device and a backend that were checked on request.
#[derive(Debug, Clone)]
pub struct CandidateCheck {
    /// The device.
    pub device: String,
    /// The backend.
    pub backend: &'static str,
    /// The check, or why it could not be made.
    pub outcome: std::result::Result<CheckRecord, String>,
    /// Set if the check cannot be remembered.
    pub warning: Option<Warning>,
}

/// Checks every device and backend that a request may use, the CPU too, whatever is remembered of them, and remembers the checks of GPUs.
///
/// # Errors
/// [`Error::Device`] `device.none` when this build has none.
pub fn check_candidates(device: Device, backend: BackendChoice) -> Result<Vec<CandidateCheck>> {
    let remembered = Remembered::from_environment();
    let check = |candidate: Candidate| {
        let made = OpenDevice::open(candidate, Format::F32).and_then(|open| {
            let report = open.check(candidate).map_err(|error| error.to_string())?;
            Ok(CheckRecord::now(open.identity(candidate), report))
        });
        let keep = |record: &CheckRecord| remembered.keep(record);
        let is_gpu = !candidate.is_cpu();
        CandidateCheck {
            device: candidate.device(),
            backend: candidate.backend(),
            warning: made.as_ref().ok().filter(|_| is_gpu).and_then(keep),
            outcome: made,
        }
    };
    Ok(requested(device, backend)?.into_iter().map(check).collect())
}
