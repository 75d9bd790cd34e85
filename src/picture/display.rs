//! Copies of a picture for display.

use rayon::prelude::*;

use super::metadata::Metadata;
use super::{Channels, Picture, Samples};
use crate::geometry::Size;

/// The two greys of the checkerboard behind transparent pixels.
const CHECKERBOARD: [u64; 2] = [205, 165];
/// Squares of the checkerboard along the shorter side.
const SQUARES_ACROSS: usize = 24;

impl Picture {
    /// Creates an 8-bit RGB picture.
    ///
    /// # Panics
    /// If the shape of `samples` is not (height, width, 3).
    pub fn from_rgb(size: Size, samples: Vec<u8>) -> Self {
        assert_eq!(
            samples.len(),
            size.area() * 3,
            "three samples for each pixel"
        );
        Self {
            size,
            channels: Channels::Rgb,
            samples: Samples::Eight(samples),
            icc: None,
            carried: Vec::new(),
            metadata: Metadata::default(),
        }
    }

    /// Creates an 8-bit grey picture.
    ///
    /// # Panics
    /// If the shape of `samples` is not (height, width).
    pub fn from_grey(size: Size, samples: Vec<u8>) -> Self {
        assert_eq!(samples.len(), size.area(), "one sample for each pixel");
        Self {
            size,
            channels: Channels::Grey,
            samples: Samples::Eight(samples),
            icc: None,
            carried: Vec::new(),
            metadata: Metadata::default(),
        }
    }

    /// Returns this picture with the colour profile of another, if both are in colour.
    #[must_use]
    pub fn with_profile_of(self, other: &Self) -> Self {
        let coloured = |picture: &Self| matches!(picture.channels, Channels::Rgb | Channels::Rgba);
        let icc = if coloured(&self) && coloured(other) {
            other.icc.clone()
        } else {
            None
        };
        Self { icc, ..self }
    }

    /// Returns an 8-bit RGB copy of another size: (height, width, 3). Enlarging repeats pixels (nearest neighbour); shrinking takes
    /// the mean of an area. Transparent pixels are blended with a grey checkerboard. Allocates only the result.
    pub fn displayed(&self, size: Size) -> Vec<u8> {
        match &self.samples {
            Samples::Eight(samples) => {
                displayed(samples, self.channels, self.size, size, u64::from)
            }
            // Rounds to the nearest of 256 levels, since 65535 = 255 * 257.
            Samples::Sixteen(samples) => {
                displayed(samples, self.channels, self.size, size, |sample| {
                    (u64::from(sample) + 128) / 257
                })
            }
        }
    }
}

fn displayed<S: Copy + Sync>(
    samples: &[S],
    channels: Channels,
    from: Size,
    to: Size,
    eight_bits: impl Fn(S) -> u64 + Sync,
) -> Vec<u8> {
    let square = (to.width.min(to.height) / SQUARES_ACROSS).max(4);
    let mut shown = vec![0; to.area() * 3]; // (height, width, 3)
    shown
        .par_chunks_exact_mut(to.width * 3)
        .enumerate()
        .for_each(|(y, line)| {
            let rows = span(y, from.height, to.height);
            for (x, shown) in line.chunks_exact_mut(3).enumerate() {
                let columns = span(x, from.width, to.width);
                let (mut sum, mut alphas) = ([0; 3], 0);
                for row in rows.clone() {
                    let from_row = &samples[row * from.width * channels as usize..];
                    for pixel in from_row
                        [columns.start * channels as usize..columns.end * channels as usize]
                        .chunks_exact(channels as usize)
                    {
                        let (colour, alpha) = match channels {
                            Channels::Grey => ([pixel[0]; 3], 255),
                            Channels::GreyAlpha => ([pixel[0]; 3], eight_bits(pixel[1])),
                            Channels::Rgb => ([pixel[0], pixel[1], pixel[2]], 255),
                            Channels::Rgba => {
                                ([pixel[0], pixel[1], pixel[2]], eight_bits(pixel[3]))
                            }
                        };
                        alphas += alpha;
                        for (sum, sample) in sum.iter_mut().zip(colour) {
                            *sum += eight_bits(sample) * alpha;
                        }
                    }
                }
                let whole = 255 * (rows.len() * columns.len()) as u64;
                let background = CHECKERBOARD[(x / square + y / square) % 2] * (whole - alphas);
                for (shown, sum) in shown.iter_mut().zip(sum) {
                    *shown = ((sum + background + whole / 2) / whole) as u8;
                }
            }
        });
    shown
}

