//! Convolutions with cuDNN.

mod descriptors;
mod plan;
mod support;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ffi::c_void;
use std::ptr;
use std::sync::{Arc, Mutex};

use cudarc::cudnn::sys::{
    cudnnConvolutionBwdDataAlgo_t as BackwardAlgorithm,
    cudnnConvolutionFwdAlgo_t as ForwardAlgorithm, cudnnHandle_t,
};

use crate::kernels::cuda::driver::{Address, Convolution, ConvolutionData, ConvolutionOutcome};
use crate::kernels::fault::DeviceFault;

use super::DeviceUnavailable;
use super::call::{LibraryFailure, call, split_unsupported};
use super::context::Context;
use super::library::{CUDNN_MAJOR, NvidiaLibrary, version_text};
use super::memory::{DeviceMemory, locked};
use super::symbol::invoke;
use descriptors::ConvolutionDescriptors;
use plan::{Algorithm, Choice, ConvolutionPlan};

/// A cuDNN handle with the plans of earlier convolutions.
#[derive(Debug)]
pub(super) struct Cudnn {
    context: Arc<Context>,
    memory: Arc<DeviceMemory>,
    /// Maximum bytes of workspace of an algorithm.
    workspace_limit: u64,
    state: Mutex<CudnnState>,
}

#[derive(Debug)]
struct CudnnState {
    handle: cudnnHandle_t,
    /// An `Err` says why cuDNN does not support the convolution.
    plans: HashMap<Convolution, Result<ConvolutionPlan, String>>,
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
    // Before cuDNN 9, the major version was multiplied by 1000.
    let found = if version < 10_000 {
        format!("{}.{}", version / 1000, version / 100 % 10)
    } else {
        version_text(version)
    };
    Err(DeviceUnavailable::LibraryVersion {
        library: NvidiaLibrary::Cudnn.name(),
        found,
        needed: CUDNN_MAJOR.to_string(),
    })
}

