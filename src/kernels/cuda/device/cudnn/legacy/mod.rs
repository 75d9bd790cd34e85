//! Convolutions with cuDNN's legacy functions: an algorithm for each shape, with symmetric padding.

mod descriptors;
mod plan;

use std::ffi::c_void;

use cudarc::cudnn::sys::{
    cudnnConvolutionBwdDataAlgo_t as BackwardAlgorithm,
    cudnnConvolutionFwdAlgo_t as ForwardAlgorithm, cudnnHandle_t,
};

use crate::kernels::cuda::driver::{Address, Convolution, ConvolutionData, ConvolutionOutcome};
use crate::kernels::fault::DeviceFault;

use super::super::call::{CallFailure, LibraryFailure, call};
use super::super::memory::DeviceMemory;
use super::{attempt, pointer, support};
use descriptors::ConvolutionDescriptors;
pub(super) use plan::ConvolutionPlan;
use plan::{Algorithm, Choice};

static ONE: f32 = 1.0;
static ZERO: f32 = 0.0;

/// Runs a convolution as far as its plan supports it. What turns out to be unsupported is removed from
/// the plan.
pub(super) fn convolve(
    handle: cudnnHandle_t,
    memory: &DeviceMemory,
    plan: &mut Result<ConvolutionPlan, String>,
    data: &ConvolutionData,
) -> Result<ConvolutionOutcome, DeviceFault> {
    let Ok(supported) = plan else {
        return Ok(ConvolutionOutcome::Unsupported);
    };
    let calls = Calls {
        handle,
        memory,
        descriptors: &supported.descriptors,
        data,
    };
    match &mut supported.algorithm {
        Algorithm::Backward(choice) => match attempt(memory, || calls.backward(*choice))? {
            Ok(()) => return Ok(ConvolutionOutcome::Full),
            Err(reason) => *plan = Err(reason),
        },
        Algorithm::Forward { bare, fused } => {
            if let (Ok(choice), Some(bias)) = (&fused, data.bias) {
                match attempt(memory, || calls.fused(*choice, bias))? {
                    Ok(()) => return Ok(ConvolutionOutcome::Full),
                    Err(reason) => *fused = Err(reason),
                }
            }
            match attempt(memory, || calls.forward(*bare))? {
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

/// Returns why the library refused a convolution; `None` if it did not, or if its interface does not
/// have it.
pub(super) fn refusal(
    shape: &Convolution,
    plan: &Result<ConvolutionPlan, String>,
) -> Option<String> {
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

/// What all calls for an operation have in common.
#[derive(Debug, Clone, Copy)]
struct Calls<'a> {
    handle: cudnnHandle_t,
    memory: &'a DeviceMemory,
    descriptors: &'a ConvolutionDescriptors,
    data: &'a ConvolutionData,
}

impl Calls<'_> {
    /// Computes y = conv(x) + residual + bias in one call.
    fn fused(self, choice: Choice<ForwardAlgorithm>, bias: Address) -> Result<(), LibraryFailure> {
        let ConvolutionDescriptors {
            x,
            y,
            weight,
            bias: bias_shape,
            convolution,
            identity,
        } = self.descriptors;
        // Without a residual its factor is 0 and it is not read; y has the right shape to stand in.
        let (residual, factor) = self
            .data
            .residual
            .map_or((self.data.to, 0.0_f32), |residual| (residual, 1.0));
        // SAFETY: all handles are alive; factors are f32 on the host; the caller owns the tensors,
        // which match their descriptors; the workspace has the size that the library requested.
        self.with_workspace(choice, |workspace| unsafe {
            call!(
                cudnn,
                cudnnConvolutionBiasActivationForward(
                    self.handle,
                    (&raw const ONE).cast(),
                    x.0,
                    pointer(self.data.from),
                    weight.0,
                    pointer(self.data.weight),
                    convolution.0,
                    choice.algorithm,
                    workspace,
                    choice.workspace,
                    (&raw const factor).cast(),
                    y.0,
                    pointer(residual),
                    bias_shape.0,
                    pointer(bias),
                    identity.0,
                    y.0,
                    pointer(self.data.to).cast_mut(),
                )
            )
        })
    }

    /// Computes y = conv(x).
    fn forward(self, choice: Choice<ForwardAlgorithm>) -> Result<(), LibraryFailure> {
        let ConvolutionDescriptors {
            x,
            y,
            weight,
            convolution,
            ..
        } = self.descriptors;
        // SAFETY: as for `fused`.
        self.with_workspace(choice, |workspace| unsafe {
            call!(
                cudnn,
                cudnnConvolutionForward(
                    self.handle,
                    (&raw const ONE).cast(),
                    x.0,
                    pointer(self.data.from),
                    weight.0,
                    pointer(self.data.weight),
                    convolution.0,
                    choice.algorithm,
                    workspace,
                    choice.workspace,
                    (&raw const ZERO).cast(),
                    y.0,
                    pointer(self.data.to).cast_mut(),
                )
            )
        })
    }

    /// Computes dx from dy.
    fn backward(self, choice: Choice<BackwardAlgorithm>) -> Result<(), LibraryFailure> {
        let ConvolutionDescriptors {
            x,
            y,
            weight,
            convolution,
            ..
        } = self.descriptors;
        // SAFETY: as for `fused`.
        self.with_workspace(choice, |workspace| unsafe {
            call!(
                cudnn,
                cudnnConvolutionBackwardData(
                    self.handle,
                    (&raw const ONE).cast(),
                    weight.0,
                    pointer(self.data.weight),
                    y.0,
                    pointer(self.data.from),
                    convolution.0,
                    choice.algorithm,
                    workspace,
                    choice.workspace,
                    (&raw const ZERO).cast(),
                    x.0,
                    pointer(self.data.to).cast_mut(),
                )
            )
        })
    }

    /// Makes a call with the workspace and the math mode of an algorithm.
    fn with_workspace<T: Copy>(
        self,
        choice: Choice<T>,
        call: impl FnOnce(*mut c_void) -> Result<(), CallFailure>,
    ) -> Result<(), LibraryFailure> {
        let workspace = self.memory.workspace(choice.workspace)?;
        self.descriptors.convolution.set_math(choice.math)?;
        call(pointer(workspace.address()).cast_mut())?;
        Ok(())
    }
}
