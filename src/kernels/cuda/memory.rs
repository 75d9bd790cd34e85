//! GPU memory with reuse, and the buffers in it. Operations run in the order of submission, so a
//! freed allocation can be reused while earlier operations on it are still running.

use std::fmt::{self, Debug, Formatter};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use super::driver::{Address, Format};
use super::gpu::{Gpu, ok_or_throw};
use super::pass;
use super::pool::Block;
use crate::kernels::fault::DeviceFault;

/// Sizes are rounded up to a multiple of this, so that buffers of similar size can reuse each
/// other's memory.
const GRANULARITY: usize = 512;
/// Alignment of buffers that share an allocation, in bytes: that of the driver's allocations.
const PLANE_ALIGNMENT: usize = 256;

/// Locks a mutex. Every operation leaves its state consistent, so a poisoned lock is harmless.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An allocation on the GPU, which returns to the pool when dropped.
pub(super) struct Allocation {
    gpu: Arc<Gpu>,
    block: Block,
}

impl Allocation {
    /// Allocates at least `bytes`, uninitialised. The pass that this thread runs allocates from its arena.
    pub(super) fn new(gpu: &Arc<Gpu>, bytes: usize) -> Self {
        let bytes = bytes.max(1).next_multiple_of(GRANULARITY);
        let arena = pass::arena(gpu);
        let reused = gpu.pool().reuse(bytes, arena);
        let block = reused.unwrap_or_else(|| {
            let result = match gpu.driver().allocate(bytes) {
                Err(DeviceFault::OutOfMemory { .. }) => {
                    // Unused allocations may occupy the memory that is missing.
                    gpu.free_unused();
                    gpu.driver().allocate(bytes)
                }
                result => result,
            };
            gpu.pool().hold(bytes, ok_or_throw(result), arena)
        });
        Self {
            gpu: Arc::clone(gpu),
            block,
        }
    }

    /// Allocates memory and copies `bytes` from the host into it.
    pub(super) fn from_host(gpu: &Arc<Gpu>, bytes: &[u8]) -> Self {
        let allocation = Self::new(gpu, bytes.len());
        gpu.write(allocation.address(), bytes);
        allocation
    }

    /// Returns the address of the first byte.
    pub(super) fn address(&self) -> Address {
        self.block.address
    }

    /// Copies the first bytes to the host.
    pub(super) fn read(&self, bytes: &mut [u8]) {
        self.gpu.read(self.address(), bytes);
    }
}

impl Debug for Allocation {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "Allocation({} bytes)", self.block.bytes)
    }
}

impl Drop for Allocation {
    fn drop(&mut self) {
        let own = pass::arena(&self.gpu);
        self.gpu.pool().release(self.block, own);
    }
}

/// Values in GPU memory. Several buffers may share an allocation.
pub struct Buffer {
    allocation: Arc<Allocation>,
    /// Bytes from the start of the allocation to the first value.
    start: usize,
    format: Format,
    len: usize,
    /// The same values in another format, cached for parameters that are read often, such as a bias
    /// or the matrices of all adapters. Every operation that writes drops it.
    converted: OnceLock<Box<Buffer>>,
}

/// An allocation for several buffers of the same length and format, evenly spaced.
#[derive(Debug)]
pub(super) struct Planes {
    allocation: Arc<Allocation>,
    format: Format,
    len: usize,
}

impl Planes {
    /// Allocates `count` uninitialised buffers of `len` values each.
    pub(super) fn uninit(gpu: &Arc<Gpu>, format: Format, len: usize, count: usize) -> Self {
        let bytes = count * Self::spacing(format, len);
        Self {
            allocation: Arc::new(Allocation::new(gpu, bytes)),
            format,
            len,
        }
    }

    /// Returns the bytes from one buffer to the next.
    fn spacing(format: Format, len: usize) -> usize {
        (len * format.bytes()).next_multiple_of(PLANE_ALIGNMENT)
    }

    /// Returns buffer `index`. Take each once.
    pub(super) fn plane(&self, index: usize) -> Buffer {
        let start = index * Self::spacing(self.format, self.len);
        assert!(
            start < self.allocation.block.bytes,
            "there are so many buffers"
        );
        Buffer {
            allocation: Arc::clone(&self.allocation),
            start,
            format: self.format,
            len: self.len,
            converted: OnceLock::new(),
        }
    }
}

impl Debug for Buffer {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "Buffer({} x {})", self.len, self.format.name())
    }
}

impl Buffer {
    /// Allocates an uninitialised buffer of `len` values.
    pub(super) fn uninit(gpu: &Arc<Gpu>, format: Format, len: usize) -> Self {
        Self {
            allocation: Arc::new(Allocation::new(gpu, len * format.bytes())),
            start: 0,
            format,
            len,
            converted: OnceLock::new(),
        }
    }

    /// Returns whether the buffers share an allocation.
    pub(super) fn share_allocation(buffers: &[&Self]) -> bool {
        let shared = |pair: &[&Self]| Arc::ptr_eq(&pair[0].allocation, &pair[1].allocation);
        buffers.windows(2).all(shared)
    }

