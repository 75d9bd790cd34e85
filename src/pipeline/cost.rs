//! Estimates of what an edit computes.

use crate::method::Inversion;
use crate::plan::Settings;
use crate::progress::Stage;

/// Returns about how many pictures go through the network in an edit with these settings; a backward pass counts as one.
pub fn passes_of(settings: &Settings) -> f64 {
    let passes = passes_by_stage(settings);
    passes.iter().map(|(_, passes)| passes).sum()
}

/// As [`passes_of`], for each stage.
pub fn passes_by_stage(settings: &Settings) -> Vec<(Stage, f64)> {
    passes(settings, settings.executed_steps())
}

/// Returns about how many pictures go through the network in each stage, on a grid of `timesteps` executed steps.
pub(super) fn passes(settings: &Settings, timesteps: usize) -> Vec<(Stage, f64)> {
    let (method, diffusion) = (&settings.method, &settings.diffusion);
    // Whether any cell is new is known once the picture is warped.
    let timesteps = if method.keeps_warped(diffusion, true) {
        0
    } else {
        timesteps
    };
    let drag = method.cost(diffusion, timesteps);
    let needs = method.needs();
    let lora = if needs.lora {
        2 * settings.lora.steps * settings.lora.batch
    } else {
        0
    };
    let inversions = match needs.inversion {
        Inversion::Pipeline => 1 + usize::from(needs.original),
        Inversion::Own => 0,
    };
    [
        (Stage::Lora, lora),
        (Stage::Invert, inversions * timesteps),
        (Stage::Drag, drag.passes),
        (Stage::Denoise, 2 * (timesteps - drag.steps)),
    ]
    .map(|(stage, passes)| (stage, passes as f64))
    .to_vec()
}
