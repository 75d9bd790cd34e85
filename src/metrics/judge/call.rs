//! One call of a judge: a process that gets a request on stdin and prints a reply.
//!
//! On Unix the process leads a group of its own, so that what it started ends with it when it takes too long, keeps its output open, or the
//! evaluation is interrupted.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use crate::error::Result;
use crate::interrupt::Interrupt;

/// Most bytes that are read of a reply, and of messages.
const MOST_BYTES: u64 = 1 << 20;
/// How often a running judge is looked at.
const POLL: Duration = Duration::from_millis(10);
/// Most characters of a judge's message that are shown.
const MOST_CHARACTERS: usize = 200;

/// What a judge printed, or why there is no reply.
pub(super) type Reply = std::result::Result<Vec<u8>, String>;

/// A program with its arguments, and the time that a call of it may take.
#[derive(Debug)]
pub(super) struct Program {
    path: PathBuf,
    arguments: Vec<String>,
    limit: Duration,
}

impl Program {
    /// Creates a program from a command of words that spaces separate. Returns why it cannot be started, as far as that can be known before.
    pub(super) fn new(command: &str, limit: Duration) -> std::result::Result<Self, String> {
        let mut words = command.split_whitespace().map(str::to_owned);
        let path = PathBuf::from(words.next().ok_or("the command is empty")?);
        check_exists(&path)?;
        Ok(Self {
            path,
            arguments: words.collect(),
            limit,
        })
    }

    /// Runs the program once and returns what it printed, or what went wrong.
    ///
    /// # Errors
    /// [`crate::Error::Interrupted`].
    pub(super) fn call(&self, request: &str, interrupt: &Interrupt) -> Result<Reply> {
        let mut command = Command::new(&self.path);
        command
            .args(&self.arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut child = match command.spawn() {
            Ok(child) => child,
            Err(error) => return Ok(Err(format!("cannot be started: {error}"))),
        };
        // Reading and writing have threads of their own, because a judge may do neither. They end with the judge's pipes.
        if let Some(mut stdin) = child.stdin.take() {
            let request = request.to_owned();
            // A judge need not read its input.
            thread::spawn(move || stdin.write_all(request.as_bytes()));
        }
        let reply = child.stdout.take().map(read);
        let messages = child.stderr.take().map(read);
        let deadline = Instant::now() + self.limit;
        let status = loop {
            if let Err(error) = interrupt.check() {
                end(&mut child);
                return Err(error);
            }
            match child.try_wait() {
                Ok(Some(status)) => break status,
                Ok(None) if Instant::now() < deadline => thread::sleep(POLL),
                Ok(None) => {
                    end(&mut child);
                    let seconds = self.limit.as_secs_f64();
                    return Ok(Err(format!("took more than {seconds} seconds")));
                }
                Err(error) => {
                    end(&mut child);
                    return Ok(Err(error.to_string()));
                }
            }
        };
        if !status.success() {
            end_group(&child);
            let message = messages.and_then(|messages| messages.recv_timeout(10 * POLL).ok());
            let message = message.as_deref().and_then(last_line);
            let message = message.map_or(String::new(), |line| format!(": {line}"));
            return Ok(Err(format!("failed: {status}{message}")));
        }
        // A process that the judge left behind may hold the pipe open.
        let wait = deadline.saturating_duration_since(Instant::now()).max(POLL);
        if let Some(Ok(reply)) = reply.map(|reply| reply.recv_timeout(wait)) {
            return Ok(Ok(reply));
        }
        end_group(&child);
        Ok(Err("did not close its output".into()))
    }
}

/// Reads a pipe in a thread of its own. What cannot be read counts as its end.
fn read(pipe: impl Read + Send + 'static) -> Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = pipe.take(MOST_BYTES).read_to_end(&mut bytes);
        let _ = sender.send(bytes);
    });
    receiver
}

/// Returns the last line of messages that is not empty, shortened.
fn last_line(messages: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(messages);
    let line = text.lines().rfind(|line| !line.trim().is_empty())?;
    Some(line.trim().chars().take(MOST_CHARACTERS).collect())
}

/// Ends the judge and what it started.
fn end(child: &mut Child) {
    end_group(child);
    // It may have ended by itself.
    let _ = child.kill();
    let _ = child.wait();
}

/// Kills every process of the group that the judge leads, or led.
#[cfg(unix)]
#[allow(unsafe_code)]
fn end_group(child: &Child) {
    let Ok(group) = libc::pid_t::try_from(child.id()) else {
        return;
    };
    // SAFETY: takes numbers only. The group is the child's own, created with it; without a process left in it, the call does nothing.
    unsafe {
        libc::kill(-group, libc::SIGKILL);
    }
}

#[cfg(not(unix))]
fn end_group(_: &Child) {}

/// Returns why a program cannot be started: it is not there, or not a program. A name without a folder is looked for where a shell would.
#[cfg(unix)]
fn check_exists(program: &Path) -> std::result::Result<(), String> {
    use std::os::unix::fs::PermissionsExt;
    let is_program = |path: &Path| {
        let found = std::fs::metadata(path);
        found.is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
    };
    let has_folder = program.components().count() > 1 || program.is_absolute();
    if has_folder {
        return match std::fs::metadata(program) {
            Err(error) => Err(format!("`{}`: {error}", program.display())),
            Ok(_) if is_program(program) => Ok(()),
            Ok(_) => Err(format!("`{}` is not an executable file", program.display())),
        };
    }
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let mut folders = std::env::split_paths(&folders);
    if folders.any(|folder| is_program(&folder.join(program))) {
        return Ok(());
    }
    let name = program.display();
    Err(format!("no folder of PATH has a program `{name}`"))
}

/// The system's own search is tried when it is started.
#[cfg(not(unix))]
fn check_exists(_: &Path) -> std::result::Result<(), String> {
    Ok(())
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn programs_are_looked_for_before_anything_is_measured() {
        let limit = Duration::from_secs(5);
        let refused = |command: &str| Program::new(command, limit).expect_err(command);
        assert_eq!(refused("  "), "the command is empty");
        assert!(refused("/no/such/judge --fast").starts_with("`/no/such/judge`: "));
        assert!(refused("no-such-judge").contains("no folder of PATH"));
        assert!(refused("./Cargo.toml").contains("not an executable file"));
        assert!(refused("/tmp").contains("not an executable file"));
        assert!(Program::new("sh -c true", limit).is_ok());
    }

    #[test]
    fn the_last_line_of_messages_is_shown() {
        assert_eq!(last_line(b"a\nno key\n\n").as_deref(), Some("no key"));
        assert_eq!(last_line(b"\n"), None);
        let long = vec![b'x'; 1000];
        assert_eq!(
            last_line(&long).map(|line| line.len()),
            Some(MOST_CHARACTERS)
        );
    }
}
