//! `--drag` and `--like`: what is asked for comes from a drag file, or from a picture that was edited before.

use std::path::{Path, PathBuf};

use super::model::ModelArguments;
use crate::drag_file::DragFile;
use crate::edit::{NoteHeader, ParsedNote};
use crate::error::{Error, ErrorKind, Result};
use crate::geometry::Size;
use crate::warning::{Warning, WarningKind};

/// Where the instruction comes from.
#[derive(Debug, Clone, clap::Args)]
#[group(required = true, multiple = false)]
pub(super) struct InstructionArguments {
    /// The drag file: which regions move, and where to.
    #[arg(long, short, value_name = "FILE")]
    pub(super) drag: Option<PathBuf>,

    /// Do what was done to make this PNG: the instruction, settings and model that its report names. Masks are looked for beside it.
    #[arg(long, value_name = "OUT.png")]
    pub(super) like: Option<PathBuf>,
}

/// What is asked for.
#[derive(Debug)]
pub(super) struct Instruction {
    /// The regions, their drags and the settings that come with them.
    pub(super) drag: DragFile,
    /// The drag file, or the picture that the instruction was found in: masks lie beside it.
    pub(super) path: PathBuf,
    /// How the picture was made that the instruction was found in.
    like: Option<NoteHeader>,
}

impl InstructionArguments {
    /// Reads the instruction, with all faults of its text.
    pub(super) fn read(&self) -> Result<Instruction> {
        match (&self.drag, &self.like) {
            (_, Some(path)) => {
                let ParsedNote { header, drag } = ParsedNote::read(path)?;
                Ok(Instruction {
                    drag,
                    path: path.clone(),
                    like: Some(header),
                })
            }
            (Some(path), None) => Ok(Instruction {
                drag: DragFile::read(path)?,
                path: path.clone(),
                like: None,
            }),
            (None, None) => unreachable!("the command line asks for one of them"),
        }
    }
}

impl Instruction {
    /// Which model does it: the one that was given, else the one it was done with before, where its name tells which that is;
    /// with a warning where it does not.
    pub(super) fn model(&self, given: &ModelArguments) -> (ModelArguments, Option<Warning>) {
        let noted = self.like.as_ref().map(|made| made.model.as_str());
        let model = given.or(noted.filter(|name| is_known_everywhere(name)));
        let replaced = noted.filter(|name| !given.is_given() && !is_known_everywhere(name)).map(|name| {
            let (path, used) = (self.path.display(), model.name());
            let message = format!(
                "`{path}` was made with the model `{name}`, a folder somewhere; this run uses `{used}`, and `--model` names another"
            );
            Warning { kind: WarningKind::LikeModel, message }
        });
        (model, replaced)
    }

    /// Whether every pixel is to come from the model.
    pub(super) fn takes_every_pixel(&self) -> bool {
        self.like.as_ref().is_some_and(|made| !made.composite)
    }

    /// What is not as it was when the instruction was done before: the picture's size, which now is `size`, and this program.
    pub(super) fn differences(&self, size: Size) -> Vec<Warning> {
        let Some(made) = &self.like else {
            return Vec::new();
        };
        let path = self.path.display();
        let mut warnings = Vec::new();
        if let Some([width, height]) = made.size.filter(|old| *old != [size.width, size.height]) {
            let message = format!(
                "the picture is {size}, the one that `{path}` was made from was {width} x {height}; coordinates are taken as they are"
            );
            warnings.push(Warning {
                kind: WarningKind::LikeSize,
                message,
            });
        }
        if made.version != env!("CARGO_PKG_VERSION") {
            let message = format!(
                "`{path}` was made by dragnext {}; another version may give other pixels",
                made.version
            );
            warnings.push(Warning {
                kind: WarningKind::LikeVersion,
                message,
            });
        }
        warnings
    }

    /// The LoRA file with which it was done before, when it is not the one with this hash that is used now.
    pub(super) fn other_lora(&self, hash: Option<&str>) -> Option<Warning> {
        let old = self
            .like
            .as_ref()?
            .lora
            .as_deref()
            .filter(|old| Some(*old) != hash)?;
        let path = self.path.display();
        let message = match hash {
            None => format!(
                "`{path}` was made with a LoRA file (SHA-256 {old}); without `--lora`, one is trained anew"
            ),
            Some(_) => format!("`{path}` was made with another LoRA file (SHA-256 {old})"),
        };
        Some(Warning {
            kind: WarningKind::LikeLora,
            message,
        })
    }

    /// The weights with which it was done before, when they are not the ones with this hash that are used now.
    pub(super) fn other_weights(&self, digest: &str) -> Option<Warning> {
        let made = self.like.as_ref()?;
        made.weights
            .as_deref()
            .filter(|old| !old.is_empty() && *old != digest)?;
        let message = format!(
            "`{}` was made with other weights of `{}` than those used now; `--model` and `--vae` choose them",
            self.path.display(),
            made.model
        );
        Some(Warning {
            kind: WarningKind::LikeWeights,
            message,
        })
    }

    /// Says of masks that are missing what holds for an instruction found in a picture.
    pub(super) fn explain(&self, mut error: Error) -> Error {
        if let (Some(_), Error::Instruction { faults, .. }) = (&self.like, &mut error) {
            for fault in faults
                .iter_mut()
                .filter(|fault| fault.kind == ErrorKind::MaskMissing)
            {
                let folder = self
                    .path
                    .parent()
                    .filter(|folder| *folder != Path::new(""))
                    .unwrap_or(Path::new("."));
                fault.hint = Some(format!(
                    "a report names masks and does not hold them; put the mask where it is looked for, from the folder `{}` on, or use `--drag`",
                    folder.display()
                ));
            }
        }
        error
    }
}

/// Is this the built-in model or one of the hub (`owner/name`, perhaps with `@revision`), and not the name of a folder somewhere?
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
