//! What the test crates share: fixtures that PyTorch computed, reproducible numbers, pictures made byte by byte, and the program run on
//! them in a folder of its own. Every crate takes its part, so parts are unused in each.
#![allow(dead_code, reason = "every test crate uses its own part")]

pub(crate) mod fixture;
pub(crate) mod numbers;
pub(crate) mod pictures;
