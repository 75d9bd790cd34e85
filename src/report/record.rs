//! The record of one edit: a JSON object with what happened, including times and paths.
//!
//! An edit that failed has a record too. Fields that an edit did not reach are left out. The note inside the PNG
//! ([`crate::edit::Note`]) is different: it has only what decides the pixels.

mod drag;
mod left_out;
#[cfg(test)]
mod tests;

use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Serialize, Serializer};

use super::{Failure, Paths};
use crate::device::{ComputedOn, DeviceCheck};
use crate::error::Error;
use crate::geometry::Window;
use crate::model::AdditionNotes;
use crate::pipeline::{Outcome, Steps};
use crate::plan::Plan;
use crate::progress::Stage;
use crate::warning::{Warning, WarningKind};
pub use drag::{Loss, RegionMotion};
use drag::{TrackRecord, six_digits};
pub use left_out::LeftOut;

/// How an edit ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// The result was written.
    Done,
    /// The edit failed; see `error`.
    Failed,
    /// A signal stopped the edit.
    Interrupted,
}

/// What is known of one edit.
#[derive(Debug, Clone, Serialize)]
pub struct Record {
    /// Version of this format.
    pub v: u8,
    /// The id of the item in a batch; otherwise the picture's name without its extension.
    pub id: String,
    /// How it ended.
    pub status: Status,
    /// Its files, as they were given.
    #[serde(flatten)]
    pub paths: Paths,
    /// SHA-256 of the result's file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub out_sha256: Option<String>,
    /// What the result keeps of the picture's file beside its pixels: `icc`, `exif`, `xmp`, `text`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub kept: Vec<&'static str>,
    /// What the result leaves out on request.
    #[serde(flatten)]
    pub left_out: LeftOut,
    /// Hash of everything that decides the pixels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job: Option<String>,
    /// In a batch, the hash of what the job was made from. Where it is equal, the job is equal, which is found out without planning.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inputs: Option<String>,
    /// The drag method.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<&'static str>,
    /// Seed of all noise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// Width and height of the upright picture.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<[usize; 2]>,
    /// The part of the picture that the network saw: left, top, width and height.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<Window>,
    /// Width and height at which the network saw it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub working: Option<[usize; 2]>,
    /// Working pixels per pixel of the picture. Below 1, the edited area was enlarged afterwards.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scale: Option<f64>,
    /// The device.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// The backend: `own` or `candle`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backend: Option<&'static str>,
    /// The number format.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dtype: Option<String>,
    /// Whether a GPU was checked before it was used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_check: Option<DeviceCheck>,
    /// The model's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// LoRA files that were merged into the model, and embeddings.
    #[serde(flatten)]
    pub additions: AdditionNotes,
    /// How far the drag was carried out, in a series of amounts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub amount: Option<f64>,
    /// How far the result takes what the drag optimised, unless that is 1 outside a series of degrees.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub degree: Option<f64>,
    /// How far each region moved.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub regions: Vec<RegionMotion>,
    /// The drag's loss.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loss: Option<Loss>,
    /// The drag's loss at every iteration, to six digits.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub losses: Vec<f64>,
    /// Where each tracked point was.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tracks: Vec<TrackRecord>,
    /// Number of steps of each stage.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub steps: Option<Steps>,
    /// Seconds of each stage, in order.
    #[serde(serialize_with = "seconds", skip_serializing_if = "Vec::is_empty")]
    pub seconds: Vec<(Stage, f64)>,
    /// Stages whose result was taken from the cache.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cached: Vec<&'static str>,
    /// When it ended, in seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended: Option<f64>,
    /// Number of edits that shared the network, if more than one. `seconds` are those of all of them.
    #[serde(rename = "together", skip_serializing_if = "Option::is_none")]
    pub group_size: Option<usize>,
    /// Peak memory of the device, or of the process, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peak_bytes: Option<u64>,
    /// Conditions that did not stop the edit.
    pub warnings: Vec<Warning>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<Failure>,
}

