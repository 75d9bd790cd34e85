//! Settings of `FreeDrag`.

use crate::method::parts::Taps;
use crate::settings::{Form, Overrides, settings};

settings! {
    /// FreeDrag (arXiv 2307.04684).
    pub struct FreeDragSettings, "Settings of the method free-drag";
    /// Iterations of the optimisation, at most: it ends when all points have arrived.
    iterations "iterations": usize = 300, Form::Whole(1, 1000), "FreeDrag, its interface: 300";
    /// Iterations at one place of the points, at most, before they move on.
    place_iterations "place_iterations": usize = 5, Form::Whole(1, 1000), "FreeDrag, its released code: 5";
    /// Learning rate of the latent: length of Adam's steps.
    lr "lr": f64 = 0.01, Form::Above(0.0, 100.0), "FreeDrag, its interface: 0.01";
    /// Radius in grid cells of the patches that are compared with the template.
    template_radius "template_radius": usize = 4, Form::Whole(1, 64), "FreeDrag, its released code: 4";
    /// Grid cells by which a point moves on at most.
    longest_move "longest_move": f64 = 5.0, Form::Above(0.0, 64.0), "FreeDrag, its interface: d = 5";
    /// Difference of features, per number, that a point should have from its template after it moved on.
    expected_difference "expected_difference": f64 = 1.0, Form::Above(0.0, 1000.0), "FreeDrag, its interface: l = 1";
    /// Weight of the mean over all numbers of the latent that keeps cells outside the editable area close to the reference latent.
    mean_mask_weight "mean_mask_weight": f64 = 10.0, Form::Within(0.0, 1e6), "FreeDrag, its interface: lambda = 10";
    /// Decoder stages whose outputs are compared, 1 to 4, separated by commas on the command line.
    taps "taps": Taps = Taps(vec![3]), Form::Stages(4), "FreeDrag, its released code: 3";
    /// Resets cells outside the editable area to the reference latent after every update.
    hard_background "hard_background": bool = true, Form::Switch, "DragFlow, arXiv 2510.02253";
    /// Continues with the best latent of a timestep when the optimisation diverges there, instead of failing.
    keep_partial "keep_partial": bool = false, Form::Switch, "dragnext";
}

impl FreeDragSettings {
    /// Returns the shared settings of the paper.
    pub(super) fn shared() -> Overrides {
        let mut papers = Overrides::from([("trajectory", "denoised")]);
        papers.set("strength", 0.7);
        papers.set("lora_steps", 200);
        papers.set("lora_lr", 2e-4);
        papers.set("detail", 0.0);
        papers
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
            method: Some(Method::FreeDrag),
            values: Overrides::default(),
        };
        let settings = Settings::resolve(&choice).expect("the defaults are within bounds");
        assert_eq!((settings.executed_steps(), settings.lora.steps), (35, 200));
        let cost = FreeDragSettings::default().cost(&DiffusionSettings::default(), 35);
        assert_eq!((cost.iterations, cost.passes), (300, 1 + 300 * 2));
    }
}
