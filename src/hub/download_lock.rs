//! A lock that lets one process at a time download a blob. It only saves work: on file systems whose locks do not work, every
//! process downloads to its own file, and the first to finish puts it in place.

use std::fs::{self, File, TryLockError};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::error::Result;
use crate::failpoint;
use crate::interrupt::Interrupt;
use crate::progress::Transfer;

/// How long another process's download may make no progress before this process stops waiting.
const STALL_TIMEOUT: Duration = Duration::from_mins(2);

/// Pause between two attempts to take the lock.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// The outcome of [`acquire`].
#[derive(Debug)]
pub(super) enum Acquired {
    /// This process downloads. The lock, if there is one, is held while this value lives.
    Lock(#[expect(dead_code, reason = "the lock is held while the file is open")] Option<File>),
    /// Another process finished the download.
    Finished,
}

/// Takes the lock; waits while another process holds it and makes progress.
///
/// `name` is the file in messages, `is_finished` tells whether the blob is complete, `downloaded` gives the bytes that the other
/// process has so far.
///
/// # Errors
/// [`crate::Error::Interrupted`].
pub(super) fn acquire(
    lock: &Path,
    name: &str,
    is_finished: impl Fn() -> bool,
    downloaded: impl Fn() -> u64,
    transfer: &mut Transfer,
    interrupt: &Interrupt,
) -> Result<Acquired> {
    // A read-only folder has no lock file.
    let Some(file) = open(lock) else {
        return Ok(Acquired::Lock(None));
    };
    let mut has_reported = false;
    let (mut size, mut since) = (0, Instant::now());
    loop {
        interrupt.check()?;
        if is_finished() {
            return Ok(Acquired::Finished);
        }
        match try_lock(&file) {
            Ok(()) if is_finished() => return Ok(Acquired::Finished),
            Ok(()) => return Ok(Acquired::Lock(Some(file))),
            Err(TryLockError::WouldBlock) if since.elapsed() < STALL_TIMEOUT => {}
            Err(TryLockError::WouldBlock) => {
                transfer.say(&format!(
                    "{name}: the other process makes no progress; fetching it here"
                ));
                return Ok(Acquired::Lock(None));
            }
            // Some network file systems have no locks.
            Err(TryLockError::Error(_)) => return Ok(Acquired::Lock(None)),
        }
        if !has_reported {
            transfer.say(&format!("waiting for another dragnext to fetch {name}"));
            has_reported = true;
        }
        let now = downloaded();
        if now != size {
            (size, since) = (now, Instant::now());
        }
        std::thread::sleep(POLL_INTERVAL);
    }
}

/// Takes a lock without waiting. A failpoint makes it succeed always, as on some network file systems.
pub(super) fn try_lock(file: &File) -> std::result::Result<(), TryLockError> {
    if failpoint::is_hit("locks_always_succeed") {
        Ok(())
    } else {
        file.try_lock()
    }
}

fn open(lock: &Path) -> Option<File> {
    fs::create_dir_all(lock.parent()?).ok()?;
    File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(lock)
        .ok()
}
