//! Requests of clients, each with the channel of its reply.

use std::mem::discriminant;
use std::sync::mpsc::{Receiver, Sender, channel};

use super::open_pass::Share;
use crate::kernels::Backend;
use crate::kernels::fault::DeviceFault;
use crate::model::unet::backward_pass::Gradients;
use crate::model::unet::{
    AdapterPlace, Context, Features, Input, Noise, NoiseAndFeatures, NoiseAndKeys, Prompt, Want,
};
use crate::nn::{KeySource, Shape, Tensor};

/// The sending end of a reply to one request.
#[derive(Debug)]
pub(super) struct Reply<T>(Sender<Result<T, CallError>>);

impl<T> Reply<T> {
    pub(super) fn channel() -> (Self, Receiver<Result<T, CallError>>) {
        let (sender, receiver) = channel();
        (Self(sender), receiver)
    }

    pub(super) fn send(self, result: Result<T, CallError>) {
        // A client that is gone needs no reply.
        let _ = self.0.send(result);
    }
}

/// Why a request failed.
#[derive(Debug, Clone)]
pub(super) enum CallError {
    Fault(DeviceFault),
    Panic(String),
}

/// A request of a client.
pub(super) enum Request<B: Backend> {
    /// Attaches the client's adapters.
    AttachAdapters {
        rank: usize,
        reply: Reply<Vec<AdapterPlace>>,
    },
    /// Merges the client's adapters into the weights of its latents.
    MergeAdapters {
        parameters: Tensor<B>,
        reply: Reply<()>,
    },
    /// Computes a prompt's keys and values with the client's weights.
    Prepare {
        tokens: Tensor<B>,
        reply: Reply<Prompt<B>>,
    },
    /// Calls the network, together with other clients where their calls fit.
    Call(Call<B>),
}

/// A call of the network.
pub enum Call<B: Backend> {
    Noise(ForwardCall<B, Noise>),
    Features(ForwardCall<B, Features>),
    NoiseAndFeatures(ForwardCall<B, NoiseAndFeatures>),
    NoiseAndKeys(ForwardCall<B, NoiseAndKeys>),
    Backward(BackwardCall<B>),
}

/// The kinds of [`Want`], each with its variant of [`Call`].
pub trait Kind: Sized {
    /// The call with its kind.
    fn call<B: Backend>(call: ForwardCall<B, Self>) -> Call<B>
    where
        Self: Want;
}

impl Kind for Noise {
    fn call<B: Backend>(call: ForwardCall<B, Self>) -> Call<B> {
        Call::Noise(call)
    }
}

impl Kind for Features {
    fn call<B: Backend>(call: ForwardCall<B, Self>) -> Call<B> {
        Call::Features(call)
    }
}

impl Kind for NoiseAndFeatures {
    fn call<B: Backend>(call: ForwardCall<B, Self>) -> Call<B> {
        Call::NoiseAndFeatures(call)
    }
}

impl Kind for NoiseAndKeys {
    fn call<B: Backend>(call: ForwardCall<B, Self>) -> Call<B> {
        Call::NoiseAndKeys(call)
    }
}

/// The forward calls of one round, by kind, with their clients.
pub(super) struct ForwardCalls<B: Backend> {
    pub(super) noise: Vec<(usize, ForwardCall<B, Noise>)>,
    pub(super) features: Vec<(usize, ForwardCall<B, Features>)>,
    pub(super) both: Vec<(usize, ForwardCall<B, NoiseAndFeatures>)>,
    pub(super) keys: Vec<(usize, ForwardCall<B, NoiseAndKeys>)>,
}

impl<B: Backend> Default for ForwardCalls<B> {
    fn default() -> Self {
        Self {
            noise: Vec::new(),
            features: Vec::new(),
            both: Vec::new(),
            keys: Vec::new(),
        }
    }
}

/// A forward pass of a client's latents.
pub struct ForwardCall<B: Backend, W: Want> {
    pub(super) input: Input<B>,
    pub(super) want: W,
    pub(super) purpose: Purpose<B, W>,
}

