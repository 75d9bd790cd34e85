//! How cuDNN is to do a convolution: whether it can at all, and with which algorithms.

use cudarc::cudnn::sys::{
    cudnnConvolutionBwdDataAlgo_t as BackwardAlgorithm, cudnnConvolutionBwdDataAlgoPerf_t,
    cudnnConvolutionFwdAlgo_t as ForwardAlgorithm, cudnnConvolutionFwdAlgoPerf_t,
    cudnnDeterminism_t, cudnnHandle_t, cudnnMathType_t,
};

use crate::kernels::cuda::driver::{Convolution, Direction};
use crate::kernels::fault::DeviceFault;

use super::call::{Failure, Status, ask};
use super::descriptors::Descriptors;

/// The most bytes of intermediate results.
const WORKSPACE: usize = 256 << 20;
/// More algorithms than there are, each with and without tensor cores.
const ALGORITHMS: usize = 16;

/// Descriptors and algorithms.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) descriptors: Descriptors,
    pub(super) algorithm: Algorithm,
}

#[derive(Debug)]
pub(super) enum Algorithm {
    /// The convolution alone; and with residual and bias, where that can be done.
    Forward {
        bare: Choice<ForwardAlgorithm>,
        fused: Result<Choice<ForwardAlgorithm>, String>,
    },
    Backward(Choice<BackwardAlgorithm>),
}

/// An algorithm with the bytes it needs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Choice<T> {
    pub(super) algorithm: T,
    pub(super) math: cudnnMathType_t,
    pub(super) workspace: usize,
}

/// Why cuDNN did not do what it was asked for.
#[derive(Debug)]
pub(super) enum Refusal {
    /// It cannot; nothing was begun.
    Unsupported(String),
    /// It could not this time.
    Fault(DeviceFault),
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        // Whatever is wrong with a library, the convolution can be done without it. Where the GPU itself is lost, the next call says so.
        if failure.is_out_of_memory() {
            return Self::Fault(failure.into());
        }
        Self::Unsupported(format!("{}: {}", failure.call, failure.reason))
    }
}

impl From<DeviceFault> for Refusal {
    fn from(fault: DeviceFault) -> Self {
        Self::Fault(fault)
    }
}

/// Keeps apart what cannot be done, which is remembered, from what failed.
pub(super) fn supported<T>(result: Result<T, Refusal>) -> Result<Result<T, String>, DeviceFault> {
    match result {
        Ok(value) => Ok(Ok(value)),
        Err(Refusal::Unsupported(reason)) => Ok(Err(reason)),
        Err(Refusal::Fault(fault)) => Err(fault),
    }
}

