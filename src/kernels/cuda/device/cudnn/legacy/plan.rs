//! How cuDNN runs a convolution: whether it supports it, and with which algorithms. Only
//! deterministic algorithms that sum in f32 are chosen.

use cudarc::cudnn::sys::{
    cudnnConvolutionBwdDataAlgo_t as BackwardAlgorithm, cudnnConvolutionBwdDataAlgoPerf_t,
    cudnnConvolutionFwdAlgo_t as ForwardAlgorithm, cudnnConvolutionFwdAlgoPerf_t,
    cudnnDeterminism_t, cudnnHandle_t, cudnnMathType_t, cudnnStatus_t,
};

use crate::kernels::cuda::driver::{Convolution, Direction};

use super::super::super::call::{CallFailure, LibraryFailure, Status, call, split_unsupported};
use super::super::support;
use super::descriptors::{ConvolutionDescriptor, ConvolutionDescriptors};

/// More than the number of algorithms times math modes.
const ALGORITHMS: usize = 16;

/// Descriptors and algorithms of a convolution.
#[derive(Debug)]
pub(in super::super) struct ConvolutionPlan {
    pub(super) descriptors: ConvolutionDescriptors,
    pub(super) algorithm: Algorithm,
}

#[derive(Debug)]
pub(super) enum Algorithm {
    /// Without bias and residual, and with both if that is supported.
    Forward {
        bare: Choice<ForwardAlgorithm>,
        fused: Result<Choice<ForwardAlgorithm>, String>,
    },
    Backward(Choice<BackwardAlgorithm>),
}

/// An algorithm, its math mode, and the bytes of its workspace.
#[derive(Debug, Clone, Copy)]
pub(super) struct Choice<T> {
    pub(super) algorithm: T,
    pub(super) math: cudnnMathType_t,
    pub(super) workspace: usize,
}

impl ConvolutionPlan {
    /// Chooses algorithms that take at most `limit` bytes of workspace.
    pub(in super::super) fn new(
        handle: cudnnHandle_t,
        shape: &Convolution,
        limit: u64,
    ) -> Result<Self, LibraryFailure> {
        support::check(shape).map_err(|reason| LibraryFailure::Unsupported(reason.to_owned()))?;
        let descriptors = ConvolutionDescriptors::new(shape)?;
        let algorithm = match shape.direction {
            Direction::Backward => Algorithm::Backward(backward(handle, &descriptors, limit)?),
            Direction::Forward => {
                let bare = forward(handle, &descriptors, limit)?;
                // The only algorithm that cuDNN can fuse with the identity; others require a ReLU.
                let fusable = ForwardAlgorithm::CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_PRECOMP_GEMM;
                let fused = if bare.algorithm == fusable {
                    Ok(bare)
                } else {
                    let choice = forward_with(handle, &descriptors, (fusable, bare.math), limit);
                    split_unsupported(choice)?
                };
                Algorithm::Forward { bare, fused }
            }
        };
        Ok(Self {
            descriptors,
            algorithm,
        })
    }
}

/// Returns the fastest acceptable algorithm for the forward pass, by the library's estimate.
fn forward(
    handle: cudnnHandle_t,
    descriptors: &ConvolutionDescriptors,
    limit: u64,
) -> Result<Choice<ForwardAlgorithm>, LibraryFailure> {
    let ConvolutionDescriptors {
        x,
        y,
        weight,
        convolution,
        ..
    } = descriptors;
    // SAFETY: a struct of integers and floats, for which zeros are valid.
    let mut found: [cudnnConvolutionFwdAlgoPerf_t; ALGORITHMS] = unsafe { std::mem::zeroed() };
    let mut count = 0;
    // SAFETY: all handles are alive; writes their number and at most [`ALGORITHMS`] results.
    unsafe {
        call!(
            cudnn,
            cudnnGetConvolutionForwardAlgorithm_v7(
                handle,
                x.0,
                weight.0,
                convolution.0,
                y.0,
                ALGORITHMS as i32,
                &raw mut count,
                found.as_mut_ptr()
            )
        )
    }?;
    let acceptable = found[..listed(count)]
        .iter()
        .filter(|result| is_reliable(result.status, result.determinism) && is_precise(result.algo))
        .map(|result| (result.algo, result.mathType));
    first_supported(acceptable, |algorithm| {
        forward_with(handle, descriptors, algorithm, limit)
    })
}

/// Winograd and FFT algorithms lose precision in 16-bit formats.
fn is_precise(algorithm: ForwardAlgorithm) -> bool {
    matches!(
        algorithm,
        ForwardAlgorithm::CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_GEMM
            | ForwardAlgorithm::CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_PRECOMP_GEMM
            | ForwardAlgorithm::CUDNN_CONVOLUTION_FWD_ALGO_GEMM
            | ForwardAlgorithm::CUDNN_CONVOLUTION_FWD_ALGO_DIRECT
    )
}

