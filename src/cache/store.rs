//! Entries in a folder: read with verification, kept in one step, and removed when there are too many.
//!
//! Several processes may do this at once: an entry appears whole or not at all, two that keep the same entry keep the same numbers, and
//! one that is removed while it is read is read to its end, or is a miss. When an entry was last used is the time of its file's last change.

use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use super::entry::{self, About, Name, Numbers};
use super::place::Place;
use crate::error::Error;
use crate::failpoint;
use crate::files;
use crate::warning::{Warning, WarningKind};

/// What the header of an entry takes at most.
const HEADER: u64 = 1 << 16;

/// The cache of one run.
#[derive(Debug)]
pub struct Cache {
    place: Place,
    /// Whether what is computed is kept; what is there is used in any case.
    keeps: bool,
    /// Whether writing has failed: one warning is enough, and it will fail again.
    is_stuck: bool,
    warnings: Vec<Warning>,
}

impl Cache {
    /// The cache in a folder, which need not be there yet.
    pub fn new(place: Place) -> Self {
        Self {
            place,
            keeps: true,
            is_stuck: false,
            warnings: Vec::new(),
        }
    }

    /// The cache that the environment of this process asks for: `None` when it asks for none.
    pub fn from_environment() -> Option<Self> {
        let (place, warning) = Place::read();
        let place = place.filter(|place| place.limit > 0)?;
        Some(Self {
            warnings: warning.into_iter().collect(),
            ..Self::new(place)
        })
    }

    /// Shall what is computed from now on be kept? What is there is used in any case.
    pub fn set_keeps(&mut self, keeps: bool) {
        self.keeps = keeps;
    }

    /// What went wrong since the last time this was asked; nothing that stops an edit.
    pub fn take_warnings(&mut self) -> Vec<Warning> {
        std::mem::take(&mut self.warnings)
    }

