//! The device and the backend that compute an edit, and the number format of its weights and activations.
//!
//! [`Compute::choose`] takes what was requested, opens the first device and backend that can be used, and returns a [`Compute`];
//! [`Compute::load`] loads a model onto it. `auto` means a GPU where one can be used, else the CPU, and our own kernels where they run, else
//! candle's; a warning says why it is not the first of these, unless the machine has no NVIDIA card. This module does not know how a device computes: that is [`crate::kernels`].

mod candidate;
mod card;
mod request;

use std::path::Path;

use crate::correspondence::{AnyDift, Dift};
use crate::error::{Error, ErrorKind, Result};
use crate::interrupt::Interrupt;
use crate::kernels::candle::{Candle, Place};
use crate::kernels::cpu::Cpu;
#[cfg(feature = "cuda")]
use crate::kernels::cuda::Cuda;
use crate::kernels::{Backend, Format, fault};
use crate::metrics::{ClipSimilarity, Fidelity, Lpips, LpipsFile, Metric};
use crate::model::{ClipModel, Model};
use crate::pipeline::{AnyPipeline, Pipeline};
use crate::progress::Progress;
use crate::report::ComputedOn;
use crate::warning::{Warning, WarningKind};
use candidate::{Build, Candidate, candidates};
pub use request::{BackendChoice, Device, Dtype};

/// An open device with its kernels.
#[derive(Debug, Clone)]
enum OpenDevice {
    Cpu,
    #[cfg(feature = "cuda")]
    Cuda(Cuda),
    Candle(Candle),
}

/// An open device, its backend and the number format it computes in.
#[derive(Debug, Clone)]
pub struct Compute {
    /// The device's name: `cpu`, `cuda:N` or `metal`.
    pub device: String,
    /// The backend's name: `own` or `candle`.
    pub backend: &'static str,
    /// The kind of device and backend, and the number format. Both affect the pixels of an edit.
    pub numerics: [&'static str; 2],
    /// Set when something was tried before: why it could not be used.
    pub warning: Option<Warning>,
    open: OpenDevice,
}

impl Compute {
    /// Opens the requested device with the requested backend.
    ///
    /// # Errors
    /// [`Error::Device`]: `device.none` when the device cannot be used, `device.dtype` when it does
    /// not support the number format.
    pub fn choose(device: Device, backend: BackendChoice, dtype: Dtype) -> Result<Self> {
        let candidates =
            candidates(device, backend, Build::THIS).map_err(|[reason, hint]| Error::Device {
                kind: ErrorKind::DeviceNone,
                reason,
                hint,
            })?;
        let mut failed = Vec::new();
        for candidate in candidates {
            if candidate == Candidate::OwnCpu && matches!(dtype, Dtype::F16 | Dtype::Bf16) {
                // The CPU has no 16-bit formats, so falling back to it would only hide the reason.
                return Err(unavailable(&failed).unwrap_or_else(only_f32));
            }
            match open(candidate, format(candidate, dtype)) {
                Ok(open) => {
                    return Ok(Self {
                        device: candidate.device(),
                        backend: candidate.backend(),
                        numerics: [candidate.kind(), format(candidate, dtype).name()],
                        warning: fallback(candidate, &failed).filter(|_| {
                            is_surprising(candidate, &failed, || {
                                card::may_be_present(Path::new("/"))
                            })
                        }),
                        open,
                    });
                }
                Err(reason) => failed.push((candidate, reason)),
            }
        }
        Err(unavailable(&failed).unwrap_or_else(only_f32))
    }

    /// Returns what computes, as a record names it.
    pub fn names(&self) -> ComputedOn<'_> {
        ComputedOn {
            device: &self.device,
            backend: self.backend,
            dtype: self.numerics[1],
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
            OpenDevice::Candle(candle) => {
                Box::new(Pipeline::load(candle.clone(), model, progress, interrupt)?)
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
            OpenDevice::Candle(candle) => {
                Box::new(Dift::load(candle.clone(), model, interrupt)?.at_stage(stage))
            }
        })
    }

