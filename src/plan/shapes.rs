//! Areas of the drag file on the image and on the working picture.
//!
//! Reads the mask pictures that a drag file names, rasterises outlines, and turns a point into a disc. A shape lies in the
//! image's coordinates and does not depend on the [`Frame`]; the disc's radius is fixed in working pixels, so its size on the
//! image does.

use std::path::Path;

use super::findings::Findings;
use crate::drag_file::{Drag, Shape};
use crate::geometry::{Frame, Point, SUPERVISION_CELL, Size};
use crate::mask::{Mask, NotedMask};
use crate::outline::Outline;
use crate::warning::WarningKind;

/// Radius in working pixels of the disc that is dragged for a point: four cells of the supervision grid, as far as the released
/// codes of DragDiffusion (arXiv 2306.14435) and DragNeXt (arXiv 2506.07611) compare features around a point (`r_1 = 4`).
pub(crate) const POINT_RADIUS: f64 = (4 * SUPERVISION_CELL) as f64;

/// A shape on the image; a mask picture has been read.
pub(super) enum SourceShape<'a> {
    Outline(&'a Outline),
    Mask(Mask),
}

/// What a region covers before the drag.
pub(super) enum SourceArea<'a> {
    /// The shape that the drag file gives.
    Shape(SourceShape<'a>),
    /// A disc of [`POINT_RADIUS`] around a point of the image.
    Disc { centre: Point },
}

/// Returns what a region of the drag file covers; `None` with a fault when its mask cannot be read.
pub(super) fn read_area<'a>(
    findings: &mut Findings,
    drag: &'a Drag,
    folder: &Path,
    pointer: &str,
    image: Size,
) -> Option<SourceArea<'a>> {
    if let Drag::Point { points } = drag {
        return Some(SourceArea::Disc {
            centre: points.handle,
        });
    }
    let shape = drag.shape()?;
    read_shape(findings, shape, folder, pointer, image).map(SourceArea::Shape)
}

/// Returns a shape with its mask picture read; `None` with a fault when that fails.
pub(super) fn read_shape<'a>(
    findings: &mut Findings,
    shape: &'a Shape,
    folder: &Path,
    pointer: &str,
    image: Size,
) -> Option<SourceShape<'a>> {
    let (mask, reading) = match shape {
        Shape::Outline(outline) => return Some(SourceShape::Outline(outline)),
        Shape::Mask { mask, reading } => (mask, *reading),
    };
    match Mask::from_source(&mask.seen_from(folder), reading, image) {
        Ok(NotedMask { mask: read, note }) => {
            if let Some(note) = note {
                findings.warn(WarningKind::MaskLevels, format!("the mask `{mask}` {note}"));
            }
            Some(SourceShape::Mask(read))
        }
        Err(error) => {
            findings.mask_fault(&format!("{pointer}/mask"), &error);
            None
        }
    }
}

impl SourceArea<'_> {
    /// Returns the pixels of the area at the padded size of the frame, none in the padding. A point becomes a disc of this radius.
    pub(super) fn on_working(&self, frame: &Frame, radius: f64) -> Mask {
        match self {
            Self::Shape(shape) => shape.on_working(frame),
            Self::Disc { centre } => {
                let Point { x, y } = frame.to_working(*centre);
                on_content(&Outline::Ellipse([x, y, radius, radius]), frame)
            }
        }
    }
}

impl SourceShape<'_> {
    /// Returns the top left and bottom right corner of the smallest upright rectangle around the shape; `None` for a mask without
    /// white.
    pub(super) fn bounds(&self) -> Option<(Point, Point)> {
        match self {
            Self::Outline(outline) => Some(outline.bounds()),
            Self::Mask(mask) => mask.bounds(),
        }
    }

    /// Returns the shape's pixels on an image of size `image`.
    pub(super) fn on_image(&self, image: Size) -> Mask {
        match self {
            Self::Outline(outline) => outline.raster(image),
            Self::Mask(mask) => mask.clone(),
        }
    }

    fn on_working(&self, frame: &Frame) -> Mask {
        match self {
            Self::Outline(outline) => {
                let outline = outline
                    .seen_from(frame.window.corner())
                    .scaled(frame.scale());
                on_content(&outline, frame)
            }
            Self::Mask(mask) => Mask::from_fn(frame.padded, |point| {
                frame.content.contains(point) && mask.at(frame.to_source(point))
            }),
        }
    }
}

/// Rasterises an outline in working coordinates, without the padding.
fn on_content(outline: &Outline, frame: &Frame) -> Mask {
    let content = outline.raster(frame.content);
    Mask::from_fn(frame.padded, |point| content.at(point))
}
