//! PNG files, chunk by chunk.

use png::{BitDepth, ColorType};

pub(crate) const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";

/// The chunks of a PNG. Checksums are computed when it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Png(pub(crate) Vec<(Vec<u8>, Vec<u8>)>);

impl Png {
    /// Encodes samples; those of 16 bits are big-endian pairs.
    pub(crate) fn encode(
        width: usize,
        height: usize,
        color: ColorType,
        depth: BitDepth,
        data: &[u8],
    ) -> Self {
        Self::encode_with(width, height, color, depth, data, None)
    }

    /// Encodes indices into a palette of RGB colours with an alpha each.
    pub(crate) fn encode_palette(
        width: usize,
        height: usize,
        data: &[u8],
        palette: &[u8],
        alphas: &[u8],
    ) -> Self {
        Self::encode_with(
            width,
            height,
            ColorType::Indexed,
            BitDepth::Eight,
            data,
            Some((palette, alphas)),
        )
    }

    fn encode_with(
        width: usize,
        height: usize,
        color: ColorType,
        depth: BitDepth,
        data: &[u8],
        palette: Option<(&[u8], &[u8])>,
    ) -> Self {
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, width as u32, height as u32);
        encoder.set_color(color);
        encoder.set_depth(depth);
        if let Some((colours, alphas)) = palette {
            encoder.set_palette(colours);
            encoder.set_trns(alphas);
        }
        let mut writer = encoder.write_header().unwrap();
        writer.write_image_data(data).unwrap();
        writer.finish().unwrap();
        Self::parse(&bytes)
    }

    /// Splits a valid file into its chunks.
    pub(crate) fn parse(bytes: &[u8]) -> Self {
        let mut rest = bytes.strip_prefix(SIGNATURE).unwrap();
        let mut chunks = Vec::new();
        while !rest.is_empty() {
            let length = u32::from_be_bytes(rest[..4].try_into().unwrap()) as usize;
            chunks.push((rest[4..8].to_vec(), rest[8..8 + length].to_vec()));
            rest = &rest[12 + length..];
        }
        Self(chunks)
    }

    /// Inserts a chunk after the header.
    pub(crate) fn with(mut self, name: &[u8; 4], content: &[u8]) -> Self {
        self.0.insert(1, (name.to_vec(), content.to_vec()));
        self
    }

    /// Returns the contents of all chunks with this name.
    pub(crate) fn all(&self, name: &[u8; 4]) -> Vec<&[u8]> {
        self.0
            .iter()
            .filter(|(there, _)| there == name)
            .map(|(_, content)| content.as_slice())
            .collect()
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = SIGNATURE.to_vec();
        for (name, content) in &self.0 {
            bytes.extend((content.len() as u32).to_be_bytes());
            bytes.extend(name.iter().chain(content));
            bytes.extend(crc(name.iter().chain(content)).to_be_bytes());
        }
        bytes
    }
}

/// Returns the content of IHDR for 8-bit samples without interlacing.
pub(crate) fn header(width: usize, height: usize, color: ColorType) -> Vec<u8> {
    let mut header = (width as u32).to_be_bytes().to_vec();
    header.extend((height as u32).to_be_bytes());
    header.extend([8, color as u8, 0, 0, 0]);
    header
}

/// Returns a picture of zeros of any size without storing its pixels.
pub(crate) fn zeros(width: usize, height: usize, color: ColorType) -> Png {
    let row = 1 + width * color.samples(); // filter byte 0 and samples
    let name = |name: &[u8; 4]| name.to_vec();
    Png(vec![
        (name(b"IHDR"), header(width, height, color)),
        (name(b"IDAT"), deflated_zeros((row * height).max(1))),
        (name(b"IEND"), Vec::new()),
    ])
}

/// Returns the content of iCCP: a name, the method, the compressed profile.
pub(crate) fn iccp(packed: &[u8]) -> Vec<u8> {
    [b"p\0\0", packed].concat()
}

/// Returns a zlib stream that unpacks to `length` zeros, about 159 times its size: one zero, then copies of 258 bytes each
/// (RFC 1951, 3.2.6: length 258 is code 285, eight bits; distance 1 is code 0, five bits).
pub(crate) fn deflated_zeros(length: usize) -> Vec<u8> {
    let mut bits = Bits {
        bytes: vec![0x78, 0x01],
        free: 0,
    };
    bits.push(0b011, 3); // the last block, fixed codes
    let (copies, single) = ((length - 1) / 258, 1 + (length - 1) % 258);
    for _ in 0..single {
        bits.push(0b0000_1100, 8); // literal 0 is 00110000, first bit first
    }
    for _ in 0..copies {
        bits.push(0b0_0000_1010_0011, 13); // 11000101 and 00000, first bit first
    }
    bits.push(0, 7); // end of block
    // Adler-32 of zeros: the first sum stays 1, and the second counts the bytes.
    let mut bytes = bits.bytes;
    bytes.extend(((length % 65_521) as u16).to_be_bytes());
    bytes.extend([0, 1]);
    bytes
}

struct Bits {
    bytes: Vec<u8>,
    /// Unused bits of the last byte.
    free: u32,
}

impl Bits {
    fn push(&mut self, mut bits: u32, mut count: u32) {
        while count > 0 {
            if self.free == 0 {
                self.bytes.push(0);
                self.free = 8;
            }
            let taken = count.min(self.free);
            let last = self.bytes.len() - 1;
            self.bytes[last] |= ((bits & ((1 << taken) - 1)) << (8 - self.free)) as u8;
            (bits, count, self.free) = (bits >> taken, count - taken, self.free - taken);
        }
    }
}

/// Returns the CRC-32 (ISO 3309) of a PNG chunk.
pub(crate) fn crc<'a>(bytes: impl Iterator<Item = &'a u8>) -> u32 {
    let step = |crc: u32, _| {
        if crc & 1 == 1 {
            (crc >> 1) ^ 0xEDB8_8320
        } else {
            crc >> 1
        }
    };
    !bytes.fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), step))
}

/// Decodes the header and the samples as they are stored.
pub(crate) fn decode(bytes: &[u8]) -> (png::Info<'static>, Vec<u8>) {
    let mut reader = png::Decoder::new(std::io::Cursor::new(bytes))
        .read_info()
        .unwrap();
    let mut data = vec![0; reader.output_buffer_size().unwrap()];
    reader.next_frame(&mut data).unwrap();
    (reader.info().clone(), data)
}
