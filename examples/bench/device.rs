//! The GPU that is measured.

use anyhow::Result;

/// GPU `:number`, or the first one.
#[cfg(feature = "cuda")]
pub(crate) fn cuda(number: &str, dtype: &str) -> Result<dragnext::kernels::cuda::Cuda> {
    use anyhow::Context;
    use dragnext::kernels::cuda::{Cuda, driver::Format};
    let index = match number.strip_prefix(':') {
        None => 0,
        Some(index) => index
            .parse()
            .context("GPUs are named cuda:0, cuda:1 and so on")?,
    };
    let format = [Format::F16, Format::Bf16, Format::F32]
        .into_iter()
        .find(|format| format.name() == dtype);
    Ok(Cuda::open(index, format.context("f16, bf16 or f32")?)?)
}

/// There is none in this build.
#[cfg(not(feature = "cuda"))]
pub(crate) fn cuda(_: &str, _: &str) -> Result<dragnext::kernels::cpu::Cpu> {
    anyhow::bail!(
        "this build computes on the CPU only; `cargo build --release --features cuda --example bench` makes the other one"
    )
}