    /// Copies buffers to one allocation, with their cached copies in another format. Buffers that this
    /// returned take one operation to copy again.
    pub(super) fn copied_together(gpu: &Arc<Gpu>, buffers: &[&Self]) -> Vec<Self> {
        let parts: Vec<&Self> = buffers
            .iter()
            .flat_map(|buffer| [Some(*buffer), buffer.converted.get().map(|own| &**own)])
            .flatten()
            .collect();
        let (mut starts, mut end) = (Vec::new(), 0_usize);
        for part in &parts {
            let start = end.next_multiple_of(PLANE_ALIGNMENT);
            starts.push(start);
            end = start + part.len * part.format.bytes();
        }
        let allocation = Arc::new(Allocation::new(gpu, end));
        let are_together = Self::share_allocation(&parts)
            && parts
                .iter()
                .zip(&starts)
                .all(|(part, start)| part.start == parts[0].start + start);
        if are_together && let Some(first) = parts.first() {
            gpu.copy(first.address(), allocation.address(), end);
        } else {
            for (part, start) in parts.iter().zip(&starts) {
                let bytes = part.len * part.format.bytes();
                gpu.copy(part.address(), allocation.address().plus(*start), bytes);
            }
        }
        let mut copies = parts.iter().zip(starts).map(|(part, start)| Self {
            allocation: Arc::clone(&allocation),
            start,
            format: part.format,
            len: part.len,
            converted: OnceLock::new(),
        });
        let whole = |buffer: &&Self| {
            let copy = copies.next()?;
            if buffer.converted.get().is_some() {
                copy.converted.set(Box::new(copies.next()?)).ok();
            }
            Some(copy)
        };
        buffers.iter().filter_map(whole).collect()
    }

    /// Allocates f32 zeros.
    pub(super) fn zeros(gpu: &Arc<Gpu>, len: usize) -> Self {
        let buffer = Self::uninit(gpu, Format::F32, len);
        gpu.clear(buffer.address(), len * Format::F32.bytes());
        buffer
    }

    /// Uploads f32 values.
    pub(super) fn upload(gpu: &Arc<Gpu>, values: &[f32]) -> Self {
        Self {
            allocation: Arc::new(Allocation::from_host(gpu, bytemuck::cast_slice(values))),
            start: 0,
            format: Format::F32,
            len: values.len(),
            converted: OnceLock::new(),
        }
    }

    /// Downloads the values as f32.
    pub(super) fn download(&self) -> Vec<f32> {
        if self.format != Format::F32 {
            return self.converted(Format::F32, 1.0).download();
        }
        let mut values = vec![0.0f32; self.len];
        let bytes = bytemuck::cast_slice_mut(&mut values);
        self.gpu().read(self.address(), bytes);
        values
    }

    /// Downloads f32 buffers, with one copy to the host.
    pub(super) fn downloaded_together(gpu: &Arc<Gpu>, buffers: &[&Self]) -> Vec<Vec<f32>> {
        if let [buffer] = buffers {
            return vec![buffer.download()];
        }
        let copies = Self::copied_together(gpu, buffers);
        let values = |bytes: usize| bytes / Format::F32.bytes();
        let Some(last) = copies.last() else {
            return Vec::new();
        };
        let mut all = vec![0.0_f32; values(last.start) + last.len];
        last.allocation.read(bytemuck::cast_slice_mut(&mut all));
        let of = |copy: &Self| all[values(copy.start)..][..copy.len].to_vec();
        copies.iter().map(of).collect()
    }

    /// Copies the buffer.
    pub(super) fn duplicate(&self) -> Self {
        let copy = Self::uninit(self.gpu(), self.format, self.len);
        self.copy_to(&copy);
        copy
    }

    /// Copies the values to a buffer of the same length and format, which nothing else uses yet.
    pub(super) fn copy_to(&self, copy: &Self) {
        let bytes = self.len * self.format.bytes();
        self.gpu().copy(self.address(), copy.address(), bytes);
    }

    /// Returns factor * the values in `format`.
    pub(super) fn converted(&self, format: Format, factor: f32) -> Self {
        let y = Self::uninit(self.gpu(), format, self.len);
        let kernel = format!("convert_{}_to_{}", self.format.name(), format.name());
        self.gpu().launch_elementwise(
            &kernel,
            self.len,
            &[self.into(), (&y).into(), factor.into(), self.len.into()],
        );
        y
    }

    /// Returns the values in `format`: this buffer, or a copy that is made once and cached.
    pub(super) fn as_format(&self, format: Format) -> &Self {
        if self.format == format {
            return self;
        }
        let converted = self.converted.get_or_init(|| {
            // Another thread may read the copy at once.
            pass::submit_held(self.gpu());
            Box::new(self.converted(format, 1.0))
        });
        assert_eq!(converted.format, format, "one cached format per buffer");
        converted
    }

    /// Drops the cached copy in another format, because the values are about to change.
    pub(super) fn forget_converted(&mut self) {
        self.converted.take();
    }

    /// Returns the GPU.
    pub(super) fn gpu(&self) -> &Arc<Gpu> {
        &self.allocation.gpu
    }

    /// Returns the storage format.
    pub(super) fn format(&self) -> Format {
        self.format
    }

    /// Returns the number of values.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Returns the address of the first value.
    pub(super) fn address(&self) -> Address {
        self.allocation.address().plus(self.start)
    }

    /// Returns the address of value `index`.
    pub(super) fn address_of(&self, index: usize) -> Address {
        self.address().plus(index * self.format.bytes())
    }
}
