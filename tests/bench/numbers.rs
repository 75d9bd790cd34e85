//! Pseudorandom numbers for tests: the same in every run.

/// A generator with a fixed seed.
#[derive(Debug)]
pub(crate) struct Numbers(u64);

impl Numbers {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Returns a number in 0..1 (`SplitMix64`; Steele, Lea and Flood, 2014).
    pub(crate) fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((bits ^ (bits >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Returns approximately standard normal numbers: sums of twelve uniform numbers.
    pub(crate) fn normal(&mut self, len: usize) -> Vec<f32> {
        (0..len)
            .map(|_| ((0..12).map(|_| self.uniform()).sum::<f64>() - 6.0) as f32)
            .collect()
    }

    /// As [`Numbers::normal`], with another standard deviation.
    pub(crate) fn scaled(&mut self, len: usize, deviation: f32) -> Vec<f32> {
        self.normal(len)
            .into_iter()
            .map(|x| deviation * x)
            .collect()
    }
}
