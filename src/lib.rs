//! Drag-based image editing with Stable Diffusion 1.5.

pub mod cli;
pub mod digest;
pub mod drag_file;
pub mod error;
pub mod files;
pub mod geometry;
pub mod interrupt;
pub mod mask;
pub mod outline;
pub mod picture;
pub mod plan;
pub mod progress;
pub mod region;
pub mod report;
pub mod settings;
