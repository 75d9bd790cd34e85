//! Products of matrices by cuBLASLt.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ffi::c_void;
use std::ptr;
use std::sync::{Arc, Mutex};

use cudarc::cublaslt::sys::{
    cublasLtEpilogue_t as Epilogue, cublasLtGetVersion, cublasLtHandle_t, cublasLtMatmulAlgo_t,
    cublasLtMatmulDescAttributes_t as DescriptionAttribute, cublasLtMatmulHeuristicResult_t,
};

use crate::kernels::cuda::driver::{Address, Format, Product, Stored};
use crate::kernels::fault::DeviceFault;

use super::call::{Failure, Status, ask, refused};
use super::context::{Context, driver_version};
use super::description::{Description, MatrixLayout, Preference, WORKSPACE};
use super::library::Library;
use super::memory::{Memory, locked};
use super::product::{Layout, Precision, lt_layout};
use super::{MINIMUM_DRIVER, Unavailable};

/// Algorithms kept for a product, in case the first turns out not to be able to do it.
const ALGORITHMS: usize = 4;
/// `CUBLAS_STATUS_NOT_SUPPORTED`
const NOT_SUPPORTED: u32 = 15;

/// The library with what it was asked before.
#[derive(Debug)]
pub(super) struct Multiplier {
    context: Arc<Context>,
    memory: Arc<Memory>,
    workspace: Address,
    state: Mutex<State>,
}

/// Used by one thread at a time: some algorithms are two kernels with the workspace between, and no other product may come between those.
#[derive(Debug)]
struct State {
    handle: cublasLtHandle_t,
    /// None where the library has no algorithm.
    plans: HashMap<Layout, Option<Plan>>,
}

// SAFETY: handles of the library, which may be used from any thread, one at a time.
unsafe impl Send for State {}

/// The library's version: 120903 is 12.9.3.
///
/// # Errors
/// [`Unavailable::NoLibrary`], [`Unavailable::LibraryLacks`]; [`Unavailable::LibraryVersion`] where it is older than the oldest driver, or
/// of a later CUDA than the driver, with which it cannot start.
pub(super) fn version() -> Result<usize, Unavailable> {
    Library::CublasLt.find()?;
    // SAFETY: the library is loaded.
    let version = unsafe { cublasLtGetVersion() };
    let (least, most) = (MINIMUM_DRIVER / 1000, driver_version()? / 1000);
    if (least as usize..=most as usize).contains(&(version / 10_000)) {
        return Ok(version);
    }
    let found = format!(
        "{}.{}.{}",
        version / 10_000,
        version / 100 % 100,
        version % 100
    );
    let needed = if least == most {
        least.to_string()
    } else {
        format!("{least} to {most}")
    };
    Err(Unavailable::LibraryVersion {
        library: Library::CublasLt.name(),
        found,
        needed,
    })
}

impl Multiplier {
    pub(super) fn new(context: Arc<Context>, memory: Arc<Memory>) -> Result<Self, Unavailable> {
        let mut handle = ptr::null_mut();
        // SAFETY: the library is loaded and the context bound; writes one handle.
        unsafe { ask!(cublaslt, cublasLtCreate(&raw mut handle)) }?;
        let mut multiplier = Self {
            context,
            memory,
            workspace: Address::NONE,
            state: Mutex::new(State {
                handle,
                plans: HashMap::new(),
            }),
        };
        multiplier.workspace = multiplier.memory.allocate(WORKSPACE)?;
        Ok(multiplier)
    }

    /// c = alpha a b + beta c0 + bias.
    pub(super) fn multiply(&self, product: &Product) -> Result<(), DeviceFault> {
        let Product {
            rows,
            cols,
            inner,
            batch,
            ..
        } = *product;
        if rows * cols * batch == 0 {
            return Ok(());
        }
        if inner == 0 {
            return Err(unable(product, "there is nothing to multiply"));
        }
        if self.try_multiply(product, Precision::Fast)? {
            return Ok(());
        }
        // No algorithm adds the bias while it multiplies. It is a product of its own, of a column of ones and the bias as a row.
        let Some(bias) = product.bias else {
            return Err(unable(product, "cuBLASLt has no algorithm for it"));
        };
        if batch != 1
            || !self.try_multiply(
                &Product {
                    bias: None,
                    ..*product
                },
                Precision::Fast,
            )?
        {
            return Err(unable(
                product,
                "cuBLASLt has no algorithm for it, without its bias neither",
            ));
        }
        let format = product.c.format;
        let ones = self.memory.scratch(rows * format.bytes())?;
        self.fill_with_ones(ones.address(), format, rows)?;
        let sum = Product {
            inner: 1,
            alpha: 1.0,
            a: Stored {
                address: ones.address(),
                format,
                stride: 1,
                batch_stride: 0,
            },
            a_transposed: false,
            b: Stored {
                address: bias,
                format,
                stride: cols,
                batch_stride: 0,
            },
            b_transposed: false,
            add: Some((product.c, 1.0)),
            bias: None,
            ..*product
        };
        if self.try_multiply(&sum, Precision::Full)? {
            Ok(())
        } else {
            Err(unable(product, "cuBLASLt cannot add its bias"))
        }
    }

