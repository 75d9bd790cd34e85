//! The device that computes an edit, and the number format of its weights and activations.
//!
//! [`Compute::choose`] takes what was requested, opens the device and returns a [`Compute`];
//! [`Compute::load`] loads a model onto it. `auto` means the first GPU where one can be used, else the
//! CPU with a warning that says why. This module does not know how a device computes: that is
//! [`crate::kernels`].

use std::str::FromStr;

use crate::correspondence::{AnyDift, Dift};
use crate::error::{Error, ErrorKind, Result};
use crate::interrupt::Interrupt;
use crate::kernels::cpu::Cpu;
#[cfg(feature = "cuda")]
use crate::kernels::{
    cuda::{Cuda, device::DeviceUnavailable, driver::Format},
    fault,
};
use crate::metrics::{ClipSimilarity, Fidelity, Lpips, LpipsFile, Metric};
use crate::model::{ClipModel, Model};
use crate::pipeline::{AnyPipeline, Pipeline};
use crate::progress::Progress;
use crate::warning::Warning;
#[cfg(feature = "cuda")]
use crate::warning::WarningKind;

/// A requested device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Device {
    /// The first GPU if it can be used, else the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// The NVIDIA GPU with this index.
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

/// A requested number format for weights and activations. Sums are f32 in every format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Dtype {
    /// f32 on the CPU, f16 on a GPU.
    #[default]
    Auto,
    /// 32 bits; on a GPU, matrix products round their factors to TensorFloat-32.
    F32,
    /// 16 bits, IEEE half precision; on a GPU only.
    F16,
    /// 16 bits, bfloat16; on a GPU only.
    Bf16,
}

/// An open device with its kernels.
#[derive(Debug, Clone)]
enum OpenDevice {
    Cpu,
    #[cfg(feature = "cuda")]
    Cuda(Cuda),
}

/// An open device and the number format it computes in.
#[derive(Debug, Clone)]
pub struct Compute {
    /// The device's name: `cpu`, or `cuda:N`.
    pub device: String,
    /// The kind of device and the number format. Both affect the pixels of an edit.
    pub numerics: [&'static str; 2],
    /// Set when [`Device::Auto`] fell back to the CPU: why.
    pub warning: Option<Warning>,
    open: OpenDevice,
}

impl Compute {
    /// Opens the requested device.
    ///
    /// # Errors
    /// [`Error::Device`]: `device.none` when the device cannot be used, `device.dtype` when it does
    /// not support the number format.
    pub fn choose(device: Device, dtype: Dtype) -> Result<Self> {
        match device {
            Device::Cpu => Self::cpu(dtype, None),
            Device::Cuda(index) => Self::cuda(index, dtype),
            Device::Auto => Self::auto(dtype),
        }
    }

    /// Loads a model's weights onto the device.
    ///
    /// # Errors
    /// As [`Pipeline::load`].
    pub fn load(
        &self,
        model: Model,
        progress: &mut dyn Progress,
        interrupt: &Interrupt,
    ) -> Result<Box<dyn AnyPipeline>> {
        Ok(match &self.open {
            OpenDevice::Cpu => Box::new(Pipeline::load(Cpu, model, progress, interrupt)?),
            #[cfg(feature = "cuda")]
            OpenDevice::Cuda(cuda) => {
                Box::new(Pipeline::load(cuda.clone(), model, progress, interrupt)?)
            }
        })
    }

    /// Loads a model's weights onto the device, for the features of a decoder stage.
    ///
    /// # Errors
    /// As [`Dift::load`].
    ///
    /// # Panics
    /// As [`Dift::at_stage`].
    pub fn load_dift(
        &self,
        model: &Model,
        stage: usize,
        interrupt: &Interrupt,
    ) -> Result<Box<dyn AnyDift>> {
        Ok(match &self.open {
            OpenDevice::Cpu => Box::new(Dift::load(Cpu, model, interrupt)?.at_stage(stage)),
            #[cfg(feature = "cuda")]
            OpenDevice::Cuda(cuda) => {
                Box::new(Dift::load(cuda.clone(), model, interrupt)?.at_stage(stage))
            }
        })
    }

    /// Loads LPIPS onto the device, in f32.
    ///
    /// # Errors
    /// [`Error::Device`].
    pub(crate) fn load_fidelity(&self, file: LpipsFile) -> Result<Box<dyn Metric>> {
        let sha256 = file.sha256.clone();
        Ok(match &self.open {
            OpenDevice::Cpu => Box::new(Fidelity::new(Lpips::new(&Cpu, file), &sha256)),
            #[cfg(feature = "cuda")]
            OpenDevice::Cuda(cuda) => {
                let network = fault::catch(|| Ok(Lpips::new(cuda, file)))?;
                Box::new(Fidelity::new(network, &sha256))
            }
        })
    }