/// Returns a forward algorithm with its workspace, if it is supported.
fn forward_with(
    handle: cudnnHandle_t,
    descriptors: &ConvolutionDescriptors,
    (algorithm, math): (ForwardAlgorithm, cudnnMathType_t),
    limit: u64,
) -> Result<Choice<ForwardAlgorithm>, LibraryFailure> {
    let ConvolutionDescriptors {
        x,
        y,
        weight,
        convolution,
        ..
    } = descriptors;
    Choice::within(limit, convolution, (algorithm, math), |workspace| {
        // SAFETY: all handles are alive; writes one integer.
        unsafe {
            call!(
                cudnn,
                cudnnGetConvolutionForwardWorkspaceSize(
                    handle,
                    x.0,
                    weight.0,
                    convolution.0,
                    y.0,
                    algorithm,
                    workspace
                )
            )
        }
    })
}

/// Returns the fastest acceptable algorithm for the backward pass, by the library's estimate.
fn backward(
    handle: cudnnHandle_t,
    descriptors: &ConvolutionDescriptors,
    limit: u64,
) -> Result<Choice<BackwardAlgorithm>, LibraryFailure> {
    let ConvolutionDescriptors {
        x,
        y,
        weight,
        convolution,
        ..
    } = descriptors;
    // SAFETY: a struct of integers and floats, for which zeros are valid.
    let mut found: [cudnnConvolutionBwdDataAlgoPerf_t; ALGORITHMS] = unsafe { std::mem::zeroed() };
    let mut count = 0;
    // SAFETY: all handles are alive; writes their number and at most [`ALGORITHMS`] results.
    unsafe {
        call!(
            cudnn,
            cudnnGetConvolutionBackwardDataAlgorithm_v7(
                handle,
                weight.0,
                y.0,
                convolution.0,
                x.0,
                ALGORITHMS as i32,
                &raw mut count,
                found.as_mut_ptr()
            )
        )
    }?;
    // The others sum in no fixed order, or lose precision.
    let precise = BackwardAlgorithm::CUDNN_CONVOLUTION_BWD_DATA_ALGO_1;
    let acceptable = found[..listed(count)]
        .iter()
        .filter(|result| is_reliable(result.status, result.determinism) && result.algo == precise)
        .map(|result| (result.algo, result.mathType));
    first_supported(acceptable, |(algorithm, math)| {
        Choice::within(limit, convolution, (algorithm, math), |workspace| {
            // SAFETY: all handles are alive; writes one integer.
            unsafe {
                call!(
                    cudnn,
                    cudnnGetConvolutionBackwardDataWorkspaceSize(
                        handle,
                        weight.0,
                        y.0,
                        convolution.0,
                        x.0,
                        algorithm,
                        workspace
                    )
                )
            }
        })
    })
}

/// Returns how many results of [`ALGORITHMS`] the library has written.
fn listed(count: i32) -> usize {
    usize::try_from(count).unwrap_or(0).min(ALGORITHMS)
}

/// Returns whether an algorithm can run, and sums in a fixed order.
fn is_reliable(status: cudnnStatus_t, determinism: cudnnDeterminism_t) -> bool {
    status.code() == 0 && determinism == cudnnDeterminism_t::CUDNN_DETERMINISTIC
}

/// Returns the first algorithm that is supported. If none is, says why the last one is not.
fn first_supported<T>(
    algorithms: impl Iterator<Item = (T, cudnnMathType_t)>,
    choose: impl Fn((T, cudnnMathType_t)) -> Result<Choice<T>, LibraryFailure>,
) -> Result<Choice<T>, LibraryFailure> {
    let mut refusal =
        LibraryFailure::Unsupported("cuDNN has no deterministic algorithm".to_owned());
    for algorithm in algorithms {
        match choose(algorithm) {
            Err(unsupported @ LibraryFailure::Unsupported(_)) => refusal = unsupported,
            choice => return choice,
        }
    }
    Err(refusal)
}

impl<T> Choice<T> {
    /// Returns an algorithm if its workspace, whose bytes `size` writes, is at most `limit`.
    fn within(
        limit: u64,
        convolution: &ConvolutionDescriptor,
        (algorithm, math): (T, cudnnMathType_t),
        size: impl FnOnce(*mut usize) -> Result<(), CallFailure>,
    ) -> Result<Self, LibraryFailure> {
        convolution.set_math(math)?;
        let mut workspace = 0;
        size(&raw mut workspace)?;
        if workspace as u64 > limit {
            return Err(LibraryFailure::Unsupported(format!(
                "the workspace of {workspace} bytes is too large"
            )));
        }
        Ok(Self {
            algorithm,
            math,
            workspace,
        })
    }
}
