//! The library's face: a model in memory that edits pictures.

use crate::cache::Cache;
use crate::device::{BackendChoice, Compute, Device, Dtype, Trust};
use crate::diffusion::Seeded;
use crate::drag_file::DragFile;
use crate::edit::Canvas;
use crate::error::Result;
use crate::interrupt::Interrupt;
use crate::method::Method;
use crate::model::Model;
use crate::picture::Picture;
use crate::pipeline::AnyPipeline;
use crate::plan::{Amount, Choice, Degree, ModelFacts, Plan, Request, check_methods};
use crate::progress::{Progress, Silent};

/// A model whose weights are in memory, on a device that is chosen at run time.
#[derive(Debug)]
pub struct Editor {
    pipeline: Box<dyn AnyPipeline>,
    facts: ModelFacts,
}

impl Editor {
    /// Opens a model on the first GPU that can be used and computes what the CPU computes, else on the CPU: `demo`, a folder in diffusers' layout, or a model of the
    /// Hugging Face hub that is in its cache. Nothing is fetched.
    ///
    /// # Errors
    /// [`crate::Error::Weights`] and [`crate::Error::Hub`] when the model is missing, damaged, or of another kind.
    pub fn open(model: &str) -> Result<Self> {
        Self::open_on(model, Device::Auto, Dtype::Auto)
    }

    /// As [`Editor::open`], on a device and in a number format.
    ///
    /// # Errors
    /// As [`Editor::open`]; [`crate::Error::Device`] when the device cannot be used.
    pub fn open_on(model: &str, device: Device, dtype: Dtype) -> Result<Self> {
        Self::of(Model::open(model, None)?, device, dtype)
    }

    /// Loads a model that is open, such as one [with another CLIP](Model::with_clip) for methods that follow a text.
    ///
    /// # Errors
    /// As [`Editor::open_on`].
    pub fn of(model: Model, device: Device, dtype: Dtype) -> Result<Self> {
        let facts = ModelFacts::of(&model)?;
        let compute = Compute::choose(device, BackendChoice::Auto, dtype, Trust::Checked)?;
        let pipeline = compute.load(model, &mut Silent, &Interrupt::never())?;
        Ok(Self { pipeline, facts })
    }

    /// Edits a picture. `choice` takes precedence over the drag file's method and settings. Outside the editable area the result has the
    /// picture's own pixels; when nothing moves, it is the picture.
    ///
    /// # Errors
    /// [`crate::Error::Instruction`] when the drag file does not fit the picture, [`crate::Error::Setting`],
    /// [`crate::Error::PromptTooLong`], [`crate::Error::NotFinite`], [`crate::Error::Diverged`], [`crate::Error::Device`].
    pub fn edit(&mut self, picture: &Picture, drag: &DragFile, choice: &Choice) -> Result<Picture> {
        self.edit_with(picture, drag, choice, &mut Silent, &Interrupt::never())
    }

    /// As [`Editor::edit`]; reports its stages, and can be stopped.
    ///
    /// # Errors
    /// As [`Editor::edit`], and [`crate::Error::Interrupted`].
    pub fn edit_with(
        &mut self,
        picture: &Picture,
        drag: &DragFile,
        choice: &Choice,
        progress: &mut dyn Progress,
        interrupt: &Interrupt,
    ) -> Result<Picture> {
        let request = Request {
            drag,
            above: &[choice],
            model: &self.facts,
            amount: Amount::WHOLE,
            is_one_of_several: false,
        };
        let plan = request.plan(picture.size())?;
        self.run(picture, &plan, progress, interrupt)
    }

    /// Edits a picture several times, with the drag carried out to each of `amounts`, multiples of its whole motion: 0 is the picture itself,
    /// 1 the whole drag, 1.5 half as much again. There are 1 to 16 of them, from 0 to 4, each once. The results share one window and one editable
    /// area, those of the largest amount. What does not depend on the drag, such as the LoRA, is computed once.
    ///
    /// # Errors
    /// As [`Editor::edit`]; [`crate::Error::Setting`] for amounts out of these bounds, and [`crate::Error::Instruction`] for an amount at which
    /// a region leaves the picture.
    pub fn edit_amounts(
        &mut self,
        picture: &Picture,
        drag: &DragFile,
        choice: &Choice,
        amounts: &[f64],
    ) -> Result<Vec<Picture>> {
        let plans: Vec<Plan> = Amount::series(amounts)?
            .into_iter()
            .map(|amount| {
                let request = Request {
                    drag,
                    above: &[choice],
                    model: &self.facts,
                    amount,
                    is_one_of_several: false,
                };
                request.plan(picture.size())
            })
            .collect::<Result<_>>()?;
        self.pipeline.use_cache(Cache::in_memory())?;
        let edited = plans
            .iter()
            .map(|plan| self.run(picture, plan, &mut Silent, &Interrupt::never()))
            .collect();
        self.pipeline.drop_cache();
        edited
    }