    /// Loads a CLIP onto the device, in f32, for its similarities.
    ///
    /// # Errors
    /// As [`ClipModel::load`] and [`ClipModel::sha256`]; [`Error::Device`].
    pub(crate) fn load_clip_similarity(
        &self,
        model: &ClipModel,
        interrupt: &Interrupt,
    ) -> Result<Box<dyn Metric>> {
        let (form, sha256) = (model.form(), model.sha256()?);
        Ok(match &self.open {
            OpenDevice::Cpu => Box::new(ClipSimilarity::new(
                model.load(&Cpu, interrupt)?,
                &form,
                &sha256,
            )),
            #[cfg(feature = "cuda")]
            OpenDevice::Cuda(cuda) => {
                let clip = fault::catch(|| model.load(cuda, interrupt))?;
                Box::new(ClipSimilarity::new(clip, &form, &sha256))
            }
        })
    }

    fn cpu(dtype: Dtype, warning: Option<Warning>) -> Result<Self> {
        if matches!(dtype, Dtype::F16 | Dtype::Bf16) {
            return Err(Error::Device {
                kind: ErrorKind::DeviceDtype,
                reason: "the CPU computes in f32 only".into(),
                hint: "use `--dtype f32` or leave it out".into(),
            });
        }
        Ok(Self {
            device: "cpu".into(),
            numerics: ["cpu", "f32"],
            warning,
            open: OpenDevice::Cpu,
        })
    }
}

#[cfg(not(feature = "cuda"))]
impl Compute {
    fn auto(dtype: Dtype) -> Result<Self> {
        Self::cpu(dtype, None)
    }

    fn cuda(index: usize, _: Dtype) -> Result<Self> {
        Err(Error::Device {
            kind: ErrorKind::DeviceNone,
            reason: format!("cuda:{index} cannot be used: this build computes on the CPU only"),
            hint: "use `--device cpu`, or a build with `--features cuda`".into(),
        })
    }
}

#[cfg(feature = "cuda")]
impl Compute {
    fn auto(dtype: Dtype) -> Result<Self> {
        match Self::open(0, dtype) {
            Ok(compute) => Ok(compute),
            // The CPU has no 16-bit formats, so falling back to it would only hide the reason.
            Err(reason) if matches!(dtype, Dtype::F16 | Dtype::Bf16) => {
                Err(unavailable(0, &reason))
            }
            Err(reason) => Self::cpu(
                dtype,
                Some(Warning {
                    kind: WarningKind::DeviceCpu,
                    message: format!("computing on the CPU, because {reason}"),
                }),
            ),
        }
    }

    fn cuda(index: usize, dtype: Dtype) -> Result<Self> {
        Self::open(index, dtype).map_err(|reason| unavailable(index, &reason))
    }

    fn open(index: usize, dtype: Dtype) -> std::result::Result<Self, DeviceUnavailable> {
        let format = match dtype {
            Dtype::Auto | Dtype::F16 => Format::F16,
            Dtype::Bf16 => Format::Bf16,
            Dtype::F32 => Format::F32,
        };
        let open = OpenDevice::Cuda(Cuda::open(index, format)?);
        Ok(Self {
            device: format!("cuda:{index}"),
            numerics: ["cuda", format.name()],
            warning: None,
            open,
        })
    }
}

#[cfg(feature = "cuda")]
fn unavailable(index: usize, reason: &DeviceUnavailable) -> Error {
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
    fn device_names_are_parsed() {
        let parsed = |text: &str| text.parse::<Device>().ok();
        assert_eq!(parsed("auto"), Some(Device::Auto));
        assert_eq!(parsed("cuda"), Some(Device::Cuda(0)));
        assert_eq!(parsed("cuda:3"), Some(Device::Cuda(3)));
        assert_eq!(["gpu", "cuda:", "cuda:-1", "CPU"].map(parsed), [None; 4]);
    }

    #[test]
    fn half_precision_on_the_cpu_is_rejected() {
        for dtype in [Dtype::F16, Dtype::Bf16] {
            let error =
                Compute::choose(Device::Cpu, dtype).expect_err("the CPU has no f16 kernels");
            assert_eq!(error.kind(), ErrorKind::DeviceDtype);
        }
    }

    #[test]
    fn an_absent_gpu_is_an_error() {
        let error =
            Compute::choose(Device::Cuda(4711), Dtype::Auto).expect_err("no machine has 4712 GPUs");
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
