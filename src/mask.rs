//! A yes or no for every pixel: read from a picture, grown, resized, looked up, measured.

use std::path::Path;

use crate::error::ErrorKind;
use crate::geometry::{Point, Size};
use crate::picture::{Refusal, read_grey};

/// Grey values above this are inside.
const THRESHOLD: u8 = 127;

/// Which pixels belong to an area, row by row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mask {
    /// Pixels along x.
    pub width: usize,
    /// Pixels along y.
    pub height: usize,
    /// One entry per pixel.
    pub data: Vec<bool>, // (height, width)
}

/// Why a mask could not be read.
#[derive(Debug, thiserror::Error)]
pub enum MaskError {
    /// There is no such file, or it cannot be opened.
    #[error("cannot read the mask `{path}`: {reason}")]
    File {
        /// The mask.
        path: String,
        /// What the operating system said.
        reason: String,
    },
    /// The file is no picture that can be decoded.
    #[error("cannot decode the mask `{path}`: {reason}")]
    Decode {
        /// The mask.
        path: String,
        /// What the decoder said.
        reason: String,
    },
    /// The mask does not have the image's size.
    #[error("the mask `{path}` is {found} pixels, the image is {expected}")]
    Size {
        /// The mask.
        path: String,
        /// The mask's size.
        found: Size,
        /// The image's size.
        expected: Size,
    },
}

impl Mask {
    /// A mask with the same answer everywhere.
    pub fn filled(size: Size, inside: bool) -> Self {
        Self {
            width: size.width,
            height: size.height,
            data: vec![inside; size.area()],
        }
    }

    /// Asks `inside` at the centre of every pixel.
    pub fn from_fn(size: Size, inside: impl Fn(Point) -> bool) -> Self {
        Self {
            width: size.width,
            height: size.height,
            data: size.centres().map(inside).collect(),
        }
    }

    /// Reads a picture whose light pixels (grey above 127) are inside. Colours count by their luma, 16 bit by their
    /// upper eight, transparency not at all; a camera's orientation is applied. The size is checked before any pixel is decoded.
    ///
    /// # Errors
    /// When the file is missing, not a picture, or not of the expected size.
    pub fn read(path: &Path, expected: Size) -> Result<Self, MaskError> {
        Self::read_if(path, |found| found == expected, expected)
    }

    /// As [`Mask::read`], of whatever size it is.
    ///
    /// # Errors
    /// When the file is missing or not a picture.
    pub fn read_any(path: &Path) -> Result<Self, MaskError> {
        Self::read_if(path, |_| true, Size::new(0, 0))
    }

    fn read_if(
        path: &Path,
        fits: impl Fn(Size) -> bool,
        expected: Size,
    ) -> Result<Self, MaskError> {
        let mut found = expected;
        let mut accept = |size| {
            found = size;
            if fits(size) {
                Ok(())
            } else {
                Err(Refusal::other_size())
            }
        };
        let grey = read_grey(path, &mut accept).map_err(|Refusal { kind, reason, .. }| {
            let (is_file, path) = (path.is_file(), path.display().to_string());
            match kind {
                ErrorKind::ImageSize => MaskError::Size {
                    path,
                    found,
                    expected,
                },
                ErrorKind::ImageMissing => MaskError::File { path, reason },
                _ if !is_file => MaskError::File { path, reason },
                _ => MaskError::Decode { path, reason },
            }
        })?;
        Ok(Self {
            width: found.width,
            height: found.height,
            data: grey.iter().map(|value| *value > THRESHOLD).collect(),
        })
    }

    /// Width and height.
    pub const fn size(&self) -> Size {
        Size::new(self.width, self.height)
    }

    /// Number of pixels inside.
    pub fn count(&self) -> usize {
        self.data.iter().filter(|inside| **inside).count()
    }

    /// Whether the pixel under a point is inside. The right and the bottom edge belong to the last pixel; beyond the picture
    /// nothing is inside.
    pub fn at(&self, point: Point) -> bool {
        self.size().contains(point) && !self.data.is_empty() && {
            let (column, row) = (
                (point.x as usize).min(self.width - 1),
                (point.y as usize).min(self.height - 1),
            );
            self.data[row * self.width + column]
        }
    }

