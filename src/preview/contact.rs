//! The contact sheet of many edits: each before and after, with its caption.

use super::LONGEST_SIDE;
use super::board::{Board, Ink};
use super::text::Font;
use crate::geometry::Size;
use crate::picture::Picture;

/// Longer side of a picture on the sheet, in pixels.
const THUMBNAIL: usize = 192;
const GAP: usize = 12;
/// Height of text.
const TEXT: f64 = 16.0;
/// Maximum number of edits in a row.
const COLUMNS: usize = 4;

/// One edit on a sheet, with its pictures shrunk.
#[derive(Debug, Clone)]
pub(crate) struct Exhibit {
    caption: String,
    /// The failure, shown in place of the missing result.
    complaint: Option<String>,
    before: Option<Thumbnail>,
    after: Option<Thumbnail>,
}

#[derive(Debug, Clone)]
struct Thumbnail {
    size: Size,
    rgb: Vec<u8>,
}

impl Thumbnail {
    fn new(picture: &Picture) -> Self {
        let Size { width, height } = picture.size();
        let longer = width.max(height);
        let side = |side: usize| (side * THUMBNAIL / longer).max(1);
        let size = Size::new(side(width), side(height));
        Self {
            size,
            rgb: picture.displayed(size),
        }
    }
}

impl Exhibit {
    /// Creates an exhibit and shrinks its pictures.
    pub(crate) fn new(
        caption: String,
        complaint: Option<String>,
        before: Option<&Picture>,
        after: Option<&Picture>,
    ) -> Self {
        Self {
            caption,
            complaint,
            before: before.map(Thumbnail::new),
            after: after.map(Thumbnail::new),
        }
    }
}

/// Maximum number of edits on a sheet.
pub(crate) const MOST_EXHIBITS: usize = COLUMNS * (LONGEST_SIDE / (THUMBNAIL + 3 * GAP + 20));

/// Draws the first [`MOST_EXHIBITS`] edits on a sheet, row by row.
pub(crate) fn contact_sheet(exhibits: &[Exhibit]) -> Picture {
    let exhibits = &exhibits[..exhibits.len().min(MOST_EXHIBITS)];
    let font = Font::near(TEXT);
    let columns = exhibits.len().clamp(1, COLUMNS);
    let cell = Size::new(2 * THUMBNAIL + GAP, THUMBNAIL + font.line() + GAP);
    let rows = exhibits.len().div_ceil(columns).max(1);
    let mut board = Board::new(Size::new(
        columns * (cell.width + 2 * GAP),
        rows * (cell.height + GAP) + GAP,
    ));
    for (index, exhibit) in exhibits.iter().enumerate() {
        let (left, top) = (
            GAP + index % columns * (cell.width + 2 * GAP),
            GAP + index / columns * (cell.height + GAP),
        );
        let ink = if exhibit.complaint.is_some() {
            Ink::Alarm
        } else {
            Ink::Plain
        };
        board.write(&exhibit.caption, font, (left, top), cell.width, ink);
        let top = top + font.line() + GAP / 3;
        for (side, thumbnail) in [&exhibit.before, &exhibit.after].into_iter().enumerate() {
            let left = left + side * (THUMBNAIL + GAP);
            match (thumbnail, &exhibit.complaint) {
                (Some(thumbnail), _) => board.lay(&thumbnail.rgb, thumbnail.size, (left, top)),
                (None, Some(complaint)) if side == 1 => {
                    board.write(complaint, font, (left, top), THUMBNAIL, Ink::Alarm);
                }
                (None, _) => {}
            }
        }
    }
    board.picture()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_edit_is_on_the_sheet() {
        let picture = |grey| Picture::from_rgb(Size::new(100, 50), vec![grey; 100 * 50 * 3]);
        let exhibit = |grey| {
            Exhibit::new(
                "a".into(),
                None,
                Some(&picture(grey)),
                Some(&picture(grey + 1)),
            )
        };
        let sheet = contact_sheet(&[
            exhibit(10),
            exhibit(20),
            exhibit(30),
            exhibit(40),
            exhibit(50),
        ]);
        let has = |grey: u16| {
            let Size { width, height } = sheet.size();
            (0..width * height).any(|place| sheet.pixel(place % width, place / width) == [grey; 3])
        };
        for grey in [10, 11, 20, 21, 30, 31, 40, 41, 50, 51] {
            assert!(has(grey), "{grey}");
        }
        assert!(contact_sheet(&[]).size().area() > 0);
    }

    #[test]
    fn a_sheet_is_at_most_as_large_as_a_preview() {
        let many = vec![Exhibit::new("a".into(), Some("failed".into()), None, None); 1000];
        let Size { width, height } = contact_sheet(&many).size();
        assert!(
            width <= LONGEST_SIDE && height <= LONGEST_SIDE,
            "{width} x {height}"
        );
    }
}
