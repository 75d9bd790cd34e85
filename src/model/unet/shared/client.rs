//! A shared network as one of its edits sees it.

use std::panic::resume_unwind;
use std::sync::mpsc::Sender;

use super::open_pass::Share;
use super::requests::{
    BackwardCall, Call, CallError, ForwardCall, OwnGradients, Purpose, RecordedOutputs, Reply,
    Request,
};
use crate::kernels::Backend;
use crate::kernels::fault;
use crate::model::unet::backward_pass::Gradients;
use crate::model::unet::recorded::Backward;
use crate::model::unet::{
    AdapterPlace, Input, InputGradients, Network, Prompt, Recordable, Recorded, Want,
};
use crate::nn::Tensor;

/// A client of a shared network. A device fault is thrown in every client that took part in the call.
#[derive(Debug)]
pub struct UNetClient<B: Backend> {
    requests: Sender<Request<B>>,
}

impl<B: Backend> UNetClient<B> {
    pub(super) fn new(requests: Sender<Request<B>>) -> Self {
        Self { requests }
    }

    /// Sends a request and waits for its reply.
    fn request<T>(&self, request: impl FnOnce(Reply<T>) -> Request<B>) -> T {
        let (reply, receiver) = Reply::channel();
        let sent = self.requests.send(request(reply));
        match sent.ok().and_then(|()| receiver.recv().ok()) {
            Some(Ok(answer)) => answer,
            Some(Err(CallError::Fault(fault))) => fault::throw(fault),
            // The panic hook has already run, on the server's thread.
            Some(Err(CallError::Panic(message))) => resume_unwind(Box::new(message)),
            None => panic!("the shared network does not reply"),
        }
    }

    fn record_for<W: Want>(
        &self,
        input: Input<B>,
        want: &W,
        purpose: impl FnOnce(Reply<RecordedOutputs<B, W>>) -> Purpose<B, W>,
    ) -> RecordedOutputs<B, W> {
        self.request(|reply| {
            Request::Call(W::call(ForwardCall {
                input,
                want: want.clone(),
                purpose: purpose(reply),
            }))
        })
    }

    fn backward(&self, share: Share<B>, gradients: Gradients<B>) -> OwnGradients<B> {
        self.request(|reply| {
            Request::Call(Call::Backward(BackwardCall {
                share,
                gradients,
                reply,
            }))
        })
    }
}

impl<B: Backend> Network<B> for UNetClient<B> {
    fn attach_adapters(&mut self, rank: usize) -> Vec<AdapterPlace> {
        self.request(|reply| Request::AttachAdapters { rank, reply })
    }

    fn merge_adapters(&mut self, parameters: &Tensor<B>) {
        let parameters = parameters.clone();
        self.request(|reply| Request::MergeAdapters { parameters, reply });
    }

    fn prepare(&self, tokens: &Tensor<B>) -> Prompt<B> {
        let tokens = tokens.clone();
        self.request(|reply| Request::Prepare { tokens, reply })
    }

    fn forward<W: Want>(&self, input: Input<B>, want: W) -> W::Of<Tensor<B>> {
        self.request(|reply| {
            Request::Call(W::call(ForwardCall {
                input,
                want,
                purpose: Purpose::Inference(reply),
            }))
        })
    }

    fn record<W: Recordable>(&self, input: Input<B>, want: W) -> Recorded<'_, B, W> {
        let (outputs, share) = self.record_for(input, &want, Purpose::Latents);
        let backward = ShareBackward {
            client: self,
            share,
        };
        Recorded::new(want, outputs, backward)
    }

    fn record_text<W: Recordable>(
        &self,
        input: Input<B>,
        want: W,
    ) -> Recorded<'_, B, W, InputGradients<B>> {
        let (outputs, share) = self.record_for(input, &want, Purpose::Text);
        let backward = ShareBackward {
            client: self,
            share,
        };
        Recorded::new(want, outputs, backward)
    }

    fn record_bottlenecks<W: Recordable>(&self, input: Input<B>, want: W) -> Recorded<'_, B, W> {
        let (outputs, share) = self.record_for(input, &want, Purpose::Bottlenecks);
        let backward = ShareBackward {
            client: self,
            share,
        };
        Recorded::new(want, outputs, backward)
    }

    fn record_adapters<'a, W: Recordable>(
        &'a self,
        input: Input<B>,
        want: W,
        parameters: &'a Tensor<B>,
        gradient: &'a mut Tensor<B>,
    ) -> Recorded<'a, B, W, ()> {
        let purpose = |reply| Purpose::Adapters(parameters.clone(), reply);
        let (outputs, share) = self.record_for(input, &want, purpose);
        let backward = ShareBackward {
            client: self,
            share,
        };
        Recorded::new(want, outputs, AddedTo { backward, gradient })
    }

    /// Runs the passes one by one: they run on the server's thread, together with those of other clients.
    fn iteration<I, R: Send>(
        &self,
        _: &'static str,
        _: Vec<usize>,
        input: Input<B>,
        others: impl FnOnce() -> I + Send,
        work: impl FnOnce(Input<B>, I) -> R + Send,
    ) -> R {
        work(input, others())
    }
}

/// The backward pass of a client's share of a pass.
struct ShareBackward<'a, B: Backend> {
    client: &'a UNetClient<B>,
    share: Share<B>,
}

impl<B: Backend> ShareBackward<'_, B> {
    fn own(self, gradients: Gradients<B>) -> OwnGradients<B> {
        self.client.backward(self.share, gradients)
    }

    /// Keeps the share, so that the server copies the pass.
    fn own_keeping(&self, gradients: Gradients<B>) -> OwnGradients<B> {
        self.client.backward(self.share.clone(), gradients)
    }
}

impl<B: Backend> Backward<B, Tensor<B>> for ShareBackward<'_, B> {
    fn run(self: Box<Self>, gradients: Gradients<B>) -> Tensor<B> {
        self.own(gradients).main
    }

    fn run_keeping(&mut self, gradients: Gradients<B>) -> Tensor<B> {
        self.own_keeping(gradients).main
    }
}

impl<B: Backend> Backward<B, InputGradients<B>> for ShareBackward<'_, B> {
    fn run(self: Box<Self>, gradients: Gradients<B>) -> InputGradients<B> {
        self.own(gradients).into()
    }

    fn run_keeping(&mut self, gradients: Gradients<B>) -> InputGradients<B> {
        self.own_keeping(gradients).into()
    }
}

impl<B: Backend> From<OwnGradients<B>> for InputGradients<B> {
    fn from(OwnGradients { main, text }: OwnGradients<B>) -> Self {
        Self {
            latents: main,
            text: text.expect("the pass was recorded for the prompt's gradient"),
        }
    }
}

/// The backward pass to the adapters, whose gradient is added to a tensor.
struct AddedTo<'a, B: Backend> {
    backward: ShareBackward<'a, B>,
    gradient: &'a mut Tensor<B>,
}

impl<B: Backend> Backward<B, ()> for AddedTo<'_, B> {
    fn run(self: Box<Self>, gradients: Gradients<B>) {
        add(self.gradient, &self.backward.own(gradients).main);
    }

    fn run_keeping(&mut self, gradients: Gradients<B>) {
        add(self.gradient, &self.backward.own_keeping(gradients).main);
    }
}

fn add<B: Backend>(sum: &mut Tensor<B>, own: &Tensor<B>) {
    let backend = own.backend();
    backend.combine(1.0, sum.buffer_mut(), 1.0, own.buffer());
}
