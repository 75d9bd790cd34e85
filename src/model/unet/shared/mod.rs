//! One network for several edits at a time: each runs on a thread of its own and asks through a [`UNetClient`]; [`SharedUNet`] waits until all
//! of them ask, and answers equal questions with one call.
//!
//! Every lane has a set of adapters of its own, so pictures of one call may go through different weights. Edits with equal settings
//! ask for the same in the same order, and so stay together; where they part, each is answered for itself.
//!
//! | room | what is in it |
//! |---|---|
//! | `lane` | an edit's way to the network, for which it is one like any other |
//! | `calls` | what lanes ask and hear, and which questions are equal |
//! | `trip` | equal questions made one call, and its way back |
//! | `prompts` | prompts made one, and remembered |

mod calls;
mod client;
mod passes;
mod prompts;

use std::panic::{self, AssertUnwindSafe};
use std::sync::mpsc::{Receiver, Sender, channel};

use super::UNet;
use crate::bug;
use crate::kernels::Backend;
use crate::kernels::fault::DeviceFault;
use calls::{Call, CallError, UNetReply, UNetRequest};
pub use client::UNetClient;
use passes::OpenPasses;

/// The ends of a lane's channels that the network holds.
#[derive(Debug)]
struct Link<B: Backend> {
    questions: Receiver<UNetRequest<B>>,
    answers: Sender<UNetReply<B>>,
}

impl<B: Backend> Link<B> {
    fn answer(&self, answer: Result<UNetReply<B>, CallError>) {
        // A lane that is gone needs no answer.
        let _ = self.answers.send(answer.unwrap_or_else(UNetReply::Failed));
    }
}

/// A network that several lanes share.
#[derive(Debug)]
pub struct SharedUNet<'a, B: Backend> {
    unet: &'a mut UNet<B>,
    links: Vec<Link<B>>,
    trips: OpenPasses<B>,
}

impl<B: Backend> Drop for SharedUNet<'_, B> {
    fn drop(&mut self) {
        (0..self.links.len()).for_each(|set| self.unet.detach_adapters_of(set));
    }
}

impl<'a, B: Backend> SharedUNet<'a, B> {
    /// So many lanes of one network. Each is for a thread of its own, while this one serves them.
    pub fn new(unet: &'a mut UNet<B>, lanes: usize) -> (Self, Vec<UNetClient<B>>) {
        let (links, lanes) = (0..lanes).map(|_| link()).unzip();
        (
            Self {
                unet,
                links,
                trips: OpenPasses::default(),
            },
            lanes,
        )
    }

    /// Answers until all lanes are gone, and returns how many calls of the network that took. The weights are then as they were loaded.
    ///
    /// Every lane is waited for before the next answers are computed: one that decodes its picture holds the others up.
    pub fn serve(mut self) -> usize {
        let mut waiting: Vec<Option<Call<B>>> = self.links.iter().map(|_| None).collect();
        loop {
            for (lane, waiting) in waiting.iter_mut().enumerate() {
                *waiting = self.next_call(lane);
            }
            let calls: Vec<(usize, Call<B>)> = waiting
                .iter_mut()
                .enumerate()
                .filter_map(|(lane, call)| Some((lane, call.take()?)))
                .collect();
            if calls.is_empty() {
                return self.trips.calls();
            }
            for (lane, answer) in self.trips.answer(self.unet, calls) {
                self.links[lane].answer(answer);
            }
        }
    }

    /// The next call of a lane that others may join; what concerns the lane alone is answered on the way. `None` when it is gone.
    fn next_call(&mut self, lane: usize) -> Option<Call<B>> {
        while let Ok(question) = self.links[lane].questions.recv() {
            let unet = &mut *self.unet;
            let answer = match question {
                UNetRequest::Call(call) => return Some(call),
                UNetRequest::Attach { rank } => {
                    guarded(|| UNetReply::Places(unet.attach_adapters_of(lane, rank)))
                }
                UNetRequest::Merge { parameters } => guarded(|| {
                    unet.merge_adapters_of(lane, &parameters);
                    UNetReply::Done
                }),
                UNetRequest::Prepare { tokens } => {
                    guarded(|| UNetReply::Prompt(unet.prepare_for(lane, &tokens)))
                }
            };
            self.links[lane].answer(answer);
        }
        // Its weights are of no use any more.
        self.unet.detach_adapters_of(lane);
        None
    }
}

fn link<B: Backend>() -> (Link<B>, UNetClient<B>) {
    let (ask, questions) = channel();
    let (answers, hear) = channel();
    (Link { questions, answers }, UNetClient::new(ask, hear))
}

/// Does `work`; a fault of the device or a panic inside is for the lanes that asked for it.
fn guarded<T>(work: impl FnOnce() -> T) -> Result<T, CallError> {
    panic::catch_unwind(AssertUnwindSafe(work)).map_err(|payload| {
        match payload.downcast::<DeviceFault>() {
            Ok(fault) => CallError::Fault(*fault),
            Err(payload) => CallError::Panic(bug::told(&*payload)),
        }
    })
}
