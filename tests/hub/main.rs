//! Models of the hub as users meet them: through the program, against a small hub on this machine that fails as it is told.
//! Every test proves first, from the hub's own log, from a failpoint or from the way a process ended, that its fault happened.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test ends where something is not as it should be"
)]

mod bench;
mod cache;
mod doctor;
mod fetch;
mod network;
mod server;
mod together;
