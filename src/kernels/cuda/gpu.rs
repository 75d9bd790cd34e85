//! A GPU and its memory pool, shared by all buffers on it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};

use super::driver::{
    Address, Convolution, ConvolutionData, ConvolutionOutcome, Driver, Gemm, KernelArgument,
    Launch, Operation, Outcome,
};
use super::memory::{Allocation, Buffer, lock};
use super::pass::{self, Passes};
use super::pool::AllocationPool;
use crate::kernels::fault::{DeviceFault, throw};
use crate::kernels::loss_scale::LossScale;

/// Threads per block of every kernel except fused attention.
pub(super) const THREADS: u32 = 256;

/// Resident blocks per multiprocessor of an elementwise kernel. A thread loops over a large buffer.
const RESIDENT_BLOCKS: u32 = 8;

/// Free bytes from which that many pictures are processed at once: a recorded forward pass over one
/// picture of 512 x 512 takes about 0.8 GB in 16-bit formats beside 2 GB of weights, and some memory
/// stays for the libraries.
const PICTURES_BY_FREE_MEMORY: [(u64, usize); 2] = [(12_000_000_000, 4), (6_000_000_000, 2)];

/// A GPU with its memory pool.
#[derive(Debug)]
pub(super) struct Gpu {
    driver: Box<dyn Driver>,
    pool: Mutex<AllocationPool>,
    passes: Mutex<Passes>,
    /// Pictures of 512 x 512 that a recorded forward pass should process at once.
    pictures_at_once: usize,
    loss_scale: LossScale,
    launches: AtomicU64,
    /// Memory of [`Gpu::finished_blocks`], allocated at its first use.
    finished_blocks: OnceLock<Address>,
}

impl Gpu {
    pub(super) fn new(driver: Box<dyn Driver>) -> Arc<Self> {
        // Decided once, because batches of another size round differently. A card of 12 GB has a
        // little less free.
        let free = driver.memory().free;
        let fitting = PICTURES_BY_FREE_MEMORY
            .iter()
            .find(|(bytes, _)| free >= bytes - bytes / 16);
        Arc::new(Self {
            pictures_at_once: fitting.map_or(1, |(_, pictures)| *pictures),
            driver,
            pool: Mutex::default(),
            passes: Mutex::default(),
            loss_scale: LossScale::default(),
            launches: AtomicU64::new(0),
            finished_blocks: OnceLock::new(),
        })
    }

    pub(super) fn driver(&self) -> &dyn Driver {
        &*self.driver
    }