    /// Loads LPIPS onto the device, in f32.
    ///
    /// # Errors
    /// [`Error::Device`].
    pub(crate) fn load_fidelity(&self, file: LpipsFile) -> Result<Box<dyn Metric>> {
        fault::catch(|| {
            Ok(match &self.open {
                OpenDevice::Cpu => fidelity(&Cpu, file),
                #[cfg(feature = "cuda")]
                OpenDevice::Cuda(cuda) => fidelity(cuda, file),
                OpenDevice::Candle(candle) => fidelity(candle, file),
            })
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
        fault::catch(|| match &self.open {
            OpenDevice::Cpu => similarity(&Cpu, model, interrupt),
            #[cfg(feature = "cuda")]
            OpenDevice::Cuda(cuda) => similarity(cuda, model, interrupt),
            OpenDevice::Candle(candle) => similarity(candle, model, interrupt),
        })
    }
}

fn fidelity<B: Backend>(backend: &B, file: LpipsFile) -> Box<dyn Metric> {
    let sha256 = file.sha256.clone();
    Box::new(Fidelity::new(Lpips::new(backend, file), &sha256))
}

fn similarity<B: Backend>(
    backend: &B,
    model: &ClipModel,
    interrupt: &Interrupt,
) -> Result<Box<dyn Metric>> {
    let (form, sha256) = (model.form(), model.sha256()?);
    let clip = model.load(backend, interrupt)?;
    Ok(Box::new(ClipSimilarity::new(clip, &form, &sha256)))
}

/// Returns the number format in which a candidate computes.
fn format(candidate: Candidate, dtype: Dtype) -> Format {
    match dtype {
        Dtype::Auto if candidate.is_cpu() => Format::F32,
        Dtype::Auto | Dtype::F16 => Format::F16,
        Dtype::Bf16 => Format::Bf16,
        Dtype::F32 => Format::F32,
    }
}

/// Opens a candidate, or returns why it cannot be used.
fn open(candidate: Candidate, format: Format) -> std::result::Result<OpenDevice, String> {
    let place = match candidate {
        Candidate::OwnCpu => return Ok(OpenDevice::Cpu),
        Candidate::OwnCuda(index) => return open_cuda(index, format),
        Candidate::CandleCpu => Place::Cpu,
        Candidate::CandleCuda(index) => Place::Cuda(index),
        Candidate::CandleMetal => Place::Metal(0),
    };
    Candle::open(place, format).map(OpenDevice::Candle)
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

/// Returns the warning that `chosen` is used because others cannot be.
fn fallback(chosen: Candidate, failed: &[(Candidate, String)]) -> Option<Warning> {
    let because = reasons(failed)?;
    let (kind, used) = if chosen.is_cpu() {
        (WarningKind::DeviceCpu, "on the CPU")
    } else {
        (
            WarningKind::DeviceBackend,
            "with candle's kernels instead of our own",
        )
    };
    Some(Warning {
        kind,
        message: format!("computing {used}, because {because}"),
    })
}

/// Returns whether the choice deserves a warning. Without an NVIDIA card, computing on the CPU does not.
fn is_surprising(
    chosen: Candidate,
    failed: &[(Candidate, String)],
    has_card: impl FnOnce() -> bool,
) -> bool {
    let needs_card = |(candidate, _): &(Candidate, String)| {
        matches!(candidate, Candidate::OwnCuda(_) | Candidate::CandleCuda(_))
    };
    !chosen.is_cpu() || !failed.iter().all(needs_card) || has_card()
}

/// Returns why candidates could not be used, in one line; `None` if there are none.
fn reasons(failed: &[(Candidate, String)]) -> Option<String> {
    match failed {
        [] => None,
        [(_, reason)] => Some(reason.clone()),
        several => {
            let reasons = several
                .iter()
                .map(|(candidate, reason)| format!("{}: {reason}", candidate.kind()));
            Some(reasons.collect::<Vec<_>>().join("; "))
        }
    }
}

/// Returns the error that no candidate can be used; `None` if none was tried.
fn unavailable(failed: &[(Candidate, String)]) -> Option<Error> {
    let (first, _) = failed.first()?;
    Some(Error::Device {
        kind: ErrorKind::DeviceNone,
        reason: format!("{} cannot be used: {}", first.device(), reasons(failed)?),
        hint: "`dragnext doctor` shows what was found; `--device cpu` computes without a GPU"
            .into(),
    })
}

/// Returns the error that our kernels on the CPU have one format.
fn only_f32() -> Error {
    Error::Device {
        kind: ErrorKind::DeviceDtype,
        reason: "the CPU computes in f32 only".into(),
        hint:
            "use `--dtype f32` or leave it out; `--backend candle` has f16 and bf16, and is slower"
                .into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_precision_on_the_cpu_needs_candle() {
        for dtype in [Dtype::F16, Dtype::Bf16] {
            let error = Compute::choose(Device::Cpu, BackendChoice::Auto, dtype)
                .expect_err("the CPU has no f16 kernels");
            assert_eq!(error.kind(), ErrorKind::DeviceDtype);
        }
        let candle = Compute::choose(Device::Cpu, BackendChoice::Candle, Dtype::Bf16)
            .expect("candle has bf16");
        assert_eq!(candle.numerics, ["candle-cpu", "bf16"]);
        assert_eq!(
            (candle.names().device, candle.names().backend),
            ("cpu", "candle")
        );
        assert_eq!(candle.warning, None);
    }

    #[test]
    fn an_absent_gpu_is_an_error() {
        let error = Compute::choose(Device::Cuda(4711), BackendChoice::Auto, Dtype::Auto)
            .expect_err("no machine has 4712 GPUs");
        assert_eq!(
            (error.kind(), error.exit_status()),
            (ErrorKind::DeviceNone, 2)
        );
        assert!(
            error.to_string().starts_with("cuda:4711 cannot be used: "),
            "{error}"
        );
    }

    #[test]
    fn a_machine_without_a_card_computes_without_a_warning() {
        let cuda = (Candidate::OwnCuda(0), "no driver".to_owned());
        let metal = (Candidate::CandleMetal, "no Apple GPU".to_owned());
        let told = |chosen, failed: &[(Candidate, String)], has_card| {
            is_surprising(chosen, failed, || has_card)
        };
        assert!(!told(Candidate::OwnCpu, std::slice::from_ref(&cuda), false));
        assert!(told(Candidate::OwnCpu, std::slice::from_ref(&cuda), true));
        assert!(told(Candidate::OwnCpu, &[cuda.clone(), metal], false));
        assert!(told(Candidate::CandleCuda(0), &[cuda], false));
    }

    #[test]
    fn one_line_says_why_something_else_computes() {
        let own = (Candidate::OwnCuda(0), "no cuBLASLt".to_owned());
        let candle = (Candidate::CandleCuda(0), "no driver".to_owned());
        let message = |chosen: Candidate, failed: &[(Candidate, String)]| {
            fallback(chosen, failed).map(|warning| (warning.kind, warning.message))
        };
        assert_eq!(message(Candidate::OwnCuda(0), &[]), None);
        assert_eq!(
            message(Candidate::CandleCuda(0), std::slice::from_ref(&own)),
            Some((
                WarningKind::DeviceBackend,
                "computing with candle's kernels instead of our own, because no cuBLASLt".into()
            ))
        );
        assert_eq!(
            message(Candidate::OwnCpu, &[own, candle]),
            Some((
                WarningKind::DeviceCpu,
                "computing on the CPU, because cuda: no cuBLASLt; candle-cuda: no driver".into()
            ))
        );
    }
}
