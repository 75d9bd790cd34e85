//! A driver that counts calls and computes nothing.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use dragnext::kernels::cuda::driver::{
    Address, Convolution, ConvolutionData, ConvolutionOutcome, Driver, Gemm, Graph, Launch,
    MemoryInfo, RecordedOperation,
};
use dragnext::kernels::fault::DeviceFault;

/// A GPU whose memory holds nothing; reads return zeros.
#[derive(Debug)]
pub(super) struct Counting {
    allocated: AtomicU64,
    memory: u64,
    /// Launches by kernel, library calls, copies, and graphs.
    pub(super) calls: Arc<Mutex<BTreeMap<String, usize>>>,
}

impl Counting {
    /// A GPU with so many bytes.
    pub(super) fn with_memory(bytes: u64) -> Self {
        Self {
            allocated: AtomicU64::new(0),
            memory: bytes,
            calls: Arc::default(),
        }
    }

    fn count(&self, name: &str) {
        count(&self.calls, name);
    }
}

/// Counts a launch.
#[derive(Debug)]
struct CountingGraph {
    calls: Arc<Mutex<BTreeMap<String, usize>>>,
}

impl Graph for CountingGraph {
    fn launch(&self) -> Result<(), DeviceFault> {
        count(&self.calls, "graph");
        Ok(())
    }
}

fn count(calls: &Mutex<BTreeMap<String, usize>>, name: &str) {
    let mut calls = calls.lock().expect("no call panicked");
    *calls.entry(name.to_owned()).or_default() += 1;
}

impl Driver for Counting {
    fn allocate(&self, bytes: usize) -> Result<Address, DeviceFault> {
        let bytes = bytes.next_multiple_of(256) as u64;
        Ok(Address(
            256 + self.allocated.fetch_add(bytes, Ordering::Relaxed),
        ))
    }

    fn free(&self, _: Address) {}

    fn trim(&self) -> Result<(), DeviceFault> {
        Ok(())
    }

    fn write(&self, _: Address, _: &[u8]) -> Result<(), DeviceFault> {
        self.count("write");
        Ok(())
    }

    fn read(&self, _: Address, bytes: &mut [u8]) -> Result<(), DeviceFault> {
        self.count("read");
        bytes.fill(0);
        Ok(())
    }

    fn copy(&self, _: Address, _: Address, _: usize) -> Result<(), DeviceFault> {
        self.count("copy");
        Ok(())
    }

    fn clear(&self, _: Address, _: usize) -> Result<(), DeviceFault> {
        self.count("clear");
        Ok(())
    }

    fn launch(&self, launch: &Launch) -> Result<(), DeviceFault> {
        self.count(launch.kernel);
        Ok(())
    }

    fn gemm(&self, _: &Gemm) -> Result<(), DeviceFault> {
        self.count("gemm");
        Ok(())
    }

    fn convolution(
        &self,
        _: &Convolution,
        _: &ConvolutionData,
    ) -> Result<ConvolutionOutcome, DeviceFault> {
        self.count("convolution");
        Ok(ConvolutionOutcome::Full)
    }

    fn graph(&self, _: &[RecordedOperation]) -> Result<Box<dyn Graph>, DeviceFault> {
        self.count("graph made");
        Ok(Box::new(CountingGraph {
            calls: Arc::clone(&self.calls),
        }))
    }

    fn memory(&self) -> MemoryInfo {
        MemoryInfo {
            free: self.memory,
            total: self.memory,
        }
    }

    fn refused_convolutions(&self) -> Vec<(Convolution, String)> {
        Vec::new()
    }

    fn multiprocessors(&self) -> u32 {
        // As an H100.
        132
    }

    fn description(&self) -> String {
        "counting".into()
    }
}
