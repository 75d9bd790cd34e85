//! The run lengths of Label Studio's brush: RGBA samples of the picture, packed as thi.ng's `rle-pack` does.

/// A stream of bits, the highest of each byte first.
struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    fn read(&mut self, count: usize) -> Option<u32> {
        let mut value = 0_u32;
        for _ in 0..count {
            let byte = self.bytes.get(self.at / 8)?;
            value = value << 1 | u32::from(byte >> (7 - self.at % 8) & 1);
            self.at += 1;
        }
        Some(value)
    }
}

/// Decodes samples; `None` if there are not `count` of them.
///
/// A stream has its number of samples (32 bits), their size less one (5 bits), and four sizes less one of lengths (4 bits each). Then runs
/// follow: whether one value is repeated (1 bit), which size the length has (2 bits), the length less one, and the value or the values.
pub(super) fn samples(bytes: &[u8], count: usize) -> Option<Vec<u8>> {
    let mut bits = Bits { bytes, at: 0 };
    if bits.read(32)? as usize != count {
        return None;
    }
    let word = bits.read(5)? as usize + 1;
    let mut sizes = [0; 4];
    for size in &mut sizes {
        *size = bits.read(4)? as usize + 1;
    }
    let mut samples = Vec::with_capacity(count);
    while samples.len() < count {
        let is_run = bits.read(1)? == 1;
        let size = sizes[bits.read(2)? as usize];
        let length = bits.read(size)? as usize + 1;
        if samples.len() + length > count {
            return None;
        }
        if is_run {
            let value = bits.read(word)? as u8;
            samples.resize(samples.len() + length, value);
        } else {
            for _ in 0..length {
                samples.push(bits.read(word)? as u8);
            }
        }
    }
    Some(samples)
}
