//! The record of one edit: one JSON object, complete whether the edit succeeded or not.

use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Serialize, Serializer};

use super::Paths;
use crate::error::{DragFileFault, Error, ErrorKind};
use crate::geometry::Window;
use crate::progress::Stage;
use crate::warning::Warning;

/// How an edit ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// The result is on the disk.
    Done,
    /// Something was wrong; see `error`.
    Failed,
    /// A signal asked for a stop.
    Interrupted,
}

/// What is known of one edit. Fields that an edit did not reach are left out.
#[derive(Debug, Serialize)]
pub struct Record {
    /// Version of this format.
    pub v: u8,
    /// The picture's name without its extension.
    pub id: String,
    /// How it ended.
    pub status: Status,
    /// Its files, as they were given.
    #[serde(flatten)]
    pub paths: Paths,
    /// SHA-256 of the result's file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub out_sha256: Option<String>,
    /// Hash of all that decides the pixels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job: Option<String>,
    /// Hash of what the job was made from, in a batch: where it is the same, the job is, and nothing need be planned to know it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inputs: Option<String>,
    /// The drag method.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<&'static str>,
    /// Seed of all noise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// Width and height of the picture, upright.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<[usize; 2]>,
    /// The part of the picture that the network saw: left, top, width and height.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<Window>,
    /// Size at which it was seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub working: Option<[usize; 2]>,
    /// Working pixels per pixel of the picture; below 1 the edited area was enlarged by its inverse.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scale: Option<f64>,
    /// The device that computed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// The number format.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dtype: Option<String>,
    /// The model's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// What moved how far.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub regions: Vec<Moved>,
    /// The drag's loss.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loss: Option<Loss>,
    /// Steps of each stage.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub steps: Option<crate::pipeline::Steps>,
    /// Seconds of each stage, in order.
    #[serde(serialize_with = "seconds", skip_serializing_if = "Vec::is_empty")]
    pub seconds: Vec<(Stage, f64)>,
    /// Stages whose result was taken from the cache.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cached: Vec<&'static str>,
    /// When it ended: seconds since 1970, for who asks which of two records is newer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended: Option<f64>,
    /// So many edits went through the network side by side; the seconds are those of all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub together: Option<usize>,
    /// Most memory the process held, where the system tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peak_bytes: Option<u64>,
    /// What the user should know, although it stopped nothing.
    pub warnings: Vec<Warning>,
    /// What went wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<Failure>,
}

/// How far a region moved.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Moved {
    /// The region's name in the drag file.
    pub id: String,
    /// Distance from handle to target, in pixels of the picture.
    pub moved_px: f64,
}

/// The drag's loss at its first and its last iteration.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Loss {
    /// First iteration.
    pub first: f64,
    /// Last iteration.
    pub last: f64,
}

/// A place in a drag file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Place {
    /// JSON pointer to the value; empty for the whole file.
    pub pointer: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// The `id` of the region, where the file gives one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
}

/// An error as data. `kind` is stable, `message` is for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// The stable name.
    pub kind: ErrorKind,
    /// What went wrong.
    pub message: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Where in a drag file; of several faults, the first.
    #[serde(flatten)]
    pub place: Option<Place>,
    /// Each fault, when a drag file has several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<Failure>,
}

impl Record {
    /// The record of an edit that has not begun. It counts as failed until its result is on the disk.
    pub fn new(paths: Paths) -> Self {
        Self {
            v: 1,
            id: paths
                .image
                .file_stem()
                .map(|stem| stem.to_string_lossy().into_owned())
                .unwrap_or_default(),
            status: Status::Failed,
            paths,
            out_sha256: None,
            job: None,
            inputs: None,
            method: None,
            seed: None,
            size: None,
            window: None,
            working: None,
            scale: None,
            device: None,
            dtype: None,
            model: None,
            regions: Vec::new(),
            loss: None,
            steps: None,
            seconds: Vec::new(),
            cached: Vec::new(),
            ended: None,
            together: None,
            peak_bytes: None,
            warnings: Vec::new(),
            error: None,
        }
    }

    /// The result with this hash is on the disk.
    pub fn done(&mut self, out_sha256: String) {
        self.status = Status::Done;
        self.out_sha256 = Some(out_sha256);
        self.error = None;
        self.ended = now();
    }

