//! The candle backend on candle's CPU device, which runs the same calls as its GPUs. The tests do not show the speed or the kernels of a GPU.
//! `tests/numerics/layers` holds every layer on this backend to the slow reference and to finite differences.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

#[path = "../bench/mod.rs"]
mod bench;
mod device_check;
#[path = "../faulty/mod.rs"]
mod faulty;
mod network;
mod operations;
#[path = "../parity/mod.rs"]
mod parity;
mod whole_edit;
