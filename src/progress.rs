//! How a run tells where it stands. The pipeline speaks to [`Progress`]; what is shown is decided here.

mod transfer;

pub use transfer::{Transfer, amount};

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressFinish, ProgressStyle};

/// The stages of one edit, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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

/// What suits this process: nothing when `quiet`, bars on a terminal that can redraw a line, else plain lines.
///
/// Nothing here is coloured, so that `NO_COLOR` needs no case of its own.
pub fn for_terminal(quiet: bool) -> Box<dyn Progress> {
    let is_dumb = std::env::var_os("TERM").is_some_and(|terminal| terminal == "dumb");
    if quiet {
        Box::new(Silent)
    } else if std::io::stderr().is_terminal() && !is_dumb {
        Box::new(Bars::default())
    } else {
        Box::new(Lines::default())
    }
}

/// One plain line for each finished stage, on stderr.
#[derive(Debug, Default)]
struct Lines {
    current: Option<Running>,
}

impl Progress for Lines {
    fn begin(&mut self, stage: Stage, steps: usize) {
        self.current = Some(Running { stage, steps, since: Instant::now() });
    }

    fn step(&mut self, _: Option<f64>) {}

    fn end(&mut self) {
        if let Some(running) = self.current.take() {
            // Nobody who closed stderr wants to know.
            let _ = writeln!(std::io::stderr(), "{}", running.summary());
        }
    }
}

/// One bar for each stage, with the time that is left, on stderr; finished stages stay as lines.
#[derive(Debug, Default)]
struct Bars {
    current: Option<(Running, ProgressBar)>,
}

impl Progress for Bars {
    fn begin(&mut self, stage: Stage, steps: usize) {
        let template = if steps > 1 { "{prefix:8} {wide_bar} {pos}/{len} {msg} {eta} left" } else { "{prefix:8} {spinner} {elapsed}" };
        // The templates are constants; if one were wrong, the default bar would do.
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = ProgressBar::new(steps as u64).with_prefix(stage.name()).with_style(style).with_finish(ProgressFinish::AndClear);
        bar.enable_steady_tick(Duration::from_millis(200));
        self.current = Some((Running { stage, steps, since: Instant::now() }, bar));
    }

    fn step(&mut self, loss: Option<f64>) {
        if let Some((_, bar)) = &self.current {
            if let Some(loss) = loss {
                bar.set_message(format!("loss {loss:.4}"));
            }
            bar.inc(1);
        }
    }

    fn end(&mut self) {
        if let Some((running, bar)) = self.current.take() {
            bar.finish_and_clear();
            let _ = writeln!(std::io::stderr(), "{}", running.summary());
        }
    }
}

/// The stage that is at work.
#[derive(Debug)]
struct Running {
    stage: Stage,
    steps: usize,
    since: Instant,
}

impl Running {
    fn summary(&self) -> String {
        let steps = if self.steps > 1 { format!("{} steps", self.steps) } else { String::new() };
        format!("{:8} {steps:>9} {:>8.1} s", self.stage.name(), self.since.elapsed().as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_names_the_stage_and_its_steps() {
        let running = |stage, steps| Running { stage, steps, since: Instant::now() };
        assert_eq!(running(Stage::Lora, 70).summary(), "lora      70 steps      0.0 s");
        assert_eq!(running(Stage::Decode, 1).summary(), "decode                  0.0 s");
    }
}
