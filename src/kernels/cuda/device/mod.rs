//! An NVIDIA GPU of compute capability 8.0 or later: memory and kernels through the CUDA driver,
//! matrix products through cuBLASLt, convolutions through cuDNN where it is installed.
//!
//! The libraries are loaded when a device is opened. The program starts without them, and an error
//! names the missing one. All operations run on one stream in the order of the calls; calls from
//! several threads are serialised.
#![allow(
    unsafe_code,
    reason = "NVIDIA's driver and library_versions have C interfaces"
)]

mod call;
mod context;
mod cublaslt;
mod cudnn;
mod functions;
mod graph;
mod library;
mod memory;
mod module;
mod staging;
mod symbol;
mod unavailable;

use std::sync::Arc;

use cudarc::driver::sys::CUdevice_attribute;

use self::call::lost;
use self::context::Context;
use self::cublaslt::CublasLt;
use self::cudnn::{Cudnn, CudnnApi};
use self::graph::LaunchableGraph;
use self::library::version_text;
use self::memory::DeviceMemory;
use self::module::KernelModule;
use self::staging::Staging;
use self::symbol::invoke;
use crate::kernels::cuda::driver::{
    Address, Convolution, ConvolutionData, ConvolutionOutcome, Driver, Gemm, Graph, Launch,
    MemoryInfo, Operation, Outcome, RecordedOperation,
};
use crate::kernels::fault::DeviceFault;

pub use self::cudnn::PlannedConvolutions;
pub use self::library::load_kernels_lazily;
pub use self::unavailable::DeviceUnavailable;

/// The PTX of the kernels requires CUDA 12.0.
const MINIMUM_DRIVER: u32 = 12_000;
/// The kernels use instructions of the Ampere architecture.
const MINIMUM_CAPABILITY: (u32, u32) = (8, 0);

/// An open GPU. The field order is the drop order: users of memory and context come before both.
#[derive(Debug)]
pub struct CudaDevice {
    cudnn: Result<Cudnn, DeviceUnavailable>,
    cublaslt: CublasLt,
    module: KernelModule,
    staging: Staging,
    memory: Arc<DeviceMemory>,
    context: Arc<Context>,
    multiprocessors: u32,
}

/// Versions of the loaded libraries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LibraryVersions {
    /// Version of cuBLASLt.
    pub cublaslt: String,
    /// Version of cuDNN, or why it is not used. Without it convolutions are slower.
    pub cudnn: Result<String, DeviceUnavailable>,
}

/// The kernels in the forms that a driver loads.
#[derive(Debug, Clone)]
pub struct Kernels {
    /// PTX, which the driver compiles for any GPU. Its entry points are the names of the kernels.
    pub ptx: String,
    /// Returns machine code (a cubin) for a compute capability, major and minor; `None` if there is none. If the driver rejects it, the PTX
    /// is loaded.
    pub machine_code: fn((u32, u32)) -> Option<Vec<u8>>,
}

impl CudaDevice {
    /// Returns the number of GPUs, at least one, including those that are too old.
    ///
    /// # Errors
    /// [`DeviceUnavailable::NoDriver`], [`DeviceUnavailable::DriverTooOld`],
    /// [`DeviceUnavailable::NoDevice`], [`DeviceUnavailable::Failed`].
    pub fn count() -> Result<usize, DeviceUnavailable> {
        context::start()
    }

