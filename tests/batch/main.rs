//! `dragnext batch` as users run it, on a tiny model with random weights: nothing is lost or edited twice, and every fault is reported.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

#[path = "../bench/mod.rs"]
mod bench;
#[cfg(unix)]
mod crash;
#[cfg(unix)]
mod environment;
mod failures;
mod folder;
mod groups;
#[cfg(target_os = "linux")]
mod large;
mod list;
mod pairing;
mod resume;
mod shards;
mod stops;
mod variants;
