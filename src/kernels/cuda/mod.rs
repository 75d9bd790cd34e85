//! The CUDA backend: one NVIDIA GPU, weights and activations in f16, bf16 or f32, sums in f32.
//!
//! | module | contents |
//! |---|---|
//! | `driver` | the interface to a GPU as a trait: memory, kernels, matrix products, convolutions |
//! | `device` | its implementation with NVIDIA's driver, cuBLASLt and cuDNN, loaded at run time |
//! | `gpu`, `memory`, `pool` | a GPU; buffers; unused memory |
//! | `operation`, `pass` | operations as values; passes that are repeated, as CUDA graphs |
//! | `backend` | the [`Backend`](super::Backend) trait, by the operations of the next modules |
//! | `linear`, `batch`, `conv`, `attention`, `norm`, `elementwise`, `sampling`, `loss`, `adam` | operations of the backend: which kernel or library call, with which arguments |
//! | `source/`, `images` | the kernels in CUDA C++, and compiled by `.ci/ptx` to machine code and PTX |
//!
//! Nothing is linked against CUDA, so the program starts without it. A failing operation throws a
//! [`DeviceFault`](super::fault::DeviceFault), which [`super::fault::catch`] turns into an error.
//! All operations run in order on one stream: memory can be reused without waiting, and the same
//! work gives the same bits.
//!
//! # Graphs
//! With `DRAGNEXT_CUDA_GRAPHS=1`, repeated work, such as a pass through the UNet, that makes the same operations
//! as in its last run is submitted as one CUDA graph (`pass`). The results are the same bits: a graph is launched only
//! where every operation, with its addresses and numbers, is the one that the graph was made of. Graphs
//! are off by default, because no GPU has run them: the tests have fakes of the driver and an emulator.

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
mod operation;
mod pass;
mod pool;
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

/// The environment variable that turns CUDA graphs on: any value but `0`.
const GRAPHS_VARIABLE: &str = "DRAGNEXT_CUDA_GRAPHS";

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
        let cuda = Self::new(CudaDevice::open(index, &kernels())?, format);
        let graphs = std::env::var_os(GRAPHS_VARIABLE);
        cuda.use_graphs(graphs.is_some_and(|value| !value.is_empty() && value != "0"));
        Ok(cuda)
    }

    /// Submits repeated passes as CUDA graphs, or operation by operation, which is the default.
    pub fn use_graphs(&self, enabled: bool) {
        self.gpu.passes().enable(enabled);
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
