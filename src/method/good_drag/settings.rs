//! Settings of `GoodDrag`.

use crate::method::parts::{MotionSupervision, Taps, TextCode, TextOptimisation, TextSettings};
use crate::settings::{Form, Overrides, settings};

settings! {
    /// GoodDrag (arXiv 2404.07206).
    pub struct GoodDragSettings, "Settings of the method good-drag";
    /// Timesteps at which the latent is optimised, with a denoising step after each.
    timesteps "timesteps": usize = 7, Form::Whole(0, 1000), "GoodDrag, its released code: 7";
    /// Trackings at each of these timesteps.
    tracks "tracks": usize = 10, Form::Whole(1, 1000), "GoodDrag, implementation details: B = 10";
    /// Iterations of the optimisation before each tracking.
    iterations "iterations": usize = 3, Form::Whole(1, 1000), "GoodDrag, implementation details: J = 3";
    /// Learning rate of the latent: length of Adam's steps.
    lr "lr": f64 = 0.02, Form::Above(0.0, 100.0), "GoodDrag, implementation details: 0.02";
    /// Radius in grid cells of the patches that motion supervision compares.
    motion_radius "motion_radius": usize = 4, Form::Whole(1, 64), "GoodDrag, implementation details: r1 = 4";
    /// Radius in grid cells of the window in which a point is tracked.
    track_radius "track_radius": usize = 12, Form::Whole(1, 64), "GoodDrag, implementation details: r2 = 12";
    /// Grid cells ahead of a point at which motion supervision pulls.
    reach "reach": f64 = 4.0, Form::Above(0.0, 64.0), "GoodDrag, implementation details: beta = 4";
    /// Weight of the loss term that keeps cells outside the editable area close to the reference latent.
    mask_weight "mask_weight": f64 = 0.2, Form::Within(0.0, 1e6), "GoodDrag, its interface: lambda = 0.2";
    /// Trackings in a row that may move no point; the drag ends there.
    stall_limit "stall_limit": usize = 10, Form::Whole(1, 1_000_000), "GoodDrag, its interface: 10";
    /// Motion loss per value of a patch at which points are tracked before all iterations are done.
    loss_threshold "loss_threshold": f64 = 0.0, Form::Within(0.0, 1e6), "GoodDrag, its interface: 0";
    /// Decoder stages whose outputs are compared, 1 to 4, separated by commas on the command line.
    taps "taps": Taps = Taps(vec![3]), Form::Stages(4), "GoodDrag, its released code: 3";
    /// Resets cells outside the editable area to the reference latent after every update.
    hard_background "hard_background": bool = true, Form::Switch, "DragFlow, arXiv 2510.02253";
    /// Continues with the best latent of a timestep when the optimisation diverges there, instead of failing.
    keep_partial "keep_partial": bool = false, Form::Switch, "dragnext";
    /// Optimises the text embedding beside the latent (DragText): `clean` by motion supervision alone, `joint` by the latent's loss in the same backward pass, `code` as its released code.
    text_optimisation "text_optimisation": TextOptimisation = TextOptimisation::Off, Form::Words(&TextOptimisation::WORDS), "DragText, arXiv 2407.17843";
    /// Learning rate of the text embedding.
    text_lr "text_lr": f64 = 0.004, Form::Above(0.0, 100.0), "DragText, implementation details: 0.004";
    /// Weight of the loss term that holds the words of the text embedding.
    text_weight "text_weight": f64 = 0.1, Form::Within(0.0, 1e6), "DragText, implementation details: 0.1";
}

impl GoodDragSettings {
    /// Returns the shared settings of the paper.
    pub(super) fn shared() -> Overrides {
        let mut papers = Overrides::from([("trajectory", "denoised")]);
        papers.set("strength", 0.75);
        papers.set("lora_steps", 70);
        papers.set("detail", 0.0);
        papers
    }

    /// Returns the factor of the mean over a patch: (2 r1)^2 in the released code, which is less than the number of its values.
    pub(super) fn patch(&self) -> f64 {
        (2 * self.motion_radius).pow(2) as f64
    }

    /// Returns the loss of motion.
    pub(super) fn motion(&self) -> MotionSupervision {
        MotionSupervision {
            radius: self.motion_radius,
            reach: self.reach,
            factor: self.patch(),
        }
    }

    /// Returns how the text embedding is optimised.
    pub(super) fn text(&self) -> TextSettings {
        TextSettings {
            mode: self.text_optimisation,
            lr: self.text_lr,
            weight: self.text_weight,
            code: TextCode::Cleared,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::method::{DragMethod, Method};
    use crate::plan::{Choice, Settings};
    use crate::settings::DiffusionSettings;

    #[test]
    fn the_defaults_are_the_papers() {
        let choice = Choice {
            method: Some(Method::GoodDrag),
            values: Overrides::default(),
        };
        let settings = Settings::resolve(&choice).expect("the defaults are within bounds");
        assert_eq!((settings.executed_steps(), settings.lora.steps), (38, 70));
        assert_eq!(GoodDragSettings::default().motion().factor, 64.0);
    }

    #[test]
    fn a_drag_has_at_most_seven_times_thirty_iterations() {
        let cost = GoodDragSettings::default().cost(&DiffusionSettings::default(), 38);
        assert_eq!((cost.steps, cost.iterations), (7, 210));
        assert_eq!(cost.passes, 2 * 7 + 2 * 210);
        assert_eq!(
            GoodDragSettings::default()
                .cost(&DiffusionSettings::default(), 3)
                .iterations,
            3 * 30
        );
    }
}
