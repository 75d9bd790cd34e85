//! Convolutions with cuDNN: by its legacy functions, or by its graph API where the environment
//! selects it and the library supports the convolution.
//!
//! The legacy functions are the default until the graph API has been checked on a GPU: with
//! `DRAGNEXT_CUDNN=graph`, `dragnext doctor --device cuda --check` compares it with the CPU, and
//! `dragnext doctor` says how many convolutions of Stable Diffusion 1.5 it computes.

mod api;
mod graph;
mod legacy;
mod report;
mod support;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ffi::c_void;
use std::ptr;
use std::sync::{Arc, Mutex};

use cudarc::cudnn::sys::cudnnHandle_t;

use crate::kernels::cuda::driver::{Address, Convolution, ConvolutionData, ConvolutionOutcome};
use crate::kernels::fault::DeviceFault;

use super::DeviceUnavailable;
use super::call::{LibraryFailure, call, split_unsupported};
use super::context::Context;
use super::library::{CUDNN_MAJOR, NvidiaLibrary, version_text};
use super::memory::{DeviceMemory, locked};
use super::symbol::invoke;
pub(super) use api::CudnnApi;
use graph::{GraphPlan, Terms};
use legacy::ConvolutionPlan;
pub use report::PlannedConvolutions;

/// The limits of workspaces in bytes on GPUs with little and with much free memory.
const WORKSPACES: [u64; 2] = [256 << 20, 4 << 30];

/// A cuDNN handle with the plans of earlier convolutions.
#[derive(Debug)]
pub(super) struct Cudnn {
    context: Arc<Context>,
    memory: Arc<DeviceMemory>,
    /// Maximum bytes of workspace of an algorithm.
    workspace_limit: u64,
    /// `None` if the graph API was not selected. An `Err` says why it cannot be used.
    graphs: Option<Result<(), String>>,
    state: Mutex<CudnnState>,
}

#[derive(Debug)]
struct CudnnState {
    handle: cudnnHandle_t,
    /// An `Err` says why the legacy functions do not support the convolution.
    legacy: HashMap<Convolution, Result<ConvolutionPlan, String>>,
    graphs: HashMap<(Convolution, Terms), Result<GraphPlan, GraphRefusal>>,
}

/// Why the graph API does not compute a convolution.
#[derive(Debug)]
struct GraphRefusal {
    reason: String,
    /// Whether it never will. Otherwise the next call plans it again.
    is_permanent: bool,
}

// SAFETY: a library handle may be used from any thread, by one thread at a time.
unsafe impl Send for CudnnState {}

/// Loads the library and checks its version.
///
/// # Errors
/// [`DeviceUnavailable::NoLibrary`], [`DeviceUnavailable::LibraryLacks`],
/// [`DeviceUnavailable::LibraryVersion`].
fn load() -> Result<(), DeviceUnavailable> {
    NvidiaLibrary::Cudnn.find()?;
    // SAFETY: the library is loaded.
    let version = unsafe { invoke!(cudnn, cudnnGetVersion()) };
    if version / 10_000 == CUDNN_MAJOR as usize {
        return Ok(());
    }
    Err(DeviceUnavailable::LibraryVersion {
        library: NvidiaLibrary::Cudnn.name(),
        found: version_text(version),
        needed: CUDNN_MAJOR.to_string(),
    })
}

impl Cudnn {
    /// Creates a handle on the context's stream.
    pub(super) fn new(
        context: Arc<Context>,
        memory: Arc<DeviceMemory>,
        api: CudnnApi,
    ) -> Result<Self, DeviceUnavailable> {
        load()?;
        let mut handle = ptr::null_mut();
        // SAFETY: the library is loaded and the context is current; writes one handle.
        unsafe { call!(cudnn, cudnnCreate(&raw mut handle)) }?;
        let library = Self {
            context,
            workspace_limit: workspace_limit(memory.bytes().free),
            memory,
            graphs: api.graphs(),
            state: Mutex::new(CudnnState {
                handle,
                legacy: HashMap::new(),
                graphs: HashMap::new(),
            }),
        };
        // SAFETY: handle and stream are alive, and the stream outlives the handle.
        unsafe {
            call!(
                cudnn,
                cudnnSetStream(handle, library.context.stream().cast())
            )
        }?;
        Ok(library)
    }

    /// Returns the largest workspace in bytes that an algorithm may take. The choice of algorithms depends on it.
    pub(super) fn workspace_limit(&self) -> u64 {
        self.workspace_limit
    }

    /// Returns whether the graph API is used.
    pub(super) fn uses_graphs(&self) -> bool {
        matches!(self.graphs, Some(Ok(())))
    }

