//! A recorded forward pass of several clients, and its backward pass.
//!
//! Every client holds a share of the pass. A share that is dropped has no gradient; the pass is dropped with its last share.

use std::ops::Range;
use std::sync::Arc;

use super::catch;
use super::requests::{BackwardCall, OwnGradients, Reply};
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
    /// The prompts, when the pass was recorded for their gradient.
    pub(super) text: Option<Text>,
    /// The shape of all bottlenecks, when the pass was recorded for their gradient.
    pub(super) bottlenecks: Option<Shape>,
    pub(super) tape: Tape<B>,
}

/// The prompts of a pass that was recorded for their gradient.
#[derive(Debug, Clone)]
pub(super) struct Text {
    /// The shape of all tokens.
    pub(super) shape: Shape,
    /// Number of prompts of each member: one, or one for each of its latents.
    pub(super) prompts: Vec<usize>,
}

impl Text {
    /// Returns the gradient of a member's prompts. In a joined pass every latent has its own.
    fn part<B: Backend>(&self, whole: &Tensor<B>, index: usize, member: &Member) -> Tensor<B> {
        if let [_] = self.prompts[..] {
            return whole.clone();
        }
        let part = whole.pictures(member.range.clone());
        if self.prompts[index] < member.range.len() {
            part.summed()
        } else {
            part
        }
    }
}

/// A client's share of a pass.
#[derive(Debug, Clone)]
pub(super) struct Share<B: Backend> {
    pub(super) pass: Arc<OpenPass<B>>,
    /// Index of the client among the members.
    pub(super) member: usize,
}

/// A backward pass as its members request it: gradients and reply of each that does.
type Requested<B> = Vec<Option<(Gradients<B>, Reply<OwnGradients<B>>)>>;

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

    /// Returns every member's gradients.
    fn gradients(
        self,
        unet: &UNet<B>,
        gradients: Vec<Option<Gradients<B>>>,
    ) -> Vec<OwnGradients<B>> {
        let gradients = self.stacked(gradients);
        let mut pass = BackwardPass::new(self.tape).with_runs(runs(&self.members));
        if let Some(text) = &self.text {
            let whole = unet.backward_to_text(self.latents, text.shape, gradients, pass);
            let own = |(index, member): (usize, &Member)| OwnGradients {
                main: whole.latents.pictures(member.range.clone()),
                text: Some(text.part(&whole.text, index, member)),
            };
            return self.members.iter().enumerate().map(own).collect();
        }
        let main = |main| OwnGradients { main, text: None };
        if self.parameters.is_empty() {
            let whole = match self.bottlenecks {
                Some(shape) => unet.backward_to_bottlenecks(shape, gradients, pass),
                None => unet.backward_to_latents(self.latents, gradients, pass),
            };
            let part = |member: &Member| main(whole.pictures(member.range.clone()));
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
        sums.into_iter().map(main).collect()
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
