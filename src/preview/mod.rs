//! Previews: a drag file drawn on its picture, from a plan and pixels to pixels, without weights.
//!
//! A preview shows the outline of each region before the drag (a red line) and after it (a dashed blue line), the handle (a red disc),
//! the target (a blue diamond), the centre (a green cross), the anchor (a violet square), an arrow or an arc with its angle, the swept area (striped), and the area
//! that cannot change (veiled). A point has a thin circle around it: the disc that is dragged with it. A legend is below the picture.
//! Widths and text scale with the picture; a small picture is enlarged by a whole number, and a large one is shrunk to 4096 pixels.
//!
//! For results there are a [`triptych`] (expected, difference, actual), a [`row`] of several results of one drag, a [`MethodSheet`] of several methods, and
//! a [`contact_sheet`] of many edits.

mod arrow;
mod board;
mod bounds;
mod contact;
mod drag;
mod ground;
mod labels;
mod legend;
mod line;
mod methods;
mod pen;
mod row;
mod sheet;
#[cfg(test)]
mod tests;
mod text;
mod trace;
mod triptych;

use crate::drag_file::{Drag, DragFile};
use crate::geometry::{Frame, Point, Size, Window};
use crate::method::PointTrack;
use crate::picture::Picture;
use crate::plan::Plan;
use crate::region::Region;

use drag::DragDrawing;
use ground::ground;
use labels::Label;
use legend::Entry;
use pen::{GREEN, Line, Pen, WHITE};
use sheet::Sheet;

pub(crate) use contact::{Exhibit, MOST_EXHIBITS, contact_sheet};
pub(crate) use methods::MethodSheet;
pub(crate) use row::{row, row_size};
pub(crate) use triptych::triptych;

/// Longest side of a preview, and width of a strip's three pictures together.
pub(crate) const LONGEST_SIDE: usize = 4096;
/// Gap between the pictures of a strip, in units of its sheet.
const GAP: f64 = 8.0;
const GAP_GREY: u8 = 246;
/// Heights of the text of labels and legend, in units of the sheet.
const LABEL: f64 = 17.0;
const LEGEND: f64 = 15.0;

/// The line around the editable area.
const EDITABLE: Line = Line {
    colour: WHITE,
    width: 1.0,
    casing: 1.4,
    dash: None,
};
/// The line around the window that the network sees.
const WINDOW: Line = Line {
    colour: WHITE,
    width: 1.8,
    casing: 1.4,
    dash: Some([2.0, 3.0]),
};

/// Draws the drag on its picture. The plan may be a draft; regions that could not be planned are drawn as the drag file gives them.
///
/// # Panics
/// When the plan belongs to a picture of another size.
pub(crate) fn preview(drag: &DragFile, plan: &Plan, picture: &Picture) -> Picture {
    let sheet = Sheet::new(picture.size(), Size::new(LONGEST_SIDE, LONGEST_SIDE));
    let rgb = drawn(drag, plan, picture, &sheet, &[]);
    let entries = entries(drag, plan, false);
    with_legend(rgb, sheet.size, &entries, &sheet).with_profile_of(picture)
}

/// The path of a tracked point.
const TRACK: Line = Line {
    colour: GREEN,
    width: 1.6,
    casing: 1.2,
    dash: None,
};

/// Draws the picture, its preview with the paths of tracked points, and the result side by side.
///
/// # Panics
/// When the plan or the result belongs to a picture of another size.
pub(crate) fn strip(
    drag: &DragFile,
    plan: &Plan,
    picture: &Picture,
    edited: &Picture,
    tracks: &[PointTrack],
) -> Picture {
    assert_eq!(
        edited.size(),
        picture.size(),
        "the result belongs to another picture"
    );
    let sheet = Sheet::new(picture.size(), Size::new(LONGEST_SIDE / 3, LONGEST_SIDE));
    let panels = [
        picture.displayed(sheet.size),
        drawn(drag, plan, picture, &sheet, tracks),
        edited.displayed(sheet.size),
    ];
    let gap = (GAP * sheet.unit).round() as usize;
    let size = Size::new(3 * sheet.size.width + 2 * gap, sheet.size.height);
    let row = sheet.size.width * 3;
    let mut rgb = Vec::with_capacity(size.area() * 3); // (height, width, 3)
    for y in 0..sheet.size.height {
        for (index, panel) in panels.iter().enumerate() {
            if index > 0 {
                rgb.resize(rgb.len() + gap * 3, GAP_GREY);
            }
            rgb.extend_from_slice(&panel[y * row..(y + 1) * row]);
        }
    }
    let entries = entries(drag, plan, !tracks.is_empty());
    with_legend(rgb, size, &entries, &sheet).with_profile_of(picture)
}

