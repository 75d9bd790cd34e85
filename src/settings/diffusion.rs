//! Settings of the diffusion process around a method: timestep grid, mutual self-attention, seed.

use serde::{Deserialize, Serialize};

use super::{Form, settings};

settings! {
    /// The timestep grid, the attention to the original picture while denoising, and the seed.
    pub struct DiffusionSettings, "Settings of the diffusion process";
    /// Number of timesteps of the denoising grid.
    steps "steps": usize = 50, Form::Whole(1, 1000), "DragNeXt, arXiv 2506.07611, implementation details: 50";
    /// Share of the grid that is inverted and denoised again.
    strength "strength": f64 = 0.75, Form::Above(0.0, 1.0), "DragNeXt, implementation details: 0.75, so that T = 38 of 50";
    /// First attention layer whose keys and values come from the reference latent while denoising.
    start_layer "start_layer": usize = 10, Form::Whole(0, 1000), "MasaCtrl, arXiv 2304.08465, and DragNeXt, implementation details: layer 10";
    /// Where the reference latent stands while denoising: `kept` puts it back on the inversion's latents and gives the edit the same correction, so that what is not edited comes back; `denoised` leaves both to the model.
    trajectory "trajectory": TrajectoryChoice = TrajectoryChoice::Kept, Form::Words(&["kept", "denoised"]), "Direct Inversion, arXiv 2310.01506; `denoised` is the form of DragNeXt";
    /// Degree of the drag: how far the optimised latent, text embedding or bottleneck is taken from the undragged one before the rest of the denoising. 1 is where the optimisation led, 0 is no drag, more than 1 goes on beyond. Unlike `--amounts` it leaves regions and targets as they are, and what is optimised.
    degree "degree": f64 = 1.0, Form::Within(0.0, 4.0), "DragText, arXiv 2407.17843, its manipulation of the degree of drag";
    /// Seed of all noise.
    seed "seed": u64 = 0, Form::Whole(0, u64::MAX), "released code of DragDiffusion, LoRA training: 0";
}

impl DiffusionSettings {
    /// Returns the number of executed steps: `strength * steps`, rounded half to even (DragDiffusion's rounding: 37.5 gives 38).
    pub fn executed_steps(&self) -> usize {
        ((self.strength * self.steps as f64).round_ties_even() as usize).clamp(1, self.steps)
    }
}

/// Where the reference latent stands while denoising.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TrajectoryChoice {
    /// On the latents of the inversion.
    Kept,
    /// Where the model's denoising leads.
    Denoised,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn executed_steps_round_half_to_even() {
        for (strength, expected) in [(0.75, 38), (0.70, 35), (0.65, 32), (0.85, 42)] {
            let settings = DiffusionSettings {
                strength,
                ..DiffusionSettings::default()
            };
            assert_eq!(settings.executed_steps(), expected, "strength {strength}");
        }
    }
}
