//! `--device`, `--backend` and `--dtype`, the flags of every command that runs the network.

pub(super) use crate::device::Compute;
use crate::device::{BackendChoice, Device, Dtype, Trust};
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

    /// Use a GPU without its check, or although it failed.
    ///
    /// Before its first use with this driver and program, a GPU is compared with the CPU, which takes about two seconds. One that computes something
    /// else is not used: `auto` goes on to candle's kernels and to the CPU. `dragnext doctor --check` shows what differs.
    #[arg(long)]
    trust_device: bool,
}

impl ComputeArguments {
    /// Opens the device.
    ///
    /// # Errors
    /// As [`Compute::choose`].
    pub(super) fn choose(&self) -> Result<Compute> {
        let trust = if self.trust_device {
            Trust::Always
        } else {
            Trust::Checked
        };
        Compute::choose(self.device, self.backend, self.dtype, trust)
    }
}
