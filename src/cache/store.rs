//! The cache of one run: looks up and writes entries in a folder, in memory, or in both.
//!
//! Several processes may share the folder. An entry appears completely or not at all, two writers of one entry write the same values,
//! and an entry that is removed during a read is either read completely or a miss. The modification time of an entry's file is the
//! time of its last use.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use super::entry::{self, EntryInfo, EntryName, NamedLength, NamedValues};
use super::folder;
use super::location::CacheLocation;
use crate::error::Error;
use crate::failpoint;
use crate::files;
use crate::warning::{Warning, WarningKind};

/// The cache of one run: a folder, the memory of this process, or both.
#[derive(Debug)]
pub struct Cache {
    location: Option<CacheLocation>,
    /// Entries of this run. `None` leaves them to the folder.
    memory: Option<BTreeMap<EntryName, Vec<Vec<f32>>>>,
    is_writable: bool,
    /// A write failed. Later writes are skipped, because they would fail too and one warning is enough.
    has_failed: bool,
    warnings: Vec<Warning>,
}

impl Cache {
    /// Returns the cache in a folder, which need not exist yet.
    pub fn new(location: CacheLocation) -> Self {
        Self {
            location: Some(location),
            memory: None,
            is_writable: true,
            has_failed: false,
            warnings: Vec::new(),
        }
    }

    /// Returns a cache that keeps what this run computes in memory, and nothing on the disk. It has no limit, so it serves a few edits of one
    /// picture.
    pub const fn in_memory() -> Self {
        Self {
            location: None,
            memory: Some(BTreeMap::new()),
            is_writable: true,
            has_failed: false,
            warnings: Vec::new(),
        }
    }

    /// Keeps what this run computes in memory too, as [`Cache::in_memory`] does.
    #[must_use]
    pub fn with_memory(self) -> Self {
        Self {
            memory: Some(self.memory.unwrap_or_default()),
            ..self
        }
    }

    /// Returns the cache that the environment of this process configures; `None` when it is disabled.
    pub fn from_environment() -> Option<Self> {
        let (location, warning) = CacheLocation::read();
        let location = location.filter(|location| location.limit > 0)?;
        Some(Self {
            warnings: warning.into_iter().collect(),
            ..Self::new(location)
        })
    }

    /// Enables or disables writing. Existing entries are used in both cases.
    pub fn set_writable(&mut self, is_writable: bool) {
        self.is_writable = is_writable;
    }

    /// Returns and clears the warnings since the last call.
    pub fn take_warnings(&mut self) -> Vec<Warning> {
        std::mem::take(&mut self.warnings)
    }

    /// Reads the tensors `wanted` of an entry; `None` on a miss. A damaged entry is a miss and gives a warning.
    pub(crate) fn get(
        &mut self,
        name: &EntryName,
        wanted: &[NamedLength],
    ) -> Option<Vec<Vec<f32>>> {
        if let Some(values) = self.memory.as_ref().and_then(|memory| memory.get(name)) {
            return Some(values.clone());
        }
        let path = self.location.as_ref()?.path(name);
        let bytes = match folder::read(&path, wanted) {
            Ok(bytes) => bytes,
            // If the folder is missing too, writing reports it.
            Err(error)
                if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) =>
            {
                return None;
            }
            Err(error) => {
                self.warn(
                    WarningKind::CacheRead,
                    format!("{}: cannot be read: {error}", path.display()),
                );
                return None;
            }
        };
        match entry::decode(name, &bytes, wanted) {
            Ok(values) => {
                // If the time cannot be set, the entry is evicted earlier.
                let _ = File::options()
                    .append(true)
                    .open(&path)
                    .and_then(|file| file.set_modified(SystemTime::now()));
                Some(values)
            }
            Err(reason) => {
                self.warn(
                    WarningKind::CacheDamaged,
                    format!(
                        "{}: ignored, because it is damaged: {reason}",
                        path.display()
                    ),
                );
                None
            }
        }
    }

    /// Writes an entry, replacing an existing one, and evicts others until the limit holds. Values that are not finite are not written.
    pub(crate) fn put(&mut self, name: &EntryName, info: &EntryInfo, tensors: &[NamedValues]) {
        let is_finite = tensors
            .iter()
            .all(|(_, values)| values.iter().all(|value| value.is_finite()));
        if !self.is_writable || !is_finite {
            return;
        }
        if let Some(memory) = &mut self.memory {
            let values = tensors.iter().map(|(_, values)| values.to_vec());
            memory.insert(name.clone(), values.collect());
        }
        let Some(location) = self.location.as_ref().filter(|_| !self.has_failed) else {
            return;
        };
        let info = EntryInfo {
            made: now(),
            ..info.clone()
        };
        let path = location.path(name);
        let written = entry::encode(name, &info, tensors).and_then(|bytes| {
            // An entry above the limit would be evicted at once.
            if bytes.len() as u64 > location.limit {
                return Ok(());
            }
            folder::make(&location.folder).map_err(|error| error.to_string())?;
            failpoint::kill("kill_in_cache");
            files::write_verified(&path, &bytes, true, |_| Ok(())).map_err(|error| match error {
                Error::Output { reason, .. } => reason,
                other => other.to_string(),
            })
        });
        match written {
            Ok(()) => folder::evict(location, &path),
            Err(reason) => {
                let folder = location.folder.display();
                let message = format!("{folder}: the cache cannot be written to: {reason}");
                self.has_failed = true;
                self.warn(WarningKind::CacheWrite, message);
            }
        }
    }

    fn warn(&mut self, kind: WarningKind, message: String) {
        self.warnings.push(Warning { kind, message });
    }
}

