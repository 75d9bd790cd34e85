//! Drag-based image editing.

pub mod error;
pub mod interrupt;
pub mod kernels;
pub mod model;
pub mod nn;
pub mod progress;
pub mod settings;
pub use error::Error;
#[allow(missing_docs)]
pub mod drag_file {
    #[derive(Debug, Clone)]
    pub struct Fault { pub kind: &'static str, pub hint: Option<String> }
    impl std::fmt::Display for Fault { fn fmt(&self, _: &mut std::fmt::Formatter) -> std::fmt::Result { Ok(()) } }
}
