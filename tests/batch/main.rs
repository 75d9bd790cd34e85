//! `dragnext batch` as its users run it, on a tiny model with random weights: nothing is lost, nothing is done twice, and every fault is
//! told.

#![allow(
    clippy::unwrap_used,
    reason = "a test ends where something is not as it should be"
)]

#[path = "../bench/mod.rs"]
mod bench;
mod beside;
#[cfg(unix)]
mod crash;
mod failures;
mod folder;
mod large;
mod list;
mod resume;
mod stops;
#[cfg(unix)]
mod surroundings;
mod together;
mod variants;
