//! Runs `dragnext` in a folder of the test's own and compares what it prints with what the test states.
//!
//! A run must end with exit status 0 and print nothing to stdout or stderr unless the test states otherwise. Its environment is empty
//! except for a home folder, a disabled cache and the CPU as device, so that results depend neither on the machine nor on features
//! of the build.

use std::ffi::OsStr;
use std::fmt;
use std::io::{BufRead, BufReader, Write};
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};

use serde_json::Value;

/// A temporary folder of one test, in which the program runs.
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

    /// Sorted names of the files and folders in the test's folder.
    pub(crate) fn names(&self) -> Vec<String> {
        names(self.folder())
    }

    /// `dragnext` with these arguments, to be run in this folder.
    pub(crate) fn dragnext<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Run {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dragnext"));
        command
            .env_clear()
            .env("HOME", self.folder())
            .env("DRAGNEXT_CACHE_LIMIT", "0")
            .env("DRAGNEXT_DEVICE", "cpu")
            .current_dir(self.folder())
            .args(arguments);
        Run::of(command)
    }
}

/// Sorted names of the files and folders in a folder.
pub(crate) fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// A run to come, and what it must print.
pub(crate) struct Run {
    command: Command,
    input: Vec<u8>,
    status: i32,
    stdout: Expected,
    stderr: Expected,
}

/// What a stream must hold.
#[derive(Clone)]
enum Expected {
    Exactly(String),
    /// These parts, in this order.
    Parts(Vec<String>),
}

impl Expected {
    fn add(&mut self, part: &str) {
        match self {
            Self::Exactly(_) => *self = Self::Parts(vec![part.to_owned()]),
            Self::Parts(parts) => parts.push(part.to_owned()),
        }
    }

    fn check(&self, stream: &str, text: &str, ended: &Ended) {
        match self {
            Self::Exactly(expected) => {
                assert!(text == expected, "{stream} must be {expected:?}: {ended}");
            }
            Self::Parts(parts) => {
                let mut rest = text;
                for part in parts {
                    let Some((_, after)) = rest.split_once(part.as_str()) else {
                        panic!(
                            "{stream} must contain {part:?} (after the parts before it): {ended}"
                        )
                    };
                    rest = after;
                }
            }
        }
    }
}

impl Run {
    /// A run of another command, with the same expectations.
    pub(crate) fn of(command: Command) -> Self {
        Self {
            command,
            input: Vec::new(),
            status: 0,
            stdout: Expected::Exactly(String::new()),
            stderr: Expected::Exactly(String::new()),
        }
    }

    pub(crate) fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.command.arg(argument);
        self
    }

    pub(crate) fn args<A: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.command.args(arguments);
        self
    }

    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    pub(crate) fn without_env(mut self, name: &str) -> Self {
        self.command.env_remove(name);
        self
    }

    pub(crate) fn current_dir(mut self, folder: impl AsRef<Path>) -> Self {
        self.command.current_dir(folder);
        self
    }

    pub(crate) fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.input = bytes.into();
        self
    }

    /// The exit status must be this one instead of 0.
    pub(crate) fn status(mut self, status: i32) -> Self {
        self.status = status;
        self
    }

    /// Stdout must be exactly this text.
    pub(crate) fn stdout(mut self, text: impl Into<String>) -> Self {
        self.stdout = Expected::Exactly(text.into());
        self
    }

    /// Stdout must contain this part, after those stated before.
    pub(crate) fn stdout_has(mut self, part: impl AsRef<str>) -> Self {
        self.stdout.add(part.as_ref());
        self
    }

    /// Stderr must be exactly this text.
    pub(crate) fn stderr(mut self, text: impl Into<String>) -> Self {
        self.stderr = Expected::Exactly(text.into());
        self
    }

    /// Stderr must contain this part, after those stated before.
    pub(crate) fn stderr_has(mut self, part: impl AsRef<str>) -> Self {
        self.stderr.add(part.as_ref());
        self
    }

    /// Stdout is for the test to check.
    pub(crate) fn any_stdout(mut self) -> Self {
        self.stdout = Expected::Parts(Vec::new());
        self
    }

    /// Stderr is progress, or for the test to check.
    pub(crate) fn any_stderr(mut self) -> Self {
        self.stderr = Expected::Parts(Vec::new());
        self
    }

    /// Runs the command in a shell after another one, such as `ulimit -f 0`.
    #[cfg(unix)]
    pub(crate) fn after_shell(mut self, first: &str) -> Self {
        let mut shell = Command::new("/bin/sh");
        shell.arg("-c").arg(format!("{first}; exec \"$0\" \"$@\""));
        self.command = under(shell, &self.command);
        self
    }

    /// Runs the command and checks exit status, stdout and stderr.
    pub(crate) fn run(self) -> Ended {
        let Self {
            status,
            stdout,
            stderr,
            ..
        } = &self;
        let (status, stdout, stderr) = (*status, stdout.clone(), stderr.clone());
        let ended = self.ended();
        assert_eq!(ended.status, Some(status), "exit status: {ended}");
        stdout.check("stdout", &ended.stdout, &ended);
        stderr.check("stderr", &ended.stderr, &ended);
        ended
    }

    /// Runs the command without any check, for tests of what cannot be known before.
    pub(crate) fn ended(mut self) -> Ended {
        let input = std::mem::take(&mut self.input);
        let mut child = self.spawn(Stdio::piped());
        let mut stdin = child.stdin.take().unwrap();
        // The program may end before it has read everything.
        let writer = std::thread::spawn(move || drop(stdin.write_all(&input)));
        let ended = Ended::wait(child);
        writer.join().unwrap();
        ended
    }

    /// Runs the command, whose stdout must be one JSON value, and checks exit status and stderr.
    pub(crate) fn record(self) -> Record {
        let ended = self.any_stdout().run();
        assert!(!ended.record.is_null(), "stdout must be JSON: {ended}");
        ended.record
    }

    /// Starts the command and does not wait for it.
    pub(crate) fn start(self) -> Child {
        self.spawn(Stdio::null())
    }

    /// Starts the command with an open stdin and does not wait for it.
    pub(crate) fn start_with_stdin(self) -> Child {
        self.spawn(Stdio::piped())
    }

    /// Starts the command with a failpoint at which it stays, and waits until it is there. The rest of stderr is left to read.
    pub(crate) fn start_at(self, failpoint: &str) -> (Child, BufReader<ChildStderr>) {
        let mut child = self.env("DRAGNEXT_FAILPOINTS", failpoint).start();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let reached = format!("failpoint {}\n", failpoint.split('#').next().unwrap());
        let (mut line, mut all) = (String::new(), String::new());
        while stderr.read_line(&mut line).unwrap() > 0 {
            all += &line;
            if line == reached {
                return (child, stderr);
            }
            line.clear();
        }
        panic!(
            "the run did not reach {failpoint} ({:?}): {all}",
            child.wait()
        );
    }

    /// The command itself, for tests that run it in a way of their own.
    pub(crate) fn into_command(self) -> Command {
        self.command
    }

    fn spawn(mut self, stdin: Stdio) -> Child {
        self.command
            .stdin(stdin)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }
}

