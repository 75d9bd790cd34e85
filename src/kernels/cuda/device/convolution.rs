//! Convolutions by cuDNN.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ffi::c_void;
use std::ptr;
use std::sync::{Arc, Mutex};

use cudarc::cudnn::sys::{
    cudnnConvolutionBwdDataAlgo_t as BackwardAlgorithm,
    cudnnConvolutionFwdAlgo_t as ForwardAlgorithm, cudnnGetVersion, cudnnHandle_t,
};

use crate::kernels::cuda::driver::{Address, Convolution, ConvolutionData, Convolved};
use crate::kernels::fault::DeviceFault;

use super::Unavailable;
use super::call::ask;
use super::context::Context;
use super::descriptors::Descriptors;
use super::library::Library;
use super::memory::{Memory, locked};
use super::plan::{Algorithm, Choice, Plan, Refusal, supported};

/// The release whose functions and status numbers these are.
const MAJOR: usize = 9;

/// The library with what it was asked before.
#[derive(Debug)]
pub(super) struct Convolver {
    context: Arc<Context>,
    memory: Arc<Memory>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    handle: cudnnHandle_t,
    /// Why not, where the library cannot.
    plans: HashMap<Convolution, Result<Plan, String>>,
}

// SAFETY: handles of the library, which may be used from any thread, one at a time.
unsafe impl Send for State {}

/// The library's version: 91002 is 9.10.2.
pub(super) fn version() -> Result<usize, Unavailable> {
    Library::Cudnn.find()?;
    // SAFETY: the library is loaded.
    let version = unsafe { cudnnGetVersion() };
    let text = format!(
        "{}.{}.{}",
        version / 10_000,
        version / 100 % 100,
        version % 100
    );
    if version / 10_000 == MAJOR {
        Ok(version)
    } else {
        // Before 9 there were three digits less in front.
        let found = if version < 10_000 {
            format!("{}.{}", version / 1000, version / 100 % 10)
        } else {
            text
        };
        Err(Unavailable::LibraryVersion {
            library: Library::Cudnn.name(),
            found,
            needed: MAJOR.to_string(),
        })
    }
}

impl Convolver {
    /// The library on the context's stream.
    pub(super) fn new(context: Arc<Context>, memory: Arc<Memory>) -> Result<Self, Unavailable> {
        version()?;
        let mut handle = ptr::null_mut();
        // SAFETY: the library is loaded and the context bound; writes one handle.
        unsafe { ask!(cudnn, cudnnCreate(&raw mut handle)) }?;
        let convolver = Self {
            context,
            memory,
            state: Mutex::new(State {
                handle,
                plans: HashMap::new(),
            }),
        };
        // SAFETY: handle and stream are alive, the latter for longer.
        unsafe {
            ask!(
                cudnn,
                cudnnSetStream(handle, convolver.context.stream().cast())
            )
        }?;
        Ok(convolver)
    }

