//! `--device` and `--dtype`: what was typed, and what it means on this machine.

use std::str::FromStr;

use clap::ValueEnum;

use crate::error::{Error, Result};

/// `--device`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Device {
    Auto,
    Cpu,
    Cuda(usize),
}

impl FromStr for Device {
    type Err = &'static str;

    fn from_str(text: &str) -> std::result::Result<Self, Self::Err> {
        const EXPECTED: &str = "expected auto, cpu, cuda or cuda:N";
        match text {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(0)),
            _ => text.strip_prefix("cuda:").and_then(|index| index.parse().ok()).map(Self::Cuda).ok_or(EXPECTED),
        }
    }
}

/// `--dtype`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Dtype {
    Auto,
    F32,
    F16,
    Bf16,
}

/// Names of the device and the number format that a run uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Compute {
    pub(super) device: &'static str,
    pub(super) dtype: &'static str,
}

impl Compute {
    /// Kind of device and number format, which decide pixels.
    pub(super) fn numerics(self) -> [&'static str; 2] {
        [self.device, self.dtype]
    }
}

/// What the two flags come to.
///
/// # Errors
/// [`Error::Device`]: `device.none` or `device.dtype`.
pub(super) fn choose(device: Device, dtype: Dtype) -> Result<Compute> {
    match (device, dtype) {
        (Device::Cuda(index), _) => Err(Error::Device {
            kind: "device.none",
            reason: format!("cuda:{index} cannot be used: this version computes on the CPU only"),
            hint: "use `--device cpu` or leave it out".into(),
        }),
        (_, Dtype::F16 | Dtype::Bf16) => Err(Error::Device {
            kind: "device.dtype",
            reason: "the CPU computes in f32 only".into(),
            hint: "use `--dtype f32` or leave it out".into(),
        }),
        (Device::Auto | Device::Cpu, Dtype::Auto | Dtype::F32) => Ok(Compute { device: "cpu", dtype: "f32" }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_read_by_name_and_number() {
        let read = |text: &str| text.parse::<Device>().ok();
        assert_eq!(read("auto"), Some(Device::Auto));
        assert_eq!(read("cuda"), Some(Device::Cuda(0)));
        assert_eq!(read("cuda:3"), Some(Device::Cuda(3)));
        assert_eq!(["gpu", "cuda:", "cuda:-1", "CPU"].map(read), [None; 4]);
    }

    #[test]
    fn half_precision_on_the_cpu_is_refused() {
        for dtype in [Dtype::F16, Dtype::Bf16] {
            assert_eq!(choose(Device::Auto, dtype).expect_err("the CPU has no f16 kernels").kind(), "device.dtype");
        }
    }
}