/// Returns the source pixels, at least one, of pixel `index` when a side of `from` pixels becomes one of `to` pixels.
fn span(index: usize, from: usize, to: usize) -> std::ops::Range<usize> {
    let start = index * from / to;
    start..((index + 1) * from).div_ceil(to).max(start + 1).min(from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(channels: Channels, width: usize, samples: Vec<u8>) -> Picture {
        let size = Size::new(width, samples.len() / width / channels as usize);
        Picture {
            size,
            channels,
            samples: Samples::Eight(samples),
            icc: None,
            carried: Vec::new(),
            metadata: Metadata::default(),
        }
    }

    #[test]
    fn enlarging_repeats_pixels() {
        let grey = picture(Channels::Grey, 2, vec![10, 200]);
        let shown = grey.displayed(Size::new(6, 3));
        let row: Vec<u8> = [10, 10, 10, 200, 200, 200]
            .iter()
            .flat_map(|value| [*value; 3])
            .collect();
        assert_eq!(shown, row.repeat(3));
    }

    #[test]
    fn shrinking_takes_means() {
        let colours = picture(
            Channels::Rgb,
            2,
            vec![0, 100, 255, 20, 100, 255, 40, 100, 255, 60, 100, 254],
        );
        assert_eq!(colours.displayed(Size::new(1, 1)), [30, 100, 255]);
        assert_eq!(
            colours.displayed(colours.size),
            [0, 100, 255, 20, 100, 255, 40, 100, 255, 60, 100, 254]
        );
    }

    #[test]
    fn transparent_pixels_show_the_checkerboard_and_not_their_colour() {
        let half = picture(Channels::Rgba, 2, vec![255, 0, 0, 0, 0, 0, 250, 255]);
        assert_eq!(half.displayed(half.size), [205, 205, 205, 0, 0, 250]);
        let wide = half.displayed(Size::new(20, 10));
        assert_ne!(wide[0], wide[4 * 3], "two greys");
    }

    #[test]
    fn sixteen_bits_become_eight() {
        let deep = Picture {
            size: Size::new(2, 1),
            channels: Channels::Grey,
            samples: Samples::Sixteen(vec![65_535, 257 * 7]),
            icc: None,
            carried: Vec::new(),
            metadata: Metadata::default(),
        };
        assert_eq!(deep.displayed(deep.size), [255, 255, 255, 7, 7, 7]);
    }

    #[test]
    fn a_profile_is_copied_between_colour_pictures_only() {
        let profiled = |channels| Picture {
            icc: Some(vec![1, 2]),
            ..picture(channels, 1, vec![0; channels as usize])
        };
        let drawn = || Picture::from_rgb(Size::new(1, 1), vec![0; 3]);
        assert_eq!(
            drawn().with_profile_of(&profiled(Channels::Rgba)).icc(),
            Some(&[1, 2][..])
        );
        assert_eq!(
            drawn().with_profile_of(&profiled(Channels::Grey)).icc(),
            None
        );
    }

    #[test]
    fn every_pixel_is_in_some_mean() {
        for (from, to) in [(5000, 4096), (4097, 4096), (10, 3), (7, 7), (3, 9)] {
            let spans: Vec<_> = (0..to).map(|index| span(index, from, to)).collect();
            assert!(spans[0].start == 0 && spans[to - 1].end == from);
            assert!(
                spans
                    .windows(2)
                    .all(|pair| pair[1].start <= pair[0].end && !pair[0].is_empty()),
                "{from} to {to}"
            );
        }
    }
}
