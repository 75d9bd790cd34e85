//! Buffers in pooled memory: the memory of a dropped buffer is kept for the next buffer of its size, so that in the steady state a run
//! neither calls the allocator nor faults in new pages.

use std::collections::BTreeMap;
use std::fmt::{self, Debug, Formatter};
use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, PoisonError};

/// Smallest pooled size. The allocator reuses smaller blocks efficiently itself.
const MIN_POOLED: usize = 4096;
/// Free memory goes back to the allocator after this many other buffers were dropped.
const MAX_AGE: u64 = 1 << 15;

/// Values in a cache line.
const CACHE_LINE: usize = 16;

/// A slice of f32 values in pooled memory that starts at a cache line, so that no vector spans two lines. A buffer made from a `Vec` is
/// neither aligned nor pooled.
pub struct Buffer {
    /// The allocation; the buffer is `len` values from `first` on.
    memory: Vec<f32>,
    first: usize,
    len: usize,
    /// Whether the memory returns to the pool. That of a `Vec`, such as a weight from a file, has a size that no other buffer needs.
    is_pooled: bool,
}

impl Buffer {
    /// Returns an uninitialised buffer. Overwrite all values before reading any.
    pub fn uninit(len: usize) -> Self {
        let needed = len + CACHE_LINE;
        let is_pooled = needed >= MIN_POOLED;
        let memory = if is_pooled {
            let reused = pool(|pool| pool.take(needed));
            reused.unwrap_or_else(|| vec![0.0; needed.next_multiple_of(MIN_POOLED)])
        } else {
            vec![0.0; needed]
        };
        #[cfg(feature = "failpoints")]
        let memory = if super::vector::forced_lanes().is_some() {
            vec![f32::NAN; memory.len()]
        } else {
            memory
        };
        let first = memory
            .as_ptr()
            .align_offset(CACHE_LINE * size_of::<f32>())
            .min(CACHE_LINE);
        Self {
            memory,
            first,
            len,
            is_pooled,
        }
    }

    /// Returns a buffer of zeros.
    pub fn zeros(len: usize) -> Self {
        let mut buffer = Self::uninit(len);
        buffer.fill(0.0);
        buffer
    }
}

impl From<Vec<f32>> for Buffer {
    fn from(memory: Vec<f32>) -> Self {
        Self {
            first: 0,
            len: memory.len(),
            memory,
            is_pooled: false,
        }
    }
}

impl Clone for Buffer {
    fn clone(&self) -> Self {
        let mut copy = Self::uninit(self.len);
        copy.copy_from_slice(self);
        copy
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if self.is_pooled {
            let memory = std::mem::take(&mut self.memory);
            pool(|pool| pool.put(memory));
        }
    }
}

impl Deref for Buffer {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.memory[self.first..][..self.len]
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.memory[self.first..][..self.len]
    }
}

impl Debug for Buffer {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "Buffer({} values)", self.len)
    }
}

/// Memory of dropped buffers, by length.
#[derive(Debug, Default)]
struct Pool {
    /// Free memory, with the value of `returned` when it was returned.
    free: BTreeMap<usize, Vec<(u64, Vec<f32>)>>,
    /// How many times memory was returned.
    returned: u64,
}

impl Pool {
    const fn new() -> Self {
        Self {
            free: BTreeMap::new(),
            returned: 0,
        }
    }

    /// Takes memory of at least `len` values and little more. It takes what was returned last, which is the likeliest to be cached.
    fn take(&mut self, len: usize) -> Option<Vec<f32>> {
        let fits = self
            .free
            .range_mut(len..=len + len / 8 + MIN_POOLED)
            .find_map(|(_, free)| free.pop());
        if fits.is_none() {
            self.evict();
        }
        fits.map(|(_, memory)| memory)
    }

    fn put(&mut self, memory: Vec<f32>) {
        self.returned += 1;
        self.free
            .entry(memory.len())
            .or_default()
            .push((self.returned, memory));
    }

    /// Releases memory that was not reused while [`MAX_AGE`] other buffers were returned.
    fn evict(&mut self) {
        let returned = self.returned;
        self.free.retain(|_, free| {
            free.retain(|(at, _)| returned - at < MAX_AGE);
            !free.is_empty()
        });
    }
}

fn pool<R>(work: impl FnOnce(&mut Pool) -> R) -> R {
    static POOL: Mutex<Pool> = Mutex::new(Pool::new());
    work(&mut POOL.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Releases all memory in the pool to the allocator.
pub(super) fn trim() {
    let all = pool(|pool| std::mem::take(&mut pool.free));
    drop(all);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_reused_and_zeros_are_zeros() {
        let mut pool = Pool::new();
        pool.put(vec![7.0; 3 * MIN_POOLED]);
        assert!(
            pool.take(MIN_POOLED).is_none(),
            "it is three times too large"
        );
        assert_eq!(
            pool.take(2 * MIN_POOLED + 1).map(|memory| memory.len()),
            Some(3 * MIN_POOLED)
        );
        assert!(
            pool.take(2 * MIN_POOLED + 1).is_none(),
            "it was taken already"
        );
        Buffer::uninit(5 * MIN_POOLED).fill(3.0);
        assert!(Buffer::zeros(5 * MIN_POOLED).iter().all(|x| *x == 0.0));
    }

    #[test]
    fn unused_memory_is_released() {
        let mut pool = Pool::new();
        pool.put(vec![0.0; MIN_POOLED]);
        for _ in 0..MAX_AGE {
            pool.put(vec![0.0; 2 * MIN_POOLED]);
            pool.take(2 * MIN_POOLED).expect("it was just returned");
        }
        assert!(pool.take(9 * MIN_POOLED).is_none());
        assert!(pool.free.is_empty());
    }
}
