//! The pipeline of an edit: encode, fine-tune, invert, drag, denoise, decode.
//!
//! [`Pipeline`] holds a model's weights and does one edit after the other, or several side by side. It owns every stage but the drag,
//! which is the method's ([`crate::method`]); it knows no method by name. With a cache, LoRA and inversion of an earlier edit of the same
//! picture are used again. It reads no drag files and no pictures: [`Work`] has a plan and the working picture.

mod adapters;
mod clock;
mod components;
mod cost;
#[cfg(test)]
mod cost_tests;
mod edit;
mod edit_cache;
mod outcome;
mod work;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::thread;
use std::time::Instant;

use crate::cache::Cache;
use crate::diffusion::{NoiseSource, Schedule};
use crate::digest::sha256;
use crate::error::{Error, Result};
use crate::interrupt::Interrupt;
use crate::kernels::{Backend, fault};
use crate::model::unet::SharedUNet;
use crate::model::{Model, UNet};
use crate::panics;
use crate::progress::{Progress, Stage};
pub use outcome::{Latents, Outcome, Steps, Trained};
pub use work::{EditRequest, GivenLora, WarpedWork, Work};

use components::Components;
pub use cost::{passes_by_stage, passes_of};
use edit::EachResult;
use edit_cache::SharedCache;

/// A model whose weights are in memory, ready for edits one after the other or side by side.
#[derive(Debug)]
pub struct Pipeline<B: Backend> {
    unet: UNet<B>,
    components: Components<B>,
    cache: Option<SharedCache>,
}

/// A pipeline on a device that is chosen at run time.
pub trait AnyPipeline: std::fmt::Debug {
    /// As [`Pipeline::digest`].
    fn digest(&self) -> String;
    /// As [`Pipeline::edit`].
    ///
    /// # Errors
    /// As [`Pipeline::edit`].
    fn edit(
        &mut self,
        work: Work,
        noise: &mut dyn NoiseSource,
        progress: &mut dyn Progress,
        interrupt: &Interrupt,
    ) -> Result<Outcome>;
    /// As [`Pipeline::edit_degrees`].
    ///
    /// # Errors
    /// As [`Pipeline::edit_degrees`].
    fn edit_degrees(
        &mut self,
        work: Work,
        degrees: &[f64],
        noise: &mut dyn NoiseSource,
        progress: &mut dyn Progress,
        interrupt: &Interrupt,
        each: &mut dyn FnMut(Outcome) -> Result<()>,
    ) -> Result<()>;
    /// As [`Pipeline::edit_many`].
    fn edit_many(&mut self, edits: Vec<EditRequest>, interrupt: &Interrupt)
    -> Vec<Result<Outcome>>;
    /// As [`Pipeline::use_cache`].
    ///
    /// # Errors
    /// As [`Pipeline::use_cache`].
    fn use_cache(&mut self, cache: Cache) -> Result<()>;
    /// As [`Pipeline::drop_cache`].
    fn drop_cache(&mut self);
    /// Returns the cache, where one is used.
    fn cache(&mut self) -> Option<&mut Cache>;
}

impl<B: Backend> AnyPipeline for Pipeline<B> {
    fn digest(&self) -> String {
        Pipeline::digest(self)
    }

    fn edit(
        &mut self,
        work: Work,
        noise: &mut dyn NoiseSource,
        progress: &mut dyn Progress,
        interrupt: &Interrupt,
    ) -> Result<Outcome> {
        Pipeline::edit(self, work, noise, progress, interrupt)
    }

    fn edit_degrees(
        &mut self,
        work: Work,
        degrees: &[f64],
        noise: &mut dyn NoiseSource,
        progress: &mut dyn Progress,
        interrupt: &Interrupt,
        each: &mut dyn FnMut(Outcome) -> Result<()>,
    ) -> Result<()> {
        Pipeline::edit_degrees(self, work, degrees, noise, progress, interrupt, each)
    }

