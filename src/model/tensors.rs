//! The tensors of one component: in one safetensors file, in several shards with an index, or in a checkpoint with other names.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use super::original::{Naming, third_of};
use super::safetensors::SafetensorsFile;
use super::source::Source;
use crate::digest::hexadecimal;
use crate::error::{Error, ErrorKind, Result};
use crate::hub::shards::{index_of, shards_of};

/// The open files of a component. Names are those of diffusers' layout.
#[derive(Debug)]
pub(super) struct Tensors {
    files: Vec<SafetensorsFile>,
    /// The file of each tensor, by its stored name.
    places: BTreeMap<String, usize>,
    naming: Naming,
    location: String,
}

impl Tensors {
    /// Opens the first of the files at `paths` that the model has, or the shards of the first index.
    ///
    /// # Errors
    /// [`Error::Weights`] when there is none, a shard is missing, or a header is damaged.
    pub(super) fn open(source: &Source, paths: &[&'static str]) -> Result<Self> {
        if let Some(tensors) = Self::shards(source, paths)? {
            return Ok(tensors);
        }
        let (path, file) = source.open_first(paths)?;
        let location = source.location(path);
        let file = SafetensorsFile::open(location.clone(), file)?;
        let naming = source.naming(path);
        let names = file.shapes().into_keys();
        Ok(Self {
            places: names.map(|name| (name, 0)).collect(),
            files: vec![file],
            naming,
            location,
        })
    }

    /// Opens the shards of the first index, where the model has no whole file; `None` where it has no index.
    fn shards(source: &Source, paths: &[&'static str]) -> Result<Option<Self>> {
        if paths.iter().any(|path| source.has(path)) {
            return Ok(None);
        }
        for path in paths {
            let name = index_of(path);
            let Some(text) = source.text(&name)? else {
                continue;
            };
            let damaged = |reason: String| Error::Weights {
                path: source.location(&name),
                kind: ErrorKind::WeightsDamaged,
                reason,
                hint: "download the model again".into(),
            };
            let shards = shards_of(&name, &text).map_err(damaged)?;
            let (mut files, mut places) = (Vec::new(), BTreeMap::new());
            for shard in shards {
                let Some(file) = source.open(&shard)? else {
                    return Err(source.missing(&shard, ", which the index of the weights names"));
                };
                let file = SafetensorsFile::open(source.location(&shard), file)?;
                places.extend(file.shapes().into_keys().map(|name| (name, files.len())));
                files.push(file);
            }
            return Ok(Some(Self {
                files,
                places,
                naming: Naming::Same,
                location: source.location(&name),
            }));
        }
        Ok(None)
    }

    /// Returns the stored names and the shapes of all tensors of the component.
    pub(super) fn shapes(&self) -> BTreeMap<String, Vec<usize>> {
        let all = self.files.iter().flat_map(SafetensorsFile::shapes);
        all.filter(|(name, _)| self.naming.owns(name))
            .flat_map(|(name, shape)| self.naming.parts(name, shape))
            .collect()
    }

    /// Returns the name under which a tensor is stored.
    pub(super) fn stored(&self, name: &str) -> String {
        self.naming.stored(name)
    }

    /// Reads a tensor by its stored name.
    ///
    /// # Errors
    /// As [`SafetensorsFile::read`].
    pub(super) fn read(&mut self, stored: &str) -> Result<Vec<f32>> {
        let third = third_of(stored);
        let tensor = third.map_or(stored, |(tensor, _)| tensor);
        let file = self.places.get(tensor).copied().unwrap_or(0);
        let mut values = self.files[file].read(tensor)?;
        if let Some((_, third)) = third {
            let length = values.len() / 3;
            values.truncate((third + 1) * length);
            values.drain(..third * length);
        }
        Ok(values)
    }

    /// As [`SafetensorsFile::check_unchanged`], for each file.
    ///
    /// # Errors
    /// As there.
    pub(super) fn check_unchanged(&self) -> Result<()> {
        self.files
            .iter()
            .try_for_each(SafetensorsFile::check_unchanged)
    }

    /// Returns the file, or the index of the shards, for messages.
    pub(super) fn location(&self) -> &str {
        &self.location
    }

    /// Returns the SHA-256 of the headers and of all tensors that were read; that of a single file is [`SafetensorsFile::digest`].
    pub(super) fn digest(&self) -> String {
        match &*self.files {
            [file] => file.digest(),
            files => {
                let mut all = Sha256::new();
                for file in files {
                    all.update(file.digest());
                }
                hexadecimal(&all.finalize())
            }
        }
    }
}
