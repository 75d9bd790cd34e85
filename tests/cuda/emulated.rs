//! An emulated GPU: host memory, the real kernels compiled for the CPU (emulator.hpp), and plain
//! loops in place of cuBLASLt and cuDNN. It rejects what a GPU would reject.

#![allow(unsafe_code)]

mod graph;
mod libraries;

use std::alloc::{Layout, alloc, dealloc};
use std::collections::BTreeMap;
use std::ffi::{CString, c_void};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dragnext::kernels::cuda::driver::{
    Address, Convolution, ConvolutionData, ConvolutionOutcome, Driver, Gemm, Graph, KernelArgument,
    Launch, MemoryInfo, RecordedOperation,
};
use dragnext::kernels::fault::DeviceFault;

pub(crate) use self::graph::GraphSupport;
use super::compiled::kernels;

/// Initial byte of allocated memory: 0xff bytes are NaN in every format.
const INITIAL_BYTE: u8 = 0xff;

/// What the emulated cuDNN supports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ConvolutionSupport {
    /// Nothing, as without cuDNN.
    Unsupported,
    /// Nothing, although cuDNN is there.
    Refused,
    /// Convolutions without bias and residual.
    Partial,
    /// Convolutions with bias and residual.
    Full,
}

/// The emulated GPU. A clone is the same GPU.
#[derive(Debug, Clone)]
pub(crate) struct Emulated {
    convolutions: ConvolutionSupport,
    limit: usize,
    state: Arc<Mutex<MemoryState>>,
    launches: Launches,
    graphs: GraphSupport,
}

/// Kernel launches by name, and products, convolutions, graphs and trims as `gemm`, `convolution`, `graph` and `trim`. The operations of a
/// graph are counted too.
pub(crate) type Launches = Arc<Mutex<BTreeMap<String, Launched>>>;

/// Launches of one kernel.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Launched {
    pub(crate) count: usize,
    /// Blocks of the last launch.
    pub(crate) blocks: u32,
    /// Warp-level exchanges of the last launch.
    pub(crate) exchanges: u32,
}

#[derive(Debug, Default)]
struct MemoryState {
    /// Size of every allocation, by address.
    allocations: BTreeMap<u64, usize>,
    held: usize,
    refused: Vec<(Convolution, String)>,
}

impl Emulated {
    pub(crate) fn new(convolutions: ConvolutionSupport) -> Self {
        Self::with_memory(convolutions, usize::MAX)
    }

    /// Limits the memory to `limit` bytes.
    pub(crate) fn with_memory(convolutions: ConvolutionSupport, limit: usize) -> Self {
        Self {
            convolutions,
            limit,
            state: Arc::default(),
            launches: Arc::default(),
            graphs: GraphSupport::Full,
        }
    }

    /// With graphs made in this way.
    pub(crate) fn with_graphs(self, graphs: GraphSupport) -> Self {
        Self { graphs, ..self }
    }

    /// Returns the launches, which are counted on after the GPU is given to a backend.
    pub(crate) fn launches(&self) -> Launches {
        Arc::clone(&self.launches)
    }

    fn count(&self, name: &str, blocks: u32, exchanges: u32) {
        let mut launches = self.launches.lock().unwrap_or_else(PoisonError::into_inner);
        let launched = launches.entry(name.to_owned()).or_default();
        *launched = Launched {
            count: launched.count + 1,
            blocks,
            exchanges,
        };
    }

    fn state(&self) -> MutexGuard<'_, MemoryState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Checks that a range is inside one allocation.
    fn check(&self, address: Address, bytes: usize) {
        let state = self.state();
        let inside = state
            .allocations
            .range(..=address.0)
            .next_back()
            .is_some_and(|(start, allocations)| {
                address.0 + bytes as u64 <= start + *allocations as u64
            });
        assert!(
            inside,
            "{bytes} bytes at {:#x} are not allocated",
            address.0
        );
    }
}

impl Driver for Emulated {
    fn allocate(&self, bytes: usize) -> Result<Address, DeviceFault> {
        let mut state = self.state();
        let free = self.limit.saturating_sub(state.held);
        if bytes > free {
            return Err(DeviceFault::OutOfMemory {
                need: bytes as u64,
                free: free as u64,
                total: self.limit as u64,
            });
        }
        let layout = Layout::from_size_align(bytes, 256).expect("the layout is valid");
        // SAFETY: the size is not zero, and the memory is initialised before use.
        let address = unsafe {
            let memory = alloc(layout);
            assert!(!memory.is_null(), "the host has enough memory");
            memory.write_bytes(INITIAL_BYTE, bytes);
            memory as u64
        };
        state.allocations.insert(address, bytes);
        state.held += bytes;
        Ok(Address(address))
    }

    fn free(&self, address: Address) {
        let mut state = self.state();
        let bytes = state
            .allocations
            .remove(&address.0)
            .expect("only allocations are freed");
        state.held -= bytes;
        // SAFETY: allocated with this size and alignment, and not used again.
        unsafe {
            dealloc(
                address.0 as *mut u8,
                Layout::from_size_align(bytes, 256).expect("the layout is valid"),
            );
        }
    }

