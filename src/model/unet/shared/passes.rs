//! Calls of several lanes made one.

use std::ops::Range;

use super::calls::{Backward, Call, CallError, Forward, UNetReply, Words};
use super::guarded;
use super::prompts::Prompts;
use crate::failpoint;
use crate::kernels::Backend;
use crate::kernels::fault::{self, DeviceFault};
use crate::model::unet::{Context, Gradients, Output, UNet, Want};
use crate::nn::{Learner, Mutual, Pass, Run, Shape, Tape, Tensor};

type Answered<B> = (usize, Result<UNetReply<B>, CallError>);

/// The trips that wait for their way back.
#[derive(Debug)]
pub(super) struct OpenPasses<B: Backend> {
    open: Vec<RecordedPass<B>>,
    last: u64,
    calls: usize,
    prompts: Prompts<B>,
}

impl<B: Backend> Default for OpenPasses<B> {
    fn default() -> Self {
        Self {
            open: Vec::new(),
            last: 0,
            calls: 0,
            prompts: Prompts::default(),
        }
    }
}

/// A recorded trip of several lanes.
#[derive(Debug)]
struct RecordedPass<B: Backend> {
    number: u64,
    members: Vec<Member<B>>,
    output: Output<B>,
    tape: Tape<B>,
}

/// A lane's part of a call.
#[derive(Debug)]
struct Member<B: Backend> {
    lane: usize,
    pictures: Range<usize>,
    parameters: Option<Tensor<B>>,
}

impl<B: Backend> OpenPasses<B> {
    /// How many calls of the network there were.
    pub(super) fn calls(&self) -> usize {
        self.calls
    }

    /// Answers one call of each of some lanes.
    pub(super) fn answer(
        &mut self,
        unet: &UNet<B>,
        calls: Vec<(usize, Call<B>)>,
    ) -> Vec<Answered<B>> {
        let mut answers = Vec::new();
        let mut forward: Vec<Vec<(usize, Forward<B>)>> = Vec::new();
        let mut backward: Vec<(usize, Backward<B>)> = Vec::new();
        for (lane, call) in calls {
            match call {
                Call::Backward(call) => backward.push((lane, call)),
                Call::Forward(call) => {
                    match forward.iter_mut().find(|group| group[0].1.joins(&call)) {
                        Some(group) => group.push((lane, call)),
                        None => forward.push(vec![(lane, call)]),
                    }
                }
            }
        }
        // A trip that none of its lanes walks back now, none will: a lane walks back before it sets out again.
        for trip in std::mem::take(&mut self.open) {
            let (here, others) = backward
                .into_iter()
                .partition(|(_, call)| call.trip == trip.number);
            backward = others;
            self.calls += usize::from(!here.is_empty());
            answers.extend(walk_back(unet, trip, here));
        }
        let lost = |(lane, call): (usize, Backward<B>)| {
            (
                lane,
                Err(CallError::Panic(format!(
                    "trip {} was walked back already",
                    call.trip
                ))),
            )
        };
        answers.extend(backward.into_iter().map(lost));
        self.calls += forward.len();
        for group in forward {
            answers.extend(self.walk(unet, &group));
        }
        answers
    }

