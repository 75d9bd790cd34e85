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
