//! Settings of the warped picture, which shows a drag's result without a model.

use serde::{Deserialize, Serialize};

use super::{Form, settings};

settings! {
    /// How the warped picture is made, and how much of its detail the result keeps.
    pub struct WarpSettings, "Settings of the warped picture";
    /// Pixels that a region moves: `found` those of the object in it, without the background in its margin, where the two can be told apart; `drawn` all of them.
    object "object": ObjectChoice = ObjectChoice::Found, Form::Words(&["found", "drawn"]), "dragnext";
    /// How a region that moves as it is drawn meets its new surroundings: `blended` gives its margin their shade, `hard` keeps its colours.
    seams "seams": SeamChoice = SeamChoice::Blended, Form::Words(&["blended", "hard"]), "dragnext, after Perez et al., SIGGRAPH 2003";
    /// What fills the vacated area before the model repaints it: `patches` continues edges and texture of the surroundings, `smooth` only their colours.
    fill "fill": FillChoice = FillChoice::Patches, Form::Words(&["patches", "smooth"]), "dragnext, after Wexler et al., PAMI 2007";
    /// Share of the picture's own detail that is carried along where the result agrees with the warped picture; 0 leaves the VAE's reconstruction.
    detail "detail": f64 = 1.0, Form::Within(0.0, 1.0), "dragnext";
}

/// Which pixels of a region move.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ObjectChoice {
    /// Those of the object in the region.
    Found,
    /// All of the region.
    Drawn,
}

/// How a region that moves as it is drawn meets its new surroundings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SeamChoice {
    /// Its margin takes on their shade.
    Blended,
    /// It keeps its colours.
    Hard,
}

/// What fills the vacated area.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FillChoice {
    /// Patches of the surroundings.
    Patches,
    /// Colours that vary smoothly between those around it.
    Smooth,
}
