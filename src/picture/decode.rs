//! Decodes untrusted PNG, JPEG and WebP files, recognised by their content.
//!
//! Sizes are checked in the header, before memory for pixels is allocated. A panic of a decoder rejects the file.

use std::io::Cursor;

use image::codecs::{jpeg::JpegDecoder, png::PngDecoder, webp::WebPDecoder};
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageFormat, Limits};

use super::chunks::{self, Beside, Chunk};
use super::cmyk::CmykDecoder;
use super::entropy;
use super::jpeg;
use super::metadata::Metadata;
use super::refusal::Refusal;
use crate::error::ErrorKind;
use crate::failpoint;
use crate::files::content::Content;
use crate::geometry::Size;
use crate::panics;
use crate::warning::{Warning, WarningKind};

/// Longest side that is read, in pixels.
pub const MAX_SIDE: u32 = 32_768;
/// Most pixels that are read.
pub const MAX_PIXELS: u64 = 256_000_000;
/// Most memory in bytes for a PNG's decompressed colour profile and one row of pixels.
const MAX_PNG_METADATA: u64 = 64 << 20;
/// Largest colour profile in bytes that is copied to the result; usual profiles have a few kilobytes.
const MAX_ICC: usize = 4 << 20;
/// Accepts or rejects an upright size before pixels are decoded.
pub(super) type Accept<'a> = dyn FnMut(Size) -> std::result::Result<(), Refusal> + 'a;

/// A file's upright pixels and their metadata.
pub(super) struct Decoded {
    pub(super) pixels: DynamicImage,
    pub(super) icc: Option<Vec<u8>>,
    pub(super) carried: Vec<Chunk>,
    pub(super) metadata: Metadata,
    pub(super) warnings: Vec<Warning>,
}

impl Decoded {
    pub(super) fn size(&self) -> Size {
        Size {
            width: self.pixels.width() as usize,
            height: self.pixels.height() as usize,
        }
    }
}

/// Decodes, and rejects the file if the decoder panics.
pub(super) fn decode(
    bytes: &[u8],
    accept: &mut Accept<'_>,
    damage: Damage,
) -> std::result::Result<Decoded, Refusal> {
    let decoded = panics::catch_expected(|| {
        assert!(!failpoint::is_hit("panic_in_picture"), "a decoder's bug");
        decode_unguarded(bytes, accept, damage)
    });
    decoded.unwrap_or_else(|| Err(Refusal::damaged("the decoder failed on this file")))
}

fn decode_unguarded(
    bytes: &[u8],
    accept: &mut Accept<'_>,
    damage: Damage,
) -> std::result::Result<Decoded, Refusal> {
    let limits = limits();
    match image::guess_format(bytes) {
        Ok(ImageFormat::Png) => {
            if bytes.get(12..16) == Some(b"CgBI") {
                return Err(Refusal::unsupported(
                    "is a PNG of an iOS app (CgBI)",
                    "convert it: `xcrun -sdk iphoneos pngcrush -revert-iphone-optimizations in.png out.png`",
                ));
            }
            let decoder = PngDecoder::with_limits(Cursor::new(bytes), limits)?;
            let animated = decoder.is_apng()?;
            finish(decoder, animated, chunks::of_png(bytes), accept)
        }
        Ok(ImageFormat::Jpeg) => {
            let markers = jpeg::markers(bytes);
            if let Some(kind) = markers.other_kind() {
                return Err(Refusal::unsupported(
                    format!("is a JPEG of another kind ({kind})"),
                    "convert it: `magick in.jpg out.png`",
                ));
            }
            let mut decoder = JpegDecoder::new(Cursor::new(bytes))?;
            decoder.set_limits(limits)?;
            let is_cmyk = markers.components == 4;
            let profile = decoder.icc_profile().ok().flatten().filter(|_| is_cmyk);
            let by_profile = profile
                .filter(|profile| profile.len() <= MAX_ICC)
                .and_then(|profile| CmykDecoder::new(bytes, decoder.dimensions(), &profile));
            let cmyk = is_cmyk.then(|| cmyk(markers.has_profile, by_profile.is_some()));
            let beside = Beside {
                // A profile of CMYK does not describe RGB.
                has_profile: markers.has_profile && !is_cmyk,
                is_signed: markers.is_signed,
                carried: Vec::new(),
                found: markers.found,
            };
            let mut warning = None;
            let mut complete = |size: Size| {
                accept(size)?;
                warning = check_complete(bytes, damage)?;
                Ok(())
            };
            let mut decoded = match by_profile {
                Some(decoder) => finish(decoder, false, beside, &mut complete)?,
                None => finish(decoder, false, beside, &mut complete)?,
            };
            if is_cmyk {
                decoded.icc = None;
            }
            decoded.warnings.extend(cmyk.into_iter().chain(warning));
            Ok(decoded)
        }
        Ok(ImageFormat::WebP) => {
            let mut decoder = WebPDecoder::new(Cursor::new(bytes))?;
            decoder.set_limits(limits)?;
            let animated = decoder.has_animation();
            finish(decoder, animated, chunks::of_webp(bytes), accept)
        }
        Ok(_) if matches!(Content::of(bytes), Some(Content::Picture(_))) => {
            Err(not_a_picture(bytes))
        }
        Ok(other) => Err(Refusal::unsupported(
            format!("is a picture in the format {}", name(other)),
            CONVERT,
        )),
        Err(_) if bytes.is_empty() => Err(Refusal::damaged("the file is empty")),
        Err(_) => Err(not_a_picture(bytes)),
    }
}

