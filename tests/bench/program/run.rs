//! A run of a command, with the exit status and the output that the test expects.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};

use super::{Ended, Record, under};

/// A command to run, and what it must print.
pub(crate) struct Run {
    command: Command,
    input: Vec<u8>,
    status: i32,
    stdout: Expected,
    stderr: Expected,
}

/// What a stream must contain.
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
    /// Returns a run of another command, with the same expectations.
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

    /// Expects this exit status instead of 0.
    pub(crate) fn status(mut self, status: i32) -> Self {
        self.status = status;
        self
    }

    /// Expects exactly this text on stdout.
    pub(crate) fn stdout(mut self, text: impl Into<String>) -> Self {
        self.stdout = Expected::Exactly(text.into());
        self
    }

    /// Expects this part on stdout, after the parts stated before.
    pub(crate) fn stdout_has(mut self, part: impl AsRef<str>) -> Self {
        self.stdout.add(part.as_ref());
        self
    }

    /// Expects exactly this text on stderr.
    pub(crate) fn stderr(mut self, text: impl Into<String>) -> Self {
        self.stderr = Expected::Exactly(text.into());
        self
    }

    /// Expects this part on stderr, after the parts stated before.
    pub(crate) fn stderr_has(mut self, part: impl AsRef<str>) -> Self {
        self.stderr.add(part.as_ref());
        self
    }

    /// Accepts any stdout.
    pub(crate) fn any_stdout(mut self) -> Self {
        self.stdout = Expected::Parts(Vec::new());
        self
    }

    /// Accepts any stderr, such as progress.
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

    /// Runs the command without a check.
    pub(crate) fn ended(mut self) -> Ended {
        let input = std::mem::take(&mut self.input);
        let mut child = self.spawn(Stdio::piped());
        let mut stdin = child.stdin.take().unwrap();
        // The program may end before it reads all of it.
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

    /// Starts the command with a failpoint at which it hangs, and waits until it gets there. Returns the rest of stderr.
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

    /// Runs the program with these bytes on stdin, which must succeed, and returns its stdout, which need not be text.
    pub(crate) fn stdout_bytes(self, stdin: &str) -> Vec<u8> {
        use std::io::Write;
        let mut command = self.into_command();
        let mut child = command
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(stdin.as_bytes())
            .unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success());
        output.stdout
    }

    /// Returns the command, for tests that run it in another way.
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
