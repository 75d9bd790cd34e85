//! A GPU of NVIDIA's, from compute capability 8.0: memory and kernels through the driver, products through cuBLASLt, convolutions through
//! cuDNN where it is installed.
//!
//! All libraries are looked for when a device is opened. The program needs none of them to start, and says which one is missing.
//!
//! All work goes through one stream, in the order in which it was asked for. Several threads may ask; what they ask for is then in the
//! order of their calls, as if one had asked.
#![allow(
    unsafe_code,
    reason = "NVIDIA's driver and libraries have C interfaces"
)]

mod call;
mod context;
mod convolution;
mod description;
mod descriptors;
mod library;
mod memory;
mod module;
mod multiplier;
mod plan;
mod product;
mod staging;
mod unavailable;

use std::sync::{Arc, OnceLock};

use cudarc::cublaslt::sys::cublasLtGetVersion;
use cudarc::cudnn::sys::cudnnGetVersion;
use cudarc::driver::sys::CUdevice_attribute;

use self::context::Context;
use self::convolution::Convolver;
use self::memory::Memory as DeviceMemory;
use self::module::Module;
use self::multiplier::Multiplier;
use self::staging::Staging;
use crate::kernels::cuda::driver::{
    Address, Convolution, ConvolutionData, Convolved, Driver, Launch, Memory, Product,
};
use crate::kernels::fault::DeviceFault;

pub use self::unavailable::Unavailable;

/// The kernels' PTX is of CUDA 12.0.
const MINIMUM_DRIVER: u32 = 12_000;
/// The kernels use instructions of Ampere.
const MINIMUM_CAPABILITY: (u32, u32) = (8, 0);

/// An open GPU. Fields go in this order when it does: what uses memory and context before those.
#[derive(Debug)]
pub struct Device {
    convolver: Result<Convolver, Unavailable>,
    multiplier: Multiplier,
    module: Module,
    staging: Staging,
    memory: Arc<DeviceMemory>,
    context: Arc<Context>,
    multiprocessors: u32,
    /// The fault after which every call fails.
    lost: OnceLock<DeviceFault>,
}

/// Versions of the libraries, as NVIDIA writes them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Libraries {
    /// Of cuBLASLt.
    pub cublaslt: String,
    /// Of cuDNN; or why it is not used, which makes convolutions slower and nothing else worse.
    pub cudnn: Result<String, Unavailable>,
}

impl Device {
    /// How many GPUs there are; at least one. Those that are too old count, too.
    ///
    /// # Errors
    /// [`Unavailable::NoDriver`], [`Unavailable::DriverTooOld`], [`Unavailable::NoDevice`], [`Unavailable::Failed`].
    pub fn count() -> Result<usize, Unavailable> {
        context::start()
    }

    /// Opens the GPU `index` and loads `kernels`, a text in PTX, onto it.
    ///
    /// # Errors
    /// [`Unavailable`].
    pub fn open(index: usize, kernels: &str) -> Result<Self, Unavailable> {
        let context = Arc::new(Context::open(index)?);
        multiplier::version()?;
        let module = Module::load(Arc::clone(&context), kernels)?;
        let memory = Arc::new(DeviceMemory::new(Arc::clone(&context))?);
        let staging = Staging::new(Arc::clone(&context))?;
        let multiplier = Multiplier::new(Arc::clone(&context), Arc::clone(&memory))?;
        let convolver = Convolver::new(Arc::clone(&context), Arc::clone(&memory));
        let multiprocessors =
            context.attribute(CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?;
        Ok(Self {
            convolver,
            multiplier,
            module,
            staging,
            memory,
            context,
            multiprocessors,
            lost: OnceLock::new(),
        })
    }

    /// The GPU's name.
    ///
    /// # Errors
    /// [`DeviceFault::Lost`].
    pub fn name(&self) -> Result<String, DeviceFault> {
        Ok(self.context.name()?)
    }

    /// The GPU's compute capability, major and minor.
    ///
    /// # Errors
    /// [`DeviceFault::Lost`].
    pub fn compute_capability(&self) -> Result<(u32, u32), DeviceFault> {
        Ok(self.context.capability()?)
    }

    /// The newest CUDA that the driver supports: 12020 is 12.2.
    ///
    /// # Errors
    /// [`DeviceFault::Lost`].
    pub fn driver_version(&self) -> Result<u32, DeviceFault> {
        Ok(context::driver_version()?)
    }

    /// Versions of the libraries in use.
    pub fn libraries(&self) -> Libraries {
        let text = |version: usize| {
            format!(
                "{}.{}.{}",
                version / 10_000,
                version / 100 % 100,
                version % 100
            )
        };
        // SAFETY: the library was found when the device was opened.
        let cublaslt = text(unsafe { cublasLtGetVersion() });
        // SAFETY: likewise, or it is not asked.
        let cudnn = self
            .convolver
            .as_ref()
            .map(|_| text(unsafe { cudnnGetVersion() }))
            .map_err(Unavailable::clone);
        Libraries { cublaslt, cudnn }
    }

    /// Convolutions that cuDNN could not do, or not with bias and residual in one go, and why.
    pub fn refused_convolutions(&self) -> Vec<(Convolution, String)> {
        self.convolver
            .as_ref()
            .map(Convolver::refused)
            .unwrap_or_default()
    }

    /// Does something with the context bound to this thread. After a fault that leaves the GPU unusable, every call fails with that one:
    /// the driver would blame whichever call comes next.
    fn guarded<T>(&self, work: impl FnOnce() -> Result<T, DeviceFault>) -> Result<T, DeviceFault> {
        if let Some(fault) = self.lost.get() {
            return Err(fault.clone());
        }
        self.context.enter()?;
        work().inspect_err(|fault| {
            if matches!(fault, DeviceFault::Lost { .. }) && self.context.is_lost() {
                let _ = self.lost.set(fault.clone());
            }
        })
    }
}

impl Driver for Device {
    fn allocate(&self, bytes: usize) -> Result<Address, DeviceFault> {
        self.guarded(|| self.memory.allocate(bytes))
    }

