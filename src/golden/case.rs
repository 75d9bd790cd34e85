//! One golden edit and its files.

use std::path::{Path, PathBuf};

use super::Thresholds;
use crate::error::{Error, ErrorKind, Result};

pub(super) const DRAG: &str = "drag.json";
const EXPECTED: &str = "expected.png";
const LIMITS: &str = "check.json";
const INPUTS: [&str; 4] = ["input.png", "input.jpg", "input.jpeg", "input.webp"];

/// One golden edit.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Case {
    /// The folder's name.
    pub name: String,
    /// The picture.
    pub image: PathBuf,
    /// The drag file.
    pub drag: PathBuf,
    /// The expected picture, which may not exist yet.
    pub expected: PathBuf,
    /// The case's own limits.
    pub thresholds: Thresholds,
}

impl Case {
    /// Returns the case in a folder. Reads its limits, but not its pictures or its drag file.
    ///
    /// # Errors
    /// [`Error::Given`]: `check.case` or `check.limits`.
    pub(super) fn open(folder: &Path) -> Result<Self> {
        let refuse = |reason: String, hint: &str| {
            Err(Error::Given {
                path: folder.to_path_buf(),
                kind: ErrorKind::CheckCase,
                reason,
                hint: hint.to_owned(),
            })
        };
        let drag = folder.join(DRAG);
        if !drag.is_file() {
            return refuse(
                format!("contains no {DRAG}"),
                "every case needs one; a folder without a picture and a drag file is ignored",
            );
        }
        let inputs: Vec<PathBuf> = INPUTS
            .iter()
            .map(|name| folder.join(name))
            .filter(|path| path.is_file())
            .collect();
        let [image] = inputs.as_slice() else {
            return match inputs.len() {
                0 => refuse(
                    "contains no input picture".into(),
                    "its name is `input.png`, `input.jpg`, `input.jpeg` or `input.webp`",
                ),
                count => refuse(
                    format!("contains {count} input pictures"),
                    "keep one of them",
                ),
            };
        };
        let limits = folder.join(LIMITS);
        let thresholds = if limits.exists() {
            Thresholds::read(&limits)?
        } else {
            Thresholds::default()
        };
        Ok(Self {
            name: name(folder),
            image: image.clone(),
            drag,
            expected: folder.join(EXPECTED),
            thresholds,
        })
    }

    /// Returns the path of the result in the output folder.
    pub(super) fn actual(&self, output: &Path) -> PathBuf {
        output.join(format!("{}.actual.png", self.name))
    }

    /// Returns the path of the triptych (expected, difference, actual) in the output folder.
    pub(super) fn triptych(&self, output: &Path) -> PathBuf {
        output.join(format!("{}.triptych.png", self.name))
    }
}

/// Returns the name of a case, which is that of its folder.
pub(super) fn name(folder: &Path) -> String {
    let name = |folder: &Path| {
        folder
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
    };
    let full = || name(&folder.canonicalize().ok()?);
    name(folder)
        .or_else(full)
        .unwrap_or_else(|| folder.display().to_string())
}

/// Returns whether the folder contains any file of a case.
pub(super) fn is_case(folder: &Path) -> bool {
    folder.is_dir()
        && [DRAG, EXPECTED]
            .iter()
            .chain(&INPUTS)
            .any(|name| folder.join(name).is_file())
}
