//! How a run tells where it stands. The pipeline speaks to [`Progress`]; what is shown is decided here.

/// The stages of one edit, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Reading the model's files.
    Load,
    /// Picture to latent, prompt to context.
    Encode,
    /// Fine-tuning a LoRA on the picture.
    Lora,
    /// DDIM inversion.
    Invert,
    /// The optimisation of the latent.
    Drag,
    /// The denoising steps after the drag.
    Denoise,
    /// Latent to picture.
    Decode,
}

impl Stage {
    /// The stage's name in records, messages and progress.
    pub fn name(self) -> &'static str {
        match self {
            Self::Load => "load",
            Self::Encode => "encode",
            Self::Lora => "lora",
            Self::Invert => "invert",
            Self::Drag => "drag",
            Self::Denoise => "denoise",
            Self::Decode => "decode",
        }
    }
}

/// Where the pipeline says what it does.
pub trait Progress {
    /// A stage of `steps` steps begins (1 for a stage without steps).
    fn begin(&mut self, stage: Stage, steps: usize);
    /// One step of the current stage is done; `loss` where the step has one.
    fn step(&mut self, loss: Option<f64>);
    /// The current stage is done.
    fn end(&mut self);
}

/// Shows nothing: for library use and tests.
#[derive(Debug, Default)]
pub struct Silent;

impl Progress for Silent {
    fn begin(&mut self, _: Stage, _: usize) {}
    fn step(&mut self, _: Option<f64>) {}
    fn end(&mut self) {}
}
