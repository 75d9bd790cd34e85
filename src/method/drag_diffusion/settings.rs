//! Settings of DragDiffusion.

use crate::method::parts::{MotionSupervision, Taps, TextCode, TextOptimisation, TextSettings};
use crate::settings::{Form, Overrides, settings};

settings! {
    /// DragDiffusion (arXiv 2306.14435).
    pub struct DragDiffusionSettings, "Settings of the method drag-diffusion";
    /// Iterations of the optimisation, at most: it ends when all points have arrived.
    iterations "iterations": usize = 80, Form::Whole(1, 1000), "DragDiffusion, section 4.1: 80";
    /// Learning rate of the latent: length of Adam's steps.
    lr "lr": f64 = 0.01, Form::Above(0.0, 100.0), "DragDiffusion, section 4.1: 0.01";
    /// Radius in grid cells of the patches that motion supervision compares.
    motion_radius "motion_radius": usize = 1, Form::Whole(1, 64), "DragDiffusion, section 4.1: r1 = 1";
    /// Radius in grid cells of the window in which a point is tracked.
    track_radius "track_radius": usize = 3, Form::Whole(1, 64), "DragDiffusion, section 4.1: r2 = 3";
    /// Grid cells ahead of a point at which motion supervision pulls.
    reach "reach": f64 = 1.0, Form::Above(0.0, 64.0), "DragDiffusion, Eq. 3: a unit vector";
    /// Weight of the loss term that keeps cells outside the editable area close to the reference latent.
    mask_weight "mask_weight": f64 = 0.1, Form::Within(0.0, 1e6), "DragDiffusion, section 4.1: lambda = 0.1";
    /// Decoder stages whose outputs are compared, 1 to 4, separated by commas on the command line.
    taps "taps": Taps = Taps(vec![3]), Form::Stages(4), "DragDiffusion, section 4.1: the third block of the decoder";
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

impl DragDiffusionSettings {
    /// Returns the shared settings of the paper.
    pub(super) fn shared() -> Overrides {
        let mut papers = Overrides::from([("trajectory", "denoised")]);
        papers.set("strength", 0.7);
        papers.set("lora_steps", 80);
        papers.set("detail", 0.0);
        papers
    }

    /// Returns the loss of motion: the released code's mean times the number of values, which is the sum over a patch of the mean over channels.
    pub(super) fn motion(&self) -> MotionSupervision {
        let side = 2 * self.motion_radius + 1;
        MotionSupervision {
            radius: self.motion_radius,
            reach: self.reach,
            factor: (side * side) as f64,
        }
    }

    /// Returns how the text embedding is optimised.
    pub(super) fn text(&self) -> TextSettings {
        TextSettings {
            mode: self.text_optimisation,
            lr: self.text_lr,
            weight: self.text_weight,
            code: TextCode::Carried,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::method::{DragMethod, Method};
    use crate::plan::{Choice, Settings};
    use crate::settings::{DiffusionSettings, TrajectoryChoice};

    #[test]
    fn the_defaults_are_the_papers() {
        let choice = Choice {
            method: Some(Method::DragDiffusion),
            values: Overrides::default(),
        };
        let settings = Settings::resolve(&choice).expect("the defaults are within bounds");
        assert_eq!((settings.executed_steps(), settings.lora.steps), (35, 80));
        assert_eq!(settings.diffusion.trajectory, TrajectoryChoice::Denoised);
        assert_eq!(DragDiffusionSettings::default().motion().factor, 9.0);
    }

    #[test]
    fn an_optimised_embedding_costs_a_backward_pass_unless_it_shares_the_latents() {
        let passes = |mode| {
            let settings = DragDiffusionSettings {
                text_optimisation: mode,
                ..DragDiffusionSettings::default()
            };
            settings.cost(&DiffusionSettings::default(), 35).passes
        };
        assert_eq!(passes(TextOptimisation::Off), 1 + 80 * 2);
        assert_eq!(passes(TextOptimisation::Joint), 1 + 80 * 2);
        assert_eq!(passes(TextOptimisation::Clean), 1 + 80 * 3);
        assert_eq!(passes(TextOptimisation::Code), 1 + 80 * 3);
    }
}