    /// The numbers of an entry, of each name as many as are asked for; `None` when it is not there, or not as it was kept.
    pub(crate) fn get(
        &mut self,
        name: &Name,
        wanted: &[(&'static str, usize)],
    ) -> Option<Vec<Vec<f32>>> {
        let path = self.path(name);
        let bytes = match read(&path, wanted) {
            Ok(bytes) => bytes,
            // Where there is no folder either, keeping will say so.
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
            Ok(numbers) => {
                // Where the time cannot be set, the entry goes earlier than it should.
                let _ = File::options()
                    .append(true)
                    .open(&path)
                    .and_then(|file| file.set_modified(SystemTime::now()));
                Some(numbers)
            }
            Err(reason) => {
                self.warn(
                    WarningKind::CacheDamaged,
                    format!(
                        "{}: not used, because it is damaged: {reason}",
                        path.display()
                    ),
                );
                None
            }
        }
    }

    /// Keeps numbers for the next edit, in place of what is there, and makes room for them.
    pub(crate) fn keep(&mut self, name: &Name, about: &About, tensors: &[Numbers]) {
        let is_finite = tensors
            .iter()
            .all(|(_, numbers)| numbers.iter().all(|number| number.is_finite()));
        if !self.keeps || self.is_stuck || !is_finite {
            return;
        }
        let about = About {
            made: now(),
            ..about.clone()
        };
        let path = self.path(name);
        let kept = entry::encode(name, &about, tensors).and_then(|bytes| {
            // One that is larger than all may be would go at once.
            if bytes.len() as u64 > self.place.limit {
                return Ok(());
            }
            make_folder(&self.place.folder).map_err(|error| error.to_string())?;
            failpoint::kill("kill_in_cache");
            files::write_verified(&path, &bytes, true, |_| Ok(())).map_err(|error| match error {
                Error::Output { reason, .. } => reason,
                other => other.to_string(),
            })
        });
        match kept {
            Ok(()) => make_room(&self.place, &path),
            Err(reason) => {
                self.is_stuck = true;
                self.warn(
                    WarningKind::CacheWrite,
                    format!(
                        "{}: nothing is kept for the next edit: {reason}",
                        self.place.folder.display()
                    ),
                );
            }
        }
    }

    fn warn(&mut self, kind: WarningKind, message: String) {
        self.warnings.push(Warning { kind, message });
    }

    fn path(&self, name: &Name) -> PathBuf {
        self.place.folder.join(name.file())
    }
}

/// All bytes of an entry with these numbers; no more than such an entry can have.
fn read(path: &Path, wanted: &[(&'static str, usize)]) -> std::io::Result<Vec<u8>> {
    let most = wanted.iter().map(|(_, len)| 4 * *len as u64).sum::<u64>() + HEADER;
    let mut bytes = Vec::new();
    File::open(path)?.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Makes the folder, for its owner alone: what is in it was made from pictures that may be nobody else's business.
fn make_folder(folder: &Path) -> std::io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    if !folder.exists() {
        if let Some(parent) = folder.parent() {
            fs::create_dir_all(parent)?;
        }
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    }
    builder.create(folder)
}

/// An entry on the disk.
#[derive(Debug)]
pub(super) struct Stored {
    pub(super) name: Name,
    pub(super) path: PathBuf,
    pub(super) bytes: u64,
    pub(super) used: SystemTime,
}

/// All entries in the folder, the one that was used last at the end; none in a folder that is not there.
pub(super) fn entries(folder: &Path) -> std::io::Result<Vec<Stored>> {
    let read = match fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        read => read?,
    };
    let stored = |entry: fs::DirEntry| {
        let name = Name::parse(entry.file_name().to_str()?)?;
        // Not those of links: the cache makes none.
        let metadata = entry.metadata().ok().filter(fs::Metadata::is_file)?;
        Some(Stored {
            name,
            path: entry.path(),
            bytes: metadata.len(),
            used: metadata.modified().unwrap_or(UNIX_EPOCH),
        })
    };
    let mut entries: Vec<Stored> = read.filter_map(|entry| stored(entry.ok()?)).collect();
    entries.sort_by(|a, b| (a.used, &a.name).cmp(&(b.used, &b.name)));
    Ok(entries)
}

/// Removes entries, those first that were not used for longest, until the rest is within the limit; never the one at `kept`.
fn make_room(place: &Place, kept: &Path) {
    // What cannot be listed or removed now will be another time.
    let Ok(entries) = entries(&place.folder) else {
        return;
    };
    let mut total: u64 = entries.iter().map(|entry| entry.bytes).sum();
    for entry in entries.iter().filter(|entry| entry.path != kept) {
        if total <= place.limit {
            return;
        }
        if fs::remove_file(&entry.path).is_ok() {
            total -= entry.bytes;
        }
    }
}

/// Seconds since 1970; 0 where the clock stands before that.
fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::Kind;
    use super::*;

    fn name(facts: usize) -> Name {
        Name::of(Kind::Lora, &facts)
    }

    fn keep(cache: &mut Cache, facts: usize) {
        cache.keep(
            &name(facts),
            &About::default(),
            &[("parameters", &[facts as f32; 1000])],
        );
        assert_eq!(cache.take_warnings(), []);
    }

    fn has(cache: &mut Cache, facts: usize) -> bool {
        let found = cache.get(&name(facts), &[("parameters", 1000)]);
        assert_eq!(cache.take_warnings(), []);
        found.is_some_and(|found| found == [vec![facts as f32; 1000]])
    }

    /// Entries of 4 kB and their headers: two fit into 10 kB.
    #[test]
    fn what_was_not_used_for_longest_makes_room() {
        let folder = tempfile::tempdir().expect("room for a folder");
        let mut cache = Cache::new(Place {
            folder: folder.path().join("a/b"),
            limit: 10_000,
        });
        keep(&mut cache, 0);
        keep(&mut cache, 1);
        // Clocks of file systems are coarse.
        for (facts, age) in [(0, 100), (1, 50)] {
            let file = File::options()
                .append(true)
                .open(cache.path(&name(facts)))
                .expect("it was kept");
            file.set_modified(SystemTime::now() - Duration::from_secs(age))
                .expect("its time can be set");
        }
        assert!(has(&mut cache, 0), "and it is used now");
        fs::write(cache.place.folder.join("lora-mine.safetensors"), [0; 9000])
            .expect("a file of somebody else");
        keep(&mut cache, 2);
        assert_eq!(
            [0, 1, 2].map(|facts| has(&mut cache, facts)),
            [true, false, true]
        );
        assert!(cache.place.folder.join("lora-mine.safetensors").exists());
        cache.keep(&name(3), &About::default(), &[("parameters", &[3.0; 3000])]);
        assert_eq!(
            cache.get(&name(3), &[("parameters", 3000)]),
            None,
            "larger than all may be"
        );
        assert_eq!(
            [0, 1, 2].map(|facts| has(&mut cache, facts)),
            [true, false, true],
            "and nothing goes for it"
        );
        cache.place.limit = 5000;
        keep(&mut cache, 4);
        assert_eq!(
            [0, 2, 4].map(|facts| has(&mut cache, facts)),
            [false, false, true],
            "a new limit holds at once"
        );
    }

    #[test]
    fn what_is_no_number_is_not_kept() {
        let folder = tempfile::tempdir().expect("room for a folder");
        let mut cache = Cache::new(Place {
            folder: folder.path().into(),
            limit: 10_000,
        });
        cache.keep(
            &name(0),
            &About::default(),
            &[("parameters", &[1.0, f32::NAN])],
        );
        assert_eq!(cache.get(&name(0), &[("parameters", 2)]), None);
        cache.set_keeps(false);
        keep(&mut cache, 1);
        assert!(!has(&mut cache, 1), "nor is what nobody wants kept");
    }
}
