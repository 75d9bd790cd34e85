//! Reads pictures to edit, and the pixels of masks, from files.

use std::fs;
use std::path::Path;

use image::DynamicImage;
use image::error::{ImageError, ImageResult};

use super::decode::{Accept, Damage, decode};
use super::refusal::Refusal;
use super::{Channels, Picture, Samples};
use crate::digest::sha256;
use crate::error::{ErrorKind, NOT_FOUND, Result};
use crate::geometry::Size;
use crate::warning::{Warning, WarningKind};

/// Shortest side that can be edited: eight cells of the latent.
pub const MIN_SIDE: u32 = 64;
/// Largest file in bytes; 256 million uncompressed 16-bit RGBA pixels fit.
const MAX_FILE: u64 = 2 << 30;

/// A picture that was read from a file.
#[derive(Debug, Clone)]
pub struct Original {
    /// The picture, upright.
    pub picture: Picture,
    /// SHA-256 of the file, in hexadecimal.
    pub sha256: String,
    /// What was ignored.
    pub warnings: Vec<Warning>,
}

impl Original {
    /// Leaves out the picture's EXIF, XMP and text, and the warnings about them.
    pub(crate) fn strip_metadata(&mut self) {
        self.picture.strip_metadata();
        self.warnings
            .retain(|warning| warning.kind != WarningKind::ImageMetadata);
    }
}

/// Reads the picture at `path`.
///
/// # Errors
/// [`crate::Error::Image`]: `image.missing`, `image.unsupported`, `image.too_large`, `image.too_small` or `image.decode`.
pub fn read(path: &Path) -> Result<Original> {
    read_if(path, &mut large_enough, Damage::Refused)
}

/// Reads the picture at `path`, even if a part of it is missing, with a warning about what is.
///
/// # Errors
/// As [`read`], without `image.decode` for a JPEG with missing rows.
pub fn read_damaged(path: &Path) -> Result<Original> {
    read_if(path, &mut large_enough, Damage::Accepted)
}

/// Reads the picture at `path`, even if it is too small to be edited.
///
/// # Errors
/// As [`read`], without `image.too_small`.
pub fn read_any(path: &Path) -> Result<Original> {
    read_if(path, &mut |_| Ok(()), Damage::Refused)
}

fn read_if(path: &Path, accept: &mut Accept<'_>, damage: Damage) -> Result<Original> {
    let refuse = |refusal: Refusal| refusal.at(path);
    let bytes = load(path).map_err(refuse)?;
    let decoded = decode(&bytes, accept, damage).map_err(refuse)?;
    let size = decoded.size();
    let (channels, samples) = samples(decoded.pixels).map_err(|error| refuse(error.into()))?;
    let picture = Picture {
        size,
        channels,
        samples,
        icc: decoded.icc,
        carried: decoded.carried,
        metadata: decoded.metadata,
    };
    let mut warnings = decoded.warnings;
    if picture.is_invisible() {
        warnings.push(Warning {
            kind: WarningKind::ImageTransparent,
            message: "every pixel of the picture is transparent (alpha 0); the result will be too"
                .into(),
        });
    }
    Ok(Original {
        picture,
        sha256: sha256(&bytes),
        warnings,
    })
}

/// Returns the upright size of the picture at `path`. No pixel is decoded.
///
/// # Errors
/// As [`read`], without damage inside the pixels.
pub fn size(path: &Path) -> Result<Size> {
    let bytes = load(path).map_err(|refusal| refusal.at(path))?;
    size_of(&bytes).map_err(|refusal| refusal.at(path))
}

/// Returns the upright size of a picture with these bytes. `name` stands for its path in errors.
///
/// # Errors
/// As [`size`].
pub fn size_in(bytes: &[u8], name: &Path) -> Result<Size> {
    size_of(bytes).map_err(|refusal| refusal.at(name))
}

/// Returns the upright size of the picture at `path` and the SHA-256 of its file. No pixel is decoded.
///
/// # Errors
/// As [`size`].
pub fn identify(path: &Path) -> Result<(Size, String)> {
    let bytes = load(path).map_err(|refusal| refusal.at(path))?;
    let size = size_of(&bytes).map_err(|refusal| refusal.at(path))?;
    Ok((size, sha256(&bytes)))
}

