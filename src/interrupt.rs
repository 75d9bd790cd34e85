//! A tidy stop: signals set a flag, and the edit looks at it between two steps.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::error::{Error, Result};

/// Whether a signal asked this run to stop.
#[derive(Debug, Clone, Default)]
pub struct Interrupt {
    signal: Arc<AtomicUsize>,
}

impl Interrupt {
    /// An interrupt that never comes: for library use and tests.
    pub fn never() -> Self {
        Self::default()
    }

    /// Listens to SIGINT and SIGTERM. The first of either asks for a tidy stop; the next of either ends the process at once.
    ///
    /// # Errors
    /// Whatever the operating system says against it.
    pub fn on_signals() -> std::io::Result<Self> {
        let interrupt = Self::default();
        let armed = Arc::new(AtomicBool::new(false));
        for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
            // Handlers run in the order of their registration: only a later signal finds the switch set.
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
        // A limit on the size of files (`ulimit -f`) is an error of the write, not the end of the process.
        #[cfg(unix)]
        signal_hook::flag::register(signal_hook::consts::SIGXFSZ, Arc::default())?;
        Ok(interrupt)
    }

    /// Ends what is going on when a stop was asked for.
    ///
    /// # Errors
    /// [`Error::Interrupted`] once a signal came.
    pub fn check(&self) -> Result<()> {
        match self.signal() {
            None => Ok(()),
            Some(signal) => Err(Error::Interrupted { signal }),
        }
    }

    /// Returns the number of the latest signal that asked for a stop.
    pub fn signal(&self) -> Option<i32> {
        match self.signal.load(Ordering::Relaxed) {
            0 => None,
            signal => Some(signal as i32),
        }
    }

    /// Returns whether a signal asked for a stop.
    pub fn has_come(&self) -> bool {
        self.signal().is_some()
    }
}
