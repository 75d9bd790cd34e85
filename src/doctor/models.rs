//! Models in the cache of the hub.

use std::fs;
use std::path::Path;

use super::{Check, State};
use crate::error::{Error, ErrorKind};
use crate::files;
use crate::hub::{self, Environment, ModelFolder, Snapshot};
use crate::model::layout::{CLIP, STABLE_DIFFUSION};
use crate::progress::amount;

/// Checks the cache: its folder, whether it is writable, and its Stable Diffusion models. The error tells why nothing can be fetched.
pub(super) fn cache(environment: &Environment) -> (Check, Option<Error>) {
    let folder = &environment.cache;
    let snapshots = snapshots(folder);
    let mut check = Check::new("models", folder.display().to_string());
    check.details = snapshots.iter().map(describe).collect();
    check.details.push(clip(environment));
    let default = STABLE_DIFFUSION.default_id();
    let has_default = hub::find(environment, &default, &STABLE_DIFFUSION).is_ok();
    if !has_default {
        check = check.with_note(
            "`dragnext fetch` downloads the default model (about 2 GB); `--model demo` is built in",
        );
    }
    if let Err(error) = check_writable(folder) {
        let error = Error::Hub {
            place: folder.display().to_string(),
            kind: ErrorKind::HubCache,
            reason: format!("the cache cannot be written to: {error}"),
            hint: "set HF_HUB_CACHE or HF_HOME to another folder".into(),
        };
        // A read-only cache is sufficient if it has the default model.
        let state = if has_default { State::Note } else { State::Bad };
        check = Check {
            state,
            text: error.to_string(),
            hint: error.hint(),
            ..check
        };
        return (check, (!has_default).then_some(error));
    }
    (check, None)
}

/// Returns the snapshots that have a UNet. The cache may contain other kinds of models.
fn snapshots(cache: &Path) -> Vec<Snapshot> {
    let mut found = Vec::new();
    for entry in fs::read_dir(cache).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some((owner, model)) = name
            .strip_prefix("models--")
            .and_then(|name| name.split_once("--"))
        else {
            continue;
        };
        let repository = format!("{owner}/{model}");
        let folder = ModelFolder::new(cache, &repository);
        for commit in fs::read_dir(folder.path().join("snapshots"))
            .into_iter()
            .flatten()
            .flatten()
        {
            let snapshot = folder.snapshot(&repository, &commit.file_name().to_string_lossy());
            if snapshot
                .present(&STABLE_DIFFUSION)
                .iter()
                .any(|file| file.starts_with("unet/"))
            {
                found.push(snapshot);
            }
        }
    }
    found.sort_by_key(Snapshot::name);
    found
}

/// Says whether the default CLIP is in the cache.
fn clip(environment: &Environment) -> String {
    let id = CLIP.default_id();
    match hub::find(environment, &id, &CLIP) {
        Ok(snapshot) => format!(
            "{}, complete: the CLIP of methods that follow a text",
            snapshot.name()
        ),
        Err(_) => format!(
            "{} is not in the cache; methods that follow a text need it, and `dragnext fetch --method clip-drag` downloads it",
            id.repository()
        ),
    }
}

fn describe(snapshot: &Snapshot) -> String {
    let bytes = snapshot
        .present(&STABLE_DIFFUSION)
        .iter()
        .filter_map(|name| fs::metadata(snapshot.folder.join(name)).ok())
        .map(|file| file.len())
        .sum();
    let state = match snapshot.missing(&STABLE_DIFFUSION).as_slice() {
        [] => "complete".to_owned(),
        [name] => format!("lacks {name}"),
        names => format!("lacks {} files", names.len()),
    };
    format!("{} {}, {state}", snapshot.name(), amount(bytes))
}

/// Creates a temporary file in the folder, or in its nearest existing ancestor.
fn check_writable(folder: &Path) -> std::io::Result<()> {
    let folder = if folder.as_os_str().is_empty() {
        Path::new(".")
    } else {
        folder
    };
    let existing = folder
        .ancestors()
        .find(|ancestor| ancestor.exists())
        .unwrap_or(Path::new("."));
    let existing = if existing.as_os_str().is_empty() {
        Path::new(".")
    } else {
        existing
    };
    files::temporary_named(existing, ".dragnext-", ".tmp").map(|_| ())
}
