//! Matrix products with cuBLASLt.

mod descriptors;
mod layout;
mod plan;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ffi::c_void;
use std::ptr;
use std::sync::{Arc, Mutex};

use cudarc::cublaslt::sys::{
    cublasLtHandle_t, cublasLtMatmulDescAttributes_t as DescriptorAttribute,
};

use crate::kernels::cuda::driver::{Address, Format, Gemm, MatrixView};
use crate::kernels::fault::DeviceFault;

use super::call::{CallFailure, call, refused, split_unsupported};
use super::context::{Context, driver_version};
use super::library::{NvidiaLibrary, version_text};
use super::memory::{DeviceMemory, locked};
use super::symbol::invoke;
use super::{DeviceUnavailable, MINIMUM_DRIVER};
use descriptors::WORKSPACE;
use layout::{GemmLayout, Precision, gemm_layout};
use plan::GemmPlan;

/// A cuBLASLt handle with the plans of earlier products.
#[derive(Debug)]
pub(super) struct CublasLt {
    context: Arc<Context>,
    memory: Arc<DeviceMemory>,
    workspace: Address,
    state: Mutex<CublasLtState>,
}

/// Locked for the duration of a call: some algorithms launch two kernels that share the workspace,
/// and no other product may run between them.
#[derive(Debug)]
struct CublasLtState {
    handle: cublasLtHandle_t,
    /// `None` if the library has no algorithm.
    plans: HashMap<GemmLayout, Option<GemmPlan>>,
}

// SAFETY: a library handle may be used from any thread, by one thread at a time.
unsafe impl Send for CublasLtState {}

/// Loads the library and checks its version.
///
/// # Errors
/// [`DeviceUnavailable::NoLibrary`], [`DeviceUnavailable::LibraryLacks`];
/// [`DeviceUnavailable::LibraryVersion`] if it is older than the oldest supported driver, or newer
/// than the driver supports.
pub(super) fn load() -> Result<(), DeviceUnavailable> {
    NvidiaLibrary::CublasLt.find()?;
    // SAFETY: the library is loaded.
    let version = unsafe { invoke!(cublaslt, cublasLtGetVersion()) };
    let (least, most) = (MINIMUM_DRIVER / 1000, driver_version()? / 1000);
    if (least as usize..=most as usize).contains(&(version / 10_000)) {
        return Ok(());
    }
    let needed = if least == most {
        least.to_string()
    } else {
        format!("{least} to {most}")
    };
    Err(DeviceUnavailable::LibraryVersion {
        library: NvidiaLibrary::CublasLt.name(),
        found: version_text(version),
        needed,
    })
}

impl CublasLt {
    pub(super) fn new(
        context: Arc<Context>,
        memory: Arc<DeviceMemory>,
    ) -> Result<Self, DeviceUnavailable> {
        let mut handle = ptr::null_mut();
        // SAFETY: the library is loaded and the context is current; writes one handle.
        unsafe { call!(cublaslt, cublasLtCreate(&raw mut handle)) }?;
        let mut cublaslt = Self {
            context,
            memory,
            workspace: Address::NULL,
            state: Mutex::new(CublasLtState {
                handle,
                plans: HashMap::new(),
            }),
        };
        cublaslt.workspace = cublaslt.memory.allocate(WORKSPACE)?;
        Ok(cublaslt)
    }

    /// Computes c = alpha a b + beta c0 + bias.
    pub(super) fn gemm(&self, gemm: &Gemm) -> Result<(), DeviceFault> {
        let Gemm {
            rows,
            cols,
            inner,
            batch,
            ..
        } = *gemm;
        if rows * cols * batch == 0 {
            return Ok(());
        }
        if inner == 0 {
            return Err(unsupported(gemm, "the inner size is 0"));
        }
        if self.try_gemm(gemm, Precision::Tf32)? {
            return Ok(());
        }
        // No algorithm fuses the bias: add it as a product of a column of ones and the bias as a
        // row.
        let Some(bias) = gemm.bias else {
            return Err(unsupported(gemm, "cuBLASLt has no algorithm"));
        };
        if batch != 1
            || !self.try_gemm(
                &Gemm {
                    bias: None,
                    ..*gemm
                },
                Precision::Tf32,
            )?
        {
            return Err(unsupported(
                gemm,
                "cuBLASLt has no algorithm, even without the bias",
            ));
        }
        let format = gemm.c.format;
        let ones = self.memory.workspace(rows * format.bytes())?;
        self.fill_with_ones(ones.address(), format, rows)?;
        let sum = Gemm {
            inner: 1,
            alpha: 1.0,
            a: MatrixView {
                address: ones.address(),
                format,
                stride: 1,
                batch_stride: 0,
            },
            a_transposed: false,
            b: MatrixView {
                address: bias,
                format,
                stride: cols,
                batch_stride: 0,
            },
            b_transposed: false,
            add: Some((gemm.c, 1.0)),
            bias: None,
            ..*gemm
        };
        if self.try_gemm(&sum, Precision::F32)? {
            Ok(())
        } else {
            Err(unsupported(gemm, "cuBLASLt cannot add the bias"))
        }
    }

