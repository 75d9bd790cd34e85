//! A candle device with what its operations share: index tables, the loss scale, and the conversion of failures to faults.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{Device, Result, Tensor};

use super::failure::{self, MemoryState};
use super::gather::{GatherTable, GatherTables};
use crate::kernels::fault::throw;
use crate::kernels::loss_scale::LossScale;

/// Maximum bytes of patches, or of an attention's scores, in memory at once.
pub const CHUNK_BYTES: usize = 128 << 20;

/// A device of this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The CPU.
    Cpu,
    /// The NVIDIA GPU with this index; needs the feature `candle-cuda`.
    Cuda(usize),
    /// The Apple GPU with this index; needs the feature `metal`.
    Metal(usize),
}

/// A candle device, shared by all buffers on it.
#[derive(Debug)]
pub(super) struct CandleDevice {
    device: Device,
    chunk_bytes: usize,
    loss_scale: LossScale,
    tables: Mutex<GatherTables>,
}

impl CandleDevice {
    pub(super) fn new(device: Device, chunk_bytes: usize) -> Self {
        Self {
            device,
            chunk_bytes,
            loss_scale: LossScale::default(),
            tables: Mutex::new(HashMap::new()),
        }
    }

    /// Returns the device of tensors.
    pub(super) fn tensors(&self) -> &Device {
        &self.device
    }

    /// Returns how many values of `bytes` each a chunk may have.
    pub(super) fn values_per_chunk(&self, bytes: usize) -> usize {
        self.chunk_bytes / bytes
    }

    pub(super) fn loss_scale(&self) -> &LossScale {
        &self.loss_scale
    }

    /// Returns the index table of `key`, which is uploaded once.
    pub(super) fn table(&self, key: GatherTable) -> Result<Tensor> {
        let mut tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(table) = tables.get(&key) {
            return Ok(table.clone());
        }
        let indices = key.indices();
        let len = indices.len();
        let table = Tensor::from_vec(indices, len, &self.device)?;
        tables.insert(key, table.clone());
        Ok(table)
    }

    /// Runs `work`, which changes nothing that it reads, and returns its result. If it runs out of memory, releases what is not needed and
    /// runs it once more. Throws a fault if it fails.
    pub(super) fn run<T>(&self, work: impl Fn() -> Result<T>) -> T {
        let result = match work() {
            Err(error) if failure::is_out_of_memory(&error) => {
                self.trim();
                work()
            }
            result => result,
        };
        result.unwrap_or_else(|error| throw(failure::fault(&error, self.memory())))
    }

    /// Waits for all submitted operations.
    pub(super) fn synchronise(&self) {
        // A failure of the device also fails the next operation that returns a result.
        drop(self.device.synchronize());
    }

    /// Releases memory that is kept for reuse.
    pub(super) fn trim(&self) {
        self.tables
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
        self.synchronise();
        #[cfg(feature = "candle-cuda")]
        if let Device::Cuda(device) = &self.device {
            super::cuda::trim(device);
        }
    }

    /// Returns the device's name as [`Backend::arithmetic`](crate::kernels::Backend::arithmetic) has it.
    pub(super) fn description(&self) -> String {
        match &self.device {
            Device::Cpu => "cpu".into(),
            #[cfg(feature = "candle-cuda")]
            Device::Cuda(device) => super::cuda::description(device),
            #[cfg(feature = "metal")]
            Device::Metal(device) => super::metal::description(device),
            #[cfg(not(all(feature = "candle-cuda", feature = "metal")))]
            device => format!("{:?}", device.location()),
        }
    }

    /// Returns the device's name, with the driver's version where it is known.
    pub(super) fn identity(&self) -> String {
        #[cfg(feature = "candle-cuda")]
        if let Device::Cuda(_) = &self.device {
            return format!("{}, {}", self.description(), super::cuda::driver());
        }
        self.description()
    }

    /// Returns the peak of device memory in bytes, if the device has memory of its own.
    pub(super) fn peak_bytes(&self) -> Option<u64> {
        match &self.device {
            #[cfg(feature = "candle-cuda")]
            Device::Cuda(device) => super::cuda::peak_bytes(device),
            _ => None,
        }
    }

    fn memory(&self) -> Option<MemoryState> {
        match &self.device {
            #[cfg(feature = "candle-cuda")]
            Device::Cuda(device) => super::cuda::memory(device),
            #[cfg(feature = "metal")]
            Device::Metal(device) => Some(super::metal::memory(device)),
            _ => None,
        }
    }
}

/// A shared device.
pub(super) type SharedDevice = Arc<CandleDevice>;

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use candle_core::Error;

    use super::*;
    use crate::error::ErrorKind;
    use crate::kernels::fault;

    fn failure(text: &str) -> Error {
        Error::Cuda(text.into())
    }

    #[test]
    fn lack_of_memory_is_retried_once_and_other_failures_are_not() {
        let device = CandleDevice::new(Device::Cpu, CHUNK_BYTES);
        let key = GatherTable::Sources(super::super::gather::Resize {
            from: [1, 1],
            to: [2, 2],
        });
        device.table(key).expect("the CPU has memory");
        let calls = Cell::new(0);
        let first_fails = || {
            calls.set(calls.get() + 1);
            match calls.get() {
                1 => Err(failure(
                    "DriverError(CUDA_ERROR_OUT_OF_MEMORY, \"out of memory\")",
                )),
                _ => Ok(7),
            }
        };
        assert_eq!((device.run(first_fails), calls.get()), (7, 2));
        let tables = device.tables.lock().expect("no panic");
        assert!(tables.is_empty(), "what can be made again is released");
        drop(tables);
        for (text, kind, expected) in [
            (
                "CUBLAS_STATUS_ALLOC_FAILED",
                ErrorKind::ComputeOutOfMemory,
                2,
            ),
            ("CUDA_ERROR_LAUNCH_FAILED", ErrorKind::DeviceLost, 1),
        ] {
            calls.set(0);
            let fails = || -> Result<()> {
                calls.set(calls.get() + 1);
                Err(failure(text))
            };
            let error = fault::catch(|| {
                device.run(fails);
                Ok(())
            });
            let error = error.expect_err("every call fails");
            assert_eq!((error.kind(), calls.get()), (kind, expected), "{text}");
        }
    }
}
