//! Numbers in memory that is used again: a freed buffer waits for the next one of its size, so that in the steady state
//! neither the allocator nor the kernel (fresh pages) is asked.

use std::collections::BTreeMap;
use std::fmt::{self, Debug, Formatter};
use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, PoisonError};

/// Shorter buffers come straight from the allocator, which keeps them at hand itself.
const POOLED: usize = 4096;
/// Buffers freed after one that is still waiting when it is given back for good.
const PATIENCE: u64 = 1 << 15;

/// Numbers in a line of the cache.
const LINE: usize = 16;

/// f32 numbers that begin with a line of the cache, so that no vector lies in two lines, and whose memory is used again when it is
/// dropped. Neither is true of numbers that came from elsewhere.
pub struct Buffer {
    /// `len` numbers from `first` on, and others around them.
    numbers: Vec<f32>,
    first: usize,
    len: usize,
    /// Does the memory wait for the next buffer? What came from elsewhere, such as weights from a file, has sizes that nobody asks for again.
    stays: bool,
}

impl Buffer {
    /// Numbers of any value, for one who overwrites all of them.
    pub fn uninit(len: usize) -> Self {
        let whole = len + LINE;
        let waiting = if whole < POOLED {
            None
        } else {
            pool(|pool| pool.take(whole))
        };
        let numbers = waiting.unwrap_or_else(|| {
            vec![
                0.0;
                if whole < POOLED {
                    whole
                } else {
                    whole.next_multiple_of(POOLED)
                }
            ]
        });
        #[cfg(feature = "failpoints")]
        let numbers = if super::vector::lanes_to_stand_for().is_some() {
            vec![f32::NAN; numbers.len()]
        } else {
            numbers
        };
        let first = numbers
            .as_ptr()
            .align_offset(LINE * size_of::<f32>())
            .min(LINE);
        Self {
            numbers,
            first,
            len,
            stays: whole >= POOLED,
        }
    }

    /// Zeros.
    pub fn zeros(len: usize) -> Self {
        let mut buffer = Self::uninit(len);
        buffer.fill(0.0);
        buffer
    }
}

impl From<Vec<f32>> for Buffer {
    fn from(numbers: Vec<f32>) -> Self {
        Self {
            first: 0,
            len: numbers.len(),
            numbers,
            stays: false,
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
        if self.stays {
            let numbers = std::mem::take(&mut self.numbers);
            pool(|pool| pool.give(numbers));
        }
    }
}

impl Deref for Buffer {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.numbers[self.first..][..self.len]
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.numbers[self.first..][..self.len]
    }
}

impl Debug for Buffer {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "Buffer({} numbers)", self.len)
    }
}

/// Freed memory by its length.
#[derive(Debug, Default)]
struct Pool {
    /// The number of the giving back, and the memory.
    waiting: BTreeMap<usize, Vec<(u64, Vec<f32>)>>,
    given: u64,
}

impl Pool {
    const fn new() -> Self {
        Self {
            waiting: BTreeMap::new(),
            given: 0,
        }
    }

    /// Memory of at least `len` numbers and little more; what was given last is still in the caches.
    fn take(&mut self, len: usize) -> Option<Vec<f32>> {
        let fits = self
            .waiting
            .range_mut(len..=len + len / 8 + POOLED)
            .find_map(|(_, waiting)| waiting.pop());
        if fits.is_none() {
            self.forget(PATIENCE);
        }
        fits.map(|(_, numbers)| numbers)
    }

    fn give(&mut self, numbers: Vec<f32>) {
        self.given += 1;
        self.waiting
            .entry(numbers.len())
            .or_default()
            .push((self.given, numbers));
    }

    /// Frees what waits for longer than `patience` givings.
    fn forget(&mut self, patience: u64) {
        let given = self.given;
        self.waiting.retain(|_, waiting| {
            waiting.retain(|(at, _)| given - at < patience);
            !waiting.is_empty()
        });
    }
}

fn pool<R>(work: impl FnOnce(&mut Pool) -> R) -> R {
    static POOL: Mutex<Pool> = Mutex::new(Pool::new());
    work(&mut POOL.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Frees all memory that waits to be used again.
pub(super) fn trim() {
    let all = pool(|pool| std::mem::take(&mut pool.waiting));
    drop(all);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_used_again_and_zeros_are_zeros() {
        let mut pool = Pool::new();
        pool.give(vec![7.0; 3 * POOLED]);
        assert!(pool.take(POOLED).is_none(), "three times too large");
        assert_eq!(
            pool.take(2 * POOLED + 1).map(|numbers| numbers.len()),
            Some(3 * POOLED)
        );
        assert!(pool.take(2 * POOLED + 1).is_none(), "it was taken");
        Buffer::uninit(5 * POOLED).fill(3.0);
        assert!(Buffer::zeros(5 * POOLED).iter().all(|x| *x == 0.0));
    }

    #[test]
    fn what_waits_too_long_is_freed() {
        let mut pool = Pool::new();
        pool.give(vec![0.0; POOLED]);
        for _ in 0..PATIENCE {
            pool.give(vec![0.0; 2 * POOLED]);
            pool.take(2 * POOLED).expect("it was just given");
        }
        assert!(pool.take(9 * POOLED).is_none());
        assert!(pool.waiting.is_empty());
    }
}
