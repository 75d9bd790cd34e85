//! Layers with forward and backward passes written by hand.
//!
//! A layer computes `forward(x, pass) -> y` and `backward(dy, pass) -> dx`. A recording [`Pass`] pushes what the backward pass
//! needs on a tape, which is a stack; backward calls come in the reverse order of the forward calls and pop it.
//! Weights are frozen: the only parameters with gradients are those of LoRA adapters, in one flat tensor.
//! There is no autograd graph, so only gradients that are used are computed.

mod attention;
mod conv;
mod feed_forward;
mod keys;
mod linear;
mod loss;
mod norm;
mod pass;
mod silu;
mod tensor;
mod upsample;

pub use attention::{Attention, Mutual};
pub use conv::Conv;
pub use feed_forward::FeedForward;
pub use keys::{KeySource, KeysAndValues};
pub use linear::{Adapter, Linear};
pub use loss::{Finiteness, Loss};
pub use norm::{GroupNorm, LayerNorm};
pub use pass::{BackwardPass, Learner, Pass, Run, Tape};
pub use silu::{silu, silu_backward};
pub use tensor::{Shape, Tensor};
pub use upsample::{upsample, upsample_backward};
