//! Pseudorandom numbers that are the same on every machine.

/// A generator with a fixed seed (`SplitMix64`; Steele, Lea and Flood, 2014).
#[derive(Debug, Clone)]
pub struct Numbers(u64);

impl Numbers {
    /// Creates a generator.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Returns the next 64 bits.
    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// Returns a number in 0..1.
    pub fn uniform(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Returns numbers of any precision from -`limit` to `limit`.
    pub fn spread(&mut self, len: usize, limit: f32) -> Vec<f32> {
        let number = |_| limit * (2.0 * self.uniform() - 1.0) as f32;
        (0..len).map(number).collect()
    }

    /// Returns odd multiples of `unit` from -127 to 127, which every format represents if `unit` is a power of two. None is zero. Fewer numbers are
    /// a prefix of more.
    pub fn multiples(&mut self, len: usize, unit: f32) -> Vec<f32> {
        let mut numbers = Vec::with_capacity(len + 7);
        while numbers.len() < len {
            let bytes = self.bits().to_le_bytes();
            numbers.extend(bytes.map(|byte| unit * f32::from(i16::from(byte >> 1) * 2 - 127)));
        }
        numbers.truncate(len);
        numbers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn multiples_are_exact_in_every_format_and_a_prefix_of_more() {
        let numbers = Numbers::new(3).multiples(1001, 1.0 / 64.0);
        assert_eq!(numbers[..7], Numbers::new(3).multiples(7, 1.0 / 64.0));
        for x in &numbers {
            assert_eq!(half::bf16::from_f32(*x).to_f32(), *x);
            assert_eq!(half::f16::from_f32(*x).to_f32(), *x);
            assert!(*x != 0.0 && x.abs() <= 127.0 / 64.0);
        }
        let mean = numbers.iter().sum::<f32>() / 1001.0;
        assert!(mean.abs() < 0.1, "{mean}");
    }

    #[test]
    fn spread_numbers_fill_their_range() {
        let numbers = Numbers::new(4).spread(1000, 2.0);
        let largest = numbers.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
        assert!((1.9..=2.0).contains(&largest), "{largest}");
    }
}
