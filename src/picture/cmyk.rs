//! JPEGs in CMYK, whose inks are converted to sRGB as their colour profile describes them.
//!
//! The plain conversion of the JPEG decoder, by which each colour is the product of its own ink's and black's share of paper, knows no press. A file
//! without a profile, or with one that cannot be used, is left to it.

use std::sync::Arc;

use image::error::{DecodingError, ImageFormatHint};
use image::{ColorType, ImageDecoder, ImageError, ImageFormat, ImageResult};
use moxcms::{ColorProfile, DataColorSpace, Layout, Transform8BitExecutor, TransformOptions};
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use crate::panics;

/// Channels of inks.
const INKS: usize = 4;
/// Channels of the result.
const COLOURS: usize = 3;

/// Decodes a JPEG in CMYK to sRGB.
pub(super) struct CmykDecoder<'a> {
    bytes: &'a [u8],
    width: u32,
    height: u32,
    to_srgb: Arc<Transform8BitExecutor>,
}

impl<'a> CmykDecoder<'a> {
    /// Returns a decoder of a JPEG of this size with this profile, of the perceptual intent; `None` for a profile that does not describe CMYK, or is
    /// damaged.
    pub(super) fn new(bytes: &'a [u8], size: (u32, u32), profile: &[u8]) -> Option<Self> {
        let transform = || -> Option<Arc<Transform8BitExecutor>> {
            let inks = ColorProfile::new_from_slice(profile).ok()?;
            if inks.color_space != DataColorSpace::Cmyk {
                return None;
            }
            // Four channels have one layout, whatever they are.
            inks.create_transform_8bit(
                Layout::Rgba,
                &ColorProfile::new_srgb(),
                Layout::Rgb,
                TransformOptions::default(),
            )
            .ok()
        };
        // A profile is as untrusted as a picture.
        let to_srgb = panics::catch_expected(transform)??;
        Some(Self {
            bytes,
            width: size.0,
            height: size.1,
            to_srgb,
        })
    }

    /// Decodes the amounts of ink: cyan, magenta, yellow, black; 255 covers the paper.
    fn inks(&self) -> ImageResult<Vec<u8>> {
        let damaged = |reason: String| {
            let format = ImageFormatHint::Exact(ImageFormat::Jpeg);
            ImageError::Decoding(DecodingError::new(format, reason))
        };
        let options = DecoderOptions::default()
            .set_strict_mode(false)
            .set_max_width(usize::MAX)
            .set_max_height(usize::MAX);
        let mut decoder = JpegDecoder::new_with_options(ZCursor::new(self.bytes), options);
        let headers = decoder.decode_headers();
        headers.map_err(|error| damaged(error.to_string()))?;
        let space = decoder.input_colorspace().unwrap_or(ColorSpace::Unknown);
        if !matches!(space, ColorSpace::CMYK | ColorSpace::YCCK) {
            return Err(damaged(format!("its colours are {space:?}, not CMYK")));
        }
        // Samples come as they are stored.
        decoder.set_options(options.jpeg_set_out_colorspace(space));
        let mut samples = decoder
            .decode()
            .map_err(|error| damaged(error.to_string()))?;
        let is_ycck = space == ColorSpace::YCCK;
        // Adobe's convention holds with and without its marker: the paper's share is stored, and YCCK encodes its complement, the ink.
        for pixel in samples.chunks_exact_mut(INKS) {
            if is_ycck {
                let inks = rgb_of([pixel[0], pixel[1], pixel[2]]);
                pixel[..3].copy_from_slice(&inks);
            } else {
                pixel[..3]
                    .iter_mut()
                    .for_each(|share| *share = 255 - *share);
            }
            pixel[3] = 255 - pixel[3];
        }
        Ok(samples)
    }
}

impl ImageDecoder for CmykDecoder<'_> {
    fn dimensions(&self) -> (u32, u32) {
        (self.width, self.height)
    }

    fn color_type(&self) -> ColorType {
        ColorType::Rgb8
    }

    fn read_image(self, buffer: &mut [u8]) -> ImageResult<()> {
        let inks = self.inks()?;
        let width = self.width as usize;
        // On this thread, where a panic of the library rejects the file.
        let mut rows = buffer
            .chunks_mut(width * COLOURS)
            .zip(inks.chunks(width * INKS));
        let converted = rows.try_for_each(|(colours, inks)| self.to_srgb.transform(inks, colours));
        converted.map_err(|error| {
            let format = ImageFormatHint::Exact(ImageFormat::Jpeg);
            ImageError::Decoding(DecodingError::new(format, error.to_string()))
        })
    }

    fn read_image_boxed(self: Box<Self>, buffer: &mut [u8]) -> ImageResult<()> {
        (*self).read_image(buffer)
    }
}

/// Returns the RGB of a colour in YCbCr (JFIF 1.02).
fn rgb_of([y, cb, cr]: [u8; 3]) -> [u8; 3] {
    let (y, cb, cr) = (f32::from(y), f32::from(cb) - 128.0, f32::from(cr) - 128.0);
    [
        y + 1.402 * cr,
        y - 0.344_136 * cb - 0.714_136 * cr,
        y + 1.772 * cb,
    ]
    .map(|level| level.round().clamp(0.0, 255.0) as u8)
}
