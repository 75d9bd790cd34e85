//! Golden edits: cases with a picture, a drag file and the expected result.
//!
//! ```text
//! DIR/CASE/input.png      or input.jpg, input.jpeg, input.webp
//! DIR/CASE/drag.json
//! DIR/CASE/expected.png
//! DIR/CASE/check.json     optional: the case's own limits
//! ```
//!
//! A folder that contains a drag.json itself is a single case. Every fault of the folders is reported at once, before any edit. [`Checker`]
//! repeats the edits and compares the results with the expected pictures.

mod case;
mod checker;
mod reader;
mod result;
mod thresholds;

use std::fs;
use std::path::{Path, PathBuf};

use crate::drag_file::did_you_mean;
use crate::error::{Error, ErrorKind, NOT_FOUND, Result};

pub(crate) use case::Case;
pub(crate) use checker::Checker;
pub(crate) use reader::{CaseReader, OutputRules};
pub(crate) use result::{CaseResult, CaseStatus, check_result};
pub(crate) use thresholds::Thresholds;

/// Returns the cases in a folder, sorted by name; only those named in `only`, unless it is empty.
///
/// # Errors
/// [`Error::Given`]: `check.no_cases`; `check.case` for a missing file or a second picture; `check.limits`. [`Error::Several`] of these.
pub(crate) fn find(folder: &Path, only: &[String]) -> Result<Vec<Case>> {
    let mut folders = if folder.join(case::DRAG).is_file() {
        vec![folder.to_path_buf()]
    } else {
        subfolders(folder)?
    };
    if folders.is_empty() {
        let reason = "contains no cases".to_owned();
        let hint = "a case is a folder with `input.png`, `drag.json` and `expected.png`; give the folder that contains the cases".to_owned();
        return Err(Error::Given {
            path: folder.to_path_buf(),
            kind: ErrorKind::CheckNoCases,
            reason,
            hint,
        });
    }
    if !only.is_empty() {
        let names: Vec<String> = folders.iter().map(|folder| case::name(folder)).collect();
        if let Some(unknown) = only.iter().find(|name| !names.contains(name)) {
            let hint = did_you_mean(unknown, names.iter().map(String::as_str));
            let hint = hint.unwrap_or_else(|| format!("the cases are: {}", names.join(", ")));
            let reason = format!("contains no case `{unknown}`");
            return Err(Error::Given {
                path: folder.to_path_buf(),
                kind: ErrorKind::CheckNoCases,
                reason,
                hint,
            });
        }
        folders.retain(|folder| only.contains(&case::name(folder)));
    }
    let (cases, errors): (Vec<_>, Vec<_>) = folders
        .iter()
        .map(|folder| Case::open(folder))
        .partition(Result::is_ok);
    Error::all(errors.into_iter().filter_map(Result::err).collect())?;
    Ok(cases.into_iter().flatten().collect())
}

/// Returns the subfolders that contain any file of a case, sorted.
fn subfolders(folder: &Path) -> Result<Vec<PathBuf>> {
    let failed = |source: std::io::Error| {
        let hint = if source.kind() == std::io::ErrorKind::NotFound {
            NOT_FOUND
        } else {
            ""
        };
        Error::Given {
            path: folder.to_path_buf(),
            kind: ErrorKind::CheckNoCases,
            reason: source.to_string(),
            hint: hint.into(),
        }
    };
    let entries: Vec<PathBuf> = fs::read_dir(folder)
        .map_err(failed)?
        .map(|entry| Ok(entry.map_err(failed)?.path()))
        .collect::<Result<_>>()?;
    let mut folders: Vec<PathBuf> = entries
        .into_iter()
        .filter(|path| case::is_case(path))
        .collect();
    folders.sort();
    Ok(folders)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder for the cases");
        for file in files {
            let path = folder.path().join(file);
            fs::create_dir_all(path.parent().expect("a file lies in a folder")).expect("a case");
            fs::write(path, "{}").expect("a file");
        }
        folder
    }

    fn names(cases: &[Case]) -> Vec<&str> {
        cases.iter().map(|case| case.name.as_str()).collect()
    }

    #[test]
    fn cases_are_subfolders_with_files_of_a_case() {
        let folder = folder(&[
            "b/input.png",
            "b/drag.json",
            "a/input.webp",
            "a/drag.json",
            "a/expected.png",
            "masks/m.png",
            "drag.txt",
        ]);
        let cases = find(folder.path(), &[]).expect("two cases");
        assert_eq!(names(&cases), ["a", "b"]);
        assert!(
            cases[0].image.ends_with("a/input.webp")
                && cases[1].expected.ends_with("b/expected.png")
        );
        assert_eq!(
            names(&find(folder.path(), &["b".into()]).expect("one of them")),
            ["b"]
        );
        let case = find(&folder.path().join("a"), &[]).expect("a case by itself");
        assert_eq!(names(&case), ["a"]);
    }

    #[test]
    fn every_faulty_case_is_reported() {
        let folder = folder(&[
            "a/drag.json",
            "b/input.png",
            "c/drag.json",
            "c/input.png",
            "c/input.jpg",
            "d/input.png",
            "d/drag.json",
            "d/check.json",
        ]);
        fs::write(folder.path().join("d/check.json"), r#"{"max_dif": 3}"#).expect("limits");
        let error = find(folder.path(), &[]).expect_err("four cases are wrong");
        let Error::Several { errors } = &error else {
            panic!("{error}")
        };
        let kinds: Vec<ErrorKind> = errors.iter().map(Error::kind).collect();
        assert_eq!(
            (kinds, error.exit_status()),
            (
                vec![
                    ErrorKind::CheckCase,
                    ErrorKind::CheckCase,
                    ErrorKind::CheckCase,
                    ErrorKind::CheckLimits
                ],
                2
            )
        );
    }

    #[test]
    fn a_folder_without_cases_is_an_error() {
        let folder = folder(&["masks/m.png"]);
        for (path, only) in [
            (folder.path().to_path_buf(), None),
            (folder.path().join("none"), None),
        ] {
            let error = find(&path, only.unwrap_or_default()).expect_err("there is no case");
            assert_eq!(
                (error.kind(), error.exit_status()),
                (ErrorKind::CheckNoCases, 2)
            );
        }
    }

    #[test]
    fn a_mistyped_name_gets_a_suggestion() {
        let folder = folder(&["hinge-01/input.png", "hinge-01/drag.json"]);
        let error = find(folder.path(), &["hing-01".into()]).expect_err("it is mistyped");
        assert_eq!(error.hint().as_deref(), Some("did you mean `hinge-01`?"));
    }
}
