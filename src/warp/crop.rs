//! A rectangle of a picture that is worked on by itself.

use std::ops::Range;

use crate::geometry::{Point, Size};
use crate::mask::Mask;
use crate::picture::Raster;

/// A rectangle of whole pixels within a picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Crop {
    picture: Size,
    columns: Range<usize>,
    rows: Range<usize>,
}

impl Crop {
    /// Returns the smallest crop around the pixels inside, with a margin as far as the picture reaches; `None` for an empty mask.
    pub(super) fn around(mask: &Mask, margin: usize) -> Option<Self> {
        let (from, to) = mask.bounds()?;
        let range = |from: f64, to: f64, length: usize| {
            (from as usize).saturating_sub(margin)..(to as usize + margin).min(length)
        };
        Some(Self {
            picture: mask.size(),
            columns: range(from.x, to.x, mask.width),
            rows: range(from.y, to.y, mask.height),
        })
    }

    /// Returns width and height.
    pub(super) fn size(&self) -> Size {
        Size::new(self.columns.len(), self.rows.len())
    }

    /// Returns the entries of the picture's pixels that lie in the crop, row by row.
    pub(super) fn cut<T: Copy>(&self, entries: &[T]) -> Vec<T> {
        self.indices().map(|index| entries[index]).collect()
    }

    /// Returns the crop's part of a picture.
    pub(super) fn raster(&self, picture: &Raster) -> Raster {
        Raster::new(self.size(), self.cut(picture.pixels()))
    }

    /// Returns the crop's part of a mask.
    pub(super) fn mask(&self, mask: &Mask) -> Mask {
        let Size { width, height } = self.size();
        Mask {
            width,
            height,
            data: self.cut(&mask.data),
        }
    }

    /// Returns the crop's top left corner in the picture.
    pub(super) fn corner(&self) -> Point {
        Point::new(self.columns.start as f64, self.rows.start as f64)
    }

    /// Returns the index in the picture of each of the crop's pixels, row by row.
    pub(super) fn indices(&self) -> impl Iterator<Item = usize> + '_ {
        let width = self.picture.width;
        (self.rows.clone())
            .flat_map(move |row| self.columns.clone().map(move |column| row * width + column))
    }
}
