//! One file's content, from the hub to its blob. It grows in a file of this process alone, in the folder of the blobs; it is
//! compared with length and hash as it lies on the disk, and then renamed. A part that a process left behind when it was killed is
//! copied, not continued, so that no file ever has two writers.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use super::CACHE_HINT;
use super::cache::ModelFolder;
use super::client::{Client, FileHead};
use super::download_lock::{self, Acquired};
use super::integrity::{hash, is_sha256};
use super::retry::{Fault, Retries};
use crate::digest::sha256_of;
use crate::error::{Error, ErrorKind, Result};
use crate::failpoint;
use crate::files;
use crate::interrupt::Interrupt;
use crate::progress::Transfer;

/// Bytes that are received before the interrupt is looked at.
const CHUNK: usize = 256 << 10;

/// A content that differs from its announced hash is fetched so often.
const WRONG_HASHES: u32 = 2;

/// Marks files of unfinished downloads, behind the name of the content. Python's library ends the names of its own in the same way.
const MARK: &str = ".dragnext-";
const END: &str = ".incomplete";

/// A file of a model, and what the hub announced of its content.
#[derive(Debug)]
pub(super) struct Download<'a> {
    pub(super) client: &'a Client<'a>,
    pub(super) folder: &'a ModelFolder,
    pub(super) commit: &'a str,
    pub(super) name: &'a str,
    pub(super) head: &'a FileHead,
    pub(super) interrupt: &'a Interrupt,
}

