//! Embeddings of textual inversion (arXiv 2208.01618): vectors that a word of the prompt stands for.
//!
//! | written by | tensor | word |
//! |---|---|---|
//! | A1111's web UI | `emb_params` (vectors, channels) | the file's name |
//! | diffusers (`learned_embeds.safetensors`) | the word itself: (channels) or (vectors, channels) | that of the tensor |
//!
//! Another word can be given. In a prompt, the word stands for all vectors of its file.

use std::fs::File;
use std::path::{Path, PathBuf};

use super::contents::{Contents, family_of};
use super::safetensors::SafetensorsFile;
use super::source::pickle_error;
use crate::digest::sha256_of;
use crate::error::{Error, ErrorKind, Result};
use crate::files::Stamp;
use crate::files::content::{self, Content};
use crate::hub::is_pickle;

/// The tensor of A1111's files.
const PARAMETERS: &str = "emb_params";
/// Most vectors of an embedding: what a prompt of CLIP has between its ends.
const MAX_VECTORS: usize = 75;
/// Longest word, in bytes.
const MAX_WORD: usize = 200;

/// Vectors of the text encoder for a word.
#[derive(Debug, Clone, PartialEq)]
pub struct Embedding {
    path: PathBuf,
    token: String,
    values: Vec<f32>,
    channels: usize,
    sha256: String,
    stamp: Option<Stamp>,
}

impl Embedding {
    /// Reads the file at `path` for a text encoder with so many channels. `token` is the word in prompts, else the file says it.
    ///
    /// # Errors
    /// [`Error::Weights`]: `weights.format` for a pickle, `weights.damaged`, `weights.unsupported` for another kind of file or another family of models,
    /// `weights.mismatch` for another number of channels. [`Error::Setting`] for a word that cannot be one. [`Error::File`].
    pub fn open(path: &Path, token: Option<&str>, channels: usize) -> Result<Self> {
        let location = path.display().to_string();
        if is_pickle(path) || content::of_file(path) == Some(Content::Pickle) {
            return Err(pickle_error(
                &location,
                "convert it: `python3 -c \"import sys, torch, safetensors.torch as s; e = torch.load(sys.argv[1], weights_only=True, map_location='cpu'); s.save_file({k: v.detach().float().contiguous() for k, v in ([('emb_params', next(iter(e['string_to_param'].values())))] if 'string_to_param' in e else e.items())}, sys.argv[2])\" IN.pt OUT.safetensors`",
            ));
        }
        let failed = |source| Error::File {
            path: path.into(),
            source,
        };
        let mut file = File::open(path).map_err(failed)?;
        let stamp = Stamp::of(&file.metadata().map_err(failed)?);
        let sha256 = sha256_of(&mut file).map_err(failed)?;
        let mut file = SafetensorsFile::open(location.clone(), Box::new(file))?;
        let refuse = |kind, reason: String, hint: &str| Error::Weights {
            path: location.clone(),
            kind,
            reason,
            hint: hint.into(),
        };
        let shapes = file.shapes();
        let only = shapes.iter().next().filter(|_| shapes.len() == 1);
        if let Some(found) = Contents::of(&shapes).filter(|found| *found != Contents::Embedding) {
            return Err(found.instead_of("an embedding", &location));
        }
        let found = shapes.get_key_value(PARAMETERS).or(only);
        let Some((name, shape)) = found else {
            let is_xl = shapes.contains_key("clip_g");
            let reason = if is_xl {
                "is an embedding of Stable Diffusion XL, which is not supported".to_owned()
            } else {
                format!("has {} tensors, an embedding has one", shapes.len())
            };
            return Err(refuse(
                ErrorKind::WeightsUnsupported,
                reason,
                "use an embedding of Stable Diffusion 1.x or 2",
            ));
        };
        let vectors = vectors_of(name, shape, channels)
            .map_err(|(reason, hint)| refuse(ErrorKind::WeightsMismatch, reason, hint))?;
        let values = file.read(name)?;
        if let Some(value) = values.iter().find(|value| !value.is_finite()) {
            return Err(refuse(
                ErrorKind::WeightsDamaged,
                format!("tensor `{}` has the number {value}", name.escape_debug()),
                "the training of this embedding diverged, or the file is damaged; use another",
            ));
        }
        debug_assert_eq!(values.len(), vectors * channels);
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        let token = token.map_or_else(
            || {
                if name == PARAMETERS {
                    stem.into_owned()
                } else {
                    name.clone()
                }
            },
            str::to_owned,
        );
        check_word(&token)?;
        Ok(Self {
            path: path.into(),
            token,
            values,
            channels,
            sha256,
            stamp,
        })
    }

    /// Returns the word in prompts.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// Returns the path of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the SHA-256 of the file.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// Returns the number of vectors.
    pub fn vectors(&self) -> usize {
        self.values.len() / self.channels
    }

    /// Returns the vectors, (vectors, channels).
    pub(super) fn values(&self) -> &[f32] {
        &self.values
    }

    /// Returns the state of the file when it was read.
    pub(super) fn stamp(&self) -> Option<&Stamp> {
        self.stamp.as_ref()
    }
}

