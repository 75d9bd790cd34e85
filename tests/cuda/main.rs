//! The CUDA backend without a GPU: its kernels run on the processor, thread by thread, and plain loops stand for NVIDIA's libraries.
//! What this cannot show is how fast a GPU is, and what its driver and libraries answer.

mod compiled;
mod emulated;
mod faults;
#[path = "../fixture/mod.rs"]
mod fixture;
mod network;
#[path = "../numbers/mod.rs"]
mod numbers;
mod operations;
mod whole_edit;
