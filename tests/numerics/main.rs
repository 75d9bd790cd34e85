//! Numerics of the library: layers compared with plain loops and finite differences, networks and edits with PyTorch.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "tests fail by panicking, and print measurements and why they are skipped"
)]

mod allocation;
#[path = "../bench/mod.rs"]
mod bench;
mod clip_drag;
mod copies;
mod correspondence;
mod edit;
mod full_size;
mod keys;
mod layers;
mod lora;
mod parity;
mod points;
mod prompt;
mod reference;
mod shared_unet;
mod unedited;
mod warped_edit;
mod weight_file_mutations;
