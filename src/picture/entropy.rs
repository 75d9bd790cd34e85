//! Reads the entropy-coded data of a JPEG without its pixels, to see whether all of it is in the file.
//!
//! Decoders fill missing parts with grey, and an end mark proves nothing: programs append one to files that were cut. So the blocks of every scan
//! are counted here (ISO/IEC 10918-1, annexes F and G: Huffman coding, sequential and progressive). Files with other processes are not judged.

use std::fmt;
use std::ops::ControlFlow;

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

/// A Huffman table.
#[derive(Debug, Clone)]
struct Codes {
    /// Length and symbol of the code that each byte starts with; length 0 for longer codes.
    short: Vec<(u8, u8)>,
    /// For each length, the first code, the index of its symbol, and the number of codes.
    lengths: [(u32, usize, u32); 17],
    symbols: Vec<u8>,
}

impl Codes {
    fn new(counts: &[u8], symbols: &[u8]) -> Option<Self> {
        let mut codes = Self {
            short: vec![(0, 0); 256],
            lengths: [(0, 0, 0); 17],
            symbols: symbols.to_vec(),
        };
        let (mut code, mut index) = (0_u32, 0);
        for (length, count) in (1..=16_u32).zip(counts) {
            let count = u32::from(*count);
            if code + count > 1 << length {
                return None;
            }
            codes.lengths[length as usize] = (code, index, count);
            for _ in 0..count {
                let symbol = *symbols.get(index)?;
                if length <= 8 {
                    let first = (code << (8 - length)) as usize;
                    codes.short[first..first + (1 << (8 - length))].fill((length as u8, symbol));
                }
                code += 1;
                index += 1;
            }
            code <<= 1;
        }
        Some(codes)
    }
}

/// The bits of one scan.
struct Bits<'a> {
    bytes: &'a [u8],
    position: usize,
    window: u64,
    count: u32,
}

impl Bits<'_> {
    /// Fetches bytes until at least 32 bits are there, or the next marker or the end comes.
    fn fill(&mut self) {
        while self.count <= 32 {
            let Some(byte) = self.bytes.get(self.position) else {
                return;
            };
            if *byte == 0xFF {
                match self.bytes.get(self.position + 1) {
                    Some(0) => self.position += 1,
                    _ => return,
                }
            }
            self.position += 1;
            self.window = self.window << 8 | u64::from(*byte);
            self.count += 8;
        }
    }

    fn take(&mut self, count: u32) -> Option<u32> {
        if self.count < count {
            self.fill();
            if self.count < count {
                return None;
            }
        }
        self.count -= count;
        Some((self.window >> self.count) as u32 & ((1_u64 << count) - 1) as u32)
    }

    fn symbol(&mut self, codes: &Codes) -> Option<u8> {
        if self.count < 16 {
            self.fill();
        }
        if self.count >= 8 {
            let (length, symbol) = codes.short[(self.window >> (self.count - 8)) as usize & 0xFF];
            if length > 0 {
                self.count -= u32::from(length);
                return Some(symbol);
            }
        }
        let mut code = 0;
        for length in 1..=16 {
            code = code << 1 | self.take(1)?;
            let (first, index, count) = codes.lengths[length];
            if code >= first && code - first < count {
                return codes.symbols.get(index + (code - first) as usize).copied();
            }
        }
        None
    }

    /// Goes on behind the restart marker that must come here.
    fn restart(&mut self) -> Option<()> {
        (self.window, self.count) = (0, 0);
        while self.bytes.get(self.position..self.position + 2)? == [0xFF, 0xFF] {
            self.position += 1;
        }
        if !matches!(
            self.bytes.get(self.position..self.position + 2)?,
            [0xFF, 0xD0..=0xD7]
        ) {
            return None;
        }
        self.position += 2;
        Some(())
    }
}

/// A component of the frame.
#[derive(Debug, Clone, Default)]
struct Component {
    id: u8,
    /// Blocks of an MCU, across and down.
    blocks: [usize; 2],
    /// Blocks of the component in a scan of its own, across and down.
    own: [usize; 2],
    /// Blocks across with the padding of interleaved scans.
    stride: usize,
    /// For each block of a progressive frame, which coefficients are not zero.
    nonzero: Vec<u64>,
    /// For each coefficient, the lowest bit that was received; 255 for none.
    received: Vec<u8>,
}

