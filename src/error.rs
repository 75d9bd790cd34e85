//! The error type of the crate: one enum with a stable [`ErrorKind`], a hint and an exit status for each case.
//!
//! Messages are lower case and without a full stop; the path comes first and values stand in backticks. The hint is separate
//! from the message, because `--json` has a field of its own for it.

mod drag_file_fault;
mod kind;
mod source_text;

use std::path::PathBuf;

pub use drag_file_fault::{DragFileFault, Excerpt};
pub(crate) use kind::kinds;
pub use kind::{ErrorKind, RecordedKind};
pub(crate) use source_text::SourceText;

/// The result of every fallible function of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// Exit status of a command that did not start because its input is invalid.
pub const NOT_STARTED: u8 = 2;
/// Exit status of a command that failed, or of a batch with at least one failed item.
pub const FAILED: u8 = 1;
/// Exit status of a command that cannot succeed now but may succeed later.
pub const RETRY: u8 = 75;
/// Exit status of a bug; a panic has the same.
pub const BUG: u8 = 101;
/// Exit status after SIGINT; after another signal it is 128 plus the signal's number.
pub const INTERRUPTED: u8 = 130;

/// The hint for a file that does not exist.
pub(crate) const NOT_FOUND: &str = "check the path; a relative path starts at the current folder";

const BUG_HINT: &str = "please report this with the command line and the model's name; with RUST_BACKTRACE=1 in the environment the program prints a backtrace";

/// An error of any part of the crate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The drag file is invalid.
    #[error("{}", list_faults(path, faults))]
    Instruction {
        /// The drag file.
        path: PathBuf,
        /// All faults; never empty.
        faults: Vec<DragFileFault>,
    },

    /// A setting is out of its bounds.
    #[error("{name}: `{value}` {reason}")]
    Setting {
        /// The setting's name, as on the command line.
        name: String,
        /// The given value.
        value: String,
        /// What is wrong with it.
        reason: String,
    },

    /// A picture or mask cannot be read or has the wrong size.
    #[error("{}: {reason}", path.display())]
    Image {
        /// The picture.
        path: PathBuf,
        /// One of `image.*` or `mask.*`.
        kind: ErrorKind,
        /// What is wrong with it.
        reason: String,
        /// What to do; may be empty.
        hint: String,
    },

    /// An output cannot be written or is not accepted.
    #[error("{}: {reason}", path.display())]
    Output {
        /// The output.
        path: PathBuf,
        /// One of `output.*`.
        kind: ErrorKind,
        /// What is wrong with it.
        reason: String,
        /// What to do; may be empty.
        hint: String,
    },

    /// A model's files are missing, damaged, of the wrong format, or do not fit their configuration.
    #[error("{path}: {reason}")]
    Weights {
        /// File or folder.
        path: String,
        /// One of `weights.*`, or `lora.mismatch`.
        kind: ErrorKind,
        /// What is wrong with it.
        reason: String,
        /// What to do; may be empty.
        hint: String,
    },

    /// A model of the hub is not available: now, with the exit status [`RETRY`], or not under this name, for this user or at this address, with
    /// [`NOT_STARTED`].
    #[error("{place}: {reason}")]
    Hub {
        /// Address, file or model.
        place: String,
        /// One of `hub.*`, or `weights.missing`, `weights.hash` or `weights.damaged`.
        kind: ErrorKind,
        /// Why it is not available.
        reason: String,
        /// What to do; may be empty.
        hint: String,
    },

    /// The prompt has more tokens than the text encoder reads.
    #[error(
        "the prompt has {tokens} tokens with its start and end mark; the text encoder reads {limit}"
    )]
    PromptTooLong {
        /// Tokens, with start and end mark.
        tokens: usize,
        /// Positions of the text encoder.
        limit: usize,
    },

    /// A value is infinite or not a number.
    #[error("{stage}, step {step}: {what} is not finite")]
    NotFinite {
        /// The stage of the edit.
        stage: &'static str,
        /// The step of the stage, from 1.
        step: usize,
        /// What was checked.
        what: &'static str,
    },

    /// An optimisation diverged: its latent left the model's range.
    #[error("{stage}, step {step}: the latent diverged at a learning rate of {lr}")]
    Diverged {
        /// The stage of the edit.
        stage: &'static str,
        /// The step of the stage, from 1.
        step: usize,
        /// The learning rate.
        lr: f64,
    },

    /// The requested device or number format cannot be used, or the device failed.
    #[error("{reason}")]
    Device {
        /// One of `device.*`, or `compute.out_of_memory`.
        kind: ErrorKind,
        /// What is wrong.
        reason: String,
        /// What to do; may be empty.
        hint: String,
    },

    /// A signal stopped the run; no result was written.
    #[error("interrupted; no result was written")]
    Interrupted {
        /// The signal's number: 2 or 15.
        signal: i32,
    },

    /// A file cannot be read.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        source: std::io::Error,
    },

    /// Several files, or items of a list, are invalid, each for its own reason.
    #[error("{} {} are wrong", errors.len(), if matches!(errors.first(), Some(Self::Batch { .. })) { "items" } else { "files" })]
    Several {
        /// One error for each; never empty.
        errors: Vec<Error>,
    },

    /// A picture has no readable report of how it was made.
    #[error("{}: {reason}", path.display())]
    Report {
        /// The picture.
        path: PathBuf,
        /// One of `show.*`.
        kind: ErrorKind,
        /// What is wrong with it.
        reason: String,
        /// What to do; may be empty.
        hint: String,
    },

    /// A file or folder given to `check`, `eval`, `new`, `report merge` or `import` is invalid, or does not fit what else is given.
    #[error("{}: {reason}", path.display())]
    Given {
        /// The file or folder.
        path: PathBuf,
        /// One of `check.*`, `records.*`, `manifest.*`, `import.*` or `eval.no_edits`; `instruction.point_outside` for the box of `new`.
        kind: ErrorKind,
        /// What is wrong with it.
        reason: String,
        /// What to do; may be empty.
        hint: String,
    },

    /// A command finished with a negative result: pictures differ, golden edits or methods failed, items or figures are missing.
    #[error("{reason}")]
    Finding {
        /// `compare.differs`, `check.failed`, `check.blessed`, `methods.failed`, `import.failed`, `merge.incomplete`, `eval.failed` or `eval.unavailable`.
        kind: ErrorKind,
        /// What was found.
        reason: String,
        /// What to do; may be empty.
        hint: String,
    },

    /// A batch, or one of its items, failed.
    #[error("{reason}")]
    Batch {
        /// One of `manifest.*` for an invalid item, `item.gone`, or the reason why the run as a whole ended.
        kind: ErrorKind,
        /// What is wrong, and with which item.
        reason: String,
        /// What to do; may be empty.
        hint: String,
    },

    /// A signal stopped a batch; finished items are kept.
    #[error("{reason}")]
    BatchInterrupted {
        /// The signal's number: 2 or 15.
        signal: i32,
        /// How many items remain.
        reason: String,
        /// What to do.
        hint: String,
    },

    /// A panic: the program has a bug.
    #[error("a bug in dragnext: {0}")]
    Bug(
        /// Message and place of the panic.
        String,
    ),

    /// A candle operation failed. This is a bug, because model files are checked before candle reads them.
    #[error("internal error in a tensor operation: {0}")]
    Tensor(#[from] candle_core::Error),
}

