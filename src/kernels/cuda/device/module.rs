//! The kernels: the driver loads their machine code, or compiles their PTX, when the device is opened;
//! launches look them up by name.

use std::collections::HashMap;
use std::ffi::{CStr, CString, c_char, c_void};
use std::ptr;
use std::sync::Arc;

use cudarc::driver::sys::{
    CUdevice_attribute as Attribute, CUfunction, CUfunction_attribute as FunctionAttribute,
    CUjit_option, CUmodule,
};

use crate::kernels::cuda::driver::{KernelArgument, Launch};
use crate::kernels::fault::DeviceFault;

use super::call::{CallFailure, call, lost};
use super::context::Context;
use super::{DeviceUnavailable, Kernels};

/// Bytes of the compiler's error log.
const LOG: usize = 16 << 10;
/// Name prefix of the kernels that may use more than the default shared memory.
const LARGE: &str = "attention_";
/// Maximum shared memory of these kernels. Compute capability 8.6 and 8.9 offer no more.
const LARGE_SHARED: u32 = 99 << 10;
/// Default maximum of shared memory per block.
const USUAL_SHARED: u32 = 48 << 10;
/// Maximum number of kernel arguments.
const ARGUMENTS: usize = 32;

/// What the driver loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KernelForm {
    /// Machine code for the GPU.
    MachineCode,
    /// PTX, which the driver compiled.
    Ptx,
}

/// A loaded module.
#[derive(Debug)]
pub(super) struct KernelModule {
    context: Arc<Context>,
    handle: CUmodule,
    form: KernelForm,
    kernels: HashMap<String, Kernel>,
}

// SAFETY: driver handles may be used from any thread.
unsafe impl Send for KernelModule {}
// SAFETY: likewise; nothing changes after loading.
unsafe impl Sync for KernelModule {}

#[derive(Debug, Clone, Copy)]
struct Kernel {
    function: CUfunction,
    /// Maximum threads per block, limited by the kernel's registers.
    threads: u32,
    /// Maximum dynamic shared memory.
    shared: u32,
}

impl KernelModule {
    /// Loads the machine code for the GPU, or the PTX if there is none or the driver rejects it, as that of a
    /// GPU with an architecture of its own does.
    pub(super) fn load(
        context: Arc<Context>,
        kernels: &Kernels,
    ) -> Result<Self, DeviceUnavailable> {
        if let Some(code) = (kernels.machine_code)(context.capability()?) {
            let form = KernelForm::MachineCode;
            let loaded = Self::load_image(Arc::clone(&context), &code, form, &kernels.ptx);
            if loaded.is_ok() {
                return loaded;
            }
        }
        let text = CString::new(&*kernels.ptx).map_err(|_| DeviceUnavailable::Kernels {
            reason: "the PTX contains a zero byte".to_owned(),
            log: String::new(),
        })?;
        let image = text.as_bytes_with_nul();
        Self::load_image(context, image, KernelForm::Ptx, &kernels.ptx)
    }

    /// Loads `image`, which is machine code or zero-terminated PTX, with the kernels of `ptx`.
    fn load_image(
        context: Arc<Context>,
        image: &[u8],
        form: KernelForm,
        ptx: &str,
    ) -> Result<Self, DeviceUnavailable> {
        let mut module = Self {
            context,
            handle: load_data(image)?,
            form,
            kernels: HashMap::new(),
        };
        let large = module
            .context
            .attribute(Attribute::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN)?
            .min(LARGE_SHARED);
        for name in entries(ptx) {
            let kernel = module.look_up(name, large)?;
            module.kernels.insert(name.to_owned(), kernel);
        }
        Ok(module)
    }

    /// Returns what the driver loaded.
    pub(super) fn form(&self) -> KernelForm {
        self.form
    }

    fn look_up(&self, name: &str, large: u32) -> Result<Kernel, DeviceUnavailable> {
        let text = CString::new(name).map_err(|_| DeviceUnavailable::Kernels {
            reason: "a kernel name contains a zero byte".to_owned(),
            log: String::new(),
        })?;
        let mut function = ptr::null_mut();
        // SAFETY: the module is loaded and the name is zero-terminated; writes one handle.
        unsafe {
            call!(
                driver,
                cuModuleGetFunction(&raw mut function, self.handle, text.as_ptr())
            )
        }?;
        // Reading an attribute also makes the driver load the function now instead of at its first
        // launch.
        let threads = attribute(
            function,
            FunctionAttribute::CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK,
        )?;
        let own = attribute(
            function,
            FunctionAttribute::CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES,
        )?;
        let mut shared = USUAL_SHARED.saturating_sub(own);
        if name.starts_with(LARGE) && large.saturating_sub(own) > shared {
            shared = large.saturating_sub(own);
            let most = FunctionAttribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
            // SAFETY: the function was looked up above.
            unsafe { call!(driver, cuFuncSetAttribute(function, most, shared as i32)) }?;
        }
        Ok(Kernel {
            function,
            threads,
            shared,
        })
    }

