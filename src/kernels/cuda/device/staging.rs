//! Host to device.
//!
//! A copy from ordinary host memory may or may not have read its source when the driver returns: it stages the bytes on most systems, and
//! reads them in place where the GPU sees the host's memory. So small writes go through page-locked memory of our own, which copies read
//! asynchronously by contract, and wait for nothing. Large writes, which are the weights, wait for their copy.

use std::ffi::c_void;
use std::ptr;
use std::sync::{Arc, Mutex};

use crate::kernels::cuda::driver::Address;
use crate::kernels::fault::DeviceFault;

use super::call::{Failure, ask};
use super::context::Context;
use super::memory::locked;

/// Bytes of page-locked memory.
const RING: usize = 4 << 20;
/// The most that goes through it at once.
const SMALL: usize = 256 << 10;

/// The way in.
#[derive(Debug)]
pub(super) struct Staging {
    context: Arc<Context>,
    ring: Mutex<Ring>,
}

/// Page-locked host memory that is filled from its start to its end, and again when all copies from it are done.
#[derive(Debug)]
struct Ring {
    start: *mut u8,
    used: usize,
}

// SAFETY: page-locked memory may be used from any thread, and this is its only owner.
unsafe impl Send for Ring {}

impl Staging {
    pub(super) fn new(context: Arc<Context>) -> Result<Self, Failure> {
        let mut start: *mut c_void = ptr::null_mut();
        // SAFETY: writes one pointer to so many bytes.
        unsafe { ask!(driver, cuMemAllocHost_v2(&raw mut start, RING)) }?;
        Ok(Self {
            context,
            ring: Mutex::new(Ring {
                start: start.cast::<u8>(),
                used: 0,
            }),
        })
    }

    /// Copies the bytes; they may go once this returns.
    pub(super) fn write(&self, to: Address, bytes: &[u8]) -> Result<(), DeviceFault> {
        if bytes.is_empty() {
            return Ok(());
        }
        if bytes.len() > SMALL {
            self.copy(to, bytes.as_ptr(), bytes.len())?;
            return Ok(self.context.synchronise()?);
        }
        let mut ring = locked(&self.ring);
        if ring.used + bytes.len() > RING {
            self.context.synchronise()?;
            ring.used = 0;
        }
        // SAFETY: both are inside the ring, and no copy that is still to be done reads these bytes.
        let source = unsafe {
            let source = ring.start.add(ring.used);
            ptr::copy_nonoverlapping(bytes.as_ptr(), source, bytes.len());
            source
        };
        ring.used += bytes.len().next_multiple_of(64);
        Ok(self.copy(to, source, bytes.len())?)
    }

    fn copy(&self, to: Address, from: *const u8, bytes: usize) -> Result<(), Failure> {
        // SAFETY: the caller owns so many bytes at `to`, and those at `from` stay until the stream has been waited for.
        unsafe {
            ask!(
                driver,
                cuMemcpyHtoDAsync_v2(to.0, from.cast::<c_void>(), bytes, self.context.stream())
            )
        }
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if self.context.enter().is_ok() {
            let _ = self.context.synchronise();
            // SAFETY: ours; no copy reads it any more.
            let _ = unsafe {
                ask!(
                    driver,
                    cuMemFreeHost(locked(&self.ring).start.cast::<c_void>())
                )
            };
        }
    }
}
