//! Stops a run in an orderly way: a signal sets a flag, and the edit checks it between two steps.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::error::{Error, Result};

/// Tells whether a signal asked this run to stop. Clones share the flag.
#[derive(Debug, Clone, Default)]
pub struct Interrupt {
    signal: Arc<AtomicUsize>,
}

impl Interrupt {
    /// Creates an interrupt that is never set: for library use and tests.
    pub fn never() -> Self {
        Self::default()
    }

    /// Listens to SIGINT and SIGTERM. The first of them sets the flag; the next one ends the process at once.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn on_signals() -> std::io::Result<Self> {
        let interrupt = Self::default();
        let armed = Arc::new(AtomicBool::new(false));
        for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
            // Handlers run in the order of their registration, so the first signal does not find `armed` set.
            signal_hook::flag::register_conditional_shutdown(
                signal,
                128 + signal,
                Arc::clone(&armed),
            )?;
            signal_hook::flag::register(signal, Arc::clone(&armed))?;
            signal_hook::flag::register_usize(
                signal,
                Arc::clone(&interrupt.signal),
                signal as usize,
            )?;
        }
        // Beyond a limit on the size of files (`ulimit -f`), a write fails instead of ending the process.
        #[cfg(unix)]
        signal_hook::flag::register(signal_hook::consts::SIGXFSZ, Arc::default())?;
        Ok(interrupt)
    }

    /// Returns an error if a signal came.
    ///
    /// # Errors
    /// [`Error::Interrupted`].
    pub fn check(&self) -> Result<()> {
        match self.signal() {
            None => Ok(()),
            Some(signal) => Err(Error::Interrupted { signal }),
        }
    }

    /// Returns the number of the latest signal, if one came.
    pub fn signal(&self) -> Option<i32> {
        match self.signal.load(Ordering::Relaxed) {
            0 => None,
            signal => Some(signal as i32),
        }
    }

    /// Returns whether a signal came.
    pub fn has_come(&self) -> bool {
        self.signal().is_some()
    }
}