impl Download<'_> {
    /// Gets the content to its blob; returns the bytes that were received for it. `is_damaged` says that what lies there is known to be wrong.
    ///
    /// # Errors
    /// [`Error::Hub`], [`Error::Interrupted`].
    pub(super) fn run(&self, is_damaged: bool, transfer: &mut Transfer) -> Result<u64> {
        let blob = self.blob();
        fs::create_dir_all(self.folder.blobs()).map_err(|error| self.not_writable(&error))?;
        let before = written_at(&blob);
        // A damaged blob is replaced; another process may have done so while this one waited.
        let is_done = || (!is_damaged || written_at(&blob) != before) && self.has_length(&blob);
        let lock = self.folder.lock(&self.head.etag);
        let grown = || {
            self.unfinished()
                .iter()
                .filter_map(|path| fs::metadata(path).ok())
                .map(|part| part.len())
                .sum()
        };
        let turn =
            download_lock::acquire(&lock, self.name, is_done, grown, transfer, self.interrupt)?;
        if matches!(turn, Acquired::Finished) && self.is_right(&blob)? {
            return Ok(0);
        }
        transfer.begin(self.name, self.head.size);
        let received = self.receive_all(transfer)?;
        transfer.end();
        Ok(received)
    }

    fn blob(&self) -> PathBuf {
        self.folder.blobs().join(&self.head.etag)
    }

    fn has_length(&self, path: &Path) -> bool {
        fs::metadata(path).is_ok_and(|file| file.len() == self.head.size)
    }

    /// Length, and hash where the hub tells it.
    fn is_right(&self, path: &Path) -> Result<bool> {
        Ok(self.has_length(path) && (!self.has_hash() || hash(path)? == self.head.etag))
    }

    fn has_hash(&self) -> bool {
        is_sha256(&self.head.etag)
    }

    fn receive_all(&self, transfer: &mut Transfer) -> Result<u64> {
        let (mut part, mut received, mut wrong) = (self.begin()?, 0, 0);
        let mut retries = Retries::new(self.client.without_hub());
        let mut longest = self.length(&part)?;
        loop {
            let fault = match self.receive(&mut part, &mut received, transfer) {
                Ok(()) => match self.judge(&mut part)? {
                    None => break,
                    Some(sha256) => {
                        wrong += 1;
                        self.empty(&mut part)?;
                        if wrong == WRONG_HASHES {
                            return Err(self.other_bytes(&sha256));
                        }
                        transfer.say(&format!(
                            "{}: other bytes came than the hub announced; fetching it again",
                            self.name
                        ));
                        continue;
                    }
                },
                Err(fault) => fault,
            };
            let length = self.length(&part)?;
            if length > longest {
                longest = length;
                retries.progressed();
            }
            if let Err(error) = retries.pause(fault, transfer, self.interrupt) {
                self.leave(part, &error);
                return Err(error);
            }
        }
        self.finish_part(part)?;
        Ok(received)
    }

    /// A new file, with what an earlier process got, as far as it may be trusted: its hash will be compared.
    fn begin(&self) -> Result<NamedTempFile> {
        let mut part = self.new_part()?;
        // A lock on it says that its process lives.
        let _ = part.as_file().try_lock();
        let own = part.path().to_path_buf();
        let mut others: Vec<(u64, PathBuf)> = self
            .unfinished()
            .into_iter()
            .filter(|path| *path != own)
            .filter_map(|path| Some((fs::metadata(&path).ok()?.len(), path)))
            .collect();
        others.sort();
        if self.has_hash()
            && let Some((length, longest)) = others.last()
            && *length <= self.head.size
        {
            let copied = File::open(longest)
                .and_then(|file| io::copy(&mut file.take(*length), part.as_file_mut()));
            if copied.is_err() {
                self.empty(&mut part)?;
            }
        }
        for (_, path) in others {
            let is_abandoned = File::options()
                .write(true)
                .open(&path)
                .is_ok_and(|file| download_lock::try_lock(&file).is_ok());
            if is_abandoned {
                let _ = fs::remove_file(&path);
            }
        }
        Ok(part)
    }

    fn new_part(&self) -> Result<NamedTempFile> {
        let prefix = format!("{}{MARK}", self.head.etag);
        files::temporary_named(&self.folder.blobs(), &prefix, END)
            .map_err(|error| self.not_writable(&error))
    }

    /// Files of unfinished downloads of this content.
    fn unfinished(&self) -> Vec<PathBuf> {
        let prefix = format!("{}{MARK}", self.head.etag);
        let is_part = |path: &PathBuf| {
            path.file_name()
                .and_then(|name| name.to_str())
                .is_some_and(|name| name.starts_with(&prefix) && name.ends_with(END))
        };
        fs::read_dir(self.folder.blobs())
            .into_iter()
            .flatten()
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(is_part)
            .collect()
    }

    /// One request, and everything that comes of it.
    fn receive(
        &self,
        part: &mut NamedTempFile,
        received: &mut u64,
        transfer: &mut Transfer,
    ) -> std::result::Result<(), Fault> {
        let mut at = self.length(part)?;
        // Without a hash to compare, nothing stands for what is there but the answer itself.
        if at == self.head.size && (self.has_hash() || at > 0) {
            return Ok(());
        }
        let mut stream = self.client.stream(self.commit, self.name, at)?;
        if stream.from != at {
            self.empty(part)?;
            at = 0;
        }
        part.as_file_mut()
            .seek(SeekFrom::Start(at))
            .map_err(|error| self.not_writable(&error))?;
        transfer.at(at);
        let mut reader = stream.body.as_reader();
        let mut bytes = vec![0; CHUNK];
        while at < self.head.size {
            self.interrupt.check()?;
            let room = usize::try_from(self.head.size - at).map_or(CHUNK, |left| left.min(CHUNK));
            let read = match reader.read(&mut bytes[..room]) {
                Ok(0) => {
                    return Err(Fault::passing(
                        &stream.address,
                        format!(
                            "the connection ended after {at} of {} bytes",
                            self.head.size
                        ),
                    ));
                }
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    let reason = if error.kind() == io::ErrorKind::UnexpectedEof {
                        "the connection was cut".into()
                    } else {
                        error.to_string()
                    };
                    return Err(Fault::passing(
                        &stream.address,
                        format!("{reason} after {at} of {} bytes", self.head.size),
                    ));
                }
            };
            part.as_file_mut()
                .write_all(&bytes[..read])
                .map_err(|error| self.not_writable(&error))?;
            at += read as u64;
            *received += read as u64;
            transfer.at(at);
            if self.has_hash() && failpoint::is_hit("stop_in_download") {
                // Stands still with a part on the disk, until somebody kills it.
                std::thread::sleep(std::time::Duration::from_mins(10));
            }
        }
        if !self.has_hash()
            && reader
                .read(&mut bytes[..1])
                .map_err(|error| Fault::passing(&stream.address, error.to_string()))?
                > 0
        {
            return Err(Fault::passing(
                &stream.address,
                "more bytes came than the hub announced",
            ));
        }
        Ok(())
    }

    /// The hash of the file as it lies on the disk, when it is not the one that the hub announced.
    fn judge(&self, part: &mut NamedTempFile) -> Result<Option<String>> {
        if !self.has_hash() {
            return Ok(None);
        }
        let file = part.as_file_mut();
        let hashed = file.seek(SeekFrom::Start(0)).and_then(|_| sha256_of(file));
        let sha256 = hashed.map_err(|error| self.not_writable(&error))?;
        Ok((sha256 != self.head.etag).then_some(sha256))
    }

    /// Puts the finished file in its place.
    fn finish_part(&self, mut part: NamedTempFile) -> Result<()> {
        part.as_file()
            .sync_all()
            .map_err(|error| self.not_writable(&error))?;
        // Where locks lie, another process may have taken the name away; the file is still ours.
        if !part.path().exists() {
            let mut again = self.new_part()?;
            let copied = part
                .as_file_mut()
                .seek(SeekFrom::Start(0))
                .and_then(|_| io::copy(part.as_file_mut(), again.as_file_mut()));
            copied
                .and_then(|_| again.as_file().sync_all())
                .map_err(|error| self.not_writable(&error))?;
            part = again;
        }
        match part.persist(self.blob()) {
            Err(refused) if !self.is_right(&self.blob())? => Err(self.not_writable(&refused.error)),
            _ => Ok(()),
        }
    }

    /// Leaves what came for the next run, unless nobody could use it or the disk is full.
    fn leave(&self, part: NamedTempFile, error: &Error) {
        let is_of_use = self.has_hash() && self.length(&part).is_ok_and(|length| length > 0);
        if is_of_use
            && (matches!(error, Error::Interrupted { .. })
                || error.kind() == ErrorKind::HubUnreachable)
        {
            let _ = part.keep();
        }
    }

    fn length(&self, part: &NamedTempFile) -> Result<u64> {
        part.as_file()
            .metadata()
            .map(|file| file.len())
            .map_err(|error| self.not_writable(&error))
    }

    fn empty(&self, part: &mut NamedTempFile) -> Result<()> {
        part.as_file_mut()
            .set_len(0)
            .and_then(|()| part.as_file_mut().rewind())
            .map_err(|error| self.not_writable(&error))
    }

    fn other_bytes(&self, sha256: &str) -> Error {
        Error::Hub {
            place: self.name.to_owned(),
            kind: ErrorKind::WeightsHash,
            reason: format!(
                "the SHA-256 of what came is {sha256}; the hub announced {}",
                self.head.etag
            ),
            hint: format!(
                "something between the hub and this machine changes files; {}",
                self.client.without_hub()
            ),
        }
    }

    fn not_writable(&self, error: &io::Error) -> Error {
        not_writable(self.folder.path(), error)
    }
}

/// When a file was last written to.
fn written_at(path: &Path) -> Option<files::Stamp> {
    files::Stamp::of(&fs::metadata(path).ok()?)
}

/// The error about a cache that takes no files.
pub(super) fn not_writable(path: &Path, error: &io::Error) -> Error {
    let place = path.display().to_string();
    if files::is_disk_full(error) {
        let hint = format!("make room, then run this again; {CACHE_HINT}");
        return Error::Hub {
            place,
            kind: ErrorKind::HubDiskFull,
            reason: format!("the model does not fit on the disk: {error}"),
            hint,
        };
    }
    let reason = format!("the cache cannot be written to: {error}");
    Error::Hub {
        place,
        kind: ErrorKind::HubCache,
        reason,
        hint: CACHE_HINT.into(),
    }
}
