//! The library's numbers: layers against plain loops and finite differences, networks and edits against PyTorch.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test stops where something is not as it should be, and says what it measured"
)]

#[path = "../bench/mod.rs"]
mod bench;
mod edit;
mod full_size;
mod layers;
mod lora;
mod parity;
mod prompt;
mod reference;
mod shared_unet;
