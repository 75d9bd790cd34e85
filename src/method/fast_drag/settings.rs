//! Settings of FastDrag.

use serde::{Deserialize, Serialize};

use crate::settings::{Form, settings};

settings! {
    /// FastDrag (arXiv 2405.15769).
    pub struct FastDragSettings, "Settings of the method fast-drag";
    /// What the cells get that the warped latent leaves empty: `interpolated` the mean of the nearest cells on the four sides, `kept` their own content, `noise` fresh noise.
    empty_cells "empty_cells": EmptyCells = EmptyCells::Interpolated, Form::Words(&["interpolated", "kept", "noise"]), "FastDrag, section 3.3: interpolation";
}

/// What cells get that the warped latent leaves empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EmptyCells {
    /// The mean of the nearest cells on the four sides, weighted by 1 / distance.
    Interpolated,
    /// Their own content.
    Kept,
    /// Fresh noise.
    Noise,
}
