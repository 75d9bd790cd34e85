//! Progress of a batch: a line for each finished item, or one bar for all items with a line for each failure.

use std::io::Write;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressFinish, ProgressStyle};

use super::{Progress, Stage};
use crate::escape;
use crate::warning::Warning;

/// How an item ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ItemState<'a> {
    /// Its result was written.
    Done,
    /// It failed with this message.
    Failed(&'a str),
    /// A signal stopped it.
    Interrupted,
}

/// The progress display of a batch. Threads share it.
#[derive(Debug)]
pub struct Items {
    shown: Shown,
    total: usize,
    state: Mutex<State>,
}

#[derive(Debug)]
enum Shown {
    Nothing,
    Lines,
    Bar(ProgressBar),
}

#[derive(Debug)]
struct State {
    ended: usize,
    since: Instant,
    /// How many items of the current group have not ended yet.
    left_of_group: usize,
    /// Seconds for each item of the current group.
    seconds: f64,
}

impl Items {
    /// Returns the display of this process for `total` items; nothing if `quiet`.
    pub fn for_terminal(total: usize, quiet: bool) -> Self {
        let shown = match quiet {
            true => Shown::Nothing,
            false if super::has_bars() => Shown::Bar(bar(total)),
            false => Shown::Lines,
        };
        Self {
            shown,
            total,
            state: Mutex::new(State {
                ended: 0,
                since: Instant::now(),
                left_of_group: 0,
                seconds: 0.0,
            }),
        }
    }

    /// Starts an item, or a group of which it is the first.
    pub fn begin(&self, id: &str) {
        if let Shown::Bar(bar) = &self.shown {
            bar.set_prefix(escape::one_line(id));
        }
    }

    /// Returns the display for the stages of the current item.
    pub fn stages(&self) -> ItemStages {
        let bar = if let Shown::Bar(bar) = &self.shown {
            Some(bar.clone())
        } else {
            None
        };
        ItemStages { bar }
    }

    /// Ends one item of a group of `group` items that were computed side by side.
    pub fn end(&self, id: &str, ended: ItemState, warnings: &[Warning], group: usize) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.ended += 1;
        if state.left_of_group == 0 {
            state.left_of_group = group.max(1);
            state.seconds = state.since.elapsed().as_secs_f64() / state.left_of_group as f64;
            state.since = Instant::now();
        }
        state.left_of_group -= 1;
        let seconds = state.seconds;
        let count = format!(
            "[{:>width$}/{}]",
            state.ended,
            self.total,
            width = self.total.to_string().len()
        );
        let mut lines: Vec<String> = match ended {
            ItemState::Failed(message) => {
                let message = message.lines().next().unwrap_or_default();
                vec![format!(
                    "{count} {id}: failed: {}",
                    escape::one_line(message)
                )]
            }
            ItemState::Interrupted => vec![format!("{count} {id}: interrupted")],
            ItemState::Done if matches!(self.shown, Shown::Bar(_)) => Vec::new(),
            ItemState::Done => vec![format!("{count} {id}: done {seconds:.1} s")],
        };
        lines.extend(
            warnings
                .iter()
                .map(|warning| format!("warning: {id}: {}", escape::one_line(&warning.message))),
        );
        match &self.shown {
            Shown::Nothing => {}
            Shown::Lines => lines.iter().for_each(|line| print(line)),
            Shown::Bar(bar) => {
                bar.suspend(|| lines.iter().for_each(|line| print(line)));
                bar.inc(1);
            }
        }
    }

    /// Removes the bar after the last item.
    pub fn close(&self) {
        if let Shown::Bar(bar) = &self.shown {
            bar.finish_and_clear();
        }
    }
}

fn bar(total: usize) -> ProgressBar {
    // The template is a constant, so the fallback is never used.
    let style = ProgressStyle::with_template("{wide_bar} {pos}/{len} {eta} left  {prefix} {msg:8}");
    let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = ProgressBar::new(total as u64)
        .with_style(style)
        .with_finish(ProgressFinish::AndClear);
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

/// Shows the current stage of one item next to the bar of the batch.
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
    // A closed stderr is not an error.
    let _ = writeln!(std::io::stderr(), "{line}");
}
