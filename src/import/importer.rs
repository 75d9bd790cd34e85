//! Converts all samples of a source: checks each as `batch` will, then writes drag files, masks, pictures and the manifest.

use std::fs;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde::Serialize;

use super::names::{Item, named};
use super::outcome::{Import, Imported, SampleOutcome};
use super::root::extension;
use super::sample::{Choice, PictureSource, Sample};
use super::written;
use super::{Options, sources};
use crate::drag_file::DragFile;
use crate::error::{Error, ErrorKind, Result};
use crate::files;
use crate::foreign::Kind;
use crate::interrupt::Interrupt;
use crate::picture;
use crate::plan::{Amount, ModelFacts, Request};

/// The name of the manifest in the output folder.
pub(super) const MANIFEST: &str = "manifest.jsonl";
/// Name of a sample's drag file in its folder.
const DRAG: &str = "drag.json";

/// Most words of a prompt: CLIP's text encoders read 77 tokens, of which two are the start and end mark.
const MAX_WORDS: usize = 75;

/// A line of the manifest.
#[derive(Serialize)]
struct Line<'a> {
    id: &'a str,
    image: String,
    drag: String,
    out: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    category: Option<&'a str>,
}

/// The files of a sample, ready to be written.
struct Files {
    drag: String,
    masks: Vec<(String, Vec<u8>)>,
    picture: PictureSource,
    extension: String,
    choices: Vec<Choice>,
}

/// Rejects an output folder that is read as well, so that no source is replaced.
fn check_separate(path: &Path, output: &Path, options: &Options) -> Result<()> {
    let folder = if path.is_dir() {
        path.to_path_buf()
    } else {
        files::folder_of(path)
    };
    let full = |folder: &Path| fs::canonicalize(folder).ok();
    let written = full(output);
    for read in std::iter::once(&*folder).chain(options.images.as_deref()) {
        if written.is_some() && full(read) == written {
            return Err(Error::Given {
                path: output.to_path_buf(),
                kind: ErrorKind::OutputIsInput,
                reason: "is the folder of the input".into(),
                hint: "inputs are never written; choose another folder with -o".into(),
            });
        }
    }
    Ok(())
}

/// Imports `path`, whose samples have this kind, into the folder `output`.
///
/// Everything is checked before anything is written: a sample whose edit `batch` would refuse is a faulty one. Faulty samples stop the
/// import unless the options say to keep going.
///
/// # Errors
/// [`Error::Given`] `import.*` for the source as a whole. The faults of samples are in the result.
pub(crate) fn import(
    kind: Kind,
    path: &Path,
    output: &Path,
    options: &Options,
    interrupt: &Interrupt,
) -> Result<Import> {
    check_separate(path, output, options)?;
    let listing = sources::list(kind, path, options)?;
    if listing.entries.is_empty() {
        return Err(nothing(kind, path));
    }
    files::check_output(&[], &output.join(MANIFEST), true)?;
    let items = named(listing.entries);
    let check = |item: &Item| -> Result<Vec<Choice>> {
        interrupt.check()?;
        check_no_links(output, &item.name)?;
        let files = convert(item, kind)?;
        files.check(item)?;
        Ok(files.choices)
    };
    let checked: Vec<Result<Vec<Choice>>> = items.par_iter().map(check).collect();
    interrupt.check()?;
    let mut import = Import {
        kind,
        manifest: None,
        samples: Vec::new(),
        warnings: listing.warnings,
    };
    let is_faulty = checked.iter().any(Result::is_err);
    let write = |(item, checked): (Item, Result<Vec<Choice>>)| {
        let written = checked.and_then(|choices| {
            if is_faulty && !options.keep_going {
                return Ok((choices, None));
            }
            interrupt.check()?;
            let line = convert(&item, kind)?.write(&item, output, options.overwrite)?;
            Ok((choices, Some(line)))
        });
        let (result, line) = match written {
            Ok((choices, line)) => {
                let drag = line.as_ref().map(|_| format!("{}/{DRAG}", item.name));
                (Ok(Imported { choices, drag }), line)
            }
            Err(error) => (Err(error), None),
        };
        let outcome = SampleOutcome {
            id: item.name,
            category: item.entry.category,
            result,
        };
        (outcome, line)
    };
    let written: Vec<(SampleOutcome, Option<String>)> =
        items.into_par_iter().zip(checked).map(write).collect();
    interrupt.check()?;
    let manifest: String = written
        .iter()
        .filter_map(|(_, line)| line.as_deref())
        .collect();
    import.samples = written.into_iter().map(|(outcome, _)| outcome).collect();
    if !manifest.is_empty() {
        let path = output.join(MANIFEST);
        put(&path, manifest.as_bytes(), options.overwrite)?;
        import.manifest = Some(path);
    }
    Ok(import)
}