    fn free(&self, address: Address) {
        // The memory of a lost GPU goes with its context.
        let _ = self.guarded(|| {
            self.memory.free(address);
            Ok(())
        });
    }

    fn write(&self, to: Address, bytes: &[u8]) -> Result<(), DeviceFault> {
        self.guarded(|| self.staging.write(to, bytes))
    }

    fn read(&self, from: Address, bytes: &mut [u8]) -> Result<(), DeviceFault> {
        self.guarded(|| self.memory.read(from, bytes))
    }

    fn copy(&self, from: Address, to: Address, bytes: usize) -> Result<(), DeviceFault> {
        self.guarded(|| self.memory.copy(from, to, bytes))
    }

    fn clear(&self, to: Address, bytes: usize) -> Result<(), DeviceFault> {
        self.guarded(|| self.memory.clear(to, bytes))
    }

    fn launch(&self, launch: &Launch) -> Result<(), DeviceFault> {
        self.guarded(|| self.module.launch(launch))
    }

    fn product(&self, product: &Product) -> Result<(), DeviceFault> {
        self.guarded(|| self.multiplier.multiply(product))
    }

    fn convolution(
        &self,
        shape: &Convolution,
        data: &ConvolutionData,
    ) -> Result<Convolved, DeviceFault> {
        match &self.convolver {
            Ok(convolver) => self.guarded(|| convolver.convolve(shape, data)),
            Err(_) => Ok(Convolved::Not),
        }
    }

    fn memory(&self) -> Memory {
        self.guarded(|| Ok(self.memory.bytes()))
            .unwrap_or(Memory { free: 0, total: 0 })
    }

    fn multiprocessors(&self) -> u32 {
        self.multiprocessors
    }

    fn description(&self) -> String {
        format!(
            "{:?} {:?} {:?} {:?}",
            self.name(),
            self.compute_capability(),
            self.driver_version(),
            self.libraries()
        )
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        // What fails here has failed before. The parts wait for the stream, too, each before it gives back what work may use.
        let _ = self
            .context
            .enter()
            .and_then(|()| self.context.synchronise());
    }
}

#[cfg(test)]
mod tests {
    use super::library::Library;
    use super::*;

    #[test]
    #[expect(clippy::print_stderr, reason = "a test that cannot run says so")]
    fn a_machine_without_a_driver_says_so() {
        if Library::Driver.find().is_ok() {
            eprintln!("skipped: this machine has a driver");
            return;
        }
        let Err(Unavailable::NoDriver { searched, .. }) = Device::open(0, "") else {
            panic!("there is no driver to open a device with")
        };
        assert_eq!(searched, Library::Driver.candidates());
        assert!(matches!(Device::count(), Err(Unavailable::NoDriver { .. })));
    }
}