    /// A convolution, as far as the library can do it.
    pub(super) fn convolve(
        &self,
        shape: &Convolution,
        data: &ConvolutionData,
    ) -> Result<Convolved, DeviceFault> {
        let mut state = locked(&self.state);
        let State { handle, plans } = &mut *state;
        let plan = match plans.entry(*shape) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(unknown) => unknown.insert(supported(Plan::new(*handle, shape))?),
        };
        let Ok(known) = plan else {
            return Ok(Convolved::Not);
        };
        // What the library chose and then cannot do after all is not tried again.
        match &mut known.algorithm {
            Algorithm::Backward(choice) => {
                match supported(self.backward(*handle, &known.descriptors, *choice, data))? {
                    Ok(()) => return Ok(Convolved::Whole),
                    Err(reason) => *plan = Err(reason),
                }
            }
            Algorithm::Forward { bare, fused } => {
                if let (Ok(choice), Some(bias)) = (&fused, data.bias) {
                    match supported(self.fused(*handle, &known.descriptors, *choice, data, bias))? {
                        Ok(()) => return Ok(Convolved::Whole),
                        Err(reason) => *fused = Err(reason),
                    }
                }
                match supported(self.forward(*handle, &known.descriptors, *bare, data))? {
                    Ok(()) if data.bias.is_none() && data.residual.is_none() => {
                        return Ok(Convolved::Whole);
                    }
                    Ok(()) => return Ok(Convolved::Bare),
                    Err(reason) => *plan = Err(reason),
                }
            }
        }
        Ok(Convolved::Not)
    }

    /// y = conv(x) + residual + bias in one go.
    fn fused(
        &self,
        handle: cudnnHandle_t,
        descriptors: &Descriptors,
        choice: Choice<ForwardAlgorithm>,
        data: &ConvolutionData,
        bias: Address,
    ) -> Result<(), Refusal> {
        let Descriptors {
            x,
            y,
            weight,
            bias: bias_shape,
            convolution,
            identity,
        } = descriptors;
        let scratch = self.memory.scratch(choice.workspace)?;
        convolution.set_math(choice.math)?;
        // Without a residual its factor is 0, and what stands there is not read; y is a place of its shape.
        let (residual, factor) = data
            .residual
            .map_or((data.to, 0.0_f32), |residual| (residual, 1.0));
        // SAFETY: all handles are alive; factors are f32 on the host; the caller owns the numbers, described as they are; there is as much
        // scratch memory as the library asked for.
        Ok(unsafe {
            ask!(
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
                    pointer(scratch.address()).cast_mut(),
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

    /// y = conv(x).
    fn forward(
        &self,
        handle: cudnnHandle_t,
        descriptors: &Descriptors,
        choice: Choice<ForwardAlgorithm>,
        data: &ConvolutionData,
    ) -> Result<(), Refusal> {
        let Descriptors {
            x,
            y,
            weight,
            convolution,
            ..
        } = descriptors;
        let scratch = self.memory.scratch(choice.workspace)?;
        convolution.set_math(choice.math)?;
        // SAFETY: as for `fused`.
        Ok(unsafe {
            ask!(
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
                    pointer(scratch.address()).cast_mut(),
                    choice.workspace,
                    (&raw const ZERO).cast(),
                    y.0,
                    pointer(data.to).cast_mut(),
                )
            )
        }?)
    }

    /// dx from dy.
    fn backward(
        &self,
        handle: cudnnHandle_t,
        descriptors: &Descriptors,
        choice: Choice<BackwardAlgorithm>,
        data: &ConvolutionData,
    ) -> Result<(), Refusal> {
        let Descriptors {
            x,
            y,
            weight,
            convolution,
            ..
        } = descriptors;
        let scratch = self.memory.scratch(choice.workspace)?;
        convolution.set_math(choice.math)?;
        // SAFETY: as for `fused`.
        Ok(unsafe {
            ask!(
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
                    pointer(scratch.address()).cast_mut(),
                    choice.workspace,
                    (&raw const ZERO).cast(),
                    x.0,
                    pointer(data.to).cast_mut(),
                )
            )
        }?)
    }

    /// What the library was asked for and could not do, wholly or in one go with residual and bias, each with its reason.
    pub(super) fn refused(&self) -> Vec<(Convolution, String)> {
        let state = locked(&self.state);
        let reason = |plan: &Result<Plan, String>| match plan {
            Err(reason) => Some(reason.clone()),
            Ok(Plan {
                algorithm: Algorithm::Forward { fused, .. },
                ..
            }) => fused
                .as_ref()
                .err()
                .map(|reason| format!("bias and residual: {reason}")),
            Ok(_) => None,
        };
        state
            .plans
            .iter()
            .filter_map(|(shape, plan)| Some((*shape, reason(plan)?)))
            .collect()
    }
}

impl Drop for Convolver {
    fn drop(&mut self) {
        if self.context.enter().is_ok() {
            let _ = self.context.synchronise();
            let mut state = locked(&self.state);
            state.plans.clear();
            // SAFETY: ours, and not used again.
            let _ = unsafe { ask!(cudnn, cudnnDestroy(state.handle)) };
        }
    }
}

static ONE: f32 = 1.0;
static ZERO: f32 = 0.0;

fn pointer(address: Address) -> *const c_void {
    ptr::without_provenance(address.0 as usize)
}
