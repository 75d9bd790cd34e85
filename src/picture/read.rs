//! Reads untrusted pictures: PNG, JPEG or WebP, recognised by their content.
//!
//! Sizes are checked in the header, before memory for pixels is allocated. A panic of a decoder rejects the file. Pictures to
//! edit and masks are read by the same code.

use std::fs;
use std::io::Cursor;
use std::path::Path;

use image::codecs::{jpeg::JpegDecoder, png::PngDecoder, webp::WebPDecoder};
use image::error::{ImageError, ImageResult, LimitErrorKind};
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageFormat, Limits};

use super::chunks::{self, Beside, Chunk};
use super::{Channels, Picture, Samples, jpeg};
use crate::digest::sha256;
use crate::error::{Error, ErrorKind, NOT_FOUND, Result};
use crate::failpoint;
use crate::geometry::Size;
use crate::panics;
use crate::warning::{Warning, WarningKind};

/// Longest side that is read, in pixels.
pub const MAX_SIDE: u32 = 32_768;
/// Most pixels that are read.
pub const MAX_PIXELS: u64 = 256_000_000;
/// Shortest side that can be edited: eight cells of the latent.
pub const MIN_SIDE: u32 = 64;
/// Largest file in bytes; 256 million uncompressed 16-bit RGBA pixels fit.
const MAX_FILE: u64 = 2 << 30;
/// Most memory in bytes for a PNG's decompressed colour profile and one row of pixels.
const MAX_PNG_METADATA: u64 = 64 << 20;
/// Largest colour profile in bytes that is copied to the result; usual profiles have a few kilobytes.
const MAX_ICC: usize = 4 << 20;

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

/// Reads the picture at `path`.
///
/// # Errors
/// [`Error::Image`]: `image.missing`, `image.unsupported`, `image.too_large`, `image.too_small` or `image.decode`.
pub fn read(path: &Path) -> Result<Original> {
    read_if(path, &mut large_enough)
}

/// Reads the picture at `path`, even if it is too small to be edited.
///
/// # Errors
/// As [`read`], without `image.too_small`.
pub fn read_any(path: &Path) -> Result<Original> {
    read_if(path, &mut |_| Ok(()))
}

