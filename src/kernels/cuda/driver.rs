//! The interface between the CUDA backend and a GPU: memory, kernel launches, matrix products and
//! convolutions, as the trait [`Driver`].
//!
//! [`super::device::CudaDevice`] implements it with NVIDIA's driver and libraries; the tests
//! implement it with an emulator that runs the same kernels on the CPU. All operations run on one
//! stream, in the order of submission. [`Driver::read`] waits for the preceding operations; no
//! other method waits. A [`Graph`] submits many operations with one call.

use std::fmt::{self, Debug, Display, Formatter};

pub use super::operation::{Operation, Outcome, RecordedOperation};
pub use crate::kernels::Format;
use crate::kernels::fault::DeviceFault;

/// Device address in bytes; 0 is null.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address(pub u64);

impl Address {
    /// The null address.
    pub const NULL: Self = Self(0);

    /// Returns the address `bytes` further on.
    #[must_use]
    pub fn plus(self, bytes: usize) -> Self {
        Self(self.0 + bytes as u64)
    }
}

/// Argument of a kernel.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum KernelArgument {
    /// A pointer.
    Pointer(Address),
    /// An `unsigned`.
    U32(u32),
    /// A `float`.
    F32(f32),
}

/// A kernel launch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Launch<'a> {
    /// Name of the kernel in the module.
    pub kernel: &'a str,
    /// Grid size along x, y and z.
    pub blocks: [u32; 3],
    /// Threads per block.
    pub threads: u32,
    /// Bytes of dynamic shared memory per block.
    pub shared: u32,
    /// Arguments in the order of the kernel's parameters.
    pub arguments: &'a [KernelArgument],
}

/// A batch of row-major matrices in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MatrixView {
    /// Address of element (0, 0) of the first matrix.
    pub address: Address,
    /// Storage format.
    pub format: Format,
    /// Elements from one row to the next.
    pub stride: usize,
    /// Elements from one matrix of the batch to the next; 0 if all are the same matrix.
    pub batch_stride: usize,
}

/// Batched matrix product c = alpha a b + beta c0 + bias.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Gemm {
    /// Rows of c.
    pub rows: usize,
    /// Columns of c.
    pub cols: usize,
    /// Columns of a, rows of b.
    pub inner: usize,
    /// Matrices in the batch.
    pub batch: usize,
    /// Factor of the product.
    pub alpha: f32,
    /// (rows, inner), or (inner, rows) if `a_transposed`.
    pub a: MatrixView,
    /// Whether a is stored transposed.
    pub a_transposed: bool,
    /// (inner, cols), or (cols, inner) if `b_transposed`. Same format as a.
    pub b: MatrixView,
    /// Whether b is stored transposed.
    pub b_transposed: bool,
    /// (rows, cols), in the format of a or in f32.
    pub c: MatrixView,
    /// c0 (rows, cols) and beta. c0 has the format of c; it may be c itself or have other strides.
    pub add: Option<(MatrixView, f32)>,
    /// One value per column, in the format of c. Requires a batch of 1.
    pub bias: Option<Address>,
}

/// Direction of a convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// y from x.
    Forward,
    /// dx from dy.
    Backward,
}

/// Shape of a convolution with NHWC activations, KRSC weights and zero padding, all in one format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Convolution {
    /// Forward, or backward to the input.
    pub direction: Direction,
    /// Storage format.
    pub format: Format,
    /// Pictures in the batch.
    pub batch: usize,
    /// Height, width and channels of x.
    pub input: [usize; 3],
    /// Height, width and channels of y.
    pub output: [usize; 3],
    /// Kernel height and width.
    pub kernel: usize,
    /// Stride, in input pixels.
    pub stride: usize,
    /// Zero padding above and to the left of x. The size of y determines the padding below and to
    /// the right, which may differ.
    pub pad: usize,
}

impl Display for Convolution {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self {
            direction,
            format,
            batch,
            input: [height, width, from],
            output: [_, _, to],
            kernel,
            stride,
            ..
        } = self;
        let direction = match direction {
            Direction::Forward => "forward",
            Direction::Backward => "backward",
        };
        write!(
            f,
            "{direction} {kernel} x {kernel} convolution of {batch} x {height} x {width}, {from} to {to} channels, stride {stride}, {}",
            format.name()
        )
    }
}

/// Operands of a convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConvolutionData {
    /// x if forward, dy if backward.
    pub from: Address,
    /// (out, kernel, kernel, in).
    pub weight: Address,
    /// y if forward, dx if backward.
    pub to: Address,
    /// One value per channel of y, in the convolution's format. Forward only.
    pub bias: Option<Address>,
    /// Values of the shape of y to add. Forward only.
    pub residual: Option<Address>,
}