    fn walk(&mut self, unet: &UNet<B>, group: &[(usize, Forward<B>)]) -> Vec<Answered<B>> {
        let mut next = 0;
        let members = group.iter().map(|(lane, call)| {
            let first = next;
            next += call.z.shape().batch;
            Member {
                lane: *lane,
                pictures: first..next,
                parameters: call.parameters.clone(),
            }
        });
        let members: Vec<Member<B>> = members.collect();
        let walked = guarded(|| {
            if group.len() > 1 && failpoint::is_hit("no_memory_for_several") {
                fault::throw(DeviceFault::OutOfMemory {
                    need: 0,
                    free: 0,
                    total: 0,
                });
            }
            let calls: Vec<&Forward<B>> = group.iter().map(|(_, call)| call).collect();
            let z = stacked(calls.iter().map(|call| call.z.clone()).collect());
            let timesteps: Vec<f64> = calls
                .iter()
                .flat_map(|call| call.timesteps.iter().copied())
                .collect();
            let words = self.words(&calls);
            let context = match &words {
                Words::Tokens(tokens) => Context::Tokens(tokens),
                Words::Prepared(prompt) => Context::Prepared(prompt),
            };
            let mut pass = if calls[0].records {
                Pass::recording()
            } else {
                Pass::inference()
            }
            .with_runs(runs(&members));
            for Member {
                lane, parameters, ..
            } in &members
            {
                if let Some(parameters) = parameters {
                    pass = pass.with_learner(Learner {
                        set: *lane,
                        parameters,
                        gradient: None,
                    });
                }
            }
            if let Some(Mutual { start_layer, .. }) = calls[0].mutual {
                let of_call = |(call, member): (&&Forward<B>, &Member<B>)| {
                    let sources = call.mutual.iter().flat_map(|mutual| mutual.sources.iter());
                    sources
                        .map(|source| member.pictures.start + source)
                        .collect::<Vec<_>>()
                };
                let sources = calls.iter().zip(&members).flat_map(of_call).collect();
                pass = pass.with_mutual(Mutual {
                    start_layer,
                    sources,
                });
            }
            let output = unet.forward(
                &z,
                &timesteps,
                context,
                Want {
                    noise: calls[0].noise,
                    taps: &calls[0].taps,
                },
                &mut pass,
            );
            (output, pass.into_tape())
        });
        let (output, tape) = match walked {
            Ok(walked) => walked,
            Err(trouble) => {
                return members
                    .iter()
                    .map(|member| (member.lane, Err(trouble.clone())))
                    .collect();
            }
        };
        let number = tape.as_ref().map(|_| {
            self.last += 1;
            self.last
        });
        let part = |Member { lane, pictures, .. }: &Member<B>| {
            let answer = guarded(|| UNetReply::Output(output.part(pictures.clone(), number)));
            (*lane, answer)
        };
        let answers = members.iter().map(part).collect();
        if let (Some(number), Some(tape)) = (number, tape) {
            self.open.push(RecordedPass {
                number,
                members,
                output,
                tape,
            });
        }
        answers
    }

    /// The prompts of all pictures.
    fn words(&mut self, calls: &[&Forward<B>]) -> Words<B> {
        if let [call] = calls {
            return match &call.words {
                Words::Tokens(tokens) => Words::Tokens(tokens.clone()),
                Words::Prepared(prompt) => Words::Prepared(prompt.clone()),
            };
        }
        let (mut tokens, mut prompts) = (Vec::new(), Vec::new());
        for call in calls {
            let pictures = call.z.shape().batch;
            match &call.words {
                Words::Tokens(own) => tokens.extend(repeated(own, pictures)),
                Words::Prepared(own) => prompts.push((own.clone(), pictures)),
            }
        }
        if prompts.is_empty() {
            return Words::Tokens(stacked(tokens));
        }
        Words::Prepared(self.prompts.joined(prompts))
    }
}

/// The way back of those lanes of a trip that go it. The pictures of the others come along without a gradient.
fn walk_back<B: Backend>(
    unet: &UNet<B>,
    trip: RecordedPass<B>,
    calls: Vec<(usize, Backward<B>)>,
) -> Vec<Answered<B>> {
    if calls.is_empty() {
        return Vec::new();
    }
    let RecordedPass {
        members,
        output,
        tape,
        ..
    } = trip;
    let lanes: Vec<usize> = calls.iter().map(|(lane, _)| *lane).collect();
    let walked = guarded(|| {
        let need_input = calls.iter().any(|(_, call)| call.need_input);
        let gradients = joined(&members, calls);
        let mut of_parameters: Vec<Option<Tensor<B>>> = members
            .iter()
            .map(|member| {
                member
                    .parameters
                    .as_ref()
                    .map(|own| Tensor::zeros(own.backend(), own.shape()))
            })
            .collect();
        let mut pass = Pass::resumed(tape).with_runs(runs(&members));
        for (
            Member {
                lane, parameters, ..
            },
            gradient,
        ) in members.iter().zip(&mut of_parameters)
        {
            if let Some(parameters) = parameters {
                pass = pass.with_learner(Learner {
                    set: *lane,
                    parameters,
                    gradient: gradient.as_mut(),
                });
            }
        }
        let input = unet.backward(&output, gradients, need_input, &mut pass);
        drop(pass);
        let part = |(member, parameters): (&Member<B>, Option<Tensor<B>>)| {
            let input = input
                .as_ref()
                .map(|input| input.pictures(member.pictures.clone()));
            (member.lane, UNetReply::Gradients { input, parameters })
        };
        members
            .iter()
            .zip(of_parameters)
            .map(part)
            .collect::<Vec<_>>()
    });
    match walked {
        Ok(parts) => parts
            .into_iter()
            .filter(|(lane, _)| lanes.contains(lane))
            .map(|(lane, answer)| (lane, Ok(answer)))
            .collect(),
        Err(trouble) => lanes
            .into_iter()
            .map(|lane| (lane, Err(trouble.clone())))
            .collect(),
    }
}

