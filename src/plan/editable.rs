//! Where the picture may change: as given, or what the drag sweeps and a margin.

use super::findings::Findings;
use super::shapes::SourceShape;
use crate::error::ErrorKind;
use crate::geometry::{Frame, Point, SUPERVISION_CELL};
use crate::mask::Mask;
use crate::region::Region;
use crate::warning::WarningKind;

/// The sweep looks at least at every second pixel of the fastest cell's way, so that a long drag leaves no gaps.
const SWEEP_STEP: f64 = 2.0;

/// The editable area.
pub(super) enum Area {
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

/// The area that the drag file gives.
pub(super) fn given(findings: &mut Findings, shape: &SourceShape, frame: &Frame) -> Area {
    let source = shape.on_image(frame.source);
    // The padding repeats the picture's last pixels, and may change when they may.
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
        let hint =
            "white is where the picture may change; without `editable`, what the drag sweeps may";
        findings.fault(
            ErrorKind::EditableEmpty,
            "/editable",
            "no pixel of the image is editable".into(),
            hint,
        );
    } else if working.count() == 0 {
        let message = format!(
            "nothing of the editable area is left at working size ({})",
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
            "the editable area holds no cell of the latent at working size ({})",
            frame.content
        );
        findings.fault(
            ErrorKind::EditableEmpty,
            "/editable",
            message,
            "a cell is 8 x 8 working pixels; enlarge the editable area",
        );
    }
    Area::Part { working, source }
}

/// What the regions sweep, grown by `margin` working pixels.
pub(super) fn swept(regions: &[Region], frame: &Frame, margin: usize) -> Area {
    let grid = frame.supervision_grid();
    let mut swept = Mask::filled(grid.size(), false);
    for region in regions {
        region.sweep(&grid, SWEEP_STEP, &mut swept);
    }
    let working = swept
        .dilated((margin / SUPERVISION_CELL).max(1))
        .resized(frame.padded);
    let source = Mask::from_fn(frame.source, |point| working.at(frame.to_working(point)));
    Area::Part { working, source }
}

/// Warns of regions that are dragged to where nothing may change.
pub(super) fn compare(findings: &mut Findings, area: &Area, regions: &[Region], frame: &Frame) {
    let Area::Part { working, .. } = area else {
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