    fn edit_many(
        &mut self,
        edits: Vec<EditRequest>,
        interrupt: &Interrupt,
    ) -> Vec<Result<Outcome>> {
        Pipeline::edit_many(self, edits, interrupt)
    }

    fn use_cache(&mut self, cache: Cache) -> Result<()> {
        Pipeline::use_cache(self, cache)
    }

    fn drop_cache(&mut self) {
        Pipeline::drop_cache(self);
    }

    fn cache(&mut self) -> Option<&mut Cache> {
        self.cache.as_mut().map(SharedCache::cache)
    }
}

impl<B: Backend> Pipeline<B> {
    /// Loads a model's weights.
    ///
    /// # Errors
    /// [`crate::Error::Weights`] when a file is missing, damaged, or does not fit its configuration; [`crate::Error::Interrupted`].
    pub fn load(
        backend: B,
        model: Model,
        progress: &mut dyn Progress,
        interrupt: &Interrupt,
    ) -> Result<Self> {
        let start = Instant::now();
        progress.begin(Stage::Load, 1);
        let (unet, vae, (tokenizer, text_encoder)) = fault::catch(|| {
            Ok((
                model.unet(&backend, interrupt)?,
                model.vae(&backend.in_f32(), interrupt)?,
                model.text(interrupt)?,
            ))
        })?;
        progress.end();
        backend.trim();
        let components = Components {
            schedule: Schedule::new(model.schedule()),
            seconds: start.elapsed().as_secs_f64(),
            vae_lock: ().into(),
            clip: None.into(),
            backend,
            model,
            vae,
            tokenizer,
            text_encoder,
        };
        Ok(Self {
            unet,
            components,
            cache: None,
        })
    }

    /// Lets edits use this cache: they take LoRA and inversion from it, and keep in it what they compute. Results have the same bytes with
    /// and without a cache.
    ///
    /// # Errors
    /// [`crate::Error::Weights`] when the model's configuration cannot be read again.
    pub fn use_cache(&mut self, cache: Cache) -> Result<()> {
        let Components { backend, model, .. } = &self.components;
        self.cache = SharedCache::new(
            cache,
            backend.arithmetic(),
            self.digest(),
            model.configuration()?,
        );
        Ok(())
    }

    /// Lets later edits use no cache.
    pub fn drop_cache(&mut self) {
        self.cache = None;
    }

    /// Returns the SHA-256 over the weights of all parts.
    pub fn digest(&self) -> String {
        let Components {
            vae, text_encoder, ..
        } = &self.components;
        let digests = [self.unet.digest(), vae.digest(), text_encoder.digest()];
        sha256(digests.concat().as_bytes())
    }

    /// Does one edit. The model is left as it was loaded.
    ///
    /// # Errors
    /// [`crate::Error::NotFinite`], [`crate::Error::Diverged`], [`crate::Error::Interrupted`], [`crate::Error::PromptTooLong`],
    /// [`crate::Error::Weights`] when a LoRA does not fit, [`crate::Error::Setting`] for a setting that does not fit the model,
    /// [`crate::Error::Device`].
    ///
    /// # Panics
    /// When the picture does not have the plan's padded size.
    pub fn edit(
        &mut self,
        work: Work,
        noise: &mut dyn NoiseSource,
        progress: &mut dyn Progress,
        interrupt: &Interrupt,
    ) -> Result<Outcome> {
        self.edit_with_latents(work, noise, progress, interrupt)
            .map(|(outcome, _)| outcome)
    }

    /// As [`Pipeline::edit`], and returns the latents between the stages too.
    ///
    /// # Errors
    /// As [`Pipeline::edit`].
    ///
    /// # Panics
    /// As [`Pipeline::edit`].
    pub fn edit_with_latents(
        &mut self,
        work: Work,
        noise: &mut dyn NoiseSource,
        progress: &mut dyn Progress,
        interrupt: &Interrupt,
    ) -> Result<(Outcome, Latents<B>)> {
        let degree = work.plan.settings.diffusion.degree;
        let mut edited = None;
        let mut each = |outcome, latents| {
            edited = Some((outcome, latents));
            Ok(())
        };
        self.run(work, &[degree], noise, progress, interrupt, &mut each)?;
        Ok(edited.expect("an edit has a result for its degree"))
    }

