//! `--device` and `--dtype`: what was typed, and what it means on this machine.

use std::str::FromStr;

use clap::ValueEnum;

use crate::error::{Error, ErrorKind, Result};
use crate::interrupt::Interrupt;
use crate::kernels::cpu::Cpu;
#[cfg(feature = "cuda")]
use crate::kernels::cuda::{Cuda, device::Unavailable, driver::Format};
use crate::model::Model;
use crate::pipeline::{Editor, Edits};
use crate::progress::Progress;
use crate::warning::{Warning, WarningKind};

/// `--device`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Device {
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
            _ => text
                .strip_prefix("cuda:")
                .and_then(|index| index.parse().ok())
                .map(Self::Cuda)
                .ok_or(EXPECTED),
        }
    }
}

/// `--dtype`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Dtype {
    Auto,
    F32,
    F16,
    Bf16,
}

/// The flags of every command that asks the network.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct ComputeArguments {
    /// Where to compute: auto (a GPU if there is one), cpu or cuda[:N].
    #[arg(long, default_value = "auto", env = "DRAGNEXT_DEVICE")]
    device: Device,

    /// The number format: f32 on the CPU; f16, bf16 or f32 on a GPU.
    #[arg(long, value_enum, default_value = "auto", env = "DRAGNEXT_DTYPE")]
    dtype: Dtype,
}

impl ComputeArguments {
    /// What the two flags come to. `auto` is a GPU where this program can use one, else the CPU.
    ///
    /// # Errors
    /// [`Error::Device`]: `device.none` or `device.dtype`.
    pub(super) fn choose(&self) -> Result<Compute> {
        choose(self.device, self.dtype)
    }
}

/// What computes.
#[derive(Debug, Clone)]
enum Processor {
    Cpu,
    #[cfg(feature = "cuda")]
    Cuda(Cuda),
}

/// The device and the number format that a run uses.
#[derive(Debug, Clone)]
pub(super) struct Compute {
    /// Its name, with its number where there may be several.
    pub(super) device: String,
    /// Kind of device and number format, which decide pixels.
    pub(super) numerics: [&'static str; 2],
    /// Why it is not what might have been expected.
    pub(super) warning: Option<Warning>,
    processor: Processor,
}

impl Compute {
    /// Loads a model's weights onto the device.
    ///
    /// # Errors
    /// As [`Editor::load`].
    pub(super) fn load(
        &self,
        model: Model,
        progress: &mut dyn Progress,
        interrupt: &Interrupt,
    ) -> Result<Box<dyn Edits>> {
        Ok(match &self.processor {
            Processor::Cpu => Box::new(Editor::load(Cpu, model, progress, interrupt)?),
            #[cfg(feature = "cuda")]
            Processor::Cuda(cuda) => {
                Box::new(Editor::load(cuda.clone(), model, progress, interrupt)?)
            }
        })
    }
}

fn choose(device: Device, dtype: Dtype) -> Result<Compute> {
    match device {
        Device::Cpu => cpu(dtype, None),
        Device::Cuda(index) => cuda(index, dtype),
        Device::Auto => auto(dtype),
    }
}

fn cpu(dtype: Dtype, warning: Option<Warning>) -> Result<Compute> {
    if matches!(dtype, Dtype::F16 | Dtype::Bf16) {
        return Err(Error::Device {
            kind: ErrorKind::DeviceDtype,
            reason: "the CPU computes in f32 only".into(),
            hint: "use `--dtype f32` or leave it out".into(),
        });
    }
    Ok(Compute {
        device: "cpu".into(),
        numerics: ["cpu", "f32"],
        warning,
        processor: Processor::Cpu,
    })
}

#[cfg(not(feature = "cuda"))]
fn auto(dtype: Dtype) -> Result<Compute> {
    cpu(dtype, None)
}

#[cfg(not(feature = "cuda"))]
fn cuda(index: usize, _: Dtype) -> Result<Compute> {
    Err(Error::Device {
        kind: ErrorKind::DeviceNone,
        reason: format!("cuda:{index} cannot be used: this build computes on the CPU only"),
        hint: "use `--device cpu`, or a build with `--features cuda`".into(),
    })
}

#[cfg(feature = "cuda")]
fn auto(dtype: Dtype) -> Result<Compute> {
    match open(0, dtype) {
        Ok(compute) => Ok(compute),
        // Nobody with a format for GPUs alone wants the CPU.
        Err(reason) if matches!(dtype, Dtype::F16 | Dtype::Bf16) => Err(unavailable(0, &reason)),
        Err(reason) => cpu(
            dtype,
            Some(Warning {
                kind: WarningKind::DeviceCpu,
                message: format!("computing on the CPU, because {reason}"),
            }),
        ),
    }
}

#[cfg(feature = "cuda")]
fn cuda(index: usize, dtype: Dtype) -> Result<Compute> {
    open(index, dtype).map_err(|reason| unavailable(index, &reason))
}

#[cfg(feature = "cuda")]
fn open(index: usize, dtype: Dtype) -> std::result::Result<Compute, Unavailable> {
    let format = match dtype {
        Dtype::Auto | Dtype::F16 => Format::F16,
        Dtype::Bf16 => Format::Bf16,
        Dtype::F32 => Format::F32,
    };
    let processor = Processor::Cuda(Cuda::open(index, format)?);
    Ok(Compute {
        device: format!("cuda:{index}"),
        numerics: ["cuda", format.name()],
        warning: None,
        processor,
    })
}

#[cfg(feature = "cuda")]
fn unavailable(index: usize, reason: &Unavailable) -> Error {
    Error::Device {
        kind: ErrorKind::DeviceNone,
        reason: format!("cuda:{index} cannot be used: {reason}"),
        hint: "`dragnext doctor` shows what was found; `--device cpu` computes without a GPU"
            .into(),
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
            assert_eq!(
                choose(Device::Cpu, dtype)
                    .expect_err("the CPU has no f16 kernels")
                    .kind(),
                ErrorKind::DeviceDtype
            );
        }
    }

    #[test]
    fn a_gpu_that_nobody_has_is_no_device() {
        let error = choose(Device::Cuda(4711), Dtype::Auto).expect_err("nobody has so many");
        assert_eq!(
            (error.kind(), error.exit_status()),
            (ErrorKind::DeviceNone, 2)
        );
        assert!(
            error.to_string().starts_with("cuda:4711 cannot be used: "),
            "{error}"
        );
    }
}
