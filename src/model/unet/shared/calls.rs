//! What lanes ask and what they hear.

use crate::kernels::Backend;
use crate::kernels::fault::DeviceFault;
use crate::model::unet::{AdapterPlace, Gradients, Output, Prompt};
use crate::nn::{Mutual, Shape, Tensor};

/// What a lane asks.
#[derive(Debug)]
pub(super) enum UNetRequest<B: Backend> {
    /// Adapters of its own.
    Attach { rank: usize },
    /// Their parameters, merged into the weights of its pictures.
    Merge { parameters: Tensor<B> },
    /// A prompt's keys and values with these weights.
    Prepare { tokens: Tensor<B> },
    /// What others may ask at the same time.
    Call(Call<B>),
}

/// A question that is answered together with equal ones of other lanes.
#[derive(Debug)]
pub(super) enum Call<B: Backend> {
    Forward(Forward<B>),
    Backward(Backward<B>),
}

/// A prompt, as [`crate::model::unet::Context`], that the question owns.
#[derive(Debug)]
pub(super) enum Words<B: Backend> {
    Tokens(Tensor<B>),
    Prepared(Prompt<B>),
}

/// A lane's pictures, and what is wanted of them.
#[derive(Debug)]
pub(super) struct Forward<B: Backend> {
    pub(super) z: Tensor<B>,
    pub(super) timesteps: Vec<f64>,
    pub(super) words: Words<B>,
    pub(super) noise: bool,
    pub(super) taps: Vec<usize>,
    pub(super) records: bool,
    /// Parameters of adapters that learn.
    pub(super) parameters: Option<Tensor<B>>,
    pub(super) mutual: Option<Mutual>,
}

impl<B: Backend> Forward<B> {
    /// Can one call answer both?
    pub(super) fn joins(&self, other: &Self) -> bool {
        let of_one = |shape: Shape| Shape { batch: 1, ..shape };
        let start = |forward: &Self| forward.mutual.as_ref().map(|mutual| mutual.start_layer);
        let words = match (&self.words, &other.words) {
            (Words::Tokens(a), Words::Tokens(b)) => of_one(a.shape()) == of_one(b.shape()),
            (Words::Prepared(a), Words::Prepared(b)) => of_one(a.shape()) == of_one(b.shape()),
            _ => false,
        };
        words
            && of_one(self.z.shape()) == of_one(other.z.shape())
            && (self.noise, &self.taps, self.records) == (other.noise, &other.taps, other.records)
            && self.parameters.is_some() == other.parameters.is_some()
            && start(self) == start(other)
    }
}

/// The way back of a trip.
#[derive(Debug)]
pub(super) struct Backward<B: Backend> {
    pub(super) trip: u64,
    pub(super) gradients: Gradients<B>,
    pub(super) need_input: bool,
}

/// What a lane hears.
#[derive(Debug)]
pub(super) enum UNetReply<B: Backend> {
    Places(Vec<AdapterPlace>),
    Done,
    Prompt(Prompt<B>),
    Output(Output<B>),
    /// Gradients of the latents, if they were asked for, and of the adapters' parameters, if they learn.
    Gradients {
        input: Option<Tensor<B>>,
        parameters: Option<Tensor<B>>,
    },
    Failed(CallError),
}

/// Why there is no answer.
#[derive(Debug, Clone)]
pub(super) enum CallError {
    Fault(DeviceFault),
    Panic(String),
}
