//! Why a picture is rejected.

use std::path::Path;

use image::error::{ImageError, LimitErrorKind};

use crate::error::{Error, ErrorKind};
use crate::foreign;

/// Why a picture is rejected; [`Refusal::at`] adds its path.
#[derive(Debug)]
pub(crate) struct Refusal {
    /// As in [`Error::Image`].
    pub(crate) kind: ErrorKind,
    /// What is wrong with it.
    pub(crate) reason: String,
    pub(super) hint: &'static str,
}

impl Refusal {
    pub(super) fn at(self, path: &Path) -> Error {
        let is_other = self.kind == ErrorKind::ImageUnsupported;
        let import = is_other.then(|| foreign::hint(path)).flatten();
        Error::Image {
            path: path.to_path_buf(),
            kind: self.kind,
            reason: self.reason,
            hint: import.unwrap_or_else(|| self.hint.to_owned()),
        }
    }

    /// The picture has another size than required.
    pub(crate) fn other_size() -> Self {
        Self {
            kind: ErrorKind::ImageSize,
            reason: "has another size".into(),
            hint: "",
        }
    }

    pub(super) fn unsupported(reason: impl Into<String>, hint: &'static str) -> Self {
        Self {
            kind: ErrorKind::ImageUnsupported,
            reason: reason.into(),
            hint,
        }
    }

    pub(super) fn damaged(reason: impl Into<String>) -> Self {
        Self {
            kind: ErrorKind::ImageDecode,
            reason: reason.into(),
            hint: "the file is truncated or damaged; open it in a viewer and save it again",
        }
    }

    pub(super) fn too_large(reason: impl Into<String>) -> Self {
        Self {
            kind: ErrorKind::ImageTooLarge,
            reason: reason.into(),
            hint: "pictures may have sides of up to 32768 pixels and 256 million pixels in total",
        }
    }
}

impl From<ImageError> for Refusal {
    fn from(error: ImageError) -> Self {
        match error {
            ImageError::Limits(limit) if matches!(limit.kind(), LimitErrorKind::DimensionError) => {
                Self::too_large("the picture is too large")
            }
            ImageError::Unsupported(error) => {
                Self::unsupported(error.to_string(), "save it as a common PNG, JPEG or WebP")
            }
            error => Self::damaged(error.to_string()),
        }
    }
}