    /// Top left and bottom right corner of the smallest rectangle of whole pixels around what is inside; `None` when nothing is.
    pub fn bounds(&self) -> Option<(Point, Point)> {
        let mut bounds: Option<(usize, usize, usize, usize)> = None;
        for (index, _) in self.data.iter().enumerate().filter(|(_, inside)| **inside) {
            let (column, row) = (index % self.width, index / self.width);
            let (left, top, right, bottom) = bounds.unwrap_or((column, row, column, row));
            bounds = Some((
                left.min(column),
                top.min(row),
                right.max(column),
                bottom.max(row),
            ));
        }
        bounds.map(|(left, top, right, bottom)| {
            (
                Point::new(left as f64, top as f64),
                Point::new((right + 1) as f64, (bottom + 1) as f64),
            )
        })
    }

    /// Returns the mean of the centres of all pixels inside; `None` when the mask is empty.
    pub fn centroid(&self) -> Option<Point> {
        let inside = self.size().centres().zip(&self.data);
        let (count, x, y) = inside
            .filter(|(_, inside)| **inside)
            .fold((0_usize, 0.0, 0.0), |(count, x, y), (centre, _)| {
                (count + 1, x + centre.x, y + centre.y)
            });
        (count > 0).then(|| Point::new(x / count as f64, y / count as f64))
    }

    /// Grown by `radius` pixels in each direction, corners included (a square, as a max pooling of `2 * radius + 1` does).
    #[must_use]
    pub fn dilated(&self, radius: usize) -> Self {
        let mut wide = self.clone();
        for row in 0..self.height {
            dilate_line(
                &self.data,
                &mut wide.data,
                row * self.width,
                1,
                self.width,
                radius,
            );
        }
        let mut grown = wide.clone();
        for column in 0..self.width {
            dilate_line(
                &wide.data,
                &mut grown.data,
                column,
                self.width,
                self.height,
                radius,
            );
        }
        grown
    }

    /// Resized by taking the pixel at `floor(index * scale)` ("nearest" in the field's libraries).
    #[must_use]
    pub fn resized(&self, size: Size) -> Self {
        let mut data = Vec::with_capacity(size.area());
        for row in 0..size.height {
            let from = row * self.height / size.height * self.width;
            data.extend(
                (0..size.width).map(|column| self.data[from + column * self.width / size.width]),
            );
        }
        Self {
            width: size.width,
            height: size.height,
            data,
        }
    }

    /// For every pixel inside, about how many pixels it is from the nearest one outside: 1 beside it, infinity when nothing is
    /// outside; 0 for pixels outside. The picture's border is no edge. Straight and diagonal steps count 1 and sqrt(2).
    pub fn depth(&self) -> Vec<f32> {
        let (width, height) = (self.width as isize, self.height as isize);
        let mut depth: Vec<f32> = self
            .data
            .iter()
            .map(|inside| if *inside { f32::INFINITY } else { 0.0 })
            .collect();
        let diagonal = std::f32::consts::SQRT_2;
        let before = [
            (-1, 0, 1.0),
            (-1, -1, diagonal),
            (0, -1, 1.0),
            (1, -1, diagonal),
        ];
        let mut relax = |index: isize, sign: isize| {
            if depth[index as usize] == 0.0 {
                return;
            }
            let (column, row) = (index % width, index / width);
            for (dx, dy, step) in before {
                let (column, row) = (column + sign * dx, row + sign * dy);
                if (0..width).contains(&column) && (0..height).contains(&row) {
                    let through = depth[(row * width + column) as usize] + step;
                    let here = &mut depth[index as usize];
                    *here = here.min(through);
                }
            }
        };
        (0..width * height).for_each(|index| relax(index, 1));
        (0..width * height).rev().for_each(|index| relax(index, -1));
        depth
    }
}

