//! Reads the entropy-coded data of a JPEG without its pixels, to see whether all of it is in the file.
//!
//! Decoders fill missing parts with grey, and an end mark proves nothing: programs append one to files that were cut. So the blocks of every scan
//! are counted here (ISO/IEC 10918-1, annexes F and G: Huffman coding, sequential and progressive). Files with other processes are not judged.

mod bits;
mod blocks;
mod frame;

use std::fmt;
use std::ops::ControlFlow;

use bits::{Bits, Codes};
use blocks::read_mcu;
use frame::{Frame, Scan, word};

/// Components of a frame.
const MAX_COMPONENTS: usize = 4;
/// Most MCUs of a frame: more than any picture that is read has.
const MAX_MCUS: usize = 1 << 24;

/// What is missing in a JPEG.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Missing {
    /// Only the first rows are there.
    Rows {
        /// Rows that are there.
        found: usize,
        /// Rows of the picture.
        of: usize,
    },
    /// All rows are there, but scans with their details are not.
    Details,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rows { found, of } => {
                write!(f, "the file has only {found} of the picture's {of} rows")
            }
            Self::Details => write!(f, "the file ends before the details of the picture"),
        }
    }
}

/// Returns what is missing; `None` for a whole file, and for one that cannot be judged.
pub(super) fn missing(bytes: &[u8]) -> Option<Missing> {
    let mut walk = Walk {
        bytes,
        position: 2,
        ..Walk::default()
    };
    walk.run()
}

#[derive(Default)]
struct Walk<'a> {
    bytes: &'a [u8],
    position: usize,
    /// Tables of DC and AC.
    tables: [[Option<Codes>; 4]; 2],
    restart: usize,
    frame: Option<Frame>,
}

impl<'a> Walk<'a> {
    /// Reads segments and scans up to the end. `None` when nothing is missing, or the file cannot be judged.
    fn run(&mut self) -> Option<Missing> {
        loop {
            let Some((marker, content)) = self.segment() else {
                // The file ends without a mark.
                return self.absent(true);
            };
            match marker {
                0xD9 => return self.absent(false),
                0xC4 => self.define_codes(content)?,
                0xDD => self.restart = usize::from(word(content, 0)?),
                0xC0..=0xC2 => {
                    let frame = Frame::parse(content, marker == 0xC2)?;
                    if self.frame.replace(frame).is_some() {
                        return None;
                    }
                }
                // Other processes, and heights that follow the first scan.
                0xC3 | 0xC5..=0xCF | 0xDC => return None,
                0xDA => {
                    if let ControlFlow::Break(missing) = self.scan(content)? {
                        return Some(missing);
                    }
                }
                _ => {}
            }
        }
    }

    /// Returns the next marker with the content of its segment. Bytes between segments are skipped, as decoders do.
    fn segment(&mut self) -> Option<(u8, &'a [u8])> {
        let bytes = self.bytes;
        loop {
            let rest = bytes.get(self.position..)?;
            let at = self.position + rest.iter().position(|byte| *byte == 0xFF)?;
            let marker = *bytes.get(at + 1)?;
            match marker {
                0xFF => self.position = at + 1,
                0 | 1 | 0xD0..=0xD8 => self.position = at + 2,
                0xD9 => return Some((marker, &[])),
                _ => {
                    let end = at + 2 + usize::from(word(bytes, at + 2)?);
                    self.position = end;
                    return Some((marker, bytes.get(at + 4..end)?));
                }
            }
        }
    }

    fn define_codes(&mut self, mut content: &[u8]) -> Option<()> {
        while let Some((head, rest)) = content.split_first() {
            let (counts, rest) = rest.split_at_checked(16)?;
            let count: usize = counts.iter().map(|count| usize::from(*count)).sum();
            let (symbols, rest) = rest.split_at_checked(count)?;
            let class = self.tables.get_mut(usize::from(head >> 4))?;
            *class.get_mut(usize::from(head & 15))? = Some(Codes::new(counts, symbols)?);
            content = rest;
        }
        Some(())
    }

