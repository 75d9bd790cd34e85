//! A board on which pictures and text are laid out, for triptychs and contact sheets.

use super::text::Font;
use crate::geometry::Size;
use crate::picture::Picture;

const PAPER: u8 = 246;
const INK: [u8; 3] = [24, 26, 30];
/// Colour of text about a failure.
const ALARM: [u8; 3] = [190, 24, 24];

/// The colour of text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ink {
    Plain,
    Alarm,
}

/// An RGB picture that is composed: (height, width, 3).
#[derive(Debug)]
pub(super) struct Board {
    size: Size,
    rgb: Vec<u8>,
}

impl Board {
    pub(super) fn new(size: Size) -> Self {
        Self {
            size,
            rgb: vec![PAPER; size.area() * 3],
        }
    }

    /// Copies pixels (height, width, 3) to a place, clipped at the board's edges.
    pub(super) fn lay(&mut self, pixels: &[u8], size: Size, (left, top): (usize, usize)) {
        let columns = size.width.min(self.size.width.saturating_sub(left));
        for (y, row) in pixels
            .chunks_exact(size.width * 3)
            .enumerate()
            .take(self.size.height.saturating_sub(top))
        {
            let start = ((top + y) * self.size.width + left) * 3;
            self.rgb[start..start + columns * 3].copy_from_slice(&row[..columns * 3]);
        }
    }

    /// Writes text, truncated to `max_width` pixels.
    pub(super) fn write(
        &mut self,
        text: &str,
        font: Font,
        (left, top): (usize, usize),
        max_width: usize,
        ink: Ink,
    ) {
        let text = font.text(text, max_width.min(self.size.width.saturating_sub(left)));
        if text.width == 0 {
            return;
        }
        let ink = if ink == Ink::Alarm { ALARM } else { INK };
        for (y, row) in text
            .coverage
            .chunks_exact(text.width)
            .enumerate()
            .take(self.size.height.saturating_sub(top))
        {
            let columns = self.size.width.saturating_sub(left);
            for (x, coverage) in row.iter().enumerate().take(columns) {
                let start = ((top + y) * self.size.width + left + x) * 3;
                for (sample, ink) in self.rgb[start..start + 3].iter_mut().zip(ink) {
                    let (paper, covered) = (
                        u32::from(*sample) * u32::from(255 - coverage),
                        u32::from(ink) * u32::from(*coverage),
                    );
                    *sample = ((paper + covered + 127) / 255) as u8;
                }
            }
        }
    }

    pub(super) fn picture(self) -> Picture {
        Picture::from_rgb(self.size, self.rgb)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contents_are_clipped_at_the_edges() {
        let mut board = Board::new(Size::new(20, 10));
        board.lay(&[7; 6 * 6 * 3], Size::new(6, 6), (17, 8));
        board.write(
            "a text that is far too long",
            Font::near(16.0),
            (4, 3),
            1000,
            Ink::Alarm,
        );
        let picture = board.picture();
        assert_eq!(
            (picture.pixel(17, 8)[0] < 100, picture.pixel(0, 0)[0]),
            (true, u16::from(PAPER))
        );
    }

    #[test]
    fn text_has_the_colour_of_its_ink() {
        let darkest = |ink| {
            let mut board = Board::new(Size::new(40, 20));
            board.write("MM", Font::near(16.0), (0, 0), 40, ink);
            let picture = board.picture();
            (0..800)
                .map(|place| picture.pixel(place % 40, place / 40))
                .min_by_key(|pixel| pixel[1])
                .expect("pixels")
        };
        assert_eq!(darkest(Ink::Plain), INK.map(u16::from));
        assert_eq!(darkest(Ink::Alarm), ALARM.map(u16::from));
    }
}
