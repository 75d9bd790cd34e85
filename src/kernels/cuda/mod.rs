//! The CUDA backend: one NVIDIA GPU, weights and activations in f16, bf16 or f32, sums in f32.
//!
//! | module | contents |
//! |---|---|
//! | `driver` | the interface to a GPU as a trait: memory, kernels, matrix products, convolutions |
//! | `device` | its implementation with NVIDIA's driver, cuBLASLt and cuDNN, loaded at run time |
//! | `gpu`, `memory` | a GPU with its memory pool; buffers |
//! | `backend` | the [`Backend`](super::Backend) trait, by the operations of the next modules |
//! | `linear`, `batch`, `conv`, `attention`, `norm`, `elementwise`, `sampling`, `loss`, `adam` | operations of the backend: which kernel or library call, with which arguments |
//! | `source/`, `images` | the kernels in CUDA C++, and compiled by `.ci/ptx` to machine code and PTX |
//!
//! Nothing is linked against CUDA, so the program starts without it. A failing operation throws a
//! [`DeviceFault`](super::fault::DeviceFault), which [`super::fault::catch`] turns into an error.
//! All operations run in order on one stream: memory can be reused without waiting, and the same
//! work gives the same bits.

mod adam;
mod attention;
mod backend;
mod batch;
mod conv;
pub mod device;
pub mod driver;
mod elementwise;
mod gpu;
mod images;
mod linear;
mod loss;
mod memory;
mod norm;
mod sampling;

use std::sync::Arc;

use self::gpu::Gpu;
pub use conv::ConvWeight;
use device::{CudaDevice, DeviceUnavailable};
use driver::{Driver, Format};
pub use images::kernels;
pub use linear::LinearWeight;
pub use memory::Buffer;
pub use sampling::Points;

/// A GPU and the format in which it stores weights and activations.
#[derive(Debug, Clone)]
pub struct Cuda {
    gpu: Arc<Gpu>,
    format: Format,
}

impl Cuda {
    /// Opens GPU `index` of this machine; weights and activations are stored in `format`.
    ///
    /// # Errors
    /// [`DeviceUnavailable`].
    pub fn open(index: usize, format: Format) -> Result<Self, DeviceUnavailable> {
        Ok(Self::new(CudaDevice::open(index, &kernels())?, format))
    }

    /// Returns a handle to the same GPU that stores weights and activations in `format`.
    #[must_use]
    pub fn in_format(&self, format: Format) -> Self {
        Self {
            format,
            ..self.clone()
        }
    }

    /// Wraps any driver.
    pub fn new(driver: impl Driver + 'static, format: Format) -> Self {
        Self {
            gpu: Gpu::new(Box::new(driver)),
            format,
        }
    }
}
