//! Diagnoses this machine: program, processor, memory, devices, backends, models, cache, network and environment.
//!
//! Each check is one function. Nothing is changed, and the network is used only on request.

mod backends;
mod cache;
mod environment;
mod machine;
mod models;

use serde::Serialize;

use crate::error::Error;
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
}

impl Check {
    fn new(name: &'static str, text: impl Into<String>) -> Self {
        Self {
            name,
            state: State::Good,
            text: text.into(),
            details: Vec::new(),
            hint: None,
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
        }
    }
}

/// Runs all checks; the network is tested only if `network`. Also returns the first error that prevents edits with models of the hub.
pub(crate) fn run(network: bool) -> (Vec<Check>, Option<Error>) {
    let hub = Environment::read();
    let (models, models_error) = models::cache(&hub);
    let (reached, network_error) = network_check(&hub, network);
    let checks = vec![
        machine::program(),
        machine::processor(),
        machine::memory(),
        machine::devices(),
        backends::backends(),
        models,
        cache::cache(),
        reached,
        environment::variables(&hub),
    ];
    (checks, models_error.or(network_error))
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
