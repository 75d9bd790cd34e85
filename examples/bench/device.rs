//! Opens the GPU.

use anyhow::Result;

/// Lets the GPU's libraries load kernels when they are needed, as the program does. Called first in `main`.
pub(crate) fn load_kernels_lazily() {
    #[cfg(feature = "cuda")]
    #[allow(unsafe_code)]
    // SAFETY: `main` calls this first, so no other thread runs.
    unsafe {
        dragnext::kernels::cuda::device::load_kernels_lazily();
    }
}

/// Opens GPU `:number`, or the first one, with weights and activations in `dtype`.
#[cfg(feature = "cuda")]
pub(crate) fn cuda(number: &str, dtype: &str) -> Result<dragnext::kernels::cuda::Cuda> {
    use anyhow::Context;
    use dragnext::kernels::cuda::{Cuda, driver::Format};
    let index = match number.strip_prefix(':') {
        None => 0,
        Some(index) => index.parse().context("expected `cuda` or `cuda:N`")?,
    };
    let format = [Format::F16, Format::Bf16, Format::F32]
        .into_iter()
        .find(|format| format.name() == dtype);
    Ok(Cuda::open(
        index,
        format.context("expected `f16`, `bf16` or `f32`")?,
    )?)
}

/// Reports that this build has no GPU support.
#[cfg(not(feature = "cuda"))]
pub(crate) fn cuda(_: &str, _: &str) -> Result<dragnext::kernels::cpu::Cpu> {
    anyhow::bail!(
        "this build has no GPU support; build it with `cargo build --release --features cuda --example bench`"
    )
}
