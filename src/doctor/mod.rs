//! Diagnoses this machine: program, processor, memory, devices, backends, models, cache, network and environment.
//!
//! Each check is one function. Nothing is changed, and the network is used only on request. On request, devices are compared with the CPU, and what
//! was found of a GPU is remembered for edits.

mod backends;
mod cache;
#[cfg(feature = "cuda")]
mod convolutions;
mod device_check;
mod environment;
mod machine;
mod models;

use serde::Serialize;

use crate::device::check::CheckRecord;
use crate::device::{BackendChoice, Device};
use crate::error::{Error, Result};
use crate::hub::{self, Environment};
use crate::model::layout::STABLE_DIFFUSION;

/// The state of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
    /// Works.
    Good,
    /// Works, with a limitation.
    Note,
    /// Does not work.
    Bad,
}

/// The result of one check.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Check {
    /// What was checked.
    pub name: &'static str,
    /// Its state.
    pub state: State,
    /// The result in one line.
    pub text: String,
    /// Further lines.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<String>,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// What a comparison with the CPU found.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[serde(rename = "device_check")]
    pub comparison: Option<CheckRecord>,
}

/// The devices and backends that are compared with the CPU.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DeviceRequest {
    /// The device.
    pub device: Device,
    /// The backend.
    pub backend: BackendChoice,
}

impl Check {
    fn new(name: &'static str, text: impl Into<String>) -> Self {
        Self {
            name,
            state: State::Good,
            text: text.into(),
            details: Vec::new(),
            hint: None,
            comparison: None,
        }
    }

    fn with_note(mut self, hint: impl Into<String>) -> Self {
        self.state = State::Note;
        self.hint = Some(hint.into());
        self
    }

    fn failing(name: &'static str, error: &Error) -> Self {
        Self {
            name,
            state: State::Bad,
            text: error.to_string(),
            details: Vec::new(),
            hint: error.hint(),
            comparison: None,
        }
    }
}

/// Runs all checks; the network is tested only if `network`, and devices are compared with the CPU if they are `requested`. Also returns the first error:
/// a device that computes something else, or what prevents edits with models of the hub. The second does not count where devices are requested.
///
/// # Errors
/// [`Error::Device`] when this build has no requested device.
pub(crate) fn run(
    network: bool,
    requested: Option<DeviceRequest>,
) -> Result<(Vec<Check>, Option<Error>)> {
    let (compared, compared_error) = match requested {
        Some(DeviceRequest { device, backend }) => device_check::device_checks(device, backend)?,
        None => (Vec::new(), None),
    };
    let hub = Environment::read();
    let (models, models_error) = models::cache(&hub);
    let (reached, network_error) = network_check(&hub, network);
    let mut checks = vec![
        machine::program(),
        machine::processor(),
        machine::memory(),
        machine::devices(),
        backends::backends(),
    ];
    checks.extend(compared);
    checks.extend([
        models,
        cache::cache(),
        reached,
        environment::variables(&hub),
    ]);
    let of_hub = models_error.or(network_error);
    let error = if requested.is_some() {
        compared_error
    } else {
        of_hub
    };
    Ok((checks, error))
}

/// Checks whether the hub replies.
fn network_check(environment: &Environment, network: bool) -> (Check, Option<Error>) {
    let endpoint = hub::environment::redacted(&environment.endpoint);
    if environment.offline {
        return (Check::new("network", "not used: offline mode is set"), None);
    }
    if !network {
        return (
            Check::new(
                "network",
                format!("not tested; `dragnext doctor --network` connects to {endpoint}"),
            ),
            None,
        );
    }
    match hub::reach(environment, &STABLE_DIFFUSION) {
        Ok(()) => (Check::new("network", format!("{endpoint} replies")), None),
        Err(error) => (Check::failing("network", &error), Some(error)),
    }
}
