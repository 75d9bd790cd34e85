//! One scale of a picture with unknown pixels, and its halving.

use crate::geometry::Size;

/// Half the side of a patch, without its centre.
pub(super) const REACH: usize = 3;

/// A pixel with a channel that is always 0, which lets the compiler compute with four at a time.
pub(super) type Wide = [f32; 4];

/// A picture at one scale.
#[derive(Clone)]
pub(super) struct Level {
    pub size: Size,
    pub pixels: Vec<Wide>,
    pub unknown: Vec<bool>,
    /// Pixels whose whole patch is known.
    pub is_source: Vec<bool>,
    /// Pixels whose patch has an unknown pixel.
    pub targets: Vec<usize>,
}

impl Level {
    pub(super) fn new(size: Size, pixels: Vec<Wide>, unknown: Vec<bool>) -> Self {
        let near = near(size, &unknown, REACH);
        let Size { width, height } = size;
        let has_room = |index: usize| {
            let (row, column) = (index / width, index % width);
            (REACH..(height).saturating_sub(REACH)).contains(&row)
                && (REACH..(width).saturating_sub(REACH)).contains(&column)
        };
        Self {
            is_source: (0..size.area())
                .map(|index| !near[index] && has_room(index))
                .collect(),
            targets: (0..size.area()).filter(|index| near[*index]).collect(),
            size,
            pixels,
            unknown,
        }
    }

    /// Returns the picture at half the size. A pixel is known when all that it joins are.
    pub(super) fn halved(&self) -> Self {
        let Size { width, height } = self.size;
        let size = Size::new(width.div_ceil(2), height.div_ceil(2));
        let mut sums = vec![[0.0; 4]; size.area()];
        let mut counts = vec![0.0; size.area()];
        let mut unknown = vec![false; size.area()];
        for index in 0..self.pixels.len() {
            let to = index / width / 2 * size.width + index % width / 2;
            unknown[to] |= self.unknown[index];
            counts[to] += 1.0;
            (0..4).for_each(|channel| sums[to][channel] += self.pixels[index][channel]);
        }
        let pixels = sums.into_iter().zip(&counts);
        let pixels = pixels
            .map(|(sum, count): (Wide, &f32)| sum.map(|sum| sum / count))
            .collect();
        Self::new(size, pixels, unknown)
    }

    /// Returns the longer side in pixels.
    pub(super) fn side(&self) -> usize {
        self.size.width.max(self.size.height)
    }

    /// Returns the unknown pixels.
    pub(super) fn holes(&self) -> Vec<usize> {
        (0..self.unknown.len())
            .filter(|index| self.unknown[*index])
            .collect()
    }

    /// Returns the number of pixels whose whole patch is known.
    pub(super) fn sources(&self) -> usize {
        self.is_source
            .iter()
            .filter(|is_source| **is_source)
            .count()
    }

    /// Returns the columns and rows of a patch around a pixel, relative to it, as far as the picture reaches.
    pub(super) fn patch(&self, index: usize) -> (std::ops::Range<isize>, std::ops::Range<isize>) {
        let range = |at: usize, length: usize| {
            -(at.min(REACH) as isize)..((length - at).min(REACH + 1) as isize)
        };
        (
            range(index % self.size.width, self.size.width),
            range(index / self.size.width, self.size.height),
        )
    }
}

/// Returns which pixels have an unknown pixel within a square of `2 * reach + 1`.
pub(super) fn near(size: Size, unknown: &[bool], reach: usize) -> Vec<bool> {
    let Size { width, height } = size;
    crate::mask::Mask {
        width,
        height,
        data: unknown.to_vec(),
    }
    .dilated(reach)
    .data
}
