//! Makes EXIF data fit the upright picture. Values are changed in place, so that offsets inside a camera's own notes stay right.

use std::ops::Range;

use image::metadata::Orientation;

use super::tiff::{Directory, Entry, Tiff};
use crate::geometry::Size;

/// Tags (Exif 2.32, tables 3 to 9).
mod tag {
    pub(super) const WIDTH: u16 = 0x0100;
    pub(super) const HEIGHT: u16 = 0x0101;
    pub(super) const STRIP_OFFSETS: u16 = 0x0111;
    pub(super) const ORIENTATION: u16 = 0x0112;
    pub(super) const STRIP_BYTES: u16 = 0x0117;
    pub(super) const THUMBNAIL: u16 = 0x0201;
    pub(super) const THUMBNAIL_BYTES: u16 = 0x0202;
    pub(super) const EXIF: u16 = 0x8769;
    pub(super) const GPS: u16 = 0x8825;
    pub(super) const PIXEL_WIDTH: u16 = 0xA002;
    pub(super) const PIXEL_HEIGHT: u16 = 0xA003;
    pub(super) const INTEROPERABILITY: u16 = 0xA005;
}

/// Returns the orientation. Entries behind it may be damaged.
pub(super) fn orientation(bytes: &[u8]) -> Option<Orientation> {
    let tiff = Tiff::new(bytes.to_vec())?;
    let first = tiff.first()?;
    let value = tiff.integer(find(&first, tag::ORIENTATION)?)?;
    Orientation::from_exif(u8::try_from(value).ok()?)
}

/// Returns the data for the upright picture of this size, without its thumbnail; `None` when its directories are damaged.
pub(super) fn upright(bytes: Vec<u8>, size: Size) -> Option<Vec<u8>> {
    let mut tiff = Tiff::new(bytes)?;
    let first = whole(&tiff, tiff.long(4)?)?;
    let mut directories = vec![first];
    for (parent, tag) in [(0, tag::EXIF), (0, tag::GPS), (1, tag::INTEROPERABILITY)] {
        let offset = directories
            .get(parent)
            .and_then(|parent: &Directory| find(parent, tag))
            .and_then(|entry| tiff.integer(entry));
        if let Some(offset) = offset {
            directories.push(whole(&tiff, offset)?);
        }
    }
    let [width, height] = [size.width as u32, size.height as u32];
    for entry in directories.iter().flat_map(|found| &found.entries) {
        match entry.tag {
            tag::ORIENTATION => tiff.set_integer(entry, 1),
            tag::WIDTH | tag::PIXEL_WIDTH => tiff.set_integer(entry, width),
            tag::HEIGHT | tag::PIXEL_HEIGHT => tiff.set_integer(entry, height),
            _ => {}
        }
    }
    drop_thumbnail(&mut tiff, &directories)?;
    Some(tiff.bytes)
}

/// Removes the second directory, which describes the thumbnail, and the thumbnail itself. Their bytes become zeros; at the end of the data they
/// are cut off.
fn drop_thumbnail(tiff: &mut Tiff, kept: &[Directory]) -> Option<()> {
    let Some(link) = kept[0].link else {
        return Some(());
    };
    let offset = tiff.long(link)?;
    if offset == 0 {
        return Some(());
    }
    tiff.set_long(link, 0);
    let Some(second) = tiff.directory(offset) else {
        return Some(()); // The link leads out of the data.
    };
    let number = |tag| find(&second, tag).and_then(|entry| tiff.integer(entry));
    let pixels = [
        (tag::THUMBNAIL, tag::THUMBNAIL_BYTES),
        (tag::STRIP_OFFSETS, tag::STRIP_BYTES),
    ]
    .map(|(start, length)| {
        let (start, length) = (number(start)? as usize, number(length)? as usize);
        Some(start..start.saturating_add(length))
    });
    let values = second.entries.iter().filter_map(|entry| tiff.values(entry));
    let mut dropped: Vec<Range<usize>> = pixels
        .into_iter()
        .flatten()
        .chain(values)
        .chain([second.table.clone()])
        .map(|range| range.start.min(tiff.bytes.len())..range.end.min(tiff.bytes.len()))
        .filter(|range| !range.is_empty())
        .collect();
    let tables = kept.iter().map(|found| found.table.clone());
    let values = kept.iter().flat_map(|found| &found.entries);
    let kept: Vec<Range<usize>> = tables
        .chain(values.filter_map(|entry| tiff.values(entry)))
        .chain(std::iter::once(0..8))
        .collect();
    let overlap = |a: &Range<usize>, b: &Range<usize>| a.start < b.end && b.start < a.end;
    if dropped
        .iter()
        .any(|dropped| kept.iter().any(|kept| overlap(dropped, kept)))
    {
        return None;
    }
    for range in &dropped {
        tiff.bytes[range.clone()].fill(0);
    }
    dropped.sort_by_key(|range| range.end);
    while let Some(last) = dropped.pop_if(|last| last.end + 1 >= tiff.bytes.len()) {
        tiff.bytes.truncate(last.start);
    }
    Some(())
}

fn whole(tiff: &Tiff, offset: u32) -> Option<Directory> {
    tiff.directory(offset).filter(|found| found.is_whole)
}

