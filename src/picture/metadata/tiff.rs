//! The structure of EXIF data: a TIFF file without pixels (TIFF 6.0, section 2; Exif 2.32, 4.6).

use std::ops::Range;

/// Bytes of an entry of a directory.
const ENTRY: usize = 12;

/// A TIFF structure, and how its numbers are stored.
pub(super) struct Tiff {
    pub(super) bytes: Vec<u8>,
    is_little_endian: bool,
}

/// An entry of a directory.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    pub(super) tag: u16,
    kind: u16,
    count: u32,
    /// Where its four bytes for the value or its offset are.
    at: usize,
}

/// A directory.
pub(super) struct Directory {
    pub(super) entries: Vec<Entry>,
    /// Where its table is, with the offset of the next directory.
    pub(super) table: Range<usize>,
    /// Where the offset of the next directory is; `None` where the data ends before it.
    pub(super) link: Option<usize>,
    /// Whether all entries that it announces are there.
    pub(super) is_whole: bool,
}

impl Tiff {
    /// Returns the structure, of which `Exif\0\0` in front is removed; `None` for other bytes.
    pub(super) fn new(mut bytes: Vec<u8>) -> Option<Self> {
        if bytes.starts_with(b"Exif\0") {
            bytes.drain(..6.min(bytes.len()));
        }
        let is_little_endian = match bytes.get(..4)? {
            b"II\x2A\0" => true,
            b"MM\0\x2A" => false,
            _ => return None,
        };
        Some(Self {
            bytes,
            is_little_endian,
        })
    }

    /// Returns the first directory.
    pub(super) fn first(&self) -> Option<Directory> {
        self.directory(self.long(4)?)
    }

    /// Returns the directory at an offset, with the entries that are there.
    pub(super) fn directory(&self, offset: u32) -> Option<Directory> {
        let start = offset as usize;
        let count = usize::from(self.short(start)?);
        let entries: Vec<Entry> = (0..count)
            .map_while(|index| self.entry(start + 2 + index * ENTRY))
            .collect();
        let end = start + 2 + count * ENTRY;
        Some(Directory {
            is_whole: entries.len() == count,
            entries,
            table: start..(end + 4).min(self.bytes.len()),
            link: (end + 4 <= self.bytes.len()).then_some(end),
        })
    }

    fn entry(&self, start: usize) -> Option<Entry> {
        self.bytes.get(start..start + ENTRY)?;
        Some(Entry {
            tag: self.short(start)?,
            kind: self.short(start + 2)?,
            count: self.long(start + 4)?,
            at: start + 8,
        })
    }

    /// Returns the bytes of an entry's values where they are outside its table; `None` inside, and for an unknown type.
    pub(super) fn values(&self, entry: &Entry) -> Option<Range<usize>> {
        let length = width(entry.kind)?.checked_mul(entry.count as usize)?;
        if length <= 4 {
            return None;
        }
        let start = self.long(entry.at)? as usize;
        Some(start..start.saturating_add(length))
    }

    /// Returns the first value of an entry of an integer type that is stored in its table.
    pub(super) fn integer(&self, entry: &Entry) -> Option<u32> {
        match (entry.kind, entry.count) {
            (1 | 6, 1..=4) => self.bytes.get(entry.at).copied().map(u32::from),
            (3 | 8, 1..=2) => self.short(entry.at).map(u32::from),
            (4 | 9 | 13, 1) => self.long(entry.at),
            _ => None,
        }
    }

    /// Sets the first value of such an entry; other entries stay as they are.
    pub(super) fn set_integer(&mut self, entry: &Entry, value: u32) {
        match (entry.kind, entry.count) {
            (1 | 6, 1..=4) if value < 0x80 => self.put(entry.at, &[value as u8]),
            (3 | 8, 1..=2) if value < 0x8000 => {
                let bytes = (value as u16).to_be_bytes();
                self.put(entry.at, &self.ordered(bytes));
            }
            (4 | 9 | 13, 1) => self.set_long(entry.at, value),
            _ => {}
        }
    }

    pub(super) fn set_long(&mut self, at: usize, value: u32) {
        self.put(at, &self.ordered(value.to_be_bytes()));
    }

    pub(super) fn long(&self, at: usize) -> Option<u32> {
        let bytes = self.bytes.get(at..)?.first_chunk()?;
        Some(u32::from_be_bytes(self.ordered(*bytes)))
    }

    fn short(&self, at: usize) -> Option<u16> {
        let bytes = self.bytes.get(at..)?.first_chunk()?;
        Some(u16::from_be_bytes(self.ordered(*bytes)))
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        if let Some(place) = self.bytes.get_mut(at..at + bytes.len()) {
            place.copy_from_slice(bytes);
        }
    }

    /// Converts between this structure's byte order and big-endian.
    fn ordered<const N: usize>(&self, mut bytes: [u8; N]) -> [u8; N] {
        if self.is_little_endian {
            bytes.reverse();
        }
        bytes
    }
}

/// Returns the bytes of a value of a type (TIFF 6.0, page 15; 13 is a directory's offset).
const fn width(kind: u16) -> Option<usize> {
    match kind {
        1 | 2 | 6 | 7 => Some(1),
        3 | 8 => Some(2),
        4 | 9 | 11 | 13 => Some(4),
        5 | 10 | 12 => Some(8),
        _ => None,
    }
}
