//! Errors about files that are something else than weights.

use crate::error::{Error, ErrorKind};
use crate::files::content::Content;

/// Returns the error about a pickle.
pub(in crate::model) fn pickle_error(location: &str, hint: &str) -> Error {
    Error::Weights {
        path: location.into(),
        kind: ErrorKind::WeightsFormat,
        reason: "pickles can run code when they are read; only safetensors are loaded".into(),
        hint: hint.into(),
    }
}

/// Returns the error about a file that is something else than its name says.
pub(in crate::model) fn not_the_file(location: String, found: Content) -> Error {
    let hint = match found {
        Content::LfsPointer => {
            "`git lfs install` and `git lfs pull` in its folder get the file itself"
        }
        Content::WebPage => {
            "download it again: the address gave a page, as one that needs a login or has moved does"
        }
        Content::Pickle | Content::Zip => {
            "pickles can run code when they are read; get a safetensors file, or convert it with `save_pretrained(.., safe_serialization=True)`"
        }
        Content::Zeros => "download it again",
        Content::Json | Content::Picture(_) => {
            "weights are safetensors files; check which file was given"
        }
    };
    Error::Weights {
        path: location,
        kind: ErrorKind::WeightsFormat,
        reason: match found {
            Content::Zip => "is a zip archive, as checkpoints of PyTorch are (a pickle)".into(),
            other => format!("is {}", other.phrase()),
        },
        hint: hint.into(),
    }
}
