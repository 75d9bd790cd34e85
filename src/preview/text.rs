//! Text as pixels, from a font that is compiled in.

use noto_sans_mono_bitmap::{
    FontWeight, RasterHeight, RasterizedChar, get_raster, get_raster_width,
};

/// The heights of the font's bitmaps.
const HEIGHTS: [RasterHeight; 3] = [
    RasterHeight::Size16,
    RasterHeight::Size24,
    RasterHeight::Size32,
];
/// Replaces characters that the font does not have.
const UNKNOWN: char = '?';
/// Marks truncated text.
const REST: &str = "..";

/// A size of text: the height of a bitmap, and the whole number by which it is enlarged.
#[derive(Debug, Clone, Copy)]
pub(super) struct Font {
    height: RasterHeight,
    times: usize,
}

/// Rasterised text: coverage from 0 to 255 for each pixel, row by row.
#[derive(Debug, Clone)]
pub(super) struct Text {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) coverage: Vec<u8>,
}

impl Font {
    /// Returns the font whose line height is closest to a number of pixels.
    pub(super) fn near(pixels: f64) -> Self {
        let enlarged = (2..64).map(|times| Self {
            height: RasterHeight::Size32,
            times,
        });
        let all = HEIGHTS
            .into_iter()
            .map(|height| Self { height, times: 1 })
            .chain(enlarged);
        let difference = |font: &Self| (font.line() as f64 - pixels).abs();
        let smallest = Self {
            height: RasterHeight::Size16,
            times: 1,
        };
        all.fold(smallest, |best, font| {
            if difference(&font) < difference(&best) {
                font
            } else {
                best
            }
        })
    }

    /// Returns the line height in pixels.
    pub(super) const fn line(self) -> usize {
        self.height.val() * self.times
    }

    /// Returns the width of a character in pixels.
    pub(super) const fn advance(self) -> usize {
        get_raster_width(FontWeight::Bold, self.height) * self.times
    }

    /// Breaks text between words into lines of at most `max_width` pixels. A longer word has its own line.
    pub(super) fn lines(self, text: &str, max_width: usize) -> Vec<String> {
        let fits = max_width / self.advance();
        let mut lines: Vec<String> = Vec::new();
        for word in text.split_whitespace() {
            match lines.last_mut() {
                Some(line) if line.chars().count() + 1 + word.chars().count() <= fits => {
                    line.push(' ');
                    line.push_str(word);
                }
                _ => lines.push(word.to_owned()),
            }
        }
        lines
    }

    /// Rasterises text, truncated to `max_width` pixels.
    pub(super) fn text(self, text: &str, max_width: usize) -> Text {
        let fits = (max_width / self.advance()).max(1);
        let mut characters: Vec<char> = text.chars().take(fits + 1).collect();
        if characters.len() > fits {
            characters.truncate(fits.saturating_sub(REST.len()).max(1));
            characters.extend(REST.chars().take(fits.saturating_sub(characters.len())));
        }
        let (width, height) = (characters.len() * self.advance(), self.line());
        let mut coverage = vec![0; width * height]; // (height, width)
        for (index, character) in characters.into_iter().enumerate() {
            let Some(glyph) = self.glyph(character) else {
                continue;
            };
            for (y, row) in coverage.chunks_exact_mut(width.max(1)).enumerate() {
                for (x, pixel) in row[index * self.advance()..][..self.advance()]
                    .iter_mut()
                    .enumerate()
                {
                    *pixel = self.sample(&glyph, x, y);
                }
            }
        }
        Text {
            width,
            height,
            coverage,
        }
    }

    fn glyph(self, character: char) -> Option<RasterizedChar> {
        get_raster(character, FontWeight::Bold, self.height)
            .or_else(|| get_raster(UNKNOWN, FontWeight::Bold, self.height))
    }

    /// Returns a pixel of an enlarged character. It is interpolated, then its contrast is raised, so that the edges are smooth and as
    /// sharp as in the bitmap.
    fn sample(self, glyph: &RasterizedChar, x: usize, y: usize) -> u8 {
        if self.times == 1 {
            return glyph.pixel(x, y).unwrap_or(0);
        }
        let times = self.times as f32;
        let (x, y) = (
            (x as f32 + 0.5) / times - 0.5,
            (y as f32 + 0.5) / times - 0.5,
        );
        let at = |x: f32, y: f32| {
            let inside = x >= 0.0 && y >= 0.0;
            if inside {
                f32::from(glyph.pixel(x as usize, y as usize).unwrap_or(0))
            } else {
                0.0
            }
        };
        let (left, top) = (x.floor(), y.floor());
        let (right, down) = (x - left, y - top);
        let upper = at(left, top) * (1.0 - right) + at(left + 1.0, top) * right;
        let lower = at(left, top + 1.0) * (1.0 - right) + at(left + 1.0, top + 1.0) * right;
        let between = upper * (1.0 - down) + lower * down;
        ((between - 127.5) * times + 127.5)
            .round()
            .clamp(0.0, 255.0) as u8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_height_is_taken() {
        let line = |pixels: f64| Font::near(pixels).line();
        assert_eq!(
            [0.0, 17.0, 22.0, 30.0, 60.0, 110.0, 1e9].map(line),
            [16, 16, 24, 32, 64, 96, 63 * 32]
        );
    }

    #[test]
    fn unknown_characters_are_replaced() {
        let font = Font::near(24.0);
        assert_eq!(
            font.text("\u{732b}", 999).coverage,
            font.text("?", 999).coverage
        );
        assert_ne!(
            font.text("\u{b0}", 999).coverage,
            font.text("?", 999).coverage,
            "the degree sign is known"
        );
        assert!(
            font.text("-35\u{b0}", 999)
                .coverage
                .iter()
                .any(|pixel| *pixel > 200)
        );
    }

    #[test]
    fn long_text_is_truncated() {
        let font = Font::near(16.0);
        let wide = |text: &str, characters: usize| font.text(text, characters * font.advance());
        assert_eq!(
            wide("abcdef", 6).coverage,
            font.text("abcdef", usize::MAX).coverage
        );
        assert_eq!(
            wide("abcdef", 5).coverage,
            font.text("abc..", usize::MAX).coverage
        );
        assert_eq!(font.text("abcdef", 0).width, font.advance());
        assert_eq!(font.text("", 100).width, 0);
    }

    #[test]
    fn enlarged_text_has_the_same_share_of_ink() {
        let ink = |font: Font| {
            let text = font.text("region 7\u{b0}", usize::MAX);
            text.coverage
                .iter()
                .map(|pixel| f64::from(*pixel))
                .sum::<f64>()
                / text.coverage.len() as f64
        };
        let (small, large) = (ink(Font::near(32.0)), ink(Font::near(128.0)));
        assert!((small / large - 1.0).abs() < 0.05, "{small} {large}");
    }
}
