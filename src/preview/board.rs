//! Pictures and words laid out on paper, beside and below each other.

use super::text::Font;
use crate::geometry::Size;
use crate::picture::Picture;

const PAPER: u8 = 246;
const INK: [u8; 3] = [24, 26, 30];
/// Words about something wrong.
const ALARM: [u8; 3] = [190, 24, 24];

/// What words look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ink {
    Plain,
    Alarm,
}

/// A sheet of paper: (height, width, 3).
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

    /// Lays pixels (height, width, 3) so that their top left corner is there. What does not fit is cut off.
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

    /// Writes words in at most so many pixels; longer ones are cut off.
    pub(super) fn write(
        &mut self,
        words: &str,
        font: Font,
        (left, top): (usize, usize),
        room: usize,
        ink: Ink,
    ) {
        let text = font.text(words, room.min(self.size.width.saturating_sub(left)));
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
    fn what_does_not_fit_is_cut_off() {
        let mut board = Board::new(Size::new(20, 10));
        board.lay(&[7; 6 * 6 * 3], Size::new(6, 6), (17, 8));
        board.write(
            "words that are far too long",
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
    fn words_are_in_their_colour() {
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
