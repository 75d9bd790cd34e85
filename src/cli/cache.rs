//! `dragnext cache`: lists and removes cached intermediate results.

use std::time::{Duration, SystemTime};

use clap::Subcommand;
use serde::Serialize;

use crate::cache::{Cache, CacheLocation, ListedEntry, clear, list};
use crate::error::Result;
use crate::pipeline::AnyPipeline;
use crate::progress::amount;
use crate::report;

/// Hexadecimal digits of hashes in the table.
const DIGITS: usize = 12;
/// Seconds in a day.
const DAY: f64 = 86_400.0;

/// Lists or removes cached intermediate results of edits.
///
/// An edit caches the LoRA it trained and the inverted latent. The next edit of the same picture with the same prompt, seed, model and LoRA settings
/// reuses them and starts with the drag. The result has the same bytes as without the cache. Entries are verified when they are
/// read. Above the limit, the least recently used entries are removed.
#[derive(Debug, clap::Args)]
#[command(arg_required_else_help = true, after_help = ENVIRONMENT)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

const ENVIRONMENT: &str = "\
DRAGNEXT_CACHE names the folder [default: dragnext in the user's cache folder,
such as ~/.cache/dragnext]. DRAGNEXT_CACHE_LIMIT is the limit, such as 500MB
[default: 2GB]; 0 disables the cache. --no-cache disables it for one edit or
batch.";

#[derive(Debug, Subcommand)]
enum Command {
    List(ListArguments),
    Clear(ClearArguments),
}

/// Lists all entries, most recently used first.
///
/// The picture column is the hash of the picture at working size, so entries of one picture share it.
#[derive(Debug, clap::Args)]
struct ListArguments {
    /// Print one line of JSON: folder, limit, total bytes, and the entries with key, kind, bytes, picture, size, and the times of writing (made) and last use (used) in seconds since 1970.
    #[arg(long)]
    json: bool,
}

/// Removes entries.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n\n  dragnext cache clear\n  dragnext cache clear --older-than 30"
)]
struct ClearArguments {
    /// Remove only entries that have not been used for this many days.
    #[arg(long, value_name = "DAYS", value_parser = days)]
    older_than: Option<Duration>,
}

fn days(text: &str) -> std::result::Result<Duration, &'static str> {
    let days = text.parse().ok().filter(|days: &f64| *days >= 0.0);
    days.and_then(|days| Duration::try_from_secs_f64(days * DAY).ok())
        .ok_or("expected a number of days")
}

/// What is printed as JSON.
#[derive(Debug, Serialize)]
struct Contents {
    folder: Option<String>,
    limit: Option<u64>,
    bytes: u64,
    entries: Vec<ListedEntry>,
}

/// Runs `cache list` or `cache clear`.
pub(super) fn run(arguments: &Arguments) -> Result<()> {
    let (location, warning) = CacheLocation::read();
    report::print_warnings(warning.as_slice());
    match &arguments.command {
        Command::List(list) => show(list, location.as_ref()),
        Command::Clear(arguments) => remove(arguments, location.as_ref()),
    }
}

/// Lets a pipeline use the cache that the environment configures.
///
/// # Errors
/// As [`AnyPipeline::use_cache`].
pub(super) fn use_cache(pipeline: &mut dyn AnyPipeline) -> Result<()> {
    Cache::from_environment().map_or(Ok(()), |cache| pipeline.use_cache(cache))
}

/// As [`use_cache`], and keeps what the run computes in memory too. Without `on_disk` it is kept only there.
///
/// # Errors
/// As [`AnyPipeline::use_cache`].
pub(super) fn use_memory(pipeline: &mut dyn AnyPipeline, on_disk: bool) -> Result<()> {
    let on_disk = on_disk.then(Cache::from_environment).flatten();
    pipeline.use_cache(on_disk.map_or_else(Cache::in_memory, Cache::with_memory))
}

fn show(arguments: &ListArguments, location: Option<&CacheLocation>) -> Result<()> {
    let entries = location
        .map(|location| list(&location.folder))
        .transpose()?
        .unwrap_or_default();
    let bytes = entries.iter().map(|entry| entry.bytes).sum();
    if arguments.json {
        let folder = location.map(|location| location.folder.display().to_string());
        return report::print_json(&Contents {
            folder,
            limit: location.map(|location| location.limit),
            bytes,
            entries,
        });
    }
    let Some(location) = location else {
        report::print_line(NO_LOCATION);
        return Ok(());
    };
    let now = SystemTime::now();
    let lines: Vec<String> = entries.iter().map(|entry| line(entry, now)).collect();
    if !lines.is_empty() {
        let head = format!(
            "{:DIGITS$}  {:9}  {:>9}  {:DIGITS$}  {:>9}  {:>8}  {:>8}",
            "key", "kind", "bytes", "picture", "size", "made", "used"
        );
        report::print_text(&format!("{head}\n{}\n", lines.join("\n")))?;
    }
    report::print_line(&format!(
        "{}: {} of at most {}, {}",
        location.folder.display(),
        amount(bytes),
        amount(location.limit),
        counted(entries.len())
    ));
    Ok(())
}

const NO_LOCATION: &str = "no cache: neither DRAGNEXT_CACHE nor a home folder is set";

fn remove(arguments: &ClearArguments, location: Option<&CacheLocation>) -> Result<()> {
    let Some(location) = location else {
        report::print_line(NO_LOCATION);
        return Ok(());
    };
    let (count, bytes) = clear(&location.folder, arguments.older_than.unwrap_or_default())?;
    report::print_line(&format!(
        "{}: removed {} with {}",
        location.folder.display(),
        counted(count),
        amount(bytes)
    ));
    Ok(())
}

fn line(entry: &ListedEntry, now: SystemTime) -> String {
    let ListedEntry {
        key,
        kind,
        bytes,
        picture,
        size: [width, height],
        made,
        used,
    } = entry;
    let short = |hash: &str| hash.chars().take(DIGITS).collect::<String>();
    // The hash is empty if the header could not be read.
    let picture = if picture.is_empty() {
        "damaged".into()
    } else {
        short(picture)
    };
    let (key, kind, bytes, size) = (
        short(key),
        kind.name(),
        amount(*bytes),
        format!("{width}x{height}"),
    );
    format!(
        "{key:DIGITS$}  {kind:9}  {bytes:>9}  {picture:DIGITS$}  {size:>9}  {:>8}  {:>8}",
        age(*made, now),
        age(*used, now)
    )
}

/// Formats the time since `then` in the largest unit that gives at least 1.
fn age(then: SystemTime, now: SystemTime) -> String {
    let seconds = now.duration_since(then).unwrap_or_default().as_secs();
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..86_400 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

fn counted(entries: usize) -> String {
    format!(
        "{entries} {}",
        if entries == 1 { "entry" } else { "entries" }
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_use_the_largest_unit() {
        let now = SystemTime::now();
        let ages = [0, 59, 60, 7199, 86_400 * 400]
            .map(|seconds| age(now - Duration::from_secs(seconds), now));
        assert_eq!(ages, ["0 s", "59 s", "1 min", "1 h", "400 d"]);
        assert_eq!(
            age(now + Duration::from_secs(9), now),
            "0 s",
            "the clock was set back"
        );
    }

    #[test]
    fn fractions_of_days_parse_and_negative_days_do_not() {
        assert_eq!(days("1.5"), Ok(Duration::from_hours(36)));
        for text in ["-1", "NaN", "inf", "1e300", "soon"] {
            assert!(days(text).is_err(), "{text}");
        }
    }
}
