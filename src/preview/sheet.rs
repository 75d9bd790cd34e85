//! The size of a preview, and the mapping of points between the image and the preview.

use crate::geometry::{Point, Size};

/// Minimum longer side of a preview; a smaller picture is enlarged by a whole number, so that marks and text fit beside regions.
const READABLE: usize = 768;
/// Minimum shorter side, if the longer one then still fits into the maximum size.
const READABLE_ACROSS: usize = 256;
/// Side of a square preview on which a unit is one pixel.
const UNIT_SIDE: f64 = 600.0;

/// The size of a picture on a preview.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sheet {
    source: Size,
    /// Width and height of the picture on the preview.
    pub(super) size: Size,
    /// Widths, radii and text sizes are multiples of this many pixels.
    pub(super) unit: f64,
}

impl Sheet {
    /// Creates the sheet of an image of size `source`: enlarged by a whole number when it is small, shrunk when it exceeds `max`.
    pub(super) fn new(source: Size, max: Size) -> Self {
        let (longer, shorter) = (
            source.width.max(source.height),
            source.width.min(source.height),
        );
        let fits = (max.width / source.width).min(max.height / source.height);
        let wanted = READABLE
            .div_ceil(longer)
            .max(READABLE_ACROSS.div_ceil(shorter));
        let size = if fits > 0 {
            let times = wanted.min(fits);
            Size::new(source.width * times, source.height * times)
        } else {
            let ratio = (max.width as f64 / source.width as f64)
                .min(max.height as f64 / source.height as f64);
            let shrunk = |side: usize| ((side as f64 * ratio).round() as usize).max(1);
            Size::new(
                shrunk(source.width).min(max.width),
                shrunk(source.height).min(max.height),
            )
        };
        Self {
            source,
            size,
            unit: ((size.area() as f64).sqrt() / UNIT_SIDE).max(1.0),
        }
    }

    /// Maps a point of the image to the preview.
    pub(super) fn place(&self, point: Point) -> Point {
        point.scaled(self.source.scale_to(self.size))
    }

    /// Maps a point of the preview to the image.
    pub(super) fn source_of(&self, place: Point) -> Point {
        place.scaled(self.size.scale_to(self.source))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: Size = Size::new(4096, 4096);

    fn size(width: usize, height: usize) -> (usize, usize) {
        let Size { width, height } = Sheet::new(Size::new(width, height), MAX).size;
        (width, height)
    }

    #[test]
    fn small_pictures_are_enlarged_by_a_whole_number() {
        assert_eq!(size(64, 64), (768, 768));
        assert_eq!(size(256, 256), (768, 768));
        assert_eq!(size(500, 300), (1000, 600));
        assert_eq!(size(768, 512), (768, 512));
        assert_eq!(size(64, 2000), (128, 4000), "not beyond the maximum");
        assert_eq!(size(2000, 100), (4000, 200));
    }

    #[test]
    fn large_pictures_are_shrunk_to_the_maximum() {
        assert_eq!(size(4096, 3000), (4096, 3000));
        assert_eq!(size(6000, 4000), (4096, 2731));
        assert_eq!(size(64, 32_768), (8, 4096));
    }

    #[test]
    fn source_of_inverts_place_and_far_edges_coincide() {
        for source in [Size::new(77, 130), Size::new(6001, 4003)] {
            let sheet = Sheet::new(source, MAX);
            let corner = Point::new(source.width as f64, source.height as f64);
            let end = Point::new(sheet.size.width as f64, sheet.size.height as f64);
            assert!(sheet.place(corner).distance(end) < 1e-9);
            let point = Point::new(12.5, 60.25);
            assert!(sheet.source_of(sheet.place(point)).distance(point) < 1e-9);
        }
    }
}