/// Returns the warning about a picture in CMYK. Without a profile that can be used, the decoder converts it to RGB: each colour is the product of its own
/// ink's and black's share of paper, as in Pillow and browsers.
fn cmyk(has_profile: bool, is_used: bool) -> Warning {
    let message = match (has_profile, is_used) {
        (_, true) => "the picture is in CMYK and is converted to sRGB by its colour profile",
        (true, false) => {
            "the picture is in CMYK and is converted to RGB without its colour profile, which is damaged or of another kind; colours may be brighter than in print"
        }
        (false, false) => "the picture is in CMYK and is converted to RGB",
    };
    Warning {
        kind: WarningKind::ImageCmyk,
        message: message.into(),
    }
}

/// What to do with a JPEG of which a part is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Damage {
    Refused,
    /// Decode what is there, with a warning.
    Accepted,
}

/// Checks that all rows of a JPEG are in the file, whatever its end mark says.
fn check_complete(bytes: &[u8], damage: Damage) -> std::result::Result<Option<Warning>, Refusal> {
    let Some(missing) = entropy::missing(bytes) else {
        return Ok(None);
    };
    let reason = missing.to_string();
    if damage == Damage::Accepted {
        let message = format!("{reason}; the rest is grey");
        return Ok(Some(Warning {
            kind: WarningKind::ImageDamaged,
            message,
        }));
    }
    Err(Refusal {
        kind: ErrorKind::ImageDecode,
        reason,
        hint: "get the file again; `--accept-damaged` edits what is there",
    })
}

/// What to do with a picture in another format.
const CONVERT: &str = "PNG, JPEG and WebP are supported; convert it: `magick IN out.png`";

/// Returns why bytes in no known format are rejected.
fn not_a_picture(bytes: &[u8]) -> Refusal {
    let Some(found) = Content::of(bytes) else {
        return Refusal::unsupported(
            "is not a picture in a known format",
            "PNG, JPEG and WebP are supported",
        );
    };
    let hint = match found {
        Content::Json => {
            "the picture comes first and the drag file after `--drag`: `dragnext edit cat.png --drag cat.json`"
        }
        Content::LfsPointer => "`git lfs pull` in its folder gets the file itself",
        Content::WebPage => {
            "download it again: the address gave a page, as one that needs a login or has moved does"
        }
        Content::Zeros => "download it again",
        Content::Picture("HEIC") => {
            "convert it: `heif-convert in.heic out.png`, or `magick in.heic out.png`"
        }
        Content::Picture("AVIF") => {
            "convert it: `avifdec in.avif out.png`, or `magick in.avif out.png`"
        }
        Content::Picture("JPEG XL") => "convert it: `djxl in.jxl out.png`",
        Content::Picture("SVG") => "convert it: `rsvg-convert in.svg -o out.png`",
        Content::Picture("PDF") => "convert a page: `pdftoppm -png -r 150 in.pdf out`",
        Content::Picture("PSD" | "XCF" | "KRA" | "ORA") => {
            "export it as PNG from the program that made it, or convert it: `magick 'IN[0]' out.png`"
        }
        Content::Picture("camera raw") => {
            "develop it in a raw converter, such as `darktable-cli IN out.png`"
        }
        Content::Picture("video") => "take a frame: `ffmpeg -i IN -frames:v 1 out.png`",
        Content::Picture(_) => CONVERT,
        Content::Pickle | Content::Zip => "PNG, JPEG and WebP are supported",
    };
    let reason = match found {
        Content::Picture(name) if !matches!(name, "video" | "camera raw") => {
            format!("is a picture in the format {name}")
        }
        Content::Picture(_) | Content::LfsPointer | Content::WebPage | Content::Zeros => {
            format!("is {}", found.phrase())
        }
        other => format!("is not a picture but {}", other.phrase()),
    };
    Refusal::unsupported(reason, hint)
}

fn limits() -> Limits {
    let mut limits = Limits::no_limits();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    limits.max_alloc = Some(MAX_PNG_METADATA);
    limits
}

fn name(format: ImageFormat) -> String {
    let extension = format.extensions_str().first();
    extension.map_or_else(
        || format!("{format:?}"),
        |extension| extension.to_uppercase(),
    )
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
    let orientation = beside.found.orientation();
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
    let size = Size {
        width: pixels.width() as usize,
        height: pixels.height() as usize,
    };
    let (metadata, left_out) = beside.found.upright(size);
    warnings.extend(left_out);
    Ok(Decoded {
        pixels,
        icc,
        carried,
        metadata,
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
