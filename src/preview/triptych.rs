//! The triptych of a comparison: the expected picture, the difference, and the actual picture.

use rayon::prelude::*;

use super::LONGEST_SIDE;
use super::board::{Board, Ink};
use super::ground::veil;
use super::sheet::Sheet;
use super::text::Font;
use crate::geometry::Size;
use crate::mask::Mask;
use crate::picture::{Channel, Picture};

/// Gap between the pictures and around text, in units of the sheet.
const GAP: f64 = 8.0;
/// Height of text, in units of the sheet.
const TEXT: f64 = 15.0;
/// Opacity of the smallest difference; that of the largest is 1.
const LEAST: f64 = 0.45;
/// Colours of small and large differences inside the editable area, and of any difference outside.
const SMALL: [f64; 3] = [255.0, 200.0, 40.0];
const LARGE: [f64; 3] = [214.0, 0.0, 0.0];
const FORBIDDEN: [f64; 3] = [200.0, 0.0, 220.0];

/// Draws the expected picture, the difference and the actual picture side by side. The difference is the picture in grey with every
/// differing pixel coloured: from yellow for a small difference to red for a large one, and magenta outside `editable`.
///
/// # Panics
/// When the pictures or the mask do not have the same size.
pub(crate) fn triptych(expected: &Picture, actual: &Picture, editable: Option<&Mask>) -> Picture {
    assert_eq!(expected.size(), actual.size(), "the pictures have one size");
    assert!(
        editable.is_none_or(|mask| mask.size() == expected.size()),
        "the mask has the pictures' size"
    );
    let sheet = Sheet::new(expected.size(), Size::new(LONGEST_SIDE / 3, LONGEST_SIDE));
    let (gap, font) = (
        (GAP * sheet.unit).round() as usize,
        Font::near(TEXT * sheet.unit),
    );
    let panels = [
        ("expected", expected.displayed(sheet.size)),
        (
            "difference",
            difference(expected, actual, editable, sheet.size),
        ),
        ("actual", actual.displayed(sheet.size)),
    ];
    let size = Size::new(
        3 * sheet.size.width + 2 * gap,
        sheet.size.height + font.line() + gap,
    );
    let mut board = Board::new(size);
    for (index, (title, pixels)) in panels.iter().enumerate() {
        let left = index * (sheet.size.width + gap);
        board.lay(pixels, sheet.size, (left, 0));
        board.write(
            title,
            font,
            (left + gap / 2, sheet.size.height + gap / 2),
            sheet.size.width - gap / 2,
            Ink::Plain,
        );
    }
    board.picture().with_profile_of(actual)
}

/// Returns the grey picture with its differences, (height, width, 3) of `to`. Each pixel shows the largest difference of the pixels
/// that it represents.
fn difference(expected: &Picture, actual: &Picture, editable: Option<&Mask>, to: Size) -> Vec<u8> {
    let from = expected.size();
    let differences = largest(expected, actual);
    let mut shown = expected.displayed(to);
    shown
        .par_chunks_exact_mut(to.width * 3)
        .enumerate()
        .for_each(|(y, line)| {
            for (x, pixel) in line.chunks_exact_mut(3).enumerate() {
                veil(pixel);
                let (mut most, mut is_forbidden) = (0, false);
                for row in span(y, from.height, to.height) {
                    for place in
                        span(x, from.width, to.width).map(|column| row * from.width + column)
                    {
                        most = most.max(differences[place]);
                        is_forbidden |= differences[place] > 0
                            && editable.is_some_and(|mask| !mask.data[place]);
                    }
                }
                if most > 0 {
                    // The square root makes small differences visible beside large ones.
                    let amount = (f64::from(most) / f64::from(u16::MAX)).sqrt();
                    let colour = |index: usize| {
                        if is_forbidden {
                            FORBIDDEN[index]
                        } else {
                            SMALL[index] + (LARGE[index] - SMALL[index]) * amount
                        }
                    };
                    let share = if is_forbidden {
                        1.0
                    } else {
                        LEAST + (1.0 - LEAST) * amount
                    };
                    for (index, sample) in pixel.iter_mut().enumerate() {
                        *sample = (f64::from(*sample) * (1.0 - share) + colour(index) * share)
                            .round() as u8;
                    }
                }
            }
        });
    shown
}

