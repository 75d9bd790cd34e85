//! Copies from host to device.
//!
//! A copy from pageable host memory may or may not have read its source when the driver call
//! returns: most systems stage the bytes, others read them in place. Small writes therefore go
//! through page-locked memory, which is copied asynchronously by contract, and do not wait. Large
//! writes, such as weights, wait for their copy.

use std::ffi::c_void;
use std::ptr;
use std::sync::{Arc, Mutex};

use crate::kernels::cuda::driver::Address;
use crate::kernels::fault::DeviceFault;

use super::call::{CallFailure, call};
use super::context::Context;
use super::memory::locked;

/// Bytes of page-locked memory.
const RING: usize = 4 << 20;
/// Maximum bytes of a write through page-locked memory.
const SMALL: usize = 256 << 10;

/// Writes host bytes to the device.
#[derive(Debug)]
pub(super) struct Staging {
    context: Arc<Context>,
    ring: Mutex<Ring>,
}

/// Page-locked host memory, filled from start to end; it is reused once all copies from it are
/// done.
#[derive(Debug)]
struct Ring {
    start: *mut u8,
    used: usize,
}

// SAFETY: page-locked memory may be used from any thread, and this is its only owner.
unsafe impl Send for Ring {}

impl Staging {
    pub(super) fn new(context: Arc<Context>) -> Result<Self, CallFailure> {
        let mut start: *mut c_void = ptr::null_mut();
        // SAFETY: writes one pointer to that many bytes.
        unsafe { call!(driver, cuMemAllocHost_v2(&raw mut start, RING)) }?;
        Ok(Self {
            context,
            ring: Mutex::new(Ring {
                start: start.cast::<u8>(),
                used: 0,
            }),
        })
    }

    /// Copies the bytes. The source may be reused when this returns.
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
        // SAFETY: the range is inside the ring, and no pending copy reads it.
        let source = unsafe {
            let source = ring.start.add(ring.used);
            ptr::copy_nonoverlapping(bytes.as_ptr(), source, bytes.len());
            source
        };
        ring.used += bytes.len().next_multiple_of(64);
        Ok(self.copy(to, source, bytes.len())?)
    }

    fn copy(&self, to: Address, from: *const u8, bytes: usize) -> Result<(), CallFailure> {
        // SAFETY: the caller owns the bytes at `to`, and those at `from` live until the stream is
        // synchronised.
        unsafe {
            call!(
                driver,
                cuMemcpyHtoDAsync_v2(to.0, from.cast::<c_void>(), bytes, self.context.stream())
            )
        }
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if self.context.make_current().is_ok() {
            let _ = self.context.synchronise();
            // SAFETY: this is the only owner, and no copy reads it any more.
            let _ = unsafe {
                call!(
                    driver,
                    cuMemFreeHost(locked(&self.ring).start.cast::<c_void>())
                )
            };
        }
    }
}
