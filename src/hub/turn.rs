//! One process at a time downloads a content, where the file system's locks work. They only spare work: where they lie, everybody
//! downloads into a file of its own, and the first to finish puts it in place.

use std::fs::{self, File, TryLockError};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::error::Result;
use crate::failpoint;
use crate::interrupt::Interrupt;
use crate::progress::Transfer;

/// How long the download of another process may stand still before this one does not wait any longer.
const PATIENCE: Duration = Duration::from_mins(2);

/// Between two looks at the lock.
const PAUSE: Duration = Duration::from_millis(100);

/// How the waiting ended.
#[derive(Debug)]
pub(super) enum Turn {
    /// It is this process's turn, for as long as this lives.
    Mine(#[expect(dead_code, reason = "the lock is held while the file is open")] Option<File>),
    /// Another process did the work.
    Done,
}

/// Takes the lock; waits while another process holds it and gets on.
///
/// # Errors
/// [`crate::Error::Interrupted`].
pub(super) fn take(
    lock: &Path,
    name: &str,
    is_done: impl Fn() -> bool,
    grown: impl Fn() -> u64,
    transfer: &mut Transfer,
    interrupt: &Interrupt,
) -> Result<Turn> {
    // Without a lock file, in a folder that cannot be written to, everybody goes on.
    let Some(file) = open(lock) else {
        return Ok(Turn::Mine(None));
    };
    let mut told = false;
    let (mut size, mut since) = (0, Instant::now());
    loop {
        interrupt.check()?;
        if is_done() {
            return Ok(Turn::Done);
        }
        match try_lock(&file) {
            Ok(()) if is_done() => return Ok(Turn::Done),
            Ok(()) => return Ok(Turn::Mine(Some(file))),
            Err(TryLockError::WouldBlock) if since.elapsed() < PATIENCE => {}
            Err(TryLockError::WouldBlock) => {
                transfer.say(&format!(
                    "{name}: the other process does not get on; fetching it here"
                ));
                return Ok(Turn::Mine(None));
            }
            // Some network disks have no locks.
            Err(TryLockError::Error(_)) => return Ok(Turn::Mine(None)),
        }
        if !told {
            transfer.say(&format!("waiting for another dragnext to fetch {name}"));
            told = true;
        }
        let now = grown();
        if now != size {
            (size, since) = (now, Instant::now());
        }
        std::thread::sleep(PAUSE);
    }
}

/// Takes a lock without waiting. A test can make it lie, as some network disks do.
pub(super) fn try_lock(file: &File) -> std::result::Result<(), TryLockError> {
    if failpoint::is_hit("locks_lie") {
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
