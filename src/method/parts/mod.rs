//! Building blocks that methods share.
//!
//! | module | contents |
//! |---|---|
//! | `correspondence` | which point of the edited picture should look like which point of the original |
//! | `moved_start` | an inverted latent with every object's noise at its target |
//! | `warped_start` | the inverted latent of the warped picture |
//! | `vacated_noise` | fresh noise for cells whose content is new |
//! | `drag_energies`, `feature_similarity`, `moved_squares` | energies of features that guide a denoising, and the squares around points that they compare |
//! | `frozen` | latent cells outside the editable area: the term that holds them, and their reset |
//! | `latent_adam` | Adam on a latent |
//! | `single_timestep` | a drag of points at the noisiest timestep alone, around its optimisation |
//! | `divergence` | detects an optimisation that diverges |
//! | `mask_term` | the term that holds the frozen cells, at one timestep |
//! | `point_pairs`, `grid_features` | handles and targets on the supervision grid, and features there |
//! | `motion_supervision`, `point_tracking` | the loss that moves points, and where they are |
//! | `drag_gradient`, `text_gradient` | from that loss to the gradient of the latent, and of the text embedding |
//! | `point_timestep` | a drag of points at one timestep, and the loop of methods that have only one |
//! | `point_log` | losses and paths of points |
//! | `taps` | the compared decoder stages |

mod cells;
mod correspondence;
mod divergence;
mod drag_energies;
mod drag_gradient;
mod feature_similarity;
mod frozen;
mod grid_features;
mod latent_adam;
mod latent_descent;
mod mask_term;
mod motion_supervision;
mod moved_squares;
mod moved_start;
mod point_log;
mod point_pairs;
mod point_timestep;
mod point_tracking;
mod single_timestep;
mod taps;
mod text_gradient;
mod vacated_noise;
mod warped_start;

pub(super) use cells::cell_at;
pub use correspondence::{Correspondence, on_map};
pub use divergence::DivergenceGuard;
pub(super) use drag_energies::{Energies, EnergyWeights, FeatureGradients, on_host};
pub use drag_gradient::{DragGradient, DragLoss, LatentGradient, LossOf, Outputs, in_range};
pub(super) use feature_similarity::FeatureMap;
pub use frozen::Frozen;
pub use grid_features::{GridFeatures, Patch};
pub use latent_adam::LatentAdam;
pub use latent_descent::LatentDescent;
pub use mask_term::{MaskLoss, MaskStep, MaskTerm};
pub use motion_supervision::{MotionLoss, MotionSupervision};
pub(super) use moved_squares::{MovedSquare, feature_grid, pasted};
pub use moved_start::moved_start;
pub use point_log::PointLog;
pub use point_pairs::{Cell, PointDrag};
pub use point_timestep::{MotionSource, PointDescent, PointTimestep, Updates};
pub use point_tracking::{Candidates, PointTracking};
pub use single_timestep::{Noisiest, Optimised, SingleTimestep};
pub use taps::Taps;
pub use text_gradient::{TextCode, TextGradient, TextOptimisation, TextSettings};
pub use warped_start::{is_new, warped_start};
