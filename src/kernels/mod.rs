//! The device interface: one trait, [`Backend`], through which all numerics of an edit run. Three modules implement
//! it: [`cpu`]; `cuda` (with the feature `cuda`), our own kernels for NVIDIA GPUs; and [`candle`], on candle's tensors, for the CPU, NVIDIA GPUs
//! and Apple GPUs.
//!
//! A backend owns buffers of numbers and computes on them. It knows shapes and strides, but no layers, tapes or models: those are
//! in [`crate::nn`] and [`crate::model`]. `tests/numerics` checks every operation of the CPU against a slow reference in f64 and
//! its gradient against finite differences, and does the same for candle; `tests/cuda` checks the GPU's kernels against the CPU's.
//! [`comparison`] compares any backend with the CPU on a user's machine.
//!
//! # Conventions
//! - **Layout.** Buffers are flat and row-major. Activations are NHWC, (batch, height, width, channels); a *row* is one pixel or
//!   token, so (rows, channels) where rows = batch * height * width. Convolution weights are KRSC, (out, kernel height, kernel
//!   width, in). Linear weights are (out, in).
//! - **Storage.** A buffer stores f32, or the backend's format for weights and activations ([`Backend::compact`]: f16 or bf16 on
//!   a GPU, f32 on the CPU). *Activations* of one call (inputs, outputs and their gradients) share one format. Biases, weights of
//!   normalisations, statistics, losses, latents and everything that the optimiser sees are f32, and sums are accumulated in f32 or
//!   f64.
//! - **Outputs.** A `&mut` buffer is overwritten completely, and its old values are not read, unless the method says that it *adds
//!   to* or *updates* it. It is never the same buffer as an input; inputs may be the same buffer as each other.
//! - **Backward.** `*_backward` returns the gradient with respect to the input alone: the network's weights are frozen. `dy` is
//!   the gradient of the loss with respect to `y`, in `y`'s shape, and so on.
//! - **Order.** Calls take effect in the order in which they are made. A device may run behind the host; methods that return
//!   numbers to the host wait for it.
//! - **Determinism.** Backends with the same [`Backend::arithmetic`] return the same bits for the same inputs, with any number of
//!   threads: how a sum is split depends on its shape alone.
//! - **Errors.** A failing device unwinds with [`fault::throw`]. Sizes that do not match are a bug of the caller, and may panic.

mod backend;
pub mod candle;
pub mod comparison;
pub mod cpu;
#[cfg(feature = "cuda")]
pub mod cuda;
pub mod fault;
mod format;
mod graph_figures;
mod loss_scale;
mod pass_key;
mod shape;
mod sum;

pub use backend::Backend;
pub use format::Format;
pub use graph_figures::GraphFigures;
pub use pass_key::PassKey;
pub use shape::{
    AdamStep, Added, AttentionShape, BilinearPoint, ConvShape, Factors, GroupShape, Matrix,
};
pub use sum::Sum;
