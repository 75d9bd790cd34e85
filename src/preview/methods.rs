//! The results of several methods beside the picture that they edited.

use super::board::{Board, Ink};
use super::text::Font;
use crate::geometry::Size;
use crate::picture::Picture;

/// Longest side of a picture on the sheet, in pixels; larger ones are shrunk.
const LONGEST: usize = 512;
/// Gap between the pictures and around text.
const GAP: usize = 12;
/// Height of text.
const TEXT: f64 = 16.0;
/// Maximum number of pictures in a row.
const COLUMNS: usize = 4;

/// A picture on the sheet with its caption, or why there is none.
#[derive(Debug, Clone)]
pub(crate) struct MethodPanel {
    caption: String,
    content: Content,
}

#[derive(Debug, Clone)]
enum Content {
    /// RGB at the sheet's scale.
    Picture(Vec<u8>),
    Complaint(String),
}

impl MethodPanel {
    /// Shows a picture; all pictures of a sheet have one size.
    pub(crate) fn picture(caption: String, picture: &Picture) -> Self {
        Self {
            caption,
            content: Content::Picture(picture.displayed(shrunk(picture.size()))),
        }
    }

    /// Shows a failure.
    pub(crate) fn failure(caption: String, complaint: String) -> Self {
        Self {
            caption,
            content: Content::Complaint(complaint),
        }
    }
}

/// Returns the size on the sheet of pictures of this size.
fn shrunk(picture: Size) -> Size {
    let longer = picture.width.max(picture.height);
    if longer <= LONGEST {
        return picture;
    }
    let side = |side: usize| (side * LONGEST / longer).max(1);
    Size::new(side(picture.width), side(picture.height))
}

/// Draws panels row by row, each with its caption below it. `picture` is the size of the pictures.
pub(crate) fn method_sheet(panels: &[MethodPanel], picture: Size) -> Picture {
    let (font, size) = (Font::near(TEXT), shrunk(picture));
    let columns = panels.len().clamp(1, COLUMNS);
    let captions = panels
        .iter()
        .map(|panel| panel.caption.chars().count() * font.advance());
    let width = captions.fold(size.width, usize::max);
    let cell = Size::new(width + GAP, size.height + GAP / 2 + font.line() + GAP);
    let rows = panels.len().div_ceil(columns).max(1);
    let mut board = Board::new(Size::new(
        columns * cell.width + GAP,
        rows * cell.height + GAP,
    ));
    for (index, panel) in panels.iter().enumerate() {
        let (left, top) = (
            GAP + index % columns * cell.width,
            GAP + index / columns * cell.height,
        );
        let ink = match &panel.content {
            Content::Picture(pixels) => {
                board.lay(pixels, size, (left, top));
                Ink::Plain
            }
            Content::Complaint(complaint) => {
                let fits = (size.height / font.line()).max(1);
                let lines = font.lines(complaint, width);
                for (row, line) in lines.iter().take(fits).enumerate() {
                    let place = (left, top + row * font.line());
                    board.write(line, font, place, width, Ink::Alarm);
                }
                Ink::Alarm
            }
        };
        let place = (left, top + size.height + GAP / 2);
        board.write(&panel.caption, font, place, width, ink);
    }
    board.picture()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: Size = Size::new(200, 90);

    fn grey(grey: u8, size: Size) -> Picture {
        Picture::from_rgb(size, vec![grey; size.area() * 3])
    }

    fn has(sheet: &Picture, colour: [u16; 3]) -> bool {
        let Size { width, height } = sheet.size();
        (0..width * height).any(|place| sheet.pixel(place % width, place / width) == colour)
    }

    #[test]
    fn every_picture_and_every_failure_is_on_the_sheet() {
        let mut panels: Vec<MethodPanel> = [10, 20, 30, 40]
            .map(|level| MethodPanel::picture(format!("{level}"), &grey(level, SIZE)))
            .into();
        let without = method_sheet(&panels, SIZE);
        let complaint = "the region is too small for this method and it needs a larger one";
        panels.push(MethodPanel::failure("x: failed".into(), complaint.into()));
        let sheet = method_sheet(&panels, SIZE);
        for level in [10, 20, 30, 40] {
            assert!(has(&sheet, [level; 3]), "{level}");
        }
        let is_red = |sheet: &Picture| has(sheet, [190, 24, 24]);
        assert!(is_red(&sheet) && !is_red(&without));
        assert_eq!(sheet.size().width, 4 * (200 + GAP) + GAP);
        assert!(sheet.size().height > without.size().height);
    }

    #[test]
    fn large_pictures_are_shrunk() {
        let size = Size::new(6000, 3);
        let panel = MethodPanel::picture("input".into(), &grey(7, size));
        let sheet = method_sheet(&[panel], size);
        assert_eq!(sheet.size().width, LONGEST + 2 * GAP);
        assert!(has(&sheet, [7; 3]));
    }
}