    /// Multiplies, or says that the library cannot.
    fn try_multiply(&self, product: &Product, precision: Precision) -> Result<bool, DeviceFault> {
        let layout = lt_layout(product, precision).map_err(|reason| unable(product, reason))?;
        let mut state = locked(&self.state);
        let State { handle, plans } = &mut *state;
        let plan = match plans.entry(layout) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(unknown) => unknown.insert(Plan::new(*handle, &layout, product.bias)?),
        };
        let Some(known) = plan else { return Ok(false) };
        let (add, beta) = product.add.unwrap_or((product.c, 0.0));
        if let Some(bias) = product.bias {
            known.description.set(
                DescriptionAttribute::CUBLASLT_MATMUL_DESC_BIAS_POINTER,
                &bias.0,
            )?;
        }
        while let Some(algorithm) = known.algorithms.last() {
            // SAFETY: all handles are alive; alpha and beta are f32 on the host, as described; the caller owns the matrices, of which d
            // overlaps no other one but c, where c is d itself; the workspace is of the size that the algorithm was chosen for.
            let multiplied = unsafe {
                ask!(
                    cublaslt,
                    cublasLtMatmul(
                        *handle,
                        known.description.0,
                        (&raw const product.alpha).cast(),
                        pointer(product.b.address),
                        known.left.0,
                        pointer(product.a.address),
                        known.right.0,
                        (&raw const beta).cast(),
                        pointer(add.address),
                        known.c.0,
                        pointer(product.c.address).cast_mut(),
                        known.d.0,
                        algorithm,
                        pointer(self.workspace).cast_mut(),
                        WORKSPACE,
                        self.context.stream().cast(),
                    )
                )
            };
            match multiplied {
                Err(failure) if failure.code == NOT_SUPPORTED => known.algorithms.pop(),
                done => return Ok(done.map(|()| true)?),
            };
        }
        *plan = None;
        Ok(false)
    }

    fn fill_with_ones(&self, to: Address, format: Format, count: usize) -> Result<(), Failure> {
        let stream = self.context.stream();
        // SAFETY: the caller has room for so many numbers there.
        unsafe {
            match format {
                Format::F32 => ask!(
                    driver,
                    cuMemsetD32Async(to.0, 1.0_f32.to_bits(), count, stream)
                ),
                Format::F16 => ask!(driver, cuMemsetD16Async(to.0, 0x3c00, count, stream)),
                Format::Bf16 => ask!(driver, cuMemsetD16Async(to.0, 0x3f80, count, stream)),
            }
        }
    }
}

impl Drop for Multiplier {
    fn drop(&mut self) {
        if self.context.enter().is_ok() {
            let _ = self.context.synchronise();
            self.memory.free(self.workspace);
            let mut state = locked(&self.state);
            state.plans.clear();
            // SAFETY: ours, and not used again.
            let _ = unsafe { ask!(cublaslt, cublasLtDestroy(state.handle)) };
        }
    }
}

fn unable(product: &Product, reason: &str) -> DeviceFault {
    let Product {
        rows,
        cols,
        inner,
        batch,
        ..
    } = *product;
    let formats = [product.a.format.name(), product.c.format.name()];
    refused(
        "cublasLtMatmul",
        format!(
            "{batch} of ({rows}, {inner}) ({inner}, {cols}), {} to {}: {reason}",
            formats[0], formats[1]
        ),
    )
}

fn pointer(address: Address) -> *const c_void {
    ptr::without_provenance(address.0 as usize)
}

/// What a product needs besides addresses and factors.
#[derive(Debug)]
struct Plan {
    description: Description,
    left: MatrixLayout,
    right: MatrixLayout,
    c: MatrixLayout,
    d: MatrixLayout,
    /// The best last; never empty.
    algorithms: Vec<cublasLtMatmulAlgo_t>,
}

impl Plan {
    /// None where the library has no algorithm.
    fn new(
        handle: cublasLtHandle_t,
        layout: &Layout,
        bias: Option<Address>,
    ) -> Result<Option<Self>, Failure> {
        let description = Description::new(layout)?;
        if let Some(bias) = bias {
            // The choice depends on the pointer's alignment, so it stands here before the library chooses.
            let epilogue = Epilogue::CUBLASLT_EPILOGUE_BIAS as u32;
            description.set(
                DescriptionAttribute::CUBLASLT_MATMUL_DESC_EPILOGUE,
                &epilogue,
            )?;
            description.set(
                DescriptionAttribute::CUBLASLT_MATMUL_DESC_BIAS_POINTER,
                &bias.0,
            )?;
        }
        let [left, right, c, d] = [layout.left, layout.right, layout.c, layout.d]
            .map(|matrix| MatrixLayout::new(&matrix, layout.batch));
        let (left, right, c, d) = (left?, right?, c?, d?);
        let preference = Preference::new(layout)?;
        // SAFETY: a struct of numbers, of which all zeros is one (the status being success).
        let mut found: [cublasLtMatmulHeuristicResult_t; ALGORITHMS] =
            unsafe { std::mem::zeroed() };
        let mut count = 0;
        // SAFETY: all handles are alive; writes at most as many results as there is room for, and their number.
        let asked = unsafe {
            ask!(
                cublaslt,
                cublasLtMatmulAlgoGetHeuristic(
                    handle,
                    description.0,
                    left.0,
                    right.0,
                    c.0,
                    d.0,
                    preference.0,
                    ALGORITHMS as i32,
                    found.as_mut_ptr(),
                    &raw mut count,
                )
            )
        };
        match asked {
            Err(failure) if failure.code == NOT_SUPPORTED => return Ok(None),
            asked => asked?,
        }
        let found = &found[..usize::try_from(count).unwrap_or(0).min(ALGORITHMS)];
        let usable = found
            .iter()
            .filter(|result| result.state.code() == 0 && result.workspaceSize <= WORKSPACE);
        let mut algorithms: Vec<_> = usable.map(|result| result.algo).collect();
        algorithms.reverse();
        Ok((!algorithms.is_empty()).then_some(Self {
            description,
            left,
            right,
            c,
            d,
            algorithms,
        }))
    }
}
