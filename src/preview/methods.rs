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
struct MethodPanel {
    caption: String,
    content: Content,
}

#[derive(Debug, Clone)]
enum Content {
    /// RGB at the sheet's scale.
    Picture(Vec<u8>),
    Complaint(String),
}

/// The picture, and beside it the result of each method or why there is none.
#[derive(Debug, Clone)]
pub(crate) struct MethodSheet {
    /// Size of the picture, and of every result.
    size: Size,
    panels: Vec<MethodPanel>,
}

impl MethodSheet {
    /// The note in the PNG of a sheet, by which the program knows a file that it may replace.
    pub(crate) const NOTE: &'static str = r#"{"v":1,"sheet":"methods"}"#;

    /// Starts with the picture.
    pub(crate) fn new(original: &Picture) -> Self {
        let mut sheet = Self {
            size: original.size(),
            panels: Vec::new(),
        };
        sheet.add("input".into(), original);
        sheet
    }

    fn add(&mut self, caption: String, picture: &Picture) {
        self.panels.push(MethodPanel {
            caption,
            content: Content::Picture(picture.displayed(shrunk(self.size))),
        });
    }

    /// Adds a method's result, which has the picture's size, and the seconds of its edit without loading the model.
    pub(crate) fn add_result(&mut self, method: &str, seconds: f64, result: &Picture) {
        self.add(format!("{method}, {seconds:.1} s"), result);
    }

    /// Adds a method that failed.
    pub(crate) fn add_failure(&mut self, method: &str, complaint: &str) {
        self.panels.push(MethodPanel {
            caption: format!("{method}: failed"),
            content: Content::Complaint(complaint.into()),
        });
    }

    /// Draws row by row, each picture with its caption below it.
    pub(crate) fn drawn(&self) -> Picture {
        drawn(&self.panels, self.size)
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

fn drawn(panels: &[MethodPanel], picture: Size) -> Picture {
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
        let mut methods = MethodSheet::new(&grey(10, SIZE));
        for level in [20, 30, 40] {
            methods.add_result(&level.to_string(), 1.0, &grey(level, SIZE));
        }
        let without = methods.drawn();
        methods.add_failure(
            "x",
            "the region is too small for this method and it needs a larger one",
        );
        let sheet = methods.drawn();
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
        let sheet = MethodSheet::new(&grey(7, Size::new(6000, 3))).drawn();
        assert_eq!(sheet.size().width, LONGEST + 2 * GAP);
        assert!(has(&sheet, [7; 3]));
    }
}
