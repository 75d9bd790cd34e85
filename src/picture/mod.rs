//! The picture that is edited, in the form in which it was stored.
//!
//! A [`Picture`] keeps the samples of its file: their bit depth, grey or colour, alpha and colour profile. The network
//! sees a small 8-bit RGB copy ([`Picture::working`]), and what it made is laid over the original samples
//! ([`Picture::composite`]), so that whatever the edit does not touch is never converted at all.
//! People are shown another copy ([`Picture::displayed`]), in any size.

mod chunks;
mod composite;
mod display;
mod jpeg;
mod note;
mod plane;
mod png;
mod read;
mod working;

pub use note::read_note;
pub use plane::Channel;
pub use png::KEYWORD;
pub use read::{MAX_PIXELS, MAX_SIDE, MIN_SIDE, Original, identify, read, read_any, size};
pub(crate) use read::{Refusal, read_grey};

use crate::geometry::Size;

/// A picture, upright, row by row from the top left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    size: Size,
    channels: Channels,
    samples: Samples,
    icc: Option<Vec<u8>>,
    /// Chunks of a PNG that say how its samples are meant.
    carried: Vec<chunks::Chunk>,
}

/// What the samples of one pixel are; the discriminant is their number.
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
    /// Width and height in pixels, after the camera's orientation was applied.
    pub fn size(&self) -> Size {
        self.size
    }

    /// The embedded colour profile, byte for byte as in the file.
    pub fn icc(&self) -> Option<&[u8]> {
        self.icc.as_deref()
    }

    /// Whether samples have 16 bits.
    pub fn is_sixteen_bit(&self) -> bool {
        matches!(self.samples, Samples::Sixteen(_))
    }

    /// The samples of the pixel at (`x`, `y`) as stored: grey, grey and alpha, RGB or RGBA.
    ///
    /// # Panics
    /// When the pixel lies outside the picture.
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
