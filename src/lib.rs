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
//! Everything that can be wrong with an instruction is found before weights are read; one [`pipeline::Editor`] then does any number of
//! edits. The model here is the tests' own, tiny and random; `demo` or a folder with Stable Diffusion 1.5 takes its place.
//!
//! ```
//! use std::path::Path;
//!
//! use dragnext::diffusion::Seeded;
//! use dragnext::drag_file::DragFile;
//! use dragnext::interrupt::Interrupt;
//! use dragnext::kernels::cpu::Cpu;
//! use dragnext::model::Model;
//! use dragnext::pipeline::{Editor, Work};
//! use dragnext::plan::Plan;
//! use dragnext::progress::Silent;
//! use dragnext::settings::{Overrides, Settings};
//! use dragnext::{files, picture};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let out = folder.path().join("out.png");
//! let drag_path = Path::new("examples/edits/translation-07/drag.json");
//! let original = picture::read(Path::new("examples/edits/translation-07/input.png"))?.picture;
//!
//! // What is asked for, and with which numbers: ours, else the drag file's, else the model's own.
//! let drag = DragFile::read(drag_path)?;
//! let model = Model::open("tests/fixtures/tiny", None)?;
//! let ours = Overrides { strength: Some(0.1), iterations: Some(2), lora_steps: Some(0), size: Some(96), ..Overrides::default() };
//! let settings = Settings::resolve(&ours.over(&drag.settings).over(model.defaults()))?;
//! let plan = Plan::new(&drag, drag_path, original.size(), &settings, model.native_size())?;
//!
//! // The same work gives the same numbers, with any number of threads.
//! let interrupt = Interrupt::never();
//! let mut editor = Editor::load(Cpu, model, &mut Silent, &interrupt)?;
//! let work = Work { plan: &plan, picture: original.working(&plan.frame), lora: None };
//! let outcome = editor.edit(work, &mut Seeded::of(&settings), &mut Silent, &interrupt)?;
//!
//! // Outside the editable area the result has the original's own pixels.
//! let edited = original.composite(&plan.frame, &outcome.picture, plan.blend().as_deref());
//! assert_eq!(edited.pixel(0, 0), original.pixel(0, 0));
//! files::write_verified(&out, &edited.png(None)?, false, |written| edited.check_png(written))?;
//! # assert!(image::open(&out).is_ok());
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

pub use error::Error;
