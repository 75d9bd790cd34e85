//! One edit, stage by stage: encode, fine-tune, invert, drag, denoise, decode. With a cache, what an earlier edit of the same picture
//! trained and inverted is taken from there. Several edits may go through the network side by side.

mod adapters;
mod outcome;
mod reuse;
mod stages;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::thread;

use crate::cache::Cache;
use crate::diffusion::{NoiseSource, Schedule};
use crate::digest::sha256;
use crate::error::Result;
use crate::interrupt::Interrupt;
use crate::kernels::{Backend, fault};
use crate::model::lora::LoraFile;
use crate::model::unet::SharedUNet;
use crate::model::{Model, UNet};
use crate::panics;
use crate::plan::Plan;
use crate::progress::{Progress, Stage};
pub use outcome::{Latents, Outcome, Steps, Trained};
use reuse::Kept;
pub use stages::passes_of;
use stages::{Clock, Parts};

/// A model whose weights are in memory, ready for one edit after the other, or for several at a time.
#[derive(Debug)]
pub struct Editor<B: Backend> {
    unet: UNet<B>,
    parts: Parts<B>,
    kept: Option<Kept>,
}

/// An editor on a device that only the run knows.
pub trait Edits: std::fmt::Debug {
    /// SHA-256 over the weights of all parts.
    fn digest(&self) -> String;
    /// Does one edit. The model is left as it was loaded.
    ///
    /// # Errors
    /// As [`Editor::edit`].
    fn edit(
        &mut self,
        work: Work,
        noise: &mut dyn NoiseSource,
        progress: &mut dyn Progress,
        interrupt: &Interrupt,
    ) -> Result<Outcome>;
    /// Does several edits side by side: [`Editor::edit_many`].
    fn edit_many(&mut self, edits: Vec<EditRequest>, interrupt: &Interrupt)
    -> Vec<Result<Outcome>>;
    /// From now on, edits take from this cache what is there, and keep in it what they compute.
    ///
    /// # Errors
    /// As [`Editor::reuse`].
    fn reuse(&mut self, cache: Cache) -> Result<()>;
    /// The cache, where there is one.
    fn cache(&mut self) -> Option<&mut Cache>;
}

impl<B: Backend> Edits for Editor<B> {
    fn digest(&self) -> String {
        Editor::digest(self)
    }

    fn edit(
        &mut self,
        work: Work,
        noise: &mut dyn NoiseSource,
        progress: &mut dyn Progress,
        interrupt: &Interrupt,
    ) -> Result<Outcome> {
        Editor::edit(self, work, noise, progress, interrupt)
    }

    fn edit_many(
        &mut self,
        edits: Vec<EditRequest>,
        interrupt: &Interrupt,
    ) -> Vec<Result<Outcome>> {
        Editor::edit_many(self, edits, interrupt)
    }

    fn reuse(&mut self, cache: Cache) -> Result<()> {
        Editor::reuse(self, cache)
    }

    fn cache(&mut self) -> Option<&mut Cache> {
        self.kept.as_mut().map(Kept::cache)
    }
}

/// What an edit works on.
#[derive(Debug)]
pub struct Work<'a> {
    /// Regions, settings and sizes; with at least one region that moves.
    pub plan: &'a Plan,
    /// The working picture (padded height, padded width, 3) in -1..1.
    pub picture: Vec<f32>,
    /// A LoRA that was trained before, instead of a new one.
    pub lora: Option<LoraFile>,
}

/// One of several edits that are done side by side.
pub struct EditRequest<'a> {
    /// What it works on.
    pub work: Work<'a>,
    /// Its random numbers.
    pub noise: &'a mut dyn NoiseSource,
    /// Where it says what it does.
    pub progress: &'a mut dyn Progress,
}

