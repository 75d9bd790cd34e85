//! The GPU's context, which memory, kernels and libraries live in, and the one stream that all work goes through.

use std::cell::Cell;
use std::ffi::{CStr, c_char};
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering};

use cudarc::driver::sys::{
    CUcontext, CUdevice, CUdevice_attribute as Attribute, CUstream, CUstream_flags,
};

use super::call::{Failure, ask};
use super::library::Library;
use super::{MINIMUM_CAPABILITY, MINIMUM_DRIVER, Unavailable};

/// `CUDA_ERROR_NO_DEVICE`
const NO_DEVICE: u32 = 100;
/// `CUDA_ERROR_NOT_READY`: the stream has work to do.
const NOT_READY: u32 = 600;

/// The primary context of a GPU with a stream of our own.
#[derive(Debug)]
pub(super) struct Context {
    device: CUdevice,
    handle: CUcontext,
    stream: CUstream,
    /// Tells contexts apart for [`CURRENT`]; a handle can come again after its context is gone.
    id: u64,
}

// SAFETY: handles of the driver may be used from any thread.
unsafe impl Send for Context {}
// SAFETY: the driver's functions may be called from several threads at once.
unsafe impl Sync for Context {}

thread_local! {
    /// The id of the context that was last bound to this thread; 0 is none's.
    static CURRENT: Cell<u64> = const { Cell::new(0) };
}

static NEXT: AtomicU64 = AtomicU64::new(1);

/// Loads the driver and starts it; how many GPUs it sees, at least one.
pub(super) fn start() -> Result<usize, Unavailable> {
    Library::Driver.find()?;
    // SAFETY: the driver is loaded, as for every call below.
    match unsafe { ask!(driver, cuInit(0)) } {
        Err(failure) if failure.code == NO_DEVICE => return Err(Unavailable::NoDevice),
        started => started?,
    }
    let found = driver_version()?;
    if found < MINIMUM_DRIVER {
        return Err(Unavailable::DriverTooOld {
            found,
            needed: MINIMUM_DRIVER,
        });
    }
    let mut count = 0;
    // SAFETY: the driver was started; writes one number.
    unsafe { ask!(driver, cuDeviceGetCount(&raw mut count)) }?;
    match usize::try_from(count) {
        Ok(count) if count > 0 => Ok(count),
        _ => Err(Unavailable::NoDevice),
    }
}

/// The newest CUDA that the driver supports: 12020 is 12.2.
pub(super) fn driver_version() -> Result<u32, Failure> {
    let mut version = 0;
    // SAFETY: writes one number.
    unsafe { ask!(driver, cuDriverGetVersion(&raw mut version)) }?;
    Ok(version.unsigned_abs())
}

impl Context {
    /// Opens the GPU `index`, of those that [`start`] counted.
    pub(super) fn open(index: usize) -> Result<Self, Unavailable> {
        let count = start()?;
        let ordinal = i32::try_from(index)
            .ok()
            .filter(|_| index < count)
            .ok_or(Unavailable::NoSuchDevice { index, count })?;
        let mut device = 0;
        // SAFETY: the driver was started; writes one handle.
        unsafe { ask!(driver, cuDeviceGet(&raw mut device, ordinal)) }?;
        let found = capability(device)?;
        if found < MINIMUM_CAPABILITY {
            return Err(Unavailable::DeviceTooOld {
                name: name(device)?,
                found,
                needed: MINIMUM_CAPABILITY,
            });
        }
        let mut handle = ptr::null_mut();
        // SAFETY: writes one handle, which is given back when this is dropped.
        unsafe { ask!(driver, cuDevicePrimaryCtxRetain(&raw mut handle, device)) }?;
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        let mut context = Self {
            device,
            handle,
            stream: ptr::null_mut(),
            id,
        };
        context.enter()?;
        // Not blocking: nothing waits for the legacy default stream, where other code of the process may be at work.
        // SAFETY: the context is bound to this thread; writes one handle.
        unsafe {
            ask!(
                driver,
                cuStreamCreate(
                    &raw mut context.stream,
                    CUstream_flags::CU_STREAM_NON_BLOCKING as u32
                )
            )
        }?;
        Ok(context)
    }

    /// Binds the context to this thread, as every call that follows needs it. Costs next to nothing where it is bound already; code that
    /// binds another one behind our back must bind the old one again before it returns.
    pub(super) fn enter(&self) -> Result<(), Failure> {
        if CURRENT.get() != self.id {
            // SAFETY: the handle is alive as long as we are.
            unsafe { ask!(driver, cuCtxSetCurrent(self.handle)) }?;
            CURRENT.set(self.id);
        }
        Ok(())
    }

    /// The stream that all work goes through.
    pub(super) fn stream(&self) -> CUstream {
        self.stream
    }

    /// The GPU.
    pub(super) fn device(&self) -> CUdevice {
        self.device
    }

    /// Waits until all work is done.
    pub(super) fn synchronise(&self) -> Result<(), Failure> {
        // SAFETY: the stream is alive as long as we are.
        unsafe { ask!(driver, cuStreamSynchronize(self.stream)) }
    }

    /// Will every call fail from now on, whatever it is?
    pub(super) fn is_lost(&self) -> bool {
        // SAFETY: the stream is alive as long as we are.
        match unsafe { ask!(driver, cuStreamQuery(self.stream)) } {
            Ok(()) => false,
            Err(failure) => failure.code != NOT_READY,
        }
    }

    /// A number that describes the GPU.
    pub(super) fn attribute(&self, attribute: Attribute) -> Result<u32, Failure> {
        device_attribute(self.device, attribute)
    }

    /// The GPU's name.
    pub(super) fn name(&self) -> Result<String, Failure> {
        name(self.device)
    }

    /// The GPU's compute capability, major and minor.
    pub(super) fn capability(&self) -> Result<(u32, u32), Failure> {
        capability(self.device)
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        // What fails here has failed before, or has no one left to tell.
        let entered = self.enter().is_ok();
        if entered && !self.stream.is_null() {
            let _ = self.synchronise();
            // SAFETY: ours, and not used again.
            let _ = unsafe { ask!(driver, cuStreamDestroy_v2(self.stream)) };
        }
        // SAFETY: gives back what `open` took; whoever else holds the primary context keeps it.
        let _ = unsafe { ask!(driver, cuDevicePrimaryCtxRelease_v2(self.device)) };
        CURRENT.set(0);
    }
}

fn device_attribute(device: CUdevice, attribute: Attribute) -> Result<u32, Failure> {
    let mut value = 0;
    // SAFETY: writes one number.
    unsafe {
        ask!(
            driver,
            cuDeviceGetAttribute(&raw mut value, attribute, device)
        )
    }?;
    Ok(u32::try_from(value).unwrap_or(0))
}

fn capability(device: CUdevice) -> Result<(u32, u32), Failure> {
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

fn name(device: CUdevice) -> Result<String, Failure> {
    let mut name: [c_char; 256] = [0; 256];
    // SAFETY: writes at most so many bytes, the ending zero among them; the last one stays zero in any case.
    unsafe {
        ask!(
            driver,
            cuDeviceGetName(name.as_mut_ptr(), name.len() as i32 - 1, device)
        )
    }?;
    // SAFETY: ends with a zero.
    Ok(unsafe { CStr::from_ptr(name.as_ptr()) }
        .to_string_lossy()
        .trim()
        .to_owned())
}
