//! The files of a model: compiled into the program, in a folder in diffusers layout, or in the cache of the hub.

use std::fmt::Debug;
use std::fs::File;
use std::io::{self, Cursor, Read, Seek};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::layout::{STABLE_DIFFUSION, VAE_ALONE, long_name};
use super::original::{Checkpoint, Naming};
use crate::digest::hexadecimal;
use crate::error::{Error, ErrorKind, Result};
use crate::files::Stamp;
use crate::files::content::{self, Content};
use crate::hub::{self, Environment, HubId, Snapshot, integrity, is_pickle};

/// Embeds files of the demo model.
macro_rules! embedded {
    ($($name:literal),+ $(,)?) => { &[$(($name, include_bytes!(concat!("../../assets/demo/", $name)))),+] };
}

/// The folder of the VAE in a model.
const VAE_FOLDER: &str = "vae/";

/// The files of the demo model, as paths and contents.
const DEMO: &[(&str, &[u8])] = embedded![
    "dragnext.json",
    "scheduler/scheduler_config.json",
    "text_encoder/config.json",
    "text_encoder/model.safetensors",
    "tokenizer/merges.txt",
    "tokenizer/tokenizer_config.json",
    "tokenizer/vocab.json",
    "unet/config.json",
    "unet/diffusion_pytorch_model.safetensors",
    "vae/config.json",
    "vae/diffusion_pytorch_model.safetensors",
];

/// Returns the error about a pickle.
pub(super) fn pickle_error(location: &str, hint: &str) -> Error {
    Error::Weights {
        path: location.into(),
        kind: ErrorKind::WeightsFormat,
        reason: "pickles can run code when they are read; only safetensors are loaded".into(),
        hint: hint.into(),
    }
}

fn open_file(path: &Path) -> Result<Box<dyn ReadSeek>> {
    match File::open(path) {
        Ok(file) => Ok(Box::new(file)),
        Err(source) => Err(Error::File {
            path: path.to_path_buf(),
            source,
        }),
    }
}

/// Returns the error about a file that is something else than its name says.
pub(super) fn not_the_file(location: String, found: Content) -> Error {
    let hint = match found {
        Content::LfsPointer => {
            "`git lfs install` and `git lfs pull` in its folder get the file itself"
        }
        Content::WebPage => {
            "download it again: the address gave a page, as one that needs a login or has moved does"
        }
        Content::Pickle => {
            "pickles can run code when they are read; get a safetensors file, or convert it with `save_pretrained(.., safe_serialization=True)`"
        }
        Content::Zeros | Content::Json | Content::Picture(_) => "download it again",
    };
    Error::Weights {
        path: location,
        kind: ErrorKind::WeightsFormat,
        reason: format!("is {}", found.phrase()),
        hint: hint.into(),
    }
}

/// A readable file with random access.
pub trait ReadSeek: Read + Seek + Send + Debug {
    /// Returns the stamp of a file on disk; `None` for embedded files, which cannot change.
    fn stamp(&self) -> Option<Stamp>;
}

impl ReadSeek for File {
    fn stamp(&self) -> Option<Stamp> {
        Stamp::of(&self.metadata().ok()?)
    }
}

