//! `--device` and `--dtype`, the flags of every command that runs the network.

pub(super) use crate::device::Compute;
use crate::device::{Device, Dtype};
use crate::error::Result;

/// The device and the number format.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct ComputeArguments {
    /// Device: auto (a GPU if there is one), cpu or cuda[:N].
    #[arg(long, default_value = "auto", env = "DRAGNEXT_DEVICE")]
    device: Device,

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
        Compute::choose(self.device, self.dtype)
    }
}
