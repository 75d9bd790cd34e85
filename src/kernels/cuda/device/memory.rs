//! Device memory: allocation and transfers.

use std::ffi::c_void;
use std::ptr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cudarc::driver::sys::{
    CUdevice_attribute as Attribute, CUdeviceptr, CUmemPool_attribute as PoolAttribute,
    CUmemoryPool,
};

use crate::kernels::cuda::driver::{Address, MemoryInfo};
use crate::kernels::fault::DeviceFault;

use super::call::{CallFailure, FailureKind, LibraryFailure, call, lost, refused};
use super::context::Context;

/// Free bytes below which a failed call of a library is ascribed to short memory. Loading a library's
/// kernels takes tens of megabytes at a time.
const SHORT_BYTES: u64 = 256 << 20;

/// Allocates memory in a context.
#[derive(Debug)]
pub(super) struct DeviceMemory {
    context: Arc<Context>,
    /// The driver's pool for stream-ordered allocation; `None` where pools are not supported, as on
    /// some virtual GPUs.
    pool: Option<DriverPool>,
    workspace: Mutex<Workspace>,
}

#[derive(Debug, Clone, Copy)]
struct DriverPool(CUmemoryPool);

// SAFETY: driver handles may be used from any thread.
unsafe impl Send for DriverPool {}
// SAFETY: likewise.
unsafe impl Sync for DriverPool {}

/// Workspace for the intermediate results of one call. Calls follow each other on the stream, so
/// all share it. It only grows.
#[derive(Debug, Default)]
pub(super) struct Workspace(Option<Arc<WorkspaceMemory>>);

/// The memory of a workspace, which graphs share.
#[derive(Debug)]
pub(super) struct WorkspaceMemory {
    context: Arc<Context>,
    pool: Option<DriverPool>,
    address: Address,
    bytes: usize,
}

impl Workspace {
    /// Returns its address. Operations on it must be submitted before the guard is dropped.
    pub(super) fn address(&self) -> Address {
        self.0
            .as_ref()
            .map_or(Address::NULL, |memory| memory.address)
    }
}

impl Drop for WorkspaceMemory {
    fn drop(&mut self) {
        if self.context.make_current().is_ok() {
            free(&self.context, self.pool, self.address);
        }
    }
}

/// Frees memory once the operations submitted so far are done.
fn free(context: &Context, pool: Option<DriverPool>, address: Address) {
    if address == Address::NULL {
        return;
    }
    // An error here has been reported before, or the next call reports it.
    // SAFETY: the address was allocated from this pool, and the caller does not use it again.
    let _ = unsafe {
        match pool {
            Some(_) => call!(driver, cuMemFreeAsync(address.0, context.stream())),
            // Not stream-ordered, so wait for the operations first.
            None => context
                .synchronise()
                .and_then(|()| call!(driver, cuMemFree_v2(address.0))),
        }
    };
}

impl DeviceMemory {
    pub(super) fn new(context: Arc<Context>) -> Result<Self, CallFailure> {
        let pool = match context.attribute(Attribute::CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED)? {
            0 => None,
            _ => Some(DriverPool::of(&context)?),
        };
        Ok(Self {
            context,
            pool,
            workspace: Mutex::default(),
        })
    }

    /// Allocates `bytes`, at least one. CUDA aligns all allocations to 256 bytes (CUDA C++
    /// Programming Guide, "Device Memory Accesses").
    pub(super) fn allocate(&self, bytes: usize) -> Result<Address, DeviceFault> {
        match self.take(bytes) {
            Err(failure) if failure.kind() == FailureKind::OutOfMemory => {}
            taken => return Ok(taken?),
        }
        // The pool may hold enough memory in blocks that are too small. Once they are returned to
        // the system, they can be merged.
        self.trim_pool()?;
        match self.take(bytes) {
            Err(failure) if failure.kind() == FailureKind::OutOfMemory => {
                let MemoryInfo { free, total } = self.bytes();
                Err(DeviceFault::OutOfMemory {
                    need: bytes as u64,
                    free,
                    total,
                })
            }
            taken => Ok(taken?),
        }
    }

