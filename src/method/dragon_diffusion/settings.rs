//! Settings of `DragonDiffusion`.

use crate::method::parts::Taps;
use crate::settings::{Form, settings};

settings! {
    /// `DragonDiffusion` (arXiv 2307.02421).
    pub struct DragonDiffusionSettings, "Settings of the method dragon-diffusion";
    /// Scale of classifier-free guidance; 1 is none. With an empty prompt there is none.
    guidance_scale "guidance_scale": f64 = 4.0, Form::Within(1.0, 100.0), "DiffEditor, its interface: 4";
    /// Factor of the gradients of the energies that guide the noise prediction; 0 leaves them out.
    energy_scale "energy_scale": f64 = 2000.0, Form::Within(0.0, 1e6), "DiffEditor, its interface: 2 thousand";
    /// Weight of the energy that makes features at targets those of their handles.
    edit_weight "edit_weight": f64 = 4.0, Form::Within(0.0, 1e3), "DiffEditor, its interface: 4";
    /// Weight of the energy that keeps the features of what lies outside the editable area.
    content_weight "content_weight": f64 = 6.0, Form::Within(0.0, 1e3), "DiffEditor, its interface: 6";
    /// Weight of the energy that changes the features at handles.
    vacated_weight "vacated_weight": f64 = 0.2, Form::Within(0.0, 1e3), "DiffEditor, its interface: 0.2";
    /// Share of the steps, from the first on, in which the energies guide the noise prediction.
    guided_share "guided_share": f64 = 0.6, Form::Within(0.0, 1.0), "DiffEditor, released code: 30 of 50 steps";
    /// Share of the steps, from the first on, in which self-attention does not read the keys and values of the inversion beside its own.
    own_keys_share "own_keys_share": f64 = 0.1, Form::Within(0.0, 1.0), "DiffEditor, released code: 5 of 50 steps";
    /// Puts cells outside the editable area back on the inversion's latents after every step.
    hard_background "hard_background": bool = false, Form::Switch, "DragFlow, arXiv 2510.02253; the paper has none";
    /// Decoder stages whose outputs are compared, 1 to 4, separated by commas on the command line.
    taps "taps": Taps = Taps(vec![2, 3]), Form::Stages(4), "DragonDiffusion, its released code: up blocks 1 and 2, from 0";
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::method::{DragMethod, Method};
    use crate::plan::{Choice, Settings};
    use crate::settings::Overrides;

    #[test]
    fn the_defaults_are_the_papers() {
        let choice = Choice {
            method: Some(Method::DragonDiffusion),
            values: Overrides::default(),
        };
        let settings = Settings::resolve(&choice).expect("the defaults are within bounds");
        assert_eq!((settings.executed_steps(), settings.lora.steps), (50, 0));
    }

    #[test]
    fn what_is_switched_off_costs_nothing() {
        let passes = |change: &dyn Fn(&mut DragonDiffusionSettings)| {
            let mut settings = DragonDiffusionSettings::default();
            change(&mut settings);
            let diffusion = crate::settings::DiffusionSettings {
                trajectory: crate::settings::TrajectoryChoice::Denoised,
                ..Default::default()
            };
            settings.cost(&diffusion, 50).passes
        };
        assert_eq!(passes(&|_| ()), 50 + 2 * 50 + 30 * (1 + 1 + 2));
        assert_eq!(
            passes(&|settings| settings.guidance_scale = 1.0),
            50 + 50 + 30 * 4
        );
        assert_eq!(
            passes(&|settings| settings.content_weight = 0.0),
            50 + 100 + 30 * 3
        );
        assert_eq!(passes(&|settings| settings.energy_scale = 0.0), 150);
    }
}
