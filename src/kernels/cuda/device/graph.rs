//! Work that is recorded once and done many times: a graph starts as one call where its work was thousands.

use std::ptr;
use std::sync::Arc;

use cudarc::driver::sys::{CUgraph, CUgraphExec, CUstreamCaptureMode};

use super::call::{Failure, ask};
use super::context::Context;

/// Recorded work. It reads and writes the addresses it was recorded with: who keeps it keeps that memory, too.
#[derive(Debug)]
pub struct Graph {
    context: Arc<Context>,
    handle: CUgraphExec,
}

// SAFETY: a handle of the driver, which may be used from any thread.
unsafe impl Send for Graph {}
// SAFETY: it is started in the one stream alone, through the driver, which guards its state.
unsafe impl Sync for Graph {}

impl Graph {
    /// Was it recorded in this context?
    pub(super) fn is_of(&self, context: &Arc<Context>) -> bool {
        Arc::ptr_eq(&self.context, context)
    }

    /// Does the work, after all that was asked for before.
    pub(super) fn replay(&self) -> Result<(), Failure> {
        // SAFETY: graph and stream are alive and of one context.
        unsafe { ask!(driver, cuGraphLaunch(self.handle, self.context.stream())) }
    }
}

impl Drop for Graph {
    fn drop(&mut self) {
        if self.context.enter().is_ok() {
            let _ = self.context.synchronise();
            // SAFETY: ours; it does not run any more.
            let _ = unsafe { ask!(driver, cuGraphExecDestroy(self.handle)) };
        }
    }
}

/// Recording: from [`Recording::start`] to [`Recording::finish`], or until this goes, as it does when a fault unwinds through the work.
#[derive(Debug)]
pub(super) struct Recording {
    context: Arc<Context>,
    open: bool,
}

impl Recording {
    /// Records from now on what is asked for.
    pub(super) fn start(context: &Arc<Context>) -> Result<Self, Failure> {
        // Relaxed: other code of the process may go on with calls that a stricter mode forbids, such as taking memory.
        let mode = CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_RELAXED;
        // SAFETY: the stream is alive.
        unsafe { ask!(driver, cuStreamBeginCapture_v2(context.stream(), mode)) }?;
        context.set_capturing(true);
        Ok(Self {
            context: Arc::clone(context),
            open: true,
        })
    }

    /// What was recorded, ready to be done.
    pub(super) fn finish(mut self) -> Result<Graph, Failure> {
        let recorded = self.end()?;
        let mut handle = ptr::null_mut();
        // SAFETY: the graph is ours and whole; writes one handle. The recorded graph is not needed once it has been made ready.
        let made = unsafe {
            let made = ask!(
                driver,
                cuGraphInstantiateWithFlags(&raw mut handle, recorded, 0)
            );
            let _ = ask!(driver, cuGraphDestroy(recorded));
            made
        };
        made.map(|()| Graph {
            context: Arc::clone(&self.context),
            handle,
        })
    }

    fn end(&mut self) -> Result<CUgraph, Failure> {
        self.open = false;
        self.context.set_capturing(false);
        let mut recorded = ptr::null_mut();
        // SAFETY: the stream is recording; writes one handle.
        unsafe {
            ask!(
                driver,
                cuStreamEndCapture(self.context.stream(), &raw mut recorded)
            )
        }?;
        Ok(recorded)
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        if self.open
            && self.context.enter().is_ok()
            && let Ok(recorded) = self.end()
        {
            // SAFETY: ours, and not used again.
            let _ = unsafe { ask!(driver, cuGraphDestroy(recorded)) };
        }
    }
}
