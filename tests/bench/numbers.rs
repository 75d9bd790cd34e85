//! Numbers for tests that must be the same in every run.

/// Reproducible numbers of about the normal distribution.
#[derive(Debug)]
pub(crate) struct Numbers(u64);

impl Numbers {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// `SplitMix64` (Steele, Lea and Flood, 2014), in 0..1.
    pub(crate) fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((bits ^ (bits >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Sums of twelve uniform numbers, which have deviation 1.
    pub(crate) fn normal(&mut self, len: usize) -> Vec<f32> {
        (0..len)
            .map(|_| ((0..12).map(|_| self.uniform()).sum::<f64>() - 6.0) as f32)
            .collect()
    }

    /// The same with another deviation.
    pub(crate) fn scaled(&mut self, len: usize, deviation: f32) -> Vec<f32> {
        self.normal(len)
            .into_iter()
            .map(|x| deviation * x)
            .collect()
    }
}