fn find(directory: &Directory, tag: u16) -> Option<&Entry> {
    directory.entries.iter().find(|entry| entry.tag == tag)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Numbers in one byte order.
    #[derive(Clone, Copy)]
    enum Order {
        Big,
        Little,
    }

    impl Order {
        fn short(self, value: u16) -> [u8; 2] {
            match self {
                Self::Big => value.to_be_bytes(),
                Self::Little => value.to_le_bytes(),
            }
        }

        fn long(self, value: u32) -> [u8; 4] {
            match self {
                Self::Big => value.to_be_bytes(),
                Self::Little => value.to_le_bytes(),
            }
        }

        /// A directory of entries with values of the type LONG, SHORT or BYTE.
        fn directory(self, entries: &[(u16, u16, u32)], next: u32) -> Vec<u8> {
            let mut bytes = self.short(entries.len() as u16).to_vec();
            for (tag, kind, value) in entries {
                bytes.extend([self.short(*tag), self.short(*kind)].concat());
                bytes.extend(self.long(1));
                match kind {
                    1 => bytes.extend([*value as u8, 0, 0, 0]),
                    3 => bytes.extend([self.short(*value as u16), [0; 2]].concat()),
                    _ => bytes.extend(self.long(*value)),
                }
            }
            bytes.extend(self.long(next));
            bytes
        }

        fn header(self) -> Vec<u8> {
            let mark: &[u8] = match self {
                Self::Big => b"MM\0\x2A",
                Self::Little => b"II\x2A\0",
            };
            [mark, &self.long(8)].concat()
        }
    }

    /// Data with an orientation, sizes, an Exif directory, and a thumbnail `secret` at the end.
    fn with_thumbnail(order: Order) -> Vec<u8> {
        let first = [
            (tag::WIDTH, 4, 30),
            (tag::HEIGHT, 3, 40),
            (tag::ORIENTATION, 3, 6),
            (tag::EXIF, 4, 62),
        ];
        let mut bytes = [order.header(), order.directory(&first, 92)].concat();
        assert_eq!(bytes.len(), 62);
        bytes.extend(order.directory(&[(tag::PIXEL_WIDTH, 4, 30), (tag::PIXEL_HEIGHT, 3, 40)], 0));
        assert_eq!(bytes.len(), 92);
        bytes.extend(order.directory(&[(tag::THUMBNAIL, 4, 122), (tag::THUMBNAIL_BYTES, 4, 6)], 0));
        assert_eq!(bytes.len(), 122);
        bytes.extend(b"secret");
        bytes
    }

    #[test]
    fn the_orientation_may_have_any_integer_type_and_byte_order() {
        for order in [Order::Big, Order::Little] {
            for kind in [1, 3, 4] {
                let entry = [(tag::ORIENTATION, kind, 8)];
                let bytes = [order.header(), order.directory(&entry, 0)].concat();
                assert_eq!(
                    orientation(&bytes),
                    Orientation::from_exif(8),
                    "type {kind}"
                );
                let prefixed = [&b"Exif\0\0"[..], &bytes].concat();
                assert_eq!(orientation(&prefixed), Orientation::from_exif(8));
                let upright = upright(prefixed, Size::new(4, 3)).expect("the data is whole");
                assert_eq!(orientation(&upright), Orientation::from_exif(1));
                assert_eq!(upright.len(), bytes.len());
            }
        }
        for value in [0, 9, 70_000] {
            let entry = [(tag::ORIENTATION, 4, value)];
            let bytes = [Order::Big.header(), Order::Big.directory(&entry, 0)].concat();
            assert_eq!(orientation(&bytes), None, "{value}");
        }
    }

    #[test]
    fn sizes_are_the_pictures_and_the_thumbnail_is_gone() {
        for order in [Order::Big, Order::Little] {
            let bytes = upright(with_thumbnail(order), Size::new(40, 30)).expect("it is whole");
            let tiff = Tiff::new(bytes).expect("it has a header");
            let first = tiff.first().expect("it has a directory");
            let exif = find(&first, tag::EXIF).and_then(|entry| tiff.integer(entry));
            let second = tiff
                .directory(exif.expect("an offset"))
                .expect("it is there");
            let number =
                |directory, tag| find(directory, tag).and_then(|entry| tiff.integer(entry));
            assert_eq!(number(&first, tag::WIDTH), Some(40));
            assert_eq!(number(&first, tag::HEIGHT), Some(30));
            assert_eq!(number(&second, tag::PIXEL_WIDTH), Some(40));
            assert_eq!(number(&second, tag::PIXEL_HEIGHT), Some(30));
            assert_eq!(tiff.bytes.len(), 92, "directory and thumbnail are cut off");
            let again = upright(tiff.bytes.clone(), Size::new(40, 30));
            assert!(again.is_some_and(|again| again == tiff.bytes));
        }
    }

    #[test]
    fn data_that_ends_after_its_entries_has_no_thumbnail() {
        let entry = [(tag::ORIENTATION, 4, 6)];
        let mut bytes = [Order::Big.header(), Order::Big.directory(&entry, 0)].concat();
        bytes.truncate(bytes.len() - 4);
        let upright = upright(bytes, Size::new(4, 3)).expect("its entries are whole");
        assert_eq!(orientation(&upright), Orientation::from_exif(1));
    }

    #[test]
    fn a_thumbnail_that_covers_other_data_makes_the_data_damaged() {
        let mut bytes = with_thumbnail(Order::Big);
        bytes[92 + 10..92 + 14].copy_from_slice(&4_u32.to_be_bytes());
        assert_eq!(upright(bytes, Size::new(40, 30)), None);
    }

    proptest! {
        #[test]
        fn no_data_causes_a_panic(place in 0_usize..128, value: u8, cut in 0_usize..129, is_big: bool) {
            let mut bytes = with_thumbnail(if is_big { Order::Big } else { Order::Little });
            bytes[place] = value;
            bytes.truncate(cut);
            let _ = orientation(&bytes);
            if let Some(changed) = upright(bytes, Size::new(40, 30)) {
                prop_assert!(changed.len() <= cut);
                prop_assert_ne!(orientation(&changed), Orientation::from_exif(6));
            }
        }
    }
}
