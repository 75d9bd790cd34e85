//! The frame of an edit: which window of the image the network sees, at which working size, and the mapping of points between the
//! image and the working picture.

use serde::{Serialize, Serializer};

use super::{Grid, LATENT_CELL, Point, SUPERVISION_CELL, Scale, Size};

/// An upright rectangle of whole pixels of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Number of pixels left of it.
    pub left: usize,
    /// Number of pixels above it.
    pub top: usize,
    /// Width and height.
    pub size: Size,
}

impl Window {
    /// Returns the window that contains all of an image.
    pub const fn whole(image: Size) -> Self {
        Self {
            left: 0,
            top: 0,
            size: image,
        }
    }

    /// Returns its top left corner in the image.
    pub const fn corner(self) -> Point {
        Point::new(self.left as f64, self.top as f64)
    }
}

/// `[left, top, width, height]`, as in records.
impl Serialize for Window {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        [self.left, self.top, self.size.width, self.size.height].serialize(serializer)
    }
}

/// How an image lies in the working picture: a window of it is resized to `content`, then padded on the right and at the bottom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Frame {
    /// Size of the upright image.
    pub source: Size,
    /// The window of the image that the network sees.
    pub window: Window,
    /// Size of the window in the working picture.
    pub content: Size,
    /// Size of the working picture: `content` rounded up to multiples of eight.
    pub padded: Size,
}

impl Frame {
    /// Creates the frame of the whole image. The shorter side of its content is `size`, or less for panoramas: the content has at most
    /// `2 * size * size` pixels.
    pub fn new(source: Size, size: usize) -> Self {
        Self::windowed(source, Window::whole(source), size)
    }

    /// Creates the frame of a window of the image, with the content's size as in [`Frame::new`].
    pub fn windowed(source: Size, window: Window, size: usize) -> Self {
        let (width, height) = (window.size.width as f64, window.size.height as f64);
        let limit = 2.0 * (size * size) as f64;
        let scale = size as f64 / width.min(height);
        let content = if width * height * scale * scale <= limit {
            Size::new(
                (width * scale).round() as usize,
                (height * scale).round() as usize,
            )
        } else {
            let scale = (limit / (width * height)).sqrt();
            Size::new(
                ((width * scale) as usize).max(1),
                ((height * scale) as usize).max(1),
            )
        };
        let up = |side: usize| side.next_multiple_of(LATENT_CELL);
        Self {
            source,
            window,
            content,
            padded: Size::new(up(content.width), up(content.height)),
        }
    }

    /// Returns the frame of the same window at the image's own resolution, without padding.
    #[must_use]
    pub const fn native(&self) -> Self {
        Self {
            content: self.window.size,
            padded: self.window.size,
            ..*self
        }
    }

    /// Returns whether the network sees all of the image.
    pub fn is_whole(&self) -> bool {
        self.window == Window::whole(self.source)
    }

    /// Returns the number of working pixels per pixel of the image.
    pub fn scale(&self) -> Scale {
        self.window.size.scale_to(self.content)
    }

    /// Maps a point of the image to working coordinates.
    pub fn to_working(&self, point: Point) -> Point {
        let corner = self.window.corner();
        scaled(
            Point::new(point.x - corner.x, point.y - corner.y),
            self.window.size,
            self.content,
        )
    }

    /// Maps a working point to the image's coordinates. Points in the padding map outside the window.
    pub fn to_source(&self, point: Point) -> Point {
        let (corner, inside) = (
            self.window.corner(),
            scaled(point, self.content, self.window.size),
        );
        Point::new(inside.x + corner.x, inside.y + corner.y)
    }

    /// Returns the supervision grid, on which features are compared: half the working picture's resolution.
    pub fn supervision_grid(&self) -> Grid {
        self.grid(SUPERVISION_CELL)
    }

    /// Returns the grid of the latent: an eighth of the working picture's resolution.
    pub fn latent_grid(&self) -> Grid {
        self.grid(LATENT_CELL)
    }

    fn grid(&self, cell: usize) -> Grid {
        Grid {
            columns: self.padded.width / cell,
            rows: self.padded.height / cell,
            cell: cell as f64,
        }
    }
}

/// Scales a point from one size to another. It multiplies before it divides, so that the far edges coincide exactly.
fn scaled(point: Point, from: Size, to: Size) -> Point {
    Point::new(
        point.x * to.width as f64 / from.width as f64,
        point.y * to.height as f64 / from.height as f64,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_image_of_working_size_is_not_resized() {
        for size in [
            Size::new(512, 512),
            Size::new(768, 512),
            Size::new(512, 1024),
        ] {
            let frame = Frame::new(size, 512);
            assert_eq!((frame.content, frame.padded), (size, size));
        }
    }

    #[test]
    fn odd_sizes_are_resized_and_padded() {
        let frame = Frame::new(Size::new(513, 771), 512);
        assert_eq!(
            (frame.content, frame.padded),
            (Size::new(512, 769), Size::new(512, 776))
        );
        let small = Frame::new(Size::new(100, 75), 256);
        assert_eq!(
            (small.content, small.padded),
            (Size::new(341, 256), Size::new(344, 256))
        );
    }

    #[test]
    fn a_panorama_has_at_most_twice_the_models_area() {
        let frame = Frame::new(Size::new(3000, 500), 512);
        assert!(frame.content.area() <= 2 * 512 * 512 && frame.content.area() > 2 * 512 * 510);
        assert!(frame.content.height < 512);
        assert!((frame.scale().x / frame.scale().y - 1.0).abs() < 0.01);
    }

    #[test]
    fn grids_cover_the_padded_picture() {
        let frame = Frame::new(Size::new(513, 771), 512);
        let (fine, coarse) = (frame.supervision_grid(), frame.latent_grid());
        assert_eq!(
            (fine.columns, fine.rows, coarse.columns, coarse.rows),
            (256, 388, 64, 97)
        );
        assert_eq!(fine.centre(256 + 2), Point::new(5.0, 3.0));
        assert_eq!(coarse.centre(0), Point::new(4.0, 4.0));
    }

    proptest! {
        #[test]
        fn to_source_inverts_to_working(
            width in 64_usize..4000, height in 64_usize..4000, x in 0.0..=1.0_f64, y in 0.0..=1.0_f64, size in prop::sample::select(vec![256_usize, 512])
        ) {
            for source in [Size::new(width, height), Size::new(513, 771), Size::new(3000, 500)] {
                let frame = Frame::new(source, size);
                let point = Point::new(x * source.width as f64, y * source.height as f64);
                prop_assert!(frame.to_source(frame.to_working(point)).distance(point) < 1e-9);
                let corner = |size: Size| Point::new(size.width as f64, size.height as f64);
                prop_assert_eq!(frame.to_working(corner(source)), corner(frame.content));

                let size = Size::new((width / 3).min(source.width), (height / 2).min(source.height));
                let window = Window { left: source.width - size.width, top: (source.height - size.height) / 2, size };
                let frame = Frame::windowed(source, window, 256);
                prop_assert!(frame.to_source(frame.to_working(point)).distance(point) < 1e-8);
                prop_assert_eq!(frame.to_working(window.corner()), Point::new(0.0, 0.0));
                prop_assert_eq!(frame.to_source(corner(frame.content)).x, source.width as f64);
            }
        }
    }
}
