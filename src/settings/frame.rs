//! Settings of how the picture lies in the network's working picture, and of how the result is blended into it.

use serde::{Deserialize, Serialize};

use super::{Form, settings};

settings! {
    /// Size and window of the working picture, and the border of the editable area.
    pub struct FrameSettings, "Settings of the working picture";
    /// Pixels (of the working size) added around what the drag sweeps, when no editable area is given.
    margin "margin": usize = 24, Form::Whole(0, 4096), "dragnext: three cells of the latent";
    /// Pixels (of the working size) over which the edit fades in, inside the editable area.
    feather "feather": usize = 4, Form::Whole(0, 256), "dragnext: half a cell of the latent";
    /// Shorter side of the working picture in pixels; 0 takes the model's own size.
    size "size": usize = 0, Form::ZeroOr(64, 2048), "the model's sample size: 512 for SD 1.5, 256 for demo";
    /// What the network sees of a picture much larger than the model's size: `auto` is a window around the editable area, `full` the whole picture.
    window "window": WindowChoice = WindowChoice::Auto, Form::Words(&["auto", "full"]), "dragnext";
}

impl FrameSettings {
    /// Returns the shorter side of the working picture, with `model_size` for 0.
    pub fn working_size(&self, model_size: usize) -> usize {
        if self.size == 0 {
            model_size
        } else {
            self.size
        }
    }
}

/// What the network sees of a large picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WindowChoice {
    /// A window around the editable area, where that gives a sharper result.
    Auto,
    /// The whole picture.
    Full,
}