    /// Opens GPU `index` and loads `kernels`.
    ///
    /// # Errors
    /// [`DeviceUnavailable`].
    pub fn open(index: usize, kernels: &Kernels) -> Result<Self, DeviceUnavailable> {
        let api = CudnnApi::from_environment()?;
        let context = Arc::new(Context::open(index)?);
        cublaslt::load()?;
        let module = KernelModule::load(Arc::clone(&context), kernels)?;
        let memory = Arc::new(DeviceMemory::new(Arc::clone(&context))?);
        let staging = Staging::new(Arc::clone(&context))?;
        let cublaslt = CublasLt::new(Arc::clone(&context), Arc::clone(&memory))?;
        let cudnn = Cudnn::new(Arc::clone(&context), Arc::clone(&memory), api);
        let multiprocessors =
            context.attribute(CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?;
        Ok(Self {
            cudnn,
            cublaslt,
            module,
            staging,
            memory,
            context,
            multiprocessors,
        })
    }

    /// Returns the GPU's name.
    ///
    /// # Errors
    /// [`DeviceFault::Lost`].
    pub fn name(&self) -> Result<String, DeviceFault> {
        Ok(self.context.name()?)
    }

    /// Returns the GPU's compute capability, major and minor.
    ///
    /// # Errors
    /// [`DeviceFault::Lost`].
    pub fn compute_capability(&self) -> Result<(u32, u32), DeviceFault> {
        Ok(self.context.capability()?)
    }

    /// Returns the newest CUDA version that the driver supports; 12020 is 12.2.
    ///
    /// # Errors
    /// [`DeviceFault::Lost`].
    pub fn driver_version(&self) -> Result<u32, DeviceFault> {
        Ok(context::driver_version()?)
    }

    /// Returns the versions of the loaded libraries.
    pub fn library_versions(&self) -> LibraryVersions {
        // SAFETY: the library was loaded when the device was opened.
        let cublaslt = version_text(unsafe { invoke!(cublaslt, cublasLtGetVersion()) });
        // SAFETY: likewise; not called if cuDNN is unavailable.
        let cudnn = self
            .cudnn
            .as_ref()
            .map(|_| version_text(unsafe { invoke!(cudnn, cudnnGetVersion()) }))
            .map_err(DeviceUnavailable::clone);
        LibraryVersions { cublaslt, cudnn }
    }

    /// Plans convolutions without running them. Nothing is planned or refused without cuDNN.
    ///
    /// # Errors
    /// [`DeviceFault::Lost`], [`DeviceFault::OutOfMemory`].
    pub fn plan_convolutions(
        &self,
        shapes: &[Convolution],
    ) -> Result<PlannedConvolutions, DeviceFault> {
        match &self.cudnn {
            Ok(cudnn) => self.context.guarded(|| cudnn.plan(shapes)),
            Err(_) => Ok(PlannedConvolutions::default()),
        }
    }

    /// Submits an operation with the context current.
    fn submit(&self, operation: &Operation) -> Result<Outcome, DeviceFault> {
        match operation {
            Operation::Launch(launch) => self.module.launch(launch)?,
            Operation::Gemm(gemm) => self.cublaslt.gemm(gemm)?,
            Operation::Convolution(shape, data) => {
                let outcome = match &self.cudnn {
                    Ok(cudnn) => cudnn.convolve(shape, data)?,
                    Err(_) => ConvolutionOutcome::Unsupported,
                };
                return Ok(Outcome::Convolution(outcome));
            }
            Operation::Copy { from, to, bytes } => self.memory.copy(*from, *to, *bytes)?,
            Operation::Clear { to, bytes } => self.memory.clear(*to, *bytes)?,
        }
        Ok(Outcome::Complete)
    }
}

impl Driver for CudaDevice {
    fn allocate(&self, bytes: usize) -> Result<Address, DeviceFault> {
        self.context.guarded(|| self.memory.allocate(bytes))
    }

    fn free(&self, address: Address) {
        // The memory of a lost GPU is released with its context.
        let _ = self.context.guarded(|| {
            self.memory.free(address);
            Ok(())
        });
    }

    fn trim(&self) -> Result<(), DeviceFault> {
        self.context.guarded(|| self.memory.trim())
    }

    fn write(&self, to: Address, bytes: &[u8]) -> Result<(), DeviceFault> {
        self.context.guarded(|| self.staging.write(to, bytes))
    }

