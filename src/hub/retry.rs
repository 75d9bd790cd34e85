//! What is tried again, when, and when that ends.

use std::time::{Duration, Instant};

use ureq::http::Uri;

use super::environment::redacted;
use crate::error::{Error, ErrorKind, Result};
use crate::interrupt::Interrupt;
use crate::progress::Transfer;

/// Attempts without a single new byte between them.
const ATTEMPTS: u32 = 4;

/// Before the second attempt; each later pause is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// A server that asks for a longer pause is not waited for.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// Why a request gave nothing.
#[derive(Debug)]
pub(super) enum Fault {
    /// Something that may pass: it is tried again.
    Passing {
        /// What was asked for.
        address: String,
        /// What happened.
        reason: String,
        /// The pause that the server asks for.
        pause: Option<Duration>,
    },
    /// Something that asking again does not change.
    Lasting(Error),
}

impl Fault {
    /// A fault that may pass.
    pub(super) fn passing(address: &Uri, reason: impl Into<String>) -> Self {
        Self::Passing {
            address: redacted(&address.to_string()),
            reason: reason.into(),
            pause: None,
        }
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Lasting(error)
    }
}

/// Counts failures, and pauses between them.
#[derive(Debug)]
pub(super) struct Retries {
    failures: u32,
    without_hub: &'static str,
}

impl Retries {
    /// No failure yet; `without_hub` is part of the last hint.
    pub(super) fn new(without_hub: &'static str) -> Self {
        Self {
            failures: 0,
            without_hub,
        }
    }

    /// Something new came in: the next failure is a first one again.
    pub(super) fn progressed(&mut self) {
        self.failures = 0;
    }

    /// Waits until it is time to try again.
    ///
    /// # Errors
    /// When this fault ends it: it lasts, or there were too many, or the server asks for too long a pause. [`Error::Interrupted`].
    pub(super) fn pause(
        &mut self,
        fault: Fault,
        transfer: &mut Transfer,
        interrupt: &Interrupt,
    ) -> Result<()> {
        let (address, reason, asked) = match fault {
            Fault::Lasting(error) => return Err(error),
            Fault::Passing {
                address,
                reason,
                pause,
            } => (address, reason, pause),
        };
        let pause = asked.unwrap_or(FIRST_PAUSE * 2u32.pow(self.failures));
        self.failures += 1;
        if self.failures == ATTEMPTS || pause > LONGEST_PAUSE {
            let after = match self.failures {
                1 => String::new(),
                attempts => format!(" (after {attempts} attempts)"),
            };
            let waits = if pause > LONGEST_PAUSE {
                format!(", and asks to wait {} s", pause.as_secs())
            } else {
                String::new()
            };
            let hint = format!(
                "check the network and run this again: it goes on where it stopped; {}",
                self.without_hub
            );
            return Err(Error::Hub {
                place: address,
                kind: ErrorKind::HubUnreachable,
                reason: format!("{reason}{waits}{after}"),
                hint,
            });
        }
        transfer.say(&format!(
            "{address}: {reason}; trying again in {:.1} s",
            pause.as_secs_f64()
        ));
        let until = Instant::now() + pause;
        while Instant::now() < until {
            interrupt.check()?;
            std::thread::sleep(Duration::from_millis(50));
        }
        interrupt.check()
    }

    /// Does `work` until it succeeds.
    ///
    /// # Errors
    /// As [`Retries::pause`].
    pub(super) fn until_done<T>(
        mut self,
        transfer: &mut Transfer,
        interrupt: &Interrupt,
        mut work: impl FnMut() -> std::result::Result<T, Fault>,
    ) -> Result<T> {
        loop {
            interrupt.check()?;
            match work() {
                Ok(done) => return Ok(done),
                Err(fault) => self.pause(fault, transfer, interrupt)?,
            }
        }
    }
}