fn with_legend(mut rgb: Vec<u8>, size: Size, entries: &[Entry], sheet: &Sheet) -> Picture {
    rgb.extend(legend::rows(entries, size.width, LEGEND * sheet.unit));
    Picture::from_rgb(Size::new(size.width, rgb.len() / 3 / size.width), rgb)
}

/// Returns the preview without its legend: (height, width, 3) of the sheet.
fn drawn(
    drag: &DragFile,
    plan: &Plan,
    picture: &Picture,
    sheet: &Sheet,
    tracks: &[PointTrack],
) -> Vec<u8> {
    assert_eq!(
        plan.frame.source,
        picture.size(),
        "the plan belongs to another picture"
    );
    let mut pen = Pen::new(sheet.size, &ground(picture, plan, sheet), sheet.unit);
    draw_editable(&mut pen, plan, sheet);
    draw_window(&mut pen, &plan.frame, sheet);

    let planned = |id: &str| {
        plan.regions
            .iter()
            .chain(&plan.still)
            .find(|region: &&Region| region.id == id)
    };
    let drawings: Vec<DragDrawing> = drag
        .regions
        .iter()
        .map(|entry| DragDrawing::new(entry, planned(&entry.id), &plan.frame, sheet))
        .collect();
    for drawing in &drawings {
        drawing.draw_outlines(&mut pen);
    }
    let mut obstacles: Vec<_> = drawings
        .iter()
        .flat_map(|drawing| drawing.draw_arrows(&mut pen))
        .collect();
    for track in tracks {
        let path: Vec<Point> = track
            .points
            .iter()
            .map(|point| sheet.place(*point))
            .collect();
        pen.line(&path, TRACK);
    }
    let mut labels: Vec<Label> = Vec::new();
    for drawing in &drawings {
        let (covered, outside) = drawing.draw_marks(&mut pen);
        obstacles.extend(covered);
        labels.extend(outside);
    }
    labels.extend(drawings.iter().flat_map(DragDrawing::labels));
    let shapes: Vec<_> = drawings.iter().flat_map(DragDrawing::bounds).collect();
    labels::draw(
        &mut pen,
        &labels,
        &obstacles,
        &shapes,
        sheet.size,
        LABEL * sheet.unit,
    );
    pen.rgb()
}

/// Draws a thin line around the editable area.
fn draw_editable(pen: &mut Pen, plan: &Plan, sheet: &Sheet) {
    for ring in plan.editable_source.iter().flat_map(trace::edges) {
        let mut ring: Vec<Point> = ring.into_iter().map(|point| sheet.place(point)).collect();
        ring.extend(ring.first().copied());
        pen.line(&ring, EDITABLE);
    }
}

/// Draws a dotted line around the window, if it is not the whole picture.
fn draw_window(pen: &mut Pen, frame: &Frame, sheet: &Sheet) {
    if let Some([low, high]) = window(frame) {
        let corners = [
            low,
            Point::new(high.x, low.y),
            high,
            Point::new(low.x, high.y),
            low,
        ];
        pen.line(&corners.map(|corner| sheet.place(corner)), WINDOW);
    }
}

/// Returns the top left and bottom right corner of the window on the image; `None` when it is the whole image.
fn window(frame: &Frame) -> Option<[Point; 2]> {
    let Window { size, .. } = frame.window;
    let low = frame.window.corner();
    let high = Point::new(low.x + size.width as f64, low.y + size.height as f64);
    (!frame.is_whole()).then_some([low, high])
}

/// Returns the entries of the legend that this drawing needs.
fn entries(drag: &DragFile, plan: &Plan, has_tracks: bool) -> Vec<Entry> {
    let any = |is: fn(&Drag) -> bool| drag.regions.iter().any(|region| is(&region.drag));
    let moving = !plan.regions.is_empty();
    let veiled = plan
        .editable_source
        .as_ref()
        .is_some_and(|editable| editable.data.contains(&false));
    let shown = [
        (Entry::Handle, any(|drag| !drag.pairs().is_empty())),
        (Entry::Target, any(|drag| !drag.pairs().is_empty())),
        (Entry::Center, any(|drag| drag.center().is_some())),
        (Entry::Anchor, any(|drag| drag.anchor().is_some())),
        (Entry::Before, any(|drag| drag.shape().is_some())),
        (Entry::Disc, any(|drag| drag.shape().is_none())),
        (Entry::After, moving),
        (Entry::Track, has_tracks),
        (Entry::Swept, moving),
        (Entry::Veiled, veiled),
        (Entry::Window, window(&plan.frame).is_some()),
    ];
    shown
        .into_iter()
        .filter_map(|(entry, is_shown)| is_shown.then_some(entry))
        .collect()
}