    /// Locks the pool.
    pub(super) fn pool(&self) -> MutexGuard<'_, AllocationPool> {
        lock(&self.pool)
    }

    /// Locks the passes.
    pub(super) fn passes(&self) -> MutexGuard<'_, Passes> {
        lock(&self.passes)
    }

    pub(super) fn pictures_at_once(&self) -> usize {
        self.pictures_at_once
    }

    /// Returns the pool's unused memory to the system, with that of the passes.
    pub(super) fn trim(&self) {
        self.free_unused();
        // A lost GPU is reported by the next call.
        let _ = self.driver.trim();
    }

    /// Frees the pool's unused memory, with that of the passes.
    pub(super) fn free_unused(&self) {
        pass::submit_held(self);
        pass::forget(self);
        self.pool().trim(self.driver());
    }

    /// Returns the number of kernel launches and library calls so far.
    pub(super) fn launches(&self) -> u64 {
        self.launches.load(Ordering::Relaxed)
    }

    /// Counts a launch.
    pub(super) fn count_launch(&self) {
        self.launches.fetch_add(1, Ordering::Relaxed);
    }

    /// Submits an operation, or lets the pass of this thread hold it back.
    ///
    /// # Errors
    /// [`DeviceFault::Refused`]; it throws other faults.
    fn submit(&self, operation: &Operation) -> Result<Outcome, DeviceFault> {
        if let Some(outcome) = pass::hold_back(self, operation) {
            return outcome;
        }
        let outcome = self.submit_now(operation);
        pass::record(self, operation, &outcome);
        outcome
    }

    /// Submits an operation. If it runs out of memory, frees the pool's unused memory and retries
    /// once.
    ///
    /// # Errors
    /// As [`Gpu::submit`].
    pub(super) fn submit_now(&self, operation: &Operation) -> Result<Outcome, DeviceFault> {
        if operation.is_launch() {
            self.count_launch();
        }
        let result = match operation.submit(self.driver()) {
            Err(DeviceFault::OutOfMemory { .. }) => {
                self.trim();
                operation.submit(self.driver())
            }
            result => result,
        };
        match result {
            Err(fault @ DeviceFault::Refused { .. }) => Err(fault),
            result => Ok(ok_or_throw(result)),
        }
    }

    /// Copies from device to device. The ranges must not overlap.
    pub(super) fn copy(&self, from: Address, to: Address, bytes: usize) {
        ok_or_throw(self.submit(&Operation::Copy { from, to, bytes }));
    }

    /// Sets bytes to zero.
    pub(super) fn clear(&self, to: Address, bytes: usize) {
        ok_or_throw(self.submit(&Operation::Clear { to, bytes }));
    }

    /// Copies from host to device.
    pub(super) fn write(&self, to: Address, bytes: &[u8]) {
        pass::submit_held(self);
        ok_or_throw(self.driver.write(to, bytes));
    }

    /// Copies from device to host.
    pub(super) fn read(&self, from: Address, bytes: &mut [u8]) {
        pass::submit_held(self);
        ok_or_throw(self.driver.read(from, bytes));
    }

    /// Runs a convolution.
    pub(super) fn convolution(
        &self,
        shape: &Convolution,
        data: &ConvolutionData,
    ) -> ConvolutionOutcome {
        match ok_or_throw(self.submit(&Operation::Convolution(*shape, *data))) {
            Outcome::Convolution(outcome) => outcome,
            Outcome::Complete => ConvolutionOutcome::Full,
        }
    }

    /// Waits until all submitted operations are done.
    pub(super) fn synchronise(self: &Arc<Self>) {
        Allocation::new(self, 1).read(&mut [0]);
    }

    /// Returns the loss scale.
    pub(super) fn loss_scale(&self) -> &LossScale {
        &self.loss_scale
    }

    /// Launches `kernel` with [`THREADS`] threads per block.
    pub(super) fn launch(&self, kernel: &str, blocks: [usize; 3], arguments: &[KernelArgument]) {
        self.launch_with(kernel, blocks, THREADS, 0, arguments);
    }

    /// Launches `kernel` with any number of threads and `shared` bytes of dynamic shared memory per
    /// block.
    pub(super) fn launch_with(
        &self,
        kernel: &str,
        blocks: [usize; 3],
        threads: u32,
        shared: u32,
        arguments: &[KernelArgument],
    ) {
        let blocks = blocks.map(count_as_u32);
        ok_or_throw(self.submit(&Operation::Launch(Launch {
            kernel,
            blocks,
            threads,
            shared,
            arguments,
        })));
    }

    /// Returns the number of groups from which one block reduces each: then every multiprocessor has
    /// work. Fewer groups are shared by several blocks.
    pub(super) fn shared_groups(&self) -> usize {
        2 * self.driver.multiprocessors() as usize
    }

    /// Returns a counter of finished blocks for each of [`Gpu::shared_groups`] groups. A kernel in which
    /// several blocks reduce a group finds zeros and leaves zeros; kernels run one after another, so all
    /// share the counters.
    pub(super) fn finished_blocks(&self) -> Address {
        *self.finished_blocks.get_or_init(|| {
            let bytes = self.shared_groups() * size_of::<u32>();
            let counters = ok_or_throw(self.driver.allocate(bytes));
            ok_or_throw(self.driver.clear(counters, bytes));
            counters
        })
    }

    /// Returns the grid size for `count` values, rows or warps of which a block processes
    /// `per_block` at a time.
    pub(super) fn grid_size(&self, count: usize, per_block: usize) -> usize {
        count.div_ceil(per_block).clamp(
            1,
            (self.driver.multiprocessors() * RESIDENT_BLOCKS) as usize,
        )
    }

    /// Launches a kernel that loops over `count` values with any grid size. Does nothing if `count`
    /// is 0.
    pub(super) fn launch_elementwise(
        &self,
        kernel: &str,
        count: usize,
        arguments: &[KernelArgument],
    ) {
        if count > 0 {
            self.launch(
                kernel,
                [self.grid_size(count, THREADS as usize), 1, 1],
                arguments,
            );
        }
    }

    /// Multiplies matrices.
    pub(super) fn gemm(&self, gemm: &Gemm) {
        ok_or_throw(self.submit(&Operation::Gemm(*gemm)));
    }

    /// Multiplies matrices, or returns `false` if the library has no algorithm for the product.
    pub(super) fn try_gemm(&self, gemm: &Gemm) -> bool {
        self.submit(&Operation::Gemm(*gemm)).is_ok()
    }
}

/// Unwraps a result of the driver; throws a fault.
pub(super) fn ok_or_throw<T>(result: Result<T, DeviceFault>) -> T {
    result.unwrap_or_else(|fault| throw(fault))
}

/// Converts a count for a kernel, which has 32-bit indices; throws a fault if it is larger.
fn count_as_u32(count: usize) -> u32 {
    u32::try_from(count).unwrap_or_else(|_| {
        throw(DeviceFault::Refused {
            call: "cuLaunchKernel".into(),
            reason: format!("{count} does not fit the kernels' 32-bit indices"),
        })
    })
}

impl Drop for Gpu {
    fn drop(&mut self) {
        if let Some(counters) = self.finished_blocks.take() {
            self.driver.free(counters);
        }
        self.trim();
    }
}

impl From<&Buffer> for KernelArgument {
    fn from(buffer: &Buffer) -> Self {
        Self::Pointer(buffer.address())
    }
}

impl From<&mut Buffer> for KernelArgument {
    fn from(buffer: &mut Buffer) -> Self {
        Self::Pointer(buffer.address())
    }
}

impl From<Option<&Buffer>> for KernelArgument {
    fn from(buffer: Option<&Buffer>) -> Self {
        Self::Pointer(buffer.map_or(Address::NULL, Buffer::address))
    }
}

impl From<&Allocation> for KernelArgument {
    fn from(allocation: &Allocation) -> Self {
        Self::Pointer(allocation.address())
    }
}

impl From<Address> for KernelArgument {
    fn from(address: Address) -> Self {
        Self::Pointer(address)
    }
}

impl From<usize> for KernelArgument {
    fn from(count: usize) -> Self {
        Self::U32(count_as_u32(count))
    }
}

impl From<bool> for KernelArgument {
    fn from(flag: bool) -> Self {
        Self::U32(flag.into())
    }
}

impl From<f32> for KernelArgument {
    fn from(value: f32) -> Self {
        Self::F32(value)
    }
}
