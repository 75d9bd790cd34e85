//! Checks of a backend against the CPU backend, which `tests/numerics` holds to a slow reference. The tests of several backends use them.
#![allow(dead_code, reason = "each test crate uses a part of the checks")]

pub(crate) mod attention;
pub(crate) mod network;
pub(crate) mod operations;
pub(crate) mod sampling;