    fn trim(&self) -> Result<(), DeviceFault> {
        self.count("trim", 0, 0);
        Ok(())
    }

    fn write(&self, to: Address, bytes: &[u8]) -> Result<(), DeviceFault> {
        self.check(to, bytes.len());
        // SAFETY: the range was checked and does not overlap the host's bytes.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), to.0 as *mut u8, bytes.len()) };
        Ok(())
    }

    fn read(&self, from: Address, bytes: &mut [u8]) -> Result<(), DeviceFault> {
        self.check(from, bytes.len());
        // SAFETY: as above.
        unsafe {
            std::ptr::copy_nonoverlapping(from.0 as *const u8, bytes.as_mut_ptr(), bytes.len());
        }
        Ok(())
    }

    fn copy(&self, from: Address, to: Address, bytes: usize) -> Result<(), DeviceFault> {
        self.check(from, bytes);
        self.check(to, bytes);
        assert!(
            from.0.abs_diff(to.0) >= bytes as u64,
            "the ranges do not overlap"
        );
        // SAFETY: both ranges were checked.
        unsafe { std::ptr::copy_nonoverlapping(from.0 as *const u8, to.0 as *mut u8, bytes) };
        Ok(())
    }

    fn clear(&self, to: Address, bytes: usize) -> Result<(), DeviceFault> {
        self.check(to, bytes);
        // SAFETY: the range was checked.
        unsafe { (to.0 as *mut u8).write_bytes(0, bytes) };
        Ok(())
    }

    fn launch(&self, launch: &Launch) -> Result<(), DeviceFault> {
        type Entry =
            unsafe extern "C" fn(*const i8, *const u32, u32, u32, *const *const c_void, u32) -> i32;
        let library = kernels().expect("tests check `available` first");
        let name = CString::new(launch.kernel).expect("the name has no zero byte");
        let values: Vec<*const c_void> = launch
            .arguments
            .iter()
            .map(|argument| match argument {
                KernelArgument::Pointer(Address(address)) => std::ptr::from_ref(address).cast(),
                KernelArgument::U32(count) => std::ptr::from_ref(count).cast(),
                KernelArgument::F32(number) => std::ptr::from_ref(number).cast(),
            })
            .collect();
        // SAFETY: the emulator checks the name, the number of arguments and the sizes. Reads and
        // writes of the kernels are what the tests test.
        let (status, exchanges) = unsafe {
            let entry = library
                .get::<Entry>(b"emulator_launch")
                .expect("the emulator's entry");
            let exchanges = library
                .get::<unsafe extern "C" fn() -> u32>(b"emulator_exchanges")
                .expect("the emulator's counter");
            let blocks = launch.blocks.as_ptr();
            let status = entry(
                name.as_ptr().cast(),
                blocks,
                launch.threads,
                launch.shared,
                values.as_ptr(),
                values.len() as u32,
            );
            (status, exchanges())
        };
        self.count(launch.kernel, launch.blocks.iter().product(), exchanges);
        let reason = [
            "",
            "no kernel has this name",
            "the number of arguments is wrong",
            "no GPU supports these sizes",
        ][status as usize];
        assert_eq!(status, 0, "{}: {reason}: {launch:?}", launch.kernel);
        Ok(())
    }

    fn gemm(&self, gemm: &Gemm) -> Result<(), DeviceFault> {
        self.count("gemm", 0, 0);
        self.multiply(gemm);
        Ok(())
    }

    fn convolution(
        &self,
        shape: &Convolution,
        data: &ConvolutionData,
    ) -> Result<ConvolutionOutcome, DeviceFault> {
        if self.convolutions == ConvolutionSupport::Refused {
            let mut state = self.state();
            if !state.refused.iter().any(|(refused, _)| refused == shape) {
                state
                    .refused
                    .push((*shape, "refused by the test".to_owned()));
            }
        }
        if matches!(
            self.convolutions,
            ConvolutionSupport::Unsupported | ConvolutionSupport::Refused
        ) {
            return Ok(ConvolutionOutcome::Unsupported);
        }
        self.count("convolution", 0, 0);
        Ok(self.convolve(shape, data))
    }

    fn graph(&self, operations: &[RecordedOperation]) -> Result<Box<dyn Graph>, DeviceFault> {
        self.graphs.graph(self, operations)
    }

    fn memory(&self) -> MemoryInfo {
        let held = self.state().held;
        MemoryInfo {
            free: (self.limit - held) as u64,
            total: self.limit as u64,
        }
    }

    fn refused_convolutions(&self) -> Vec<(Convolution, String)> {
        self.state().refused.clone()
    }

    fn description(&self) -> String {
        "emulated".into()
    }

    fn multiprocessors(&self) -> u32 {
        // Few, because blocks run one after another; more than one, so that sums are split.
        3
    }
}