#[derive(Debug, Clone, Default)]
struct Frame {
    is_progressive: bool,
    height: usize,
    /// MCUs across and down.
    mcus: [usize; 2],
    /// Rows of pixels in an MCU.
    mcu_rows: usize,
    components: Vec<Component>,
}

/// The parameters of a scan.
struct Scan {
    /// For each component, its index in the frame and its tables for DC and AC.
    components: Vec<(usize, usize, usize)>,
    /// First and last coefficient.
    band: [usize; 2],
    /// Bit before and now.
    bits: [u8; 2],
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

impl Frame {
    fn parse(content: &[u8], is_progressive: bool) -> Option<Self> {
        let [8, _, _, _, _, count, list @ ..] = content else {
            return None;
        };
        let (height, width) = (
            usize::from(word(content, 1)?),
            usize::from(word(content, 3)?),
        );
        let (list, _) = list.as_chunks::<3>();
        let list = list.get(..usize::from(*count))?;
        if height == 0 || width == 0 || !(1..=MAX_COMPONENTS).contains(&list.len()) {
            return None;
        }
        let sampling =
            |[_, factors, _]: &[u8; 3]| [usize::from(factors >> 4), usize::from(factors & 15)];
        if list
            .iter()
            .flat_map(sampling)
            .any(|factor| !(1..=4).contains(&factor))
        {
            return None;
        }
        let largest = |axis: usize| list.iter().map(|one| sampling(one)[axis]).max();
        let most = [largest(0)?, largest(1)?];
        let mcus = [width.div_ceil(8 * most[0]), height.div_ceil(8 * most[1])];
        if mcus[0] * mcus[1] > MAX_MCUS {
            return None;
        }
        let components = list.iter().map(|one| {
            let blocks = sampling(one);
            let own =
                |size: usize, axis: usize| (size * blocks[axis]).div_ceil(most[axis]).div_ceil(8);
            let stride = mcus[0] * blocks[0];
            Component {
                id: one[0],
                blocks,
                own: [own(width, 0), own(height, 1)],
                stride,
                nonzero: if is_progressive {
                    vec![0; stride * mcus[1] * blocks[1]]
                } else {
                    Vec::new()
                },
                received: vec![u8::MAX; 64],
            }
        });
        Some(Self {
            is_progressive,
            height,
            mcus,
            mcu_rows: 8 * most[1],
            components: components.collect(),
        })
    }
}

impl Scan {
    fn parse(content: &[u8], frame: &Frame) -> Option<Self> {
        let (count, rest) = content.split_first()?;
        let (list, rest) = rest.split_at_checked(2 * usize::from(*count))?;
        let [first, last, approximation] = *rest.first_chunk::<3>()?;
        let (list, _) = list.as_chunks::<2>();
        let components = list.iter().map(|[id, tables]| {
            let index = frame
                .components
                .iter()
                .position(|component| component.id == *id)?;
            let table = |bits: u8| usize::from(bits).min(3);
            Some((index, table(tables >> 4), table(tables & 15)))
        });
        let scan = Self {
            components: components.collect::<Option<Vec<_>>>()?,
            band: if frame.is_progressive {
                [usize::from(first), usize::from(last)]
            } else {
                [0, 63]
            },
            bits: if frame.is_progressive {
                [approximation >> 4, approximation & 15]
            } else {
                [0, 0]
            },
        };
        let is_valid = !scan.components.is_empty()
            && scan.band[0] <= scan.band[1]
            && scan.band[1] < 64
            && (!frame.is_progressive || (scan.band[0] == 0) == (scan.band[1] == 0))
            && (!frame.is_progressive || scan.band[0] == 0 || scan.components.len() == 1);
        is_valid.then_some(scan)
    }
}

/// Reads the blocks of one MCU. `run` is the number of blocks whose band has ended.
fn read_mcu(
    frame: &mut Frame,
    scan: &Scan,
    tables: &[[Option<Codes>; 4]; 2],
    bits: &mut Bits,
    mcu: usize,
    across: usize,
    run: &mut u32,
) -> Option<()> {
    let is_alone = scan.components.len() == 1;
    for (index, dc, ac) in &scan.components {
        let component = &mut frame.components[*index];
        let [wide, high] = if is_alone { [1, 1] } else { component.blocks };
        for block in 0..wide * high {
            let (column, row) = (
                mcu % across * wide + block % wide,
                mcu / across * high + block / wide,
            );
            if !frame.is_progressive {
                read_sequential(bits, tables[0][*dc].as_ref()?, tables[1][*ac].as_ref()?)?;
                continue;
            }
            match (scan.band[0], scan.bits[0]) {
                (0, 0) => {
                    let size = bits.symbol(tables[0][*dc].as_ref()?)?;
                    skip(bits, size)?;
                }
                (0, _) => {
                    bits.take(1)?;
                }
                (_, before) => {
                    let known = component.nonzero.get_mut(row * component.stride + column)?;
                    let codes = tables[1][*ac].as_ref()?;
                    if before == 0 {
                        read_band(bits, codes, scan.band, known, run)?;
                    } else {
                        refine_band(bits, codes, scan.band, known, run)?;
                    }
                }
            }
        }
    }
    Some(())
}

/// Takes the bits of a value of this size.
fn skip(bits: &mut Bits, size: u8) -> Option<()> {
    (size <= 16)
        .then(|| bits.take(u32::from(size)))?
        .map(|_| ())
}

/// Reads a block of a sequential frame.
fn read_sequential(bits: &mut Bits, dc: &Codes, ac: &Codes) -> Option<()> {
    let size = bits.symbol(dc)?;
    skip(bits, size)?;
    let mut at = 1;
    while at < 64 {
        let symbol = bits.symbol(ac)?;
        match (symbol >> 4, symbol & 15) {
            (15, 0) => at += 16,
            (_, 0) => break,
            (zeros, size) => {
                at += usize::from(zeros) + 1;
                skip(bits, size)?;
            }
        }
    }
    Some(())
}

/// Reads the first bits of a band of coefficients.
fn read_band(
    bits: &mut Bits,
    ac: &Codes,
    band: [usize; 2],
    known: &mut u64,
    run: &mut u32,
) -> Option<()> {
    if *run > 0 {
        *run -= 1;
        return Some(());
    }
    let mut at = band[0];
    while at <= band[1] {
        let symbol = bits.symbol(ac)?;
        match (symbol >> 4, symbol & 15) {
            (15, 0) => at += 16,
            (exponent, 0) => {
                *run = (1 << exponent) - 1 + bits.take(u32::from(exponent))?;
                break;
            }
            (zeros, size) => {
                at += usize::from(zeros);
                skip(bits, size)?;
                *known |= 1_u64.checked_shl(at as u32).unwrap_or(0);
                at += 1;
            }
        }
    }
    Some(())
}

/// Reads one more bit of a band of coefficients.
fn refine_band(
    bits: &mut Bits,
    ac: &Codes,
    band: [usize; 2],
    known: &mut u64,
    run: &mut u32,
) -> Option<()> {
    let mut at = band[0];
    if *run == 0 {
        while at <= band[1] {
            let symbol = bits.symbol(ac)?;
            let (mut zeros, is_new) = (symbol >> 4, symbol & 15 != 0);
            if is_new {
                bits.take(1)?;
            } else if zeros < 15 {
                *run = (1 << zeros) + bits.take(u32::from(zeros))?;
                break;
            }
            while at <= band[1] {
                if *known >> at & 1 == 1 {
                    bits.take(1)?;
                } else if zeros == 0 {
                    if is_new {
                        *known |= 1 << at;
                    }
                    at += 1;
                    break;
                } else {
                    zeros -= 1;
                }
                at += 1;
            }
        }
    }
    if *run > 0 {
        for coefficient in at..=band[1] {
            if *known >> coefficient & 1 == 1 {
                bits.take(1)?;
            }
        }
        *run -= 1;
    }
    Some(())
}

fn word(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
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
