//! Differentiable layers with forward and backward by hand.
//!
//! A layer computes `forward(x, pass) -> y` and `backward(dy, pass) -> dx`. A recording [`Pass`] keeps, on a stack,
//! what the backward pass will need; backward calls come in exactly the opposite order and take it off again.
//! Weights are frozen: the only weight gradients are those of LoRA adapters, which go into one flat buffer.
//! There is no graph, so nothing is computed that nobody reads.

mod attention;
mod conv;
mod feed_forward;
mod linear;
mod norm;
mod pass;
mod tensor;
mod upsample;

pub use attention::{Attention, Mutual};
pub use conv::Conv;
pub use feed_forward::FeedForward;
pub use linear::{Adapter, Linear};
pub use norm::{GroupNorm, LayerNorm};
pub use pass::{Learner, Pass, Run, Tape};
pub use tensor::{Shape, Tensor};
pub use upsample::{upsample, upsample_backward};
