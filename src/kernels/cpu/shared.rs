//! Numbers that several tasks write at once.

#![allow(unsafe_code)]

use std::marker::PhantomData;

/// A buffer of which every task writes numbers of its own.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shared<'a> {
    data: *mut f32,
    len: usize,
    borrow: PhantomData<&'a mut [f32]>,
}

// SAFETY: it is only written through `run` and pointers of `at`, whose users promise that their tasks' numbers do not overlap.
unsafe impl Send for Shared<'_> {}
// SAFETY: as above.
unsafe impl Sync for Shared<'_> {}

impl<'a> Shared<'a> {
    pub(super) fn new(data: &'a mut [f32]) -> Self {
        Self {
            data: data.as_mut_ptr(),
            len: data.len(),
            borrow: PhantomData,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Where number `offset` lies. Whoever writes there promises that it exists and that no other task uses it.
    #[inline]
    pub(super) fn at(&self, offset: usize) -> *mut f32 {
        self.data.wrapping_add(offset)
    }

    /// `len` numbers from `first` on.
    ///
    /// # Safety
    /// No other run that is in use overlaps with this one.
    #[inline]
    pub(super) unsafe fn run(&self, first: usize, len: usize) -> &'a mut [f32] {
        assert!(
            first <= self.len && len <= self.len - first,
            "a run lies inside its buffer"
        );
        // SAFETY: inside the buffer that was borrowed for 'a, and the caller promises that nobody else uses it.
        unsafe { std::slice::from_raw_parts_mut(self.data.add(first), len) }
    }
}
