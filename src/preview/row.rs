//! Results of one drag side by side, each at its own size with a caption below it.

use super::board::{Board, Ink};
use super::text::Font;
use crate::geometry::Size;
use crate::picture::Picture;

/// Side of a square picture on which a unit is one pixel.
const UNIT_SIDE: f64 = 600.0;
/// Gap between the pictures and around text, in units.
const GAP: f64 = 8.0;
/// Height of text, in units.
const TEXT: f64 = 15.0;

/// Where the pictures and captions of a row lie.
struct Layout {
    font: Font,
    gap: usize,
    /// Width of each column: that of the picture, or of its caption if that is wider.
    columns: Vec<usize>,
    size: Size,
}

impl Layout {
    fn new<'a>(captions: impl Iterator<Item = &'a str>, picture: Size) -> Self {
        let unit = ((picture.area() as f64).sqrt() / UNIT_SIDE).max(1.0);
        let (font, gap) = (Font::near(TEXT * unit), (GAP * unit).round() as usize);
        let columns: Vec<usize> = captions
            .map(|caption| picture.width.max(font.text(caption, usize::MAX).width))
            .collect();
        let gaps = gap * columns.len().saturating_sub(1);
        let size = Size::new(
            columns.iter().sum::<usize>() + gaps,
            picture.height + gap / 2 + font.line() + gap / 2,
        );
        Self {
            font,
            gap,
            columns,
            size,
        }
    }
}

/// Returns the size of [`row`] for pictures of one size with these captions.
pub(crate) fn row_size<'a>(captions: impl Iterator<Item = &'a str>, picture: Size) -> Size {
    Layout::new(captions, picture).size
}

/// Draws pictures of one size side by side, in 8 bits, with a caption below each.
///
/// # Panics
/// When there is no picture, or their sizes differ.
pub(crate) fn row(panels: &[(String, Picture)]) -> Picture {
    let first = &panels.first().expect("a row has a picture").1;
    let picture = first.size();
    let layout = Layout::new(panels.iter().map(|(caption, _)| caption.as_str()), picture);
    let mut board = Board::new(layout.size);
    let mut left = 0;
    for ((caption, panel), width) in panels.iter().zip(&layout.columns) {
        assert_eq!(panel.size(), picture, "the pictures have one size");
        board.lay(&panel.displayed(picture), picture, (left, 0));
        let place = (left, picture.height + layout.gap / 2);
        board.write(caption, layout.font, place, *width, Ink::Plain);
        left += width + layout.gap;
    }
    board.picture().with_profile_of(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_keep_their_size_and_stand_side_by_side() {
        let size = Size::new(200, 90);
        let panels = [10, 20, 30].map(|grey| {
            let picture = Picture::from_rgb(size, vec![grey; size.area() * 3]);
            (format!("amount {grey}"), picture)
        });
        let drawn = row(&panels);
        let captions = panels.iter().map(|(caption, _)| caption.as_str());
        assert_eq!(drawn.size(), row_size(captions, size));
        assert_eq!(drawn.size().width, 3 * 200 + 2 * 8);
        for (index, grey) in [10, 20, 30].into_iter().enumerate() {
            let left = index * 208;
            assert_eq!(drawn.pixel(left, 0), [grey; 3]);
            assert_eq!(drawn.pixel(left + 199, 89), [grey; 3]);
            let has_text = (90..drawn.size().height)
                .any(|y| (left..left + 200).any(|x| drawn.pixel(x, y)[0] < 100));
            assert!(has_text, "picture {index} has a caption");
        }
    }

    #[test]
    fn a_caption_wider_than_its_picture_widens_the_column() {
        let size = Size::new(10, 64);
        let panel = |caption: &str| {
            let picture = Picture::from_rgb(size, vec![0; size.area() * 3]);
            (caption.to_owned(), picture)
        };
        let drawn = row(&[panel("amount 0.50"), panel("amount 1.00")]);
        assert!(drawn.size().width > 100, "{}", drawn.size());
    }
}
