//! cuDNN's descriptors of one convolution: pictures in NHWC, weights in KRSC, sums in f32.

use std::ptr;

use cudarc::cudnn::sys::{
    cudnnActivationDescriptor_t, cudnnActivationMode_t, cudnnConvolutionDescriptor_t,
    cudnnConvolutionMode_t, cudnnDataType_t, cudnnFilterDescriptor_t, cudnnMathType_t,
    cudnnNanPropagation_t, cudnnTensorDescriptor_t, cudnnTensorFormat_t,
};

use crate::kernels::cuda::driver::{Convolution, Format};

use super::call::{Failure, ask};

/// All of them.
#[derive(Debug)]
pub(super) struct Descriptors {
    pub(super) x: Pictures,
    pub(super) y: Pictures,
    pub(super) weight: Weight,
    pub(super) bias: Pictures,
    pub(super) convolution: Geometry,
    pub(super) identity: Activation,
}

impl Descriptors {
    /// Of a convolution whose sizes all fit into 32 bits.
    pub(super) fn new(shape: &Convolution) -> Result<Self, Failure> {
        let Convolution {
            format,
            batch,
            input,
            output,
            kernel,
            ..
        } = *shape;
        Ok(Self {
            x: Pictures::new(format, batch, input)?,
            y: Pictures::new(format, batch, output)?,
            weight: Weight::new(format, output[2], kernel, input[2])?,
            bias: Pictures::new(format, 1, [1, 1, output[2]])?,
            convolution: Geometry::new(shape)?,
            identity: Activation::identity()?,
        })
    }
}

/// How much may be lost for speed. Tensor cores take numbers of 16 bits as they are and round those of 32 to 11 bits of precision; the
/// mode that would turn those into f16, with its small range, is not for us.
pub(super) fn math(format: Format) -> cudnnMathType_t {
    match format {
        Format::F32 => cudnnMathType_t::CUDNN_DEFAULT_MATH,
        Format::F16 | Format::Bf16 => cudnnMathType_t::CUDNN_TENSOR_OP_MATH,
    }
}

fn data(format: Format) -> cudnnDataType_t {
    match format {
        Format::F32 => cudnnDataType_t::CUDNN_DATA_FLOAT,
        Format::F16 => cudnnDataType_t::CUDNN_DATA_HALF,
        Format::Bf16 => cudnnDataType_t::CUDNN_DATA_BFLOAT16,
    }
}

/// Pictures of (height, width, channels).
#[derive(Debug)]
pub(super) struct Pictures(pub(super) cudnnTensorDescriptor_t);

