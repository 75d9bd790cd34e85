//! Settings of `CLIPDrag`.

use super::fusion::Fusion;
use crate::method::parts::{MotionSupervision, Taps};
use crate::settings::{Form, Overrides, settings};

settings! {
    /// `CLIPDrag` (arXiv 2410.03097).
    pub struct ClipDragSettings, "Settings of the method clip-drag";
    /// Iterations of the optimisation, at most: it ends when all points have arrived.
    iterations "iterations": usize = 800, Form::Whole(1, 1000), "CLIPDrag, released code: 800";
    /// Learning rate of the latent: length of Adam's steps.
    lr "lr": f64 = 0.01, Form::Above(0.0, 100.0), "CLIPDrag, released code: 0.01";
    /// Radius in grid cells of the patches that motion supervision compares.
    motion_radius "motion_radius": usize = 1, Form::Whole(1, 64), "CLIPDrag, released code: r_m = 1";
    /// Radius in grid cells of the window in which a point is tracked.
    track_radius "track_radius": usize = 3, Form::Whole(1, 64), "CLIPDrag, released code: r_p = 3";
    /// Grid cells ahead of a point at which motion supervision pulls.
    reach "reach": f64 = 4.0, Form::Above(0.0, 64.0), "CLIPDrag, released code: 4";
    /// Weight of the loss term that keeps cells outside the editable area close to the reference latent.
    mask_weight "mask_weight": f64 = 0.1, Form::Within(0.0, 1e6), "CLIPDrag, released code: lambda = 0.1";
    /// Weight of the loss that compares the picture with the text, before both gradients are fused.
    clip_weight "clip_weight": f64 = 300.0, Form::Within(0.0, 1e6), "CLIPDrag, released code: 300";
    /// How the text's gradient joins the drag's: `projection` adds the part across the drag's where both agree and the part along it where they do not, `code` the whole of it times sine or cosine of the angle between both.
    fusion "fusion": Fusion = Fusion::Projection, Form::Words(&["projection", "code"]), "CLIPDrag, its projections; `code` is its released code's form";
    /// Share of the text's gradient. With 0, no CLIP is needed and no text is followed.
    fusion_weight "fusion_weight": f64 = 0.7, Form::Within(0.0, 1e3), "CLIPDrag, released code: 0.7";
    /// Decoder stages whose outputs are compared, 1 to 4, separated by commas on the command line.
    taps "taps": Taps = Taps(vec![3]), Form::Stages(4), "CLIPDrag, released code: the third block of the decoder";
    /// Resets cells outside the editable area to the reference latent after every update.
    hard_background "hard_background": bool = true, Form::Switch, "DragFlow, arXiv 2510.02253";
    /// Continues with the best latent of a timestep when the optimisation diverges there, instead of failing.
    keep_partial "keep_partial": bool = false, Form::Switch, "dragnext";
}

impl ClipDragSettings {
    /// Returns the shared settings of the paper.
    pub(super) fn shared() -> Overrides {
        let mut papers = Overrides::from([("trajectory", "denoised")]);
        papers.set("strength", 0.7);
        papers.set("lora_steps", 80);
        papers.set("detail", 0.0);
        papers
    }

    /// Returns whether the edit follows a text.
    pub(super) fn follows_text(&self) -> bool {
        self.fusion_weight > 0.0 && self.clip_weight > 0.0
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
}
