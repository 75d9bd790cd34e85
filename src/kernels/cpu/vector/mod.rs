//! SIMD: loops in the widest vector instructions of the machine, chosen at run time.
//!
//! | module | contents |
//! |---|---|
//! | `dispatch` | chooses the instruction set; [`vectorised!`] compiles a function for all of them |
//! | `operators` | [`Vector`], a vector with operators |
//! | `loops` | loads, stores, and loops over slices |
//! | `exponential` | powers of two |

#![allow(unsafe_code)]

mod dispatch;
mod exponential;
mod loops;
mod operators;

#[cfg(feature = "failpoints")]
pub(super) use dispatch::forced_lanes;
pub(super) use dispatch::{UnsafeWithSimd, dispatch, dispatch_unsafe, instructions, vectorised};
pub(super) use exponential::exp2;
pub(super) use loops::{load, map, store, sums, update};
pub(super) use operators::Vector;
