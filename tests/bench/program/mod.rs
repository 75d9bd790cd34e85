//! Runs `dragnext` in a temporary folder and checks exit status and output.
//!
//! A run must end with exit status 0 and print nothing to stdout or stderr unless the test states otherwise. Its environment is empty
//! except for a home folder, a disabled cache and the CPU as device, so that results depend neither on the machine nor on features
//! of the build.

mod ended;
mod run;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

pub(crate) use ended::{Ended, Record};
pub(crate) use run::Run;

/// The temporary folder of a test, in which the program runs.
pub(crate) struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("the system has a folder for temporary files");
        Self { folder }
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file, and the folders above it that do not exist.
    pub(crate) fn write(&self, name: impl AsRef<Path>, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        path
    }

    pub(crate) fn read(&self, name: impl AsRef<Path>) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap()
    }

    pub(crate) fn text(&self, name: impl AsRef<Path>) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    /// Returns the sorted names of the files and folders in the test's folder.
    pub(crate) fn names(&self) -> Vec<String> {
        names(self.folder())
    }

    /// Returns `dragnext` with these arguments, to be run in this folder.
    pub(crate) fn dragnext<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Run {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dragnext"));
        command
            .env_clear()
            .env("HOME", self.folder())
            .env("DRAGNEXT_CACHE_LIMIT", "0")
            .env("DRAGNEXT_DEVICE", "cpu")
            .current_dir(self.folder())
            .stdin(Stdio::null())
            .args(arguments);
        Run::of(command)
    }
}

/// Returns the sorted names of the files and folders in a folder.
pub(crate) fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// Returns a command that runs `inner` through `outer`, with the environment and the folder of `inner`.
pub(crate) fn under(mut outer: Command, inner: &Command) -> Command {
    outer.arg(inner.get_program()).args(inner.get_args());
    outer.env_clear();
    for (name, value) in inner.get_envs() {
        outer.env(name, value.unwrap_or_default());
    }
    outer.current_dir(inner.get_current_dir().unwrap());
    outer.stdin(Stdio::null());
    outer
}

/// Sends a signal, named as for `kill`, to a process.
#[cfg(unix)]
pub(crate) fn send(signal: &str, child: &Child) {
    let id = child.id().to_string();
    let sent = Command::new("kill")
        .args(["-s", signal, &id])
        .status()
        .unwrap();
    assert!(sent.success(), "kill -s {signal} {id}");
}
