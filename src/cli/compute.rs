//! `--device`, `--backend` and `--dtype`, the flags of every command that runs the network.

pub(super) use crate::device::Compute;
use crate::device::{BackendChoice, Device, Dtype};
use crate::error::Result;

/// The device, the backend and the number format.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct ComputeArguments {
    /// Device: auto (a GPU if there is one), cpu, cuda[:N] or metal.
    #[arg(long, default_value = "auto", env = "DRAGNEXT_DEVICE")]
    device: Device,

    /// Implementation of the operations. A warning says why `auto` does not use the program's own kernels on a GPU.
    #[arg(long, value_enum, default_value = "auto", env = "DRAGNEXT_BACKEND")]
    backend: BackendChoice,

    /// Number format of weights and activations.
    #[arg(long, value_enum, default_value = "auto", env = "DRAGNEXT_DTYPE")]
    dtype: Dtype,
}

impl ComputeArguments {
    /// Opens the device.
    ///
    /// # Errors
    /// As [`Compute::choose`].
    pub(super) fn choose(&self) -> Result<Compute> {
        Compute::choose(self.device, self.backend, self.dtype)
    }
}