/// Converts a sample to the files that are written for it.
fn convert(item: &Item, kind: Kind) -> Result<Files> {
    let sample = (item.entry.read)()?;
    let encode = |mask| {
        written::mask_png(mask).map_err(|error| files::cannot_encode(Path::new(&item.name), &error))
    };
    let source = format!(
        "Imported from {} (`{}`). Coordinates are pixels from the top left corner.",
        kind.title(),
        item.entry.id
    );
    Ok(Files {
        drag: written::drag_file(&sample, &source)?,
        masks: sample
            .masks
            .iter()
            .map(|(name, mask)| Ok((name.clone(), encode(mask)?)))
            .collect::<Result<_>>()?,
        extension: extension_of(&sample),
        picture: sample.picture,
        choices: sample.choices,
    })
}

fn extension_of(sample: &Sample) -> String {
    match &sample.picture {
        PictureSource::Embedded(bytes) => extension(bytes).to_owned(),
        PictureSource::File(path) => path
            .extension()
            .and_then(|extension| extension.to_str())
            .map_or_else(|| "png".to_owned(), str::to_lowercase),
    }
}

impl Files {
    /// Plans the edit as `batch` does, with the default method, from files in a temporary folder.
    fn check(&self, item: &Item) -> Result<()> {
        let failed = |source| Error::File {
            path: std::env::temp_dir(),
            source,
        };
        let folder = tempfile::tempdir().map_err(failed)?;
        for (name, bytes) in &self.masks {
            fs::write(folder.path().join(name), bytes).map_err(failed)?;
        }
        let path = folder.path().join(DRAG);
        let refused = |error: Error| match error {
            Error::Instruction { mut faults, .. } => {
                for fault in &mut faults {
                    fault.message = fault
                        .message
                        .replace(&format!("{}/", folder.path().display()), "");
                }
                let reasons: Vec<String> = faults
                    .iter()
                    .map(|fault| match &fault.region {
                        Some(region) => format!("region `{region}`: {}", fault.message),
                        None => fault.message.clone(),
                    })
                    .collect();
                Error::Given {
                    path: item.entry.place.clone(),
                    kind: ErrorKind::ImportValue,
                    reason: reasons.join("; "),
                    hint: faults
                        .first()
                        .and_then(|fault| fault.hint.clone())
                        .unwrap_or_default(),
                }
            }
            error => error,
        };
        let drag = DragFile::read_from(self.drag.as_bytes(), &path).map_err(refused)?;
        check_prompts(&drag, &item.entry.place)?;
        // Decoded as a whole, since a truncated picture has a size too.
        let size = match &self.picture {
            PictureSource::File(picture) => picture::read(picture)?.picture.size(),
            PictureSource::Embedded(bytes) => {
                let path = folder.path().join("image");
                fs::write(&path, bytes).map_err(failed)?;
                let read = picture::read(&path).map_err(|error| at(error, &item.entry.place))?;
                read.picture.size()
            }
        };
        let request = Request {
            drag: &drag,
            above: &[],
            model: &ModelFacts::default(),
            amount: Amount::WHOLE,
            is_one_of_several: false,
        };
        request.plan(size).map_err(refused)?;
        Ok(())
    }

