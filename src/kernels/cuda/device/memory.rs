//! The GPU's memory, and the ways into it and out of it.

use std::ffi::c_void;
use std::ptr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cudarc::driver::sys::{
    CUdevice_attribute as Attribute, CUdeviceptr, CUmemPool_attribute as PoolAttribute,
    CUmemoryPool,
};

use crate::kernels::cuda::driver::{Address, Memory as Bytes};
use crate::kernels::fault::DeviceFault;

use super::call::{Failure, ask};
use super::context::Context;

/// `CUDA_ERROR_OUT_OF_MEMORY`
const OUT_OF_MEMORY: u32 = 2;

/// Memory of a context.
#[derive(Debug)]
pub(super) struct Memory {
    context: Arc<Context>,
    /// The driver's pool for the stream's allocations; none where the GPU or its system has none (some virtual GPUs).
    pool: Option<Pool>,
    scratch: Mutex<Scratch>,
}

#[derive(Debug, Clone, Copy)]
struct Pool(CUmemoryPool);

// SAFETY: a handle of the driver, which may be used from any thread.
unsafe impl Send for Pool {}
// SAFETY: likewise.
unsafe impl Sync for Pool {}

/// Memory for one call's intermediate results. Calls follow each other in the stream, so all share it. It grows and never shrinks.
#[derive(Debug)]
pub(super) struct Scratch {
    address: Address,
    bytes: usize,
}

impl Scratch {
    const NONE: Self = Self {
        address: Address::NONE,
        bytes: 0,
    };

    /// Where it is; for work that is asked for before the guard goes.
    pub(super) fn address(&self) -> Address {
        self.address
    }
}

impl Memory {
    pub(super) fn new(context: Arc<Context>) -> Result<Self, Failure> {
        let pool = match context.attribute(Attribute::CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED)? {
            0 => None,
            _ => Some(Pool::of(&context)?),
        };
        Ok(Self {
            context,
            pool,
            scratch: Mutex::new(Scratch::NONE),
        })
    }

    /// Memory for `bytes`, at least one. Aligned to 256, as all of CUDA's allocations are (CUDA C++ Programming Guide, "Device Memory
    /// Accesses").
    pub(super) fn allocate(&self, bytes: usize) -> Result<Address, DeviceFault> {
        match self.take(bytes) {
            Err(failure) if failure.code == OUT_OF_MEMORY => {}
            taken => return Ok(taken?),
        }
        // The pool keeps what was given back, in pieces that may all be too small. Once they are the system's again, they can be joined.
        self.trim()?;
        match self.take(bytes) {
            Err(failure) if failure.code == OUT_OF_MEMORY => {
                let Bytes { free, total } = self.bytes();
                Err(DeviceFault::OutOfMemory {
                    need: bytes as u64,
                    free,
                    total,
                })
            }
            taken => Ok(taken?),
        }
    }

    fn take(&self, bytes: usize) -> Result<Address, Failure> {
        let mut address: CUdeviceptr = 0;
        let bytes = bytes.max(1);
        // SAFETY: both write one address.
        unsafe {
            match self.pool {
                Some(_) => ask!(
                    driver,
                    cuMemAllocAsync(&raw mut address, bytes, self.context.stream())
                )?,
                None => ask!(driver, cuMemAlloc_v2(&raw mut address, bytes))?,
            }
        }
        Ok(Address(address))
    }

    /// Gives memory back once the work that was asked for before is done.
    pub(super) fn free(&self, address: Address) {
        if address == Address::NONE {
            return;
        }
        // What fails here has failed before: all of it is reported by the next call that can.
        // SAFETY: the address came from `allocate`, and the caller gives it up.
        let _ = unsafe {
            match self.pool {
                Some(_) => ask!(driver, cuMemFreeAsync(address.0, self.context.stream())),
                // Not in the stream's order, so the work is waited for.
                None => self
                    .context
                    .synchronise()
                    .and_then(|()| ask!(driver, cuMemFree_v2(address.0))),
            }
        };
    }

