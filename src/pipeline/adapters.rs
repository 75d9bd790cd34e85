//! The adapters of an edit: from a file, from the cache, or trained on the picture.

use super::edit::Edit;
use super::edit_cache::adapters_hash;
use super::{GivenLora, Trained};
use crate::diffusion::finetune::{Subject, finetune};
use crate::error::Result;
use crate::kernels::Backend;
use crate::model::unet::{AdapterPlace, Network};
use crate::nn::Tensor;
use crate::progress::Stage;

/// The adapters that are merged into the weights.
#[derive(Debug, Default)]
pub(super) struct Adapters {
    /// Hash of their rank and numbers, part of the inversion's key; empty without adapters.
    pub(super) hash: String,
    /// Those that were trained on the picture, by this edit or by an earlier one.
    pub(super) trained: Option<Trained>,
    /// Projections that a given file does not cover.
    pub(super) absent: Vec<String>,
}

impl<B: Backend> Edit<'_, B> {
    /// Merges the adapters of this edit into the weights: those of `given`, or a LoRA trained on the picture, which may come from the cache.
    ///
    /// # Errors
    /// [`crate::Error::Weights`] when the given file does not fit; those of [`finetune`] and of encoding the picture.
    pub(super) fn adapters(
        &mut self,
        network: &mut impl Network<B>,
        given: Option<GivenLora>,
    ) -> Result<Adapters> {
        let settings = &self.plan.settings;
        if let Some(GivenLora::Merged) = given {
            self.stages.skip(Stage::Lora);
            return Ok(Adapters::default());
        }
        if let Some(GivenLora::Attached { file, rank }) = given {
            self.stages.skip(Stage::Lora);
            let lora = file.read(&network.attach_adapters(rank))?;
            let hash = adapters_hash(rank, &lora.parameters);
            self.merge(network, lora.parameters);
            return Ok(Adapters {
                hash,
                trained: None,
                absent: lora.absent,
            });
        }
        if settings.lora.steps == 0 || !settings.method.needs().lora {
            self.stages.skip(Stage::Lora);
            return Ok(Adapters::default());
        }
        let places = network.attach_adapters(settings.lora.rank);
        let cache = self.cache.clone();
        let key = self
            .noise
            .seed()
            .and_then(|seed| cache.lora(&settings.lora, seed));
        let len = places.iter().map(AdapterPlace::len).sum();
        let ([parameters], is_cached) = cache.get_or_compute(key, [("parameters", len)], || {
            Ok([self.train(network, &places)?])
        })?;
        if is_cached {
            self.stages.hit(Stage::Lora);
            self.merge(network, parameters.clone());
        }
        Ok(Adapters {
            hash: adapters_hash(settings.lora.rank, &parameters),
            trained: Some(Trained { places, parameters }),
            absent: Vec::new(),
        })
    }

    fn merge(&self, network: &mut impl Network<B>, parameters: Vec<f32>) {
        network.merge_adapters(&Tensor::vector(&self.components.backend, parameters));
    }

    /// Trains adapters on the picture, and leaves them merged into the weights.
    fn train(
        &mut self,
        network: &mut impl Network<B>,
        places: &[AdapterPlace],
    ) -> Result<Vec<f32>> {
        let latent = self.clean()?;
        let settings = &self.plan.settings.lora;
        self.steps.lora = settings.steps;
        let start = self.noise.adapters(places);
        let subject = Subject::new(&latent, &self.context);
        let (schedule, interrupt) = (&self.components.schedule, self.interrupt);
        let noise = &mut *self.noise;
        let parameters = self.stages.run(Stage::Lora, settings.steps, |progress| {
            finetune(
                network, schedule, &subject, start, settings, noise, progress, interrupt,
            )
        })?;
        Ok(parameters.to_host())
    }
}