impl<B: Backend> Editor<B> {
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
        let over = || backend.trim();
        let mut clock = Clock::new(progress, &over);
        let (unet, vae, (tokenizer, text_encoder)) = clock.run(Stage::Load, 1, |_| {
            fault::catch(|| {
                Ok((
                    model.unet(&backend, interrupt)?,
                    model.vae(&backend.in_f32(), interrupt)?,
                    model.text(interrupt)?,
                ))
            })
        })?;
        let schedule = Schedule::new(model.schedule());
        let seconds = clock.seconds[0].1;
        let parts = Parts {
            backend,
            model,
            vae,
            is_in_use: ().into(),
            tokenizer,
            text_encoder,
            schedule,
            seconds,
        };
        Ok(Self {
            unet,
            parts,
            kept: None,
        })
    }

    /// From now on, edits take from this cache what is there, and keep in it what they compute. Their results have the same bytes.
    ///
    /// # Errors
    /// [`crate::Error::Weights`] when the model's configuration cannot be read again.
    pub fn reuse(&mut self, cache: Cache) -> Result<()> {
        self.kept = Kept::new(
            cache,
            self.parts.backend.arithmetic(),
            self.digest(),
            self.parts.model.configuration()?,
        );
        Ok(())
    }

    /// SHA-256 over the weights of all parts.
    pub fn digest(&self) -> String {
        sha256(
            [
                self.unet.digest(),
                self.parts.vae.digest(),
                self.parts.text_encoder.digest(),
            ]
            .concat()
            .as_bytes(),
        )
    }

    /// Does one edit. The model is left as it was loaded.
    ///
    /// # Errors
    /// [`crate::Error::NotFinite`], [`crate::Error::Interrupted`], [`crate::Error::PromptTooLong`], [`crate::Error::Weights`] when a LoRA does not fit,
    /// [`crate::Error::Setting`] for a decoder stage that the model does not have.
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

    /// As [`Editor::edit`], with the latents on the way.
    ///
    /// # Errors
    /// As [`Editor::edit`].
    ///
    /// # Panics
    /// As [`Editor::edit`].
    pub fn edit_with_latents(
        &mut self,
        work: Work,
        noise: &mut dyn NoiseSource,
        progress: &mut dyn Progress,
        interrupt: &Interrupt,
    ) -> Result<(Outcome, Latents<B>)> {
        let Self { unet, parts, kept } = self;
        let edit =
            || fault::catch(|| parts.stages(unet, work, kept.as_ref(), noise, progress, interrupt));
        let result = catch_unwind(AssertUnwindSafe(edit));
        // Whatever becomes of one edit, the next one finds the weights as they were loaded.
        self.unet.detach_adapters();
        self.parts.over();
        result.unwrap_or_else(|panic| resume_unwind(panic))
    }

    /// Does several edits side by side, each on a thread of its own; what they ask of the network at the same time is computed in one
    /// call ([`SharedUNet`]). The results are those of [`Editor::edit`] but for rounding: sums of a batch may be split in another way.
    /// The model is left as it was loaded.
    ///
    /// One that fails does not stop the others. Its errors are those of [`Editor::edit`]; a panic is an error, too.
    pub fn edit_many(
        &mut self,
        edits: Vec<EditRequest>,
        interrupt: &Interrupt,
    ) -> Vec<Result<Outcome>> {
        let Self { unet, parts, kept } = self;
        let (parts, kept) = (&*parts, kept.as_ref());
        let (together, lanes) = SharedUNet::new(unet, edits.len());
        let results = thread::scope(|scope| {
            let edits = edits.into_iter().zip(lanes).map(
                |(
                    EditRequest {
                        work,
                        noise,
                        progress,
                    },
                    mut lane,
                )| {
                    scope.spawn(move || {
                        let edit = || {
                            fault::catch(|| {
                                parts.stages(&mut lane, work, kept, noise, progress, interrupt)
                            })
                        };
                        let result = panics::catch(edit).map(|(outcome, _)| outcome);
                        // The gradients of the others are no concern of one that failed.
                        parts.backend.restore_loss_scale();
                        result
                    })
                },
            );
            let edits: Vec<_> = edits.collect();
            together.serve();
            edits
                .into_iter()
                .map(|edit| edit.join().unwrap_or_else(|panic| resume_unwind(panic)))
                .collect()
        });
        self.parts.over();
        results
    }
}
