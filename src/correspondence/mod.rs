//! Where the content of a picture lies in its edited version, by features of a diffusion model, and how far that is from where a drag wanted it: the
//! mean distance of the field's benchmarks.
//!
//! | module | contents |
//! |---|---|
//! | [`dift`] | DIFT features (Tang et al., arXiv 2306.03881): a decoder stage's output for a noisy latent |
//! | [`matching`] | the pixel of the edited picture whose feature is most similar to that of a pixel of the original |
//! | [`distance`] | distances of a picture's drags in the variants of the published scripts |
//!
//! Takes pictures of the same size as 8-bit RGB, and points in their pixels. Nothing here writes or prints; which pictures, points and masks
//! belong together, and what becomes of the distances of many pictures, is up to the caller.

pub mod dift;
pub mod distance;
pub mod matching;

pub use dift::{AnyDift, Dift, DiftModel, Posterior, STAGE, STAGES};
pub use distance::{Dragged, Variant, centroid, distances};
pub use matching::{Enlargement, FeatureMap, Matcher};