/// Returns the number of vectors of a tensor.
///
/// # Errors
/// Why it has none for a text encoder with so many channels, and what to do.
fn vectors_of(
    name: &str,
    shape: &[usize],
    channels: usize,
) -> std::result::Result<usize, (String, &'static str)> {
    const OF_FAMILY: &str = "use an embedding that was made for the model's family";
    let name = name.escape_debug();
    let width = shape.last().copied().unwrap_or_default();
    if let Some(family) = family_of(width).filter(|_| width != channels) {
        let own = family_of(channels).map_or_else(
            || format!("a model with prompts of {channels} channels"),
            str::to_owned,
        );
        let reason =
            format!("was made for {family}, the model is {own} (tensor `{name}` is {shape:?})");
        return Err((reason, OF_FAMILY));
    }
    match *shape {
        [width] if width == channels => Ok(1),
        [vectors @ 1..=MAX_VECTORS, width] if width == channels => Ok(vectors),
        [vectors, width] if width == channels && vectors > MAX_VECTORS => Err((
            format!("has {vectors} vectors; a prompt has room for {MAX_VECTORS}"),
            "use an embedding with fewer vectors",
        )),
        _ => Err((
            format!(
                "tensor `{name}` is {shape:?}; this model takes up to {MAX_VECTORS} vectors of {channels} numbers"
            ),
            OF_FAMILY,
        )),
    }
}

fn check_word(token: &str) -> Result<()> {
    let reason = if token.is_empty() {
        "is empty; the word of an embedding is not"
    } else if token.len() > MAX_WORD {
        "is too long for the word of an embedding"
    } else if token
        .chars()
        .any(|letter| letter.is_whitespace() || letter.is_control())
    {
        "has a space or a control character, which the word of an embedding cannot have; give another as `FILE:WORD`"
    } else {
        return Ok(());
    };
    Err(Error::Setting {
        name: "embedding".into(),
        value: token.to_owned(),
        reason: reason.into(),
    })
}

#[cfg(test)]
mod tests {
    use safetensors::tensor::{Dtype, TensorView, serialize};

    use super::*;

    /// Writes a file with tensors of ones and opens it.
    fn open(tensors: &[(&str, &[usize])], token: Option<&str>) -> Result<Embedding> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("my-cat.safetensors");
        let owned: Vec<(&str, &[usize], Vec<u8>)> = tensors
            .iter()
            .map(|(name, shape)| {
                (
                    *name,
                    *shape,
                    1f32.to_le_bytes().repeat(shape.iter().product()),
                )
            })
            .collect();
        let views = owned.iter().map(|(name, shape, bytes)| {
            let view = TensorView::new(Dtype::F32, shape.to_vec(), bytes);
            (*name, view.expect("the data has this shape"))
        });
        std::fs::write(&path, serialize(views, None).expect("serialise")).expect("write the file");
        Embedding::open(&path, token, 4)
    }

    #[test]
    fn both_forms_are_read() {
        for (tensors, token, word, vectors) in [
            (&[("emb_params", &[2, 4][..])][..], None, "my-cat", 2),
            (&[("<cat-toy>", &[4])], None, "<cat-toy>", 1),
            (&[("<cat-toy>", &[3, 4])], Some("toy1"), "toy1", 3),
            (
                &[("emb_params", &[1, 4]), ("other", &[1])],
                None,
                "my-cat",
                1,
            ),
        ] {
            let found = open(tensors, token).expect("an embedding");
            assert_eq!((found.token(), found.vectors()), (word, vectors));
            assert_eq!(found.values().len(), 4 * vectors);
        }
    }

    #[test]
    fn others_are_named() {
        for (tensors, token, kind, part) in [
            (
                &[("clip_g", &[1, 8][..]), ("clip_l", &[1, 4])][..],
                None,
                "weights.unsupported",
                "XL",
            ),
            (
                &[("a", &[4]), ("b", &[4])],
                None,
                "weights.unsupported",
                "2 tensors",
            ),
            (
                &[("emb_params", &[1, 5])],
                None,
                "weights.mismatch",
                "[1, 5]",
            ),
            (
                &[("emb_params", &[1, 768])],
                None,
                "weights.mismatch",
                "made for Stable Diffusion 1.x",
            ),
            (
                &[("lora_te_x.lora_down.weight", &[1, 4])],
                None,
                "weights.unsupported",
                "is a LoRA, not an embedding",
            ),
            (
                &[("emb_params", &[76, 4])],
                None,
                "weights.mismatch",
                "76 vectors",
            ),
            (
                &[("emb_params", &[0, 4])],
                None,
                "weights.mismatch",
                "[0, 4]",
            ),
            (
                &[("emb_params", &[1, 4])],
                Some("a cat"),
                "setting",
                "space",
            ),
            (&[("emb_params", &[1, 4])], Some(""), "setting", "empty"),
        ] {
            let error = open(tensors, token).expect_err("not an embedding");
            assert_eq!(error.kind().name(), kind, "{error}");
            assert!(error.to_string().contains(part), "{error}");
        }
        let pickle = Embedding::open(Path::new("easynegative.pt"), None, 4).expect_err("a pickle");
        assert_eq!(pickle.kind().name(), "weights.format");
    }
}
