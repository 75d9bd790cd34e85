//! Huffman tables, and the bits of a scan that they decode.

/// A Huffman table.
#[derive(Debug, Clone)]
pub(super) struct Codes {
    /// Length and symbol of the code that each byte starts with; length 0 for longer codes.
    pub(super) short: Vec<(u8, u8)>,
    /// For each length, the first code, the index of its symbol, and the number of codes.
    pub(super) lengths: [(u32, usize, u32); 17],
    pub(super) symbols: Vec<u8>,
}

impl Codes {
    pub(super) fn new(counts: &[u8], symbols: &[u8]) -> Option<Self> {
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
pub(super) struct Bits<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) position: usize,
    pub(super) window: u64,
    pub(super) count: u32,
}

impl Bits<'_> {
    /// Fetches bytes until at least 32 bits are there, or the next marker or the end comes.
    pub(super) fn fill(&mut self) {
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

    pub(super) fn take(&mut self, count: u32) -> Option<u32> {
        if self.count < count {
            self.fill();
            if self.count < count {
                return None;
            }
        }
        self.count -= count;
        Some((self.window >> self.count) as u32 & ((1_u64 << count) - 1) as u32)
    }

    pub(super) fn symbol(&mut self, codes: &Codes) -> Option<u8> {
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
    pub(super) fn restart(&mut self) -> Option<()> {
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
