//! Progress of a batch on stderr: one line for each item, or one bar for the whole list and a line for each item that failed.

use std::io::Write;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressFinish, ProgressStyle};

use super::{Record, Status};
use crate::escape;
use crate::progress::{self, Progress, Stage};

/// Shows which item is being edited and how each item ended. Several threads may share it.
#[derive(Debug)]
pub struct BatchProgress {
    display: Display,
    total: usize,
    state: Mutex<State>,
}

#[derive(Debug)]
enum Display {
    Nothing,
    Lines,
    Bar(ProgressBar),
}

#[derive(Debug)]
struct State {
    ended: usize,
    group_started: Instant,
    /// Items of the current group that have not ended yet.
    group_left: usize,
    /// Seconds of the current group, divided by its size.
    seconds_per_item: f64,
}

impl BatchProgress {
    /// Chooses a display for `total` items: nothing when `quiet`, a bar on a terminal that can redraw a line, lines otherwise.
    pub fn for_terminal(total: usize, quiet: bool) -> Self {
        let display = match quiet {
            true => Display::Nothing,
            false if progress::has_bars() => Display::Bar(bar(total)),
            false => Display::Lines,
        };
        Self {
            display,
            total,
            state: Mutex::new(State {
                ended: 0,
                group_started: Instant::now(),
                group_left: 0,
                seconds_per_item: 0.0,
            }),
        }
    }

    /// Shows that the network starts on the item `id`, or on a group whose first item it is.
    pub fn begin(&self, id: &str) {
        if let Display::Bar(bar) = &self.display {
            bar.set_prefix(escape::one_line(id));
        }
    }

    /// Returns the progress of the stages of the current item.
    pub fn stages(&self) -> ItemStages {
        let bar = if let Display::Bar(bar) = &self.display {
            Some(bar.clone())
        } else {
            None
        };
        ItemStages { bar }
    }

    /// Shows how an item ended that was edited in a group of `group_size` items.
    pub fn end(&self, record: &Record, group_size: usize) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.ended += 1;
        if state.group_left == 0 {
            state.group_left = group_size.max(1);
            state.seconds_per_item =
                state.group_started.elapsed().as_secs_f64() / state.group_left as f64;
            state.group_started = Instant::now();
        }
        state.group_left -= 1;
        let seconds = state.seconds_per_item;
        let count = format!(
            "[{:>width$}/{}]",
            state.ended,
            self.total,
            width = self.total.to_string().len()
        );
        let mut lines: Vec<String> = match (&record.status, &record.error) {
            (Status::Failed, Some(error)) => {
                let message = error.message.lines().next().unwrap_or_default();
                vec![format!(
                    "{count} {}: failed: {}",
                    record.id,
                    escape::one_line(message)
                )]
            }
            (Status::Interrupted, _) => vec![format!("{count} {}: interrupted", record.id)],
            _ if matches!(self.display, Display::Bar(_)) => Vec::new(),
            _ => vec![format!("{count} {}: done {seconds:.1} s", record.id)],
        };
        lines.extend(record.warnings.iter().map(|warning| {
            format!(
                "warning: {}: {}",
                record.id,
                escape::one_line(&warning.message)
            )
        }));
        match &self.display {
            Display::Nothing => {}
            Display::Lines => lines.iter().for_each(|line| print(line)),
            Display::Bar(bar) => {
                bar.suspend(|| lines.iter().for_each(|line| print(line)));
                bar.inc(1);
            }
        }
    }

    /// Removes the bar.
    pub fn close(&self) {
        if let Display::Bar(bar) = &self.display {
            bar.finish_and_clear();
        }
    }
}

fn bar(total: usize) -> ProgressBar {
    // The template is a constant; if it were invalid, the default bar would be used.
    let style = ProgressStyle::with_template("{wide_bar} {pos}/{len} {eta} left  {prefix} {msg:8}");
    let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = ProgressBar::new(total as u64)
        .with_style(style)
        .with_finish(ProgressFinish::AndClear);
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

/// Shows the stage of the current item beside the bar of the whole list.
#[derive(Debug)]
pub struct ItemStages {
    bar: Option<ProgressBar>,
}

impl Progress for ItemStages {
    fn begin(&mut self, stage: Stage, _: usize) {
        if let Some(bar) = &self.bar {
            bar.set_message(stage.name());
        }
    }

    fn step(&mut self, _: Option<f64>) {}

    fn end(&mut self) {}
}

fn print(line: &str) {
    // A closed stderr is no reason to fail.
    let _ = writeln!(std::io::stderr(), "{line}");
}
