//! Drag-based image editing with Stable Diffusion 1.5: the user marks regions of a picture and says where they go, and the
//! picture is edited so that its content follows.
//!
//! Data flows one way, and every step has a room of its own:
//!
//! 1. [`drag_file`] reads what the user asked for, strictly and with the place of every fault; [`outline`] and [`mask`] are its shapes.
//! 2. [`plan`] resolves one edit before any weight is read: sizes ([`geometry`]), moving [`region`]s, the editable area, [`settings`].
//! 3. [`model`] finds, checks and loads a model's files and is its network: [`model::UNet`], which several edits may share
//!    ([`model::unet::SharedUNet`]), [`model::Vae`], text encoder, LoRA files.
//! 4. [`diffusion`] walks the process: schedule, noise, fine-tuning of a LoRA, inversion, denoising.
//! 5. [`method`] moves the latent: progressive backward self-intervention (DragNeXt, arXiv 2506.07611).
//! 6. [`pipeline`] runs these stages in order for one edit; [`mod@edit`] is what comes before and after them, for whoever edits.
//!
//! Under them lie [`nn`], layers with forward and backward by hand, and [`kernels`], what a device can compute ([`kernels::cpu`] and
//! `kernels::cuda`, with the feature `cuda`, say where what is; `examples/kernels.rs` and `examples/bench` measure it, `tests/peer/bench.py` and
//! `.ci/gpu` beside PyTorch). There is no
//! autograd graph: weights are frozen, so the only gradients are those of the latent and of LoRA adapters, and nothing
//! else is computed or kept. candle reads tokens into a context ([`model::text_encoder`]); its own UNet is not used, because its gradient is
//! incomplete (fused softmax and layer norm have none).
//!
//! Around them: [`cli`] is what was typed, [`hub`] gets models from the Hugging Face hub, [`doctor`] looks at what there is,
//! [`picture`] pixels in and out, [`preview`] a plan drawn on its picture, [`files`] verified writing, [`report`] what an edit
//! leaves behind beside its pixels, [`batch`] many edits in one run, [`metrics`] how much two pictures differ, [`golden`] edits whose results
//! are known, [`merge`] what many runs left behind, [`cache`] what an edit leaves for the next one of
//! the same picture, [`digest`] hashes, [`error`] errors with stable kinds and exit statuses, [`panics`] turns panics into errors, [`warning`]
//! warnings, [`allocator`] how memory is handed out, [`progress`] how a run tells where it stands, [`interrupt`] a tidy stop, [`failpoint`] how tests
//! make it fail.
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

pub mod allocator;
pub mod batch;
pub mod cache;
pub mod cli;
pub mod device;
pub mod diffusion;
pub mod digest;
pub mod doctor;
pub mod drag_file;
pub mod edit;
mod editor;
pub mod error;
mod escape;
pub mod failpoint;
pub mod files;
pub mod geometry;
pub mod golden;
pub mod hub;
pub mod interrupt;
pub mod kernels;
pub mod mask;
pub mod merge;
pub mod method;
pub mod metrics;
pub mod model;
pub mod nn;
pub mod outline;
pub mod panics;
pub mod picture;
pub mod pipeline;
pub mod plan;
pub mod preview;
pub mod progress;
pub mod region;
pub mod report;
pub mod settings;
pub mod warning;

pub use editor::Editor;
pub use error::Error;
