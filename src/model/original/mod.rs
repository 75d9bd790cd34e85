//! Models in one file, in the layout in which Stable Diffusion 1.x and 2 were first published and in which fine-tuned models are mostly shared.
//!
//! A [`Checkpoint`] reads the header of such a file and stands for the files of a folder in diffusers' layout: it gives the configurations, the
//! vocabulary, and the names under which the tensors are stored.

mod checkpoint;
mod names;
mod vocabulary;

pub use checkpoint::Checkpoint;
pub(super) use names::{Naming, UNET_BLOCK, UNET_ENDS, third_of};