fn size_of(bytes: &[u8]) -> std::result::Result<Size, Refusal> {
    let mut found = None;
    let mut accept = |size| {
        large_enough(size)?;
        found = Some(size);
        // Stops here, because no pixel is needed.
        Err(Refusal::other_size())
    };
    let decoded = decode(bytes, &mut accept, Damage::Refused);
    match (found, decoded) {
        (Some(size), _) => Ok(size),
        (None, Ok(decoded)) => Ok(decoded.size()),
        (None, Err(refusal)) => Err(refusal),
    }
}

/// Reads the pixels of the picture at `path`, upright. `accept` checks the upright size before any pixel is decoded.
pub(crate) fn read_pixels(
    path: &Path,
    accept: &mut Accept<'_>,
) -> std::result::Result<DynamicImage, Refusal> {
    decode_pixels(&load(path)?, accept)
}

/// Decodes the pixels of a picture as [`read_pixels`] does.
pub(crate) fn decode_pixels(
    bytes: &[u8],
    accept: &mut Accept<'_>,
) -> std::result::Result<DynamicImage, Refusal> {
    Ok(decode(bytes, accept, Damage::Refused)?.pixels)
}

fn load(path: &Path) -> std::result::Result<Vec<u8>, Refusal> {
    let missing = |error: std::io::Error| {
        let is_missing = error.kind() == std::io::ErrorKind::NotFound;
        let hint = if is_missing && path.to_string_lossy().contains("://") {
            "this is an address; download the picture first"
        } else if is_missing {
            NOT_FOUND
        } else {
            ""
        };
        Refusal {
            kind: ErrorKind::ImageMissing,
            reason: error.to_string(),
            hint,
        }
    };
    let metadata = fs::metadata(path).map_err(missing)?;
    if !metadata.is_file() {
        return Err(Refusal::unsupported(
            "is not a file",
            "give one PNG, JPEG or WebP",
        ));
    }
    if metadata.len() > MAX_FILE {
        return Err(Refusal::too_large(format!(
            "the file has {} bytes; at most {MAX_FILE} are allowed",
            metadata.len()
        )));
    }
    fs::read(path).map_err(missing)
}

/// Rejects a picture that has too few latent cells to be edited.
fn large_enough(size: Size) -> std::result::Result<(), Refusal> {
    if size.width.min(size.height) >= MIN_SIDE as usize {
        return Ok(());
    }
    let reason = format!("{size} is too small; each side needs at least {MIN_SIDE} pixels");
    Err(Refusal {
        kind: ErrorKind::ImageTooSmall,
        reason,
        hint: "enlarge the picture first",
    })
}

fn samples(decoded: DynamicImage) -> ImageResult<(Channels, Samples)> {
    Ok(match decoded {
        DynamicImage::ImageLuma8(image) => (Channels::Grey, Samples::Eight(image.into_raw())),
        DynamicImage::ImageLumaA8(image) => (Channels::GreyAlpha, Samples::Eight(image.into_raw())),
        DynamicImage::ImageRgb8(image) => (Channels::Rgb, Samples::Eight(image.into_raw())),
        DynamicImage::ImageRgba8(image) => (Channels::Rgba, Samples::Eight(image.into_raw())),
        DynamicImage::ImageLuma16(image) => (Channels::Grey, Samples::Sixteen(image.into_raw())),
        DynamicImage::ImageLumaA16(image) => {
            (Channels::GreyAlpha, Samples::Sixteen(image.into_raw()))
        }
        DynamicImage::ImageRgb16(image) => (Channels::Rgb, Samples::Sixteen(image.into_raw())),
        DynamicImage::ImageRgba16(image) => (Channels::Rgba, Samples::Sixteen(image.into_raw())),
        other => {
            let format = image::error::ImageFormatHint::Unknown;
            let color = image::error::UnsupportedErrorKind::Color(other.color().into());
            return Err(ImageError::Unsupported(
                image::error::UnsupportedError::from_format_and_kind(format, color),
            ));
        }
    })
}
