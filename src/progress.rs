//! How a run tells where it stands. The pipeline speaks to [`Progress`]; what is shown is decided here.

mod transfer;

pub use transfer::{Transfer, amount};

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressFinish, ProgressState, ProgressStyle};

/// A narrower terminal has no room for a bar beside its numbers.
const MIN_COLUMNS: u16 = 60;

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
pub trait Progress: Send {
    /// The stages that lie ahead of an edit, and how much each computes: a share of a whole, which is only an estimate.
    fn plan(&mut self, _ahead: &[(Stage, f64)]) {}
    /// A stage of `steps` steps begins (1 for a stage without steps).
    fn begin(&mut self, stage: Stage, steps: usize);
    /// One step of the current stage is done; `loss` where the step has one.
    fn step(&mut self, loss: Option<f64>);
    /// The current stage is done.
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

/// What suits this process: nothing when `quiet`, bars on a terminal that can redraw a line, else plain lines.
pub fn for_terminal(quiet: bool) -> Box<dyn Progress> {
    match quiet {
        true => Box::new(Silent),
        false if has_bars() => Box::new(Bars::default()),
        false => Box::new(Lines::default()),
    }
}

/// Is stderr a terminal that can redraw a line, with room for a bar? Nothing here is coloured, but who sets `NO_COLOR` wants no escape
/// codes, and redrawing takes some.
pub(crate) fn has_bars() -> bool {
    let is_set = |variable: &str| std::env::var_os(variable).is_some_and(|value| !value.is_empty());
    let is_dumb = std::env::var_os("TERM").map_or(cfg!(unix), |terminal| terminal == "dumb");
    let columns =
        terminal_size::terminal_size_of(std::io::stderr()).map_or(0, |(width, _)| width.0);
    std::io::stderr().is_terminal() && columns >= MIN_COLUMNS && !is_dumb && !is_set("NO_COLOR")
}

/// One plain line for each finished stage, on stderr.
#[derive(Debug, Default)]
struct Lines {
    current: Option<Running>,
}

impl Progress for Lines {
    fn begin(&mut self, stage: Stage, steps: usize) {
        self.current = Some(Running {
            stage,
            steps,
            since: Instant::now(),
        });
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
    /// What lies ahead, the current stage excepted.
    ahead: Vec<(Stage, f64)>,
}

impl Progress for Bars {
    fn plan(&mut self, ahead: &[(Stage, f64)]) {
        self.ahead = ahead.to_vec();
    }

    fn begin(&mut self, stage: Stage, steps: usize) {
        let work = self
            .ahead
            .iter()
            .find(|(other, _)| *other == stage)
            .map_or(0.0, |(_, work)| *work);
        self.ahead.retain(|(other, _)| *other != stage);
        let later = self.ahead.iter().map(|(_, work)| work).sum::<f64>() / work;
        let template = if steps > 1 {
            "{prefix:8} {wide_bar} {pos}/{len} {msg}{left}"
        } else {
            "{prefix:8} {spinner} {elapsed}"
        };
        // The templates are constants; if one were wrong, the default bar would do.
        let style =
            ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        let style = style.with_key(
            "left",
            move |state: &ProgressState, text: &mut dyn std::fmt::Write| {
                let share = state.fraction();
                if share > 0.0 && share < 1.0 {
                    // A text that cannot be written is not missed.
                    let _ = text.write_str(&time_left(
                        state.elapsed().as_secs_f64(),
                        f64::from(share),
                        later,
                    ));
                }
            },
        );
        let bar = ProgressBar::new(steps as u64)
            .with_prefix(stage.name())
            .with_style(style)
            .with_finish(ProgressFinish::AndClear);
        bar.enable_steady_tick(Duration::from_millis(200));
        self.current = Some((
            Running {
                stage,
                steps,
                since: Instant::now(),
            },
            bar,
        ));
    }

    fn step(&mut self, loss: Option<f64>) {
        if let Some((_, bar)) = &self.current {
            if let Some(loss) = loss {
                bar.set_message(format!("loss {loss:.4} "));
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

/// What is left of a stage that did `share` of its work in so many seconds, and of the whole edit when what comes later is
/// `later` times the stage's work.
fn time_left(seconds: f64, share: f64, later: f64) -> String {
    let whole = seconds / share;
    let left = whole - seconds;
    let all = left + later * whole;
    // Nothing comes later, or nobody said.
    if all.is_finite() && all > left {
        format!("{} left, {} in all", clock(left), clock(all))
    } else {
        format!("{} left", clock(left))
    }
}

/// Seconds as one reads them.
pub fn clock(seconds: f64) -> String {
    let seconds = seconds.ceil() as u64;
    let (hours, minutes, rest) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match (hours, minutes) {
        (0, 0) => format!("{rest}s"),
        (0, _) => format!("{minutes}m {rest:02}s"),
        _ => format!("{hours}h {minutes:02}m"),
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
        let steps = if self.steps > 1 {
            format!("{} steps", self.steps)
        } else {
            String::new()
        };
        format!(
            "{:8} {steps:>9} {:>8.1} s",
            self.stage.name(),
            self.since.elapsed().as_secs_f64()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_names_the_stage_and_its_steps() {
        let running = |stage, steps| Running {
            stage,
            steps,
            since: Instant::now(),
        };
        assert_eq!(
            running(Stage::Lora, 70).summary(),
            "lora      70 steps      0.0 s"
        );
        assert_eq!(
            running(Stage::Decode, 1).summary(),
            "decode                  0.0 s"
        );
    }
    #[test]
    fn the_time_left_counts_what_comes_later() {
        assert_eq!(time_left(30.0, 0.25, 0.0), "1m 30s left");
        assert_eq!(time_left(30.0, 0.25, 2.0), "1m 30s left, 5m 30s in all");
        assert_eq!(time_left(3600.0, 0.5, 0.5), "1h 00m left, 2h 00m in all");
        assert_eq!(
            time_left(2.0, 0.5, f64::NAN),
            "2s left",
            "nobody said what comes later"
        );
    }
}
