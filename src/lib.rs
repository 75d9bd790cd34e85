//! Drag-based image editing with Stable Diffusion 1.5.

pub mod drag_file;
pub mod error;
pub mod geometry;
pub mod interrupt;
pub mod mask;
pub mod outline;
pub mod plan;
pub mod progress;
pub mod region;
pub mod settings;