impl ReadSeek for Cursor<&'static [u8]> {
    fn stamp(&self) -> Option<Stamp> {
        None
    }
}

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
    /// Parses `demo`, a folder, or the name of a model of the hub that is in the cache. Does not fetch; [`hub::fetch`] does.
    ///
    /// # Errors
    /// [`Error::Hub`] when the cache lacks files of the model, [`Error::Weights`] for any other name.
    pub fn parse(name: &str) -> Result<Self> {
        if name == "demo" {
            return Ok(Self::Demo);
        }
        match Self::hub_id(name) {
            Some(id) => hub::find(&Environment::read(), &id, &STABLE_DIFFUSION).map(Self::Hub),
            None => Self::from_folder(Path::new(name)),
        }
    }

    /// Returns the files in the folder at `path`, or of the checkpoint that `path` is.
    ///
    /// # Errors
    /// [`Error::Weights`] when `path` is neither.
    pub fn from_folder(path: &Path) -> Result<Self> {
        let location = path.display().to_string();
        let reject = |kind, reason: &str, hint: &str| {
            Err(Error::Weights {
                path: location.clone(),
                kind,
                reason: reason.into(),
                hint: hint.into(),
            })
        };
        if path.is_dir() {
            return Ok(Self::Folder(path.to_path_buf()));
        }
        if is_pickle(path) {
            return Err(pickle_error(
                &location,
                "convert it to a diffusers folder with safetensors files, for example with `save_pretrained(.., safe_serialization=True)`",
            ));
        }
        if path.is_file() {
            return Checkpoint::open(path).map(Self::File);
        }
        reject(
            ErrorKind::WeightsMissing,
            "no such folder",
            "give `demo` (built in), a checkpoint in one safetensors file, a folder with unet/, vae/, text_encoder/, tokenizer/ and scheduler/, or a model of the hub as `owner/name`",
        )
    }

    /// Returns the files of a VAE: `demo`, a folder of a model or of a VAE alone, or the name of a VAE of the hub that is in the cache. Does not
    /// fetch.
    ///
    /// # Errors
    /// As [`Source::parse`].
    pub fn of_vae(path: &Path) -> Result<Self> {
        if path == Path::new("demo") {
            return Ok(Self::Demo);
        }
        if let Some(id) = Self::vae_id(path) {
            let found = hub::find(&Environment::read(), &id, &VAE_ALONE)?;
            return Ok(Self::Alone(Box::new(Self::Hub(found)), VAE_FOLDER));
        }
        if path.is_file() && !is_pickle(path) {
            let beside = path
                .parent()
                .filter(|folder| folder.join("config.json").is_file());
            let is_published = path
                .file_name()
                .is_some_and(|name| VAE_ALONE.all().any(|file| name == file));
            return match beside.filter(|_| is_published) {
                Some(folder) => Ok(Self::Alone(
                    Box::new(Self::Folder(folder.into())),
                    VAE_FOLDER,
                )),
                None => Checkpoint::open_vae(path).map(Self::File),
            };
        }
        let folder = Self::from_folder(path)?;
        let has = |name: &str| path.join(name).is_file();
        Ok(if has("config.json") && !has("vae/config.json") {
            Self::Alone(Box::new(folder), VAE_FOLDER)
        } else {
            folder
        })
    }

    /// Parses the name of a VAE of the hub; `None` for `demo`, existing paths, and names that the hub cannot have.
    pub fn vae_id(path: &Path) -> Option<HubId> {
        let name = path.to_str()?;
        (name != "demo" && !path.exists() && !is_pickle(path))
            .then(|| VAE_ALONE.id(name))
            .flatten()
    }

    /// Parses the name of a model of the hub; `None` for `demo`, existing paths, and names that the hub cannot have.
    pub fn hub_id(name: &str) -> Option<HubId> {
        let path = Path::new(name);
        (!path.exists() && !is_pickle(path))
            .then(|| STABLE_DIFFUSION.id(long_name(name)))
            .flatten()
    }

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

    /// Returns the files in the folder and in its direct subfolders; none for the demo model.
    pub fn files(&self) -> Vec<PathBuf> {
        if let Self::File(file) = self {
            return vec![file.path().to_path_buf()];
        }
        let Some(root) = self.folder() else {
            return Vec::new();
        };
        let entries = |folder: &Path| -> Vec<PathBuf> {
            std::fs::read_dir(folder)
                .into_iter()
                .flatten()
                .filter_map(|entry| Some(entry.ok()?.path()))
                .collect()
        };
        let (folders, mut files): (Vec<PathBuf>, Vec<PathBuf>) =
            entries(root).into_iter().partition(|path| path.is_dir());
        files.extend(
            folders
                .iter()
                .flat_map(|folder| entries(folder))
                .filter(|path| path.is_file()),
        );
        files
    }

    /// Returns a hash of the names, lengths and modification times of all files, or of the contents of the demo model. `None` where the
    /// system keeps no modification times.
    pub fn fingerprint(&self) -> Option<String> {
        let mut hasher = Sha256::new();
        if let Self::File(file) = self {
            let stamp = Stamp::of(&std::fs::metadata(file.path()).ok()?)?;
            hasher.update(file.path().as_os_str().as_encoded_bytes());
            hasher.update(serde_json::to_vec(&stamp).ok()?);
            return Some(hexadecimal(&hasher.finalize()));
        }
        let Some(root) = self.folder() else {
            for (_, content) in DEMO {
                hasher.update(content);
            }
            return Some(hexadecimal(&hasher.finalize()));
        };
        let mut files = self.files();
        files.sort();
        for file in files {
            let stamp = Stamp::of(&std::fs::metadata(&file).ok()?)?;
            hasher.update(
                file.strip_prefix(root)
                    .unwrap_or(&file)
                    .as_os_str()
                    .as_encoded_bytes(),
            );
            hasher.update(serde_json::to_vec(&stamp).ok()?);
        }
        Some(hexadecimal(&hasher.finalize()))
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
            None => {
                let content = DEMO
                    .iter()
                    .find(|(file, _)| *file == name)
                    .map(|(_, content)| *content);
                Ok(content.map(|content| Box::new(Cursor::new(content)) as Box<dyn ReadSeek>))
            }
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
            found @ (Content::LfsPointer | Content::WebPage | Content::Pickle | Content::Zeros),
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

    /// Opens the first of the files at `paths` (at least one) that the model has. Returns its path and content.
    ///
    /// # Errors
    /// [`Error::Weights`] when it has none of them, which names a pickle in the same folder. As [`Source::open`].
    pub fn open_first(&self, paths: &[&'static str]) -> Result<(&'static str, Box<dyn ReadSeek>)> {
        for path in paths {
            if let Some(file) = self.open(path)? {
                return Ok((path, file));
            }
        }
        let first = paths[0];
        let split = |path: &'static str| path.rsplit_once('/').unwrap_or(("", path));
        let folder = match self {
            Self::Alone(..) => "",
            _ => split(first).0,
        };
        if let Some(pickle) = self.pickle_in(folder) {
            return Err(pickle_error(
                &pickle,
                &format!("download {first} or convert the weights to it"),
            ));
        }
        let others: Vec<&str> = paths[1..].iter().map(|path| split(path).1).collect();
        let others = if others.is_empty() {
            String::new()
        } else {
            format!(" (nor {})", others.join(", "))
        };
        Err(self.missing(first, &others))
    }

    fn pickle_in(&self, folder: &str) -> Option<String> {
        let files = std::fs::read_dir(self.folder()?.join(folder)).ok()?;
        let paths = files.filter_map(|entry| Some(entry.ok()?.path()));
        let pickle = paths.filter(|path| is_pickle(path)).min()?;
        Some(pickle.display().to_string())
    }

    /// Returns the error about a file that the model lacks; `others` names files that could take its place.
    pub(super) fn missing(&self, name: &str, others: &str) -> Error {
        Error::Weights {
            path: self.location(name),
            kind: ErrorKind::WeightsMissing,
            reason: format!("no such file{others}"),
            hint: "a model is a folder in diffusers layout: unet/, vae/, text_encoder/, tokenizer/ and scheduler/".into(),
        }
    }
}
