//! An edit's way to a network that it shares.

use std::panic::resume_unwind;
use std::sync::mpsc::{Receiver, Sender};

use super::calls::{Backward, Call, CallError, Forward, UNetReply, UNetRequest, Words};
use crate::kernels::Backend;
use crate::kernels::fault;
use crate::model::unet::{AdapterPlace, Context, Gradients, Network, Output, Prompt, Want};
use crate::nn::{Learner, Pass, Tensor};

/// One of the edits that share a network. A fault of the device is thrown in each that had a part in the call.
#[derive(Debug)]
pub struct UNetClient<B: Backend> {
    questions: Sender<UNetRequest<B>>,
    answers: Receiver<UNetReply<B>>,
}

impl<B: Backend> UNetClient<B> {
    pub(super) fn new(questions: Sender<UNetRequest<B>>, answers: Receiver<UNetReply<B>>) -> Self {
        Self { questions, answers }
    }

    fn ask(&self, question: UNetRequest<B>) -> UNetReply<B> {
        let asked = self.questions.send(question);
        match asked.ok().and_then(|()| self.answers.recv().ok()) {
            Some(UNetReply::Failed(CallError::Fault(fault))) => fault::throw(fault),
            // It was told where it happened.
            Some(UNetReply::Failed(CallError::Panic(message))) => resume_unwind(Box::new(message)),
            Some(answer) => answer,
            None => panic!("the network that is shared does not answer"),
        }
    }
}

impl<B: Backend> Network<B> for UNetClient<B> {
    fn attach_adapters(&mut self, rank: usize) -> Vec<AdapterPlace> {
        let UNetReply::Places(places) = self.ask(UNetRequest::Attach { rank }) else {
            unreachable!("places were asked for")
        };
        places
    }

    fn merge_adapters(&mut self, parameters: &Tensor<B>) {
        self.ask(UNetRequest::Merge {
            parameters: parameters.clone(),
        });
    }

    fn prepare(&self, tokens: &Tensor<B>) -> Prompt<B> {
        let UNetReply::Prompt(prompt) = self.ask(UNetRequest::Prepare {
            tokens: tokens.clone(),
        }) else {
            unreachable!("a prompt was asked for")
        };
        prompt
    }

    fn forward(
        &self,
        z: &Tensor<B>,
        timesteps: &[f64],
        context: Context<B>,
        want: Want,
        pass: &mut Pass<B>,
    ) -> Output<B> {
        let forward = Forward {
            z: z.clone(),
            timesteps: timesteps.to_vec(),
            words: match context {
                Context::Tokens(tokens) => Words::Tokens(tokens.clone()),
                Context::Prepared(prompt) => Words::Prepared(prompt.clone()),
            },
            noise: want.noise,
            taps: want.taps.to_vec(),
            records: pass.records(),
            parameters: pass
                .learners()
                .first()
                .map(|learner| learner.parameters.clone()),
            mutual: pass.mutual().cloned(),
        };
        let UNetReply::Output(output) = self.ask(UNetRequest::Call(Call::Forward(forward))) else {
            unreachable!("an output was asked for")
        };
        output
    }

    fn backward(
        &self,
        output: &Output<B>,
        gradients: Gradients<B>,
        need_input: bool,
        pass: &mut Pass<B>,
    ) -> Option<Tensor<B>> {
        let Some(trip) = output.trip else {
            panic!("the way back belongs to a trip that was recorded")
        };
        let backward = Backward {
            trip,
            gradients,
            need_input,
        };
        let UNetReply::Gradients { input, parameters } =
            self.ask(UNetRequest::Call(Call::Backward(backward)))
        else {
            unreachable!("gradients were asked for")
        };
        if let (
            Some(Learner {
                gradient: Some(gradient),
                ..
            }),
            Some(parameters),
        ) = (pass.learners().first_mut(), parameters)
        {
            let backend = gradient.backend().clone();
            backend.combine(1.0, gradient.buffer_mut(), 1.0, parameters.buffer());
        }
        input
    }
}
