//! Where a model's files come from: the binary itself, a folder in diffusers layout, or the cache of the hub.

use std::fmt::Debug;
use std::fs::File;
use std::io::{self, Cursor, Read, Seek};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::layout::STABLE_DIFFUSION;
use crate::digest::hexadecimal;
use crate::error::{Error, ErrorKind, Result};
use crate::files::Stamp;
use crate::hub::{self, Environment, HubId, Snapshot, integrity, is_pickle};

/// The files of the model that is compiled in.
macro_rules! embedded {
    ($($name:literal),+ $(,)?) => { &[$(($name, include_bytes!(concat!("../../assets/demo/", $name)))),+] };
}

/// (path inside the model's folder, content).
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

/// The error about such a file.
pub(super) fn refuse_pickle(place: &str, hint: &str) -> Error {
    Error::Weights {
        path: place.into(),
        kind: ErrorKind::WeightsFormat,
        reason: "this is a pickle, which can run code when it is read; only safetensors are loaded"
            .into(),
        hint: hint.into(),
    }
}

/// Something that can be read at any place.
pub trait ReadSeek: Read + Seek + Send + Debug {
    /// Length and last change, of what can change.
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

/// Where a model's files come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The small model inside the binary.
    Demo,
    /// A folder in diffusers layout.
    Folder(PathBuf),
    /// A model of the hub, in the cache.
    Hub(Snapshot),
}

impl Source {
    /// `demo`, a folder, or the name of a model of the hub that is in the cache. Nothing is fetched; [`hub::fetch`] does that.
    ///
    /// # Errors
    /// [`Error::Hub`] when the cache does not have the model, [`Error::Weights`] for anything else, with the reason.
    pub fn parse(name: &str) -> Result<Self> {
        if name == "demo" {
            return Ok(Self::Demo);
        }
        match Self::hub_id(name) {
            Some(id) => hub::find(&Environment::read(), &id, &STABLE_DIFFUSION).map(Self::Hub),
            None => Self::parse_path(name),
        }
    }

    /// A folder of the disk.
    ///
    /// # Errors
    /// [`Error::Weights`] for anything else, with the reason.
    pub fn parse_path(name: &str) -> Result<Self> {
        let path = PathBuf::from(name);
        let refuse = |kind, reason: &str, hint: &str| {
            Err(Error::Weights {
                path: name.into(),
                kind,
                reason: reason.into(),
                hint: hint.into(),
            })
        };
        if path.is_dir() {
            return Ok(Self::Folder(path));
        }
        if is_pickle(&path) {
            return Err(refuse_pickle(
                name,
                "convert it to a diffusers folder with safetensors files, for example with `save_pretrained(.., safe_serialization=True)`",
            ));
        }
        if path.is_file() {
            return refuse(
                ErrorKind::WeightsFormat,
                "a model is a folder in diffusers layout, not a single file",
                "give the folder that holds unet/, vae/, text_encoder/, tokenizer/ and scheduler/",
            );
        }
        refuse(
            ErrorKind::WeightsMissing,
            "no such folder",
            "give `demo` (the model inside the program), a folder that holds unet/, vae/, text_encoder/, tokenizer/ and scheduler/, or a model of the hub as `owner/name`",
        )
    }

    /// What a model's name means on the hub; `None` where it is `demo`, something on the disk, or no name of the hub.
    pub fn hub_id(name: &str) -> Option<HubId> {
        let path = Path::new(name);
        (!path.exists() && !is_pickle(path))
            .then(|| STABLE_DIFFUSION.id(name))
            .flatten()
    }

    /// The folder that the files lie in; none for what is compiled in.
    pub fn folder(&self) -> Option<&Path> {
        match self {
            Self::Demo => None,
            Self::Folder(folder) => Some(folder),
            Self::Hub(snapshot) => Some(&snapshot.folder),
        }
    }

    /// The model's name for records.
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
        }
    }

    /// How messages name a file of the model.
    pub fn place(&self, name: &str) -> String {
        match self.folder() {
            None => format!("demo:{name}"),
            Some(folder) => folder.join(name).display().to_string(),
        }
    }

    /// The files of the folder and of the folders in it; none for what is compiled in.
    pub fn files(&self) -> Vec<PathBuf> {
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

    /// What tells the model's files from others without reading them: names, lengths and times of last change, and the bytes of what is
    /// compiled in. `None` where the system does not tell.
    pub fn stamp(&self) -> Option<String> {
        let mut hasher = Sha256::new();
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

    /// Opens a file, if the model has it. A file of the hub is compared with what was fetched.
    ///
    /// # Errors
    /// [`Error::File`] when it is there but cannot be opened, [`Error::Hub`] when it is not what was fetched.
    pub fn open(&self, name: &str) -> Result<Option<Box<dyn ReadSeek>>> {
        if let Self::Hub(snapshot) = self {
            integrity::check(snapshot, name)?;
        }
        self.find(name)
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

    /// The text of a small file, if the model has it.
    ///
    /// # Errors
    /// [`Error::File`] when it cannot be read, [`Error::Weights`] when it is not text or larger than 64 MiB.
    pub fn text(&self, name: &str) -> Result<Option<String>> {
        const LIMIT: u64 = 64 << 20;
        let Some(file) = self.open(name)? else {
            return Ok(None);
        };
        let mut bytes = Vec::new();
        file.take(LIMIT + 1)
            .read_to_end(&mut bytes)
            .map_err(|source| Error::File {
                path: self.place(name).into(),
                source,
            })?;
        let refuse = |reason: &str| Error::Weights {
            path: self.place(name),
            kind: ErrorKind::WeightsDamaged,
            reason: reason.into(),
            hint: "get the model's files again".into(),
        };
        if bytes.len() as u64 > LIMIT {
            return Err(refuse("larger than 64 MiB, which no file of this kind is"));
        }
        String::from_utf8(bytes)
            .map(Some)
            .map_err(|_| refuse("not UTF-8 text"))
    }

    /// The text of a file that the model must have.
    ///
    /// # Errors
    /// As [`Source::text`]; [`Error::Weights`] when the file is missing.
    pub fn required_text(&self, name: &str) -> Result<String> {
        self.text(name)?.ok_or_else(|| self.missing(name, ""))
    }

    /// Opens the first of the files at `paths` (at least one) that the model has. Returns its path and its content.
    ///
    /// # Errors
    /// [`Error::Weights`] when it has none of them; a pickle found instead is named. As [`Source::open`].
    pub fn open_first(&self, paths: &[&'static str]) -> Result<(&'static str, Box<dyn ReadSeek>)> {
        for path in paths {
            if let Some(file) = self.open(path)? {
                return Ok((path, file));
            }
        }
        let first = paths[0];
        let split = |path: &'static str| path.rsplit_once('/').unwrap_or(("", path));
        if let Some(pickle) = self.pickle_in(split(first).0) {
            return Err(refuse_pickle(&pickle, &format!("get or make {first}")));
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

    fn missing(&self, name: &str, others: &str) -> Error {
        Error::Weights {
            path: self.place(name),
            kind: ErrorKind::WeightsMissing,
            reason: format!("no such file{others}"),
            hint: "a model is a folder in diffusers layout: unet/, vae/, text_encoder/, tokenizer/ and scheduler/".into(),
        }
    }
}
