//! How large a preview is, and where the image's points lie on it.

use crate::geometry::{Point, Size};

/// Longer side to which small pictures are enlarged at least, in whole steps, so that markers and text fit beside what they mark.
const READABLE: usize = 768;
/// Shorter side to which they are enlarged where that leaves the longer one within the room.
const READABLE_ACROSS: usize = 256;
/// Side of the square picture whose lines are one pixel for each of their units of width.
const UNIT_SIDE: f64 = 600.0;

/// A picture's place on the preview.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sheet {
    source: Size,
    /// Width and height of the picture on the preview.
    pub(super) size: Size,
    /// Widths, radii and text sizes are multiples of this many pixels.
    pub(super) unit: f64,
}

impl Sheet {
    /// The sheet of an image of size `source`: enlarged by a whole number where it is small, shrunk where it does not fit into `room`.
    pub(super) fn new(source: Size, room: Size) -> Self {
        let (longer, shorter) = (
            source.width.max(source.height),
            source.width.min(source.height),
        );
        let fits = (room.width / source.width).min(room.height / source.height);
        let wanted = READABLE
            .div_ceil(longer)
            .max(READABLE_ACROSS.div_ceil(shorter));
        let size = if fits > 0 {
            let times = wanted.min(fits);
            Size::new(source.width * times, source.height * times)
        } else {
            let ratio = (room.width as f64 / source.width as f64)
                .min(room.height as f64 / source.height as f64);
            let shrunk = |side: usize| ((side as f64 * ratio).round() as usize).max(1);
            Size::new(
                shrunk(source.width).min(room.width),
                shrunk(source.height).min(room.height),
            )
        };
        Self {
            source,
            size,
            unit: ((size.area() as f64).sqrt() / UNIT_SIDE).max(1.0),
        }
    }

    /// A point of the image on the preview.
    pub(super) fn place(&self, point: Point) -> Point {
        point.scaled(self.source.scale_to(self.size))
    }

    /// A point of the preview on the image.
    pub(super) fn source_of(&self, place: Point) -> Point {
        place.scaled(self.size.scale_to(self.source))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOM: Size = Size::new(4096, 4096);

    fn size(width: usize, height: usize) -> (usize, usize) {
        let Size { width, height } = Sheet::new(Size::new(width, height), ROOM).size;
        (width, height)
    }

    #[test]
    fn small_pictures_are_enlarged_in_whole_steps() {
        assert_eq!(size(64, 64), (768, 768));
        assert_eq!(size(256, 256), (768, 768));
        assert_eq!(size(500, 300), (1000, 600));
        assert_eq!(size(768, 512), (768, 512));
        assert_eq!(size(64, 2000), (128, 4000), "not beyond the room");
        assert_eq!(size(2000, 100), (4000, 200));
    }

    #[test]
    fn large_pictures_are_shrunk_into_the_room() {
        assert_eq!(size(4096, 3000), (4096, 3000));
        assert_eq!(size(6000, 4000), (4096, 2731));
        assert_eq!(size(64, 32_768), (8, 4096));
    }

    #[test]
    fn points_come_back_and_far_edges_meet() {
        for source in [Size::new(77, 130), Size::new(6001, 4003)] {
            let sheet = Sheet::new(source, ROOM);
            let corner = Point::new(source.width as f64, source.height as f64);
            let end = Point::new(sheet.size.width as f64, sheet.size.height as f64);
            assert!(sheet.place(corner).distance(end) < 1e-9);
            let point = Point::new(12.5, 60.25);
            assert!(sheet.source_of(sheet.place(point)).distance(point) < 1e-9);
        }
    }
}
