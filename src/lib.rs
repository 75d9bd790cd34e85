//! Drag-based image editing with Stable Diffusion 1.5: a drag file marks regions of a picture and says where they should go, and the picture
//! is edited so that its content follows.
//!
//! This page is for users of the library and for contributors. [One edit](#one-edit) shows the public API; the rest says where things are,
//! how to add a method, and how to run what CI runs. Private modules are documented with `cargo doc --document-private-items`.
//!
//! # Where things are
//!
//! Data flows one way: drag file, plan, model, encode, fine-tune, invert, drag, denoise, decode, picture and record. There are no circular
//! imports between modules.
//!
//! | module | contents |
//! |---|---|
//! | [`drag_file`] | reads drag files strictly, with the place of every fault; [`outline`] and [`mask`] are its shapes |
//! | [`settings`] | what a setting is, and the settings that all methods share |
//! | [`method`] | the methods, their settings, and what they need; `method/NAME/` is one method, `method/parts/` is shared by methods |
//! | [`plan`] | resolves one edit before any weight is read: settings, sizes ([`geometry`]), moving [`region`]s, editable area |
//! | [`model`] | finds, checks and loads a model: UNet, VAE, text encoder, tokenizer, LoRA files |
//! | [`diffusion`] | noise schedule, noise, fine-tuning of a LoRA, inversion, denoising |
//! | [`pipeline`] | runs the stages of edits, alone or side by side, with a [`cache`] of what edits of one picture share |
//! | [`editor`] | edits pictures in memory, for users of the library |
//! | [`mod@edit`] | one edit from what was read to the bytes of its result; [`batch`] does many, [`golden`] compares with expected results |
//! | [`eval`] | the metrics of the papers over many edits: statistics, comparisons |
//! | [`mod@warp`] | what a drag means for pixels, without a model: the warped picture, and the detail that a result keeps of it |
//! | [`picture`] | reads and writes pictures; [`preview`] draws plans, [`metrics`] compares pictures and measures edits, [`files`] writes verified files |
//! | [`draw`] | the page on which a browser draws a drag file |
//! | [`correspondence`] | where the content of a picture lies in its edited version, by features of a model |
//! | [`nn`] | layers, each with a forward and a backward pass by hand |
//! | [`device`] | chooses and opens the device that computes, the CPU or a GPU |
//! | [`kernels`] | the operations of a device behind one trait: [`kernels::cpu`], and `kernels::cuda` with the feature `cuda` |
//! | [`cli`] | the command line, one file for each subcommand; [`report`] prints, [`progress`] shows stages, [`merge`] sums up shards |
//! | [`mod@import`] | turns data sets and annotations into drag files; [`foreign`] recognises them |
//! | [`hub`] | fetches models from the Hugging Face hub into its cache; [`doctor`] describes a machine |
//! | [`error`] | errors with stable kinds and exit statuses, and [`warning`]s; [`panics`] turns panics into errors, [`interrupt`] handles signals |
//! | [`digest`], [`escape`] | hashes of files and settings; text of others, made safe for a terminal |
//! | [`allocator`], [`failpoint`] | bounds the memory that the C library keeps; places where tests make the program fail |
//!
//! There is no autograd graph. Weights are frozen, so the only gradients are those of latents, LoRA adapters and the prompt's embedding. candle runs only the text encoder
//! ([`model::text_encoder`]); its UNet is not used, because its gradient is incomplete (fused softmax and layer norm have none).
//!
//! Each module's own documentation has more. Integration tests are in `tests/`, one folder for each area; `tests/peer` compares with PyTorch and diffusers,
//! `tests/scenebench` has scenes with known results, `examples/bench` and `examples/kernels.rs` measure.
//!
//! # How to add a method
//!
//! [`method`] has the steps: one folder and one line.
//!
//! # How to run what CI runs
//!
//! `.ci/run` runs every check on a clean checkout: formatting, lints, each feature alone, the oldest Rust, other platforms, licences, compiled GPU
//! kernels, README's commands, golden edits and all tests. The most useful ones on their own:
//!
//! ```text
//! cargo fmt --check
//! cargo clippy --release --all-targets --features failpoints,cuda -- -D warnings
//! cargo test --release --features failpoints,cuda --test cli -- NAME      # one area; without the arguments everything
//! cargo run --release -- check examples/edits --model demo                # golden edits
//! UPDATE=1 cargo test --release --features failpoints,cuda --test cli reference   # writes assets/cli.md anew
//! ```
//!
//! # One edit
//!
//! ```
//! use std::path::Path;
//!
//! use dragnext::drag_file::DragFile;
//! use dragnext::plan::Choice;
//! use dragnext::settings::Overrides;
//! use dragnext::{Editor, picture};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let picture = picture::read(Path::new("examples/edits/translation-07/input.png"))?.picture;
//! let drag = DragFile::read(Path::new("examples/edits/translation-07/drag.json"))?;
//!
//! // A tiny random model; `demo`, a folder or a name on the hub takes its place.
//! let mut editor = Editor::open("tests/fixtures/tiny")?;
//! let choice = Choice::of(Overrides::from([("size", 96), ("iterations", 2), ("lora_steps", 0)]));
//! let edited = editor.edit(&picture, &drag, &choice)?;
//!
//! // Outside the editable area the result has the picture's own pixels.
//! assert_eq!(edited.pixel(0, 0), picture.pixel(0, 0));
//! # Ok(())
//! # }
//! ```

mod allocator;
mod batch;
pub mod cache;
pub mod cli;
pub mod correspondence;
pub mod device;
pub mod diffusion;
pub mod digest;
mod doctor;
pub mod drag_file;
mod draw;
mod edit;
mod editor;
pub mod error;
mod escape;
mod eval;
mod failpoint;
pub mod files;
pub mod foreign;
pub mod geometry;
mod golden;
mod hub;
mod import;
pub mod interrupt;
pub mod kernels;
pub mod mask;
mod merge;
pub mod method;
mod metrics;
pub mod model;
pub mod nn;
pub mod outline;
mod panics;
pub mod picture;
pub mod pipeline;
pub mod plan;
mod preview;
pub mod progress;
pub mod region;
pub mod report;
pub mod settings;
pub mod warning;
pub mod warp;

pub use editor::Editor;
pub use error::Error;
