//! The CUDA backend without a GPU: its kernels run on the CPU in an emulator, and plain loops
//! replace NVIDIA's libraries. The tests do not show the speed of a GPU or the behaviour of its
//! driver and libraries.

mod attention;
mod compiled;
mod emulated;
mod faults;
#[path = "../fixture/mod.rs"]
mod fixture;
mod network;
#[path = "../numbers/mod.rs"]
mod numbers;
mod operations;
mod sampling;
mod whole_edit;