impl Plan {
    pub(super) fn new(handle: cudnnHandle_t, shape: &Convolution) -> Result<Self, Refusal> {
        if !is_symmetric(shape) {
            return Err(Refusal::Unsupported(
                "its padding is not the same on all sides".to_owned(),
            ));
        }
        if !fits(shape) {
            return Err(Refusal::Unsupported("its sizes are too large".to_owned()));
        }
        let descriptors = Descriptors::new(shape)?;
        let algorithm = match shape.direction {
            Direction::Backward => Algorithm::Backward(backward(handle, &descriptors)?),
            Direction::Forward => {
                let bare = forward(handle, &descriptors)?;
                // The only algorithm that cuDNN follows up with an identity; others are for rectifiers.
                let only = ForwardAlgorithm::CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_PRECOMP_GEMM;
                let fused = if bare.algorithm == only {
                    Ok(bare)
                } else {
                    supported(forward_with(handle, &descriptors, only, bare.math))?
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

/// Does the same number of zeros above and below, and left and right, give y's size? cuDNN knows no other padding.
pub(super) fn is_symmetric(shape: &Convolution) -> bool {
    let Convolution {
        kernel,
        stride,
        pad,
        ..
    } = *shape;
    let size = |x: usize| {
        (x + 2 * pad)
            .checked_sub(kernel)
            .and_then(|rest| rest.checked_div(stride))
            .map(|steps| steps + 1)
    };
    (0..2).all(|side| size(shape.input[side]) == Some(shape.output[side]))
}

/// Can all sizes, and the number of numbers of a tensor, be given to cuDNN?
fn fits(shape: &Convolution) -> bool {
    let Convolution {
        batch,
        input,
        output,
        kernel,
        stride,
        pad,
        ..
    } = *shape;
    let weight = [output[2], kernel, kernel, input[2]];
    let tensors = [
        [batch, input[0], input[1], input[2]],
        [batch, output[0], output[1], output[2]],
        weight,
    ];
    let count = |tensor: [usize; 4]| tensor.into_iter().try_fold(1_usize, usize::checked_mul);
    let small = |count: usize| count > 0 && i32::try_from(count).is_ok();
    tensors
        .into_iter()
        .all(|tensor| count(tensor).is_some_and(small))
        && small(stride)
        && i32::try_from(pad).is_ok()
}

/// The fastest algorithm forward, by the library's own estimate, of those that we can have.
fn forward(
    handle: cudnnHandle_t,
    descriptors: &Descriptors,
) -> Result<Choice<ForwardAlgorithm>, Refusal> {
    let Descriptors {
        x,
        y,
        weight,
        convolution,
        ..
    } = descriptors;
    // SAFETY: a struct of numbers, of which all zeros is one.
    let mut found: [cudnnConvolutionFwdAlgoPerf_t; ALGORITHMS] = unsafe { std::mem::zeroed() };
    let mut count = 0;
    // SAFETY: all handles are alive; writes at most as many results as there is room for, and their number.
    unsafe {
        ask!(
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
    let mut last = Refusal::Unsupported("cuDNN has no deterministic algorithm for it".to_owned());
    for result in &found[..usize::try_from(count).unwrap_or(0).min(ALGORITHMS)] {
        if result.status.code() == 0
            && result.determinism == cudnnDeterminism_t::CUDNN_DETERMINISTIC
            && is_plain(result.algo)
        {
            match forward_with(handle, descriptors, result.algo, result.mathType) {
                Err(refusal @ Refusal::Unsupported(_)) => last = refusal,
                chosen => return chosen,
            }
        }
    }
    Err(last)
}

/// Winograd's and Fourier's ways lose bits in the formats of 16 bits.
fn is_plain(algorithm: ForwardAlgorithm) -> bool {
    matches!(
        algorithm,
        ForwardAlgorithm::CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_GEMM
            | ForwardAlgorithm::CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_PRECOMP_GEMM
            | ForwardAlgorithm::CUDNN_CONVOLUTION_FWD_ALGO_GEMM
            | ForwardAlgorithm::CUDNN_CONVOLUTION_FWD_ALGO_DIRECT
    )
}

/// An algorithm forward, if it can do this and with how much memory.
fn forward_with(
    handle: cudnnHandle_t,
    descriptors: &Descriptors,
    algorithm: ForwardAlgorithm,
    math: cudnnMathType_t,
) -> Result<Choice<ForwardAlgorithm>, Refusal> {
    let Descriptors {
        x,
        y,
        weight,
        convolution,
        ..
    } = descriptors;
    convolution.set_math(math)?;
    let mut workspace = 0;
    // SAFETY: all handles are alive; writes one number.
    unsafe {
        ask!(
            cudnn,
            cudnnGetConvolutionForwardWorkspaceSize(
                handle,
                x.0,
                weight.0,
                convolution.0,
                y.0,
                algorithm,
                &raw mut workspace
            )
        )
    }?;
    Choice {
        algorithm,
        math,
        workspace,
    }
    .limited()
}

/// The fastest algorithm backward, by the library's own estimate, of those that we can have.
fn backward(
    handle: cudnnHandle_t,
    descriptors: &Descriptors,
) -> Result<Choice<BackwardAlgorithm>, Refusal> {
    let Descriptors {
        x,
        y,
        weight,
        convolution,
        ..
    } = descriptors;
    // SAFETY: a struct of numbers, of which all zeros is one.
    let mut found: [cudnnConvolutionBwdDataAlgoPerf_t; ALGORITHMS] = unsafe { std::mem::zeroed() };
    let mut count = 0;
    // SAFETY: all handles are alive; writes at most as many results as there is room for, and their number.
    unsafe {
        ask!(
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
    let mut last = Refusal::Unsupported("cuDNN has no deterministic algorithm for it".to_owned());
    for result in &found[..usize::try_from(count).unwrap_or(0).min(ALGORITHMS)] {
        // The other ones either add in any order, or lose bits.
        let plain = result.algo == BackwardAlgorithm::CUDNN_CONVOLUTION_BWD_DATA_ALGO_1;
        if result.status.code() == 0
            && result.determinism == cudnnDeterminism_t::CUDNN_DETERMINISTIC
            && plain
        {
            match backward_with(handle, descriptors, result.algo, result.mathType) {
                Err(refusal @ Refusal::Unsupported(_)) => last = refusal,
                chosen => return chosen,
            }
        }
    }
    Err(last)
}

/// An algorithm backward, if it can do this and with how much memory.
fn backward_with(
    handle: cudnnHandle_t,
    descriptors: &Descriptors,
    algorithm: BackwardAlgorithm,
    math: cudnnMathType_t,
) -> Result<Choice<BackwardAlgorithm>, Refusal> {
    let Descriptors {
        x,
        y,
        weight,
        convolution,
        ..
    } = descriptors;
    convolution.set_math(math)?;
    let mut workspace = 0;
    // SAFETY: all handles are alive; writes one number.
    unsafe {
        ask!(
            cudnn,
            cudnnGetConvolutionBackwardDataWorkspaceSize(
                handle,
                weight.0,
                y.0,
                convolution.0,
                x.0,
                algorithm,
                &raw mut workspace
            )
        )
    }?;
    Choice {
        algorithm,
        math,
        workspace,
    }
    .limited()
}

impl<T> Choice<T> {
    /// Unless it needs too much memory.
    fn limited(self) -> Result<Self, Refusal> {
        if self.workspace <= WORKSPACE {
            Ok(self)
        } else {
            Err(Refusal::Unsupported(format!(
                "{} bytes for intermediate results are too many",
                self.workspace
            )))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::cuda::driver::Format;

    fn shape(input: usize, output: usize, kernel: usize, stride: usize, pad: usize) -> Convolution {
        Convolution {
            direction: Direction::Forward,
            format: Format::F16,
            batch: 1,
            input: [input, input, 8],
            output: [output, output, 16],
            kernel,
            stride,
            pad,
        }
    }

    #[test]
    fn only_equal_padding_is_cudnns() {
        // The convolutions of Stable Diffusion 1.5: same size, pointwise, halving with zeros all around.
        assert!(is_symmetric(&shape(64, 64, 3, 1, 1)));
        assert!(is_symmetric(&shape(64, 64, 1, 1, 0)));
        assert!(is_symmetric(&shape(64, 32, 3, 2, 1)));
        assert!(is_symmetric(&shape(63, 32, 3, 2, 1)));
        // The autoencoder's halving: no zeros above and left, one row below and one column to the right.
        assert!(!is_symmetric(&shape(64, 32, 3, 2, 0)));
        // One more or less than any equal padding gives.
        assert!(!is_symmetric(&shape(64, 65, 3, 1, 1)));
        assert!(!is_symmetric(&shape(64, 63, 3, 1, 1)));
        // Each side counts.
        assert!(!is_symmetric(&Convolution {
            output: [64, 63, 16],
            ..shape(64, 64, 3, 1, 1)
        }));
        // What makes no sense is not symmetric, either.
        assert!(!is_symmetric(&shape(1, 1, 5, 1, 0)));
        assert!(!is_symmetric(&shape(64, 64, 3, 0, 1)));
    }

    #[test]
    fn equal_padding_means_what_the_size_says() {
        for input in 1..20 {
            for (kernel, stride, pad) in [(1, 1, 0), (3, 1, 1), (3, 2, 1), (3, 2, 0), (5, 3, 2)] {
                // Windows that lie inside x and its zeros, counted one by one.
                let padded = input + 2 * pad;
                let windows = (0..padded)
                    .step_by(stride)
                    .filter(|first| first + kernel <= padded)
                    .count();
                for output in 0..25 {
                    assert_eq!(
                        is_symmetric(&shape(input, output, kernel, stride, pad)),
                        output == windows && windows > 0
                    );
                }
            }
        }
    }

    #[test]
    fn sizes_that_no_int_holds_are_not_cudnns() {
        assert!(fits(&shape(64, 64, 3, 1, 1)));
        assert!(!fits(&Convolution {
            batch: 1 << 20,
            ..shape(64, 64, 3, 1, 1)
        }));
        assert!(!fits(&Convolution {
            batch: 0,
            ..shape(64, 64, 3, 1, 1)
        }));
        assert!(!fits(&Convolution {
            input: [usize::MAX, 2, 2],
            ..shape(64, 64, 3, 1, 1)
        }));
    }

    #[test]
    fn refusals_are_told_from_failures() {
        let failure = |code| Failure {
            call: "cudnnConvolutionForward",
            code,
            reason: "no".to_owned(),
        };
        for code in [1001, 2000, 2008, 3000, 3003, 4002, 5000] {
            assert!(!failure(code).is_out_of_memory());
            assert!(matches!(
                Refusal::from(failure(code)),
                Refusal::Unsupported(_)
            ));
        }
        assert!(
            [4003, 4004]
                .into_iter()
                .all(|code| failure(code).is_out_of_memory())
        );
    }
}