impl Record {
    /// Returns the record of an edit that has not begun, which counts as failed.
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
            kept: Vec::new(),
            left_out: LeftOut::default(),
            job: None,
            inputs: None,
            method: None,
            seed: None,
            size: None,
            window: None,
            working: None,
            scale: None,
            device: None,
            backend: None,
            dtype: None,
            device_check: None,
            model: None,
            additions: AdditionNotes::default(),
            amount: None,
            degree: None,
            regions: Vec::new(),
            loss: None,
            losses: Vec::new(),
            tracks: Vec::new(),
            steps: None,
            seconds: Vec::new(),
            cached: Vec::new(),
            ended: None,
            group_size: None,
            peak_bytes: None,
            warnings: Vec::new(),
            error: None,
        }
    }

    /// Adds what is known after planning: sizes, regions, warnings, device, backend, number format and model with its additions.
    pub fn planned(&mut self, plan: &Plan, on: ComputedOn, model: &str, additions: &AdditionNotes) {
        let size = plan.frame.source;
        self.method = Some(plan.settings.method.method().name());
        self.seed = Some(plan.settings.diffusion.seed);
        self.size = Some([size.width, size.height]);
        if !plan.regions.is_empty() {
            let content = plan.frame.content;
            self.window = Some(plan.frame.window);
            self.working = Some([content.width, content.height]);
            self.scale = Some((plan.frame.scale().mean() * 1e4).round() / 1e4);
        }
        self.device = Some(on.device.to_owned());
        self.backend = Some(on.backend);
        self.dtype = Some(on.dtype.to_owned());
        self.device_check = on.check.cloned();
        self.model = Some(model.to_owned());
        self.additions = additions.clone();
        if !plan.amount.is_whole() {
            self.amount = Some(plan.amount.value());
        }
        let degree = plan.settings.diffusion.degree;
        if degree != 1.0 {
            self.degree = self.degree.or(Some(degree));
        }
        self.regions = plan
            .regions
            .iter()
            .chain(&plan.still)
            .map(RegionMotion::from)
            .collect();
        self.warnings.extend(plan.warnings.iter().cloned());
    }

    /// Returns the seconds of the edit without loading the model.
    pub fn edit_seconds(&self) -> f64 {
        let of_edit = self
            .seconds
            .iter()
            .filter(|(stage, _)| *stage != Stage::Load);
        of_edit.map(|(_, seconds)| seconds).sum()
    }

    /// Adds what the network computed.
    pub fn computed(&mut self, outcome: &Outcome) {
        self.peak_bytes = outcome.device_peak_bytes;
        let losses = &outcome.losses;
        let ends = losses.first().copied().zip(losses.last().copied());
        self.loss = ends.map(|(first, last)| Loss { first, last });
        self.losses = losses.iter().copied().map(six_digits).collect();
        self.tracks = outcome.tracks.iter().map(TrackRecord::from).collect();
        self.steps = Some(outcome.steps);
        self.seconds.clone_from(&outcome.seconds);
        self.cached = outcome.cached.iter().map(|stage| stage.name()).collect();
        self.warnings.extend(outcome.warnings.iter().cloned());
        if outcome.diverged > 0 {
            self.warnings.push(Warning {
                kind: WarningKind::DragDiverged,
                message: format!(
                    "the drag diverged at {} of its timesteps and continued with the best latents so far",
                    outcome.diverged
                ),
            });
        }
        if let Some(first) = outcome.lora_absent.first() {
            self.warnings.push(Warning {
                kind: WarningKind::LoraPartial,
                message: format!(
                    "the LoRA file has no weights for {} of the model's attention layers, such as `{first}`",
                    outcome.lora_absent.len()
                ),
            });
        }
    }

    /// Ends the record of an edit whose result was written: a file with this hash that keeps these things.
    pub fn done(&mut self, out_sha256: String, kept: Vec<&'static str>) {
        self.status = Status::Done;
        self.kept = kept;
        self.out_sha256 = Some(out_sha256);
        self.error = None;
        self.ended = now();
    }

    /// Ends the record of an edit that failed or was interrupted.
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

/// Returns the seconds since 1970, to the millisecond; `None` if the clock is set to an earlier time.
fn now() -> Option<f64> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    Some(since.as_millis() as f64 / 1e3)
}

/// Serialises the seconds of the stages as a JSON object, in order, to the millisecond.
fn seconds<S: Serializer>(seconds: &[(Stage, f64)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(
        seconds
            .iter()
            .map(|(stage, seconds)| (stage.name(), (seconds * 1000.0).round() / 1000.0)),
    )
}
