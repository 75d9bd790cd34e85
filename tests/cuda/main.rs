//! The CUDA backend without a GPU: its kernels run on the CPU in an emulator, and plain loops replace
//! NVIDIA's libraries. The device itself runs against fake libraries. The tests do not show the speed
//! of a GPU or the behaviour of its driver and libraries.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod alexnet;
mod attention;
#[path = "../bench/mod.rs"]
mod bench;
mod compiled;
mod counted;
mod device;
mod device_check;
mod emulated;
mod faults;
#[path = "../faulty/mod.rs"]
mod faulty;
mod graph_failures;
mod graphs;
mod launches;
mod network;
mod operations;
#[path = "../parity/mod.rs"]
mod parity;
mod sampling;
mod unedited;
mod whole_edit;
