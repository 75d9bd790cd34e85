//! The editable area: where the picture may change.
//!
//! The drag file gives it as a shape or as `everything`; without it, the area is what the drag sweeps, with a margin.

use std::path::Path;

use super::findings::Findings;
use super::shapes::{SourceShape, read_shape};
use crate::drag_file::Editable;
use crate::error::ErrorKind;
use crate::geometry::{Frame, Point, SUPERVISION_CELL, Size};
use crate::mask::Mask;
use crate::region::Region;
use crate::warning::WarningKind;

/// Longest step of the sweep in working pixels: one cell of the supervision grid, so that a long drag leaves no gaps.
const SWEEP_STEP: f64 = SUPERVISION_CELL as f64;

/// The editable area as the drag file gives it, with its mask picture read.
pub(super) enum SourceEditable<'a> {
    /// Not given.
    Swept,
    /// All of the picture.
    Everything,
    /// In this shape.
    Shape(SourceShape<'a>),
    /// In a mask that cannot be read. Planning goes on with the swept area.
    Unreadable,
}

/// The editable area.
pub(super) enum EditableArea {
    /// All of the picture.
    Everything,
    /// These pixels.
    Part {
        /// At the working picture's padded size.
        working: Mask,
        /// At the image's size.
        source: Mask,
    },
}

impl<'a> SourceEditable<'a> {
    /// Reads the editable area of the findings' drag file, on an image of size `image`.
    pub(super) fn read(findings: &mut Findings<'a>, folder: &Path, image: Size) -> Self {
        let drag = findings.drag;
        match &drag.editable {
            Editable::Swept => Self::Swept,
            Editable::Everything => Self::Everything,
            Editable::Shape(shape) => read_shape(findings, shape, folder, "/editable", image)
                .map_or(Self::Unreadable, Self::Shape),
        }
    }

    /// Returns the area in pixels. `margin` working pixels are added to the swept area.
    pub(super) fn area(
        &self,
        findings: &mut Findings,
        regions: &[Region],
        frame: &Frame,
        margin: usize,
    ) -> EditableArea {
        match self {
            Self::Everything => EditableArea::Everything,
            Self::Shape(shape) => given(findings, shape, frame),
            Self::Swept | Self::Unreadable => swept(regions, frame, margin),
        }
    }
}

/// Returns the pixels of the given shape, with a fault when they are too few to edit.
fn given(findings: &mut Findings, shape: &SourceShape, frame: &Frame) -> EditableArea {
    let source = shape.on_image(frame.source);
    // The padding repeats the picture's last pixels and may change where those may.
    let last = Point::new(
        frame.content.width as f64 - 0.5,
        frame.content.height as f64 - 0.5,
    );
    let inside = |point: Point| {
        source.at(frame.to_source(Point::new(point.x.min(last.x), point.y.min(last.y))))
    };
    let working = Mask::from_fn(frame.padded, inside);
    let grid = frame.latent_grid();
    if source.count() == 0 {
        let hint = "white marks where the picture may change; without `editable`, it is the area that the drag sweeps";
        findings.fault(
            ErrorKind::EditableEmpty,
            "/editable",
            "no pixel of the image is editable".into(),
            hint,
        );
    } else if working.count() == 0 {
        let message = format!(
            "no pixel of the editable area is left at working size ({})",
            frame.content
        );
        findings.fault(
            ErrorKind::EditableEmpty,
            "/editable",
            message,
            "enlarge the editable area",
        );
    } else if !(0..grid.len()).any(|cell| working.at(grid.first_pixel(cell))) {
        let message = format!(
            "the editable area contains no cell of the latent at working size ({})",
            frame.content
        );
        findings.fault(
            ErrorKind::EditableEmpty,
            "/editable",
            message,
            "a cell is 8 x 8 working pixels; enlarge the editable area",
        );
    }
    EditableArea::Part { working, source }
}

/// Returns the pixels that the regions sweep, grown by `margin` working pixels.
fn swept(regions: &[Region], frame: &Frame, margin: usize) -> EditableArea {
    let grid = frame.supervision_grid();
    let mut swept = Mask::filled(grid.size(), false);
    for region in regions {
        region.sweep(&grid, SWEEP_STEP, &mut swept);
    }
    let working = swept
        .dilated((margin / SUPERVISION_CELL).max(1))
        .resized(frame.padded);
    let source = Mask::from_fn(frame.source, |point| working.at(frame.to_working(point)));
    EditableArea::Part { working, source }
}

/// Warns of regions whose target area lies completely outside the editable area.
pub(super) fn compare(
    findings: &mut Findings,
    area: &EditableArea,
    regions: &[Region],
    frame: &Frame,
) {
    let EditableArea::Part { working, .. } = area else {
        return;
    };
    let grid = frame.supervision_grid();
    for region in regions {
        if !region
            .covered_cells(1.0, &grid)
            .into_iter()
            .any(|cell| working.at(grid.centre(cell)))
        {
            findings.warn(
                WarningKind::RegionNotEditable,
                format!(
                    "region `{}` is dragged to where the picture may not change",
                    region.id
                ),
            );
        }
    }
}
