//! Pictures: reads PNG, JPEG and WebP, and writes PNG.
//!
//! A [`Picture`] keeps the samples as they are stored in the file: bit depth, grey or colour, alpha, colour profile; and EXIF, XMP and text. The network
//! gets a resized 8-bit RGB copy ([`Picture::working`]), and its result is blended into the original samples
//! ([`Picture::composite`]), so that pixels outside the edit are never converted.
//! Previews use another 8-bit copy of any size ([`Picture::displayed`]).

mod alpha;
mod chunks;
mod cmyk;
mod composite;
mod decode;
mod display;
mod entropy;
mod jpeg;
mod metadata;
mod note;
pub(crate) mod pillow;
mod plane;
mod png;
mod raster;
mod read;
mod refusal;
mod working;

pub use decode::{MAX_PIXELS, MAX_SIDE};
pub use note::read_note;
pub use plane::Channel;
pub use png::KEYWORD;
pub use raster::{Raster, mixed};
pub use read::{MIN_SIDE, Original, identify, read, read_any, read_damaged, size, size_in};
pub(crate) use read::{decode_pixels, read_pixels};
pub(crate) use refusal::Refusal;

use crate::geometry::Size;

/// A picture, upright, row by row from the top left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    size: Size,
    channels: Channels,
    samples: Samples,
    icc: Option<Vec<u8>>,
    /// Chunks of a PNG that define the meaning of its samples, such as gamma.
    carried: Vec<chunks::Chunk>,
    metadata: metadata::Metadata,
}

/// The channels of a pixel; the discriminant is their number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Channels {
    Grey = 1,
    GreyAlpha = 2,
    Rgb = 3,
    Rgba = 4,
}

/// The samples, interleaved, in the bit depth of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Samples {
    Eight(Vec<u8>),
    Sixteen(Vec<u16>),
}

impl Picture {
    /// Returns width and height in pixels, after the EXIF orientation was applied.
    pub fn size(&self) -> Size {
        self.size
    }

    /// Returns the embedded colour profile, byte for byte as in the file.
    pub fn icc(&self) -> Option<&[u8]> {
        self.icc.as_deref()
    }

    /// Returns what is kept of the picture's file beside its pixels: `icc`, `exif`, `xmp`, `text`.
    pub fn kept(&self) -> Vec<&'static str> {
        let icc = self.icc.is_some().then_some("icc");
        icc.into_iter().chain(self.metadata.kinds()).collect()
    }

    /// Removes EXIF, XMP and text. The colour profile stays, because it defines the colours.
    pub fn strip_metadata(&mut self) {
        self.metadata = metadata::Metadata::default();
    }

    /// Returns whether samples have 16 bits.
    pub fn is_sixteen_bit(&self) -> bool {
        matches!(self.samples, Samples::Sixteen(_))
    }

    /// Returns the samples of the pixel at (`x`, `y`) as stored: grey, grey and alpha, RGB or RGBA.
    ///
    /// # Panics
    /// If the pixel lies outside the picture.
    pub fn pixel(&self, x: usize, y: usize) -> Vec<u16> {
        assert!(
            x < self.size.width && y < self.size.height,
            "({x}, {y}) lies outside the picture"
        );
        let channels = self.channels as usize;
        let start = (y * self.size.width + x) * channels;
        match &self.samples {
            Samples::Eight(samples) => samples[start..start + channels]
                .iter()
                .map(|sample| u16::from(*sample))
                .collect(),
            Samples::Sixteen(samples) => samples[start..start + channels].to_vec(),
        }
    }
}
