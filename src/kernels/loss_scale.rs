//! The loss scale of f16, shared by all handles to a device.

use std::sync::atomic::{AtomicI32, Ordering};

/// log2 of the initial loss scale. f16 represents 2^-24 to 2^15.
const INITIAL_LOG2: i32 = 5;
/// log2 of the smallest loss scale. If gradients overflow even then, the scale is not the cause.
const MIN_LOG2: i32 = -10;

/// The power of two by which gradients are multiplied so that they do not underflow in f16.
#[derive(Debug)]
pub(super) struct LossScale(AtomicI32);

impl Default for LossScale {
    fn default() -> Self {
        Self(AtomicI32::new(INITIAL_LOG2))
    }
}

impl LossScale {
    /// Returns the loss scale.
    pub(super) fn get(&self) -> f32 {
        (self.0.load(Ordering::Relaxed) as f32).exp2()
    }

    /// Resets the loss scale to its initial value.
    pub(super) fn restore(&self) {
        self.0.store(INITIAL_LOG2, Ordering::Relaxed);
    }

    /// Halves the loss scale. Returns `false` if it is at its minimum.
    pub(super) fn lower(&self) -> bool {
        self.0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |scale| {
                (scale > MIN_LOG2).then_some(scale - 1)
            })
            .is_ok()
    }
}
