//! What a file says about its picture beside pixels and colours: EXIF, XMP and text.
//!
//! [`Found`] is what a file contains; [`Found::upright`] makes it fit the upright picture, whose orientation is applied already, and
//! [`Metadata`] is what the result keeps. A result is a PNG, so EXIF becomes an `eXIf` chunk, XMP and text become text chunks. Nothing in
//! here makes a picture unreadable: what is damaged or too large is left out, with a warning.
//!
//! Thumbnails are left out, since they show the picture before the edit; so is the extended XMP of JPEGs, which holds depth maps and other
//! pictures. IPTC data of JPEGs is not kept; programs write the same fields into XMP.

mod exif;
mod found;
mod text;
mod tiff;
mod xmp;

pub(super) use found::Found;
use text::international;

use super::chunks::Chunk;

/// Largest EXIF data, XMP data, and text of a picture in bytes.
const MAX_BYTES: usize = 16 << 20;

/// What a result keeps of its picture's file.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Metadata {
    exif: Option<Vec<u8>>,
    xmp: Option<String>,
    text: Vec<Chunk>,
}

impl Metadata {
    /// Returns the chunks of a PNG that hold the data.
    pub(super) fn chunks(&self) -> Vec<Chunk> {
        let exif = self.exif.iter().map(|exif| (*b"eXIf", exif.clone()));
        let xmp = self.xmp.iter().map(|xmp| international(text::XMP, xmp));
        exif.chain(xmp).chain(self.text.iter().cloned()).collect()
    }

    /// Returns what there is, in words for records.
    pub(super) fn kinds(&self) -> impl Iterator<Item = &'static str> {
        [
            self.exif.is_some().then_some("exif"),
            self.xmp.is_some().then_some("xmp"),
            (!self.text.is_empty()).then_some("text"),
        ]
        .into_iter()
        .flatten()
    }
}
