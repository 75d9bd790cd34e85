//! Where a mask picture is stored: in a file, or in the drag file itself as a data URL.
//!
//! A data URL is `data:image/png;base64,` and the bytes of a PNG in base64. Pages that draw masks write it, so that a drag file is one file.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Serialize, Serializer};

/// How every data URL begins.
const SCHEME: &str = "data:";
/// How the data URL of an embedded mask begins.
const PNG_URL: &str = "data:image/png;base64,";
/// The first bytes of every PNG.
const PNG_SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";

/// Where a mask picture is stored.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum MaskSource {
    /// In a file. A relative path starts at the folder of the file that names it.
    File(PathBuf),
    /// In the drag file: the bytes of a PNG, which is not decoded yet.
    Embedded(Arc<[u8]>),
}

/// Why a data URL is rejected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MaskUrlError {
    /// It is not a PNG in base64.
    #[error("an embedded mask begins with `{PNG_URL}`")]
    Form,
    /// Its base64 is damaged. Contains the reason.
    #[error("the embedded mask is not valid base64: {0}")]
    Base64(String),
    /// Its content is not a PNG.
    #[error("the embedded mask is not a PNG")]
    Content,
}

impl MaskSource {
    /// Reads a path or a data URL.
    ///
    /// # Errors
    /// When the text begins with `data:` and is not a PNG in base64.
    pub fn parse(text: &str) -> Result<Self, MaskUrlError> {
        // Every scheme is case-insensitive, so that `Data:` is no file either.
        let has_scheme = text
            .get(..SCHEME.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(SCHEME));
        if !has_scheme {
            return Ok(Self::File(text.into()));
        }
        let (start, encoded) = text
            .split_at_checked(PNG_URL.len())
            .ok_or(MaskUrlError::Form)?;
        if !start.eq_ignore_ascii_case(PNG_URL) {
            return Err(MaskUrlError::Form);
        }
        let bytes = STANDARD
            .decode(encoded)
            .map_err(|error| MaskUrlError::Base64(error.to_string().to_lowercase()))?;
        if !bytes.starts_with(PNG_SIGNATURE) {
            return Err(MaskUrlError::Content);
        }
        Ok(Self::Embedded(bytes.into()))
    }

    /// Returns the source with a relative path seen from `folder`.
    pub fn seen_from(&self, folder: &Path) -> Cow<'_, Self> {
        match self {
            Self::File(path) => Cow::Owned(Self::File(folder.join(path))),
            Self::Embedded(_) => Cow::Borrowed(self),
        }
    }

    /// Returns the path of the file; `None` for an embedded mask.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            Self::Embedded(_) => None,
        }
    }
}

impl From<&str> for MaskSource {
    fn from(path: &str) -> Self {
        Self::File(path.into())
    }
}

/// Writes the path, or the beginning of the data URL.
impl std::fmt::Display for MaskSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Embedded(_) => write!(f, "{PNG_URL}..."),
        }
    }
}

/// Writes what [`MaskSource::parse`] reads.
impl Serialize for MaskSource {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::File(path) => path.serialize(serializer),
            Self::Embedded(bytes) => {
                serializer.serialize_str(&format!("{PNG_URL}{}", STANDARD.encode(bytes)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_data_url_is_read_and_written() {
        let url = format!(
            "{PNG_URL}{}",
            STANDARD.encode([PNG_SIGNATURE, b"rest"].concat())
        );
        let source = MaskSource::parse(&url).expect("a PNG");
        assert_eq!(source.path(), None);
        assert_eq!(
            serde_json::to_value(&source).expect("text"),
            serde_json::Value::from(url.clone())
        );
        assert_eq!(
            MaskSource::parse(&url.replace("data:image", "DATA:Image")),
            Ok(source)
        );
    }

    #[test]
    fn what_is_no_png_in_base64_is_refused() {
        for (text, expected) in [
            ("data:", MaskUrlError::Form),
            ("data:image/jpeg;base64,/9j/4AA=", MaskUrlError::Form),
            ("data:image/png,%89PNG", MaskUrlError::Form),
            ("data:image/png;base64,", MaskUrlError::Content),
            ("data:image/png;base64,AAAA", MaskUrlError::Content),
        ] {
            assert_eq!(MaskSource::parse(text), Err(expected), "{text}");
        }
        for damaged in ["iVBO Rw0K", "iVBORw0KGgo", "iVBORw0KGgo==", "iVBORw0KGg-="] {
            assert!(matches!(
                MaskSource::parse(&format!("{PNG_URL}{damaged}")),
                Err(MaskUrlError::Base64(_))
            ));
        }
    }

    #[test]
    fn everything_else_is_a_path() {
        for text in ["cat.png", "./data:x", "dat\u{e9}:", "d"] {
            assert_eq!(MaskSource::parse(text), Ok(MaskSource::File(text.into())));
        }
    }
}
