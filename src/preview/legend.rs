//! The legend below a preview, on one line if the preview is wide enough.

use super::bounds::{Bounds, rounded};
use super::drag::{AFTER, BEFORE, DISC_BEFORE};
use super::ground::{TINT, veil};
use super::pen::{Colour, Line, Mark, Pen};
use super::text::Font;
use crate::geometry::{Point, Size};

const PAPER: u8 = 246;
const INK: [u8; 3] = [24, 26, 30];
/// Colour of the swatch that is striped or veiled.
const SAMPLE: [u8; 3] = [214, 214, 208];

/// Scales of the text, tried in this order until the legend fits on one line.
const SMALLER: [f64; 3] = [1.0, 0.8, 0.65];

/// An element of a preview.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Entry {
    Handle,
    Target,
    Center,
    Anchor,
    Before,
    /// The disc around a point.
    Disc,
    After,
    /// The path of a tracked point.
    Track,
    Swept,
    Veiled,
    Window,
}

impl Entry {
    const fn text(self) -> &'static str {
        match self {
            Self::Handle => "handle",
            Self::Target => "target",
            Self::Center => "center",
            Self::Anchor => "anchor",
            Self::Before => "region",
            Self::Disc => "disc of a point",
            Self::After => "after the drag",
            Self::Track => "tracked",
            Self::Swept => "swept",
            Self::Veiled => "cannot change",
            Self::Window => "seen by the model",
        }
    }

    /// Returns the width of the icon over the height of a line.
    const fn width(self) -> f64 {
        match self {
            Self::Before | Self::Disc | Self::After | Self::Track | Self::Window => 1.7,
            _ => 1.0,
        }
    }

    /// Returns the width of the icon in pixels.
    fn icon_width(self, font: Font) -> usize {
        (self.width() * font.line() as f64).round() as usize
    }

    /// Returns the width of icon and text in pixels.
    fn full_width(self, font: Font) -> usize {
        self.icon_width(font) + (1 + self.text().len()) * font.advance()
    }

    fn draw(self, pen: &mut Pen, middle: Point, line: f64) {
        let (size, half) = (0.8 * line, 0.4 * line);
        let across = self.width() * half;
        let from_to = [
            Point::new(middle.x - across, middle.y),
            Point::new(middle.x + across, middle.y),
        ];
        let square = rounded(&Bounds::around(middle, half), size / 6.0);
        match self {
            Self::Handle => pen.mark(Mark::Handle, middle, 0.36 * size),
            Self::Target => pen.mark(Mark::Target, middle, 0.36 * size),
            Self::Center => pen.mark(Mark::Center, middle, 0.36 * size),
            Self::Anchor => pen.mark(Mark::Anchor, middle, 0.36 * size),
            Self::Before => pen.line(&from_to, BEFORE),
            Self::Disc => pen.line(&from_to, DISC_BEFORE),
            Self::After => pen.line(&from_to, AFTER),
            Self::Track => pen.line(&from_to, super::TRACK),
            Self::Window => pen.line(&from_to, super::WINDOW),
            Self::Swept => {
                pen.area(&square, opaque(SAMPLE));
                for offset in [-half, 0.0, half] {
                    let (reach, bend) = (half - offset.abs() / 2.0, offset / 2.0);
                    let from = Point::new(middle.x + bend - reach, middle.y + bend + reach);
                    let to = Point::new(middle.x + bend + reach, middle.y + bend - reach);
                    pen.line(
                        &[from, to],
                        Line {
                            colour: opaque(TINT),
                            width: 1.6,
                            casing: 0.0,
                            dash: None,
                        },
                    );
                }
            }
            Self::Veiled => {
                let mut veiled = SAMPLE;
                veil(&mut veiled);
                pen.area(&square, opaque(veiled));
            }
        }
    }
}

const fn opaque([red, green, blue]: [u8; 3]) -> Colour {
    [red, green, blue, 255]
}

/// Returns rows of pixels with these entries, (height, `width`, 3). The text is `height` pixels high, or less if the entries then fit
/// on one line.
pub(super) fn rows(entries: &[Entry], width: usize, height: f64) -> Vec<u8> {
    let fonts = SMALLER.map(|share| Font::near(share * height));
    let font = fonts
        .into_iter()
        .find(|font| lines(entries, width, *font).len() == 1)
        .unwrap_or(fonts[1]);
    let (lines, line) = (lines(entries, width, font), font.line());
    let spacing = line + line / 2;
    let size = Size::new(width, lines.len() * spacing + line / 2);
    let mut pen = Pen::new(size, &vec![PAPER; size.area() * 3], line as f64 / 14.0);
    for (index, (used, entries)) in lines.into_iter().enumerate() {
        let mut x = width.saturating_sub(used) / 2;
        let y = line / 2 + index * spacing;
        for entry in entries {
            let icon = entry.icon_width(font);
            entry.draw(
                &mut pen,
                Point::new(x as f64 + icon as f64 / 2.0, y as f64 + line as f64 / 2.0),
                line as f64,
            );
            let text = font.text(entry.text(), usize::MAX);
            pen.stencil(
                (x + icon + font.advance() / 2, y),
                &text.coverage,
                text.width,
                INK,
            );
            x += entry.full_width(font) + 2 * font.advance();
        }
    }
    pen.rgb()
}

/// Distributes the entries over lines; returns each line's width in pixels and its entries.
fn lines(entries: &[Entry], width: usize, font: Font) -> Vec<(usize, Vec<Entry>)> {
    let gap = 2 * font.advance();
    let mut lines: Vec<(usize, Vec<Entry>)> = Vec::new();
    for entry in entries {
        match lines.last_mut() {
            Some((used, entries)) if *used + gap + entry.full_width(font) + gap <= width => {
                *used += gap + entry.full_width(font);
                entries.push(*entry);
            }
            _ => lines.push((entry.full_width(font), vec![*entry])),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Entry; 11] = [
        Entry::Handle,
        Entry::Target,
        Entry::Center,
        Entry::Anchor,
        Entry::Before,
        Entry::Disc,
        Entry::After,
        Entry::Track,
        Entry::Swept,
        Entry::Veiled,
        Entry::Window,
    ];

    /// All entries but the anchor, the disc of a point and its path, which are rare.
    fn of_regions() -> Vec<Entry> {
        ALL.into_iter()
            .filter(|entry| ![Entry::Disc, Entry::Anchor, Entry::Track].contains(entry))
            .collect()
    }

    fn height(entries: &[Entry], width: usize) -> usize {
        rows(entries, width, 16.0).len() / 3 / width
    }

    #[test]
    fn a_narrow_legend_has_more_lines() {
        assert_eq!(height(&of_regions()[..7], 768), 32, "one line");
        assert_eq!(height(&ALL, 60), 11 * 24 + 8, "one line each");
        assert!((2..11).contains(&((height(&ALL, 300) - 8) / 24)));
    }

    #[test]
    fn smaller_text_keeps_the_legend_on_one_line() {
        let wide = |height: f64| rows(&of_regions(), 1000, height).len() / 3 / 1000;
        assert_eq!((wide(24.0), wide(16.0)), (32, 32));
    }

    #[test]
    fn every_entry_is_drawn() {
        for entry in ALL {
            let with = rows(&[entry], 300, 16.0);
            let icon = with
                .chunks_exact(300 * 3)
                .flat_map(|row| row.chunks_exact(3))
                .filter(|pixel| *pixel != [PAPER; 3])
                .count();
            assert!(icon > 60, "{entry:?}");
        }
    }
}
