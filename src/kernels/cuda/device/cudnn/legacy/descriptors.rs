//! cuDNN's descriptors of a convolution: activations in NHWC, weights in KRSC, sums in f32.

use std::ptr;

use cudarc::cudnn::sys::{
    cudnnActivationDescriptor_t, cudnnActivationMode_t, cudnnConvolutionDescriptor_t,
    cudnnConvolutionMode_t, cudnnDataType_t, cudnnFilterDescriptor_t, cudnnMathType_t,
    cudnnNanPropagation_t, cudnnTensorDescriptor_t, cudnnTensorFormat_t,
};

use crate::kernels::cuda::driver::{Convolution, Format};

use super::super::super::call::{CallFailure, call};
use super::super::support::data_type;

/// All descriptors of a convolution.
#[derive(Debug)]
pub(super) struct ConvolutionDescriptors {
    pub(super) x: TensorDescriptor,
    pub(super) y: TensorDescriptor,
    pub(super) weight: FilterDescriptor,
    pub(super) bias: TensorDescriptor,
    pub(super) convolution: ConvolutionDescriptor,
    pub(super) identity: ActivationDescriptor,
}

impl ConvolutionDescriptors {
    /// Describes a convolution whose sizes fit 32 bits.
    pub(super) fn new(shape: &Convolution) -> Result<Self, CallFailure> {
        let Convolution {
            format,
            batch,
            input,
            output,
            kernel,
            ..
        } = *shape;
        Ok(Self {
            x: TensorDescriptor::new(format, batch, input)?,
            y: TensorDescriptor::new(format, batch, output)?,
            weight: FilterDescriptor::new(format, output[2], kernel, input[2])?,
            bias: TensorDescriptor::new(format, 1, [1, 1, output[2]])?,
            convolution: ConvolutionDescriptor::new(shape)?,
            identity: ActivationDescriptor::identity()?,
        })
    }
}

/// Returns the math mode. In f32 the default mode allows TensorFloat-32 on tensor cores; the mode
/// that allows conversion to f16 is not used, because of its small range.
pub(super) fn math(format: Format) -> cudnnMathType_t {
    match format {
        Format::F32 => cudnnMathType_t::CUDNN_DEFAULT_MATH,
        Format::F16 | Format::Bf16 => cudnnMathType_t::CUDNN_TENSOR_OP_MATH,
    }
}

/// Descriptor of an activation tensor.
#[derive(Debug)]
pub(super) struct TensorDescriptor(pub(super) cudnnTensorDescriptor_t);

impl TensorDescriptor {
    fn new(
        format: Format,
        batch: usize,
        [height, width, channels]: [usize; 3],
    ) -> Result<Self, CallFailure> {
        let mut handle = ptr::null_mut();
        // SAFETY: writes one handle.
        unsafe { call!(cudnn, cudnnCreateTensorDescriptor(&raw mut handle)) }?;
        let pictures = Self(handle);
        let [n, c, h, w] = [batch, channels, height, width].map(|size| size as i32);
        // SAFETY: the handle is alive. The order of the sizes is the same for every memory layout.
        unsafe {
            call!(
                cudnn,
                cudnnSetTensor4dDescriptor(
                    handle,
                    cudnnTensorFormat_t::CUDNN_TENSOR_NHWC,
                    data_type(format),
                    n,
                    c,
                    h,
                    w
                )
            )
        }?;
        Ok(pictures)
    }
}

impl Drop for TensorDescriptor {
    fn drop(&mut self) {
        // SAFETY: this is the only owner, and the handle is not used again.
        let _ = unsafe { call!(cudnn, cudnnDestroyTensorDescriptor(self.0)) };
    }
}

/// Descriptor of the weights (out, kernel, kernel, in).
#[derive(Debug)]
pub(super) struct FilterDescriptor(pub(super) cudnnFilterDescriptor_t);

impl FilterDescriptor {
    fn new(format: Format, out: usize, kernel: usize, into: usize) -> Result<Self, CallFailure> {
        let mut handle = ptr::null_mut();
        // SAFETY: writes one handle.
        unsafe { call!(cudnn, cudnnCreateFilterDescriptor(&raw mut handle)) }?;
        let weight = Self(handle);
        let [k, c, h, w] = [out, into, kernel, kernel].map(|size| size as i32);
        // SAFETY: the handle is alive. For weights, NHWC means KRSC.
        unsafe {
            call!(
                cudnn,
                cudnnSetFilter4dDescriptor(
                    handle,
                    data_type(format),
                    cudnnTensorFormat_t::CUDNN_TENSOR_NHWC,
                    k,
                    c,
                    h,
                    w
                )
            )
        }?;
        Ok(weight)
    }
}

impl Drop for FilterDescriptor {
    fn drop(&mut self) {
        // SAFETY: this is the only owner, and the handle is not used again.
        let _ = unsafe { call!(cudnn, cudnnDestroyFilterDescriptor(self.0)) };
    }
}

/// Descriptor of padding, stride and math mode.
#[derive(Debug)]
pub(super) struct ConvolutionDescriptor(pub(super) cudnnConvolutionDescriptor_t);

impl ConvolutionDescriptor {
    fn new(shape: &Convolution) -> Result<Self, CallFailure> {
        let mut handle = ptr::null_mut();
        // SAFETY: writes one handle.
        unsafe { call!(cudnn, cudnnCreateConvolutionDescriptor(&raw mut handle)) }?;
        let geometry = Self(handle);
        let (pad, stride) = (shape.pad as i32, shape.stride as i32);
        // Neural networks call cross-correlation a convolution.
        let mode = cudnnConvolutionMode_t::CUDNN_CROSS_CORRELATION;
        // SAFETY: the handle is alive.
        unsafe {
            call!(
                cudnn,
                cudnnSetConvolution2dDescriptor(
                    handle,
                    pad,
                    pad,
                    stride,
                    stride,
                    1,
                    1,
                    mode,
                    cudnnDataType_t::CUDNN_DATA_FLOAT
                )
            )
        }?;
        geometry.set_math(math(shape.format))?;
        Ok(geometry)
    }

