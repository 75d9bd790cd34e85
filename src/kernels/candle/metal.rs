//! What only candle's Metal devices have: the GPU's name and figures of its memory.

use candle_core::{Device, Error, MetalDevice, Result};

use super::failure::MemoryState;

/// Opens the Apple GPU with this index. candle would panic where there is none.
pub(super) fn open(index: usize) -> Result<Device> {
    let count = candle_metal_kernels::metal::Device::all().len();
    if index < count {
        Device::new_metal(index)
    } else {
        Err(Error::Msg(format!("there are {count} Metal devices")))
    }
}

/// Returns the memory that the GPU should not exceed, and how much of it is not allocated by this process.
pub(super) fn memory(opened: &MetalDevice) -> MemoryState {
    let device = opened.metal_device();
    let total = device.recommended_max_working_set_size() as u64;
    MemoryState {
        free: total.saturating_sub(device.current_allocated_size() as u64),
        total,
    }
}

/// Returns the GPU's architecture.
pub(super) fn description(opened: &MetalDevice) -> String {
    format!("metal {}", opened.metal_device().architecture_name())
}
