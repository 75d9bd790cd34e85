//! Sums that a device computes.

/// A sum that the host may read later ([`Backend::sum_value`](super::Backend::sum_value)), so that it need not wait where the sum is computed.
#[derive(Debug)]
pub enum Sum<Buffer> {
    /// A number on the host.
    Known(f64),
    /// A number on the device, times a factor.
    OnDevice {
        /// The bits of an f64, as two f32: the lower 32 bits first.
        bits: Buffer,
        /// The factor.
        factor: f64,
    },
}

impl<Buffer> Sum<Buffer> {
    /// Returns the sum with a copy of its buffer, which `copy` makes.
    #[must_use]
    pub fn copied(&self, copy: impl FnOnce(&Buffer) -> Buffer) -> Self {
        match self {
            Self::Known(value) => Self::Known(*value),
            Self::OnDevice { bits, factor } => Self::OnDevice {
                bits: copy(bits),
                factor: *factor,
            },
        }
    }

    /// Returns the sum; `download` copies a buffer to the host.
    pub(in crate::kernels) fn value(&self, download: impl FnOnce(&Buffer) -> Vec<f32>) -> f64 {
        match self {
            Self::Known(value) => *value,
            Self::OnDevice { bits, factor } => {
                let halves = download(bits);
                let halves = halves.iter().rev().map(|half| u64::from(half.to_bits()));
                f64::from_bits(halves.fold(0, |bits, half| bits << 32 | half)) * factor
            }
        }
    }
}
