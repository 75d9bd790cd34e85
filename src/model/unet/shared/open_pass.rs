//! A recorded forward pass of several clients, and its backward pass.
//!
//! Every client holds a share of the pass. A share that is dropped has no gradient; the pass is dropped with its last share.

use std::ops::Range;
use std::sync::Arc;

use super::catch;
use super::requests::{BackwardCall, Reply};
use crate::kernels::Backend;
use crate::model::unet::UNet;
use crate::model::unet::backward_pass::Gradients;
use crate::nn::{BackwardPass, Learner, Run, Shape, Tape, Tensor};

/// A client of a pass.
#[derive(Debug, Clone)]
pub(super) struct Member {
    /// The client, which is also its set of adapters.
    pub(super) client: usize,
    /// Its latents in the batch.
    pub(super) range: Range<usize>,
}

/// The runs of a batch of these members.
pub(super) fn runs(members: &[Member]) -> Vec<Run> {
    let run = |member: &Member| Run {
        pictures: member.range.len(),
        set: member.client,
    };
    members.iter().map(run).collect()
}

/// A recorded forward pass of several clients.
#[derive(Debug, Clone)]
pub(super) struct OpenPass<B: Backend> {
    pub(super) members: Vec<Member>,
    /// The adapters' parameters of every member; empty when the pass was recorded for the latents' gradient.
    pub(super) parameters: Vec<Tensor<B>>,
    /// The shape of all latents.
    pub(super) latents: Shape,
    pub(super) tape: Tape<B>,
}

/// A client's share of a pass.
#[derive(Debug)]
pub(super) struct Share<B: Backend> {
    pub(super) pass: Arc<OpenPass<B>>,
    /// Index of the client among the members.
    pub(super) member: usize,
}

/// A backward pass as its members request it: gradients and reply of each that does.
type Requested<B> = Vec<Option<(Gradients<B>, Reply<Tensor<B>>)>>;

/// Groups the backward calls of a round by their pass.
pub(super) fn grouped<B: Backend>(calls: Vec<BackwardCall<B>>) -> Vec<(OpenPass<B>, Requested<B>)> {
    let mut groups: Vec<(Arc<OpenPass<B>>, Requested<B>)> = Vec::new();
    for call in calls {
        let Share { pass, member } = call.share;
        let known = groups.iter().position(|(of, _)| Arc::ptr_eq(of, &pass));
        let index = known.unwrap_or_else(|| {
            let none = pass.members.iter().map(|_| None).collect();
            groups.push((pass, none));
            groups.len() - 1
        });
        groups[index].1[member] = Some((call.gradients, call.reply));
    }
    // A pass is copied only where another client keeps its share: otherwise the backward pass frees activations as it goes.
    groups
        .into_iter()
        .map(|(pass, requested)| (Arc::unwrap_or_clone(pass), requested))
        .collect()
}

impl<B: Backend> OpenPass<B> {
    /// Runs the backward pass and replies to the members that requested it. The gradients of the others are zero.
    pub(super) fn backward(self, unet: &UNet<B>, requested: Requested<B>) {
        let (gradients, replies): (Vec<_>, Vec<_>) =
            requested.into_iter().map(Option::unzip).unzip();
        let replies = replies.into_iter();
        match catch(|| self.gradients(unet, gradients)) {
            Ok(results) => replies.zip(results).for_each(|(reply, result)| {
                if let Some(reply) = reply {
                    reply.send(Ok(result));
                }
            }),
            Err(error) => replies
                .flatten()
                .for_each(|reply| reply.send(Err(error.clone()))),
        }
    }

    /// Returns every member's gradient with respect to its latents or its adapters' parameters.
    fn gradients(self, unet: &UNet<B>, gradients: Vec<Option<Gradients<B>>>) -> Vec<Tensor<B>> {
        let gradients = self.stacked(gradients);
        let mut pass = BackwardPass::new(self.tape).with_runs(runs(&self.members));
        if self.parameters.is_empty() {
            let whole = unet.backward_to_latents(self.latents, gradients, pass);
            let part = |member: &Member| whole.pictures(member.range.clone());
            return self.members.iter().map(part).collect();
        }
        let zeros = |own: &Tensor<B>| Tensor::zeros(own.backend(), own.shape());
        let mut sums: Vec<Tensor<B>> = self.parameters.iter().map(zeros).collect();
        let adapters = self.members.iter().zip(&self.parameters).zip(&mut sums);
        for ((member, parameters), gradient) in adapters {
            pass = pass.with_learner(Learner {
                set: member.client,
                parameters,
                gradient,
            });
        }
        unet.backward_to_adapters(gradients, pass);
        sums
    }

    /// Stacks the gradients of all members, which are of the same outputs.
    fn stacked(&self, mut gradients: Vec<Option<Gradients<B>>>) -> Gradients<B> {
        let given = || gradients.iter().flatten();
        let magnitude = given().map(|own| own.magnitude).fold(0.0, f32::max);
        let stages = given()
            .next()
            .map(|own| own.features.iter().map(|(stage, _)| *stage));
        let stages: Vec<usize> = stages.into_iter().flatten().collect();
        let mut stack = |part: &dyn Fn(&mut Gradients<B>) -> Option<Tensor<B>>| {
            let parts = gradients.iter_mut().map(|own| part(own.as_mut()?));
            self.filled(parts.collect())
        };
        let noise = stack(&|own| own.noise.take());
        let features = stages.into_iter().rev().filter_map(|stage| {
            let of_stage = stack(&|own| own.features.pop().map(|(_, gradient)| gradient));
            Some((stage, of_stage?))
        });
        Gradients {
            magnitude,
            noise,
            features: features.collect(),
        }
    }

    /// One tensor of all members' latents, zero for members without a part; `None` when there is no part.
    fn filled(&self, parts: Vec<Option<Tensor<B>>>) -> Option<Tensor<B>> {
        let model = parts.iter().flatten().next()?.clone();
        let zeros = |member: &Member| {
            let batch = member.range.len();
            Tensor::zeros(
                model.backend(),
                Shape {
                    batch,
                    ..model.shape()
                },
            )
        };
        let parts = parts.into_iter().zip(&self.members);
        let parts: Vec<Tensor<B>> = parts
            .map(|(part, member)| part.unwrap_or_else(|| zeros(member)))
            .collect();
        Some(Tensor::stacked(&parts))
    }
}
