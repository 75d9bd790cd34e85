//! Drag-based image editing with Stable Diffusion 1.5: the user marks regions of a picture and says where they go, and the
//! picture is edited so that its content follows.
//!
//! Data flows one way, and every step has a room of its own:
//!
//! 1. [`drag_file`] reads what the user asked for, strictly and with the place of every fault; [`outline`] and [`mask`] are its shapes.
//! 2. [`plan`] resolves one edit before any weight is read: sizes ([`geometry`]), moving [`region`]s, the editable area, [`settings`].
//! 3. [`model`] finds, checks and loads a model's files and is its network: [`model::UNet`], [`model::Vae`], text encoder, LoRA files.
//! 4. [`diffusion`] walks the process: schedule, noise, fine-tuning of a LoRA, inversion, denoising.
//! 5. [`method`] moves the latent: progressive backward self-intervention (DragNeXt, arXiv 2506.07611).
//! 6. [`pipeline`] runs these stages in order for one edit.
//!
//! Under them lie [`nn`], layers with forward and backward by hand, and [`kernels`], what a device can compute. There is no
//! autograd graph: weights are frozen, so the only gradients are those of the latent and of LoRA adapters, and nothing
//! else is computed or kept. candle reads tokens into a context ([`model::text_encoder`]); its own UNet is not used, because its gradient is
//! incomplete (fused softmax and layer norm have none).
//!
//! Around them: [`cli`] is what was typed, [`picture`] pixels in and out, [`preview`] a plan drawn on its picture, [`files`] verified writing, [`report`] what an edit leaves
//! behind beside its pixels, [`digest`] hashes, [`error`] everything that can go wrong, [`warning`] what does not stop anything, [`progress`] how a run tells where it
//! stands, [`interrupt`] a tidy stop, [`failpoint`] how tests make it fail.

pub mod cli;
pub mod diffusion;
pub mod digest;
pub mod drag_file;
pub mod error;
pub mod failpoint;
pub mod files;
pub mod geometry;
pub mod interrupt;
pub mod kernels;
pub mod mask;
pub mod method;
pub mod model;
pub mod nn;
pub mod outline;
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
