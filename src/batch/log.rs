//! Records on the disk: one file for each shard, with one writer.
//!
//! A line is appended after its picture is in place, and is on the disk before the next item is told to be done. A run that is killed
//! leaves at most one torn line at the end; the next one takes it away. Who writes holds a lock that the system takes away with the
//! process; the lock's file says who that is, for whoever comes second.

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

/// The name of the records of a run that is no shard.
const WHOLE: &str = "all";

/// The records of one shard, open for this run alone.
#[derive(Debug)]
pub struct Log {
    path: PathBuf,
    file: File,
    /// Bytes of complete lines.
    length: u64,
    _lock: File,
}

/// Who writes.
#[derive(Debug, Serialize, Deserialize)]
struct Holder {
    pid: u32,
    host: String,
}

impl Log {
    /// Opens the records of a shard in an output folder, which is created; takes away a torn last line, and says so.
    ///
    /// # Errors
    /// [`Error::Batch`] `batch.locked` when another run has them, [`Error::Output`] when they cannot be written.
    pub fn open(outputs: &Path, shard: Option<Shard>) -> Result<(Self, Option<Warning>)> {
        let folder = outputs.join(RECORDS);
        let name = shard.map_or_else(|| WHOLE.to_owned(), Shard::file_name);
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
        let warning = (length > complete).then(|| {
            let message = format!(
                "{}: the last line is torn, as a run leaves it that is killed while it writes; its item is done again",
                path.display()
            );
            Warning { kind: WarningKind::BatchTornRecord, message }
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

    /// Appends a record; it is on the disk when this returns.
    ///
    /// # Errors
    /// [`Error::Output`]; the file then ends with the line before.
    pub fn append(&mut self, record: &Record) -> Result<()> {
        let appended = serde_json::to_vec(record)
            .map_err(io::Error::from)
            .and_then(|mut line| {
                line.push(b'\n');
                self.write(&line)
            });
        appended.map_err(|error| {
            // What does not fit is not left there as half a line; if this fails too, the next run sees to it.
            let _ = self.file.set_len(self.length);
            files::write_failed(&self.path, &error)
        })
    }

    /// In two writes, for a test to end the process between them.
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

/// Bytes of the file, and bytes of its complete lines.
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
    Ok((
        length,
        bytes
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |last| last as u64 + 1),
    ))
}

/// Takes the lock, and says in its file who has it.
fn lock(path: &Path, outputs: &Path, shard: Option<Shard>) -> Result<File> {
    let failed = |error: io::Error| files::write_failed(path, &error);
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .map_err(failed)?;
    if matches!(file.try_lock(), Err(TryLockError::WouldBlock)) {
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
        return Err(Error::Batch {
            kind: ErrorKind::BatchLocked,
            reason: format!("{}: {who} is at work on {what}", outputs.display()),
            hint: "wait until it is done, or give each run a shard of its own with --shard I/N"
                .into(),
        });
    }
    // Disks without locks cannot keep two runs apart; the pictures are whole there too.
    let holder = Holder {
        pid: std::process::id(),
        host: host(),
    };
    let text = serde_json::to_string(&holder).map_err(|error| failed(error.into()))?;
    let said = file
        .set_len(0)
        .and_then(|()| file.seek(SeekFrom::Start(0)))
        .and_then(|_| file.write_all((text + "\n").as_bytes()));
    said.map_err(failed)?;
    Ok(file)
}

/// The machine's name, where it tells.
fn host() -> String {
    let told = fs::read_to_string("/proc/sys/kernel/hostname")
        .ok()
        .or_else(|| std::env::var("HOSTNAME").ok());
    told.map(|name| name.trim().to_owned())
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "a machine without a name".into())
}
