//! Reports of earlier checks, in the folder of the cache: one small file for each device, driver and program.
//!
//! A file appears completely or not at all, and two processes that check at the same time write the same. A file that is damaged or belongs to
//! something else counts as absent, so that the device is checked again.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::CheckReport;
use crate::cache::{CHECKS_FOLDER, CacheLocation, make_folder};
use crate::digest::sha256;
use crate::error::Error;
use crate::files;
use crate::warning::{Warning, WarningKind};

/// Version of the file.
const VERSION: u8 = 1;
/// Most bytes of a file. A report with all the differences that it can hold is much smaller.
const MAX_BYTES: u64 = 1 << 20;

/// What was checked. Where any of it differs, something else may be computed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckedDevice {
    /// The device, such as `cuda:0`.
    pub device: String,
    /// The backend: `own` or `candle`.
    pub backend: String,
    /// The device's name, with the versions of its driver and libraries.
    pub description: String,
    /// What the operating system says of the driver; empty where it says nothing.
    pub system: String,
    /// Version and SHA-256 of the program.
    pub program: String,
}

/// A check that was made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CheckRecord {
    v: u8,
    /// What was checked.
    pub on: CheckedDevice,
    /// When, in seconds since 1970.
    pub ended: u64,
    /// What was found.
    pub report: CheckReport,
}

impl CheckRecord {
    /// Returns the record of a check that has just ended.
    pub fn now(on: CheckedDevice, report: CheckReport) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        Self {
            v: VERSION,
            on,
            ended: now.unwrap_or_default().as_secs(),
            report,
        }
    }

    /// Returns when the check ended, such as `2026-11-29 09:14 UTC`.
    pub fn date(&self) -> String {
        let (days, seconds) = (self.ended / 86_400, self.ended % 86_400);
        let (year, month, day) = civil(days);
        let (hour, minute) = (seconds / 3600, seconds / 60 % 60);
        format!("{year}-{month:02}-{day:02} {hour:02}:{minute:02} UTC")
    }
}

/// Returns year, month and day of a day since 1970 in the Gregorian calendar.
fn civil(days: u64) -> (u64, u64, u64) {
    let is_leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    let (mut year, mut day) = (1970, days);
    loop {
        let length = if is_leap(year) { 366 } else { 365 };
        if day < length || year == 9999 {
            break;
        }
        day -= length;
        year += 1;
    }
    let february = if is_leap(year) { 29 } else { 28 };
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30] {
        if day < length {
            break;
        }
        day -= length;
        month += 1;
    }
    (year, month, day + 1)
}

/// The folder of the reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remembered {
    /// The folder of the cache; `None` where there is none, and nothing is remembered.
    cache: Option<PathBuf>,
}

impl Remembered {
    /// Returns the folder that the environment of this process configures; without a cache nothing is remembered.
    pub fn from_environment() -> Self {
        let (location, _) = CacheLocation::read();
        let location = location.filter(|location| location.limit > 0);
        Self {
            cache: location.map(|location| location.folder),
        }
    }

    /// Remembers in the folder of this cache.
    pub fn in_cache(folder: &Path) -> Self {
        Self {
            cache: Some(folder.to_owned()),
        }
    }

    /// Returns the path of the report about a device.
    fn path(&self, on: &CheckedDevice) -> Option<PathBuf> {
        let inputs = serde_json::to_vec(on).ok()?;
        let name = format!("{}.json", sha256(&inputs));
        Some(self.cache.as_ref()?.join(CHECKS_FOLDER).join(name))
    }

    /// Returns the last check of a device; `None` if there is none that can be read.
    pub fn find(&self, on: &CheckedDevice) -> Option<CheckRecord> {
        let mut bytes = Vec::new();
        let file = File::open(self.path(on)?).ok()?;
        file.take(MAX_BYTES).read_to_end(&mut bytes).ok()?;
        let found: CheckRecord = serde_json::from_slice(&bytes).ok()?;
        (found.v == VERSION && found.on == *on).then_some(found)
    }

    /// Keeps a check in place of an earlier one. Returns a warning if it cannot be written.
    pub fn keep(&self, record: &CheckRecord) -> Option<Warning> {
        let path = self.path(&record.on)?;
        let error = self.write(&path, record).err()?;
        Some(Warning {
            kind: WarningKind::CacheWrite,
            message: format!(
                "the check of {} is not remembered, and is made again by the next command: {error}",
                record.on.device
            ),
        })
    }

