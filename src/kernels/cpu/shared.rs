//! A slice that several tasks write to.

#![allow(unsafe_code)]

use std::marker::PhantomData;

/// A mutable slice, of which every task writes a part that no other task uses.
#[derive(Debug, Clone, Copy)]
pub(super) struct SharedSlice<'a> {
    data: *mut f32,
    len: usize,
    borrow: PhantomData<&'a mut [f32]>,
}

// SAFETY: it is written only through `slice_mut` and `ptr`, whose callers guarantee that the parts of different tasks do not overlap.
unsafe impl Send for SharedSlice<'_> {}
// SAFETY: as above.
unsafe impl Sync for SharedSlice<'_> {}

impl<'a> SharedSlice<'a> {
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

    /// Returns a pointer to the value at `offset`. Who writes through it must ensure that the value exists and that no other task uses it.
    #[inline]
    pub(super) fn ptr(&self, offset: usize) -> *mut f32 {
        self.data.wrapping_add(offset)
    }

    /// Returns the `len` values from `first` on.
    ///
    /// # Panics
    /// When they are not all inside the slice.
    ///
    /// # Safety
    /// No other slice or pointer into this range is in use.
    #[inline]
    pub(super) unsafe fn slice_mut(&self, first: usize, len: usize) -> &'a mut [f32] {
        assert!(
            first <= self.len && len <= self.len - first,
            "the range lies inside the slice"
        );
        // SAFETY: the range is inside the slice that is borrowed for 'a, and the caller guarantees that it is not in use elsewhere.
        unsafe { std::slice::from_raw_parts_mut(self.data.add(first), len) }
    }
}
