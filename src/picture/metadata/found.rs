//! What a file contains of EXIF, XMP and text, in its own form. It takes at most a few times [`MAX_BYTES`] of memory, whatever the file has.

use image::metadata::Orientation;

use super::text::{Text, XMP_IN_APP1, comment};
use super::{MAX_BYTES, Metadata, exif, xmp};
use crate::geometry::Size;
use crate::picture::chunks::Chunk;
use crate::warning::{Warning, WarningKind};

const EXIF: &str = "EXIF data";
const XMP: &str = "XMP data";
const TEXT: &str = "text";
/// What a chunk that may have to be unpacked costs of the bytes that text may have, so that their number is bounded.
const UNPACKING: usize = MAX_BYTES / 64;

/// What a file contains.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(in crate::picture) struct Found {
    /// A TIFF structure, with or without `Exif\0\0` before it.
    exif: Option<Vec<u8>>,
    /// The same from text, which counts where there is no other.
    exif_in_text: Option<Vec<u8>>,
    /// An XMP packet.
    xmp: Option<Vec<u8>>,
    /// Text chunks of a PNG.
    text: Vec<Chunk>,
    /// Bytes that they take in memory, unpacked.
    text_bytes: usize,
    /// What is damaged or too large, in words.
    left_out: Vec<&'static str>,
}

impl Found {
    /// Adds a chunk `eXIf`, `tEXt`, `zTXt` or `iTXt` of a PNG; `is_whole` says whether its checksum is right.
    pub(in crate::picture) fn add_chunk(&mut self, name: [u8; 4], content: &[u8], is_whole: bool) {
        let is_exif = &name == b"eXIf";
        match (is_whole, is_exif) {
            (false, true) => self.leave_out(EXIF),
            (false, false) => self.leave_out(TEXT),
            (true, true) => self.add_exif(content),
            (true, false) if self.text_bytes > MAX_BYTES => self.leave_out(TEXT),
            (true, false) => self.add_text_chunk(name, content),
        }
    }

    fn add_text_chunk(&mut self, name: [u8; 4], content: &[u8]) {
        match Text::of(name, content) {
            Text::Kept(unpacked) => return self.add_text(name, content, unpacked),
            Text::Exif(exif) => {
                self.exif_in_text.get_or_insert(exif);
            }
            Text::Xmp(xmp) => {
                self.xmp.get_or_insert(xmp);
            }
            Text::OfFile => {}
            Text::Damaged(what) => self.leave_out(what),
        }
        self.text_bytes += UNPACKING;
    }

    /// Adds the content of a segment APP1 of a JPEG.
    pub(in crate::picture) fn add_segment(&mut self, content: &[u8]) {
        if content.starts_with(b"Exif\0") {
            self.add_exif(content);
        } else if let Some(packet) = content.strip_prefix(XMP_IN_APP1) {
            self.add_xmp(packet);
        }
    }

    /// Adds a comment of a JPEG.
    pub(in crate::picture) fn add_comment(&mut self, content: &[u8]) {
        if let Some((name, content)) = comment(content) {
            self.add_text(name, &content, 0);
        }
    }

    /// Adds EXIF data, of which the first counts.
    pub(in crate::picture) fn add_exif(&mut self, content: &[u8]) {
        if content.len() > MAX_BYTES {
            self.leave_out(EXIF);
        } else {
            self.exif.get_or_insert_with(|| content.to_vec());
        }
    }

    /// Adds an XMP packet, of which the first counts.
    pub(in crate::picture) fn add_xmp(&mut self, content: &[u8]) {
        if content.len() > MAX_BYTES {
            self.leave_out(XMP);
        } else {
            self.xmp.get_or_insert_with(|| content.to_vec());
        }
    }

    fn add_text(&mut self, name: [u8; 4], content: &[u8], unpacked: usize) {
        // A chunk takes memory beside its content.
        let bytes = content.len().max(unpacked) + size_of::<Chunk>();
        if self.text_bytes + bytes > MAX_BYTES {
            self.leave_out(TEXT);
        } else {
            self.text_bytes += bytes;
            self.text.push((name, content.to_vec()));
        }
    }

    fn leave_out(&mut self, what: &'static str) {
        if !self.left_out.contains(&what) {
            self.left_out.push(what);
        }
    }

    /// Returns the orientation that the EXIF data gives: a number of 1 to 8 in any integer type and either byte order. Without one, or with
    /// another number, the pixels are upright.
    pub(in crate::picture) fn orientation(&self) -> Orientation {
        let data = self.exif.as_deref().or(self.exif_in_text.as_deref());
        let found = data.and_then(exif::orientation);
        found.unwrap_or(Orientation::NoTransforms)
    }

    /// Makes the data fit the upright picture of this size: orientation 1, its width and height, no thumbnail. Also returns warnings about
    /// what is left out.
    pub(in crate::picture) fn upright(mut self, size: Size) -> (Metadata, Vec<Warning>) {
        let is_turned = self.orientation() != Orientation::NoTransforms;
        let exif = self.exif.take().or(self.exif_in_text.take());
        let has_exif = exif.is_some();
        let exif = exif.and_then(|exif| exif::upright(exif, size));
        if has_exif && exif.is_none() {
            self.leave_out(EXIF);
        }
        let packet = self.xmp.take();
        let has_xmp = packet.is_some();
        let xmp = packet.and_then(|packet| xmp::upright(packet, size, is_turned));
        if has_xmp && xmp.is_none() {
            self.leave_out(XMP);
        }
        let warnings = self.left_out.into_iter().map(|what| Warning {
            kind: WarningKind::ImageMetadata,
            message: format!("{what} of the picture is damaged or too large and is left out"),
        });
        let metadata = Metadata {
            exif,
            xmp,
            text: self.text,
        };
        (metadata, warnings.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIFF: &[u8] = b"MM\0\x2A\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0";

    /// EXIF data in a chunk of its own counts before EXIF data in text, in any order.
    #[test]
    fn the_first_data_of_a_kind_counts() {
        let text = b"Raw profile type exif\0\nexif\n26\n4d4d002a000000080001011200030000000100030000\n00000000";
        for is_first in [true, false] {
            let mut found = Found::default();
            if is_first {
                found.add_chunk(*b"tEXt", text, true);
                assert_eq!(found.orientation(), Orientation::Rotate180);
            }
            found.add_chunk(*b"eXIf", TIFF, true);
            found.add_chunk(*b"tEXt", text, true);
            found.add_chunk(*b"eXIf", b"another", true);
            assert_eq!(found.orientation(), Orientation::Rotate90);
            let (metadata, warnings) = found.upright(Size::new(3, 4));
            assert_eq!(metadata.kinds().collect::<Vec<_>>(), ["exif"]);
            assert_eq!(warnings, []);
        }
    }

    /// Neither large data nor a great many small chunks take much memory, and each kind has one warning.
    #[test]
    fn memory_is_bounded() {
        let mut found = Found::default();
        let large = vec![b'x'; MAX_BYTES + 1];
        found.add_exif(&large);
        found.add_xmp(&large);
        for _ in 0..MAX_BYTES / 20 {
            found.add_chunk(*b"tEXt", b"a\0b", true);
            found.add_chunk(*b"eXIf", b"", false);
        }
        assert!(found.text.len() <= MAX_BYTES / size_of::<Chunk>());
        assert!(found.exif.is_none() && found.xmp.is_none());
        let (metadata, warnings) = found.upright(Size::new(3, 4));
        assert_eq!(metadata.kinds().collect::<Vec<_>>(), ["text"]);
        assert_eq!(warnings.len(), 3);
    }
}
