//! What the CUDA backend asks of a GPU: memory, kernels, products and convolutions. [`super::Device`] asks a real one through NVIDIA's
//! driver and libraries; the tests ask a stand-in that runs the same kernels on the processor.
//!
//! All work of a driver is done in the order in which it was asked for. Reading waits for what came before; nothing else does.

use std::fmt::Debug;

use crate::kernels::fault::DeviceFault;

/// A place in the GPU's memory, in bytes; 0 stands for none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address(pub u64);

impl Address {
    /// No place.
    pub const NONE: Self = Self(0);

    /// The place `bytes` further on.
    #[must_use]
    pub fn plus(self, bytes: usize) -> Self {
        Self(self.0 + bytes as u64)
    }
}

/// How numbers are stored. Sums and products are of f32 whatever the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Format {
    /// 32 bits.
    F32,
    /// 16 bits with 11 of precision, up to 65504.
    F16,
    /// 16 bits with 8 of precision, with the range of f32.
    Bf16,
}

impl Format {
    /// Bytes of a number.
    pub fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
        }
    }

    /// As kernels' names end, and as users write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
        }
    }
}

/// An argument of a kernel.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Argument {
    /// A pointer.
    Address(Address),
    /// `unsigned`.
    Count(u32),
    /// `float`.
    Number(f32),
}

/// One start of a kernel.
#[derive(Debug, Clone, Copy)]
pub struct Launch<'a> {
    /// Its name in the module.
    pub kernel: &'a str,
    /// Blocks along x, y and z.
    pub blocks: [u32; 3],
    /// Threads of a block.
    pub threads: u32,
    /// Bytes of shared memory beside what the kernel declares itself.
    pub shared: u32,
    /// In the kernel's order.
    pub arguments: &'a [Argument],
}

/// A matrix in memory: row-major, rows `stride` numbers apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stored {
    /// Number (0, 0) of the first matrix of a batch.
    pub address: Address,
    /// How numbers are stored.
    pub format: Format,
    /// Numbers from one row to the next.
    pub stride: usize,
    /// Numbers from one matrix of a batch to the next; 0 where all read the same one.
    pub batch_stride: usize,
}

/// c = alpha a b + beta c0 + bias for a batch of matrices.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Product {
    /// Rows of c.
    pub rows: usize,
    /// Columns of c.
    pub cols: usize,
    /// Columns of a, rows of b.
    pub inner: usize,
    /// Matrices.
    pub batch: usize,
    /// Factor of the product.
    pub alpha: f32,
    /// (rows, inner), or (inner, rows) when `a_transposed`.
    pub a: Stored,
    /// Is a stored with rows and columns exchanged?
    pub a_transposed: bool,
    /// (inner, cols), or (cols, inner) when `b_transposed`. Of a's format.
    pub b: Stored,
    /// Is b stored with rows and columns exchanged?
    pub b_transposed: bool,
    /// (rows, cols); of a's format or f32.
    pub c: Stored,
    /// c0 (rows, cols), of c's format and with c's strides or others, and beta; c itself where it is added to.
    pub add: Option<(Stored, f32)>,
    /// One number per column, of c's format; only where there is one matrix.
    pub bias: Option<Address>,
}

/// A convolution's direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// y from x.
    Forward,
    /// dx from dy.
    Backward,
}

/// A convolution over NHWC pictures with KRSC weights and zeros around, all of one format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Convolution {
    /// Which way.
    pub direction: Direction,
    /// How numbers are stored.
    pub format: Format,
    /// Pictures.
    pub batch: usize,
    /// Height, width and channels of x.
    pub input: [usize; 3],
    /// Height, width and channels of y.
    pub output: [usize; 3],
    /// Kernel height and width.
    pub kernel: usize,
    /// Step between two output pixels, in input pixels.
    pub stride: usize,
    /// Zero rows above and zero columns left of x. Below and to the right there are as many as y's size asks for, perhaps more.
    pub pad: usize,
}

/// Where a convolution reads and writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConvolutionData {
    /// x forward, dy backward.
    pub from: Address,
    /// (out, kernel, kernel, in).
    pub weight: Address,
    /// y forward, dx backward.
    pub to: Address,
    /// Forward only: one number per channel of y, of the convolution's format.
    pub bias: Option<Address>,
    /// Forward only: numbers of y's shape to add.
    pub residual: Option<Address>,
}

/// What has been done with a convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Convolved {
    /// All of it, with bias and residual.
    Whole,
    /// The convolution alone; bias and residual are still to be added.
    Bare,
    /// Nothing: there is no library for it, or it cannot do this one.
    Not,
}

/// Bytes of a GPU's memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// Nobody's.
    pub free: u64,
    /// In all.
    pub total: u64,
}

/// A GPU.
pub trait Driver: Debug + Send + Sync {
    /// `bytes` of memory, aligned to 256.
    ///
    /// # Errors
    /// [`DeviceFault::OutOfMemory`], [`DeviceFault::Lost`].
    fn allocate(&self, bytes: usize) -> Result<Address, DeviceFault>;
    /// Gives memory back; work that was asked for before may still use it.
    fn free(&self, address: Address);
    /// Host to device.
    ///
    /// # Errors
    /// [`DeviceFault::Lost`].
    fn write(&self, to: Address, bytes: &[u8]) -> Result<(), DeviceFault>;
    /// Device to host, after all that was asked for before.
    ///
    /// # Errors
    /// [`DeviceFault::Lost`].
    fn read(&self, from: Address, bytes: &mut [u8]) -> Result<(), DeviceFault>;
    /// Device to device; the two places do not overlap.
    ///
    /// # Errors
    /// [`DeviceFault::Lost`].
    fn copy(&self, from: Address, to: Address, bytes: usize) -> Result<(), DeviceFault>;
    /// Zeros.
    ///
    /// # Errors
    /// [`DeviceFault::Lost`].
    fn clear(&self, to: Address, bytes: usize) -> Result<(), DeviceFault>;
    /// Starts a kernel.
    ///
    /// # Errors
    /// [`DeviceFault::Lost`].
    fn launch(&self, launch: &Launch) -> Result<(), DeviceFault>;
    /// Products of matrices.
    ///
    /// # Errors
    /// [`DeviceFault::Lost`], [`DeviceFault::OutOfMemory`] for the library's own needs.
    fn product(&self, product: &Product) -> Result<(), DeviceFault>;
    /// A convolution.
    ///
    /// # Errors
    /// As [`Driver::product`].
    fn convolution(
        &self,
        shape: &Convolution,
        data: &ConvolutionData,
    ) -> Result<Convolved, DeviceFault>;
    /// The GPU's memory.
    fn memory(&self) -> Memory;
    /// Multiprocessors, for how many blocks are worth starting.
    fn multiprocessors(&self) -> u32;
    /// The GPU and what computes on it, with versions: where they are others, sums may be rounded in another way.
    fn description(&self) -> String;
}
