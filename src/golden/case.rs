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
pub struct Case {
    /// The folder's name.
    pub name: String,
    /// The picture.
    pub image: PathBuf,
    /// What is to be done to it.
    pub drag: PathBuf,
    /// What is to come of it; it may not be there yet.
    pub expected: PathBuf,
    /// What the case itself says of how close is close enough.
    pub thresholds: Thresholds,
}

impl Case {
    /// The case that lies in a folder. Pictures and drag file are not read yet.
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
                format!("has no {DRAG}"),
                "every case has one; a folder without picture and drag file is no case",
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
                    "has no input picture".into(),
                    "it is called input.png, input.jpg, input.jpeg or input.webp",
                ),
                count => refuse(format!("has {count} input pictures"), "leave one of them"),
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
}

/// What a case is called: its folder's own name.
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

/// Has this folder anything of a case?
pub(super) fn is_one(folder: &Path) -> bool {
    folder.is_dir()
        && [DRAG, EXPECTED]
            .iter()
            .chain(&INPUTS)
            .any(|name| folder.join(name).is_file())
}
