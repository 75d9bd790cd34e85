//! Progress of edits and downloads on stderr; [`crate::report::BatchProgress`] shows that of a batch.
//!
//! The pipeline reports to the [`Progress`] trait. On a terminal that can redraw a line there are bars, elsewhere plain lines
//! of text; with `--quiet`, and by default in the library, nothing is shown.

mod stages;
mod transfer;

pub use transfer::{Transfer, amount};

use std::io::IsTerminal;

/// Columns that a bar with its numbers needs at least.
const MIN_COLUMNS: u16 = 60;

/// The stages of one edit, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Reads the model's files.
    Load,
    /// Encodes picture and prompt.
    Encode,
    /// Fine-tunes a LoRA on the picture.
    Lora,
    /// Inverts the latent (DDIM).
    Invert,
    /// Optimises the latent.
    Drag,
    /// Denoises the rest of the steps.
    Denoise,
    /// Decodes the latent into a picture.
    Decode,
}

impl Stage {
    /// Returns the stage's name in records, messages and progress.
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

/// Receives the progress of one edit from the pipeline.
pub trait Progress: Send {
    /// Announces the stages of an edit with their estimated shares of the work.
    fn plan(&mut self, _ahead: &[(Stage, f64)]) {}
    /// Starts a stage of `steps` steps (1 for a stage without steps).
    fn begin(&mut self, stage: Stage, steps: usize);
    /// Ends one step of the current stage, with its loss if it has one.
    fn step(&mut self, loss: Option<f64>);
    /// Ends the current stage.
    fn end(&mut self);
}

/// Shows nothing: for library use and tests.
#[derive(Debug, Clone, Default)]
pub struct Silent;

impl Progress for Silent {
    fn begin(&mut self, _: Stage, _: usize) {}
    fn step(&mut self, _: Option<f64>) {}
    fn end(&mut self) {}
}

/// Returns the progress display of this process: nothing if `quiet`, bars on a terminal that can redraw a line, or else plain
/// lines.
pub fn for_terminal(quiet: bool) -> Box<dyn Progress> {
    match quiet {
        true => Box::new(Silent),
        false if has_bars() => Box::new(stages::Bars::default()),
        false => Box::new(stages::Lines::default()),
    }
}

/// Returns whether stderr is a terminal that can redraw a line and is wide enough for a bar. Redrawing takes escape codes, so
/// `NO_COLOR` turns bars off as well.
pub(crate) fn has_bars() -> bool {
    let is_set = |variable: &str| std::env::var_os(variable).is_some_and(|value| !value.is_empty());
    let is_dumb = std::env::var_os("TERM").map_or(cfg!(unix), |terminal| terminal == "dumb");
    let columns =
        terminal_size::terminal_size_of(std::io::stderr()).map_or(0, |(width, _)| width.0);
    std::io::stderr().is_terminal() && columns >= MIN_COLUMNS && !is_dumb && !is_set("NO_COLOR")
}

/// Formats seconds for people: `42s`, `1m 30s` or `2h 05m`.
pub fn clock(seconds: f64) -> String {
    let seconds = seconds.ceil() as u64;
    let (hours, minutes, rest) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match (hours, minutes) {
        (0, 0) => format!("{rest}s"),
        (0, _) => format!("{minutes}m {rest:02}s"),
        _ => format!("{hours}h {minutes:02}m"),
    }
}
