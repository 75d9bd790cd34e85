//! Retries of failed requests, with growing pauses.

use std::time::{Duration, Instant};

use ureq::http::Uri;

use super::environment::redacted;
use crate::error::{Error, ErrorKind, Result};
use crate::interrupt::Interrupt;
use crate::progress::Transfer;

/// Failed attempts in a row, without a new byte in between, after which a request fails.
const MAX_ATTEMPTS: u32 = 4;

/// Pause before the second attempt. Each further pause is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// Longest pause that a server may request.
const MAX_PAUSE: Duration = Duration::from_mins(1);

/// Why a request failed.
#[derive(Debug)]
pub(super) enum RequestFault {
    /// A retry may succeed.
    Transient {
        /// The redacted address.
        address: String,
        /// What happened.
        reason: String,
        /// The pause that the server requests.
        pause: Option<Duration>,
    },
    /// A retry would fail in the same way.
    Permanent(Error),
}

impl RequestFault {
    /// Returns a transient fault without a requested pause.
    pub(super) fn transient(address: &Uri, reason: impl Into<String>) -> Self {
        Self::Transient {
            address: redacted(&address.to_string()),
            reason: reason.into(),
            pause: None,
        }
    }
}

impl From<Error> for RequestFault {
    fn from(error: Error) -> Self {
        Self::Permanent(error)
    }
}

/// Counts failed attempts and pauses between them.
#[derive(Debug)]
pub(super) struct Retries {
    failures: u32,
    /// Part of the hint after the last attempt.
    without_hub: &'static str,
}

impl Retries {
    /// Starts without a failure. `without_hub` becomes part of the hint when all attempts failed.
    pub(super) fn new(without_hub: &'static str) -> Self {
        Self {
            failures: 0,
            without_hub,
        }
    }

    /// Resets the count, after a download received new bytes.
    pub(super) fn progressed(&mut self) {
        self.failures = 0;
    }

    /// Counts a failed attempt and waits until the next one.
    ///
    /// # Errors
    /// When there is no next attempt: the fault is permanent, the attempts are used up, or the server requests too long a pause.
    /// [`Error::Interrupted`].
    pub(super) fn pause(
        &mut self,
        fault: RequestFault,
        transfer: &mut Transfer,
        interrupt: &Interrupt,
    ) -> Result<()> {
        let (address, reason, requested) = match fault {
            RequestFault::Permanent(error) => return Err(error),
            RequestFault::Transient {
                address,
                reason,
                pause,
            } => (address, reason, pause),
        };
        let pause = requested.unwrap_or(FIRST_PAUSE * 2u32.pow(self.failures));
        self.failures += 1;
        if self.failures == MAX_ATTEMPTS || pause > MAX_PAUSE {
            let after = match self.failures {
                1 => String::new(),
                attempts => format!(" (after {attempts} attempts)"),
            };
            let waits = if pause > MAX_PAUSE {
                format!("; it requests a pause of {} s", pause.as_secs())
            } else {
                String::new()
            };
            let hint = format!(
                "check the network and run this again, which resumes the download; {}",
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
            "{address}: {reason}; retrying in {:.1} s",
            pause.as_secs_f64()
        ));
        let until = Instant::now() + pause;
        while Instant::now() < until {
            interrupt.check()?;
            std::thread::sleep(Duration::from_millis(50));
        }
        interrupt.check()
    }

    /// Repeats `request` until it succeeds.
    ///
    /// # Errors
    /// As [`Retries::pause`].
    pub(super) fn until_done<T>(
        mut self,
        transfer: &mut Transfer,
        interrupt: &Interrupt,
        mut request: impl FnMut() -> std::result::Result<T, RequestFault>,
    ) -> Result<T> {
        loop {
            interrupt.check()?;
            match request() {
                Ok(reply) => return Ok(reply),
                Err(fault) => self.pause(fault, transfer, interrupt)?,
            }
        }
    }
}
