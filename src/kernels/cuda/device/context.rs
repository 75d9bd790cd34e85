//! The GPU's CUDA context, and the stream on which all operations run.

use std::cell::Cell;
use std::ffi::{CStr, c_char};
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{OnceLock, PoisonError, RwLock, RwLockReadGuard};

use cudarc::driver::sys::{
    CUcontext, CUdevice, CUdevice_attribute as Attribute, CUstream, CUstream_flags,
};

use super::call::{CallFailure, call};
use super::library::NvidiaLibrary;
use super::{DeviceUnavailable, MINIMUM_CAPABILITY, MINIMUM_DRIVER};
use crate::kernels::fault::DeviceFault;

/// `CUDA_ERROR_NO_DEVICE`.
const NO_DEVICE: u32 = 100;
/// `CUDA_ERROR_NOT_READY`: operations are pending on the stream.
const NOT_READY: u32 = 600;

/// The primary context of a GPU, and a stream in it.
#[derive(Debug)]
pub(super) struct Context {
    device: CUdevice,
    handle: CUcontext,
    stream: CUstream,
    /// Identifies the context in [`CURRENT`]. The driver may reuse a handle after its context is
    /// released.
    id: u64,
    /// Calls share it; a capture has it alone.
    calls: RwLock<()>,
    capturing: AtomicBool,
    /// The fault that made the GPU unusable. Every later call fails with it.
    lost: OnceLock<DeviceFault>,
}

// SAFETY: driver handles may be used from any thread.
unsafe impl Send for Context {}
// SAFETY: driver functions may be called from several threads at once.
unsafe impl Sync for Context {}

thread_local! {
    /// Id of the context that this thread made current last; 0 is none.
    static CURRENT: Cell<u64> = const { Cell::new(0) };
}

static NEXT: AtomicU64 = AtomicU64::new(1);

/// Loads and initialises the driver. Returns the number of GPUs, at least one.
pub(super) fn start() -> Result<usize, DeviceUnavailable> {
    NvidiaLibrary::Driver.find()?;
    // SAFETY: the driver is loaded, as for every call below.
    match unsafe { call!(driver, cuInit(0)) } {
        Err(failure) if failure.code == NO_DEVICE => return Err(DeviceUnavailable::NoDevice),
        started => started?,
    }
    let found = driver_version()?;
    if found < MINIMUM_DRIVER {
        return Err(DeviceUnavailable::DriverTooOld {
            found,
            needed: MINIMUM_DRIVER,
        });
    }
    let mut count = 0;
    // SAFETY: the driver is initialised; writes one integer.
    unsafe { call!(driver, cuDeviceGetCount(&raw mut count)) }?;
    match usize::try_from(count) {
        Ok(count) if count > 0 => Ok(count),
        _ => Err(DeviceUnavailable::NoDevice),
    }
}

/// Returns the newest CUDA version that the driver supports; 12020 is 12.2.
pub(super) fn driver_version() -> Result<u32, CallFailure> {
    let mut version = 0;
    // SAFETY: writes one integer.
    unsafe { call!(driver, cuDriverGetVersion(&raw mut version)) }?;
    Ok(version.unsigned_abs())
}

impl Context {
    /// Opens GPU `index` of those that [`start`] counted.
    pub(super) fn open(index: usize) -> Result<Self, DeviceUnavailable> {
        let count = start()?;
        let ordinal = i32::try_from(index)
            .ok()
            .filter(|_| index < count)
            .ok_or(DeviceUnavailable::NoSuchDevice { index, count })?;
        let mut device = 0;
        // SAFETY: the driver is initialised; writes one handle.
        unsafe { call!(driver, cuDeviceGet(&raw mut device, ordinal)) }?;
        let found = capability(device)?;
        if found < MINIMUM_CAPABILITY {
            return Err(DeviceUnavailable::DeviceTooOld {
                name: name(device)?,
                found,
                needed: MINIMUM_CAPABILITY,
            });
        }
        let mut handle = ptr::null_mut();
        // SAFETY: writes one handle, which is released on drop.
        unsafe { call!(driver, cuDevicePrimaryCtxRetain(&raw mut handle, device)) }?;
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        let mut context = Self {
            device,
            handle,
            stream: ptr::null_mut(),
            id,
            calls: RwLock::new(()),
            capturing: AtomicBool::new(false),
            lost: OnceLock::new(),
        };
        context.make_current()?;
        // Non-blocking: no synchronisation with the legacy default stream, which other code of the
        // process may use.
        // SAFETY: the context is current on this thread; writes one handle.
        unsafe {
            call!(
                driver,
                cuStreamCreate(
                    &raw mut context.stream,
                    CUstream_flags::CU_STREAM_NON_BLOCKING as u32
                )
            )
        }?;
        Ok(context)
    }

    /// Makes the context current on this thread, which every later call requires. Cheap if it is
    /// current already. Other code that makes another context current must restore this one.
    pub(super) fn make_current(&self) -> Result<(), CallFailure> {
        if CURRENT.get() != self.id {
            // SAFETY: the handle lives as long as `self`.
            unsafe { call!(driver, cuCtxSetCurrent(self.handle)) }?;
            CURRENT.set(self.id);
        }
        Ok(())
    }

