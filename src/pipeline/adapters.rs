//! Where the adapters of an edit come from: a file, an earlier edit of the same picture, or their training.

use super::Trained;
use super::reuse::{Reuse, adapters_hash};
use super::stages::Parts;
use crate::cache::EntryName;
use crate::diffusion::NoiseSource;
use crate::diffusion::finetune::{Subject, finetune};
use crate::error::Result;
use crate::interrupt::Interrupt;
use crate::kernels::Backend;
use crate::model::lora::LoraFile;
use crate::model::unet::{AdapterPlace, Network};
use crate::nn::Tensor;
use crate::progress::Progress;
use crate::settings::Settings;

/// The adapters of one edit.
#[derive(Debug, Default)]
pub(super) struct Adapters {
    /// By what an inversion with them is known: empty when there are none, `None` as long as they are to be trained.
    pub(super) hash: Option<String>,
    /// Those that were trained on the picture, now or before.
    pub(super) trained: Option<Trained>,
    /// Were they taken from the cache?
    pub(super) are_cached: bool,
    /// Projections about which a given file says nothing.
    pub(super) absent: Vec<String>,
    /// Of those that are to be trained: where they belong, and under which name they are kept.
    places: Vec<AdapterPlace>,
    name: Option<EntryName>,
}

impl<B: Backend> Parts<B> {
    /// The adapters as far as they are known before an edit begins. Those that are known are merged into the weights.
    ///
    /// # Errors
    /// [`crate::Error::Weights`] when a given file does not fit.
    pub(super) fn adapters(
        &self,
        network: &mut impl Network<B>,
        given: Option<LoraFile>,
        settings: &Settings,
        seed: Option<u64>,
        reuse: Option<&Reuse>,
    ) -> Result<Adapters> {
        if let Some(file) = given {
            let rank = file.rank();
            let lora = file.read(&network.attach_adapters(rank))?;
            let hash = Some(adapters_hash(rank, &lora.parameters));
            network.merge_adapters(&Tensor::vector(&self.backend, lora.parameters));
            return Ok(Adapters {
                hash,
                absent: lora.absent,
                ..Adapters::default()
            });
        }
        if settings.lora_steps == 0 {
            return Ok(Adapters {
                hash: Some(String::new()),
                ..Adapters::default()
            });
        }
        let places = network.attach_adapters(settings.lora_rank);
        let len = places.iter().map(AdapterPlace::len).sum();
        let name = reuse
            .zip(seed)
            .map(|(reuse, seed)| reuse.lora(settings, seed));
        let known = reuse
            .zip(name.as_ref())
            .and_then(|(reuse, name)| reuse.parameters(name, len));
        let Some(parameters) = known else {
            return Ok(Adapters {
                places,
                name,
                ..Adapters::default()
            });
        };
        network.merge_adapters(&Tensor::vector(&self.backend, parameters.clone()));
        let hash = Some(adapters_hash(settings.lora_rank, &parameters));
        Ok(Adapters {
            hash,
            trained: Some(Trained { places, parameters }),
            are_cached: true,
            ..Adapters::default()
        })
    }

    /// Trains on the picture those that are not known, merges them into the weights, and keeps them for the next edit.
    ///
    /// # Errors
    /// As [`finetune`].
    pub(super) fn train(
        &self,
        network: &mut impl Network<B>,
        adapters: &mut Adapters,
        subject: &Subject<B>,
        settings: &Settings,
        noise: &mut dyn NoiseSource,
        reuse: Option<&Reuse>,
        progress: &mut dyn Progress,
        interrupt: &Interrupt,
    ) -> Result<()> {
        let places = std::mem::take(&mut adapters.places);
        let start = noise.adapters(&places);
        let parameters = finetune(
            network,
            &self.schedule,
            subject,
            start,
            settings,
            noise,
            progress,
            interrupt,
        )?
        .to_host();
        if let (Some(reuse), Some(name)) = (reuse, &adapters.name) {
            reuse.keep_parameters(name, &parameters);
        }
        adapters.hash = Some(adapters_hash(settings.lora_rank, &parameters));
        adapters.trained = Some(Trained { places, parameters });
        Ok(())
    }
}
