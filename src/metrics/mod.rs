//! How much two pictures differ: pure, from pixels to numbers.
//!
//! With x and y the two pictures' samples, from 0 to 255 (16-bit samples have levels of 1/257 between), over the pixels of an area and
//! all channels:
//!
//! - largest difference: max |x - y|;
//! - mean difference: mean |x - y|;
//! - share: pixels with any difference, by all pixels;
//! - PSNR: 10 log10(255² / mean (x - y)²), in decibels; infinite without a difference;
//! - SSIM ([`ssim`]): the structural similarity of Z. Wang, A. C. Bovik, H. R. Sheikh and E. P. Simoncelli, "Image Quality Assessment: From
//!   Error Visibility to Structural Similarity", IEEE Transactions on Image Processing 13(4), 2004.
//!
//! Two grey pictures are compared by one channel, others by red, green and blue. Alpha is one channel more where one of the pictures is
//! transparent anywhere; then the hidden colour of a transparent pixel counts like any other. Colour profiles are not looked at.
//!
//! [`compare`] measures the whole picture and, with a mask, what is inside and outside of it; [`Limits`] say how much is too much.

mod difference;
mod limits;
pub mod ssim;

use rayon::prelude::*;

pub use difference::Difference;
pub use limits::{Area, Excess, Limits};

use crate::geometry::Size;
use crate::mask::Mask;
use crate::picture::{Channel, Picture};
use difference::Sums;

/// Differences of two pictures of one size.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// Width and height of both.
    pub size: Size,
    /// Over all pixels.
    pub all: Difference,
    /// Over the mask's inside; `None` without a mask, and where nothing is inside.
    pub inside: Option<Difference>,
    /// Over what is not inside; `None` without a mask, and where nothing is outside.
    pub outside: Option<Difference>,
}

impl Comparison {
    /// The areas that were measured, with their differences.
    pub fn areas(&self) -> impl Iterator<Item = (Area, &Difference)> {
        let masked = [
            (Area::Inside, self.inside.as_ref()),
            (Area::Outside, self.outside.as_ref()),
        ];
        std::iter::once((Area::All, &self.all)).chain(
            masked
                .into_iter()
                .filter_map(|(area, difference)| Some((area, difference?))),
        )
    }
}

/// Measures how much two pictures differ.
///
/// # Panics
/// When the pictures or the mask do not have the same size.
pub fn compare(expected: &Picture, actual: &Picture, mask: Option<&Mask>) -> Comparison {
    let size = expected.size();
    assert_eq!(actual.size(), size, "pictures of one size");
    assert!(
        mask.is_none_or(|mask| mask.size() == size),
        "the mask has the pictures' size"
    );

    let inside = |pixel: usize| mask.is_some_and(|mask| mask.data[pixel]);
    let mut differing = vec![false; size.area()];
    let (mut sums, mut similarity) = ([Sums::default(); 2], [Vec::new(), Vec::new()]);
    for channel in channels(expected, actual) {
        let (x, y) = (expected.plane(channel), actual.plane(channel));
        differing
            .par_iter_mut()
            .zip(x.par_iter().zip(&y))
            .for_each(|(differs, (x, y))| *differs |= x != y);
        for (pixel, (x, y)) in x.iter().zip(&y).enumerate() {
            sums[usize::from(inside(pixel))].add(x.abs_diff(*y));
        }
        let means = ssim::sums(size, &x, &y, inside);
        similarity
            .iter_mut()
            .zip(means)
            .for_each(|(all, channel)| all.push(channel));
    }
    for (pixel, _) in differing
        .iter()
        .enumerate()
        .filter(|(_, differs)| **differs)
    {
        sums[usize::from(inside(pixel))].differing += 1;
    }

    let pixels_inside = mask.map_or(0, Mask::count);
    let pixels = [size.area() - pixels_inside, pixels_inside];
    let [outside, inside] =
        [0, 1].map(|side| Difference::new(pixels[side], &sums[side], &similarity[side]));
    let both: Vec<ssim::Sum> = similarity[0]
        .iter()
        .zip(&similarity[1])
        .map(|(out, within)| out.plus(*within))
        .collect();
    let all = Difference::new(size.area(), &sums[0].plus(&sums[1]), &both);
    let part =
        |difference: Difference| (mask.is_some() && difference.pixels > 0).then_some(difference);
    Comparison {
        size,
        all,
        inside: part(inside),
        outside: part(outside),
    }
}

/// What the two pictures are compared by.
fn channels(expected: &Picture, actual: &Picture) -> Vec<Channel> {
    let mut channels = vec![Channel::Red];
    if !(expected.is_grey() && actual.is_grey()) {
        channels.extend([Channel::Green, Channel::Blue]);
    }
    if !(expected.is_opaque() && actual.is_opaque()) {
        channels.push(Channel::Alpha);
    }
    channels
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(width: usize, rgb: &[u8]) -> Picture {
        Picture::from_rgb(Size::new(width, rgb.len() / 3 / width), rgb.to_vec())
    }

    #[test]
    fn what_is_the_same_has_no_difference() {
        let same = picture(2, &[1, 2, 3, 4, 5, 6]);
        let all = compare(&same, &same, None).all;
        assert_eq!(
            (all.max, all.mean, all.differing, all.psnr),
            (0.0, 0.0, 0, Some(f64::INFINITY))
        );
        assert_eq!(all.ssim, None, "two pixels have no neighbourhood of eleven");
    }

    /// Differences of 3, 0, 0 in one pixel of two and of 0, 12, 0 in the other: by hand.
    #[test]
    fn differences_are_those_of_the_formulas() {
        let compared = compare(
            &picture(2, &[10, 20, 30, 40, 50, 60]),
            &picture(2, &[13, 20, 30, 40, 38, 60]),
            None,
        )
        .all;
        assert_eq!(
            (
                compared.max,
                compared.mean,
                compared.differing,
                compared.share()
            ),
            (12.0, 15.0 / 6.0, 2, 1.0)
        );
        let psnr = 10.0 * (255.0_f64.powi(2) / (153.0 / 6.0)).log10();
        assert!((compared.psnr.expect("there are pixels") - psnr).abs() < 1e-9);
    }

    #[test]
    fn a_mask_divides_the_picture() {
        let mask = Mask {
            width: 2,
            height: 2,
            data: vec![true, false, false, false],
        };
        let (a, mut rgb) = (picture(2, &[50; 12]), vec![50; 12]);
        rgb[0] = 57;
        rgb[11] = 48;
        let compared = compare(&a, &picture(2, &rgb), Some(&mask));
        let (inside, outside) = (
            compared.inside.expect("one pixel"),
            compared.outside.expect("three pixels"),
        );
        assert_eq!(
            (inside.pixels, inside.max, inside.mean, inside.differing),
            (1, 7.0, 7.0 / 3.0, 1)
        );
        assert_eq!(
            (outside.pixels, outside.max, outside.mean, outside.differing),
            (3, 2.0, 2.0 / 9.0, 1)
        );
        assert_eq!(
            (compared.all.pixels, compared.all.max, compared.all.mean),
            (4, 7.0, 9.0 / 12.0)
        );
        let everything = compare(&a, &a, Some(&Mask::filled(a.size(), true)));
        assert!(everything.inside.is_some() && everything.outside.is_none());
    }
}
