//! The outcome of each result of an edit.

use super::super::adapters::Adapters;
use super::super::cost::passes;
use super::super::{Outcome, Steps};
use super::Edit;
use crate::kernels::Backend;
use crate::method::PointTrack;
use crate::progress::Stage;
use crate::warning::{Warning, WarningKind};

impl<B: Backend> Edit<'_, B> {
    /// Begins the denoising of another degree, which shares everything before it with the result before.
    pub(super) fn begin_again(&mut self) {
        let passes = passes(&self.plan.settings, self.grid.timesteps.len());
        let is_ahead = |(stage, _): &(Stage, f64)| *stage == Stage::Denoise;
        let ahead = passes.into_iter().filter(is_ahead).collect();
        let shared = [Stage::Lora, Stage::Invert, Stage::Drag];
        self.stages.begin_again(&shared, ahead);
        self.steps = Steps {
            denoise: self.steps.denoise,
            ..Steps::default()
        };
    }

    /// Returns the paths of points in the picture's coordinates.
    pub(super) fn tracks(&self, tracks: &[PointTrack]) -> Vec<PointTrack> {
        let frame = self.plan.frame;
        let on_picture = |track: &PointTrack| PointTrack {
            region: track.region.clone(),
            points: track
                .points
                .iter()
                .map(|point| frame.to_source(*point))
                .collect(),
            target: frame.to_source(track.target),
        };
        tracks.iter().map(on_picture).collect()
    }

    /// Returns the outcome of the stages so far. The first result gets the trained LoRA, and the warnings of the prompts and of the cache.
    pub(super) fn outcome(&mut self, picture: Vec<f32>, adapters: &mut Adapters) -> Outcome {
        let mut warnings = std::mem::take(&mut self.warnings);
        warnings.extend(self.cache.take_warnings());
        warnings.extend(refused(&self.components.backend));
        warnings.extend(without_graphs(&self.components.backend));
        Outcome {
            picture,
            reconstruction: None,
            losses: Vec::new(),
            tracks: Vec::new(),
            diverged: 0,
            steps: self.steps,
            seconds: self.stages.seconds.clone(),
            cached: self.stages.cached.clone(),
            warnings,
            lora: adapters.trained.take(),
            lora_absent: adapters.absent.clone(),
            device_peak_bytes: self.components.backend.peak_bytes(),
        }
    }
}

/// Returns a warning if a library of the device refused convolutions.
fn refused(backend: &impl Backend) -> Option<Warning> {
    let refused = backend.refused_convolutions();
    refused.first().map(|first| Warning {
        kind: WarningKind::DeviceConvolutions,
        message: format!(
            "the GPU's library refused {} of the convolutions, which slower kernels computed: {first}",
            refused.len()
        ),
    })
}

/// Returns a warning if the device could not submit repeated passes together.
fn without_graphs(backend: &impl Backend) -> Option<Warning> {
    let failure = backend.graphs()?.failure;
    failure.map(|reason| Warning {
        kind: WarningKind::DeviceGraphs,
        message: format!(
            "CUDA graphs could not be made, so that operations were submitted one by one: {reason}"
        ),
    })
}
