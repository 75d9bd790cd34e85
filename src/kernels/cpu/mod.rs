//! The CPU backend: f32, threads from rayon, vector instructions chosen at run time.
//!
//! | module | contents |
//! |---|---|
//! | `backend` | the implementation of [`Backend`](super::Backend), which calls the modules below |
//! | `gemm`, `linear` | matrix products over weights in panels; linear layers and LoRA adapters |
//! | `conv` | convolutions: direct, or Winograd's for 3x3 kernels with stride 1 |
//! | `attention` | softmax(q k^T) v in blocks of keys, and its backward pass |
//! | `group_norm`, `layer_norm`, `activation`, `elementwise` | normalisations; SiLU and GEGLU; operations value by value |
//! | `resample`, `loss`, `adam` | resizing and copying; sampling, scattering and the losses; the optimiser |
//! | `vector` | SIMD |
//! | `buffer`, `shared` | memory that is reused; slices that several tasks write to |
//!
//! How a sum is split depends on the shape alone, and its parts are added in a fixed order, so results are the same bits with any number
//! of threads. They differ in the last bits between instruction sets: sums over rows and blocks, and the choice of an algorithm for a
//! convolution, depend on the number of lanes.

mod activation;
mod adam;
mod attention;
mod backend;
mod buffer;
mod conv;
mod elementwise;
mod gemm;
mod group_norm;
mod layer_norm;
mod linear;
mod loss;
mod resample;
mod shared;
mod vector;

pub use buffer::Buffer;
pub use conv::ConvWeight;
pub use linear::LinearWeight;

/// All cores of the machine, as one device.
#[derive(Debug, Clone, Copy, Default)]
pub struct Cpu;

/// Values of one task, in operations that read and write each value once. Smaller tasks cost more to start than they save.
const GRAIN: usize = 1 << 14;

/// Returns how many chunks of `len` values one task should process.
fn chunks_per_task(len: usize) -> usize {
    (GRAIN / len.max(1)).max(1)
}
