//! CUDA graphs: operations that are captured once from the stream and submitted with one call.
//!
//! While the stream captures, nothing runs, and memory can be neither allocated nor freed nor read. Calls
//! from other threads wait ([`Context::guarded_alone`]). The operations were submitted before, so
//! that the libraries have their plans, kernels and workspaces.

use std::ptr;
use std::sync::Arc;

use cudarc::driver::sys::{CUgraph, CUgraphExec, CUstreamCaptureMode};

use crate::kernels::cuda::driver::Graph;
use crate::kernels::fault::DeviceFault;

use super::call::{CallFailure, FailureKind, call, refused};
use super::context::Context;
use super::memory::{DeviceMemory, WorkspaceMemory};

/// A graph that can be launched.
#[derive(Debug)]
pub(super) struct LaunchableGraph {
    context: Arc<Context>,
    handle: CUgraphExec,
    /// The workspace that its library calls use. It lives as long as the graph.
    workspace: Option<Arc<WorkspaceMemory>>,
}

// SAFETY: driver handles may be used from any thread.
unsafe impl Send for LaunchableGraph {}
// SAFETY: a graph is launched on one stream only, through the driver, which guards its state.
unsafe impl Sync for LaunchableGraph {}

impl LaunchableGraph {
    /// Captures what `submit` submits, with the context current and no call from another thread. Runs
    /// nothing.
    ///
    /// # Errors
    /// [`DeviceFault::OutOfMemory`]; [`DeviceFault::Refused`] for any other failure, after which the GPU
    /// may be usable.
    pub(super) fn capture(
        context: &Arc<Context>,
        memory: &DeviceMemory,
        submit: impl FnOnce() -> Result<(), DeviceFault>,
    ) -> Result<Self, DeviceFault> {
        let capture = Capture::begin(context).map_err(fault)?;
        // After a failure, the drop of the capture ends it and destroys what was captured.
        submit().map_err(|fault| match fault {
            DeviceFault::Lost { call, reason } => DeviceFault::Refused { call, reason },
            fault => fault,
        })?;
        let captured = capture.end().map_err(fault)?;
        let mut handle = ptr::null_mut();
        // SAFETY: the captured graph is whole and this is its only owner; writes one handle.
        let made = unsafe {
            let made = call!(
                driver,
                cuGraphInstantiateWithFlags(&raw mut handle, captured, 0)
            );
            let _ = call!(driver, cuGraphDestroy(captured));
            made
        };
        made.map_err(fault)?;
        Ok(Self {
            context: Arc::clone(context),
            handle,
            workspace: memory.workspace_memory(),
        })
    }
}

/// Returns a fault of a graph, after which operations can still be submitted one by one.
fn fault(failure: CallFailure) -> DeviceFault {
    match failure.kind() {
        FailureKind::OutOfMemory => failure.into(),
        _ => refused(failure.call, failure.reason),
    }
}

impl Graph for LaunchableGraph {
    fn launch(&self) -> Result<(), DeviceFault> {
        self.context.guarded(|| {
            // SAFETY: graph and stream are alive and belong to one context. The caller owns the memory that the
            // operations use.
            Ok(unsafe { call!(driver, cuGraphLaunch(self.handle, self.context.stream())) }?)
        })
    }
}

impl Drop for LaunchableGraph {
    fn drop(&mut self) {
        let _shared = self.context.shared();
        if self.context.make_current().is_ok() {
            // SAFETY: this is the only owner. If the graph runs, the driver frees it when it ends.
            let _ = unsafe { call!(driver, cuGraphExecDestroy(self.handle)) };
            self.workspace.take();
        }
    }
}

/// A capture, from [`Capture::begin`] to [`Capture::end`] or to its drop.
struct Capture<'a> {
    context: &'a Context,
    has_ended: bool,
}

impl<'a> Capture<'a> {
    fn begin(context: &'a Context) -> Result<Self, CallFailure> {
        // Calls of this thread that a capture does not permit fail. A library that allocates would otherwise
        // leave the graph with memory that it frees.
        let mode = CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
        // SAFETY: the stream is alive.
        unsafe { call!(driver, cuStreamBeginCapture_v2(context.stream(), mode)) }?;
        context.set_capturing(true);
        Ok(Self {
            context,
            has_ended: false,
        })
    }

    /// Returns what was captured.
    fn end(mut self) -> Result<CUgraph, CallFailure> {
        self.finish()
    }

    fn finish(&mut self) -> Result<CUgraph, CallFailure> {
        self.has_ended = true;
        self.context.set_capturing(false);
        let mut captured = ptr::null_mut();
        // SAFETY: the stream captures; writes one handle, or null after a call that was not permitted.
        unsafe {
            call!(
                driver,
                cuStreamEndCapture(self.context.stream(), &raw mut captured)
            )
        }?;
        Ok(captured)
    }
}

impl Drop for Capture<'_> {
    fn drop(&mut self) {
        if !self.has_ended
            && let Ok(captured) = self.finish()
        {
            // SAFETY: this is the only owner.
            let _ = unsafe { call!(driver, cuGraphDestroy(captured)) };
        }
    }
}
