//! Loading of models and metrics onto an open device.

use super::Compute;
use super::open::OpenDevice;
use crate::correspondence::{AnyDift, Dift};
use crate::error::Result;
use crate::interrupt::Interrupt;
use crate::kernels::cpu::Cpu;
use crate::kernels::{Backend, fault};
use crate::metrics::{ClipSimilarity, Fidelity, Lpips, LpipsFile, Metric};
use crate::model::{ClipModel, Model};
use crate::pipeline::{AnyPipeline, Pipeline};
use crate::progress::Progress;

impl Compute {
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
