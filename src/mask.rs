//! Masks: which pixels of a picture belong to an area.
//!
//! A mask is read from a picture or rasterised from an outline. It is dilated, resized, sampled at points, and measured.

mod depth;
mod reading;
mod source;

use std::path::Path;

use crate::error::ErrorKind;
use crate::geometry::{Point, Size};
use crate::picture::{Refusal, decode_pixels, read_pixels};
use reading::NoShape;

pub use depth::Depth;
pub use reading::{MaskChannel, MaskReading};
pub use source::{MaskSource, MaskUrlError};

/// Which pixels belong to an area, row by row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mask {
    /// Pixels along x.
    pub width: usize,
    /// Pixels along y.
    pub height: usize,
    /// One entry per pixel.
    pub data: Vec<bool>, // (height, width)
}

/// Why a mask could not be read.
#[derive(Debug, thiserror::Error)]
pub enum MaskError {
    /// The file does not exist or cannot be opened.
    #[error("cannot read the mask `{path}`: {reason}")]
    File {
        /// The mask's path.
        path: String,
        /// The operating system's message.
        reason: String,
    },
    /// The file cannot be decoded as a picture.
    #[error("cannot decode the mask `{path}`: {reason}")]
    Decode {
        /// The mask's path.
        path: String,
        /// The decoder's message.
        reason: String,
    },
    /// The mask does not have the image's size.
    #[error("the mask `{path}` is {found} pixels, the image is {expected}")]
    Size {
        /// The mask's path.
        path: String,
        /// The mask's size.
        found: Size,
        /// The image's size.
        expected: Size,
    },
    /// No pixel is bright, or opaque, and more levels than two, or one, do not tell which are inside.
    #[error(
        "the {} pixel of the mask `{path}` is {highest} of {full}, so that no pixel is inside",
        .channel.more()[1]
    )]
    Dark {
        /// The mask's path.
        path: String,
        /// What was taken for its shape.
        channel: MaskChannel,
        /// The level of its brightest or most opaque pixel.
        highest: u16,
        /// The level of white, or of opacity.
        full: u16,
    },
    /// Colours and alpha tell different shapes.
    #[error("the mask `{path}` has one shape in its colours and another in its alpha channel")]
    Ambiguous {
        /// The mask's path.
        path: String,
    },
    /// The alpha channel is asked for.
    #[error("the mask `{path}` has no alpha channel, or one that is the same everywhere")]
    NoAlpha {
        /// The mask's path.
        path: String,
    },
}

/// A mask that was read, with what its picture told.
#[derive(Debug)]
pub struct NotedMask {
    /// The mask.
    pub mask: Mask,
    /// What was assumed, where the picture is not white on black; a phrase that follows the mask's name.
    pub note: Option<String>,
}

impl Mask {
    /// Returns a mask with every pixel inside or every pixel outside.
    pub fn filled(size: Size, inside: bool) -> Self {
        Self {
            width: size.width,
            height: size.height,
            data: vec![inside; size.area()],
        }
    }

    /// Evaluates `inside` at the centre of every pixel.
    pub fn from_fn(size: Size, inside: impl Fn(Point) -> bool) -> Self {
        Self {
            width: size.width,
            height: size.height,
            data: size.centres().map(inside).collect(),
        }
    }

    /// Reads a picture; pixels with a grey value above 127 of 255 are inside.
    ///
    /// Colours are converted to luma. Where the picture has two levels only, both dark or both bright, the brighter one is inside. Alpha that is
    /// not constant is the shape where the colours have none. The EXIF orientation is applied. The size is checked before any pixel is decoded.
    ///
    /// # Errors
    /// When the file is missing, not a picture, not of the expected size, or does not tell which pixels are inside.
    pub fn read(path: &Path, expected: Size) -> Result<Self, MaskError> {
        let source = MaskSource::File(path.to_owned());
        Ok(Self::from_source(&source, MaskReading::default(), expected)?.mask)
    }

    /// Reads a picture from a file or from the drag file, as [`Mask::read`] does.
    ///
    /// # Errors
    /// As [`Mask::read`].
    pub fn from_source(
        source: &MaskSource,
        reading: MaskReading,
        expected: Size,
    ) -> Result<NotedMask, MaskError> {
        Self::read_if(source, reading, |found| found == expected, expected)
    }

    /// Reads a picture of any size, as [`Mask::read`] does.
    ///
    /// # Errors
    /// When the file is missing or not a picture.
    pub fn read_any(source: &MaskSource, reading: MaskReading) -> Result<NotedMask, MaskError> {
        Self::read_if(source, reading, |_| true, Size::new(0, 0))
    }

