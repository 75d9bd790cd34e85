//! Downloads one file from the hub to its blob in the cache.
//!
//! The bytes go to a partial file of this process, which starts with what a killed process left behind. Length and hash are verified
//! on disk before the file is renamed to its blob.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::CACHE_HINT;
use super::cache::ModelFolder;
use super::client::{Client, FileHead};
use super::download_lock::{self, Acquired};
use super::integrity::{hash, is_sha256};
use super::partial_file::{PartialFile, PartialFiles};
use super::retry::{RequestFault, Retries};
use crate::error::{Error, ErrorKind, Result};
use crate::failpoint;
use crate::files;
use crate::interrupt::Interrupt;
use crate::progress::Transfer;

/// Bytes between two checks of the interrupt.
const CHUNK: usize = 256 << 10;

/// Downloads with a wrong hash after which the file fails.
const MAX_WRONG_HASHES: u32 = 2;

/// A file to download, with the metadata from the hub.
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
    /// Downloads the file to its blob, unless another process does so first. Returns the number of received bytes. `is_damaged` tells
    /// that an existing blob is damaged.
    ///
    /// # Errors
    /// [`Error::Hub`], [`Error::Interrupted`].
    pub(super) fn run(&self, is_damaged: bool, transfer: &mut Transfer) -> Result<u64> {
        let blob = self.blob();
        fs::create_dir_all(self.folder.blobs()).map_err(|error| self.not_writable(&error))?;
        let before = stamp(&blob);
        // While this process waits for the lock, another one may replace the damaged blob.
        let is_finished = || (!is_damaged || stamp(&blob) != before) && self.has_length(&blob);
        let lock = self.folder.lock(&self.head.etag);
        let downloaded = || self.parts().length();
        let acquired = download_lock::acquire(
            &lock,
            self.name,
            is_finished,
            downloaded,
            transfer,
            self.interrupt,
        )?;
        if matches!(acquired, Acquired::Finished) && self.is_correct(&blob)? {
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

    /// Compares the length, and the hash if the hub announced one.
    fn is_correct(&self, path: &Path) -> Result<bool> {
        Ok(self.has_length(path) && (!self.has_hash() || hash(path)? == self.head.etag))
    }

    fn has_hash(&self) -> bool {
        is_sha256(&self.head.etag)
    }

    /// Downloads the file with retries and renames it to its blob. Returns the number of received bytes.
    fn receive_all(&self, transfer: &mut Transfer) -> Result<u64> {
        let (mut part, mut received, mut wrong) = (self.start_part()?, 0, 0);
        let mut retries = Retries::new(self.client.without_hub());
        let mut longest = self.length(&part)?;
        loop {
            let fault = match self.receive(&mut part, &mut received, transfer) {
                Ok(()) => match self.wrong_hash(&mut part)? {
                    None => break,
                    Some(sha256) => {
                        wrong += 1;
                        self.clear(&mut part)?;
                        if wrong == MAX_WRONG_HASHES {
                            return Err(self.hash_error(&sha256));
                        }
                        transfer.say(&format!(
                            "{}: the received bytes do not have the announced hash; fetching it again",
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
                self.keep_part(part, &error);
                return Err(error);
            }
        }
        self.persist(part)?;
        Ok(received)
    }

    /// Returns a partial file, with the bytes of an earlier run if the hash of the whole can be verified later.
    fn start_part(&self) -> Result<PartialFile> {
        let max_length = if self.has_hash() { self.head.size } else { 0 };
        self.parts()
            .resume(max_length)
            .map_err(|error| self.not_writable(&error))
    }

    fn parts(&self) -> PartialFiles {
        PartialFiles::of(self.folder.blobs(), &self.head.etag)
    }

    /// Sends one request and appends the received bytes to `part`.
    fn receive(
        &self,
        part: &mut PartialFile,
        received: &mut u64,
        transfer: &mut Transfer,
    ) -> std::result::Result<(), RequestFault> {
        let mut at = self.length(part)?;
        // An empty file without a hash is verified by an empty response.
        if at == self.head.size && (self.has_hash() || at > 0) {
            return Ok(());
        }
        let mut stream = self.client.stream(self.commit, self.name, at)?;
        if stream.offset != at {
            self.clear(part)?;
            at = 0;
        }
        part.seek(at).map_err(|error| self.not_writable(&error))?;
        transfer.at(at);
        let mut reader = stream.body.as_reader();
        let mut bytes = vec![0; CHUNK];
        while at < self.head.size {
            self.interrupt.check()?;
            let want = usize::try_from(self.head.size - at).map_or(CHUNK, |rest| rest.min(CHUNK));
            let read = match reader.read(&mut bytes[..want]) {
                Ok(0) => {
                    return Err(RequestFault::transient(
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
                        "the connection was closed".into()
                    } else {
                        error.to_string()
                    };
                    return Err(RequestFault::transient(
                        &stream.address,
                        format!("{reason} after {at} of {} bytes", self.head.size),
                    ));
                }
            };
            part.write(&bytes[..read])
                .map_err(|error| self.not_writable(&error))?;
            at += read as u64;
            *received += read as u64;
            transfer.at(at);
            if self.has_hash() && failpoint::is_hit("stop_in_download") {
                // Waits with a partial file on disk until a test kills the process.
                std::thread::sleep(std::time::Duration::from_mins(10));
            }
        }
        if !self.has_hash()
            && reader
                .read(&mut bytes[..1])
                .map_err(|error| RequestFault::transient(&stream.address, error.to_string()))?
                > 0
        {
            return Err(RequestFault::transient(
                &stream.address,
                "the server sent more bytes than announced",
            ));
        }
        Ok(())
    }

    /// Hashes the file on disk. Returns the hash if it is not the announced one.
    fn wrong_hash(&self, part: &mut PartialFile) -> Result<Option<String>> {
        if !self.has_hash() {
            return Ok(None);
        }
        let sha256 = part.sha256().map_err(|error| self.not_writable(&error))?;
        Ok((sha256 != self.head.etag).then_some(sha256))
    }

    /// Renames the complete file to its blob.
    fn persist(&self, part: PartialFile) -> Result<()> {
        match part.persist(&self.parts(), &self.blob()) {
            Err(error) if !self.is_correct(&self.blob())? => Err(self.not_writable(&error)),
            _ => Ok(()),
        }
    }

    /// Keeps a partial file for the next run after an interrupt or a network failure. A full disk is not kept full, and bytes without
    /// a hash cannot be verified later.
    fn keep_part(&self, part: PartialFile, error: &Error) {
        let is_useful = self.has_hash() && part.length().is_ok_and(|length| length > 0);
        if is_useful
            && (matches!(error, Error::Interrupted { .. })
                || error.kind() == ErrorKind::HubUnreachable)
        {
            part.keep();
        }
    }

    fn length(&self, part: &PartialFile) -> Result<u64> {
        part.length().map_err(|error| self.not_writable(&error))
    }

    fn clear(&self, part: &mut PartialFile) -> Result<()> {
        part.clear().map_err(|error| self.not_writable(&error))
    }

    fn hash_error(&self, sha256: &str) -> Error {
        Error::Hub {
            place: self.name.to_owned(),
            kind: ErrorKind::WeightsHash,
            reason: format!(
                "the SHA-256 of the received bytes is {sha256}; the hub announced {}",
                self.head.etag
            ),
            hint: format!(
                "a proxy between the hub and this machine may change files; {}",
                self.client.without_hub()
            ),
        }
    }

    fn not_writable(&self, error: &io::Error) -> Error {
        not_writable(self.folder.path(), error)
    }
}

fn stamp(path: &Path) -> Option<files::Stamp> {
    files::Stamp::of(&fs::metadata(path).ok()?)
}

/// Returns the error of a failed write to the cache.
pub(super) fn not_writable(path: &Path, error: &io::Error) -> Error {
    let place = path.display().to_string();
    if files::is_disk_full(error) {
        let hint = format!("free disk space and run this again; {CACHE_HINT}");
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