/// How a run ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// `None` when a signal ended the run.
    pub(crate) status: Option<i32>,
    #[cfg(unix)]
    pub(crate) signal: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    /// Stdout, if it is one JSON value.
    pub(crate) record: Record,
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            status,
            stdout,
            stderr,
            ..
        } = self;
        write!(
            f,
            "\nstatus: {status:?}\nstdout: {stdout}\nstderr: {stderr}"
        )
    }
}

impl Ended {
    /// Waits for a run that was started.
    pub(crate) fn wait(child: Child) -> Self {
        let output = child.wait_with_output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self {
            status: output.status.code(),
            #[cfg(unix)]
            signal: std::os::unix::process::ExitStatusExt::signal(&output.status),
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
            record: Record(serde_json::from_slice(&output.stdout).unwrap_or_default()),
        }
    }

    /// Asserts the exit status.
    pub(crate) fn assert(self, status: i32) -> Self {
        assert_eq!(self.status, Some(status), "exit status: {self}");
        self
    }

    /// Asserts that stderr contains a text.
    pub(crate) fn stderr_has(self, text: &str) -> Self {
        assert!(
            self.stderr.contains(text),
            "{text:?} is not in stderr: {self}"
        );
        self
    }

    /// Asserts that stderr contains all texts.
    pub(crate) fn stderr_has_all(self, texts: &[&str]) -> Self {
        texts
            .iter()
            .fold(self, |ended, text| ended.stderr_has(text))
    }

    /// Asserts that stderr does not contain a text.
    pub(crate) fn stderr_lacks(self, text: &str) -> Self {
        assert!(!self.stderr.contains(text), "{text:?} is in stderr: {self}");
        self
    }

    /// The records of a command that prints one on each line.
    pub(crate) fn records(&self) -> Vec<Record> {
        let lines = self.stdout.lines().map(serde_json::from_str);
        lines
            .map(|line| Record(line.unwrap_or_else(|error| panic!("{error}: {self}"))))
            .collect()
    }

    /// The record's error kind; empty without an error.
    pub(crate) fn kind(&self) -> &str {
        self.record.kind()
    }

    /// The kinds of the record's warnings.
    pub(crate) fn warnings(&self) -> Vec<&str> {
        self.record.warnings()
    }

    /// The most memory that the process held, by its record.
    pub(crate) fn peak_bytes(&self) -> u64 {
        self.record.peak_bytes()
    }
}

/// A JSON record that the program prints.
#[derive(Debug)]
pub(crate) struct Record(Value);

impl Deref for Record {
    type Target = Value;

    fn deref(&self) -> &Value {
        &self.0
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Record {
    /// The most memory that the process held.
    pub(crate) fn peak_bytes(&self) -> u64 {
        self["peak_bytes"].as_u64().unwrap()
    }

    /// The kind of the error; empty without one.
    pub(crate) fn kind(&self) -> &str {
        self["error"]["kind"].as_str().unwrap_or_default()
    }

    /// The kinds of the warnings.
    pub(crate) fn warnings(&self) -> Vec<&str> {
        let warnings = self["warnings"].as_array().unwrap();
        warnings
            .iter()
            .map(|warning| warning["kind"].as_str().unwrap())
            .collect()
    }
}

/// A command that runs another one, with the environment and folder of that one.
pub(crate) fn under(mut outer: Command, inner: &Command) -> Command {
    outer.arg(inner.get_program()).args(inner.get_args());
    outer.env_clear();
    for (name, value) in inner.get_envs() {
        outer.env(name, value.unwrap_or_default());
    }
    outer.current_dir(inner.get_current_dir().unwrap());
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
