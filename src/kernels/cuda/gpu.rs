//! One GPU and its memory, shared by all that lies on it.

use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use super::driver::{Address, Argument, Driver, Launch, Product};
use super::memory::{Buffer, Memory, Pool, lock};
use crate::kernels::fault::{DeviceFault, throw};

/// Threads of a block of all kernels but attention's.
pub(super) const THREADS: u32 = 256;

/// Blocks of an elementwise kernel on each multiprocessor; every thread then takes several numbers of a large buffer.
const BLOCKS: u32 = 8;

/// Gradients start their way back at about 2 to this power: f16 holds 2^-24 to 2^15.
const SCALE: i32 = 5;
/// Below 2 to this power, what is not finite has another reason.
const LEAST_SCALE: i32 = -10;

/// A GPU and the memory that waits on it.
#[derive(Debug)]
pub(super) struct Gpu {
    driver: Box<dyn Driver>,
    pool: Mutex<Pool>,
    /// Exponent of the size to which gradients are brought.
    scale: AtomicI32,
    launches: AtomicU64,
}

impl Gpu {
    pub(super) fn new(driver: Box<dyn Driver>) -> Arc<Self> {
        Arc::new(Self {
            driver,
            pool: Mutex::default(),
            scale: AtomicI32::new(SCALE),
            launches: AtomicU64::new(0),
        })
    }

    pub(super) fn driver(&self) -> &dyn Driver {
        &*self.driver
    }

    pub(super) fn pool(&self) -> &Mutex<Pool> {
        &self.pool
    }

    /// Gives waiting memory back to the driver.
    pub(super) fn trim(&self) {
        lock(&self.pool).trim(self.driver());
    }

    /// Kernels and library calls so far.
    pub(super) fn launches(&self) -> u64 {
        self.launches.load(Ordering::Relaxed)
    }

    /// A kernel or a library call, which is counted. What waits to be used again may be the memory that it lacks.
    pub(super) fn call<T>(&self, call: impl Fn(&dyn Driver) -> Result<T, DeviceFault>) -> T {
        self.launches.fetch_add(1, Ordering::Relaxed);
        self.done(match call(self.driver()) {
            Err(DeviceFault::OutOfMemory { .. }) => {
                self.trim();
                call(self.driver())
            }
            done => done,
        })
    }

    /// Waits until all that was asked for is done.
    pub(super) fn wait(self: &Arc<Self>) {
        Memory::new(self, 1).read(&mut [0]);
    }

    /// What the driver answered; a fault unwinds.
    #[expect(clippy::unused_self, reason = "reads as what was done on this GPU")]
    pub(super) fn done<T>(&self, answer: Result<T, DeviceFault>) -> T {
        answer.unwrap_or_else(|fault| throw(fault))
    }

    /// The size to which gradients are brought.
    pub(super) fn loss_scale(&self) -> f32 {
        (self.scale.load(Ordering::Relaxed) as f32).exp2()
    }

    /// Brings gradients to the first size again: what one edit met is no other one's matter.
    pub(super) fn restore_loss_scale(&self) {
        self.scale.store(SCALE, Ordering::Relaxed);
    }

    /// Halves it, unless it is small already.
    pub(super) fn lower_loss_scale(&self) -> bool {
        self.scale
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |scale| {
                (scale > LEAST_SCALE).then_some(scale - 1)
            })
            .is_ok()
    }

    /// Starts `kernel` on a grid.
    pub(super) fn launch(&self, kernel: &str, blocks: [usize; 3], arguments: &[Argument]) {
        self.launch_wide(kernel, blocks, THREADS, 0, arguments);
    }

    /// Starts `kernel` on a grid of blocks of any width, with `shared` bytes of memory each.
    pub(super) fn launch_wide(
        &self,
        kernel: &str,
        blocks: [usize; 3],
        threads: u32,
        shared: u32,
        arguments: &[Argument],
    ) {
        let blocks = blocks.map(|count| {
            u32::try_from(count).unwrap_or_else(|_| unreachable!("a grid of at most 2^32 blocks"))
        });
        self.call(|driver| {
            driver.launch(&Launch {
                kernel,
                blocks,
                threads,
                shared,
                arguments,
            })
        });
    }

    /// Blocks for `count` numbers, rows or warps of which a block takes `per_block` at a time.
    pub(super) fn blocks(&self, count: usize, per_block: usize) -> usize {
        count
            .div_ceil(per_block)
            .clamp(1, (self.driver.multiprocessors() * BLOCKS) as usize)
    }

    /// Starts a kernel that takes `count` numbers one by one, in any number of blocks.
    pub(super) fn spread(&self, kernel: &str, count: usize, arguments: &[Argument]) {
        if count > 0 {
            self.launch(
                kernel,
                [self.blocks(count, THREADS as usize), 1, 1],
                arguments,
            );
        }
    }

    /// A product of matrices.
    pub(super) fn product(&self, product: &Product) {
        self.call(|driver| driver.product(product));
    }
}

impl Drop for Gpu {
    fn drop(&mut self) {
        self.trim();
    }
}

impl From<&Buffer> for Argument {
    fn from(buffer: &Buffer) -> Self {
        Self::Address(buffer.address())
    }
}

impl From<&mut Buffer> for Argument {
    fn from(buffer: &mut Buffer) -> Self {
        Self::Address(buffer.address())
    }
}

impl From<Option<&Buffer>> for Argument {
    fn from(buffer: Option<&Buffer>) -> Self {
        Self::Address(buffer.map_or(Address::NONE, Buffer::address))
    }
}

impl From<&Memory> for Argument {
    fn from(memory: &Memory) -> Self {
        Self::Address(memory.address())
    }
}

impl From<Address> for Argument {
    fn from(address: Address) -> Self {
        Self::Address(address)
    }
}

impl From<usize> for Argument {
    fn from(count: usize) -> Self {
        Self::Count(
            u32::try_from(count)
                .unwrap_or_else(|_| unreachable!("a buffer has fewer than 2^32 numbers")),
        )
    }
}

impl From<bool> for Argument {
    fn from(flag: bool) -> Self {
        Self::Count(flag.into())
    }
}

impl From<f32> for Argument {
    fn from(number: f32) -> Self {
        Self::Number(number)
    }
}
