//! What changes the latent: progressive backward self-intervention (DragNeXt, arXiv 2506.07611).
//!
//! A method gets the inverted latent and the regions' ways, and moves the latent so that decoder features of the regions
//! appear where the drag puts them. It knows the network's features and gradients, but no files and no pictures.

mod correspondence;
mod divergence;
mod eta;
mod feature_loss;
mod frozen;
mod pbsi;
mod start;

pub use correspondence::Correspondence;
pub use eta::Ramp;
pub use frozen::Frozen;
pub use pbsi::{Dragged, Pbsi};
pub use start::moved_start;