    /// Does one edit of which the results take the drag to each of `degrees` ([`crate::method::Dragged::at_degree`]) in place of the plan's. Everything
    /// before the denoising is computed once. `each` gets the results one after the other, in this order; each has the bytes of an edit of its own.
    ///
    /// The first outcome has the seconds and steps of what all share, and the trained LoRA; the others name the shared stages as cached.
    ///
    /// # Errors
    /// As [`Pipeline::edit`], and those of `each`, which end the edit.
    ///
    /// # Panics
    /// As [`Pipeline::edit`].
    pub fn edit_degrees(
        &mut self,
        work: Work,
        degrees: &[f64],
        noise: &mut dyn NoiseSource,
        progress: &mut dyn Progress,
        interrupt: &Interrupt,
        each: &mut dyn FnMut(Outcome) -> Result<()>,
    ) -> Result<()> {
        let mut each = |outcome, _| each(outcome);
        self.run(work, degrees, noise, progress, interrupt, &mut each)
    }

    fn run(
        &mut self,
        work: Work,
        degrees: &[f64],
        noise: &mut dyn NoiseSource,
        progress: &mut dyn Progress,
        interrupt: &Interrupt,
        each: &mut EachResult<B>,
    ) -> Result<()> {
        let Self {
            unet,
            components,
            cache,
        } = self;
        let cache = cache.as_ref();
        let edit = || {
            fault::catch(|| {
                edit::run(
                    components, unet, work, degrees, cache, noise, progress, interrupt, each,
                )
            })
        };
        let result = catch_unwind(AssertUnwindSafe(edit));
        // The next edit finds the weights as they were loaded, even after a panic.
        self.unet.detach_adapters();
        self.components.release();
        result.unwrap_or_else(|panic| resume_unwind(panic))
    }

    /// Does several edits side by side, each on a thread of its own. Equal requests to the network at the same time are computed in one
    /// call ([`SharedUNet`]). Results are those of [`Pipeline::edit`] but for rounding, since sums over a batch may be split differently.
    /// The model is left as it was loaded.
    ///
    /// An edit that fails does not stop the others. Its errors are those of [`Pipeline::edit`]; a panic is an error too.
    pub fn edit_many(
        &mut self,
        edits: Vec<EditRequest>,
        interrupt: &Interrupt,
    ) -> Vec<Result<Outcome>> {
        let Self {
            unet,
            components,
            cache,
        } = self;
        let (components, cache) = (&*components, cache.as_ref());
        let (shared, clients) = SharedUNet::new(unet, edits.len());
        let results = thread::scope(|scope| {
            let edits = edits.into_iter().zip(clients).map(|(request, mut client)| {
                scope.spawn(move || {
                    let EditRequest {
                        work,
                        noise,
                        progress,
                    } = request;
                    let degree = work.plan.settings.diffusion.degree;
                    let mut edited = None;
                    let edit = || {
                        let client = &mut client;
                        let mut each = |outcome, _| {
                            edited = Some(outcome);
                            Ok(())
                        };
                        fault::catch(|| {
                            edit::run(
                                components,
                                client,
                                work,
                                &[degree],
                                cache,
                                noise,
                                progress,
                                interrupt,
                                &mut each,
                            )
                        })
                    };
                    let without = || Error::Bug("an edit ended without a result".into());
                    let result = panics::catch(edit).and_then(|()| edited.ok_or_else(without));
                    // A failed edit must not leave its loss scale to the others.
                    components.backend.restore_loss_scale();
                    result
                })
            });
            let edits: Vec<_> = edits.collect();
            shared.serve();
            edits
                .into_iter()
                .map(|edit| edit.join().unwrap_or_else(|panic| resume_unwind(panic)))
                .collect()
        });
        self.components.release();
        results
    }
}
