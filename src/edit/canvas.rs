//! The pictures of an edit: what the network gets, and the result that its output becomes.

use crate::method::StartPicture;
use crate::picture::{Picture, Raster};
use crate::pipeline::{GivenLora, Outcome, WarpedWork, Work};
use crate::plan::Plan;
use crate::warning::{Warning, WarningKind};
use crate::warp::{self, Warped};

use super::transparency::Transparency;

/// The working picture of an edit, and the warped picture where the edit needs one.
#[derive(Debug)]
pub(crate) struct Canvas {
    /// (padded height, padded width, 3) in -1..1; empty when nothing moves.
    working: Vec<f32>,
    /// Also the source of the detail that the result carries.
    pub(super) warped: Option<Warped>,
    /// The picture on a ground, where it is not opaque.
    pub(super) transparency: Option<Transparency>,
}

impl Canvas {
    /// Makes the pictures of a plan.
    ///
    /// # Panics
    /// When the plan belongs to a picture of another size.
    pub(crate) fn new(picture: &Picture, plan: &Plan) -> Self {
        if plan.regions.is_empty() {
            return Self {
                working: Vec::new(),
                warped: None,
                transparency: None,
            };
        }
        let transparency = Transparency::new(picture, plan);
        let picture = transparency.as_ref().map_or(picture, |on| &on.flat);
        let settings = &plan.settings;
        let needs_warped = settings.method.needs().start == StartPicture::Warped;
        Self {
            working: picture.working(&plan.frame),
            warped: (needs_warped || settings.warp.detail > 0.0)
                .then(|| Warped::new(picture, plan)),
            transparency,
        }
    }

    /// Returns a warning for each region of which only a detail moves.
    pub(super) fn details(&self) -> Vec<Warning> {
        let details = self.warped.iter().flat_map(|warped| &warped.details);
        let warning = |id: &String| Warning {
            kind: WarningKind::RegionDetail,
            message: format!(
                "in region `{id}` only a detail beside the handle stands out, and moves; draw the region around the whole object, or use `--object drawn` to move all of it"
            ),
        };
        details.map(warning).collect()
    }

    /// Returns the pipeline's input.
    pub(crate) fn work<'a>(&self, plan: &'a Plan, lora: Option<GivenLora>) -> Work<'a> {
        Work {
            plan,
            picture: self.working.clone(),
            warped: self
                .warped
                .as_ref()
                .map(|warped| WarpedWork::new(warped, &plan.frame)),
            lora,
        }
    }

    /// Returns the result: the outcome with the detail that it carries, blended into the picture.
    pub(crate) fn result(
        &self,
        picture: &Picture,
        plan: &Plan,
        outcome: &Outcome,
        keeps_outside: bool,
    ) -> Picture {
        let frame = &plan.frame;
        let edited = match (&outcome.reconstruction, &self.warped) {
            (Some(seen), Some(warped)) => {
                let share = plan.settings.warp.detail;
                warp::carry(&outcome.picture, seen, warped, frame, share)
            }
            _ => Raster::of_working(&outcome.picture, frame),
        };
        let blend = if keeps_outside { plan.blend() } else { None };
        match &self.transparency {
            None => picture.composite(frame.window, &edited, blend.as_deref()),
            Some(on) => {
                let edited = on.flat.composite(frame.window, &edited, blend.as_deref());
                on.restored(picture, &edited, plan, blend.as_deref())
            }
        }
    }
}
