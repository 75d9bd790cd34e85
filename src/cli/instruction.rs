//! `--drag` and `--like`: the drag comes from a drag file, or from the report in a picture that was edited before.

use std::path::{Path, PathBuf};

use super::model::ModelArguments;
use crate::drag_file::DragFile;
use crate::edit::{NoteHeader, ParsedNote};
use crate::error::{Error, ErrorKind, Result};
use crate::geometry::Size;
use crate::model::AdditionNotes;
use crate::plan::Amount;
use crate::warning::{Warning, WarningKind};

/// Source of the drag.
#[derive(Debug, Clone, clap::Args)]
#[group(required = true, multiple = false)]
pub(super) struct InstructionArguments {
    /// The drag file: which regions move, and where to. `-` reads stdin; masks are then found from the current folder.
    #[arg(long, short, value_name = "FILE")]
    pub(super) drag: Option<PathBuf>,

    /// Repeat the edit that made this PNG: drag, method, settings and model of its report. Masks are read from the PNG's folder.
    #[arg(long, value_name = "OUT.png")]
    pub(super) like: Option<PathBuf>,
}

/// A drag file with its origin.
#[derive(Debug)]
pub(super) struct Instruction {
    /// The drag file, or the one in the report.
    pub(super) drag: DragFile,
    /// The rest of the report, with `--like`.
    like: Option<NoteHeader>,
}

impl InstructionArguments {
    /// Reads the drag file or the report.
    ///
    /// # Errors
    /// [`Error::Instruction`] with every fault of the text, [`Error::File`], [`Error::Report`].
    pub(super) fn read(&self) -> Result<Instruction> {
        if let Some(path) = &self.like {
            let ParsedNote { header, drag } = ParsedNote::read(path)?;
            return Ok(Instruction {
                drag,
                like: Some(header),
            });
        }
        // The command line requires one of the two.
        let path = self.drag.clone().unwrap_or_default();
        Ok(Instruction {
            drag: read_drag_file(&path)?,
            like: None,
        })
    }
}

/// The name of stdin in messages.
pub(super) const STDIN: &str = "stdin";

/// Reads the drag file at `path`, or stdin for `-`.
///
/// # Errors
/// As [`DragFile::read`].
pub(super) fn read_drag_file(path: &Path) -> Result<DragFile> {
    if path.as_os_str() == "-" {
        DragFile::read_from(std::io::stdin(), Path::new(STDIN))
    } else {
        DragFile::read(path)
    }
}

impl Instruction {
    /// Returns the model: the given one, else the one in the report if its name means the same on every machine. A name that does not is
    /// ignored with a warning.
    pub(super) fn model(&self, given: &ModelArguments) -> (ModelArguments, Option<Warning>) {
        let noted = self.like.as_ref().map(|made| made.model.as_str());
        let model = given.or(noted.filter(|name| is_known_everywhere(name)));
        let replaced = noted.filter(|name| !given.is_given() && !is_known_everywhere(name)).map(|name| {
            let (path, used) = (self.drag.path.display(), model.name());
            let message = format!(
                "`{path}` was made with the model folder `{name}`; this run uses `{used}`; choose another with `--model`"
            );
            Warning { kind: WarningKind::LikeModel, message }
        });
        (model, replaced)
    }

    /// Returns whether the report's edit took every pixel from the model.
    pub(super) fn takes_every_pixel(&self) -> bool {
        self.like.as_ref().is_some_and(|made| !made.composite)
    }

    /// Returns how far the report's edit carried the drag out; a drag file is carried out whole.
    pub(super) fn amount(&self) -> Amount {
        let made = self.like.as_ref().and_then(|made| made.amount);
        made.unwrap_or(Amount::WHOLE)
    }

    /// Returns warnings about what differs from the report's edit: the size of the picture, now `size`, and the program's version.
    pub(super) fn differences(&self, size: Size) -> Vec<Warning> {
        let Some(made) = &self.like else {
            return Vec::new();
        };
        let path = self.drag.path.display();
        let mut warnings = Vec::new();
        if let Some([width, height]) = made.size.filter(|old| *old != [size.width, size.height]) {
            let message = format!(
                "the picture is {size}, and `{path}` was made from one of {width} x {height}; coordinates are not scaled"
            );
            warnings.push(Warning {
                kind: WarningKind::LikeSize,
                message,
            });
        }
        if made.version != env!("CARGO_PKG_VERSION") {
            let message = format!(
                "`{path}` was made by dragnext {}; this version may give other pixels",
                made.version
            );
            warnings.push(Warning {
                kind: WarningKind::LikeVersion,
                message,
            });
        }
        warnings
    }

