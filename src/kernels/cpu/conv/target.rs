//! Where a convolution's numbers go, and what they join on the way.

#![expect(
    clippy::inline_always,
    reason = "a loop has the instruction set of the function it is inlined into"
)]

use pulp::Simd;

use super::super::shared::Shared;
use super::super::vector::{Promised, load, store};
use crate::kernels::Added;

/// The product of all sizes.
pub(super) fn size(sizes: &[usize]) -> usize {
    sizes
        .iter()
        .try_fold(1, |product: usize, size| product.checked_mul(*size))
        .expect("pictures fit into memory")
}

/// Pictures (batch, height, width, channels) that several tasks write at once, each its own pixels or channels.
#[derive(Debug, Clone, Copy)]
pub(super) struct Target<'a> {
    y: Shared<'a>,
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
            "a bias for every channel"
        );
        assert!(
            added
                .per_picture
                .is_none_or(|rows| rows.len() == batch * channels),
            "a row for every picture"
        );
        assert!(
            added.residual.is_none_or(|residual| residual.len() == len),
            "the residual has the output's size"
        );
        Self {
            y: Shared::new(y),
            channels,
            pixels,
            added,
        }
    }

    /// Numbers of all pictures.
    pub(super) fn len(&self) -> usize {
        self.y.len()
    }

    /// Stores the first `count` numbers of a vector at channels `channel..` of pixel `pixel` of picture `picture`, with what they join.
    ///
    /// # Safety
    /// The place lies inside the pictures, and nobody else uses it.
    #[inline(always)]
    pub(super) unsafe fn join<S: Simd>(
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
        // SAFETY: the caller's promise, and `new` compared all sizes.
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
            store(simd, self.y.at(start), count, value);
        }
    }
}

/// Rows of numbers on their way to some channels of a line of pixels: row `row` belongs to pixel `first + row * step`.
///
/// Its maker promises that nobody else uses those channels of those pixels.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rows<'a, 'b> {
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

impl Promised for Rows<'_, '_> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self, simd: S) {
        assert!(
            self.count == 0
                || (self.count - 1) * self.from_stride + self.channels <= self.from.len(),
            "all rows are there"
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
                // SAFETY: both lie inside, as asserted above.
                unsafe {
                    let value = load(
                        simd,
                        self.from.as_ptr().add(row * self.from_stride + channel),
                        count,
                    );
                    self.target.join(simd, place, count, value);
                }
            }
        }
    }
}
