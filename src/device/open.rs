//! Devices that are open: opening them, what they are, and their check.

use std::fs;

use super::Dtype;
use super::candidate::Candidate;
use super::check::{self, CheckReport, CheckedDevice, Extent};
use crate::digest;
use crate::error::Result;
use crate::kernels::candle::{Candle, Place};
use crate::kernels::cpu::Cpu;
#[cfg(feature = "cuda")]
use crate::kernels::cuda::Cuda;
use crate::kernels::{Backend, Format};

/// The formats of a GPU, in the order of its check.
const FORMATS: [Format; 3] = [Format::F32, Format::F16, Format::Bf16];

/// Files in which an operating system names the driver of a GPU: Linux that of NVIDIA, macOS itself, whose version is that of Metal.
const DRIVER_FILES: [&str; 2] = [
    "/proc/driver/nvidia/version",
    "/System/Library/CoreServices/SystemVersion.plist",
];

/// An open device with its kernels.
#[derive(Debug, Clone)]
pub(super) enum OpenDevice {
    Cpu,
    #[cfg(feature = "cuda")]
    Cuda(Cuda),
    Candle(Candle),
}

impl OpenDevice {
    /// Opens a candidate, or returns why it cannot be used.
    pub(super) fn open(candidate: Candidate, format: Format) -> std::result::Result<Self, String> {
        let place = match candidate {
            Candidate::OwnCpu => return Ok(Self::Cpu),
            Candidate::OwnCuda(index) => return open_cuda(index, format),
            Candidate::CandleCpu => Place::Cpu,
            Candidate::CandleCuda(index) => Place::Cuda(index),
            Candidate::CandleMetal => Place::Metal(0),
        };
        Candle::open(place, format).map(Self::Candle)
    }

    /// Returns what a check of the device is about.
    pub(super) fn identity(&self, candidate: Candidate) -> CheckedDevice {
        let description = match self {
            Self::Cpu => Cpu.description(),
            #[cfg(feature = "cuda")]
            // Graphs have the same results, unless a device has a fault.
            Self::Cuda(cuda) if cuda.graphs().is_some() => {
                format!("{}, CUDA graphs", cuda.description())
            }
            #[cfg(feature = "cuda")]
            Self::Cuda(cuda) => cuda.description(),
            Self::Candle(candle) => candle.description(),
        };
        let files = DRIVER_FILES
            .iter()
            .filter(|_| !candidate.is_cpu())
            .filter_map(|file| fs::read_to_string(file).ok());
        CheckedDevice {
            device: candidate.device(),
            backend: candidate.backend().into(),
            description,
            system: files.collect::<Vec<_>>().join("\n").trim().to_owned(),
            program: format!(
                "{} {}",
                env!("CARGO_PKG_VERSION"),
                digest::program().unwrap_or_default()
            ),
        }
    }

    /// Compares the device with the CPU in every format. A GPU also runs the operations of Stable Diffusion 1.5, which would take long on a CPU.
    ///
    /// # Errors
    /// As [`check::check`].
    pub(super) fn check(&self, candidate: Candidate) -> Result<CheckReport> {
        let extent = if candidate.is_cpu() {
            Extent::Small
        } else {
            Extent::Full
        };
        match self {
            Self::Cpu => check::check(&[(Format::F32, Cpu)], extent),
            #[cfg(feature = "cuda")]
            Self::Cuda(cuda) => check::check(
                &FORMATS.map(|format| (format, cuda.in_format(format))),
                extent,
            ),
            Self::Candle(candle) => check::check(
                &FORMATS.map(|format| (format, candle.in_format(format))),
                extent,
            ),
        }
    }
}

/// Returns the number format in which a candidate computes.
pub(super) fn format(candidate: Candidate, dtype: Dtype) -> Format {
    match dtype {
        Dtype::Auto if candidate.is_cpu() => Format::F32,
        Dtype::Auto | Dtype::F16 => Format::F16,
        Dtype::Bf16 => Format::Bf16,
        Dtype::F32 => Format::F32,
    }
}

#[cfg(feature = "cuda")]
fn open_cuda(index: usize, format: Format) -> std::result::Result<OpenDevice, String> {
    let opened = Cuda::open(index, format).map_err(|reason| reason.to_string())?;
    Ok(OpenDevice::Cuda(opened))
}

#[cfg(not(feature = "cuda"))]
fn open_cuda(_: usize, _: Format) -> std::result::Result<OpenDevice, String> {
    Err("this build has none of our own kernels for NVIDIA GPUs".into())
}