    /// Shared memory of at least `bytes`. Work on it is to be asked for before the guard goes.
    pub(super) fn scratch(&self, bytes: usize) -> Result<MutexGuard<'_, Scratch>, DeviceFault> {
        let mut scratch = locked(&self.scratch);
        if scratch.bytes < bytes {
            let bytes = bytes.next_multiple_of(1 << 20);
            let larger = self.allocate(bytes)?;
            let smaller = std::mem::replace(&mut scratch.address, larger);
            scratch.bytes = bytes;
            self.free(smaller);
        }
        Ok(scratch)
    }

    /// Gives the pool's unused memory back to the system.
    fn trim(&self) -> Result<(), Failure> {
        self.context.synchronise()?;
        match self.pool {
            // SAFETY: the pool lives as long as the context.
            Some(pool) => unsafe { ask!(driver, cuMemPoolTrimTo(pool.0, 0)) },
            None => Ok(()),
        }
    }

    /// Free is what the system has and what the pool holds without using it; zeros where the driver does not say.
    pub(super) fn bytes(&self) -> Bytes {
        let (mut free, mut total) = (0, 0);
        // SAFETY: writes two numbers.
        if unsafe { ask!(driver, cuMemGetInfo_v2(&raw mut free, &raw mut total)) }.is_err() {
            return Bytes { free: 0, total: 0 };
        }
        let pooled = self.pool.map_or(0, |pool| {
            let reserved = pool.attribute(PoolAttribute::CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT);
            reserved.saturating_sub(pool.attribute(PoolAttribute::CU_MEMPOOL_ATTR_USED_MEM_CURRENT))
        });
        Bytes {
            free: free as u64 + pooled,
            total: total as u64,
        }
    }

    /// Zeros.
    pub(super) fn clear(&self, to: Address, bytes: usize) -> Result<(), DeviceFault> {
        if bytes > 0 {
            // SAFETY: the caller owns so many bytes there.
            unsafe {
                ask!(
                    driver,
                    cuMemsetD8Async(to.0, 0, bytes, self.context.stream())
                )
            }?;
        }
        Ok(())
    }

    /// Device to device.
    pub(super) fn copy(&self, from: Address, to: Address, bytes: usize) -> Result<(), DeviceFault> {
        if bytes > 0 {
            // SAFETY: the caller owns so many bytes at both places.
            unsafe {
                ask!(
                    driver,
                    cuMemcpyDtoDAsync_v2(to.0, from.0, bytes, self.context.stream())
                )
            }?;
        }
        Ok(())
    }

    /// Device to host; returns when the bytes are there.
    pub(super) fn read(&self, from: Address, bytes: &mut [u8]) -> Result<(), DeviceFault> {
        if !bytes.is_empty() {
            // SAFETY: the caller owns so many bytes there; `bytes` is borrowed until the stream has been waited for.
            unsafe {
                ask!(
                    driver,
                    cuMemcpyDtoHAsync_v2(
                        bytes.as_mut_ptr().cast::<c_void>(),
                        from.0,
                        bytes.len(),
                        self.context.stream()
                    )
                )
            }?;
        }
        Ok(self.context.synchronise()?)
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        if self.context.enter().is_err() {
            return;
        }
        let scratch = std::mem::replace(&mut *locked(&self.scratch), Scratch::NONE);
        self.free(scratch.address);
        // The pool is the GPU's and outlives us where someone else holds the primary context.
        let _ = self.trim();
    }
}

impl Pool {
    /// The pool that the stream's allocations come from, told to keep what it gets back: otherwise each wait for the stream would give it
    /// to the system, and the next allocation would fetch it again.
    fn of(context: &Context) -> Result<Self, Failure> {
        let mut pool = ptr::null_mut();
        // SAFETY: writes one handle.
        unsafe {
            ask!(
                driver,
                cuDeviceGetDefaultMemPool(&raw mut pool, context.device())
            )
        }?;
        let mut threshold = u64::MAX;
        let attribute = PoolAttribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD;
        // SAFETY: the attribute is a 64-bit number.
        unsafe {
            ask!(
                driver,
                cuMemPoolSetAttribute(pool, attribute, (&raw mut threshold).cast::<c_void>())
            )
        }?;
        Ok(Self(pool))
    }

    /// A number of bytes; 0 where the driver does not say.
    fn attribute(self, attribute: PoolAttribute) -> u64 {
        let mut bytes = 0_u64;
        // SAFETY: the attributes that are asked for are 64-bit numbers.
        match unsafe {
            ask!(
                driver,
                cuMemPoolGetAttribute(self.0, attribute, (&raw mut bytes).cast::<c_void>())
            )
        } {
            Ok(()) => bytes,
            Err(_) => 0,
        }
    }
}

/// What a mutex guards. Its state is whole between any two calls, so a thread that panicked with it has left no harm.
pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
