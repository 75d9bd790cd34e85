//! What a method needs from an edit, and what it costs.

use crate::diffusion::Spacing;

/// What a method needs from an edit.
///
/// A need that no method has yet becomes a field here, and the pipeline puts what it asks for into the [`super::Scene`]: stored keys and values, gradients to the text embedding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a need of its own")]
pub struct Needs {
    /// A LoRA trained on the picture. When false, none is trained whatever the LoRA's settings; a given one is still merged.
    pub lora: bool,
    /// The drag file's `edit_prompt`. When false, a drag file with this key gets a warning that it has no effect.
    pub edit_prompt: bool,
    /// A CLIP, and what the edited picture shows as a text ([`super::Scene::guide`]).
    pub clip: bool,
    /// What of the drag file's regions the method reads.
    pub targets: Targets,
    /// The picture whose inversion the edited latent starts from, and which the reference latent stands for.
    pub start: StartPicture,
    /// With [`StartPicture::Warped`], the inversion of the original picture too ([`super::Scene::original`]).
    pub original: bool,
    /// What inverts the picture that the method starts from.
    pub inversion: Inversion,
    /// The timesteps of the grid.
    pub spacing: Spacing,
    /// The embedding of the empty prompt, for classifier-free guidance ([`super::Scene::unconditional`]).
    pub unconditional: bool,
}

/// What inverts the picture that a method starts from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inversion {
    /// The pipeline: deterministically (DDIM), along the grid. The cache has it for later edits of the picture.
    Pipeline,
    /// The method, in its drag, along as many steps. Then [`super::Scene::trajectory`] has the clean latent alone.
    Own,
}

impl Needs {
    /// What a method needs that drags points by optimising the latent of the picture itself.
    pub const OF_POINTS: Self = Self {
        lora: true,
        edit_prompt: false,
        clip: false,
        targets: Targets::Points,
        start: StartPicture::Original,
        original: false,
        inversion: Inversion::Pipeline,
        spacing: Spacing::Leading,
        unconditional: false,
    };

    /// Returns what users have to give, in words of the drag file and of models.
    pub fn words(&self) -> Vec<&'static str> {
        // Every field is named, so that a new need is not forgotten here.
        let Self {
            lora: _,
            edit_prompt,
            clip,
            targets,
            start: _,
            original: _,
            inversion: _,
            spacing: _,
            unconditional: _,
        } = self;
        let targets = match targets {
            Targets::Regions => "regions",
            Targets::Points => "points",
        };
        // A CLIP measures how well the picture fits a text.
        let text = if *clip {
            Some("clip")
        } else {
            edit_prompt.then_some("edit_prompt")
        };
        std::iter::once(targets).chain(text).collect()
    }
}

/// The picture whose inversion a method starts from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartPicture {
    /// The picture.
    Original,
    /// The warped picture ([`mod@crate::warp`]).
    Warped,
}

/// What of the drag file's regions a method reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Targets {
    /// Areas and their motion. A region of type `point` is a disc with a radius of four cells of the supervision grid around its handle.
    Regions,
    /// Handle and target of each region. An area, where there is one, only says where the picture may change.
    Points,
}

/// What a method costs, for estimates and progress.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cost {
    /// Steps of the grid that the method executes, as [`super::Dragged::steps`]; may be 0. The pipeline denoises the rest.
    pub steps: usize,
    /// Steps of the drag that it reports to its progress: iterations of an optimisation, or passes of a method without one.
    pub iterations: usize,
    /// Passes of one latent through the network, forward and backward passes counted alike.
    pub passes: usize,
}