/// The gradients of all members, zero where one has none.
fn joined<B: Backend>(members: &[Member<B>], mut calls: Vec<(usize, Backward<B>)>) -> Gradients<B> {
    let magnitude = calls
        .iter()
        .map(|(_, call)| call.gradients.magnitude)
        .fold(0.0, f32::max);
    let of_noise: Vec<Option<Tensor<B>>> =
        parts(members, &mut calls, |gradients| gradients.noise.take());
    let mut stages: Vec<usize> = calls
        .iter()
        .flat_map(|(_, call)| call.gradients.taps.iter().map(|(stage, _)| *stage))
        .collect();
    stages.sort_unstable();
    stages.dedup();
    let taps = stages.into_iter().filter_map(|stage| {
        let of_stage = parts(members, &mut calls, |gradients| {
            let position = gradients.taps.iter().position(|(tap, _)| *tap == stage)?;
            Some(gradients.taps.swap_remove(position).1)
        });
        Some((stage, filled(members, of_stage)?))
    });
    let taps = taps.collect();
    Gradients {
        magnitude,
        noise: filled(members, of_noise),
        taps,
    }
}

fn parts<B: Backend>(
    members: &[Member<B>],
    calls: &mut [(usize, Backward<B>)],
    part: impl Fn(&mut Gradients<B>) -> Option<Tensor<B>>,
) -> Vec<Option<Tensor<B>>> {
    let of_member = |member: &Member<B>| {
        calls
            .iter_mut()
            .find(|(lane, _)| *lane == member.lane)
            .and_then(|(_, call)| part(&mut call.gradients))
    };
    members.iter().map(of_member).collect()
}

/// One tensor of all members' pictures; `None` when no member has one.
fn filled<B: Backend>(members: &[Member<B>], parts: Vec<Option<Tensor<B>>>) -> Option<Tensor<B>> {
    let model = parts.iter().flatten().next()?.clone();
    let zeros = |pictures: &Range<usize>| {
        Tensor::zeros(
            model.backend(),
            Shape {
                batch: pictures.len(),
                ..model.shape()
            },
        )
    };
    Some(stacked(
        members
            .iter()
            .zip(parts)
            .map(|(member, part)| part.unwrap_or_else(|| zeros(&member.pictures)))
            .collect(),
    ))
}

fn runs<B: Backend>(members: &[Member<B>]) -> Vec<Run> {
    members
        .iter()
        .map(|member| Run {
            pictures: member.pictures.len(),
            set: member.lane,
        })
        .collect()
}

/// One for each of so many pictures.
pub(super) fn repeated<B: Backend>(one_or_all: &Tensor<B>, pictures: usize) -> Vec<Tensor<B>> {
    if one_or_all.shape().batch == pictures {
        vec![one_or_all.clone()]
    } else {
        vec![one_or_all.clone(); pictures]
    }
}

pub(super) fn stacked<B: Backend>(mut parts: Vec<Tensor<B>>) -> Tensor<B> {
    if parts.len() == 1 {
        parts.remove(0)
    } else {
        Tensor::stacked(&parts).unwrap_or_else(|| unreachable!("a call has a member"))
    }
}