impl CacheLocation {
    fn path(&self, name: &EntryName) -> PathBuf {
        self.folder.join(name.file())
    }
}

/// Returns the seconds since 1970; 0 if the clock is before that.
fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Duration;

    use super::super::EntryKind;
    use super::*;

    fn name(input: usize) -> EntryName {
        EntryName::of(EntryKind::Lora, &input)
    }

    fn location(cache: &mut Cache) -> &mut CacheLocation {
        cache.location.as_mut().expect("the cache has a folder")
    }

    fn put(cache: &mut Cache, input: usize) {
        cache.put(
            &name(input),
            &EntryInfo::default(),
            &[("parameters", &[input as f32; 1000])],
        );
        assert_eq!(cache.take_warnings(), []);
    }

    fn has(cache: &mut Cache, input: usize) -> bool {
        let found = cache.get(&name(input), &[("parameters", 1000)]);
        assert_eq!(cache.take_warnings(), []);
        found.is_some_and(|found| found == [vec![input as f32; 1000]])
    }

    /// An entry takes 4 kB and its header, so two fit into 10 kB.
    #[test]
    fn the_least_recently_used_entry_is_evicted() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut cache = Cache::new(CacheLocation {
            folder: folder.path().join("a/b"),
            limit: 10_000,
        });
        put(&mut cache, 0);
        put(&mut cache, 1);
        // File systems have coarse clocks.
        for (input, age) in [(0, 100), (1, 50)] {
            let file = File::options()
                .append(true)
                .open(location(&mut cache).path(&name(input)))
                .expect("the entry exists");
            file.set_modified(SystemTime::now() - Duration::from_secs(age))
                .expect("set the time");
        }
        assert!(has(&mut cache, 0), "now it is the most recently used");
        fs::write(
            location(&mut cache).folder.join("lora-mine.safetensors"),
            [0; 9000],
        )
        .expect("write a foreign file");
        put(&mut cache, 2);
        assert_eq!(
            [0, 1, 2].map(|input| has(&mut cache, input)),
            [true, false, true]
        );
        assert!(
            location(&mut cache)
                .folder
                .join("lora-mine.safetensors")
                .exists()
        );
        cache.put(
            &name(3),
            &EntryInfo::default(),
            &[("parameters", &[3.0; 3000])],
        );
        assert_eq!(
            cache.get(&name(3), &[("parameters", 3000)]),
            None,
            "above the limit"
        );
        assert_eq!(
            [0, 1, 2].map(|input| has(&mut cache, input)),
            [true, false, true],
            "nothing is evicted for it"
        );
        location(&mut cache).limit = 5000;
        put(&mut cache, 4);
        assert_eq!(
            [0, 2, 4].map(|input| has(&mut cache, input)),
            [false, false, true],
            "the new limit holds at once"
        );
    }

    #[test]
    fn nan_is_not_written_and_neither_is_anything_when_disabled() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut cache = Cache::new(CacheLocation {
            folder: folder.path().into(),
            limit: 10_000,
        });
        cache.put(
            &name(0),
            &EntryInfo::default(),
            &[("parameters", &[1.0, f32::NAN])],
        );
        assert_eq!(cache.get(&name(0), &[("parameters", 2)]), None);
        cache.set_writable(false);
        put(&mut cache, 1);
        assert!(!has(&mut cache, 1));
    }

    #[test]
    fn entries_in_memory_outlast_those_of_a_folder() {
        let mut cache = Cache::in_memory();
        put(&mut cache, 0);
        assert!(has(&mut cache, 0) && !has(&mut cache, 1));
        let folder = tempfile::tempdir().expect("a temporary folder");
        let at = |limit| CacheLocation {
            folder: folder.path().into(),
            limit,
        };
        // An entry above the limit is not written.
        let mut cache = Cache::new(at(100)).with_memory();
        put(&mut cache, 1);
        assert!(has(&mut cache, 1));
        assert!(!has(&mut Cache::new(at(100)), 1));
        let mut cache = Cache::new(at(10_000)).with_memory();
        put(&mut cache, 2);
        assert!(has(&mut Cache::new(at(10_000)), 2), "the folder has it too");
    }
}