    /// Sets the math mode for the next calls.
    pub(super) fn set_math(&self, math: cudnnMathType_t) -> Result<(), CallFailure> {
        // SAFETY: the handle is alive.
        unsafe { call!(cudnn, cudnnSetConvolutionMathType(self.0, math)) }
    }
}

impl Drop for ConvolutionDescriptor {
    fn drop(&mut self) {
        // SAFETY: this is the only owner, and the handle is not used again.
        let _ = unsafe { call!(cudnn, cudnnDestroyConvolutionDescriptor(self.0)) };
    }
}

/// Descriptor of the activation function after the sum.
#[derive(Debug)]
pub(super) struct ActivationDescriptor(pub(super) cudnnActivationDescriptor_t);

impl ActivationDescriptor {
    /// Describes the identity. NaN propagation does not matter for it, but fused convolutions are
    /// offered only without.
    fn identity() -> Result<Self, CallFailure> {
        let mut handle = ptr::null_mut();
        // SAFETY: writes one handle.
        unsafe { call!(cudnn, cudnnCreateActivationDescriptor(&raw mut handle)) }?;
        let activation = Self(handle);
        let (mode, nan) = (
            cudnnActivationMode_t::CUDNN_ACTIVATION_IDENTITY,
            cudnnNanPropagation_t::CUDNN_NOT_PROPAGATE_NAN,
        );
        // SAFETY: the handle is alive.
        unsafe { call!(cudnn, cudnnSetActivationDescriptor(handle, mode, nan, 0.0)) }?;
        Ok(activation)
    }
}

impl Drop for ActivationDescriptor {
    fn drop(&mut self) {
        // SAFETY: this is the only owner, and the handle is not used again.
        let _ = unsafe { call!(cudnn, cudnnDestroyActivationDescriptor(self.0)) };
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::super::library::NvidiaLibrary;
    use super::super::super::super::symbol::invoke;
    use super::super::super::support::is_symmetric;
    use super::*;
    use crate::kernels::cuda::driver::Direction;

    /// Descriptors need no GPU: if the library is installed, it must read back what was set, and
    /// compute the same output sizes.
    #[test]
    #[expect(clippy::print_stderr, reason = "a test that cannot run says why")]
    fn the_library_reads_back_the_descriptors() {
        if let Err(missing) = NvidiaLibrary::Cudnn.find() {
            eprintln!("skipped: {missing}");
            return;
        }
        let shape = |input: usize, kernel, stride, pad| Convolution {
            direction: Direction::Forward,
            format: Format::Bf16,
            batch: 2,
            input: [input, input + 3, 8],
            output: [input, input, 24],
            kernel,
            stride,
            pad,
        };
        let mut symmetric = 0;
        for (kernel, stride, pad) in [(1, 1, 0), (3, 1, 1), (3, 2, 1), (3, 2, 0), (5, 3, 2)] {
            for input in 5..12 {
                let shape = shape(input, kernel, stride, pad);
                let descriptors =
                    ConvolutionDescriptors::new(&shape).expect("a convolution can be described");
                let mut size = [0; 4];
                let [n, c, h, w] = &mut size;
                // SAFETY: the handles are alive; writes four integers.
                let status = unsafe {
                    let ConvolutionDescriptors {
                        x,
                        weight,
                        convolution,
                        ..
                    } = &descriptors;
                    invoke!(
                        cudnn,
                        cudnnGetConvolution2dForwardOutputDim(
                            convolution.0,
                            x.0,
                            weight.0,
                            &raw mut *n,
                            &raw mut *c,
                            &raw mut *h,
                            &raw mut *w
                        )
                    )
                };
                assert_eq!(status as u32, 0);
                assert_eq!(size[..2], [2, 24]);
                for height in 1..14 {
                    let fits = is_symmetric(&Convolution {
                        output: [height, size[3] as usize, 24],
                        ..shape
                    });
                    assert_eq!(fits, height == size[2] as usize, "{shape:?}");
                    symmetric += usize::from(fits);
                }
            }
        }
        assert_eq!(symmetric, 5 * 7);

        let descriptors = ConvolutionDescriptors::new(&shape(7, 3, 1, 1))
            .expect("a convolution can be described");
        let (mut data, mut numbers) = (cudnnDataType_t::CUDNN_DATA_DOUBLE, [0; 8]);
        let [n, c, h, w, n_stride, c_stride, h_stride, w_stride] = &mut numbers;
        // SAFETY: the handle is alive; writes a format and eight integers.
        let status = unsafe {
            invoke!(
                cudnn,
                cudnnGetTensor4dDescriptor(
                    descriptors.x.0,
                    &raw mut data,
                    &raw mut *n,
                    &raw mut *c,
                    &raw mut *h,
                    &raw mut *w,
                    &raw mut *n_stride,
                    &raw mut *c_stride,
                    &raw mut *h_stride,
                    &raw mut *w_stride,
                )
            )
        };
        assert_eq!(status as u32, 0);
        assert_eq!(data, cudnnDataType_t::CUDNN_DATA_BFLOAT16);
        assert_eq!(
            numbers,
            [2, 8, 7, 10, 7 * 10 * 8, 1, 10 * 8, 8],
            "NHWC strides"
        );
    }
}