/// What [`Driver::convolution`] computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConvolutionOutcome {
    /// Everything, including bias and residual.
    Full,
    /// The convolution without bias and residual. The caller has to add them.
    Partial,
    /// Nothing: no library supports this convolution.
    Unsupported,
}

/// Memory of a GPU in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryInfo {
    /// Available to this program.
    pub free: u64,
    /// Total.
    pub total: u64,
}

/// Operations that are submitted together, with the addresses and numbers that they were recorded with.
/// The memory at these addresses may be used for other things between two launches.
pub trait Graph: Debug + Send + Sync {
    /// Submits the operations with one call. After an error, none of them was submitted.
    ///
    /// # Errors
    /// [`DeviceFault::OutOfMemory`], [`DeviceFault::Lost`].
    fn launch(&self) -> Result<(), DeviceFault>;
}

/// A GPU.
pub trait Driver: Debug + Send + Sync {
    /// Allocates `bytes`, aligned to 256.
    ///
    /// # Errors
    /// [`DeviceFault::OutOfMemory`], [`DeviceFault::Lost`].
    fn allocate(&self, bytes: usize) -> Result<Address, DeviceFault>;
    /// Frees an allocation once the operations submitted so far are done. Its memory may be kept for
    /// later allocations.
    fn free(&self, address: Address);
    /// Returns freed memory to the system, where other programs and the GPU's libraries can allocate
    /// it. Waits for the operations submitted so far.
    ///
    /// # Errors
    /// [`DeviceFault::Lost`].
    fn trim(&self) -> Result<(), DeviceFault>;
    /// Copies from host to device.
    ///
    /// # Errors
    /// [`DeviceFault::Lost`].
    fn write(&self, to: Address, bytes: &[u8]) -> Result<(), DeviceFault>;
    /// Copies from device to host after the operations submitted so far. Returns when the bytes
    /// have arrived.
    ///
    /// # Errors
    /// [`DeviceFault::Lost`].
    fn read(&self, from: Address, bytes: &mut [u8]) -> Result<(), DeviceFault>;
    /// Copies from device to device. The ranges must not overlap.
    ///
    /// # Errors
    /// [`DeviceFault::Lost`].
    fn copy(&self, from: Address, to: Address, bytes: usize) -> Result<(), DeviceFault>;
    /// Sets bytes to zero.
    ///
    /// # Errors
    /// [`DeviceFault::Lost`].
    fn clear(&self, to: Address, bytes: usize) -> Result<(), DeviceFault>;
    /// Launches a kernel.
    ///
    /// # Errors
    /// [`DeviceFault::Lost`].
    fn launch(&self, launch: &Launch) -> Result<(), DeviceFault>;
    /// Multiplies matrices.
    ///
    /// # Errors
    /// [`DeviceFault::Lost`]; [`DeviceFault::OutOfMemory`] when the library runs out of memory;
    /// [`DeviceFault::Refused`] when it has no algorithm.
    fn gemm(&self, product: &Gemm) -> Result<(), DeviceFault>;
    /// Runs a convolution.
    ///
    /// # Errors
    /// [`DeviceFault::Lost`], [`DeviceFault::OutOfMemory`].
    fn convolution(
        &self,
        shape: &Convolution,
        data: &ConvolutionData,
    ) -> Result<ConvolutionOutcome, DeviceFault>;
    /// Makes a graph of operations that were submitted before, and submits nothing.
    ///
    /// # Errors
    /// [`DeviceFault::Refused`] if that is not possible, [`DeviceFault::OutOfMemory`],
    /// [`DeviceFault::Lost`].
    fn graph(&self, _operations: &[RecordedOperation]) -> Result<Box<dyn Graph>, DeviceFault> {
        Err(DeviceFault::Refused {
            call: "cuStreamBeginCapture".to_owned(),
            reason: "this device has no graphs".to_owned(),
        })
    }
    /// Returns the free and the total memory.
    fn memory(&self) -> MemoryInfo;
    /// Returns the convolutions that a library refused although its interface has them, or only
    /// without bias and residual, each with the reason. Slower code computed them.
    fn refused_convolutions(&self) -> Vec<(Convolution, String)>;
    /// Returns the number of multiprocessors, from which grid sizes follow.
    fn multiprocessors(&self) -> u32;
    /// Describes the GPU, its driver and its libraries with their versions. Results may be rounded
    /// differently where this differs.
    fn description(&self) -> String;
}