    fn write(&self, path: &Path, record: &CheckRecord) -> Result<(), Error> {
        // The folder is its owner's only, because entries of the cache are derived from private pictures.
        if let Some(cache) = &self.cache {
            make_folder(cache).map_err(|error| files::write_failed(cache, &error))?;
        }
        let json =
            serde_json::to_vec(record).map_err(|error| files::write_failed(path, &error.into()))?;
        files::write_verified(path, &json, true, |_| Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::cache::clear;
    use crate::kernels::Format;

    fn device(description: &str) -> CheckedDevice {
        CheckedDevice {
            device: "cuda:0".into(),
            backend: "own".into(),
            description: description.into(),
            system: String::new(),
            program: "1".into(),
        }
    }

    fn record(description: &str) -> CheckRecord {
        let report = CheckReport::of([Format::F32].into_iter());
        CheckRecord::now(device(description), report)
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (ended, expected) in [
            (0, "1970-01-01 00:00 UTC"),
            (951_782_400, "2000-02-29 00:00 UTC"),
            (1_709_251_199, "2024-02-29 23:59 UTC"),
            (1_767_225_600, "2026-01-01 00:00 UTC"),
            (1_796_083_199, "2026-11-30 23:59 UTC"),
        ] {
            let record = CheckRecord {
                ended,
                ..record("a GPU")
            };
            assert_eq!(record.date(), expected);
        }
    }

    #[test]
    fn a_report_is_found_for_its_device_alone() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let remembered = Remembered::in_cache(&folder.path().join("cache"));
        assert_eq!(
            remembered.find(&device("a GPU")),
            None,
            "there is no folder"
        );
        let first = record("a GPU");
        assert_eq!(remembered.keep(&first), None);
        assert_eq!(remembered.find(&device("a GPU")), Some(first.clone()));
        assert_eq!(remembered.find(&device("a GPU with another driver")), None);
        let second = CheckRecord { ended: 7, ..first };
        assert_eq!(remembered.keep(&second), None);
        assert_eq!(remembered.find(&device("a GPU")), Some(second));
    }

    #[test]
    fn a_damaged_file_counts_as_absent_and_is_replaced() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let remembered = Remembered::in_cache(folder.path());
        let record = record("a GPU");
        remembered.keep(&record);
        let path = remembered.path(&record.on).expect("there is a cache");
        let whole = std::fs::read(&path).expect("it was written");
        let of_another = serde_json::to_vec(&CheckRecord {
            on: device("another"),
            ..record.clone()
        });
        let of_another = of_another.expect("it is text and numbers");
        for damaged in [
            &b""[..],
            b"\xff\x00",
            b"{}",
            &whole[..whole.len() / 2],
            &of_another,
        ] {
            std::fs::write(&path, damaged).expect("it can be written");
            assert_eq!(remembered.find(&record.on), None);
            assert_eq!(remembered.keep(&record), None);
            assert_eq!(remembered.find(&record.on).as_ref(), Some(&record));
        }
    }

    #[test]
    fn clearing_the_cache_forgets_checks() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let remembered = Remembered::in_cache(folder.path());
        let [old, new] = ["an old GPU", "a new GPU"].map(record);
        for record in [&old, &new] {
            assert_eq!(remembered.keep(record), None);
        }
        let path = remembered.path(&old.on).expect("there is a cache");
        let three_days_ago = SystemTime::now() - Duration::from_hours(72);
        let file = File::options().append(true).open(&path);
        file.and_then(|file| file.set_modified(three_days_ago))
            .expect("it was written");
        let of_another = path.with_file_name("notes.txt");
        std::fs::write(&of_another, "mine").expect("it can be written");

        clear(folder.path(), Duration::from_hours(96)).expect("it can be read");
        assert_eq!(remembered.find(&old.on).as_ref(), Some(&old));
        clear(folder.path(), Duration::from_hours(60)).expect("it can be read");
        assert_eq!(remembered.find(&old.on), None);
        assert_eq!(remembered.find(&new.on).as_ref(), Some(&new));
        clear(folder.path(), Duration::ZERO).expect("it can be read");
        assert_eq!(remembered.find(&new.on), None);
        assert!(of_another.exists(), "other files are not touched");
        // The next command checks again, and its result is found.
        assert_eq!(remembered.keep(&new), None);
        assert_eq!(remembered.find(&new.on).as_ref(), Some(&new));
    }

    #[test]
    fn a_cache_that_cannot_be_written_is_a_warning() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("file");
        std::fs::write(&file, "").expect("it can be written");
        let remembered = Remembered::in_cache(&file.join("cache"));
        let warning = remembered
            .keep(&record("a GPU"))
            .expect("a file has no folders");
        assert_eq!(warning.kind, WarningKind::CacheWrite);
        assert!(warning.message.contains("cuda:0"), "{}", warning.message);
        assert_eq!(remembered.find(&device("a GPU")), None);
        let nowhere = Remembered { cache: None };
        assert_eq!(nowhere.keep(&record("a GPU")), None);
        assert_eq!(nowhere.find(&device("a GPU")), None);
    }
}
