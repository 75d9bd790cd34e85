//! What can go wrong, as one enum: each case has a stable kind, a hint and an exit status.
//!
//! Messages follow one style: lower case, no full stop, the path first, values in backticks. The hint is a
//! separate sentence, because `--json` carries it as its own field.

use std::path::PathBuf;

use crate::drag_file::DragFileFault;

/// Result of everything in this crate that can fail.
pub type Result<T> = std::result::Result<T, Error>;

/// Exit status of a run that was not started because of what it was given.
pub const NOT_STARTED: u8 = 2;
/// Exit status of a run that finished with at least one failed item.
pub const FAILED: u8 = 1;
/// Exit status of a run that could not be done now, but perhaps later.
pub const RETRY: u8 = 75;
/// Exit status of a run that met a bug; a panic has the same.
pub const BUG: u8 = 101;

/// What to do about a file that is not there.
pub(crate) const NOT_FOUND: &str = "check the path; a relative one starts at the current folder";

const BUG_HINT: &str = "please report this with the command line and the model's name; with RUST_BACKTRACE=1 in the environment, the program says how it came there";

/// Everything that stops an edit.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The drag file is wrong; every fault that was found.
    #[error("{}", list_faults(path, faults))]
    Instruction {
        /// The drag file.
        path: PathBuf,
        /// What is wrong with it; never empty.
        faults: Vec<DragFileFault>,
    },

    /// A value of the command line or of a setting is out of its bounds.
    #[error("{name}: `{value}` {reason}")]
    Setting {
        /// The setting's name, as on the command line.
        name: String,
        /// What was given.
        value: String,
        /// What is wrong with it.
        reason: String,
    },

    /// The picture could not be read.
    #[error("{}: {reason}", path.display())]
    Image {
        /// The picture.
        path: PathBuf,
        /// `image.decode`, `image.too_large`, `image.too_small`, `image.missing`, `image.unsupported` or `image.size`.
        kind: &'static str,
        /// What is wrong with it.
        reason: String,
        /// What to do.
        hint: String,
    },

    /// The result could not be written, or may not be.
    #[error("{}: {reason}", path.display())]
    Output {
        /// The output.
        path: PathBuf,
        /// `output.exists`, `output.is_input`, `output.is_link`, `output.not_a_file`, `output.not_distinct`, `output.folder`,
        /// `output.format`, `output.appeared`, `output.write`, `output.disk_full` or `output.verify`.
        kind: &'static str,
        /// What is wrong with it.
        reason: String,
        /// What to do.
        hint: String,
    },

    /// The model's files are missing, damaged, of the wrong format, or do not fit their configuration.
    #[error("{path}: {reason}")]
    Weights {
        /// File or folder.
        path: String,
        /// `weights.missing`, `weights.damaged`, `weights.mismatch`, `weights.format`, `weights.unsupported` or `lora.mismatch`.
        kind: &'static str,
        /// What is wrong with it.
        reason: String,
        /// What to do.
        hint: String,
    },

    /// A model of the hub cannot be had now: not fetched, not reached, or damaged in the cache.
    #[error("{place}: {reason}")]
    Hub {
        /// Address, file or model.
        place: String,
        /// `weights.missing`, `weights.hash`, `weights.damaged`, `hub.unreachable`, `hub.refused`, `hub.not_found`, `hub.answer`,
        /// `hub.cache` or `hub.disk_full`.
        kind: &'static str,
        /// Why not.
        reason: String,
        /// What to do.
        hint: String,
    },

    /// The prompt has more tokens than the text encoder reads.
    #[error(
        "the prompt has {tokens} tokens with its start and end mark; the text encoder reads {limit}"
    )]
    PromptTooLong {
        /// Tokens with start and end.
        tokens: usize,
        /// Positions of the text encoder.
        limit: usize,
    },

    /// A number stopped being a number.
    #[error("{stage}, step {step}: {what} is not finite")]
    NotFinite {
        /// The stage of the edit.
        stage: &'static str,
        /// The step inside the stage, from 1.
        step: usize,
        /// What was checked.
        what: &'static str,
    },

    /// An optimisation ran away: its latent is no latent of the model any more.
    #[error("{stage}, step {step}: the latent diverged at a learning rate of {lr}")]
    Diverged {
        /// The stage of the edit.
        stage: &'static str,
        /// The step inside the stage, from 1.
        step: usize,
        /// The learning rate.
        lr: f64,
    },

    /// The device or the number format asked for cannot be used, or not any more.
    #[error("{reason}")]
    Device {
        /// `device.none`, `device.dtype`, `device.lost`, `device.refused` or `compute.out_of_memory`.
        kind: &'static str,
        /// Why.
        reason: String,
        /// What to do.
        hint: String,
    },

    /// A signal asked for a stop; nothing was written.
    #[error("interrupted; no result was written")]
    Interrupted {
        /// The signal's number: 2 or 15.
        signal: i32,
    },

    /// A file could not be read.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },

    /// Several files, or items of a list, are wrong, each for its own reason.
    #[error("{} {} are wrong", errors.len(), if matches!(errors.first(), Some(Self::Batch { .. })) { "items" } else { "files" })]
    Several {
        /// One for each file; never empty.
        errors: Vec<Error>,
    },

    /// A picture does not say how it was made, or not so that it can be read.
    #[error("{}: {reason}", path.display())]
    Report {
        /// The picture.
        path: PathBuf,
        /// `show.not_png`, `show.no_report`, `show.damaged` or `show.version`.
        kind: &'static str,
        /// What is wrong with it.
        reason: String,
        /// What to do.
        hint: String,
    },

    /// A file or folder that a run was given for its work is not what it should be.
    #[error("{}: {reason}", path.display())]
    Given {
        /// The file or folder.
        path: PathBuf,
        /// `check.no_cases`, `check.case`, `check.limits`, `records.unreadable`, `manifest.line`, `manifest.duplicate_id` or `manifest.elsewhere`.
        kind: &'static str,
        /// What is wrong with it.
        reason: String,
        /// What to do.
        hint: String,
    },

    /// A run was finished, and what it looked at is not as it should be.
    #[error("{reason}")]
    Finding {
        /// `compare.differs`, `check.failed`, `check.blessed` or `merge.incomplete`.
        kind: &'static str,
        /// What was found.
        reason: String,
        /// What to do.
        hint: String,
    },

    /// A batch, or one of its items, cannot be done as it was asked for.
    #[error("{reason}")]
    Batch {
        /// `manifest.*` for what is wrong with the list of items, `item.gone`, or `batch.*` for how a run as a whole ended.
        kind: &'static str,
        /// What is the matter, with its place.
        reason: String,
        /// What to do.
        hint: String,
        /// The exit status of a run that ends with it.
        status: u8,
    },

    /// The program met a state that it rules out.
    #[error("a bug in dragnext: {0}")]
    Bug(
        /// What a panic said, and where.
        String,
    ),

    /// A candle operation refused: a bug, since model files are checked before candle sees them.
    #[error("internal error in a tensor operation: {0}")]
    Tensor(#[from] candle_core::Error),
}

