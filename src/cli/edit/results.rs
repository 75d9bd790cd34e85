//! Writes what `dragnext edit` computed: results, drawings of them, and the LoRA.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::Arguments;
use super::outputs::Outputs;
use super::session::EditResult;
use crate::cli::preview::write as write_drawing;
use crate::digest::sha256;
use crate::edit::DIAGNOSTICS;
use crate::error::Result;
use crate::files;
use crate::interrupt::Interrupt;
use crate::model::lora;
use crate::picture::Picture;
use crate::pipeline::Trained;
use crate::preview;
use crate::report::Record;
use crate::warning::{Warning, WarningKind};

impl Arguments {
    /// Writes a result, and returns the hash of its file.
    pub(super) fn write(
        &self,
        path: &Path,
        picture: &Picture,
        note: Option<&str>,
        interrupt: &Interrupt,
    ) -> Result<String> {
        let png = picture
            .png(note)
            .map_err(|error| files::cannot_encode(path, &error))?;
        interrupt.check()?;
        files::write_verified(path, &png, self.overwrite, |written| {
            picture.check_png(written)
        })?;
        Ok(sha256(&png))
    }

    /// Writes the strip and the diagnostics of a result, and returns their paths.
    pub(super) fn write_drawings(
        &self,
        outputs: &Outputs,
        result: &EditResult,
        record: &mut Record,
    ) -> Result<Vec<PathBuf>> {
        let EditResult {
            prepared, picture, ..
        } = result;
        let mut written = Vec::new();
        if let Some(path) = &outputs.strip {
            let original = &prepared.original.picture;
            let tracks = result.outcome.as_ref().map(|outcome| &outcome.tracks[..]);
            let (drag, plan) = (&prepared.drag, &prepared.plan);
            let strip = preview::strip(drag, plan, original, picture, tracks.unwrap_or_default());
            write_drawing(path, &strip, self.overwrite)?;
            written.push(path.clone());
        }
        if outputs.diagnostics.is_empty() {
            return Ok(written);
        }
        let pictures = prepared.diagnostics(result.outcome.as_ref(), picture);
        for (name, path) in &outputs.diagnostics {
            let found = pictures.iter().find(|(found, _)| found == name);
            if let Some((_, picture)) = found {
                write_drawing(path, picture, self.overwrite)?;
                written.push(path.clone());
            }
        }
        let names: Vec<&str> = pictures.iter().map(|(name, _)| *name).collect();
        record.warnings.extend(absent(&names, prepared.moves()));
        Ok(written)
    }

    /// Writes the trained LoRA to `path`.
    pub(super) fn save_lora(&self, path: &Path, trained: &Trained, model: &str) -> Result<()> {
        let notes = BTreeMap::from([("dragnext_model".to_owned(), model.to_owned())]);
        let bytes = lora::write(&trained.places, &trained.parameters, &notes);
        files::write_verified(path, &bytes, self.overwrite, |_| Ok(()))
    }
}

/// Returns a warning about the diagnostics that are not among the `written` ones.
fn absent(written: &[&str], moves: bool) -> Option<Warning> {
    let absent: Vec<String> = DIAGNOSTICS
        .iter()
        .filter(|name| !written.contains(name))
        .map(|name| format!("`{name}`"))
        .collect();
    let reason = if !moves {
        "nothing moves"
    } else if written.is_empty() {
        "this edit uses no warped picture, with `--detail 0` and this `--start`"
    } else {
        "no detail is carried along, with `--detail 0`"
    };
    let message = format!(
        "`--diagnostics` did not write {}: {reason}",
        absent.join(", ")
    );
    (!absent.is_empty()).then_some(Warning {
        kind: WarningKind::DiagnosticsAbsent,
        message,
    })
}
