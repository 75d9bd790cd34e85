//! Annotations and the summary of a GitHub Actions job.
//!
//! Workflow commands are lines on stdout: <https://docs.github.com/actions/reference/workflow-commands-for-github-actions>. The summary is Markdown
//! that is appended to the file that `GITHUB_STEP_SUMMARY` names.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::escape;

/// GitHub shows at most this many errors of one step.
pub(super) const MAX_ANNOTATIONS: usize = 10;

/// Returns whether this process runs in a GitHub Actions job.
pub(super) fn is_here() -> bool {
    std::env::var_os("GITHUB_ACTIONS").is_some_and(|value| value == "true")
}

/// Returns the line that creates an error annotation, on a file if one is given.
pub(super) fn annotation(
    file: Option<(&Path, Option<[usize; 2]>)>,
    title: &str,
    message: &str,
) -> String {
    let mut properties = Vec::new();
    if let Some((file, place)) = file {
        properties.push(format!(
            "file={}",
            property(&in_workspace(file).to_string_lossy())
        ));
        if let Some([line, column]) = place {
            properties.push(format!("line={line},col={column}"));
        }
    }
    properties.push(format!("title={}", property(title)));
    format!("::error {}::{}\n", properties.join(","), data(message))
}

/// Appends Markdown to the summary of the job, if there is one.
///
/// # Errors
/// The error of the operating system, with the file.
pub(super) fn summarise(markdown: &str) -> Result<(), (PathBuf, std::io::Error)> {
    let Some(path) = std::env::var_os("GITHUB_STEP_SUMMARY")
        .filter(|path| !path.is_empty())
        .map(PathBuf::from)
    else {
        return Ok(());
    };
    let file = OpenOptions::new().create(true).append(true).open(&path);
    file.and_then(|mut file| file.write_all(markdown.as_bytes()))
        .map_err(|error| (path, error))
}

/// Returns the path relative to the root of the repository, as annotations need it.
fn in_workspace(file: &Path) -> PathBuf {
    let inside = || {
        let workspace = PathBuf::from(std::env::var_os("GITHUB_WORKSPACE")?)
            .canonicalize()
            .ok()?;
        Some(
            file.canonicalize()
                .ok()?
                .strip_prefix(workspace)
                .ok()?
                .to_path_buf(),
        )
    };
    inside().unwrap_or_else(|| file.to_path_buf())
}

fn data(text: &str) -> String {
    let lines: Vec<String> = text.split('\n').map(escape::one_line).collect();
    lines
        .join("\n")
        .replace('%', "%25")
        .replace('\r', "%0D")
        .replace('\n', "%0A")
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_escaped() {
        let line = annotation(
            Some((Path::new("a,b/c:d.json"), Some([3, 4]))),
            "100 %\n::error::",
            "one\ntwo %",
        );
        assert_eq!(
            line,
            "::error file=a%2Cb/c%3Ad.json,line=3,col=4,title=100 %25%0A%3A%3Aerror%3A%3A::one%0Atwo %25\n"
        );
        assert_eq!(annotation(None, "a", "b"), "::error title=a::b\n");
    }
}
