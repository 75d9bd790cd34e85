//! Progress of downloads: a bar or a line of text for each file.

use std::io::Write;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressFinish, ProgressStyle};

/// Bytes from which a download prints a line when it begins, so that a slow one does not look like a hang.
const LARGE: u64 = 20_000_000;

/// The progress display of downloads: a bar on a terminal that can redraw a line, or else plain lines, or nothing.
#[derive(Debug)]
pub struct Transfer {
    shown: Shown,
    current: Option<Current>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shown {
    Nothing,
    Lines,
    Bars,
}

#[derive(Debug)]
struct Current {
    name: String,
    size: u64,
    since: Instant,
    bar: Option<ProgressBar>,
}

impl Transfer {
    /// Returns the display of this process; nothing if `quiet`.
    pub fn for_terminal(quiet: bool) -> Self {
        let shown = match quiet {
            true => Shown::Nothing,
            false if super::has_bars() => Shown::Bars,
            false => Shown::Lines,
        };
        Self {
            shown,
            current: None,
        }
    }

    /// Shows nothing: for library use and tests.
    pub fn silent() -> Self {
        Self {
            shown: Shown::Nothing,
            current: None,
        }
    }

    /// Prints a line of text.
    pub fn say(&mut self, text: &str) {
        match self
            .current
            .as_ref()
            .and_then(|current| current.bar.as_ref())
        {
            Some(bar) => bar.suspend(|| print(text)),
            None if self.shown == Shown::Nothing => {}
            None => print(text),
        }
    }

    /// Starts a file of `size` bytes.
    pub fn begin(&mut self, name: &str, size: u64) {
        let bar = (self.shown == Shown::Bars).then(|| {
            // The template is a constant, so the fallback is never used.
            let style = ProgressStyle::with_template(
                "{prefix} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta} left",
            );
            let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
            let bar = ProgressBar::new(size)
                .with_prefix(name.to_owned())
                .with_style(style)
                .with_finish(ProgressFinish::AndClear);
            bar.enable_steady_tick(Duration::from_millis(200));
            bar
        });
        if bar.is_none() && size >= LARGE {
            self.say(&format!("fetch    {name} {}", amount(size)));
        }
        self.current = Some(Current {
            name: name.to_owned(),
            size,
            since: Instant::now(),
            bar,
        });
    }

    /// Sets how many bytes of the file have arrived.
    pub fn at(&mut self, bytes: u64) {
        if let Some(bar) = self
            .current
            .as_ref()
            .and_then(|current| current.bar.as_ref())
        {
            bar.set_position(bytes);
        }
    }

    /// Ends the current file, which is complete.
    pub fn end(&mut self) {
        let Some(current) = self.current.take() else {
            return;
        };
        if let Some(bar) = &current.bar {
            bar.finish_and_clear();
        }
        self.say(&format!(
            "fetched  {} {} {:.1} s",
            current.name,
            amount(current.size),
            current.since.elapsed().as_secs_f64()
        ));
    }
}

/// Formats bytes for people, in powers of ten as the hub and disks use them.
pub fn amount(bytes: u64) -> String {
    let bytes = bytes as f64;
    match [("GB", 1e9), ("MB", 1e6), ("kB", 1e3)]
        .iter()
        .find(|(_, unit)| bytes >= *unit)
    {
        Some((name, unit)) => format!("{:.1} {name}", bytes / unit),
        None => format!("{bytes} B"),
    }
}

fn print(text: &str) {
    // Text of servers must not control the terminal. A closed stderr is not an error.
    let text: String = text
        .chars()
        .filter(|character| !character.is_control())
        .collect();
    let _ = writeln!(std::io::stderr(), "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_have_one_decimal() {
        let amounts = [0, 999, 1000, 1_719_327_893].map(amount);
        assert_eq!(amounts, ["0 B", "999 B", "1.0 kB", "1.7 GB"]);
    }
}
