//! The output of a convolution, and the terms that are added to it.

#![expect(
    clippy::inline_always,
    reason = "a loop has the instruction set of the function it is inlined into"
)]

use pulp::Simd;

use super::super::shared::SharedSlice;
use super::super::vector::{UnsafeWithSimd, load, store};
use crate::kernels::Added;

/// Returns the product of all sizes.
pub(super) fn size(sizes: &[usize]) -> usize {
    sizes
        .iter()
        .try_fold(1, |product: usize, size| product.checked_mul(*size))
        .expect("pictures fit into memory")
}

/// Pictures (batch, height, width, channels) that several tasks write to, each to its own pixels or channels.
#[derive(Debug, Clone, Copy)]
pub(super) struct Target<'a> {
    y: SharedSlice<'a>,
    pub(super) channels: usize,
    pub(super) pixels: usize,
    added: Added<'a, [f32]>,
}

impl<'a> Target<'a> {
    pub(super) fn new(
        y: &'a mut [f32],
        [batch, height, width, channels]: [usize; 4],
        added: Added<'a, [f32]>,
    ) -> Self {
        let (pixels, len) = (
            size(&[height, width]),
            size(&[batch, height, width, channels]),
        );
        assert_eq!(y.len(), len, "the output has the shape's size");
        assert!(
            added.bias.is_none_or(|bias| bias.len() == channels),
            "the bias has a value per channel"
        );
        assert!(
            added
                .per_picture
                .is_none_or(|rows| rows.len() == batch * channels),
            "a row per picture"
        );
        assert!(
            added.residual.is_none_or(|residual| residual.len() == len),
            "the residual has the output's size"
        );
        Self {
            y: SharedSlice::new(y),
            channels,
            pixels,
            added,
        }
    }

    /// Returns the values of all pictures.
    pub(super) fn len(&self) -> usize {
        self.y.len()
    }

    /// Adds the terms to the first `count` lanes of `value`, and stores them from channel `channel` of pixel `pixel` of picture `picture` on.
    ///
    /// # Safety
    /// These channels exist, and nothing else uses them.
    #[inline(always)]
    pub(super) unsafe fn store<S: Simd>(
        &self,
        simd: S,
        [picture, pixel, channel]: [usize; 3],
        count: usize,
        mut value: S::f32s,
    ) {
        let start = (picture * self.pixels + pixel) * self.channels + channel;
        debug_assert!(
            channel + count <= self.channels && start + count <= self.len(),
            "inside the pictures"
        );
        // SAFETY: the caller guarantees that the channels exist; `new` checked the sizes of all terms.
        unsafe {
            if let Some(bias) = self.added.bias {
                value = simd.add_f32s(value, load(simd, bias.as_ptr().add(channel), count));
            }
            if let Some(rows) = self.added.per_picture {
                value = simd.add_f32s(
                    value,
                    load(
                        simd,
                        rows.as_ptr().add(picture * self.channels + channel),
                        count,
                    ),
                );
            }
            if let Some(residual) = self.added.residual {
                value = simd.add_f32s(value, load(simd, residual.as_ptr().add(start), count));
            }
            store(simd, self.y.ptr(start), count, value);
        }
    }
}

/// Stores rows of sums: row r goes to channels `channel..channel + channels` of pixel `first + r * step`.
///
/// Requirements: nothing else uses these channels of these pixels.
#[derive(Debug, Clone, Copy)]
pub(super) struct StoreRows<'a, 'b> {
    pub(super) target: &'a Target<'b>,
    pub(super) from: &'a [f32],
    pub(super) from_stride: usize,
    pub(super) count: usize,
    pub(super) picture: usize,
    pub(super) first: usize,
    pub(super) step: usize,
    pub(super) channel: usize,
    pub(super) channels: usize,
}

impl UnsafeWithSimd for StoreRows<'_, '_> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self, simd: S) {
        assert!(
            self.count == 0
                || (self.count - 1) * self.from_stride + self.channels <= self.from.len(),
            "the rows lie inside `from`"
        );
        assert!(
            self.count == 0 || self.first + (self.count - 1) * self.step < self.target.pixels,
            "the pixels exist"
        );
        assert!(
            self.channel + self.channels <= self.target.channels,
            "the channels exist"
        );
        assert!(
            (self.picture + 1) * self.target.pixels * self.target.channels <= self.target.len(),
            "the picture exists"
        );
        for row in 0..self.count {
            for channel in (0..self.channels).step_by(S::F32_LANES) {
                let count = S::F32_LANES.min(self.channels - channel);
                let place = [
                    self.picture,
                    self.first + row * self.step,
                    self.channel + channel,
                ];
                // SAFETY: the rows and the pixels exist, as asserted above.
                unsafe {
                    let value = load(
                        simd,
                        self.from.as_ptr().add(row * self.from_stride + channel),
                        count,
                    );
                    self.target.store(simd, place, count, value);
                }
            }
        }
    }
}
