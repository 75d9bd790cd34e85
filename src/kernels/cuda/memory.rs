//! Memory of the GPU that is used again, and the buffers in it. All work runs in the order in which it was asked for, so memory may
//! go to its next user while its last one is still at work.

use std::collections::BTreeMap;
use std::fmt::{self, Debug, Formatter};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::driver::{Address, Driver, Format};
use super::gpu::Gpu;
use crate::kernels::fault::{DeviceFault, throw};

/// Sizes are rounded up to it, so that buffers of about one size share memory.
const STEP: usize = 512;

/// Freed memory by its size, and what was asked of the driver.
#[derive(Debug, Default)]
pub(super) struct Pool {
    waiting: BTreeMap<usize, Vec<Address>>,
    /// Bytes that the driver gave and has not got back.
    held: u64,
    /// The most that was ever held.
    peak: u64,
}

impl Pool {
    /// Memory of at least `bytes` and little more.
    fn reuse(&mut self, bytes: usize) -> Option<(Address, usize)> {
        let (size, waiting) = self
            .waiting
            .range_mut(bytes..=bytes + bytes / 8)
            .find(|(_, waiting)| !waiting.is_empty())?;
        waiting.pop().map(|address| (address, *size))
    }

    fn hold(&mut self, bytes: usize) {
        self.held += bytes as u64;
        self.peak = self.peak.max(self.held);
    }

    /// The most bytes that were held at once.
    pub(super) fn peak(&self) -> u64 {
        self.peak
    }

    /// Gives all waiting memory back to the driver.
    pub(super) fn trim(&mut self, driver: &dyn Driver) {
        for (size, waiting) in std::mem::take(&mut self.waiting) {
            for address in waiting {
                driver.free(address);
                self.held -= size as u64;
            }
        }
    }
}

/// The pool, whatever happened to others who used it.
pub(super) fn lock(pool: &Mutex<Pool>) -> std::sync::MutexGuard<'_, Pool> {
    pool.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A piece of the GPU's memory, which goes back to the pool when it is dropped.
pub(super) struct Memory {
    gpu: Arc<Gpu>,
    address: Address,
    bytes: usize,
}

impl Memory {
    /// At least `bytes` of anything.
    pub(super) fn new(gpu: &Arc<Gpu>, bytes: usize) -> Self {
        let bytes = bytes.max(1).next_multiple_of(STEP);
        let mut pool = lock(gpu.pool());
        let (address, bytes) = pool.reuse(bytes).unwrap_or_else(|| {
            let full = |fault: &DeviceFault| matches!(fault, DeviceFault::OutOfMemory { .. });
            let allocated = match gpu.driver().allocate(bytes) {
                Err(fault) if full(&fault) => {
                    // What waits to be used again may be what is missing.
                    pool.trim(gpu.driver());
                    gpu.driver().allocate(bytes)
                }
                allocated => allocated,
            };
            let address = allocated.unwrap_or_else(|fault| throw(fault));
            pool.hold(bytes);
            (address, bytes)
        });
        drop(pool);
        Self {
            gpu: Arc::clone(gpu),
            address,
            bytes,
        }
    }

    /// The same bytes as on the host.
    pub(super) fn from_host(gpu: &Arc<Gpu>, bytes: &[u8]) -> Self {
        let memory = Self::new(gpu, bytes.len());
        gpu.done(gpu.driver().write(memory.address, bytes));
        memory
    }

    /// Where it lies.
    pub(super) fn address(&self) -> Address {
        self.address
    }

    /// Its first bytes, on the host.
    pub(super) fn read(&self, bytes: &mut [u8]) {
        self.gpu.done(self.gpu.driver().read(self.address, bytes));
    }
}

impl Debug for Memory {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "Memory({} bytes)", self.bytes)
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        lock(self.gpu.pool())
            .waiting
            .entry(self.bytes)
            .or_default()
            .push(self.address);
    }
}

/// Numbers in the GPU's memory.
pub struct Buffer {
    memory: Memory,
    format: Format,
    len: usize,
    /// The same numbers in another format, for what is read again and again, such as a bias.
    twin: OnceLock<Box<Buffer>>,
}

impl Debug for Buffer {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "Buffer({} numbers of {})", self.len, self.format.name())
    }
}

impl Buffer {
    /// Numbers of any value.
    pub(super) fn uninit(gpu: &Arc<Gpu>, format: Format, len: usize) -> Self {
        Self {
            memory: Memory::new(gpu, len * format.bytes()),
            format,
            len,
            twin: OnceLock::new(),
        }
    }

    /// f32 zeros.
    pub(super) fn zeros(gpu: &Arc<Gpu>, len: usize) -> Self {
        let buffer = Self::uninit(gpu, Format::F32, len);
        gpu.done(
            gpu.driver()
                .clear(buffer.address(), len * Format::F32.bytes()),
        );
        buffer
    }

    /// f32 numbers of the host.
    pub(super) fn upload(gpu: &Arc<Gpu>, numbers: &[f32]) -> Self {
        let memory = Memory::from_host(gpu, bytemuck::cast_slice(numbers));
        Self {
            memory,
            format: Format::F32,
            len: numbers.len(),
            twin: OnceLock::new(),
        }
    }

    /// The numbers on the host.
    pub(super) fn download(&self) -> Vec<f32> {
        if self.format != Format::F32 {
            return self.converted(Format::F32, 1.0).download();
        }
        let mut numbers = vec![0.0f32; self.len];
        self.memory.read(bytemuck::cast_slice_mut(&mut numbers));
        numbers
    }

    /// A second buffer with the same numbers.
    pub(super) fn duplicate(&self) -> Self {
        let gpu = self.gpu();
        let copy = Self::uninit(gpu, self.format, self.len);
        gpu.done(gpu.driver().copy(
            self.address(),
            copy.address(),
            self.len * self.format.bytes(),
        ));
        copy
    }

    /// factor * these numbers in `format`.
    pub(super) fn converted(&self, format: Format, factor: f32) -> Self {
        self.part(0, self.len, format, factor)
    }

    /// factor * `len` of these numbers from `first` on, in `format`.
    pub(super) fn part(&self, first: usize, len: usize, format: Format, factor: f32) -> Self {
        assert!(first + len <= self.len, "a part lies inside its buffer");
        let gpu = self.gpu();
        let y = Self::uninit(gpu, format, len);
        let kernel = format!("convert_{}_to_{}", self.format.name(), format.name());
        gpu.spread(
            &kernel,
            len,
            &[
                self.at(first).into(),
                (&y).into(),
                factor.into(),
                len.into(),
            ],
        );
        y
    }

    /// These numbers in `format`: themselves, or a twin that is made once.
    pub(super) fn stored_as(&self, format: Format) -> &Self {
        if self.format == format {
            return self;
        }
        let twin = self
            .twin
            .get_or_init(|| Box::new(self.converted(format, 1.0)));
        assert_eq!(twin.format, format, "numbers have one twin");
        twin
    }

    /// The GPU.
    pub(super) fn gpu(&self) -> &Arc<Gpu> {
        &self.memory.gpu
    }

    /// How the numbers are stored.
    pub(super) fn format(&self) -> Format {
        self.format
    }

    /// Their count.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Where the first one lies.
    pub(super) fn address(&self) -> Address {
        self.memory.address
    }

    /// Where number `index` lies.
    pub(super) fn at(&self, index: usize) -> Address {
        self.address().plus(index * self.format.bytes())
    }
}