    /// Returns the stream on which all operations run.
    pub(super) fn stream(&self) -> CUstream {
        self.stream
    }

    /// Returns the GPU.
    pub(super) fn device(&self) -> CUdevice {
        self.device
    }

    /// Waits until all operations are done.
    pub(super) fn synchronise(&self) -> Result<(), CallFailure> {
        // SAFETY: the stream lives as long as `self`.
        unsafe { call!(driver, cuStreamSynchronize(self.stream)) }
    }

    /// Runs `work`, which uses the stream, with the context current on this thread. Waits for a capture of
    /// another thread first. After a fault that makes the GPU unusable, every call fails with that fault:
    /// the driver would report it for whichever call comes next.
    pub(super) fn guarded<T>(
        &self,
        work: impl FnOnce() -> Result<T, DeviceFault>,
    ) -> Result<T, DeviceFault> {
        let _shared = self.shared();
        self.unless_lost(work)
    }

    /// As [`Context::guarded`], for a capture: waits for the calls of other threads, and keeps them out.
    pub(super) fn guarded_alone<T>(
        &self,
        work: impl FnOnce() -> Result<T, DeviceFault>,
    ) -> Result<T, DeviceFault> {
        let _alone = self.calls.write().unwrap_or_else(PoisonError::into_inner);
        self.unless_lost(work)
    }

    /// Waits for a capture of another thread. Calls that use the stream hold the guard.
    pub(super) fn shared(&self) -> RwLockReadGuard<'_, ()> {
        self.calls.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn unless_lost<T>(
        &self,
        work: impl FnOnce() -> Result<T, DeviceFault>,
    ) -> Result<T, DeviceFault> {
        if let Some(fault) = self.lost.get() {
            return Err(fault.clone());
        }
        self.make_current()?;
        work().inspect_err(|fault| {
            if matches!(fault, DeviceFault::Lost { .. }) && self.is_lost() {
                let _ = self.lost.set(fault.clone());
            }
        })
    }

    /// Notes whether the stream captures operations instead of running them.
    pub(super) fn set_capturing(&self, capturing: bool) {
        self.capturing.store(capturing, Ordering::Relaxed);
    }

    /// Returns whether the stream captures operations. Only the capturing thread makes calls then.
    pub(super) fn is_capturing(&self) -> bool {
        self.capturing.load(Ordering::Relaxed)
    }

    /// Returns whether the GPU is unusable, so that every later call fails.
    pub(super) fn is_lost(&self) -> bool {
        // SAFETY: the stream lives as long as `self`.
        match unsafe { call!(driver, cuStreamQuery(self.stream)) } {
            Ok(()) => false,
            Err(failure) => failure.code != NOT_READY,
        }
    }

    /// Returns an attribute of the GPU.
    pub(super) fn attribute(&self, attribute: Attribute) -> Result<u32, CallFailure> {
        device_attribute(self.device, attribute)
    }

    /// Returns the GPU's name.
    pub(super) fn name(&self) -> Result<String, CallFailure> {
        name(self.device)
    }

    /// Returns the GPU's compute capability, major and minor.
    pub(super) fn capability(&self) -> Result<(u32, u32), CallFailure> {
        capability(self.device)
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        // An error here has been reported before, or there is no caller left to report it to.
        let entered = self.make_current().is_ok();
        if entered && !self.stream.is_null() {
            let _ = self.synchronise();
            // SAFETY: this is the only owner, and the stream is not used again.
            let _ = unsafe { call!(driver, cuStreamDestroy_v2(self.stream)) };
        }
        // SAFETY: releases what `open` retained. Other users of the primary context keep it.
        let _ = unsafe { call!(driver, cuDevicePrimaryCtxRelease_v2(self.device)) };
        CURRENT.set(0);
    }
}

fn device_attribute(device: CUdevice, attribute: Attribute) -> Result<u32, CallFailure> {
    let mut value = 0;
    // SAFETY: writes one integer.
    unsafe {
        call!(
            driver,
            cuDeviceGetAttribute(&raw mut value, attribute, device)
        )
    }?;
    Ok(u32::try_from(value).unwrap_or(0))
}

fn capability(device: CUdevice) -> Result<(u32, u32), CallFailure> {
    Ok((
        device_attribute(
            device,
            Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR,
        )?,
        device_attribute(
            device,
            Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR,
        )?,
    ))
}

fn name(device: CUdevice) -> Result<String, CallFailure> {
    let mut name: [c_char; 256] = [0; 256];
    // SAFETY: writes at most that many bytes, including the terminating zero. The last byte stays
    // zero in any case.
    unsafe {
        call!(
            driver,
            cuDeviceGetName(name.as_mut_ptr(), name.len() as i32 - 1, device)
        )
    }?;
    // SAFETY: zero-terminated.
    Ok(unsafe { CStr::from_ptr(name.as_ptr()) }
        .to_string_lossy()
        .trim()
        .to_owned())
}
