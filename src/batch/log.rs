//! Record files in the output folder: one for each shard, each with one writer.
//!
//! A record is appended after its picture was written, and is synced to the disk before the item is reported as done. A killed run leaves
//! at most one truncated line at the end; the next run removes it. The writer holds a file lock, which the system releases when the
//! process ends. The lock file names its process, for the message to a second run.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{RECORDS, Shard};
use crate::error::{Error, ErrorKind, Result};
use crate::failpoint;
use crate::files;
use crate::report::Record;
use crate::warning::{Warning, WarningKind};

/// File name, without extension, of the records of a run without shards.
const UNSHARDED: &str = "all";

/// The record file of one shard, locked by this process.
#[derive(Debug)]
pub(crate) struct Log {
    path: PathBuf,
    file: File,
    /// Bytes of the complete lines.
    length: u64,
    _lock: File,
}

/// The process that holds a lock.
#[derive(Debug, Serialize, Deserialize)]
struct Holder {
    pid: u32,
    host: String,
}

impl Log {
    /// Creates or opens the record file of a shard in an output folder. Removes a truncated last line, and then returns a warning.
    ///
    /// # Errors
    /// [`Error::Batch`] `batch.locked` when another run holds the lock; [`Error::Output`] when the file cannot be written.
    pub(crate) fn open(outputs: &Path, shard: Option<Shard>) -> Result<(Self, Option<Warning>)> {
        let folder = outputs.join(RECORDS);
        let name = shard.map_or_else(|| UNSHARDED.to_owned(), Shard::file_name);
        let path = folder.join(format!("{name}.jsonl"));
        let failed = |error: io::Error| files::write_failed(&path, &error);
        fs::create_dir_all(&folder).map_err(failed)?;
        let lock = lock(&folder.join(format!("{name}.lock")), outputs, shard)?;
        let mut file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .open(&path)
            .map_err(failed)?;
        let (length, complete) = lengths(&mut file).map_err(failed)?;
        let warning = (length > complete).then(|| Warning {
            kind: WarningKind::BatchTornRecord,
            message: format!(
                "{}: removing a truncated last line, left by a killed run; its item is edited again",
                path.display()
            ),
        });
        if length > complete {
            file.set_len(complete)
                .and_then(|()| file.sync_data())
                .map_err(failed)?;
        }
        let log = Self {
            path,
            file,
            length: complete,
            _lock: lock,
        };
        Ok((log, warning))
    }

    /// Appends a record and syncs it to the disk.
    ///
    /// # Errors
    /// [`Error::Output`]; the file then ends with the previous record.
    pub(crate) fn append(&mut self, record: &Record) -> Result<()> {
        let appended = serde_json::to_vec(record)
            .map_err(io::Error::from)
            .and_then(|mut line| {
                line.push(b'\n');
                self.write(&line)
            });
        appended.map_err(|error| {
            // Removes the partial line. If this fails too, the next run removes it.
            let _ = self.file.set_len(self.length);
            files::write_failed(&self.path, &error)
        })
    }

    /// Writes a line in two parts, so that a test can end the process between them.
    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        failpoint::kill("kill_before_record");
        let (first, second) = line.split_at(line.len() / 2);
        self.file.write_all(first)?;
        failpoint::kill("kill_in_record");
        if failpoint::is_hit("record_disk_full") {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.file.write_all(second)?;
        failpoint::kill("kill_after_record");
        self.file.sync_data()?;
        self.length += line.len() as u64;
        failpoint::kill("kill_after_record_sync");
        Ok(())
    }
}

/// Returns the length of the file and the length of its complete lines, in bytes.
fn lengths(file: &mut File) -> io::Result<(u64, u64)> {
    let length = file.metadata()?.len();
    let mut end = [b'\n'];
    if length > 0 {
        file.seek(SeekFrom::Start(length - 1))?;
        file.read_exact(&mut end)?;
    }
    if end == *b"\n" {
        return Ok((length, length));
    }
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(0))?;
    file.read_to_end(&mut bytes)?;
    let complete = bytes
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |last| last as u64 + 1);
    Ok((length, complete))
}

/// Takes the lock and writes this process into its file.
fn lock(path: &Path, outputs: &Path, shard: Option<Shard>) -> Result<File> {
    let failed = |error: io::Error| files::write_failed(path, &error);
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .map_err(failed)?;
    // On file systems without locks two runs can collide. Their pictures are complete there too.
    if matches!(file.try_lock(), Err(TryLockError::WouldBlock)) {
        return Err(locked(file, outputs, shard));
    }
    let holder = Holder {
        pid: std::process::id(),
        host: host_name(),
    };
    let text = serde_json::to_string(&holder).map_err(|error| failed(error.into()))?;
    file.set_len(0)
        .and_then(|()| file.seek(SeekFrom::Start(0)))
        .and_then(|_| file.write_all((text + "\n").as_bytes()))
        .map_err(failed)?;
    Ok(file)
}

/// Returns the error of a run whose lock another process holds.
fn locked(file: File, outputs: &Path, shard: Option<Shard>) -> Error {
    let mut text = String::new();
    let holder = file
        .take(1 << 12)
        .read_to_string(&mut text)
        .ok()
        .and_then(|_| serde_json::from_str::<Holder>(&text).ok());
    let who = holder.map_or_else(
        || "another run".to_owned(),
        |holder| format!("process {} on {}", holder.pid, holder.host),
    );
    let what = shard.map_or_else(
        || "this folder".to_owned(),
        |shard| format!("shard {shard} of this folder"),
    );
    Error::Batch {
        kind: ErrorKind::BatchLocked,
        reason: format!("{}: {who} is writing to {what}", outputs.display()),
        hint: "wait until it ends, or give each run its own shard with `--shard I/N`".into(),
    }
}

fn host_name() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname")
        .ok()
        .or_else(|| std::env::var("HOSTNAME").ok());
    name.map(|name| name.trim().to_owned())
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "an unknown host".into())
}