fn read_if(path: &Path, accept: &mut Accept<'_>) -> Result<Original> {
    let refuse = |refusal: Refusal| refusal.at(path);
    let bytes = load(path).map_err(refuse)?;
    let decoded = guarded_decode(&bytes, accept).map_err(refuse)?;
    let size = decoded.size();
    let (channels, samples) = samples(decoded.pixels).map_err(|error| refuse(error.into()))?;
    let picture = Picture {
        size,
        channels,
        samples,
        icc: decoded.icc,
        carried: decoded.carried,
    };
    Ok(Original {
        picture,
        sha256: sha256(&bytes),
        warnings: decoded.warnings,
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
    let decoded = guarded_decode(bytes, &mut accept);
    match (found, decoded) {
        (Some(size), _) => Ok(size),
        (None, Ok(decoded)) => Ok(decoded.size()),
        (None, Err(refusal)) => Err(refusal),
    }
}

/// Reads the grey values of the picture at `path`, upright and row by row. `accept` checks the upright size before any pixel is
/// decoded.
pub(crate) fn read_grey(
    path: &Path,
    accept: &mut Accept<'_>,
) -> std::result::Result<Vec<u8>, Refusal> {
    Ok(guarded_decode(&load(path)?, accept)?
        .pixels
        .into_luma8()
        .into_raw())
}

/// Accepts or rejects an upright size before pixels are decoded.
type Accept<'a> = dyn FnMut(Size) -> std::result::Result<(), Refusal> + 'a;

/// A file's upright pixels and their metadata.
struct Decoded {
    pixels: DynamicImage,
    icc: Option<Vec<u8>>,
    carried: Vec<Chunk>,
    warnings: Vec<Warning>,
}

impl Decoded {
    fn size(&self) -> Size {
        Size {
            width: self.pixels.width() as usize,
            height: self.pixels.height() as usize,
        }
    }
}

/// Why a picture is rejected; [`Refusal::at`] adds its path.
#[derive(Debug)]
pub(crate) struct Refusal {
    /// As in [`Error::Image`].
    pub(crate) kind: ErrorKind,
    /// What is wrong with it.
    pub(crate) reason: String,
    hint: &'static str,
}

impl Refusal {
    fn at(self, path: &Path) -> Error {
        Error::Image {
            path: path.to_path_buf(),
            kind: self.kind,
            reason: self.reason,
            hint: self.hint.to_owned(),
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

    fn unsupported(reason: impl Into<String>, hint: &'static str) -> Self {
        Self {
            kind: ErrorKind::ImageUnsupported,
            reason: reason.into(),
            hint,
        }
    }

    fn damaged(reason: impl Into<String>) -> Self {
        Self {
            kind: ErrorKind::ImageDecode,
            reason: reason.into(),
            hint: "the file is truncated or damaged; open it in a viewer and save it again",
        }
    }

    fn too_large(reason: impl Into<String>) -> Self {
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

fn load(path: &Path) -> std::result::Result<Vec<u8>, Refusal> {
    let missing = |error: std::io::Error| {
        let hint = if error.kind() == std::io::ErrorKind::NotFound {
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

/// Decodes, and rejects the file if the decoder panics.
fn guarded_decode(bytes: &[u8], accept: &mut Accept<'_>) -> std::result::Result<Decoded, Refusal> {
    let decoded = panics::catch_expected(|| {
        assert!(!failpoint::is_hit("panic_in_picture"), "a decoder's bug");
        decode(bytes, accept)
    });
    decoded.unwrap_or_else(|| Err(Refusal::damaged("the decoder failed on this file")))
}

fn decode(bytes: &[u8], accept: &mut Accept<'_>) -> std::result::Result<Decoded, Refusal> {
    let limits = limits();
    match image::guess_format(bytes) {
        Ok(ImageFormat::Png) => {
            let decoder = PngDecoder::with_limits(Cursor::new(bytes), limits)?;
            let animated = decoder.is_apng()?;
            finish(decoder, animated, chunks::of_png(bytes), accept)
        }
        Ok(ImageFormat::Jpeg) => {
            let markers = jpeg::markers(bytes);
            if markers.components == 4 {
                return Err(Refusal::unsupported(
                    "is a CMYK JPEG",
                    "convert it to RGB with its profile, in an image editor",
                ));
            }
            let mut decoder = JpegDecoder::new(Cursor::new(bytes))?;
            decoder.set_limits(limits)?;
            if !markers.ends {
                return Err(Refusal::damaged("the file ends before the picture does"));
            }
            let beside = Beside {
                has_profile: markers.has_profile,
                is_signed: markers.is_signed,
                carried: Vec::new(),
            };
            finish(decoder, false, beside, accept)
        }
        Ok(ImageFormat::WebP) => {
            let mut decoder = WebPDecoder::new(Cursor::new(bytes))?;
            decoder.set_limits(limits)?;
            let animated = decoder.has_animation();
            finish(decoder, animated, chunks::of_webp(bytes), accept)
        }
        Ok(other) => Err(Refusal::unsupported(
            format!("is a {}", name(other)),
            "PNG, JPEG and WebP are supported; convert it to PNG",
        )),
        Err(_) if bytes.is_empty() => Err(Refusal::damaged("the file is empty")),
        Err(_) => Err(Refusal::unsupported(
            "is not a picture in a known format",
            "PNG, JPEG and WebP are supported",
        )),
    }
}

fn limits() -> Limits {
    let mut limits = Limits::no_limits();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    limits.max_alloc = Some(MAX_PNG_METADATA);
    limits
}

fn name(format: ImageFormat) -> String {
    format.extensions_str().first().map_or_else(
        || "picture".to_owned(),
        |extension| format!("{} file", extension.to_uppercase()),
    )
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

/// Checks the size, decodes the pixels, and applies the orientation.
fn finish(
    mut decoder: impl ImageDecoder,
    animated: bool,
    beside: Beside,
    accept: &mut Accept<'_>,
) -> std::result::Result<Decoded, Refusal> {
    let (width, height) = decoder.dimensions();
    if u64::from(width) * u64::from(height) > MAX_PIXELS {
        return Err(Refusal::too_large(format!(
            "{width} x {height} is too large"
        )));
    }
    // Damaged EXIF data does not make the picture unreadable.
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let stored = Size {
        width: width as usize,
        height: height as usize,
    };
    accept(if swaps_sides(orientation) {
        Size {
            width: stored.height,
            height: stored.width,
        }
    } else {
        stored
    })?;

    let mut warnings = Vec::new();
    let mut warn = |kind, message: String| warnings.push(Warning { kind, message });
    if animated {
        warn(
            WarningKind::ImageAnimated,
            "the picture is animated; its first frame is edited".into(),
        );
    }
    if beside.is_signed {
        warn(WarningKind::ImageC2pa, "the picture is signed (C2PA); the signature is not valid for the result and is left out".into());
    }
    let icc = match decoder.icc_profile().ok().flatten() {
        Some(profile) if profile.len() > MAX_ICC => {
            warn(
                WarningKind::ImageProfile,
                format!(
                    "the colour profile has {} bytes and is left out",
                    profile.len()
                ),
            );
            None
        }
        None if beside.has_profile => {
            warn(
                WarningKind::ImageProfile,
                "the colour profile is damaged or too large and is left out".into(),
            );
            None
        }
        profile => profile,
    };

    let mut pixels = DynamicImage::from_decoder(decoder)?;
    pixels.apply_orientation(orientation);
    let mut carried = beside.carried;
    if swaps_sides(orientation) {
        swap_densities(&mut carried);
    }
    Ok(Decoded {
        pixels,
        icc,
        carried,
        warnings,
    })
}

const fn swaps_sides(orientation: Orientation) -> bool {
    use Orientation::{Rotate90, Rotate90FlipH, Rotate270, Rotate270FlipH};
    matches!(
        orientation,
        Rotate90 | Rotate270 | Rotate90FlipH | Rotate270FlipH
    )
}

/// Swaps the horizontal and vertical pixels per metre of a PNG (`pHYs`).
fn swap_densities(carried: &mut [Chunk]) {
    for (_, content) in carried.iter_mut().filter(|(name, _)| name == b"pHYs") {
        content[..8].rotate_left(4);
    }
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
