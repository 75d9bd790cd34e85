//! Building blocks that methods share.
//!
//! | module | contents |
//! |---|---|
//! | `correspondence` | which point of the edited picture should look like which point of the original |
//! | `moved_start` | an inverted latent with every object's noise at its target |
//! | `warped_start` | the inverted latent of the warped picture |
//! | `vacated_noise` | fresh noise for cells whose content is new |
//! | `frozen` | latent cells outside the editable area: the term that holds them, and their reset |
//! | `latent_adam` | Adam on a latent |
//! | `divergence` | detects an optimisation that diverges |

mod cells;
mod correspondence;
mod divergence;
mod frozen;
mod latent_adam;
mod latent_descent;
mod moved_start;
mod vacated_noise;
mod warped_start;

pub(super) use cells::cell_at;
pub use correspondence::{Correspondence, on_map};
pub use divergence::DivergenceGuard;
pub use frozen::Frozen;
pub use latent_adam::LatentAdam;
pub use latent_descent::LatentDescent;
pub use moved_start::moved_start;
pub use warped_start::{is_new, warped_start};