    /// Writes the files, the drag file last, and returns the sample's line of the manifest.
    fn write(&self, item: &Item, output: &Path, overwrite: bool) -> Result<String> {
        let folder = output.join(&item.name);
        let image = format!("image.{}", self.extension);
        match &self.picture {
            PictureSource::Embedded(bytes) => put(&folder.join(&image), bytes, overwrite)?,
            PictureSource::File(path) => {
                let bytes = fs::read(path).map_err(|source| Error::File {
                    path: path.clone(),
                    source,
                })?;
                put(&folder.join(&image), &bytes, overwrite)?;
            }
        }
        for (name, bytes) in &self.masks {
            put(&folder.join(name), bytes, overwrite)?;
        }
        put(&folder.join(DRAG), self.drag.as_bytes(), overwrite)?;
        let line = Line {
            id: &item.name,
            image: format!("{}/{image}", item.name),
            drag: format!("{}/{DRAG}", item.name),
            out: format!("{}.png", item.name),
            category: item.entry.category.as_deref(),
        };
        let line = serde_json::to_string(&line).map_err(|error| Error::Bug(error.to_string()))?;
        Ok(line + "\n")
    }
}

/// Returns an error of a picture inside another file, at that file.
fn at(error: Error, place: &Path) -> Error {
    match error {
        Error::Image {
            kind, reason, hint, ..
        } => Error::Image {
            path: place.to_path_buf(),
            kind,
            reason: format!("its picture {reason}"),
            hint,
        },
        error => error,
    }
}

/// Rejects prompts that no text encoder of Stable Diffusion reads: each word is at least one token. Shorter ones may still be too long for a
/// model, whose tokenizer is not known here.
fn check_prompts(drag: &DragFile, place: &Path) -> Result<()> {
    let prompts = std::iter::once(&drag.prompt).chain(&drag.edit_prompt);
    for prompt in prompts {
        let words = prompt.split_whitespace().count();
        if words > MAX_WORDS {
            return Err(Error::Given {
                path: place.to_path_buf(),
                kind: ErrorKind::InstructionPromptTooLong,
                reason: format!(
                    "the prompt has {words} words; text encoders read at most {MAX_WORDS}"
                ),
                hint: "shorten the prompt in the source; it may be empty".into(),
            });
        }
    }
    Ok(())
}

/// Rejects a folder of the output that is a link: what is written would end up elsewhere.
fn check_no_links(output: &Path, name: &str) -> Result<()> {
    let mut folder = output.to_path_buf();
    for part in name.split('/') {
        folder.push(part);
        if fs::symlink_metadata(&folder).is_ok_and(|found| found.is_symlink()) {
            return Err(Error::Output {
                path: folder,
                kind: ErrorKind::OutputIsLink,
                reason: "is a symbolic link, and would lead out of the output folder".into(),
                hint: "remove the link, or choose another folder with -o".into(),
            });
        }
    }
    Ok(())
}

/// Writes a file, unless it is there already with the same content, so that an interrupted import can be continued.
fn put(path: &Path, bytes: &[u8], overwrite: bool) -> Result<()> {
    let is_there = fs::symlink_metadata(path)
        .is_ok_and(|found| found.is_file() && found.len() == bytes.len() as u64)
        && fs::read(path).is_ok_and(|found| found == bytes);
    if is_there {
        return Ok(());
    }
    files::check_output(&[], path, overwrite)?;
    files::write_verified(path, bytes, overwrite, |_| Ok(()))
}

fn nothing(kind: Kind, path: &Path) -> Error {
    let hint = match crate::foreign::hint(path) {
        Some(hint) if crate::foreign::recognise(path) != Some(kind) => hint,
        _ => format!(
            "`dragnext import --list` shows what {} data looks like",
            kind.title()
        ),
    };
    Error::Given {
        path: PathBuf::from(path),
        kind: ErrorKind::ImportNothing,
        reason: format!("there is no sample of the kind `{kind}`"),
        hint,
    }
}