/// Returns the largest difference over all channels, for every pixel.
fn largest(expected: &Picture, actual: &Picture) -> Vec<u16> {
    let mut differences = vec![0; expected.size().area()];
    for channel in [Channel::Red, Channel::Green, Channel::Blue, Channel::Alpha] {
        let (x, y) = (expected.plane(channel), actual.plane(channel));
        differences
            .par_iter_mut()
            .zip(x.par_iter().zip(&y))
            .for_each(|(most, (x, y)): (&mut u16, _)| *most = (*most).max(x.abs_diff(*y)));
    }
    differences
}

/// Returns the pixels along a side of length `from` that pixel `index` of a side of length `to` represents; at least one.
fn span(index: usize, from: usize, to: usize) -> std::ops::Range<usize> {
    let start = index * from / to;
    start..((index + 1) * from).div_ceil(to).clamp(start + 1, from)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two pictures of 64 x 64 that differ in two pixels.
    fn pair() -> (Picture, Picture) {
        let size = Size::new(64, 64);
        let expected = vec![120; size.area() * 3];
        let mut actual = expected.clone();
        actual[(10 * 64 + 10) * 3] = 121;
        actual[(50 * 64 + 50) * 3 + 1] = 255;
        (
            Picture::from_rgb(size, expected),
            Picture::from_rgb(size, actual),
        )
    }

    #[test]
    fn a_single_pixel_that_differs_by_one_level_is_visible() {
        let (expected, actual) = pair();
        let shown = difference(&expected, &actual, None, expected.size());
        let pixel = |x: usize, y: usize| &shown[(y * 64 + x) * 3..][..3];
        let ground = pixel(0, 0);
        assert!(
            pixel(10, 10)[0] > ground[0] + 40 && pixel(10, 10)[2] < pixel(10, 10)[0] - 40,
            "{:?} {ground:?}",
            pixel(10, 10)
        );
        assert!(
            pixel(50, 50)[0] > 180 && pixel(50, 50)[1] < 110,
            "{:?}",
            pixel(50, 50)
        );
        assert_eq!(
            shown
                .chunks_exact(3)
                .filter(|pixel| *pixel != ground)
                .count(),
            2
        );
        let shrunk = difference(&expected, &actual, None, Size::new(8, 8));
        assert_eq!(
            shrunk
                .chunks_exact(3)
                .filter(|pixel| *pixel != ground)
                .count(),
            2,
            "shrunk too"
        );
    }

    #[test]
    fn differences_outside_the_editable_area_are_magenta() {
        let (expected, actual) = pair();
        let editable = Mask::from_fn(expected.size(), |point| point.x < 32.0);
        let shown = difference(&expected, &actual, Some(&editable), expected.size());
        assert_eq!(
            shown[(50 * 64 + 50) * 3..][..3],
            FORBIDDEN.map(|sample| sample as u8)
        );
        assert_ne!(
            shown[(10 * 64 + 10) * 3..][..3],
            FORBIDDEN.map(|sample| sample as u8)
        );
    }

    #[test]
    fn the_triptych_has_three_pictures_side_by_side() {
        let (expected, actual) = pair();
        let drawn = triptych(&expected, &actual, None);
        let panel = Sheet::new(expected.size(), Size::new(LONGEST_SIDE / 3, LONGEST_SIDE)).size;
        assert!(drawn.size().width > 3 * panel.width && drawn.size().height > panel.height);
        assert_eq!(drawn.pixel(0, 0), [120, 120, 120]);
        assert_eq!(drawn.pixel(drawn.size().width - 1, 0), [120, 120, 120]);
    }
}