    /// Reads one scan, and breaks at what is missing from it. Returns `None` for a scan that cannot be judged.
    fn scan(&mut self, content: &[u8]) -> Option<ControlFlow<Missing>> {
        let frame = self.frame.as_mut()?;
        let scan = Scan::parse(content, frame)?;
        let mut bits = Bits {
            bytes: self.bytes,
            position: self.position,
            window: 0,
            count: 0,
        };
        let is_interleaved = scan.components.len() > 1;
        let [across, down] = match &*scan.components {
            [(index, ..)] => frame.components[*index].own,
            _ => frame.mcus,
        };
        let rows = if is_interleaved {
            frame.mcu_rows
        } else {
            // A row of blocks covers as many rows of pixels as its share of an MCU.
            frame.mcu_rows / frame.components[scan.components[0].0].blocks[1].max(1)
        };
        let mut run = 0;
        for mcu in 0..across * down {
            let is_boundary = self.restart > 0 && mcu > 0 && mcu % self.restart == 0;
            if is_boundary {
                run = 0;
            }
            let read = if is_boundary && bits.restart().is_none() {
                None
            } else {
                read_mcu(frame, &scan, &self.tables, &mut bits, mcu, across, &mut run)
            };
            if read.is_none() {
                let found = (mcu / across * rows).min(frame.height);
                let is_detail = frame.is_progressive && scan.band != [0, 0];
                return Some(ControlFlow::Break(if is_detail {
                    Missing::Details
                } else {
                    Missing::Rows {
                        found,
                        of: frame.height,
                    }
                }));
            }
        }
        for (index, ..) in &scan.components {
            for coefficient in scan.band[0]..=scan.band[1] {
                frame.components[*index].received[coefficient] = scan.bits[1];
            }
        }
        self.position = bits.position;
        Some(ControlFlow::Continue(()))
    }

    /// Returns what no scan had. Details are expected of a file without its end mark only, since a scan for each may be left out on purpose.
    fn absent(&self, is_cut: bool) -> Option<Missing> {
        let frame = self.frame.as_ref()?;
        let components = frame.components.iter();
        if components
            .clone()
            .any(|component| component.received[0] == u8::MAX)
        {
            return Some(Missing::Rows {
                found: 0,
                of: frame.height,
            });
        }
        let is_partial = frame.is_progressive
            && components
                .flat_map(|component| &component.received)
                .any(|bit| *bit != 0);
        (is_cut && is_partial).then_some(Missing::Details)
    }
}

#[cfg(test)]
mod tests {
    use image::codecs::jpeg::JpegEncoder;
    use proptest::prelude::*;

    use super::*;

    fn jpeg(width: u32, height: u32) -> Vec<u8> {
        let samples: Vec<u8> = (0..width * height * 3)
            .map(|index| (index * index / 7 % 251) as u8)
            .collect();
        let mut bytes = Vec::new();
        JpegEncoder::new_with_quality(&mut bytes, 90)
            .encode(&samples, width, height, image::ExtendedColorType::Rgb8)
            .expect("an ordinary picture");
        bytes
    }

    #[test]
    fn rows_are_counted_whatever_the_end_says() {
        let whole = jpeg(75, 93);
        assert_eq!(missing(&whole), None);
        let bare = &whole[..whole.len() - 2];
        assert_eq!(missing(bare), None, "only the end mark is missing");
        assert_eq!(missing(&[&whole, &b"a trailer"[..]].concat()), None);
        let half = [&whole[..whole.len() / 2], &[0xFF, 0xD9]].concat();
        let Some(Missing::Rows { found, of: 93 }) = missing(&half) else {
            panic!("half of the rows: {:?}", missing(&half));
        };
        assert!((16..80).contains(&found), "{found}");
        assert_eq!(missing(&whole[..whole.len() / 2]), missing(&half));
    }

    proptest! {
        /// Neither a cut nor a changed file causes a panic.
        #[test]
        fn damaged_files_do_not_panic(place in 0_usize..4000, value: u8, cut in 0_usize..4000) {
            let mut bytes = jpeg(40, 33);
            let length = bytes.len();
            bytes[place % length] = value;
            missing(&bytes);
            missing(&bytes[..cut % length]);
        }
    }
}
