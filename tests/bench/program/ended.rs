//! How a run ended: exit status, output and record.

use std::fmt;
use std::ops::Deref;
use std::process::Child;

use serde_json::Value;

/// A run that has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// `None` when a signal ended the run.
    pub(crate) status: Option<i32>,
    #[cfg(unix)]
    pub(crate) signal: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    /// Stdout, if it is one JSON value; else null.
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

    /// Returns the records of a command that prints one in each line.
    pub(crate) fn records(&self) -> Vec<Record> {
        let lines = self.stdout.lines().map(serde_json::from_str);
        lines
            .map(|line| Record(line.unwrap_or_else(|error| panic!("{error}: {self}"))))
            .collect()
    }

    /// Returns the error kind of the record; empty without an error.
    pub(crate) fn kind(&self) -> &str {
        self.record.kind()
    }

    /// Returns the kinds of the warnings in the record.
    pub(crate) fn warnings(&self) -> Vec<&str> {
        self.record.warnings()
    }

    /// Returns the peak memory of the process, from its record.
    pub(crate) fn peak_bytes(&self) -> u64 {
        self.record.peak_bytes()
    }
}

/// A JSON record that the program printed.
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
    /// Returns the peak memory of the process.
    pub(crate) fn peak_bytes(&self) -> u64 {
        self["peak_bytes"].as_u64().unwrap()
    }

    /// Returns the kind of the error; empty without one.
    pub(crate) fn kind(&self) -> &str {
        self["error"]["kind"].as_str().unwrap_or_default()
    }

    /// Returns the kinds of the warnings.
    pub(crate) fn warnings(&self) -> Vec<&str> {
        let warnings = self["warnings"].as_array().unwrap();
        warnings
            .iter()
            .map(|warning| warning["kind"].as_str().unwrap())
            .collect()
    }
}
