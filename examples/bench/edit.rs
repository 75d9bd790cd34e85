//! Measures a whole edit, from the picture in memory to the edited picture in memory.

use std::path::Path;

use anyhow::Result;
use dragnext::diffusion::Seeded;
use dragnext::drag_file::DragFile;
use dragnext::interrupt::Interrupt;
use dragnext::kernels::Backend;
use dragnext::model::Model;
use dragnext::picture;
use dragnext::pipeline::{Pipeline, WarpedWork, Work};
use dragnext::plan::{Amount, ModelFacts, Plan, Request};
use dragnext::warp::Warped;

use crate::cost::{Cost, Meter, Stages};

/// An editor with a resolved edit.
pub(crate) struct Edit<B: Backend> {
    backend: B,
    editor: Pipeline<B>,
    plan: Plan,
    picture: Vec<f32>,
    warped: WarpedWork,
    load: Cost,
}

impl<B: Backend> Edit<B> {
    pub(crate) fn new(backend: B, model: &str, image: &Path, drag_path: &Path) -> Result<Self> {
        let source = picture::read(image)?.picture;
        let drag = DragFile::read(drag_path)?;
        let model = Model::open(model, None)?;
        let request = Request {
            drag: &drag,
            above: &[],
            model: &ModelFacts::of(&model)?,
            amount: Amount::WHOLE,
            is_one_of_several: false,
        };
        let plan = request.plan(source.size())?;
        let picture = source.working(&plan.frame);
        let warped = WarpedWork::new(&Warped::new(&source, &plan), &plan.frame);
        let meter = Meter::start(&backend);
        let editor = Pipeline::load(
            backend.clone(),
            model,
            &mut Stages::new(&backend),
            &Interrupt::never(),
        )?;
        Ok(Self {
            editor,
            plan,
            picture,
            warped,
            load: meter.stop(),
            backend,
        })
    }

    /// Runs the edit, and returns its cost and that of each stage. The first stage is `load`, which runs once and is not part of the cost
    /// of the edit.
    pub(crate) fn run(&mut self) -> Result<(Cost, Vec<(&'static str, Cost)>)> {
        let work = Work {
            plan: &self.plan,
            picture: self.picture.clone(),
            warped: Some(self.warped.clone()),
            lora: None,
        };
        let (mut stages, mut noise) = (
            Stages::new(&self.backend),
            Seeded::of(&self.plan.settings.diffusion, &self.plan.settings.lora),
        );
        let meter = Meter::start(&self.backend);
        self.editor
            .edit(work, &mut noise, &mut stages, &Interrupt::never())?;
        let mut cost = meter.stop();
        // The peak is reset at the start of every stage.
        cost.peak_bytes = stages
            .costs
            .iter()
            .map(|(_, stage)| stage.peak_bytes)
            .chain([cost.peak_bytes])
            .max()
            .flatten();
        let stages = stages
            .costs
            .iter()
            .map(|(stage, cost)| (stage.name(), *cost));
        Ok((
            cost,
            [("load", self.load)].into_iter().chain(stages).collect(),
        ))
    }
}