    /// Edits a picture and takes what the drag optimised to each of `degrees` before the denoising, in place of the setting `degree`: 0 is no drag, 1 is
    /// where the optimisation led, 1.5 goes on beyond by half as much. There are 1 to 16 of them, from 0 to 4, each once. The optimisation runs
    /// once, and each result has the pixels of an edit with its degree.
    ///
    /// # Errors
    /// As [`Editor::edit`]; [`crate::Error::Setting`] for degrees out of these bounds, and when nothing is optimised.
    pub fn edit_degrees(
        &mut self,
        picture: &Picture,
        drag: &DragFile,
        choice: &Choice,
        degrees: &[f64],
    ) -> Result<Vec<Picture>> {
        let degrees = Degree::series(degrees)?;
        let choice = Degree::first_of(&degrees, choice);
        let request = Request {
            drag,
            above: &[&choice],
            model: &self.facts,
            amount: Amount::WHOLE,
            is_one_of_several: false,
        };
        let plan = request.plan(picture.size())?;
        Degree::check(&degrees, &plan.settings)?;
        if plan.regions.is_empty() {
            return Ok(vec![picture.clone(); degrees.len()]);
        }
        let canvas = Canvas::new(picture, &plan);
        let mut noise = Seeded::of(&plan.settings.diffusion, &plan.settings.lora);
        let values: Vec<f64> = degrees.iter().map(|degree| degree.value()).collect();
        let mut edited = Vec::new();
        self.pipeline.edit_degrees(
            canvas.work(&plan, None),
            &values,
            &mut noise,
            &mut Silent,
            &Interrupt::never(),
            &mut |outcome| {
                edited.push(canvas.result(picture, &plan, &outcome, true));
                Ok(())
            },
        )?;
        Ok(edited)
    }

    /// Edits a picture once with each of `methods`, in their order. What `choice` and a drag file without a method give holds for the methods that
    /// have the setting; the method of `choice` does not count. What several methods need alike, such as an inversion, is computed once.
    ///
    /// A method that fails, or does not fit the drag, has its error in place of a result, and the others go on.
    ///
    /// # Errors
    /// [`crate::Error::Setting`] for no method, one that is given twice, and a setting that none of them has. Errors of a method are those of
    /// [`Editor::edit`].
    pub fn edit_methods(
        &mut self,
        picture: &Picture,
        drag: &DragFile,
        choice: &Choice,
        methods: &[Method],
    ) -> Result<Vec<Result<Picture>>> {
        check_methods(methods, choice, Some(drag))?;
        self.pipeline.use_cache(Cache::in_memory())?;
        let edited = methods.iter().map(|method| {
            let choice = Choice {
                method: Some(*method),
                values: choice.values.clone(),
            };
            let request = Request {
                drag,
                above: &[&choice],
                model: &self.facts,
                amount: Amount::WHOLE,
                is_one_of_several: true,
            };
            let plan = request.plan(picture.size())?;
            self.run(picture, &plan, &mut Silent, &Interrupt::never())
        });
        let edited = edited.collect();
        self.pipeline.drop_cache();
        Ok(edited)
    }

    fn run(
        &mut self,
        picture: &Picture,
        plan: &Plan,
        progress: &mut dyn Progress,
        interrupt: &Interrupt,
    ) -> Result<Picture> {
        if plan.regions.is_empty() {
            return Ok(picture.clone());
        }
        let canvas = Canvas::new(picture, plan);
        let work = canvas.work(plan, None);
        let mut noise = Seeded::of(&plan.settings.diffusion, &plan.settings.lora);
        let outcome = self.pipeline.edit(work, &mut noise, progress, interrupt)?;
        Ok(canvas.result(picture, plan, &outcome, true))
    }
}