impl Error {
    /// Nothing wrong, one thing, or several.
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

    /// The stable name that scripts match; messages may change, kinds do not.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Instruction { faults, .. } => {
                faults.first().map_or("instruction", |fault| fault.kind)
            }
            Self::Setting { .. } => "setting",
            Self::Image { kind, .. }
            | Self::Output { kind, .. }
            | Self::Weights { kind, .. }
            | Self::Hub { kind, .. }
            | Self::Device { kind, .. }
            | Self::Report { kind, .. }
            | Self::Given { kind, .. }
            | Self::Finding { kind, .. }
            | Self::Batch { kind, .. } => kind,
            Self::PromptTooLong { .. } => "instruction.prompt_too_long",
            Self::NotFinite { .. } => "compute.not_finite",
            Self::Diverged { .. } => "compute.diverged",
            Self::Interrupted { .. } => "interrupted",
            Self::File { .. } => "file",
            Self::Several { errors } => errors.first().map_or("instruction", Self::kind),
            Self::Bug(_) | Self::Tensor(_) => "bug",
        }
    }

    /// What the user can do about it, where there is something.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Instruction { faults, .. } => faults.first().and_then(|fault| fault.hint.clone()),
            Self::Setting { .. } => Some("`dragnext settings` shows every setting with its bounds".into()),
            Self::Image { hint, .. }
            | Self::Output { hint, .. }
            | Self::Weights { hint, .. }
            | Self::Hub { hint, .. }
            | Self::Device { hint, .. }
            | Self::Report { hint, .. }
            | Self::Given { hint, .. }
            | Self::Finding { hint, .. }
            | Self::Batch { hint, .. } => (!hint.is_empty()).then(|| hint.clone()),
            Self::PromptTooLong { .. } => Some("shorten the prompt; an empty prompt works too".into()),
            Self::NotFinite { .. } => {
                Some("the model's weights may be damaged, or a learning rate is too high; f32 is the safest --dtype".into())
            }
            Self::Diverged { .. } => Some("lower `--lr`; `--keep-partial true` goes on with the best latents there were".into()),
            Self::File { source, .. } if source.kind() == std::io::ErrorKind::NotFound => Some(NOT_FOUND.into()),
            Self::Interrupted { .. } | Self::File { .. } | Self::Several { .. } => None,
            Self::Bug(_) => Some(BUG_HINT.into()),
            Self::Tensor(_) => Some("please report this with the command line and the model's name".into()),
        }
    }

    /// The exit status of a single edit that ended with this error.
    pub fn exit_status(&self) -> u8 {
        match self {
            Self::Output { kind, .. } => match *kind {
                "output.disk_full" => RETRY,
                "output.appeared" | "output.write" | "output.verify" => FAILED,
                _ => NOT_STARTED,
            },
            Self::Hub { .. }
            | Self::Device {
                kind: "device.lost",
                ..
            } => RETRY,
            Self::NotFinite { .. }
            | Self::Diverged { .. }
            | Self::Finding { .. }
            | Self::Device {
                kind: "compute.out_of_memory" | "device.refused",
                ..
            } => FAILED,
            Self::Interrupted { signal } => 128 + *signal as u8,
            Self::Batch { status, .. } => *status,
            Self::Several { errors } => errors
                .iter()
                .map(Self::exit_status)
                .max()
                .unwrap_or(NOT_STARTED),
            Self::Bug(_) | Self::Tensor(_) => BUG,
            Self::Instruction { .. }
            | Self::Setting { .. }
            | Self::PromptTooLong { .. }
            | Self::Image { .. }
            | Self::Weights { .. }
            | Self::Device { .. }
            | Self::Report { .. }
            | Self::Given { .. }
            | Self::File { .. } => NOT_STARTED,
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