impl Pictures {
    fn new(
        format: Format,
        batch: usize,
        [height, width, channels]: [usize; 3],
    ) -> Result<Self, Failure> {
        let mut handle = ptr::null_mut();
        // SAFETY: writes one handle.
        unsafe { ask!(cudnn, cudnnCreateTensorDescriptor(&raw mut handle)) }?;
        let pictures = Self(handle);
        let [n, c, h, w] = [batch, channels, height, width].map(|size| size as i32);
        // SAFETY: the handle is alive. Sizes are given in this order whatever the order in memory.
        unsafe {
            ask!(
                cudnn,
                cudnnSetTensor4dDescriptor(
                    handle,
                    cudnnTensorFormat_t::CUDNN_TENSOR_NHWC,
                    data(format),
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

impl Drop for Pictures {
    fn drop(&mut self) {
        // SAFETY: ours, and not used again.
        let _ = unsafe { ask!(cudnn, cudnnDestroyTensorDescriptor(self.0)) };
    }
}

/// Weights of (out, kernel, kernel, in).
#[derive(Debug)]
pub(super) struct Weight(pub(super) cudnnFilterDescriptor_t);

impl Weight {
    fn new(format: Format, out: usize, kernel: usize, into: usize) -> Result<Self, Failure> {
        let mut handle = ptr::null_mut();
        // SAFETY: writes one handle.
        unsafe { ask!(cudnn, cudnnCreateFilterDescriptor(&raw mut handle)) }?;
        let weight = Self(handle);
        let [k, c, h, w] = [out, into, kernel, kernel].map(|size| size as i32);
        // SAFETY: the handle is alive. NHWC stands for KRSC here.
        unsafe {
            ask!(
                cudnn,
                cudnnSetFilter4dDescriptor(
                    handle,
                    data(format),
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

impl Drop for Weight {
    fn drop(&mut self) {
        // SAFETY: ours, and not used again.
        let _ = unsafe { ask!(cudnn, cudnnDestroyFilterDescriptor(self.0)) };
    }
}

/// Padding, stride and precision.
#[derive(Debug)]
pub(super) struct Geometry(pub(super) cudnnConvolutionDescriptor_t);

impl Geometry {
    fn new(shape: &Convolution) -> Result<Self, Failure> {
        let mut handle = ptr::null_mut();
        // SAFETY: writes one handle.
        unsafe { ask!(cudnn, cudnnCreateConvolutionDescriptor(&raw mut handle)) }?;
        let geometry = Self(handle);
        let (pad, stride) = (shape.pad as i32, shape.stride as i32);
        // Networks call cross-correlation convolution.
        let mode = cudnnConvolutionMode_t::CUDNN_CROSS_CORRELATION;
        // SAFETY: the handle is alive.
        unsafe {
            ask!(
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

    /// For the calls that follow.
    pub(super) fn set_math(&self, math: cudnnMathType_t) -> Result<(), Failure> {
        // SAFETY: the handle is alive.
        unsafe { ask!(cudnn, cudnnSetConvolutionMathType(self.0, math)) }
    }
}

impl Drop for Geometry {
    fn drop(&mut self) {
        // SAFETY: ours, and not used again.
        let _ = unsafe { ask!(cudnn, cudnnDestroyConvolutionDescriptor(self.0)) };
    }
}

/// What comes after the sum.
#[derive(Debug)]
pub(super) struct Activation(pub(super) cudnnActivationDescriptor_t);

impl Activation {
    /// Nothing. How it treats what is not a number changes nothing either, but fused convolutions are offered for this way alone.
    fn identity() -> Result<Self, Failure> {
        let mut handle = ptr::null_mut();
        // SAFETY: writes one handle.
        unsafe { ask!(cudnn, cudnnCreateActivationDescriptor(&raw mut handle)) }?;
        let activation = Self(handle);
        let (mode, nan) = (
            cudnnActivationMode_t::CUDNN_ACTIVATION_IDENTITY,
            cudnnNanPropagation_t::CUDNN_NOT_PROPAGATE_NAN,
        );
        // SAFETY: the handle is alive.
        unsafe { ask!(cudnn, cudnnSetActivationDescriptor(handle, mode, nan, 0.0)) }?;
        Ok(activation)
    }
}

impl Drop for Activation {
    fn drop(&mut self) {
        // SAFETY: ours, and not used again.
        let _ = unsafe { ask!(cudnn, cudnnDestroyActivationDescriptor(self.0)) };
    }
}

#[cfg(test)]
mod tests {
    use cudarc::cudnn::sys::{cudnnGetConvolution2dForwardOutputDim, cudnnGetTensor4dDescriptor};

    use super::super::library::Library;
    use super::super::plan::is_symmetric;
    use super::*;
    use crate::kernels::cuda::driver::Direction;

    /// Descriptors need no GPU: where the library is installed, it is asked what it understood, and which sizes its padding gives.
    #[test]
    #[expect(clippy::print_stderr, reason = "a test that cannot run says so")]
    fn the_library_understands_the_descriptors() {
        if let Err(missing) = Library::Cudnn.find() {
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
                    Descriptors::new(&shape).expect("the library describes convolutions");
                let mut size = [0; 4];
                let [n, c, h, w] = &mut size;
                // SAFETY: the handles are alive; writes four numbers.
                let status = unsafe {
                    let Descriptors {
                        x,
                        weight,
                        convolution,
                        ..
                    } = &descriptors;
                    cudnnGetConvolution2dForwardOutputDim(convolution.0, x.0, weight.0, n, c, h, w)
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

        let descriptors =
            Descriptors::new(&shape(7, 3, 1, 1)).expect("the library describes convolutions");
        let (mut data, mut numbers) = (cudnnDataType_t::CUDNN_DATA_DOUBLE, [0; 8]);
        let [n, c, h, w, n_stride, c_stride, h_stride, w_stride] = &mut numbers;
        // SAFETY: the handle is alive; writes a format and eight numbers.
        let status = unsafe {
            cudnnGetTensor4dDescriptor(
                descriptors.x.0,
                &raw mut data,
                n,
                c,
                h,
                w,
                n_stride,
                c_stride,
                h_stride,
                w_stride,
            )
        };
        assert_eq!(status as u32, 0);
        assert_eq!(data, cudnnDataType_t::CUDNN_DATA_BFLOAT16);
        assert_eq!(
            numbers,
            [2, 8, 7, 10, 7 * 10 * 8, 1, 10 * 8, 8],
            "channels lie side by side"
        );
    }
}
