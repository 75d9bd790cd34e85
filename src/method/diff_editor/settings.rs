//! Settings of `DiffEditor`.

use crate::method::parts::Taps;
use crate::settings::{Form, settings};

settings! {
    /// `DiffEditor` (arXiv 2402.02583).
    pub struct DiffEditorSettings, "Settings of the method diff-editor";
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
    /// Share of the steps, from the first on, in which every step is guided; after them, and up to `guided_share`, every second one is.
    dense_share "dense_share": f64 = 0.2, Form::Within(0.0, 1.0), "DiffEditor, released code: 10 of 50 steps";
    /// Share of the steps, from the first on, in which self-attention does not read the keys and values of the inversion beside its own.
    own_keys_share "own_keys_share": f64 = 0.1, Form::Within(0.0, 1.0), "DiffEditor, released code: 5 of 50 steps";
    /// Share of fresh noise (eta of DDIM) in the editable area, in the steps after a fifth and before two fifths of all; 0 is none.
    sde_strength "sde_strength": f64 = 0.4, Form::Within(0.0, 1.0), "DiffEditor, its interface: 0.4";
    /// How often every second step after two fifths and before three fifths of all is made, with a step back between (time travel); 1 is no time travel.
    travels "travels": usize = 3, Form::Whole(1, 100), "DiffEditor, released code: 3";
    /// Puts cells outside the editable area back on the inversion's latents after every step.
    hard_background "hard_background": bool = false, Form::Switch, "DragFlow, arXiv 2510.02253; the paper has none";
    /// Decoder stages whose outputs are compared, 1 to 4, separated by commas on the command line.
    taps "taps": Taps = Taps(vec![2, 3]), Form::Stages(4), "DiffEditor, its released code: up blocks 1 and 2, from 0";
}
