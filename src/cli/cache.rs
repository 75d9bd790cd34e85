//! `dragnext cache`: what edits left for later ones, and its removal. Also how an edit gets at it.

use std::time::{Duration, SystemTime};

use clap::Subcommand;
use serde::Serialize;

use crate::cache::{Cache, Listed, Place, clear, list};
use crate::error::Result;
use crate::pipeline::AnyPipeline;
use crate::progress::amount;
use crate::report;

/// Digits of hashes that people are shown.
const DIGITS: usize = 12;
/// Seconds of a day.
const DAY: f64 = 86_400.0;

/// Shows or removes what edits keep for later ones of the same picture.
///
/// An edit keeps the LoRA that it trained and the inverted latent. The next one of the same picture with the same prompt, seed, model and settings of the
/// LoRA takes them from there: it begins with the drag, and its result has the same bytes as without. Everything is checked when it is
/// read. What was not used for longest goes when there is more than the limit.
#[derive(Debug, clap::Args)]
#[command(arg_required_else_help = true, after_help = ENVIRONMENT)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

const ENVIRONMENT: &str = "\
DRAGNEXT_CACHE names the folder [default: dragnext in the user's folder for
caches, such as ~/.cache/dragnext]. DRAGNEXT_CACHE_LIMIT is the limit, such as
500MB [default: 2GB]; with 0 nothing is kept or used. For one edit or one batch,
--no-cache does the same.";

#[derive(Debug, Subcommand)]
enum Command {
    List(ListArguments),
    Clear(ClearArguments),
}

/// Lists what is kept, what was used last first.
///
/// Entries of one picture have the same hash of the picture, which is that of its copy at working size.
#[derive(Debug, clap::Args)]
struct ListArguments {
    /// Print one line of JSON: folder, limit, bytes in all, and the entries with key, kind, bytes, picture, size, and the times at which each was made and used, in seconds since 1970.
    #[arg(long)]
    json: bool,
}

/// Removes what is kept.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n\n  dragnext cache clear\n  dragnext cache clear --older-than 30"
)]
struct ClearArguments {
    /// Only what was not used for so many days.
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
    entries: Vec<Listed>,
}

/// Lists or removes.
pub(super) fn run(arguments: &Arguments) -> Result<()> {
    let (place, warning) = Place::read();
    report::print_warnings(warning.as_slice());
    match &arguments.command {
        Command::List(list) => show(list, place.as_ref()),
        Command::Clear(arguments) => remove(arguments, place.as_ref()),
    }
}

/// Lets an editor use the cache that the environment asks for.
///
/// # Errors
/// As [`AnyPipeline::reuse`].
pub(super) fn reuse(editor: &mut dyn AnyPipeline) -> Result<()> {
    Cache::from_environment().map_or(Ok(()), |cache| editor.reuse(cache))
}

fn show(arguments: &ListArguments, place: Option<&Place>) -> Result<()> {
    let entries = place
        .map(|place| list(&place.folder))
        .transpose()?
        .unwrap_or_default();
    let bytes = entries.iter().map(|entry| entry.bytes).sum();
    if arguments.json {
        let folder = place.map(|place| place.folder.display().to_string());
        return report::print_json(&Contents {
            folder,
            limit: place.map(|place| place.limit),
            bytes,
            entries,
        });
    }
    let Some(place) = place else {
        report::print_line(NOWHERE);
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
        place.folder.display(),
        amount(bytes),
        amount(place.limit),
        counted(entries.len())
    ));
    Ok(())
}

/// Said when the environment names no folder.
const NOWHERE: &str = "there is no cache: neither DRAGNEXT_CACHE nor a home folder is set";

fn remove(arguments: &ClearArguments, place: Option<&Place>) -> Result<()> {
    let Some(place) = place else {
        report::print_line(NOWHERE);
        return Ok(());
    };
    let (count, bytes) = clear(&place.folder, arguments.older_than.unwrap_or_default())?;
    report::print_line(&format!(
        "{}: removed {} with {}",
        place.folder.display(),
        counted(count),
        amount(bytes)
    ));
    Ok(())
}

fn line(entry: &Listed, now: SystemTime) -> String {
    let Listed {
        key,
        kind,
        bytes,
        picture,
        size: [width, height],
        made,
        used,
    } = entry;
    let short = |hash: &str| hash.chars().take(DIGITS).collect::<String>();
    // A header that could not be read leaves no hash.
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

/// How long ago something was, in the largest unit of which there is one.
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
    fn ages_are_short() {
        let now = SystemTime::now();
        let ages = [0, 59, 60, 7199, 86_400 * 400]
            .map(|seconds| age(now - Duration::from_secs(seconds), now));
        assert_eq!(ages, ["0 s", "59 s", "1 min", "1 h", "400 d"]);
        assert_eq!(
            age(now + Duration::from_secs(9), now),
            "0 s",
            "a clock that went back"
        );
    }

    #[test]
    fn days_may_be_broken_but_not_negative() {
        assert_eq!(days("1.5"), Ok(Duration::from_hours(36)));
        for text in ["-1", "NaN", "inf", "1e300", "soon"] {
            assert!(days(text).is_err(), "{text}");
        }
    }
}