    fn take(&self, bytes: usize) -> Result<Address, CallFailure> {
        let mut address: CUdeviceptr = 0;
        let bytes = bytes.max(1);
        // SAFETY: both write one address.
        unsafe {
            match self.pool {
                Some(_) => call!(
                    driver,
                    cuMemAllocAsync(&raw mut address, bytes, self.context.stream())
                )?,
                None => call!(driver, cuMemAlloc_v2(&raw mut address, bytes))?,
            }
        }
        Ok(Address(address))
    }

    /// Frees memory once the operations submitted so far are done.
    pub(super) fn free(&self, address: Address) {
        free(&self.context, self.pool, address);
    }

    /// Returns a workspace of at least `bytes`. Operations on it must be submitted before the guard
    /// is dropped.
    pub(super) fn workspace(&self, bytes: usize) -> Result<MutexGuard<'_, Workspace>, DeviceFault> {
        let mut workspace = locked(&self.workspace);
        if workspace.0.as_ref().map_or(0, |memory| memory.bytes) < bytes {
            if self.context.is_capturing() {
                return Err(refused(
                    "cuMemAllocAsync",
                    "a larger workspace is needed while operations are captured",
                ));
            }
            let bytes = bytes.next_multiple_of(1 << 20);
            let address = self.allocate(bytes)?;
            workspace.0 = Some(Arc::new(WorkspaceMemory {
                context: Arc::clone(&self.context),
                pool: self.pool,
                address,
                bytes,
            }));
        }
        Ok(workspace)
    }

    /// Returns the memory of the workspace, if there is one.
    pub(super) fn workspace_memory(&self) -> Option<Arc<WorkspaceMemory>> {
        locked(&self.workspace).0.clone()
    }

    /// Returns the workspace, unless a graph uses it, and the pool's unused memory to the system, once the
    /// operations submitted so far are done.
    pub(super) fn trim(&self) -> Result<(), DeviceFault> {
        locked(&self.workspace).0.take();
        Ok(self.trim_pool()?)
    }

    /// Returns the pool's unused memory to the system.
    fn trim_pool(&self) -> Result<(), CallFailure> {
        self.context.synchronise()?;
        match self.pool {
            // SAFETY: the pool lives as long as the context.
            Some(pool) => unsafe { call!(driver, cuMemPoolTrimTo(pool.0, 0)) },
            None => Ok(()),
        }
    }

    /// Runs a call of a library, which allocates memory past the pool, for example for the kernels
    /// that it loads. If it fails as it does when memory is short, returns the pool's unused memory
    /// to the system and runs it once more. If that fails too, decides by the free memory whether
    /// memory is short or the GPU is unusable. While the stream captures, runs it once, and no failure
    /// says that the library does not support the operation.
    pub(super) fn with_retry<T>(
        &self,
        call: impl Fn() -> Result<T, LibraryFailure>,
    ) -> Result<T, LibraryFailure> {
        if self.context.is_capturing() {
            return call().map_err(LibraryFailure::of_capture);
        }
        match call() {
            Err(LibraryFailure::Call(_)) => {}
            result => return result,
        }
        self.trim_pool()?;
        call().map_err(|failure| match failure {
            LibraryFailure::Call(failure) => LibraryFailure::Fault(self.fault_of(failure)),
            failure => failure,
        })
    }

    fn fault_of(&self, failure: CallFailure) -> DeviceFault {
        let MemoryInfo { free, total } = self.bytes();
        let is_short = match failure.kind() {
            FailureKind::OutOfMemory => true,
            FailureKind::Execution => total > 0 && free < SHORT_BYTES,
            FailureKind::Lost | FailureKind::Unsupported => false,
        };
        if is_short {
            return DeviceFault::OutOfMemory {
                need: 0,
                free,
                total,
            };
        }
        lost(failure.call, failure.reason)
    }

    /// Returns the free and the total memory. Unused memory of the pool counts as free. Zeros if
    /// the driver reports an error.
    pub(super) fn bytes(&self) -> MemoryInfo {
        let (mut free, mut total) = (0, 0);
        // SAFETY: writes two integers.
        if unsafe { call!(driver, cuMemGetInfo_v2(&raw mut free, &raw mut total)) }.is_err() {
            return MemoryInfo { free: 0, total: 0 };
        }
        let pooled = self.pool.map_or(0, |pool| {
            let reserved = pool.attribute(PoolAttribute::CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT);
            reserved.saturating_sub(pool.attribute(PoolAttribute::CU_MEMPOOL_ATTR_USED_MEM_CURRENT))
        });
        MemoryInfo {
            free: free as u64 + pooled,
            total: total as u64,
        }
    }

    /// Sets bytes to zero.
    pub(super) fn clear(&self, to: Address, bytes: usize) -> Result<(), DeviceFault> {
        if bytes > 0 {
            // SAFETY: the caller owns these bytes.
            unsafe {
                call!(
                    driver,
                    cuMemsetD8Async(to.0, 0, bytes, self.context.stream())
                )
            }?;
        }
        Ok(())
    }

    /// Copies from device to device.
    pub(super) fn copy(&self, from: Address, to: Address, bytes: usize) -> Result<(), DeviceFault> {
        if bytes > 0 {
            // SAFETY: the caller owns the bytes of both ranges.
            unsafe {
                call!(
                    driver,
                    cuMemcpyDtoDAsync_v2(to.0, from.0, bytes, self.context.stream())
                )
            }?;
        }
        Ok(())
    }

    /// Copies from device to host. Returns when the bytes have arrived.
    pub(super) fn read(&self, from: Address, bytes: &mut [u8]) -> Result<(), DeviceFault> {
        if !bytes.is_empty() {
            // SAFETY: the caller owns the device bytes; `bytes` is borrowed until the stream is
            // synchronised.
            unsafe {
                call!(
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

impl Drop for DeviceMemory {
    fn drop(&mut self) {
        if self.context.make_current().is_err() {
            return;
        }
        // The pool belongs to the GPU and outlives this context if other code retains the primary
        // context.
        let _ = self.trim();
    }
}

impl DriverPool {
    /// Returns the pool of stream-ordered allocations, configured to keep freed memory. By default
    /// every synchronisation would return it to the system, and the next allocation would request
    /// it again.
    fn of(context: &Context) -> Result<Self, CallFailure> {
        let mut pool = ptr::null_mut();
        // SAFETY: writes one handle.
        unsafe {
            call!(
                driver,
                cuDeviceGetDefaultMemPool(&raw mut pool, context.device())
            )
        }?;
        let mut threshold = u64::MAX;
        let attribute = PoolAttribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD;
        // SAFETY: the attribute is a 64-bit integer.
        unsafe {
            call!(
                driver,
                cuMemPoolSetAttribute(pool, attribute, (&raw mut threshold).cast::<c_void>())
            )
        }?;
        Ok(Self(pool))
    }

    /// Returns an attribute in bytes; 0 if the driver reports an error.
    fn attribute(self, attribute: PoolAttribute) -> u64 {
        let mut bytes = 0_u64;
        // SAFETY: these attributes are 64-bit integers.
        match unsafe {
            call!(
                driver,
                cuMemPoolGetAttribute(self.0, attribute, (&raw mut bytes).cast::<c_void>())
            )
        } {
            Ok(()) => bytes,
            Err(_) => 0,
        }
    }
}

/// Locks a mutex. Its state is consistent between calls, so a poisoned lock is harmless.
pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