    /// The edit ended with `error`.
    pub fn fail(&mut self, error: &Error) {
        self.status = if matches!(error, Error::Interrupted { .. }) {
            Status::Interrupted
        } else {
            Status::Failed
        };
        self.error = Some(Failure::from(error));
        self.ended = now();
    }
}

/// Seconds since 1970, in milliseconds' precision; `None` where the clock stands before that.
fn now() -> Option<f64> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    Some(since.as_millis() as f64 / 1e3)
}

impl From<&Error> for Failure {
    fn from(error: &Error) -> Self {
        let faults = match error {
            Error::Instruction { faults, .. } => faults.as_slice(),
            _ => &[],
        };
        let place = faults.first().map(Place::from);
        let faults = if faults.len() > 1 {
            faults.iter().map(Self::from).collect()
        } else {
            Vec::new()
        };
        Self {
            kind: error.kind(),
            message: error.to_string(),
            hint: error.hint(),
            place,
            faults,
        }
    }
}

/// Its message stands alone: the place has fields of its own.
impl From<&DragFileFault> for Failure {
    fn from(fault: &DragFileFault) -> Self {
        let (message, hint, place) = (
            fault.message.clone(),
            fault.hint.clone(),
            Some(Place::from(fault)),
        );
        Self {
            kind: fault.kind,
            message,
            hint,
            place,
            faults: Vec::new(),
        }
    }
}

impl From<&DragFileFault> for Place {
    fn from(fault: &DragFileFault) -> Self {
        Self {
            pointer: fault.pointer.clone(),
            line: fault.line,
            column: fault.column,
            region: fault.region.clone(),
        }
    }
}

/// The most memory this process held so far, in bytes; `None` where the system has no `/proc`.
pub fn peak_bytes() -> Option<u64> {
    peak_of(&std::fs::read_to_string("/proc/self/status").ok()?)
}

fn peak_of(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

/// A JSON object in the order of the stages, in milliseconds' precision.
fn seconds<S: Serializer>(seconds: &[(Stage, f64)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(
        seconds
            .iter()
            .map(|(stage, seconds)| (stage.name(), (seconds * 1000.0).round() / 1000.0)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edit_that_never_began_says_so_and_nothing_else() {
        let mut record = Record::new(Paths {
            image: "in/cat.png".into(),
            drag: Some("cat.json".into()),
            like: None,
            out: "in/cat.edited.png".into(),
        });
        record.fail(&Error::PromptTooLong {
            tokens: 90,
            limit: 77,
        });
        assert!(
            record.ended.take().is_some_and(|seconds| seconds > 1.7e9),
            "the clock of today"
        );
        let expected = concat!(
            r#"{"v":1,"id":"cat","status":"failed","image":"in/cat.png","drag":"cat.json","out":"in/cat.edited.png","warnings":[],"#,
            r#""error":{"kind":"instruction.prompt_too_long","#,
            r#""message":"the prompt has 90 tokens with its start and end mark; the text encoder reads 77","#,
            r#""hint":"shorten the prompt; it may be empty"}}"#,
        );
        assert_eq!(
            serde_json::to_string(&record).expect("a record is text and numbers"),
            expected
        );
    }

    #[test]
    fn stages_keep_their_order() {
        let mut record = Record::new(Paths::default());
        record.seconds = vec![
            (Stage::Load, 0.94),
            (Stage::Encode, 0.123_456),
            (Stage::Decode, 2.0),
        ];
        let json = serde_json::to_string(&record).expect("a record is text and numbers");
        assert!(
            json.contains(r#""seconds":{"load":0.94,"encode":0.123,"decode":2.0}"#),
            "{json}"
        );
    }

    #[test]
    fn an_interrupted_edit_did_not_fail() {
        let mut record = Record::new(Paths::default());
        record.fail(&Error::Interrupted { signal: 2 });
        assert_eq!(record.status, Status::Interrupted);
    }

    #[test]
    fn peak_memory_is_read_from_the_status_of_the_process() {
        assert_eq!(
            peak_of("Name:\tdragnext\nVmHWM:\t    2048 kB\nVmRSS:\t 12 kB\n"),
            Some(2 << 20)
        );
        assert_eq!(peak_of("Name:\tdragnext\n"), None);
    }
}
