//! Resolves items into plans: combines what an item says with what holds for the whole batch.
//!
//! Settings are layered: command line and environment, the manifest's line, the drag file, the model's defaults. Nothing here needs weights.

use std::borrow::Cow;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::Item;
use crate::digest::sha256;
use crate::drag_file::DragFile;
use crate::edit::{self, Instruction, Prepared, Provenance};
use crate::error::{Error, ErrorKind, Result};
use crate::files;
use crate::geometry::Size;
use crate::model::Model;
use crate::picture;
use crate::plan::{Amount, Choice, ModelFacts, Plan, Request, Settings};
use crate::report::LeftOut;

/// What holds for all items of a batch.
#[derive(Debug)]
pub(crate) struct Resolver {
    /// Method and settings of the command line and the environment.
    pub flags: Choice,
    /// Whether each item is edited with several methods, so that a setting may be one of another.
    pub has_several_methods: bool,
    /// What planning knows of the model.
    pub model: ModelFacts,
    /// The drag file of the items that have none of their own, and its path.
    pub drag: Option<(DragFile, PathBuf)>,
    /// Whether results keep the original outside the editable area.
    pub keeps_outside: bool,
    /// Whether JPEGs with missing rows are edited.
    pub accepts_damaged: bool,
    /// What results leave out.
    pub left_out: LeftOut,
    /// Folders that masks must lie in; empty when inputs may lie anywhere.
    pub roots: Vec<PathBuf>,
    /// The model's files, which no output may replace.
    pub model_files: Vec<PathBuf>,
}

impl Resolver {
    /// Returns a resolver for a model, which may not be on this machine yet.
    ///
    /// # Errors
    /// As [`ModelFacts::of`].
    pub(crate) fn new(
        flags: Choice,
        model: Option<&Model>,
        drag: Option<(DragFile, PathBuf)>,
    ) -> Result<Self> {
        Ok(Self {
            flags,
            has_several_methods: false,
            model: ModelFacts::of_present(model)?,
            drag,
            keeps_outside: true,
            accepts_damaged: false,
            left_out: LeftOut::default(),
            roots: Vec::new(),
            model_files: model.map(Model::files).unwrap_or_default(),
        })
    }

    /// Returns whether an item still is the job that a record describes.
    ///
    /// `inputs`, the record's hash of what the job was made from, is compared first, because that needs no plan. If it differs, the item is
    /// planned and its job hash compared: the same job can be written in another way. No pixel is decoded.
    ///
    /// # Errors
    /// Whatever would make the item fail before the network.
    pub(crate) fn is_job(
        &self,
        item: &Item,
        job: &str,
        inputs: Option<&str>,
        provenance: Provenance,
    ) -> Result<bool> {
        let (drag, path) = self.instruction(item)?;
        let bytes = fs::read(&item.image).map_err(|source| Error::File {
            path: item.image.clone(),
            source,
        })?;
        let found = self.inputs(item, &drag, path, &sha256(&bytes), provenance)?;
        if inputs == Some(found.as_str()) {
            return Ok(true);
        }
        let (size, image) =
            picture::identify(&item.image).map_err(|error| gone(&item.image, error))?;
        let plan = self.resolve(item, &drag, path, size)?;
        Ok(edit::job_hash(&drag, &image, &plan, self.keeps_outside, provenance) == job)
    }

    /// Returns the plan of an item. Only the header of its picture is read.
    ///
    /// # Errors
    /// As [`Resolver::is_job`].
    pub(crate) fn plan(&self, item: &Item) -> Result<Plan> {
        check_fault(item)?;
        let (drag, path) = self.instruction(item)?;
        let size = picture::size(&item.image).map_err(|error| gone(&item.image, error))?;
        self.resolve(item, &drag, path, size)
    }

    /// Reads and plans an item. Also returns the SHA-256 of what its job is made from.
    ///
    /// # Errors
    /// The item's fault in the list; `item.gone` when a file was there when the list was checked and is not now; whatever is wrong with its
    /// files, its plan or its output.
    pub(crate) fn prepare(
        &self,
        item: &Item,
        provenance: Provenance,
    ) -> Result<(Prepared, String)> {
        check_fault(item)?;
        let (drag, path) = self.instruction(item)?;
        let original = if self.accepts_damaged {
            picture::read_damaged(&item.image)
        } else {
            picture::read(&item.image)
        };
        let mut original = original.map_err(|error| gone(&item.image, error))?;
        if self.left_out.stripped {
            original.strip_metadata();
        }
        let plan = self.resolve(item, &drag, path, original.picture.size())?;
        let files: Vec<PathBuf> = [item.image.clone(), path.to_path_buf()]
            .into_iter()
            .chain(drag.mask_paths(path))
            .chain(self.model_files.iter().cloned())
            .collect();
        files::check_output(&files, &item.out, true)?;
        let inputs = self.inputs(item, &drag, path, &original.sha256, provenance)?;
        Ok((
            Prepared::new(drag.into_owned(), original, plan, self.keeps_outside, None),
            inputs,
        ))
    }