impl Cudnn {
    /// Creates a handle on the context's stream.
    pub(super) fn new(
        context: Arc<Context>,
        memory: Arc<DeviceMemory>,
    ) -> Result<Self, DeviceUnavailable> {
        load()?;
        let mut handle = ptr::null_mut();
        // SAFETY: the library is loaded and the context is current; writes one handle.
        unsafe { call!(cudnn, cudnnCreate(&raw mut handle)) }?;
        let library = Self {
            context,
            workspace_limit: plan::workspace_limit(memory.bytes().free),
            memory,
            state: Mutex::new(CudnnState {
                handle,
                plans: HashMap::new(),
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

    /// Runs a convolution as far as cuDNN supports it.
    pub(super) fn convolve(
        &self,
        shape: &Convolution,
        data: &ConvolutionData,
    ) -> Result<ConvolutionOutcome, DeviceFault> {
        let mut state = locked(&self.state);
        let CudnnState { handle, plans } = &mut *state;
        let handle = *handle;
        let plan = self.plan(handle, plans, shape)?;
        let Ok(supported) = plan else {
            return Ok(ConvolutionOutcome::Unsupported);
        };
        // An algorithm that turns out to be unsupported is not tried again.
        let descriptors = &supported.descriptors;
        match &mut supported.algorithm {
            Algorithm::Backward(choice) => {
                match self.attempt(|| self.backward(handle, descriptors, *choice, data))? {
                    Ok(()) => return Ok(ConvolutionOutcome::Full),
                    Err(reason) => *plan = Err(reason),
                }
            }
            Algorithm::Forward { bare, fused } => {
                if let (Ok(choice), Some(bias)) = (&fused, data.bias) {
                    match self.attempt(|| self.fused(handle, descriptors, *choice, data, bias))? {
                        Ok(()) => return Ok(ConvolutionOutcome::Full),
                        Err(reason) => *fused = Err(reason),
                    }
                }
                match self.attempt(|| self.forward(handle, descriptors, *bare, data))? {
                    Ok(()) if data.bias.is_none() && data.residual.is_none() => {
                        return Ok(ConvolutionOutcome::Full);
                    }
                    Ok(()) => return Ok(ConvolutionOutcome::Partial),
                    Err(reason) => *plan = Err(reason),
                }
            }
        }
        Ok(ConvolutionOutcome::Unsupported)
    }

    /// Plans convolutions without running them, and returns those that are refused, as
    /// [`Cudnn::refused`] does.
    pub(super) fn refused_of(
        &self,
        shapes: &[Convolution],
    ) -> Result<Vec<(Convolution, String)>, DeviceFault> {
        let mut state = locked(&self.state);
        let CudnnState { handle, plans } = &mut *state;
        let mut refused = Vec::new();
        for shape in shapes {
            let plan = self.plan(*handle, plans, shape)?;
            refused.extend(refusal(shape, plan).map(|reason| (*shape, reason)));
        }
        Ok(refused)
    }

    fn plan<'a>(
        &self,
        handle: cudnnHandle_t,
        plans: &'a mut HashMap<Convolution, Result<ConvolutionPlan, String>>,
        shape: &Convolution,
    ) -> Result<&'a mut Result<ConvolutionPlan, String>, DeviceFault> {
        Ok(match plans.entry(*shape) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => {
                let plan = || ConvolutionPlan::new(handle, shape, self.workspace_limit);
                entry.insert(self.attempt(plan)?)
            }
        })
    }

    /// Makes a call, a second time if memory may have been short, and separates unsupported
    /// operations from faults.
    fn attempt<T>(
        &self,
        call: impl Fn() -> Result<T, LibraryFailure>,
    ) -> Result<Result<T, String>, DeviceFault> {
        split_unsupported(self.memory.with_retry(call))
    }

    /// Computes y = conv(x) + residual + bias in one call.
    fn fused(
        &self,
        handle: cudnnHandle_t,
        descriptors: &ConvolutionDescriptors,
        choice: Choice<ForwardAlgorithm>,
        data: &ConvolutionData,
        bias: Address,
    ) -> Result<(), LibraryFailure> {
        let ConvolutionDescriptors {
            x,
            y,
            weight,
            bias: bias_shape,
            convolution,
            identity,
        } = descriptors;
        let workspace = self.memory.workspace(choice.workspace)?;
        convolution.set_math(choice.math)?;
        // Without a residual its factor is 0 and it is not read; y has the right shape to stand in.
        let (residual, factor) = data
            .residual
            .map_or((data.to, 0.0_f32), |residual| (residual, 1.0));
        // SAFETY: all handles are alive; factors are f32 on the host; the caller owns the tensors,
        // which match their descriptors; the workspace has the size that the library requested.
        Ok(unsafe {
            call!(
                cudnn,
                cudnnConvolutionBiasActivationForward(
                    handle,
                    (&raw const ONE).cast(),
                    x.0,
                    pointer(data.from),
                    weight.0,
                    pointer(data.weight),
                    convolution.0,
                    choice.algorithm,
                    pointer(workspace.address()).cast_mut(),
                    choice.workspace,
                    (&raw const factor).cast(),
                    y.0,
                    pointer(residual),
                    bias_shape.0,
                    pointer(bias),
                    identity.0,
                    y.0,
                    pointer(data.to).cast_mut(),
                )
            )
        }?)
    }

    /// Computes y = conv(x).
    fn forward(
        &self,
        handle: cudnnHandle_t,
        descriptors: &ConvolutionDescriptors,
        choice: Choice<ForwardAlgorithm>,
        data: &ConvolutionData,
    ) -> Result<(), LibraryFailure> {
        let ConvolutionDescriptors {
            x,
            y,
            weight,
            convolution,
            ..
        } = descriptors;
        let workspace = self.memory.workspace(choice.workspace)?;
        convolution.set_math(choice.math)?;
        // SAFETY: as for `fused`.
        Ok(unsafe {
            call!(
                cudnn,
                cudnnConvolutionForward(
                    handle,
                    (&raw const ONE).cast(),
                    x.0,
                    pointer(data.from),
                    weight.0,
                    pointer(data.weight),
                    convolution.0,
                    choice.algorithm,
                    pointer(workspace.address()).cast_mut(),
                    choice.workspace,
                    (&raw const ZERO).cast(),
                    y.0,
                    pointer(data.to).cast_mut(),
                )
            )
        }?)
    }

    /// Computes dx from dy.
    fn backward(
        &self,
        handle: cudnnHandle_t,
        descriptors: &ConvolutionDescriptors,
        choice: Choice<BackwardAlgorithm>,
        data: &ConvolutionData,
    ) -> Result<(), LibraryFailure> {
        let ConvolutionDescriptors {
            x,
            y,
            weight,
            convolution,
            ..
        } = descriptors;
        let workspace = self.memory.workspace(choice.workspace)?;
        convolution.set_math(choice.math)?;
        // SAFETY: as for `fused`.
        Ok(unsafe {
            call!(
                cudnn,
                cudnnConvolutionBackwardData(
                    handle,
                    (&raw const ONE).cast(),
                    weight.0,
                    pointer(data.weight),
                    y.0,
                    pointer(data.from),
                    convolution.0,
                    choice.algorithm,
                    pointer(workspace.address()).cast_mut(),
                    choice.workspace,
                    (&raw const ZERO).cast(),
                    x.0,
                    pointer(data.to).cast_mut(),
                )
            )
        }?)
    }

    /// Returns the convolutions that the library refused although its interface has them, and those
    /// that it refused with bias and residual, each with the reason.
    pub(super) fn refused(&self) -> Vec<(Convolution, String)> {
        let state = locked(&self.state);
        let plans = state.plans.iter();
        plans
            .filter_map(|(shape, plan)| Some((*shape, refusal(shape, plan)?)))
            .collect()
    }
}

/// Returns why the library refused a convolution; `None` if it did not, or if its interface does not
/// have it.
fn refusal(shape: &Convolution, plan: &Result<ConvolutionPlan, String>) -> Option<String> {
    support::check(shape).ok()?;
    match plan {
        Err(reason) => Some(reason.clone()),
        Ok(plan) => match &plan.algorithm {
            Algorithm::Forward {
                fused: Err(reason), ..
            } => Some(format!("bias and residual: {reason}")),
            Algorithm::Forward { .. } | Algorithm::Backward(_) => None,
        },
    }
}

impl Drop for Cudnn {
    fn drop(&mut self) {
        if self.context.make_current().is_ok() {
            let _ = self.context.synchronise();
            let mut state = locked(&self.state);
            state.plans.clear();
            // SAFETY: this is the only owner, and the handle is not used again.
            let _ = unsafe { call!(cudnn, cudnnDestroy(state.handle)) };
        }
    }
}

static ONE: f32 = 1.0;
static ZERO: f32 = 0.0;

fn pointer(address: Address) -> *const c_void {
    ptr::without_provenance(address.0 as usize)
}
