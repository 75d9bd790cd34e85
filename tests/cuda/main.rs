//! The CUDA backend without a GPU: its kernels run on the processor, thread by thread, and plain loops stand for NVIDIA's libraries.
//! What this cannot show is how fast a GPU is, and what its driver and libraries answer.

#![allow(
    clippy::unwrap_used,
    reason = "a test stops where something is not as it should be"
)]

#[path = "../bench/mod.rs"]
mod bench;
mod compiled;
mod device;
mod emulated;
mod faults;
mod network;
mod operations;
mod whole_edit;
