//! The page of `dragnext draw` in real browsers: shapes are drawn with pointers, saved, validated and edited; the page's rules agree with the
//! program's. Each test is skipped with a message where its browser is not installed.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "tests fail by panicking, and print measurements and why they are skipped"
)]

#[path = "../bench/mod.rs"]
mod bench;
mod command;
mod drawing;
mod files;
mod guidance;
mod page;
mod rules;
mod screens;
mod sidebar;
mod webdriver;
