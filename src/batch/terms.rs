//! What holds for all items of a batch: flags, the model's defaults, and the drag file that is for all. Reads, plans and prepares one of
//! them.

use std::borrow::Cow;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::list::Item;
use crate::digest::sha256;
use crate::drag_file::DragFile;
use crate::edit::{self, Prepared, Provenance};
use crate::error::{Error, ErrorKind, Result};
use crate::files;
use crate::geometry::Size;
use crate::model::Model;
use crate::picture;
use crate::plan::{Choice, ModelFacts, Plan, Request, Settings};
use crate::report::Instruction;

/// What holds for all items.
#[derive(Debug)]
pub struct Terms {
    /// Method and settings of the command line and the environment.
    pub flags: Choice,
    /// What planning knows of the model.
    pub model: ModelFacts,
    /// The drag file for all, and its path.
    pub drag: Option<(DragFile, PathBuf)>,
    /// Whether the original is kept outside the editable area.
    pub keeps_outside: bool,
    /// Folders that masks must not leave; none when inputs may lie anywhere.
    pub roots: Vec<PathBuf>,
    /// Files of the model, which must not be written to.
    pub model_files: Vec<PathBuf>,
}

impl Terms {
    /// The terms with a model, which may not be on this machine yet.
    ///
    /// # Errors
    /// As [`ModelFacts::of`].
    pub fn new(
        flags: Choice,
        model: Option<&Model>,
        drag: Option<(DragFile, PathBuf)>,
    ) -> Result<Self> {
        Ok(Self {
            flags,
            model: ModelFacts::of_present(model)?,
            drag,
            keeps_outside: true,
            roots: Vec::new(),
            model_files: model.map(Model::files).unwrap_or_default(),
        })
    }

    /// Is this what a record says that an item was made from, or, where something of it is written otherwise, the same job? No pixel is
    /// decoded, and nothing is planned when it is the first.
    ///
    /// # Errors
    /// Whatever would fail the item before its network.
    pub fn is_job(
        &self,
        item: &Item,
        job: &str,
        inputs: Option<&str>,
        means: Provenance,
    ) -> Result<bool> {
        let (drag, path) = self.instruction(item)?;
        let bytes = fs::read(&item.image).map_err(|source| Error::File {
            path: item.image.clone(),
            source,
        })?;
        if inputs
            == Some(
                self.inputs(item, &drag, path, &sha256(&bytes), means)?
                    .as_str(),
            )
        {
            return Ok(true);
        }
        let (size, image) =
            picture::identify(&item.image).map_err(|error| gone(&item.image, error))?;
        let plan = self.plan(item, &drag, path, size)?;
        Ok(edit::job_hash(&drag, &image, &plan, self.keeps_outside, means) == job)
    }

    /// Hash of everything that a job is made from: the bytes of picture and masks, the instruction, settings and means.
    fn inputs(
        &self,
        item: &Item,
        drag: &DragFile,
        path: &Path,
        image: &str,
        means: Provenance,
    ) -> Result<String> {
        let settings = self.settings(item, drag)?;
        let instruction = Instruction::from(drag);
        let hash = |mask: PathBuf| {
            fs::read(&mask)
                .map(|bytes| sha256(&bytes))
                .map_err(|source| Error::File { path: mask, source })
        };
        let masks = drag
            .mask_paths(path)
            .map(hash)
            .collect::<Result<Vec<String>>>()?;
        let from = (
            image,
            instruction,
            masks,
            settings,
            self.model.native_size,
            self.keeps_outside,
        );
        let made = (env!("CARGO_PKG_VERSION"), means.weights, means.numerics);
        let json =
            serde_json::to_vec(&(from, made)).map_err(|error| Error::Bug(error.to_string()))?;
        Ok(sha256(&json))
    }

    /// The plan of an item, from its picture's header.
    ///
    /// # Errors
    /// As [`Terms::is_job`].
    pub fn draft(&self, item: &Item) -> Result<Plan> {
        let (drag, path) = self.instruction(item)?;
        let size = picture::size(&item.image).map_err(|error| gone(&item.image, error))?;
        self.plan(item, &drag, path, size)
    }

    /// Reads all that an item needs beside the weights; with the hash of what its job is made from.
    ///
    /// # Errors
    /// Whatever is wrong with its files, with the plan or with where it goes to; `item.gone` when a file is not there any more.
    pub fn prepare(&self, item: &Item, means: Provenance) -> Result<(Prepared, String)> {
        if let Some(fault) = &item.fault {
            return Err(fault.error());
        }
        let (drag, path) = self.instruction(item)?;
        let original = picture::read(&item.image).map_err(|error| gone(&item.image, error))?;
        let plan = self.plan(item, &drag, path, original.picture.size())?;
        let masks = drag.mask_paths(path);
        let inputs = [item.image.clone(), path.to_path_buf()]
            .into_iter()
            .chain(masks)
            .chain(self.model_files.iter().cloned());
        files::check_output(&inputs.collect::<Vec<_>>(), &item.out, true)?;
        let from = self.inputs(item, &drag, path, &original.sha256, means)?;
        Ok((
            Prepared::new(drag.into_owned(), original, plan, self.keeps_outside, None),
            from,
        ))
    }

    /// Where an item's drag file is.
    ///
    /// # Panics
    /// When it has none, which the list's check rules out.
    pub fn drag_path<'a>(&'a self, item: &'a Item) -> &'a Path {
        let common = self.drag.as_ref().map(|(_, path)| path);
        item.drag
            .as_ref()
            .or(common)
            .expect("an item without a drag file is at fault")
    }

    fn instruction<'a>(&'a self, item: &'a Item) -> Result<(Cow<'a, DragFile>, &'a Path)> {
        if let (None, Some((drag, path))) = (&item.drag, &self.drag) {
            return Ok((Cow::Borrowed(drag), path));
        }
        let path = self.drag_path(item);
        Ok((
            Cow::Owned(DragFile::read(path).map_err(|error| gone(path, error))?),
            path,
        ))
    }

    fn plan(&self, item: &Item, drag: &DragFile, path: &Path, size: Size) -> Result<Plan> {
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
        }
    }

    /// A drag file may come from anybody; what it names is looked at inside the folders that were given.
    fn check_inside(&self, mask: &Path) -> Result<()> {
        let Ok(real) = fs::canonicalize(mask) else {
            return Ok(());
        }; // planning will say that it is missing
        let is_inside =
            |root: &PathBuf| fs::canonicalize(root).is_ok_and(|root| real.starts_with(root));
        if self.roots.is_empty() || self.roots.iter().any(is_inside) {
            return Ok(());
        }
        Err(Error::Batch {
            kind: ErrorKind::ManifestPathEscapes,
            reason: format!(
                "{}: the mask leads out of the folder of the list",
                mask.display()
            ),
            hint: "--allow-outside reads inputs from anywhere".into(),
        })
    }
}

/// The list was checked: a file that is not there now was there then.
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
    let reason = format!(
        "{}: was there when the run began, and is gone",
        path.display()
    );
    Error::Batch {
        kind: ErrorKind::ItemGone,
        reason,
        hint: "the list of items is fixed at the start".into(),
    }
}
