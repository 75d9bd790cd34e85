//! The candle backend: every operation as a composition of candle's tensor operations, on the CPU, an NVIDIA GPU or an Apple GPU.
//!
//! | module | contents |
//! |---|---|
//! | `device`, `cuda`, `metal` | a candle device with what its operations share; what only one kind of device has |
//! | `failure` | candle's errors as device faults |
//! | `buffer` | flat buffers |
//! | `backend` | the implementation of [`Backend`](super::Backend), which calls the modules below |
//! | `linear`, `conv`, `attention`, `norm` | layers with weights, attention, normalisations |
//! | `activation`, `elementwise`, `resample` | SiLU and GEGLU; operations value by value; resizing and copying |
//! | `gather` | index tables of convolutions and resizes |
//! | `sampling`, `adam` | samples of a map, their adjoint and losses; the optimiser |
//!
//! The same calls run on every device, so a test on the CPU covers the operations of a GPU except for candle's kernels there. Backward passes
//! are written here: candle's automatic differentiation is not used, and no tensor is a variable.
//!
//! Weights and activations are stored in f32, f16 or bf16. Statistics, scores of an attention and sums over many terms are f32: candle's f16
//! reductions on CUDA add in f16, and its cuDNN convolutions in f16 do too, so convolutions are matrix products of gathered patches. Patches
//! and scores are computed in chunks of at most [`CHUNK_BYTES`].

mod activation;
mod adam;
mod attention;
mod backend;
mod buffer;
mod conv;
#[cfg(feature = "candle-cuda")]
mod cuda;
mod device;
mod elementwise;
mod failure;
mod gather;
mod linear;
#[cfg(feature = "metal")]
mod metal;
mod norm;
mod resample;
mod sampling;

use std::sync::Arc;

use candle_core::{DType, Device};

use super::Format;
pub use buffer::Buffer;
pub use conv::ConvWeight;
use device::CandleDevice;
pub use device::{CHUNK_BYTES, Place};
pub use linear::LinearWeight;
pub use sampling::Points;

/// A candle device, and the format in which it stores weights and activations.
#[derive(Debug, Clone)]
pub struct Candle {
    device: Arc<CandleDevice>,
    format: Format,
}

impl Candle {
    /// Opens a device of this machine; weights and activations are stored in `format`.
    ///
    /// # Errors
    /// Why the device cannot be used, as candle says it.
    pub fn open(place: Place, format: Format) -> Result<Self, String> {
        let device = match place {
            Place::Cpu => Ok(Device::Cpu),
            #[cfg(feature = "candle-cuda")]
            Place::Cuda(index) => cuda::open(index),
            #[cfg(not(feature = "candle-cuda"))]
            Place::Cuda(index) => Device::new_cuda(index),
            #[cfg(feature = "metal")]
            Place::Metal(index) => metal::open(index),
            #[cfg(not(feature = "metal"))]
            Place::Metal(index) => Device::new_metal(index),
        };
        let device = device.map_err(|error| failure::reason(&error))?;
        Ok(Self {
            device: Arc::new(CandleDevice::new(device, CHUNK_BYTES)),
            format,
        })
    }

    /// The CPU.
    pub fn cpu(format: Format) -> Self {
        Self {
            device: Arc::new(CandleDevice::new(Device::Cpu, CHUNK_BYTES)),
            format,
        }
    }

    /// Returns a handle to the same device that stores weights and activations in `format`.
    #[must_use]
    pub fn in_format(&self, format: Format) -> Self {
        Self {
            format,
            ..self.clone()
        }
    }

    /// Returns the same kind of device with chunks of about `bytes` instead of [`CHUNK_BYTES`]. Buffers of the two do not mix.
    #[must_use]
    pub fn with_chunks_of(self, bytes: usize) -> Self {
        Self {
            device: Arc::new(CandleDevice::new(self.device.tensors().clone(), bytes)),
            ..self
        }
    }
}

/// Returns candle's type of a format.
fn dtype(format: Format) -> DType {
    match format {
        Format::F32 => DType::F32,
        Format::F16 => DType::F16,
        Format::Bf16 => DType::BF16,
    }
}