    /// Runs a convolution as far as cuDNN supports it.
    pub(super) fn convolve(
        &self,
        shape: &Convolution,
        data: &ConvolutionData,
    ) -> Result<ConvolutionOutcome, DeviceFault> {
        let mut state = locked(&self.state);
        if self.uses_graphs() {
            let all = Terms::of(data);
            let without = (all != Terms::None).then_some(Terms::None);
            for terms in [all].into_iter().chain(without) {
                if self.by_graph(&mut state, shape, terms, data)? {
                    return Ok(if terms.cover(data) {
                        ConvolutionOutcome::Full
                    } else {
                        ConvolutionOutcome::Partial
                    });
                }
            }
        }
        let handle = state.handle;
        let plan = self.legacy_plan(&mut state, shape)?;
        legacy::convolve(handle, &self.memory, plan, data)
    }

    /// Runs a convolution with the graph API. Returns `false` if that does not support it.
    fn by_graph(
        &self,
        state: &mut CudnnState,
        shape: &Convolution,
        terms: Terms,
        data: &ConvolutionData,
    ) -> Result<bool, DeviceFault> {
        let handle = state.handle;
        let planned = self.graph_plan(state, shape, terms)?;
        let Ok(plan) = planned else {
            return Ok(false);
        };
        if !plan.accepts(data) {
            return Ok(false);
        }
        let executed = attempt(&self.memory, || {
            let workspace = self.memory.workspace(plan.workspace())?;
            plan.execute(handle, data, workspace.address())
        })?;
        let Err(reason) = executed else {
            return Ok(true);
        };
        *planned = Err(GraphRefusal {
            reason,
            is_permanent: true,
        });
        Ok(false)
    }

    /// Returns the plan of a convolution with the graph API. Plans it unless that was done, or was
    /// refused for good.
    fn graph_plan<'a>(
        &self,
        state: &'a mut CudnnState,
        shape: &Convolution,
        terms: Terms,
    ) -> Result<&'a mut Result<GraphPlan, GraphRefusal>, DeviceFault> {
        let handle = state.handle;
        Ok(match state.graphs.entry((*shape, terms)) {
            Entry::Occupied(known) if is_final(known.get()) => known.into_mut(),
            entry => entry
                .insert_entry(self.planned(handle, shape, terms)?)
                .into_mut(),
        })
    }

    /// Plans a convolution with the graph API.
    fn planned(
        &self,
        handle: cudnnHandle_t,
        shape: &Convolution,
        terms: Terms,
    ) -> Result<Result<GraphPlan, GraphRefusal>, DeviceFault> {
        let plan = || GraphPlan::new(handle, shape, terms, self.workspace_limit);
        match attempt(&self.memory, plan) {
            Ok(planned) => Ok(planned.map_err(|reason| GraphRefusal {
                reason,
                is_permanent: true,
            })),
            Err(DeviceFault::Lost { call, reason }) if !self.context.is_lost() => {
                Ok(Err(GraphRefusal {
                    reason: format!("{call}: {reason}"),
                    is_permanent: false,
                }))
            }
            Err(fault) => Err(fault),
        }
    }

    fn legacy_plan<'a>(
        &self,
        state: &'a mut CudnnState,
        shape: &Convolution,
    ) -> Result<&'a mut Result<ConvolutionPlan, String>, DeviceFault> {
        let handle = state.handle;
        Ok(match state.legacy.entry(*shape) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => {
                let plan = || ConvolutionPlan::new(handle, shape, self.workspace_limit);
                entry.insert(attempt(&self.memory, plan)?)
            }
        })
    }
}

impl Drop for Cudnn {
    fn drop(&mut self) {
        if self.context.make_current().is_ok() {
            let _ = self.context.synchronise();
            let mut state = locked(&self.state);
            state.legacy.clear();
            state.graphs.clear();
            // SAFETY: this is the only owner, and the handle is not used again.
            let _ = unsafe { call!(cudnn, cudnnDestroy(state.handle)) };
        }
    }
}

/// Returns the largest workspace in bytes that an algorithm may take where `free` bytes are free: a power of two of up to a quarter of
/// them, so that runs with about the same free memory choose the same algorithms.
fn workspace_limit(free: u64) -> u64 {
    let [least, most] = WORKSPACES;
    let exponent = (free / 4).max(1).ilog2();
    (1 << exponent).clamp(least, most)
}

/// Returns whether planning again would give the same.
fn is_final(plan: &Result<GraphPlan, GraphRefusal>) -> bool {
    match plan {
        Ok(_) => true,
        Err(refusal) => refusal.is_permanent,
    }
}

/// Makes a call, a second time if memory may have been short, and separates unsupported operations
/// from faults.
fn attempt<T>(
    memory: &DeviceMemory,
    call: impl Fn() -> Result<T, LibraryFailure>,
) -> Result<Result<T, String>, DeviceFault> {
    split_unsupported(memory.with_retry(call))
}

fn pointer(address: Address) -> *const c_void {
    ptr::without_provenance(address.0 as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workspaces_follow_the_free_memory() {
        let mib = |free: u64| workspace_limit(free << 20) >> 20;
        let limits = [0, 500, 3_900, 4_096, 7_900, 11_900, 23_500, 80_000].map(mib);
        assert_eq!(limits, [256, 256, 512, 1024, 1024, 2048, 4096, 4096]);
    }
}