/// What follows the forward pass.
pub(super) enum Purpose<B: Backend, W: Want> {
    /// Nothing.
    Inference(Reply<W::Of<Tensor<B>>>),
    /// A backward pass to the latents.
    Latents(Reply<RecordedOutputs<B, W>>),
    /// A backward pass to the latents and the prompt's tokens.
    Text(Reply<RecordedOutputs<B, W>>),
    /// A backward pass to the given outputs of the middle block.
    Bottlenecks(Reply<RecordedOutputs<B, W>>),
    /// A backward pass to the adapters with these parameters.
    Adapters(Tensor<B>, Reply<RecordedOutputs<B, W>>),
}

impl<B: Backend, W: Want> Purpose<B, W> {
    /// Whether the forward pass has to be recorded.
    pub(super) fn records(&self) -> bool {
        !matches!(self, Self::Inference(_))
    }

    /// The parameters of adapters that learn.
    pub(super) fn parameters(&self) -> Option<Tensor<B>> {
        match self {
            Self::Inference(_) | Self::Latents(_) | Self::Text(_) | Self::Bottlenecks(_) => None,
            Self::Adapters(parameters, _) => Some(parameters.clone()),
        }
    }

    /// Replies that the call failed.
    pub(super) fn fail(self, error: CallError) {
        match self {
            Self::Inference(reply) => reply.send(Err(error)),
            Self::Latents(reply)
            | Self::Text(reply)
            | Self::Bottlenecks(reply)
            | Self::Adapters(_, reply) => {
                reply.send(Err(error));
            }
        }
    }
}

/// A client's outputs of a recorded pass, and its share of the pass.
pub(super) type RecordedOutputs<B, W> = (<W as Want>::Of<Tensor<B>>, Share<B>);

impl<B: Backend, W: Want> ForwardCall<B, W> {
    /// Whether one forward pass can serve both: equal outputs, purposes and shapes of a latent and its prompt.
    pub(super) fn joins(&self, other: &Self) -> bool {
        let of_one = |shape: Shape| Shape { batch: 1, ..shape };
        let contexts = match (&self.input.context, &other.input.context) {
            (Context::Tokens(a), Context::Tokens(b)) => of_one(a.shape()) == of_one(b.shape()),
            (Context::Prepared(a), Context::Prepared(b)) => of_one(a.shape()) == of_one(b.shape()),
            _ => false,
        };
        contexts
            && of_one(self.input.latents.shape()) == of_one(other.input.latents.shape())
            && self.want == other.want
            && discriminant(&self.purpose) == discriminant(&other.purpose)
            && same_layers(&self.input.keys, &other.input.keys)
    }
}

/// Whether the same self-attentions take keys and values from the same kind of source.
fn same_layers<B: Backend>(a: &KeySource<B>, b: &KeySource<B>) -> bool {
    match (a, b) {
        (KeySource::Own, KeySource::Own) => true,
        (KeySource::Mutual(a), KeySource::Mutual(b)) => a.start_layer == b.start_layer,
        (KeySource::Stored(a), KeySource::Stored(b))
        | (KeySource::Joined(a), KeySource::Joined(b)) => {
            (a.first(), a.layers().len()) == (b.first(), b.layers().len())
        }
        _ => false,
    }
}

/// A client's part of the backward pass of a recorded forward pass.
#[derive(Debug)]
pub struct BackwardCall<B: Backend> {
    pub(super) share: Share<B>,
    pub(super) gradients: Gradients<B>,
    pub(super) reply: Reply<OwnGradients<B>>,
}

/// A client's gradients of a pass.
#[derive(Debug)]
pub struct OwnGradients<B: Backend> {
    /// With respect to its latents, its bottlenecks or its adapters' parameters, whichever the pass was recorded for.
    pub(super) main: Tensor<B>,
    /// With respect to its prompt's tokens, if the pass was recorded for it.
    pub(super) text: Option<Tensor<B>>,
}
