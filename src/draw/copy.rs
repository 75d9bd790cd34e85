//! The copy of a picture inside a page: upright, 8 bits, and no larger than a screen needs.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use image::codecs::jpeg::JpegEncoder;
use image::error::{EncodingError, ImageError, ImageFormatHint};
use image::{ExtendedColorType, ImageEncoder};

use crate::geometry::Size;
use crate::picture::Picture;

/// Longest side of the copy in pixels.
const LONGEST: usize = 2560;
/// A larger PNG, in bytes, is replaced by a JPEG.
const LARGEST_PNG: usize = 2 << 20;
const JPEG_QUALITY: u8 = 92;

/// Returns the copy as a data URL. It keeps the colour profile.
pub(super) fn url(picture: &Picture) -> Result<String, ImageError> {
    let size = shown_size(picture.size());
    let samples = picture.displayed(size);
    let copy = Picture::from_rgb(size, samples.clone()).with_profile_of(picture);
    let png = png(&copy)?;
    if png.len() <= LARGEST_PNG {
        return Ok(data_url("image/png", &png));
    }
    let mut jpeg = Vec::new();
    let mut encoder = JpegEncoder::new_with_quality(&mut jpeg, JPEG_QUALITY);
    if let Some(profile) = copy.icc() {
        // A profile that does not fit is left out; the colours of the copy may then differ a little.
        let _ = encoder.set_icc_profile(profile.to_vec());
    }
    let (width, height) = (size.width as u32, size.height as u32);
    encoder.write_image(&samples, width, height, ExtendedColorType::Rgb8)?;
    Ok(data_url("image/jpeg", &jpeg))
}

/// Returns a picture as the data URL of a PNG.
pub(super) fn png_url(picture: &Picture) -> Result<String, ImageError> {
    Ok(data_url("image/png", &png(picture)?))
}

fn png(picture: &Picture) -> Result<Vec<u8>, ImageError> {
    picture
        .png(None)
        .map_err(|error| ImageError::Encoding(EncodingError::new(ImageFormatHint::Unknown, error)))
}

fn data_url(kind: &str, bytes: &[u8]) -> String {
    format!("data:{kind};base64,{}", STANDARD.encode(bytes))
}

/// Returns the size of the copy of a picture of this size.
fn shown_size(size: Size) -> Size {
    let longest = size.width.max(size.height);
    let shrunk = |side: usize| {
        if longest <= LONGEST {
            side
        } else {
            (side * LONGEST / longest).max(1)
        }
    };
    Size::new(shrunk(size.width), shrunk(size.height))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_copy_is_bounded_and_keeps_the_aspect() {
        assert_eq!(shown_size(Size::new(640, 480)), Size::new(640, 480));
        assert_eq!(shown_size(Size::new(4000, 3000)), Size::new(2560, 1920));
        assert_eq!(shown_size(Size::new(64, 32_768)), Size::new(5, 2560));
    }

    #[test]
    fn a_copy_with_much_detail_is_a_jpeg() {
        let size = Size::new(1200, 900);
        let mut state = 1_u32;
        let noise = (0..size.area() * 3).map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        });
        let noisy = Picture::from_rgb(size, noise.collect());
        assert!(url(&noisy).is_ok_and(|url| url.starts_with("data:image/jpeg;base64,")));
        let plain = Picture::from_rgb(size, vec![7; size.area() * 3]);
        assert!(url(&plain).is_ok_and(|url| url.starts_with("data:image/png;base64,")));
    }
}
