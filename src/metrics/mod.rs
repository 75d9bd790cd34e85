//! Measures pictures. Pure: takes pixels, returns numbers.
//!
//! There are two parts: how much two pictures differ ([`compare`]), and the metrics of the papers, each a [`Metric`] that measures a [`Case`].
//! [`metric`] says how to add one.
//!
//! # Difference of two pictures
//!
//! Let x and y be the samples of the two pictures, from 0 to 255 (16-bit samples in steps of 1/257), over the pixels of an area and all
//! channels:
//!
//! - largest difference: max |x - y|;
//! - mean difference: mean |x - y|;
//! - share: pixels that differ, divided by all pixels;
//! - PSNR: 10 log10(255² / mean (x - y)²), in decibels; infinite for equal pictures;
//! - SSIM ([`ssim`]): structural similarity, Z. Wang, A. C. Bovik, H. R. Sheikh and E. P. Simoncelli, "Image Quality Assessment: From
//!   Error Visibility to Structural Similarity", IEEE Transactions on Image Processing 13(4), 2004.
//!
//! Two grey pictures are compared in one channel, others in red, green and blue. If a picture has a transparent pixel, alpha is a further
//! channel, and the hidden colour of transparent pixels counts like any other. Colour profiles are ignored.
//!
//! [`compare`] measures the whole picture and, with a mask, its inside and its outside. A similarity belongs to the pixel in the middle of its
//! window; outside a mask, only windows without a pixel of the mask count, so that equal pixels have a similarity of 1 whatever the mask holds.
//! [`DifferenceLimits`] judge the result.

mod case;
mod clip_similarity;
mod dai;
mod difference;
mod fidelity;
mod judge;
mod limits;
mod lpips;
mod mean_distance;
pub(crate) mod metric;
mod outside;
mod pillow;
mod pixels;
mod select;
pub(crate) mod ssim;

use rayon::prelude::*;

pub(crate) use case::Case;
pub(crate) use clip_similarity::ClipSimilarity;
pub(crate) use dai::Dai;
pub(crate) use difference::Difference;
pub(crate) use fidelity::Fidelity;
pub(crate) use judge::Judge;
pub(crate) use limits::{Area, DifferenceLimits, Excess};
pub(crate) use lpips::{CONVERT, Lpips, LpipsFile};
pub(crate) use mean_distance::MeanDistance;
pub(crate) use metric::{Better, Family, Figure, MeanOver, Metric, Reading};
pub(crate) use outside::Outside;
pub(crate) use pillow::bilinear;

use std::path::Path;

use crate::error::{Error, ErrorKind, Result};
use crate::geometry::Size;
use crate::mask::Mask;
use crate::picture::{Channel, Picture};
use difference::Sums;

/// The differences of two pictures of the same size.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// Width and height of both pictures.
    pub size: Size,
    /// Over all pixels.
    pub all: Difference,
    /// Inside the mask; `None` without a mask, or if no pixel is inside.
    pub inside: Option<Difference>,
    /// Outside the mask; `None` without a mask, or if no pixel is outside.
    pub outside: Option<Difference>,
}

impl Comparison {
    /// Returns the measured areas and their differences.
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
/// When the pictures and the mask differ in size.
pub(crate) fn compare(expected: &Picture, actual: &Picture, mask: Option<&Mask>) -> Comparison {
    let size = expected.size();
    assert_eq!(actual.size(), size, "pictures of the same size");
    assert!(
        mask.is_none_or(|mask| mask.size() == size),
        "the mask has the pictures' size"
    );

    let inside = |pixel: usize| mask.is_some_and(|mask| mask.data[pixel]);
    let near = mask.map(|mask| mask.dilated(ssim::RADIUS));
    // Outside, inside, and outside with a window that reaches inside.
    let part = |pixel: usize| match &near {
        _ if inside(pixel) => 1,
        Some(near) if near.data[pixel] => 2,
        _ => 0,
    };
    let mut differing = vec![false; size.area()];
    let (mut sums, mut similarity) = ([Sums::default(); 2], [const { Vec::new() }; 3]);
    for channel in channels(expected, actual) {
        let (x, y) = (expected.plane(channel), actual.plane(channel));
        differing
            .par_iter_mut()
            .zip(x.par_iter().zip(&y))
            .for_each(|(differs, (x, y))| *differs |= x != y);
        for (pixel, (x, y)) in x.iter().zip(&y).enumerate() {
            sums[usize::from(inside(pixel))].add(x.abs_diff(*y));
        }
        let means: [_; 3] = ssim::sums(size, &x, &y, part);
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
    let [out, within, between] = &similarity;
    let everywhere: Vec<ssim::SimilaritySum> = out
        .iter()
        .zip(within.iter().zip(between))
        .map(|(out, (within, between))| out.plus(*within).plus(*between))
        .collect();
    let all = Difference::new(size.area(), &sums[0].plus(&sums[1]), &everywhere);
    let part =
        |difference: Difference| (mask.is_some() && difference.pixels > 0).then_some(difference);
    Comparison {
        size,
        all,
        inside: part(inside),
        outside: part(outside),
    }
}

/// Checks that two pictures, read from these paths, can be compared.
///
/// # Errors
/// [`Error::Image`] `image.size` when they differ in size.
pub(crate) fn check_same_size(
    expected_path: &Path,
    expected: &Picture,
    actual_path: &Path,
    actual: &Picture,
) -> Result<()> {
    let (wanted, found) = (expected.size(), actual.size());
    if wanted == found {
        return Ok(());
    }
    Err(Error::Image {
        path: actual_path.to_path_buf(),
        kind: ErrorKind::ImageSize,
        reason: format!(
            "is {found} pixels, but `{}` is {wanted}",
            expected_path.display()
        ),
        hint: "only pictures of the same size can be compared".into(),
    })
}

/// Returns the channels to compare.
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
    fn equal_pictures_have_no_difference() {
        let same = picture(2, &[1, 2, 3, 4, 5, 6]);
        let all = compare(&same, &same, None).all;
        assert_eq!(
            (all.max, all.mean, all.differing, all.psnr),
            (0.0, 0.0, 0, Some(f64::INFINITY))
        );
        assert_eq!(all.ssim, None, "two pixels are smaller than the window");
    }

    /// Differences of 3, 0, 0 in one pixel and of 0, 12, 0 in the other, computed by hand.
    #[test]
    fn differences_follow_the_formulas() {
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