    /// Computes a product. Returns `false` if the library has no algorithm for it.
    fn try_gemm(&self, gemm: &Gemm, precision: Precision) -> Result<bool, DeviceFault> {
        let layout = gemm_layout(gemm, precision).map_err(|reason| unsupported(gemm, reason))?;
        let mut state = locked(&self.state);
        let CublasLtState { handle, plans } = &mut *state;
        let plan = match plans.entry(layout) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => {
                let plan = || GemmPlan::new(*handle, &layout, gemm.bias);
                // Without an algorithm or with a refusal, the product is not supported.
                let plan = split_unsupported(self.memory.with_retry(plan))?;
                entry.insert(plan.ok().flatten())
            }
        };
        let Some(supported) = plan else {
            return Ok(false);
        };
        let (add, beta) = gemm.add.unwrap_or((gemm.c, 0.0));
        if let Some(bias) = gemm.bias {
            supported.descriptor.set(
                DescriptorAttribute::CUBLASLT_MATMUL_DESC_BIAS_POINTER,
                &bias.0,
            )?;
        }
        while let Some(algorithm) = supported.algorithms.last() {
            let multiply = || {
                // SAFETY: all handles are alive. alpha and beta are f32 on the host, as described.
                // The caller owns the matrices; d overlaps only c, and only if c is d. The workspace
                // has the size that the algorithm was chosen for.
                Ok(unsafe {
                    call!(
                        cublaslt,
                        cublasLtMatmul(
                            *handle,
                            supported.descriptor.0,
                            (&raw const gemm.alpha).cast(),
                            pointer(gemm.b.address),
                            supported.left.0,
                            pointer(gemm.a.address),
                            supported.right.0,
                            (&raw const beta).cast(),
                            pointer(add.address),
                            supported.c.0,
                            pointer(gemm.c.address).cast_mut(),
                            supported.d.0,
                            algorithm,
                            pointer(self.workspace).cast_mut(),
                            WORKSPACE,
                            self.context.stream().cast(),
                        )
                    )
                }?)
            };
            match split_unsupported(self.memory.with_retry(multiply))? {
                Ok(()) => return Ok(true),
                Err(_) => supported.algorithms.pop(),
            };
        }
        *plan = None;
        Ok(false)
    }

    fn fill_with_ones(&self, to: Address, format: Format, count: usize) -> Result<(), CallFailure> {
        let stream = self.context.stream();
        // SAFETY: the caller owns the bytes of that many values.
        unsafe {
            match format {
                Format::F32 => call!(
                    driver,
                    cuMemsetD32Async(to.0, 1.0_f32.to_bits(), count, stream)
                ),
                Format::F16 => call!(driver, cuMemsetD16Async(to.0, 0x3c00, count, stream)),
                Format::Bf16 => call!(driver, cuMemsetD16Async(to.0, 0x3f80, count, stream)),
            }
        }
    }
}

impl Drop for CublasLt {
    fn drop(&mut self) {
        if self.context.make_current().is_ok() {
            let _ = self.context.synchronise();
            self.memory.free(self.workspace);
            let mut state = locked(&self.state);
            state.plans.clear();
            // SAFETY: this is the only owner, and the handle is not used again.
            let _ = unsafe { call!(cublaslt, cublasLtDestroy(state.handle)) };
        }
    }
}

fn unsupported(gemm: &Gemm, reason: &str) -> DeviceFault {
    let Gemm {
        rows,
        cols,
        inner,
        batch,
        ..
    } = *gemm;
    let formats = [gemm.a.format.name(), gemm.c.format.name()];
    refused(
        "cublasLtMatmul",
        format!(
            "{batch} x ({rows}, {inner}) ({inner}, {cols}), {} to {}: {reason}",
            formats[0], formats[1]
        ),
    )
}

fn pointer(address: Address) -> *const c_void {
    ptr::without_provenance(address.0 as usize)
}
