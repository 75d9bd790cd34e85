//! Edits resized as evaluation scripts of the field resize them.

use crate::geometry::Size;
use crate::picture::Picture;
use crate::picture::pillow::{Filter, resize};

/// Returns an 8-bit RGB copy of another size, as Pillow's `Image.resize` with `BILINEAR` makes it. Alpha is ignored.
pub(crate) fn bilinear(picture: &Picture, size: Size) -> Picture {
    let rgb = resize(&picture.rgb(), picture.size(), size, Filter::Bilinear);
    Picture::from_rgb(size, rgb)
}