/// Sets every element of a line that has one inside within `radius`.
fn dilate_line(
    from: &[bool],
    to: &mut [bool],
    start: usize,
    stride: usize,
    length: usize,
    radius: usize,
) {
    let mut reach = 0; // one past the last element that what was seen so far reaches
    for index in 0..length + radius {
        if index < length && from[start + index * stride] {
            reach = index + 2 * radius + 1;
        }
        if index >= radius {
            to[start + (index - radius) * stride] = index < reach;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{DynamicImage, GrayImage, ImageBuffer, Luma, LumaA, Rgba};

    fn from_rows(rows: &[&str]) -> Mask {
        let data = rows
            .iter()
            .flat_map(|row| row.chars().map(|c| c == '#'))
            .collect();
        Mask {
            width: rows[0].len(),
            height: rows.len(),
            data,
        }
    }

    #[test]
    fn the_far_edge_belongs_to_the_last_pixel() {
        let mask = from_rows(&["..#", ".##"]);
        assert!(
            mask.at(Point::new(3.0, 2.0))
                && mask.at(Point::new(3.0, 0.5))
                && mask.at(Point::new(2.0, 0.0))
        );
        assert!(
            !mask.at(Point::new(3.000_001, 1.0))
                && !mask.at(Point::new(2.5, -0.001))
                && !mask.at(Point::new(f64::NAN, 1.0))
        );
        assert!(!mask.at(Point::new(0.0, 0.0)));
    }

    #[test]
    fn dilation_is_a_square() {
        let mask = from_rows(&["......", "......", "..#...", "......", ".....#"]);
        assert_eq!(
            mask.dilated(1),
            from_rows(&["......", ".###..", ".###..", ".#####", "....##"])
        );
        assert_eq!(mask.dilated(0), mask);
        assert_eq!(mask.dilated(9).count(), 30);
    }

    #[test]
    fn nearest_takes_the_first_pixel_of_each_block() {
        let mask = from_rows(&["#..#", "....", "..#.", "...#"]);
        assert_eq!(mask.resized(Size::new(2, 2)), from_rows(&["#.", ".#"]));
        assert_eq!(
            from_rows(&["#."]).resized(Size::new(4, 2)),
            from_rows(&["##..", "##.."])
        );
    }

    #[test]
    fn depth_counts_from_the_area_s_edge_and_not_from_the_pictures() {
        let depth = from_rows(&[".###", "####"]).depth();
        let diagonal = std::f32::consts::SQRT_2;
        assert_eq!(
            depth,
            [
                0.0,
                1.0,
                2.0,
                3.0,
                1.0,
                diagonal,
                1.0 + diagonal,
                2.0 + diagonal
            ]
        );
        assert!(
            Mask::filled(Size::new(3, 2), true)
                .depth()
                .iter()
                .all(|depth| depth.is_infinite())
        );
    }

    #[test]
    fn bounds_enclose_whole_pixels() {
        assert_eq!(
            from_rows(&["....", ".#..", "...#"]).bounds(),
            Some((Point::new(1.0, 1.0), Point::new(4.0, 3.0)))
        );
        assert_eq!(Mask::filled(Size::new(4, 4), false).bounds(), None);
    }

    #[test]
    fn the_centroid_is_the_mean_of_the_pixel_centres() {
        assert_eq!(
            from_rows(&["....", ".##.", "..##"]).centroid(),
            Some(Point::new(2.5, 2.0))
        );
        assert_eq!(Mask::filled(Size::new(4, 4), false).centroid(), None);
    }

    #[test]
    fn every_kind_of_picture_is_read_by_its_luma() {
        let folder = tempfile::tempdir().expect("a folder for the masks");
        let pictures: [DynamicImage; 4] = [
            GrayImage::from_vec(3, 1, vec![127, 128, 255])
                .expect("three pixels")
                .into(),
            ImageBuffer::<Luma<u16>, _>::from_vec(3, 1, vec![0x7f00_u16, 0x8100, 0xffff])
                .expect("three pixels")
                .into(),
            ImageBuffer::<LumaA<u8>, _>::from_vec(3, 1, vec![0_u8, 255, 200, 0, 255, 7])
                .expect("three pixels")
                .into(),
            ImageBuffer::<Rgba<u8>, _>::from_vec(
                3,
                1,
                vec![0_u8, 0, 0, 255, 255, 255, 255, 0, 0, 255, 0, 1],
            )
            .expect("three pixels")
            .into(),
        ];
        for (index, picture) in pictures.iter().enumerate() {
            let path = folder.path().join(format!("{index}.png"));
            picture.save(&path).expect("the mask is written");
            assert_eq!(
                Mask::read(&path, Size::new(3, 1)).expect("a mask"),
                from_rows(&[".##"]),
                "picture {index}"
            );
        }
    }

    #[test]
    fn another_size_is_refused_with_both_sizes() {
        let folder = tempfile::tempdir().expect("a folder for the mask");
        let path = folder.path().join("mask.png");
        GrayImage::new(3, 2)
            .save(&path)
            .expect("the mask is written");
        let message = Mask::read(&path, Size::new(4, 2))
            .expect_err("3 x 2 is not 4 x 2")
            .to_string();
        assert!(
            message.ends_with("is 3 x 2 pixels, the image is 4 x 2"),
            "{message}"
        );
        assert!(matches!(
            Mask::read(folder.path(), Size::new(4, 2)),
            Err(MaskError::File { .. })
        ));
    }
}
