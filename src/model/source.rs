//! The files of a model: compiled into the program, in a folder in diffusers layout, or in the cache of the hub.

mod demo;
mod listing;
mod missing;
mod name;
mod reader;
mod refusal;
mod weights_file;

use std::fs::File;
use std::io::{self, Cursor, Read};
use std::path::{Path, PathBuf};

use super::original::{Checkpoint, Naming};
use crate::error::{Error, ErrorKind, Result};
use crate::files::content::{self, Content};
use crate::hub::{Snapshot, integrity};
pub use reader::ReadSeek;
use reader::open_file;
pub(super) use refusal::{not_the_file, pickle_error};

/// The folder of the VAE in a model.
const VAE_FOLDER: &str = "vae/";

/// The files of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The demo model inside the program.
    Demo,
    /// A folder in diffusers layout.
    Folder(PathBuf),
    /// A model of the hub in the cache.
    Hub(Snapshot),
    /// A component that is published alone, with its files at the root and not in a folder such as `vae/`.
    Alone(Box<Self>, &'static str),
    /// All components in one file, in the original layout.
    File(Checkpoint),
}

impl Source {
    /// Returns the folder of the files; `None` for the demo model and for a single file.
    pub fn folder(&self) -> Option<&Path> {
        match self {
            Self::Demo | Self::File(_) => None,
            Self::Folder(folder) => Some(folder),
            Self::Hub(snapshot) => Some(&snapshot.folder),
            Self::Alone(files, _) => files.folder(),
        }
    }

    /// Returns the model's name for records.
    pub fn name(&self) -> String {
        match self {
            Self::Demo => "demo".into(),
            Self::Folder(folder) => {
                let full = folder.canonicalize().unwrap_or_else(|_| folder.clone());
                full.file_name()
                    .unwrap_or(full.as_os_str())
                    .to_string_lossy()
                    .into_owned()
            }
            Self::Hub(snapshot) => snapshot.name(),
            Self::Alone(files, _) => files.name(),
            Self::File(file) => file
                .path()
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned(),
        }
    }

    /// Returns the path of a file for messages; `demo:PATH` for the demo model.
    pub fn location(&self, name: &str) -> String {
        if let Self::File(file) = self {
            return file.path().display().to_string();
        }
        if let Self::Alone(files, folder) = self {
            return files.location(name.strip_prefix(folder).unwrap_or(name));
        }
        match self.folder() {
            None => format!("demo:{name}"),
            Some(folder) => folder.join(name).display().to_string(),
        }
    }

    /// Opens a file; `None` if the model lacks it. A file of the hub is verified first.
    ///
    /// # Errors
    /// [`Error::File`] when it exists but cannot be opened, [`Error::Hub`] when it is damaged.
    pub fn open(&self, name: &str) -> Result<Option<Box<dyn ReadSeek>>> {
        match self {
            Self::Hub(snapshot) => integrity::check(snapshot, name)?,
            Self::Alone(files, folder) => {
                return files.open(name.strip_prefix(folder).unwrap_or(name));
            }
            Self::File(file) => {
                let is_weights = name.ends_with(".safetensors");
                return is_weights.then(|| open_file(file.path())).transpose();
            }
            Self::Demo | Self::Folder(_) => {}
        }
        self.find(name)
    }

    /// Returns whether the model has a file, which may be damaged.
    pub(super) fn has(&self, name: &str) -> bool {
        match self {
            Self::Alone(files, folder) => files.has(name.strip_prefix(folder).unwrap_or(name)),
            Self::File(_) => name.ends_with(".safetensors"),
            Self::Demo | Self::Folder(_) | Self::Hub(_) => {
                self.find(name).is_ok_and(|found| found.is_some())
            }
        }
    }

    /// Returns how the tensors of the weights at a path are called.
    pub(super) fn naming(&self, path: &str) -> Naming {
        match self {
            Self::File(file) => file.naming(path.split('/').next().unwrap_or_default()),
            _ => Naming::Same,
        }
    }

    fn find(&self, name: &str) -> Result<Option<Box<dyn ReadSeek>>> {
        match self.folder() {
            None => Ok(demo::content(name)
                .map(|content| Box::new(Cursor::new(content)) as Box<dyn ReadSeek>)),
            Some(folder) => {
                let path = folder.join(name);
                match File::open(&path) {
                    Ok(file) => Ok(Some(Box::new(file))),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                    Err(source) => Err(Error::File { path, source }),
                }
            }
        }
    }

    /// Reads a small text file; `None` if the model lacks it.
    ///
    /// # Errors
    /// [`Error::File`] when it cannot be read, [`Error::Weights`] when it is not text or larger than 64 MiB.
    pub fn text(&self, name: &str) -> Result<Option<String>> {
        const LIMIT: u64 = 64 << 20;
        if let Self::File(file) = self {
            return file.text(name);
        }
        let Some(file) = self.open(name)? else {
            return Ok(None);
        };
        let mut bytes = Vec::new();
        file.take(LIMIT + 1)
            .read_to_end(&mut bytes)
            .map_err(|source| Error::File {
                path: self.location(name).into(),
                source,
            })?;
        let reject = |reason: &str| Error::Weights {
            path: self.location(name),
            kind: ErrorKind::WeightsDamaged,
            reason: reason.into(),
            hint: "download the model again".into(),
        };
        if let Some(
            found @ (Content::LfsPointer
            | Content::WebPage
            | Content::Pickle
            | Content::Zip
            | Content::Zeros),
        ) = Content::of(&bytes)
        {
            return Err(not_the_file(self.location(name), found));
        }
        if bytes.len() as u64 > LIMIT {
            return Err(reject(
                "larger than 64 MiB, which is too large for this file",
            ));
        }
        match content::text(&bytes) {
            Ok(text) => Ok(Some(text.into_owned())),
            Err(offset) => Err(reject(&format!("not text: byte {offset} is wrong"))),
        }
    }

    /// Reads a text file that the model must have.
    ///
    /// # Errors
    /// As [`Source::text`]; [`Error::Weights`] when the file is missing.
    pub fn required_text(&self, name: &str) -> Result<String> {
        self.text(name)?.ok_or_else(|| self.missing(name, ""))
    }
}
