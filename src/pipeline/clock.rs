//! Runs the stages of an edit: reports them, measures them, and frees what each needed.

use std::time::Instant;

use crate::error::Result;
use crate::progress::{Progress, Stage};

/// The stages of one edit.
pub(super) struct StageClock<'a> {
    progress: &'a mut dyn Progress,
    /// The stages ahead, each with its estimated work.
    ahead: Vec<(Stage, f64)>,
    /// Seconds of each stage so far, in order.
    pub(super) seconds: Vec<(Stage, f64)>,
    /// Stages whose result came from the cache.
    pub(super) cached: Vec<Stage>,
    /// Called after each stage: frees the memory that the next one does not need.
    on_end: &'a dyn Fn(),
}

impl<'a> StageClock<'a> {
    pub(super) fn new(progress: &'a mut dyn Progress, on_end: &'a dyn Fn()) -> Self {
        Self {
            progress,
            ahead: Vec::new(),
            seconds: Vec::new(),
            cached: Vec::new(),
            on_end,
        }
    }

    /// Announces the stages ahead with their estimated work.
    pub(super) fn plan(&mut self, ahead: Vec<(Stage, f64)>) {
        self.ahead = ahead;
        self.progress.plan(&self.ahead);
    }

    /// Takes a stage out of the plan that is not needed.
    pub(super) fn skip(&mut self, stage: Stage) {
        self.ahead.retain(|(other, _)| *other != stage);
        self.progress.plan(&self.ahead);
    }

    /// Takes a stage out of the plan whose result came from the cache.
    pub(super) fn hit(&mut self, stage: Stage) {
        self.cached.push(stage);
        self.skip(stage);
    }

    /// Runs a stage of `steps` steps.
    pub(super) fn run<T>(
        &mut self,
        stage: Stage,
        steps: usize,
        work: impl FnOnce(&mut dyn Progress) -> Result<T>,
    ) -> Result<T> {
        let start = Instant::now();
        self.progress.begin(stage, steps);
        let result = work(self.progress)?;
        self.progress.end();
        self.add(stage, start.elapsed().as_secs_f64());
        (self.on_end)();
        Ok(result)
    }

    /// Begins the clock of another result, which uses the results of the stages `shared` so far and runs the stages `ahead`.
    pub(super) fn begin_again(&mut self, shared: &[Stage], ahead: Vec<(Stage, f64)>) {
        let before = std::mem::take(&mut self.seconds);
        let was_done = |stage: &Stage| {
            before.iter().any(|(done, _)| done == stage) || self.cached.contains(stage)
        };
        self.cached = shared.iter().copied().filter(was_done).collect();
        self.plan(ahead);
    }

    /// Adds seconds to a stage.
    pub(super) fn add(&mut self, stage: Stage, seconds: f64) {
        match self.seconds.iter_mut().find(|(known, _)| *known == stage) {
            Some((_, known)) => *known += seconds,
            None => self.seconds.push((stage, seconds)),
        }
    }
}
