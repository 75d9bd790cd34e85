//! The text embedding is optimised beside the latent, so that it goes on describing the dragged picture (`DragText`, arXiv 2407.17843).

use serde::{Deserialize, Serialize};

use super::drag_gradient::{LatentGradient, LossOf, in_range, zeros};
use super::latent_adam::LatentAdam;
use crate::error::Result;
use crate::kernels::Backend;
use crate::model::unet::{Input, Network, NoiseAndFeatures};
use crate::nn::{Finiteness, Shape, Tensor};

/// What the text embedding minimises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TextOptimisation {
    /// Nothing: it stays.
    Off,
    /// Motion supervision and the regulariser.
    Clean,
    /// As the released code: it gets the gradient of the mask term and of motion supervision once more, and the latent's next update
    /// gets that of the text loss.
    Code,
    /// The latent's loss and the regulariser, which takes one backward pass instead of two.
    Joint,
}

impl TextOptimisation {
    /// The names in files.
    pub const WORDS: [&'static str; 4] = ["off", "clean", "code", "joint"];

    /// Returns the backward passes of an iteration.
    pub const fn backward_passes(self) -> usize {
        match self {
            Self::Off | Self::Joint => 1,
            Self::Clean | Self::Code => 2,
        }
    }
}

/// How the text embedding is optimised.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TextSettings {
    /// What it minimises.
    pub mode: TextOptimisation,
    /// Learning rate.
    pub lr: f64,
    /// Weight of the regulariser.
    pub weight: f64,
    /// What the released code does beside its losses.
    pub code: TextCode,
}

/// What the released code of `DragText` does in [`TextOptimisation::Code`], which differs between the methods that it wraps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextCode {
    /// On DragDiffusion: the regulariser counts once for each active point, and the latent keeps the text loss's gradient for its next update.
    Carried,
    /// On `GoodDrag`: the regulariser counts once, and gradients are cleared.
    Cleared,
}

/// The gradient of a drag to the latent, and an optimiser of the text embedding.
///
/// The embedding c' starts at the prompt's c. Beside the drag's loss it minimises weight * sum |c - c'| over the start token and the words, so that
/// only the padding moves freely.
#[derive(Debug)]
pub struct TextGradient<'a, B: Backend, N> {
    network: &'a N,
    taps: &'a [usize],
    original: &'a Tensor<B>,
    /// 1 for the start token and the words, 0 for the others (1, 1, tokens, 1).
    words: Tensor<B>,
    text: Tensor<B>,
    adam: LatentAdam<B>,
    settings: TextSettings,
    /// The text loss's gradient to the latent, which the released code adds to its next one.
    carried: Option<Tensor<B>>,
}

impl<'a, B: Backend, N: Network<B>> TextGradient<'a, B, N> {
    /// Starts at the embedding `original` (1, 1, tokens, channels), of which the first `words` tokens are held.
    pub fn new(
        network: &'a N,
        taps: &'a [usize],
        original: &'a Tensor<B>,
        words: usize,
        settings: TextSettings,
    ) -> Self {
        let Shape { width: tokens, .. } = original.shape();
        let held = (0..tokens).map(|token| f32::from(u8::from(token < words)));
        let shape = Shape::new(1, 1, tokens, 1);
        Self {
            network,
            taps,
            original,
            words: Tensor::from_host(original.backend(), shape, held.collect()),
            text: original.clone(),
            adam: LatentAdam::new(original, settings.lr),
            settings,
            carried: None,
        }
    }

    /// Returns the embedding.
    pub fn text(&self) -> &Tensor<B> {
        &self.text
    }

    /// Returns the gradient of the regulariser to the embedding.
    fn regulariser(&self, active: usize) -> Tensor<B> {
        let TextSettings { mode, code, .. } = self.settings;
        let times = match (mode, code) {
            (TextOptimisation::Code, TextCode::Carried) => active,
            _ => 1,
        };
        let gradient = self.text.build(self.text.shape(), |gradient| {
            self.text.backend().weighted_l1(
                self.text.buffer(),
                self.original.buffer(),
                self.words.buffer(),
                gradient,
            );
        });
        let factor = (self.settings.weight * times as f64) as f32;
        gradient.clone().combined(factor, 0.0, &gradient)
    }
}

impl<B: Backend, N: Network<B>> LatentGradient<B> for TextGradient<'_, B, N> {
    fn gradient(
        &mut self,
        z: &Tensor<B>,
        t: i64,
        step: usize,
        loss: &mut LossOf<B>,
    ) -> Result<Option<(f64, Tensor<B>)>> {
        let input = Input::at(z, t as f64, &self.text);
        let want = NoiseAndFeatures::of(self.taps);
        let mut pass = self.network.record_text(input, want);
        let Some(loss) = loss(z, pass.outputs()) else {
            return Ok(None);
        };
        let mode = self.settings.mode;
        let regulariser = self.regulariser(loss.motion.active);
        let backward = || {
            let (whole, magnitude) = loss.to_outputs(pass.outputs());
            let whole = pass.backward_keeping(whole, magnitude);
            let motion = (mode.backward_passes() > 1).then(|| {
                let gradients = (zeros(&pass.outputs().0), loss.motion.gradients.clone());
                pass.backward_keeping(gradients, loss.motion.magnitude)
            });
            let text = match (mode, &motion) {
                (TextOptimisation::Clean, Some(motion)) => motion.text.clone(),
                (TextOptimisation::Code, Some(motion)) => whole.text.plus(&motion.text),
                _ => whole.text,
            };
            let carried = motion.map(|motion| motion.latents);
            let (latent, text) = (whole.latents, text.plus(&regulariser));
            let gradients = Finiteness::of(&[&latent, &text]);
            (loss.parts(), gradients, (latent, text, carried))
        };
        let (value, (latent, text, carried)) = in_range(z.backend(), step, backward)?;
        let mut latent = loss.with_direct(latent);
        let carries = (mode, self.settings.code) == (TextOptimisation::Code, TextCode::Carried);
        let before = carries.then(|| std::mem::replace(&mut self.carried, carried));
        if let Some(before) = before.flatten() {
            latent = latent.plus(&before);
        }
        self.adam.step(&mut self.text, &text);
        Ok(Some((value, latent)))
    }
}