    /// Launches a kernel.
    pub(super) fn launch(&self, launch: &Launch) -> Result<(), DeviceFault> {
        let fault = |reason: String| lost("cuLaunchKernel", format!("{}: {reason}", launch.kernel));
        let kernel = self
            .kernels
            .get(launch.kernel)
            .ok_or_else(|| fault("unknown kernel".to_owned()))?;
        if launch.threads > kernel.threads || launch.shared > kernel.shared {
            let (threads, shared) = (launch.threads, launch.shared);
            return Err(fault(format!(
                "{threads} threads and {shared} bytes of shared memory exceed the maximum of {} and {}",
                kernel.threads, kernel.shared
            )));
        }
        if launch.blocks.contains(&0) {
            return Ok(());
        }
        let mut values: [*mut c_void; ARGUMENTS] = [ptr::null_mut(); ARGUMENTS];
        if launch.arguments.len() > ARGUMENTS {
            return Err(fault(format!(
                "{} arguments exceed the maximum of {ARGUMENTS}",
                launch.arguments.len()
            )));
        }
        for (value, argument) in values.iter_mut().zip(launch.arguments) {
            *value = match argument {
                KernelArgument::Pointer(address) => ptr::from_ref(&address.0).cast_mut().cast(),
                KernelArgument::U32(count) => ptr::from_ref(count).cast_mut().cast(),
                KernelArgument::F32(number) => ptr::from_ref(number).cast_mut().cast(),
            };
        }
        let [x, y, z] = launch.blocks;
        let stream = self.context.stream();
        // SAFETY: the function belongs to a loaded module. There is a pointer to the value of each
        // argument; the driver only reads them, before it returns. The caller guarantees that
        // number, order and types match the kernel.
        unsafe {
            call!(
                driver,
                cuLaunchKernel(
                    kernel.function,
                    x,
                    y,
                    z,
                    launch.threads,
                    1,
                    1,
                    launch.shared,
                    stream,
                    values.as_mut_ptr(),
                    ptr::null_mut()
                )
            )
        }
        .map_err(|failure| fault(failure.reason))
    }
}

impl Drop for KernelModule {
    fn drop(&mut self) {
        if self.context.make_current().is_ok() {
            let _ = self.context.synchronise();
            // SAFETY: this is the only owner, and none of its kernels is running.
            let _ = unsafe { call!(driver, cuModuleUnload(self.handle)) };
        }
    }
}

/// Lets the driver load machine code, or compile and load zero-terminated PTX.
fn load_data(image: &[u8]) -> Result<CUmodule, DeviceUnavailable> {
    let mut handle = ptr::null_mut();
    let mut log: Vec<c_char> = vec![0; LOG];
    let mut options = [
        CUjit_option::CU_JIT_ERROR_LOG_BUFFER,
        CUjit_option::CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES,
    ];
    // The second value is an integer in place of a pointer, as in cuda.h. The last byte stays zero,
    // so that the log is zero-terminated.
    let mut values: [*mut c_void; 2] = [
        log.as_mut_ptr().cast(),
        ptr::without_provenance_mut(LOG - 1),
    ];
    // SAFETY: PTX is zero-terminated, and the header of machine code has its length; there are two
    // options, two values, and that many bytes for the log.
    let loaded = unsafe {
        call!(
            driver,
            cuModuleLoadDataEx(
                &raw mut handle,
                image.as_ptr().cast(),
                2,
                options.as_mut_ptr(),
                values.as_mut_ptr()
            )
        )
    };
    loaded.map(|()| handle).map_err(|failure| {
        // SAFETY: zero-terminated.
        let log = unsafe { CStr::from_ptr(log.as_ptr()) }
            .to_string_lossy()
            .trim()
            .to_owned();
        DeviceUnavailable::Kernels {
            reason: failure.reason,
            log,
        }
    })
}

fn attribute(function: CUfunction, attribute: FunctionAttribute) -> Result<u32, CallFailure> {
    let mut value = 0;
    // SAFETY: the function belongs to a loaded module; writes one integer.
    unsafe {
        call!(
            driver,
            cuFuncGetAttribute(&raw mut value, attribute, function)
        )
    }?;
    Ok(u32::try_from(value).unwrap_or(0))
}

/// Returns the names of the kernels in PTX: `.visible .entry name(`.
fn entries(source: &str) -> impl Iterator<Item = &str> {
    source
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .filter_map(|line| line.split_once(".entry"))
        .map(|(_, name)| name.split('(').next().unwrap_or_default().trim())
        .filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_names_are_found_in_ptx() {
        let source = ".version 8.0\n.target sm_80\n.address_size 64\n\n\t// .globl\tsilu_f16\n\n.visible .entry silu_f16(\n\t.param .u64 x\n)\n\
                      {\n\tret;\n}\n// not .entry this\n.visible .entry attention_40_bf16( .param .u64 q)\n.maxntid 256\n{ ret; }\n\
                      .func inner() { ret; }\n";
        assert_eq!(
            entries(source).collect::<Vec<_>>(),
            ["silu_f16", "attention_40_bf16"]
        );
    }
}