    /// Returns whether the method of any item needs a CLIP. An item that cannot be read does not.
    pub(crate) fn needs_clip(&self, items: &[&Item]) -> bool {
        let needs = |item: &&Item| -> Result<bool> {
            let (drag, _) = self.instruction(item)?;
            Ok(self.settings(item, &drag)?.method.needs().clip)
        };
        items.par_iter().any(|item| needs(item).unwrap_or(false))
    }

    /// Returns the path of an item's drag file: its own, else the one for all items.
    pub(crate) fn drag_path<'a>(&'a self, item: &'a Item) -> Option<&'a Path> {
        let common = self.drag.as_ref().map(|(_, path)| path.as_path());
        item.drag.as_deref().or(common)
    }

    /// Resolves one item: its settings, its moving regions and its editable area, on a picture of `size`.
    fn resolve(&self, item: &Item, drag: &DragFile, path: &Path, size: Size) -> Result<Plan> {
        for mask in drag.mask_paths(path) {
            self.check_inside(&mask)?;
        }
        let above = self.above(item);
        self.request(&above, drag).plan(size)
    }

    fn settings(&self, item: &Item, drag: &DragFile) -> Result<Settings> {
        let above = self.above(item);
        self.request(&above, drag).settings()
    }

    /// Returns the choices that take precedence over the drag file's: the command line's, then the item's own.
    fn above<'a>(&'a self, item: &'a Item) -> Vec<&'a Choice> {
        std::iter::once(&self.flags)
            .chain(item.choice.as_deref())
            .collect()
    }

    fn request<'a>(&'a self, above: &'a [&Choice], drag: &'a DragFile) -> Request<'a> {
        Request {
            drag,
            above,
            model: &self.model,
            amount: Amount::WHOLE,
            is_one_of_several: self.has_several_methods,
        }
    }

    /// Returns an item's drag file and its path.
    fn instruction<'a>(&'a self, item: &'a Item) -> Result<(Cow<'a, DragFile>, &'a Path)> {
        match (&item.drag, &self.drag) {
            (Some(path), _) => {
                let drag = DragFile::read(path).map_err(|error| gone(path, error))?;
                Ok((Cow::Owned(drag), path))
            }
            (None, Some((drag, path))) => Ok((Cow::Borrowed(drag), path)),
            (None, None) => Err(Error::Batch {
                kind: ErrorKind::ManifestNoDrag,
                reason: format!("{}: no drag file is given", item.id),
                hint: "give one drag file for all items with --drag".into(),
            }),
        }
    }

    /// Returns the SHA-256 of everything a job is made from: the bytes of picture and masks, instruction, settings, weights and program.
    fn inputs(
        &self,
        item: &Item,
        drag: &DragFile,
        path: &Path,
        image: &str,
        provenance: Provenance,
    ) -> Result<String> {
        let settings = self.settings(item, drag)?;
        let instruction = Instruction::from(drag);
        let masks = drag
            .mask_paths(path)
            .map(|mask| match fs::read(&mask) {
                Ok(bytes) => Ok(sha256(&bytes)),
                Err(source) => Err(Error::File { path: mask, source }),
            })
            .collect::<Result<Vec<String>>>()?;
        let edit = (
            image,
            instruction,
            masks,
            &settings,
            self.model.native_size,
            self.keeps_outside,
        );
        let program = (
            env!("CARGO_PKG_VERSION"),
            [
                provenance.weights,
                provenance.clip_of(&settings.method).unwrap_or_default(),
            ]
            .concat(),
            provenance.numerics,
        );
        let json =
            serde_json::to_vec(&(edit, program)).map_err(|error| Error::Bug(error.to_string()))?;
        Ok(sha256(&json))
    }

    /// Rejects a mask outside the permitted folders: the author of a drag file is not trusted to choose which files are read.
    fn check_inside(&self, mask: &Path) -> Result<()> {
        let Ok(real) = fs::canonicalize(mask) else {
            return Ok(()); // planning reports a missing mask
        };
        let is_inside =
            |root: &PathBuf| fs::canonicalize(root).is_ok_and(|root| real.starts_with(root));
        if self.roots.is_empty() || self.roots.iter().any(is_inside) {
            return Ok(());
        }
        Err(Error::Batch {
            kind: ErrorKind::ManifestPathEscapes,
            reason: format!("{}: the mask is outside the list's folder", mask.display()),
            hint: "--allow-outside permits inputs anywhere".into(),
        })
    }
}

/// Returns the fault that the item has in the list.
fn check_fault(item: &Item) -> Result<()> {
    item.fault
        .as_ref()
        .map_or(Ok(()), |fault| Err(fault.error()))
}

/// Replaces the error of a missing file by `item.gone`: the file existed when the list was checked.
fn gone(path: &Path, error: Error) -> Error {
    let is_gone = match &error {
        Error::Image {
            kind: ErrorKind::ImageMissing,
            ..
        } => fs::symlink_metadata(path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound),
        Error::File { source, .. } => source.kind() == io::ErrorKind::NotFound,
        _ => false,
    };
    if !is_gone {
        return error;
    }
    let reason = format!("{}: was removed after the run started", path.display());
    Error::Batch {
        kind: ErrorKind::ItemGone,
        reason,
        hint: "the list of items is fixed at the start".into(),
    }
}