    fn read(&self, from: Address, bytes: &mut [u8]) -> Result<(), DeviceFault> {
        self.context.guarded(|| self.memory.read(from, bytes))
    }

    fn copy(&self, from: Address, to: Address, bytes: usize) -> Result<(), DeviceFault> {
        self.context.guarded(|| self.memory.copy(from, to, bytes))
    }

    fn clear(&self, to: Address, bytes: usize) -> Result<(), DeviceFault> {
        self.context.guarded(|| self.memory.clear(to, bytes))
    }

    fn launch(&self, launch: &Launch) -> Result<(), DeviceFault> {
        self.context.guarded(|| self.module.launch(launch))
    }

    fn gemm(&self, gemm: &Gemm) -> Result<(), DeviceFault> {
        self.context.guarded(|| self.cublaslt.gemm(gemm))
    }

    fn convolution(
        &self,
        shape: &Convolution,
        data: &ConvolutionData,
    ) -> Result<ConvolutionOutcome, DeviceFault> {
        match &self.cudnn {
            Ok(cudnn) => self.context.guarded(|| cudnn.convolve(shape, data)),
            Err(_) => Ok(ConvolutionOutcome::Unsupported),
        }
    }

    fn graph(&self, operations: &[RecordedOperation]) -> Result<Box<dyn Graph>, DeviceFault> {
        let mut operations = operations.iter();
        let submit = || {
            operations
                .try_for_each(|recorded| recorded.resubmit(|operation| self.submit(operation)))
        };
        self.context.guarded_alone(|| {
            match LaunchableGraph::capture(&self.context, &self.memory, submit) {
                Ok(graph) => Ok(Box::new(graph) as Box<dyn Graph>),
                Err(DeviceFault::Refused { call, reason }) if self.context.is_lost() => {
                    Err(lost(&call, reason))
                }
                Err(fault) => Err(fault),
            }
        })
    }

    fn memory(&self) -> MemoryInfo {
        self.context
            .guarded(|| Ok(self.memory.bytes()))
            .unwrap_or(MemoryInfo { free: 0, total: 0 })
    }

    fn multiprocessors(&self) -> u32 {
        self.multiprocessors
    }

    fn refused_convolutions(&self) -> Vec<(Convolution, String)> {
        let refused = self.cudnn.as_ref().map(Cudnn::refused);
        refused.unwrap_or_default()
    }

    fn description(&self) -> String {
        let cudnn = self.cudnn.as_ref();
        // Both interfaces may round differently.
        let graphs = cudnn.is_ok_and(Cudnn::uses_graphs);
        format!(
            "{:?} {:?} {:?} {:?} {:?} workspace {:?}{}",
            self.name(),
            self.compute_capability(),
            self.driver_version(),
            self.library_versions(),
            self.module.form(),
            cudnn.map_or(0, Cudnn::workspace_limit),
            if graphs { " cuDNN graph API" } else { "" }
        )
    }
}

impl Drop for CudaDevice {
    fn drop(&mut self) {
        // An error here has been reported before. Each field also synchronises before it frees what
        // kernels may still use.
        let _ = self
            .context
            .make_current()
            .and_then(|()| self.context.synchronise());
    }
}

#[cfg(test)]
mod tests {
    use super::library::NvidiaLibrary;
    use super::*;

    #[test]
    #[expect(clippy::print_stderr, reason = "a test that cannot run says why")]
    fn opening_without_a_driver_names_the_driver() {
        if NvidiaLibrary::Driver.find().is_ok() {
            eprintln!("skipped: this machine has a driver");
            return;
        }
        let Err(DeviceUnavailable::NoDriver { searched, .. }) =
            CudaDevice::open(0, &crate::kernels::cuda::kernels())
        else {
            panic!("there is no driver")
        };
        assert_eq!(searched, NvidiaLibrary::Driver.candidates());
        assert!(matches!(
            CudaDevice::count(),
            Err(DeviceUnavailable::NoDriver { .. })
        ));
    }
}
