//! How a batch tells where it stands: one line for each item, or one bar for all with a line for each that failed.

use std::io::Write;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressFinish, ProgressStyle};

use super::{Progress, Stage};
use crate::report::{Record, Status, on_one_line};

/// Says which item is at work and how each ended. Threads share it.
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
    /// Items still to end of those that went side by side, and the seconds of each.
    beside: usize,
    seconds: f64,
}

impl Items {
    /// What suits this process for so many items; nothing when `quiet`.
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
                beside: 0,
                seconds: 0.0,
            }),
        }
    }

    /// The network begins with an item, or with several, of which it is the first.
    pub fn begin(&self, id: &str) {
        if let Shown::Bar(bar) = &self.shown {
            bar.set_prefix(on_one_line(id));
        }
    }

    /// The stages of the item that is at work.
    pub fn stages(&self) -> Stages {
        let bar = if let Shown::Bar(bar) = &self.shown {
            Some(bar.clone())
        } else {
            None
        };
        Stages { bar }
    }

    /// One of `beside` items, with which the network was at a time, has ended.
    pub fn end(&self, record: &Record, beside: usize) {
        let mut state = self
            .state
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        state.ended += 1;
        if state.beside == 0 {
            state.beside = beside.max(1);
            state.seconds = state.since.elapsed().as_secs_f64() / state.beside as f64;
            state.since = Instant::now();
        }
        state.beside -= 1;
        let seconds = state.seconds;
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
                    on_one_line(message)
                )]
            }
            (Status::Interrupted, _) => vec![format!("{count} {}: interrupted", record.id)],
            _ if matches!(self.shown, Shown::Bar(_)) => Vec::new(),
            _ => vec![format!("{count} {}: done {seconds:.1} s", record.id)],
        };
        lines.extend(
            record.warnings.iter().map(|warning| {
                format!("warning: {}: {}", record.id, on_one_line(&warning.message))
            }),
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

    /// No further item will end.
    pub fn close(&self) {
        if let Shown::Bar(bar) = &self.shown {
            bar.finish_and_clear();
        }
    }
}

fn bar(total: usize) -> ProgressBar {
    // The template is a constant; if it were wrong, the default bar would do.
    let style = ProgressStyle::with_template("{wide_bar} {pos}/{len} {eta} left  {prefix} {msg:8}");
    let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = ProgressBar::new(total as u64)
        .with_style(style)
        .with_finish(ProgressFinish::AndClear);
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

/// Where one item of a batch stands, beside the bar of all.
#[derive(Debug)]
pub struct Stages {
    bar: Option<ProgressBar>,
}

impl Progress for Stages {
    fn begin(&mut self, stage: Stage, _: usize) {
        if let Some(bar) = &self.bar {
            bar.set_message(stage.name());
        }
    }

    fn step(&mut self, _: Option<f64>) {}

    fn end(&mut self) {}
}

fn print(line: &str) {
    // Nobody who closed stderr wants to know.
    let _ = writeln!(std::io::stderr(), "{line}");
}
