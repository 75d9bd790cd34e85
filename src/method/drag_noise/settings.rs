//! Settings of `DragNoise`.

use crate::method::parts::{MotionSupervision, Taps};
use crate::settings::{DiffusionSettings, Form, Overrides, settings};

settings! {
    /// DragNoise (arXiv 2404.01050).
    pub struct DragNoiseSettings, "Settings of the method drag-noise";
    /// Iterations of the optimisation, at most: it ends when all points have arrived.
    iterations "iterations": usize = 60, Form::Whole(1, 1000), "DragNoise, its interface: 60";
    /// Learning rate of the bottleneck: length of Adam's steps.
    lr "lr": f64 = 0.01, Form::Above(0.0, 100.0), "DragNoise, its interface: 0.01";
    /// Steps at the end of the denoising at which the network's own bottleneck is used again; 0 injects the optimised one to the end.
    free_steps "free_steps": usize = 10, Form::Whole(0, 1000), "DragNoise, implementation details: t' = 10; its interface: 0";
    /// Radius in grid cells of the patches that motion supervision compares.
    motion_radius "motion_radius": usize = 1, Form::Whole(1, 64), "DragNoise, its released code: 1";
    /// Radius in grid cells of the window in which a point is tracked.
    track_radius "track_radius": usize = 3, Form::Whole(1, 64), "DragNoise, its released code: 3";
    /// Grid cells ahead of a point at which motion supervision pulls.
    reach "reach": f64 = 1.0, Form::Above(0.0, 64.0), "DragNoise, its released code: a unit vector";
    /// Weight of the loss term that keeps cells outside the editable area close to the reference latent.
    mask_weight "mask_weight": f64 = 0.1, Form::Within(0.0, 1e6), "DragNoise, its interface: lambda = 0.1";
    /// Decoder stages whose outputs are compared, 1 to 4, separated by commas on the command line.
    taps "taps": Taps = Taps(vec![3]), Form::Stages(4), "DragNoise, its released code: 3";
    /// Continues with the best latent of a timestep when the optimisation diverges there, instead of failing.
    keep_partial "keep_partial": bool = false, Form::Switch, "dragnext";
}

/// A number of attention layers that no model of the family has.
const NO_LAYER: usize = 1000;

impl DragNoiseSettings {
    /// Returns the shared settings of the paper, which has no mutual self-attention.
    pub(super) fn shared() -> Overrides {
        let mut papers = Overrides::from([("trajectory", "denoised")]);
        papers.set("strength", 0.7);
        papers.set("lora_steps", 60);
        papers.set("detail", 0.0);
        papers.set("start_layer", NO_LAYER);
        papers
    }

    /// Returns the loss of motion: the released code's mean times the number of values of a patch.
    pub(super) fn motion(&self) -> MotionSupervision {
        let side = 2 * self.motion_radius + 1;
        MotionSupervision {
            radius: self.motion_radius,
            reach: self.reach,
            factor: (side * side) as f64,
        }
    }

    /// Returns the number of executed steps at which the optimised bottleneck is injected.
    pub(super) fn injected(&self, diffusion: &DiffusionSettings) -> usize {
        diffusion.executed_steps().saturating_sub(self.free_steps)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::method::Method;
    use crate::plan::{Choice, Settings};

    #[test]
    fn the_defaults_are_the_papers() {
        let choice = Choice {
            method: Some(Method::DragNoise),
            values: Overrides::default(),
        };
        let settings = Settings::resolve(&choice).expect("the defaults are within bounds");
        assert_eq!((settings.executed_steps(), settings.lora.steps), (35, 60));
        assert_eq!(settings.diffusion.start_layer, NO_LAYER);
        let own = DragNoiseSettings::default();
        assert_eq!(own.injected(&settings.diffusion), 25);
        assert_eq!(own.motion().factor, 9.0);
    }
}
