//! What only candle's CUDA devices have: a stream for all threads, the driver's memory pool, and its figures.

#![expect(unsafe_code, reason = "the driver's memory pool has no safe interface")]

use candle_core::cuda_backend::WrapErr;
use candle_core::cuda_backend::cudarc::driver::result::{device, mem_pool};
use candle_core::cuda_backend::cudarc::driver::sys::{
    CUmemPool_attribute, CUmemoryPool, cuDriverGetVersion,
};
use candle_core::{CudaDevice, Device, Result};

use super::failure::MemoryState;

/// Opens an NVIDIA GPU.
pub(super) fn open(index: usize) -> Result<Device> {
    // candle's default stream is another one in every thread. This one is the same in all threads, so operations run in the order in which
    // they were submitted.
    let opened = CudaDevice::new_with_stream(index)?;
    // SAFETY: Events order several streams; there is only one.
    unsafe { opened.disable_event_tracking() };
    let pool = pool(&opened)?;
    let mut all = u64::MAX;
    // SAFETY: The attribute is a `u64`. It keeps freed memory in the pool; `trim` releases it.
    unsafe {
        mem_pool::set_attribute(
            pool,
            CUmemPool_attribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD,
            (&raw mut all).cast(),
        )
    }
    .w()?;
    Ok(Device::Cuda(opened))
}

/// Returns the memory pool of asynchronous allocations.
fn pool(opened: &CudaDevice) -> Result<CUmemoryPool> {
    let stream = opened.cuda_stream();
    stream.context().bind_to_thread().w()?;
    // SAFETY: The context is that of an open device.
    unsafe { device::get_default_mem_pool(stream.context().cu_device()) }.w()
}

/// Returns the pool's unused memory to the driver.
pub(super) fn trim(opened: &CudaDevice) {
    if let Ok(pool) = pool(opened) {
        // SAFETY: The pool is the device's. A failure leaves the memory where it was.
        let _ = unsafe { mem_pool::trim_to(pool, 0) };
    }
}

/// Returns the peak of allocated bytes.
pub(super) fn peak_bytes(opened: &CudaDevice) -> Option<u64> {
    let pool = pool(opened).ok()?;
    let mut peak = 0u64;
    // SAFETY: The attribute is a `u64`.
    unsafe {
        mem_pool::get_attribute(
            pool,
            CUmemPool_attribute::CU_MEMPOOL_ATTR_USED_MEM_HIGH,
            (&raw mut peak).cast(),
        )
    }
    .ok()?;
    Some(peak)
}

/// Returns free and total memory.
pub(super) fn memory(opened: &CudaDevice) -> Option<MemoryState> {
    let (free, total) = opened.cuda_stream().context().mem_get_info().ok()?;
    let [free, total] = [free, total].map(|bytes| bytes as u64);
    Some(MemoryState { free, total })
}

/// Returns the newest version of CUDA that the driver supports.
pub(super) fn driver() -> String {
    let mut version = 0;
    // SAFETY: Writes one integer; the driver was loaded when the device was opened.
    match unsafe { cuDriverGetVersion(&raw mut version) }.result() {
        Ok(()) => format!("driver for CUDA {}.{}", version / 1000, version % 1000 / 10),
        Err(error) => format!("driver of unknown version: {error}"),
    }
}

/// Returns the GPU's name and compute capability.
pub(super) fn description(opened: &CudaDevice) -> String {
    let stream = opened.cuda_stream();
    let context = stream.context();
    let name = context.name().unwrap_or_else(|_| "unknown GPU".into());
    match context.compute_capability() {
        Ok((major, minor)) => format!("cuda {name} {major}.{minor}"),
        Err(_) => format!("cuda {name}"),
    }
}
