//! What an edit works on, and what a caller gives to it.

use crate::diffusion::NoiseSource;
use crate::geometry::Frame;
use crate::model::lora::LoraFile;
use crate::plan::Plan;
use crate::progress::Progress;
use crate::warp::Warped;

/// What an edit works on.
#[derive(Debug)]
pub struct Work<'a> {
    /// Regions, settings and sizes; with at least one region that moves.
    pub plan: &'a Plan,
    /// The working picture (padded height, padded width, 3) in -1..1.
    pub picture: Vec<f32>,
    /// The warped picture, for methods that start from it and for results that carry its detail.
    pub warped: Option<WarpedWork>,
    /// A LoRA to use instead of training one.
    pub lora: Option<GivenLora>,
}

/// A LoRA that is used instead of training one.
#[derive(Debug)]
pub enum GivenLora {
    /// A file of adapters of one rank, whose numbers are not read yet.
    Attached {
        /// The file.
        file: Box<LoraFile>,
        /// Its rank.
        rank: usize,
    },
    /// A file that was merged into the weights when the model was loaded.
    Merged,
}

/// The warped picture at working size.
#[derive(Debug, Clone)]
pub struct WarpedWork {
    /// As [`Work::picture`].
    pub picture: Vec<f32>,
    /// For each latent cell, the share of its pixels that the picture has anew.
    pub new: Vec<f32>,
}

impl WarpedWork {
    /// Returns the warped picture at the frame's working size.
    pub fn new(warped: &Warped, frame: &Frame) -> Self {
        Self {
            picture: warped.picture.working(frame),
            new: warped.new_cells(frame),
        }
    }
}

/// One of several edits that run side by side.
pub struct EditRequest<'a> {
    /// What it works on.
    pub work: Work<'a>,
    /// Its random numbers.
    pub noise: &'a mut dyn NoiseSource,
    /// Where it reports its stages.
    pub progress: &'a mut dyn Progress,
}
