//! Settings of the LoRA fine-tuning.

use serde::{Deserialize, Serialize};

use super::{Form, auto_or_number, settings};

settings! {
    /// The fine-tuning of a LoRA on the picture.
    pub struct LoraSettings, "Settings of the LoRA";
    /// Steps of the LoRA fine-tuning; 0 switches it off.
    steps "lora_steps": usize = 70, Form::Whole(0, 100_000), "released code of DragNeXt and of GoodDrag, arXiv 2404.07206: 70";
    /// Rank of the LoRA.
    rank "lora_rank": usize = 16, Form::Whole(1, 1024), "DragNeXt, implementation details: 16";
    /// Learning rate of the LoRA's AdamW.
    lr "lora_lr": f64 = 5e-4, Form::Above(0.0, 10.0), "DragDiffusion, arXiv 2306.14435, and DragNeXt: 5e-4";
    /// Noisy copies of the picture per LoRA step.
    batch "lora_batch": usize = 4, Form::Whole(1, 64), "DragDiffusion and DragNeXt: 4";
    /// Seed of the LoRA's training; `auto` is the seed of all noise. Fix it and vary the other seed to get variants of the drag with one LoRA.
    seed "lora_seed": LoraSeed = LoraSeed::Auto, Form::WordOr("auto", u64::MAX), "dragnext";
}

impl LoraSettings {
    /// Returns the seed of the training, with `noise` for `auto`.
    pub fn training_seed(&self, noise: u64) -> u64 {
        match self.seed {
            LoraSeed::Auto => noise,
            LoraSeed::Of(seed) => seed,
        }
    }
}

/// Seed of a LoRA's training; in files `"auto"` or the seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum LoraSeed {
    /// The seed of all noise.
    #[serde(serialize_with = "crate::settings::serialize_auto")]
    Auto,
    /// This one.
    Of(u64),
}

auto_or_number!(LoraSeed, Of, "a seed or \"auto\"");