impl Error {
    /// Turns a list of errors into a result.
    ///
    /// # Errors
    /// The only one of `errors`, or all of them as [`Error::Several`].
    pub fn all(mut errors: Vec<Self>) -> Result<()> {
        match errors.len() {
            0 => Ok(()),
            1 => Err(errors.remove(0)),
            _ => Err(Self::Several { errors }),
        }
    }

    /// Returns the stable kind that scripts match. Several faults or errors have the kind of the first.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Instruction { faults, .. } => {
                faults.first().map_or(ErrorKind::Bug, |fault| fault.kind)
            }
            Self::Setting { .. } => ErrorKind::Setting,
            Self::Image { kind, .. }
            | Self::Output { kind, .. }
            | Self::Weights { kind, .. }
            | Self::Hub { kind, .. }
            | Self::Device { kind, .. }
            | Self::Report { kind, .. }
            | Self::Given { kind, .. }
            | Self::Finding { kind, .. }
            | Self::Batch { kind, .. } => *kind,
            Self::PromptTooLong { .. } => ErrorKind::InstructionPromptTooLong,
            Self::NotFinite { .. } => ErrorKind::ComputeNotFinite,
            Self::Diverged { .. } => ErrorKind::ComputeDiverged,
            Self::Interrupted { .. } => ErrorKind::Interrupted,
            Self::BatchInterrupted { .. } => ErrorKind::BatchInterrupted,
            Self::File { .. } => ErrorKind::File,
            Self::Several { errors } => errors.first().map_or(ErrorKind::Bug, Self::kind),
            Self::Bug(_) | Self::Tensor(_) => ErrorKind::Bug,
        }
    }

    /// Returns what the user can do about it, if anything.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Instruction { faults, .. } => faults.first().and_then(|fault| fault.hint.clone()),
            Self::Setting { .. } => {
                Some("`dragnext settings` shows every setting with its bounds".into())
            }
            Self::Image { hint, .. }
            | Self::Output { hint, .. }
            | Self::Weights { hint, .. }
            | Self::Hub { hint, .. }
            | Self::Device { hint, .. }
            | Self::Report { hint, .. }
            | Self::Given { hint, .. }
            | Self::Finding { hint, .. }
            | Self::Batch { hint, .. }
            | Self::BatchInterrupted { hint, .. } => (!hint.is_empty()).then(|| hint.clone()),
            Self::PromptTooLong { .. } => Some("shorten the prompt; it may be empty".into()),
            Self::NotFinite { .. } => Some(
                "the model's weights may be damaged, or a learning rate is too high; f32 is the safest --dtype"
                    .into(),
            ),
            Self::Diverged { .. } => Some(
                "lower `--lr`; `--keep-partial true` continues with the best latents so far".into(),
            ),
            Self::File { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
                Some(NOT_FOUND.into())
            }
            Self::File { source, .. } if source.kind() == std::io::ErrorKind::IsADirectory => {
                Some("give the path of a file".into())
            }
            Self::Interrupted { .. } | Self::File { .. } | Self::Several { .. } => None,
            Self::Bug(_) => Some(BUG_HINT.into()),
            Self::Tensor(_) => {
                Some("please report this with the command line and the model's name".into())
            }
        }
    }

    /// Returns the exit status of a command that ends with this error. Several errors have the largest of their statuses.
    pub fn exit_status(&self) -> u8 {
        match self {
            Self::Hub {
                kind: ErrorKind::HubRefused | ErrorKind::HubNotFound | ErrorKind::HubEndpoint,
                ..
            } => NOT_STARTED,
            Self::Hub { .. } => RETRY,
            Self::Interrupted { signal } | Self::BatchInterrupted { signal, .. } => {
                128 + *signal as u8
            }
            Self::Several { errors } => errors.iter().map(Self::exit_status).max().unwrap_or(BUG),
            _ => self.kind().exit_status(),
        }
    }
}

fn list_faults(path: &std::path::Path, faults: &[DragFileFault]) -> String {
    let lines: Vec<String> = faults
        .iter()
        .map(|fault| format!("{}: {fault}", path.display()))
        .collect();
    lines.join("\n")
}