    /// Returns a warning when the report's edit used a LoRA file other than the one with this hash.
    pub(super) fn other_lora(&self, hash: Option<&str>) -> Option<Warning> {
        let old = self
            .like
            .as_ref()?
            .lora
            .as_deref()
            .filter(|old| Some(*old) != hash)?;
        let path = self.drag.path.display();
        let message = match hash {
            None => format!(
                "`{path}` was made with a LoRA file (SHA-256 {old}); without `--lora`, a new one is trained"
            ),
            Some(_) => format!("`{path}` was made with another LoRA file (SHA-256 {old})"),
        };
        Some(Warning {
            kind: WarningKind::LikeLora,
            message,
        })
    }

    /// Returns a warning when the report's edit used a CLIP other than that with this hash.
    pub(super) fn other_clip(&self, digest: &str) -> Option<Warning> {
        let made = self.like.as_ref()?;
        made.clip.as_deref().filter(|old| *old != digest)?;
        let message = format!(
            "`{}` was made with another CLIP; choose it with `--clip`",
            self.drag.path.display()
        );
        Some(Warning {
            kind: WarningKind::LikeWeights,
            message,
        })
    }

    /// Returns a warning when the report's edit used weights other than those with this hash.
    /// With other LoRA files or embeddings, the warning names those of the report.
    pub(super) fn other_weights(&self, digest: &str, additions: &AdditionNotes) -> Option<Warning> {
        let made = self.like.as_ref()?;
        made.weights
            .as_deref()
            .filter(|old| !old.is_empty() && *old != digest)?;
        let styles = made.styles.iter();
        let styles = styles.map(|style| format!("`--style-lora {}:{}`", style.file, style.weight));
        let words = made.embeddings.iter();
        let words = words.map(|word| format!("`--embedding` of the word `{}`", word.word));
        let given: Vec<String> = styles.chain(words).collect();
        let is_same =
            (&made.styles, &made.embeddings) == (&additions.styles, &additions.embeddings);
        let path = self.drag.path.display();
        let message = if is_same {
            format!(
                "`{path}` was made with other weights of `{}`; choose them with `--model` and `--vae`",
                made.model
            )
        } else if given.is_empty() {
            format!("`{path}` was made without the LoRA files and embeddings of this run")
        } else {
            format!(
                "`{path}` was made with {}, this run has others",
                given.join(", ")
            )
        };
        Some(Warning {
            kind: WarningKind::LikeWeights,
            message,
        })
    }

    /// Replaces the hint of missing masks, because a report contains only their paths.
    pub(super) fn explain(&self, mut error: Error) -> Error {
        if let (Some(_), Error::Instruction { faults, .. }) = (&self.like, &mut error) {
            for fault in faults
                .iter_mut()
                .filter(|fault| fault.kind == ErrorKind::MaskMissing)
            {
                let folder = self
                    .drag
                    .path
                    .parent()
                    .filter(|folder| *folder != Path::new(""))
                    .unwrap_or(Path::new("."));
                fault.hint = Some(format!(
                    "a report contains only the paths of masks; put the mask into the folder `{}` at its path, or use `--drag`",
                    folder.display()
                ));
            }
        }
        error
    }
}

/// Returns whether this is the built-in model or one of the hub (`owner/name`, with or without `@revision`), and not a folder.
fn is_known_everywhere(name: &str) -> bool {
    let is_word = |word: &str| {
        let is_sign = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        !word.is_empty() && !word.starts_with('.') && word.bytes().all(is_sign)
    };
    let (id, revision) = name
        .split_once('@')
        .map_or((name, None), |(id, revision)| (id, Some(revision)));
    let is_id = id
        .split_once('/')
        .is_some_and(|(owner, name)| is_word(owner) && is_word(name));
    name == "demo" || is_id && revision.is_none_or(is_word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_mean_the_same_everywhere_are_taken_from_a_report() {
        for name in [
            "demo",
            "stable-diffusion-v1-5/stable-diffusion-v1-5",
            "a/b@0123abc",
        ] {
            assert!(is_known_everywhere(name), "{name}");
        }
        for name in [
            "",
            "tiny",
            "../secret",
            "a/../b",
            "/etc",
            "a/b/c",
            "a/",
            "/b",
            "a/.b",
            "a/b@",
            "a/b@../c",
            "a b/c",
            "demo@x",
        ] {
            assert!(!is_known_everywhere(name), "{name}");
        }
    }
}
