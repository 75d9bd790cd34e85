//! `dragnext preview`: draws a drag file on its picture.

use std::path::{Path, PathBuf};

use super::planning::{InputArguments, Inputs};
use super::setting_flags::SettingFlags;
use crate::edit::warped;
use crate::error::{Error, ErrorKind, Result};
use crate::files;
use crate::interrupt::Interrupt;
use crate::picture::{self, Picture};
use crate::plan::Draft;
use crate::preview;
use crate::report;

/// Draws a drag file on its picture.
///
/// Takes the arguments of `dragnext edit` and reads no weights. Writes a PNG with each region in red, its position after the drag in
/// dashed blue, the handle as a red disc, the target as a blue diamond, the center as a green cross, arrows, arcs with their angles,
/// stripes over the area that the drag sweeps, and a veil over the area that cannot change. A point has a thin circle around it: the
/// disc that is dragged with it. Small pictures are enlarged by a whole number, and large ones are shrunk to 4096 pixels.
///
/// With --warped, writes the picture as the drag leaves it before any model repaints it, in the picture's own size and bit depth.
///
/// A drag file that does not fit the picture is drawn as far as possible, without --warped; the faults are reported and the exit status is 2.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n\n  dragnext preview cat.png --drag cat.json          writes cat.preview.png"
)]
pub(super) struct Arguments {
    #[command(flatten)]
    inputs: InputArguments,

    /// Path of the preview [default: the picture's name with `.preview.png`, beside it; `.strip.png` with --strip, `.warped.png` with --warped]. `-` writes to stdout.
    #[arg(long, short, value_name = "OUT")]
    output: Option<PathBuf>,

    /// Replace an existing output.
    #[arg(long)]
    overwrite: bool,

    /// Draw the picture, its preview and this result of the edit side by side.
    #[arg(long, value_name = "EDITED")]
    strip: Option<PathBuf>,

    /// Write the warped picture instead: every region at its target, the vacated area filled, nothing repainted by a model.
    #[arg(long, conflicts_with = "strip")]
    warped: bool,

    /// Show no warnings.
    #[arg(long, short)]
    quiet: bool,

    #[command(flatten)]
    settings: SettingFlags,
}

/// Draws and writes the preview.
pub(super) fn run(arguments: &Arguments, interrupt: &Interrupt) -> Result<()> {
    let inputs = arguments.inputs.read()?;
    let edited = arguments.edited(&inputs)?;
    let model = inputs.model.open_present()?;
    let Draft { plan, faults } = inputs.draft(&arguments.settings.choice, model.as_ref())?;
    let output = arguments.output();
    arguments.check_output(&output, inputs.files(model.as_ref()))?;
    if !arguments.quiet {
        report::print_warnings(&inputs.warnings);
        // A drag file with faults has its faults reported, not its warnings.
        report::print_warnings(if faults.is_empty() {
            &plan.warnings
        } else {
            &[]
        });
    }

    let (drag, picture) = (&inputs.instruction.drag, &inputs.original.picture);
    // A plan with faults lacks regions, so its warped picture would look like a result that it is not.
    if !arguments.warped || faults.is_empty() {
        let drawn = match &edited {
            Some(edited) => preview::strip(drag, &plan, picture, edited, &[]),
            None if arguments.warped => warped(picture, &plan),
            None => preview::preview(drag, &plan, picture),
        };
        interrupt.check()?;
        write(&output, &drawn, arguments.overwrite)?;
        if !arguments.quiet {
            report::print_written(&output);
        }
    }
    if faults.is_empty() {
        return Ok(());
    }
    Err(inputs.instruction.explain(Error::Instruction {
        path: inputs.instruction.drag.path.clone(),
        faults,
    }))
}

/// Encodes and writes a picture, and verifies the written file.
pub(super) fn write(output: &Path, drawn: &Picture, overwrite: bool) -> Result<()> {
    let png = drawn
        .png(None)
        .map_err(|error| files::cannot_encode(output, &error))?;
    files::write_verified(output, &png, overwrite, |written| drawn.check_png(written))
}

impl Arguments {
    fn output(&self) -> PathBuf {
        let extension = if self.strip.is_some() {
            "strip.png"
        } else if self.warped {
            "warped.png"
        } else {
            "preview.png"
        };
        self.output
            .clone()
            .unwrap_or_else(|| self.inputs.image.with_extension(extension))
    }

    /// Reads the result for `--strip`, which must have the picture's size.
    fn edited(&self, inputs: &Inputs) -> Result<Option<Picture>> {
        let Some(path) = &self.strip else {
            return Ok(None);
        };
        let edited = picture::read(path)?.picture;
        let (found, expected) = (edited.size(), inputs.original.picture.size());
        if found != expected {
            let reason = format!("is {found} pixels, but the picture is {expected}");
            let hint = "pass the result of an edit of this picture".into();
            return Err(Error::Image {
                path: path.clone(),
                kind: ErrorKind::ImageSize,
                reason,
                hint,
            });
        }
        Ok(Some(edited))
    }

    fn check_output(&self, output: &Path, mut files: Vec<PathBuf>) -> Result<()> {
        files.extend(self.strip.clone());
        files::check_png_name(output)?;
        files::check_output(&files, output, self.overwrite)
    }
}
