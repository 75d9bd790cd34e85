//! Progress of a single edit: a bar or a line of text for each stage.

use std::io::Write;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressFinish, ProgressState, ProgressStyle};

use super::{Progress, Stage, clock};

/// Prints one plain line for each finished stage.
#[derive(Debug, Default)]
pub(super) struct Lines {
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
            // A closed stderr is not an error.
            let _ = writeln!(std::io::stderr(), "{}", running.summary());
        }
    }
}

/// Draws one bar for each stage with the remaining time. A finished stage stays as a line.
#[derive(Debug, Default)]
pub(super) struct Bars {
    current: Option<(Running, ProgressBar)>,
    /// Later stages with their shares of the work.
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
        // The templates are constants, so the fallback is never used.
        let style =
            ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        let style = style.with_key(
            "left",
            move |state: &ProgressState, text: &mut dyn std::fmt::Write| {
                let share = state.fraction();
                if share > 0.0 && share < 1.0 {
                    // The bar is drawn without the time if this fails.
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

/// Formats the remaining time of a stage that did `share` of its work in `seconds`, and of the whole edit if later stages
/// are `later` times the work of this one.
fn time_left(seconds: f64, share: f64, later: f64) -> String {
    let whole = seconds / share;
    let left = whole - seconds;
    let all = left + later * whole;
    // `later` is not a number if the stages were not announced.
    if all.is_finite() && all > left {
        format!("{} left, {} in all", clock(left), clock(all))
    } else {
        format!("{} left", clock(left))
    }
}

/// The current stage.
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
    fn the_time_left_includes_later_stages() {
        assert_eq!(time_left(30.0, 0.25, 0.0), "1m 30s left");
        assert_eq!(time_left(30.0, 0.25, 2.0), "1m 30s left, 5m 30s in all");
        assert_eq!(time_left(3600.0, 0.5, 0.5), "1h 00m left, 2h 00m in all");
        assert_eq!(
            time_left(2.0, 0.5, f64::NAN),
            "2s left",
            "the stages were not announced"
        );
    }
}
