//! One network for several edits at a time. Each edit runs on its own thread and sends requests through a [`UNetClient`]; the
//! [`SharedUNet`] waits until every client has sent one and serves requests of equal kind and shape with one call of the network.
//!
//! Every client has its own set of LoRA adapters, so the latents of one call may go through different weights. Edits with equal
//! settings send such requests in the same order and so stay in step; a request that fits no other is served alone. The
//! results differ from those of an unshared network by rounding only.
//!
//! | module | contents |
//! |---|---|
//! | `client` | the network as an edit sees it |
//! | `requests` | requests and their typed replies, and which of them can be served together |
//! | `forward` | one forward pass for several requests |
//! | `open_pass` | the backward pass of a recorded forward pass |
//! | `prompts` | the prompts of several clients joined to one |

mod client;
mod forward;
mod open_pass;
mod prompts;
mod requests;

use std::panic::{self, AssertUnwindSafe};
use std::sync::mpsc::{Receiver, channel};

use super::UNet;
use crate::kernels::Backend;
use crate::kernels::fault::DeviceFault;
use crate::nn::Tensor;
use crate::panics;
pub use client::UNetClient;
use prompts::JoinedPrompts;
pub(super) use requests::Kind;
use requests::{BackwardCall, Call, CallError, ForwardCalls, Request};

/// A network that serves several clients.
#[derive(Debug)]
pub struct SharedUNet<'a, B: Backend> {
    unet: &'a mut UNet<B>,
    /// The requests of every client.
    requests: Vec<Receiver<Request<B>>>,
    prompts: JoinedPrompts<B>,
    /// Calls of the network so far.
    calls: usize,
}

impl<B: Backend> Drop for SharedUNet<'_, B> {
    fn drop(&mut self) {
        (0..self.requests.len()).for_each(|set| self.unet.detach_adapters_of(set));
    }
}

impl<'a, B: Backend> SharedUNet<'a, B> {
    /// Returns the server and its clients. Each client needs its own thread while the server runs on this one.
    pub fn new(unet: &'a mut UNet<B>, clients: usize) -> (Self, Vec<UNetClient<B>>) {
        let (clients, requests) = (0..clients)
            .map(|_| {
                let (sender, receiver) = channel();
                (UNetClient::new(sender), receiver)
            })
            .unzip();
        (
            Self {
                unet,
                requests,
                prompts: JoinedPrompts::default(),
                calls: 0,
            },
            clients,
        )
    }

    /// Serves until all clients are dropped, and returns the number of calls of the network. The weights are then as loaded.
    ///
    /// Each round waits for every client: one that decodes its picture delays the others.
    pub fn serve(mut self) -> usize {
        loop {
            let (mut forward, mut backward) = (ForwardCalls::default(), Vec::new());
            let mut is_over = true;
            for client in 0..self.requests.len() {
                let Some(call) = self.next_call(client) else {
                    continue;
                };
                is_over = false;
                match call {
                    Call::Noise(call) => forward.noise.push((client, call)),
                    Call::Features(call) => forward.features.push((client, call)),
                    Call::NoiseAndFeatures(call) => forward.both.push((client, call)),
                    Call::NoiseAndKeys(call) => forward.keys.push((client, call)),
                    Call::Backward(call) => backward.push(call),
                }
            }
            if is_over {
                return self.calls;
            }
            self.backward(backward);
            self.forward(forward.noise);
            self.forward(forward.features);
            self.forward(forward.both);
            self.forward(forward.keys);
        }
    }

    /// Returns the next call of a client, which others may join; serves the requests before it, which concern the client alone.
    /// `None` when the client is dropped.
    fn next_call(&mut self, client: usize) -> Option<Call<B>> {
        while let Ok(request) = self.requests[client].recv() {
            let unet = &mut *self.unet;
            match request {
                Request::Call(call) => return Some(call),
                Request::AttachAdapters { rank, reply } => {
                    reply.send(catch(|| unet.attach_adapters_of(client, rank)));
                }
                Request::MergeAdapters { parameters, reply } => {
                    reply.send(catch(|| unet.merge_adapters_of(client, &parameters)));
                }
                Request::Prepare { tokens, reply } => {
                    reply.send(catch(|| unet.prepare_for(client, &tokens)));
                }
            }
        }
        self.unet.detach_adapters_of(client);
        None
    }

    /// Runs one backward pass for each forward pass of which at least one client requests it.
    fn backward(&mut self, calls: Vec<BackwardCall<B>>) {
        for (pass, requested) in open_pass::grouped(calls) {
            self.calls += 1;
            pass.backward(self.unet, requested);
        }
    }
}

/// Does `work`; a device fault or a panic becomes the error of the clients that requested it.
fn catch<T>(work: impl FnOnce() -> T) -> Result<T, CallError> {
    panic::catch_unwind(AssertUnwindSafe(work)).map_err(|payload| {
        match payload.downcast::<DeviceFault>() {
            Ok(fault) => CallError::Fault(*fault),
            Err(payload) => CallError::Panic(panics::message(&*payload)),
        }
    })
}

/// Returns one tensor for each latent: `tensor` itself holds one for all `batch` latents, or one for each.
fn repeated<B: Backend>(tensor: &Tensor<B>, batch: usize) -> Vec<Tensor<B>> {
    if tensor.shape().batch == batch {
        vec![tensor.clone()]
    } else {
        vec![tensor.clone(); batch]
    }
}
