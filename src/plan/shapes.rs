//! The drag file's shapes in the image's own coordinates, with the mask pictures that it names.

use std::path::Path;

use super::findings::Findings;
use crate::drag_file::Shape;
use crate::geometry::{Frame, Point, Size};
use crate::mask::Mask;
use crate::outline::Outline;

/// A shape on the image; the picture, if it is one, has been read.
pub(super) enum SourceShape<'a> {
    Outline(&'a Outline),
    Mask(Mask),
}

/// Reads the picture of a shape that is one; `None` when that cannot be done, and then the findings say why.
pub(super) fn read<'a>(
    findings: &mut Findings,
    shape: &'a Shape,
    folder: &Path,
    pointer: &str,
    image: Size,
) -> Option<SourceShape<'a>> {
    let mask = match shape {
        Shape::Outline(outline) => return Some(SourceShape::Outline(outline)),
        Shape::Mask { mask } => mask,
    };
    let read = Mask::read(&folder.join(mask), image);
    read.map_err(|error| findings.mask_fault(&format!("{pointer}/mask"), &error))
        .ok()
        .map(SourceShape::Mask)
}

impl SourceShape<'_> {
    /// Top left and bottom right corner of the smallest upright rectangle around the shape; `None` for a mask without white.
    pub(super) fn bounds(&self) -> Option<(Point, Point)> {
        match self {
            Self::Outline(outline) => Some(outline.bounds()),
            Self::Mask(mask) => mask.bounds(),
        }
    }

    /// The shape's pixels on an image of size `image`.
    pub(super) fn on_image(&self, image: Size) -> Mask {
        match self {
            Self::Outline(outline) => outline.raster(image),
            Self::Mask(mask) => mask.clone(),
        }
    }

    /// The shape's pixels at the working picture's padded size, nothing in the padding.
    pub(super) fn on_working(&self, frame: &Frame) -> Mask {
        match self {
            Self::Outline(outline) => {
                let content = outline
                    .seen_from(frame.window.corner())
                    .scaled(frame.scale())
                    .raster(frame.content);
                Mask::from_fn(frame.padded, |point| content.at(point))
            }
            Self::Mask(mask) => Mask::from_fn(frame.padded, |point| {
                frame.content.contains(point) && mask.at(frame.to_source(point))
            }),
        }
    }
}