    fn read_if(
        source: &MaskSource,
        reading: MaskReading,
        fits: impl Fn(Size) -> bool,
        expected: Size,
    ) -> Result<NotedMask, MaskError> {
        let mut found = expected;
        let mut accept = |size| {
            found = size;
            if fits(size) {
                Ok(())
            } else {
                Err(Refusal::other_size())
            }
        };
        let pixels = match source {
            MaskSource::File(path) => read_pixels(path, &mut accept),
            MaskSource::Embedded(bytes) => decode_pixels(bytes, &mut accept),
        };
        let pixels = pixels.map_err(|Refusal { kind, reason, .. }| {
            let is_file = source.path().is_none_or(Path::is_file);
            let path = source.to_string();
            match kind {
                ErrorKind::ImageSize => MaskError::Size {
                    path,
                    found,
                    expected,
                },
                ErrorKind::ImageMissing => MaskError::File { path, reason },
                _ if !is_file => MaskError::File { path, reason },
                _ => MaskError::Decode { path, reason },
            }
        })?;
        let is_deep = pixels.color().bytes_per_pixel() / pixels.color().channel_count() > 1;
        let (mask, note) = reading.mask(pixels).map_err(|none| {
            let path = source.to_string();
            match none {
                NoShape::Dark(channel, highest) if is_deep => MaskError::Dark {
                    path,
                    channel,
                    highest,
                    full: u16::MAX,
                },
                NoShape::Dark(channel, highest) => MaskError::Dark {
                    path,
                    channel,
                    highest: highest / 257,
                    full: 255,
                },
                NoShape::Ambiguous => MaskError::Ambiguous { path },
                NoShape::NoAlpha => MaskError::NoAlpha { path },
            }
        })?;
        Ok(NotedMask { mask, note })
    }

    /// Returns width and height.
    pub const fn size(&self) -> Size {
        Size::new(self.width, self.height)
    }

    /// Returns the number of pixels inside.
    pub fn count(&self) -> usize {
        self.data.iter().filter(|inside| **inside).count()
    }

    /// Returns whether the pixel under a point is inside. The right and the bottom edge belong to the last pixel; a point beyond the
    /// picture is outside.
    pub fn at(&self, point: Point) -> bool {
        self.size().contains(point) && !self.data.is_empty() && {
            let (column, row) = (
                (point.x as usize).min(self.width - 1),
                (point.y as usize).min(self.height - 1),
            );
            self.data[row * self.width + column]
        }
    }

    /// Returns the top left and bottom right corner of the smallest rectangle of whole pixels around the pixels inside; `None` when
    /// there are none.
    pub fn bounds(&self) -> Option<(Point, Point)> {
        let mut bounds: Option<(usize, usize, usize, usize)> = None;
        for (index, _) in self.data.iter().enumerate().filter(|(_, inside)| **inside) {
            let (column, row) = (index % self.width, index / self.width);
            let (left, top, right, bottom) = bounds.unwrap_or((column, row, column, row));
            bounds = Some((
                left.min(column),
                top.min(row),
                right.max(column),
                bottom.max(row),
            ));
        }
        bounds.map(|(left, top, right, bottom)| {
            (
                Point::new(left as f64, top as f64),
                Point::new((right + 1) as f64, (bottom + 1) as f64),
            )
        })
    }

    /// Returns the mask dilated by a square of `2 * radius + 1` pixels, as max pooling does.
    #[must_use]
    pub fn dilated(&self, radius: usize) -> Self {
        let mut wide = self.clone();
        for row in 0..self.height {
            dilate_line(
                &self.data,
                &mut wide.data,
                row * self.width,
                1,
                self.width,
                radius,
            );
        }
        let mut grown = wide.clone();
        for column in 0..self.width {
            dilate_line(
                &wide.data,
                &mut grown.data,
                column,
                self.width,
                self.height,
                radius,
            );
        }
        grown
    }

    /// Returns the mask resized by nearest neighbour: each pixel takes the one at `floor(index * scale)`, as PyTorch's `nearest`.
    #[must_use]
    pub fn resized(&self, size: Size) -> Self {
        let mut data = Vec::with_capacity(size.area());
        for row in 0..size.height {
            let from = row * self.height / size.height * self.width;
            data.extend(
                (0..size.width).map(|column| self.data[from + column * self.width / size.width]),
            );
        }
        Self {
            width: size.width,
            height: size.height,
            data,
        }
    }
}

/// Dilates one line: sets every element within `radius` of an element that is inside.
fn dilate_line(
    from: &[bool],
    to: &mut [bool],
    start: usize,
    stride: usize,
    length: usize,
    radius: usize,
) {
    let mut reach = 0; // one past the last element within `radius` of an element inside so far
    for index in 0..length + radius {
        if index < length && from[start + index * stride] {
            reach = index + 2 * radius + 1;
        }
        if index >= radius {
            to[start + (index - radius) * stride] = index < reach;
        }
    }
}

#[cfg(test)]
mod tests;
