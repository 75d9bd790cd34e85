//! What this program finds on this machine, as a list of checks: each is one function that looks at one thing.

mod cache;
mod environment;
mod machine;
mod models;

use serde::Serialize;

use crate::error::Error;
use crate::hub::{self, Environment};
use crate::model::layout::STABLE_DIFFUSION;

/// What a check found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// As it should be.
    Good,
    /// Worth knowing.
    Note,
    /// Something cannot work.
    Bad,
}

/// One thing that was looked at.
#[derive(Debug, Clone, Serialize)]
pub struct Check {
    /// What was looked at.
    pub name: &'static str,
    /// How it is.
    pub state: State,
    /// What was found, in one line.
    pub text: String,
    /// More of it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<String>,
    /// What to do about it.
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

    fn noting(mut self, hint: impl Into<String>) -> Self {
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

/// Looks at everything; the network is asked only when `network` says so. The error is the first that stands in the way of an edit with a model of the hub.
pub fn examine(network: bool) -> (Vec<Check>, Option<Error>) {
    let hub = Environment::read();
    let (models, models_error) = models::cache(&hub);
    let (reached, network_error) = reach(&hub, network);
    let checks = vec![
        machine::program(),
        machine::processor(),
        machine::memory(),
        machine::devices(),
        models,
        cache::cache(),
        reached,
        environment::variables(&hub),
    ];
    (checks, models_error.or(network_error))
}

/// Does the hub answer?
fn reach(environment: &Environment, network: bool) -> (Check, Option<Error>) {
    let endpoint = hub::environment::redacted(&environment.endpoint);
    if environment.offline {
        return (
            Check::new("network", "offline is set: nothing is ever fetched"),
            None,
        );
    }
    if !network {
        return (
            Check::new(
                "network",
                format!("not tried; `dragnext doctor --network` asks {endpoint}"),
            ),
            None,
        );
    }
    match hub::reach(environment, &STABLE_DIFFUSION) {
        Ok(()) => (Check::new("network", format!("{endpoint} answers")), None),
        Err(error) => (Check::failing("network", &error), Some(error)),
    }
}
