//! One forward pass for the calls of several clients.

use std::sync::Arc;

use super::open_pass::{Member, OpenPass, Share, Text, runs};
use super::requests::{ForwardCall, Purpose};
use super::{SharedUNet, catch, repeated};
use crate::failpoint;
use crate::kernels::Backend;
use crate::kernels::fault::{self, DeviceFault};
use crate::model::unet::{Context, Input, Want};
use crate::nn::{KeySource, KeysAndValues, Mutual, Pass, Tensor};

impl<B: Backend> SharedUNet<'_, B> {
    /// Serves the forward calls of a round; calls that join share a pass.
    pub(super) fn forward<W: Want>(&mut self, calls: Vec<(usize, ForwardCall<B, W>)>) {
        let mut groups: Vec<Vec<(usize, ForwardCall<B, W>)>> = Vec::new();
        for (client, call) in calls {
            match groups.iter_mut().find(|group| group[0].1.joins(&call)) {
                Some(group) => group.push((client, call)),
                None => groups.push(vec![(client, call)]),
            }
        }
        for group in groups {
            self.calls += 1;
            self.forward_pass(group);
        }
    }

    fn forward_pass<W: Want>(&mut self, group: Vec<(usize, ForwardCall<B, W>)>) {
        let want = group[0].1.want.clone();
        let (mut members, mut inputs, mut purposes) = (Vec::new(), Vec::new(), Vec::new());
        let mut next = 0;
        for (client, ForwardCall { input, purpose, .. }) in group {
            let first = next;
            next += input.latents.shape().batch;
            members.push(Member {
                client,
                range: first..next,
            });
            inputs.push(input);
            purposes.push(purpose);
        }
        let parameters: Vec<Tensor<B>> = purposes.iter().filter_map(Purpose::parameters).collect();
        let records = purposes.iter().all(Purpose::records);
        let is_text = |purpose: &Purpose<B, W>| matches!(purpose, Purpose::Text(_));
        let of_bottlenecks = matches!(purposes[0], Purpose::Bottlenecks(_));
        let prompts: Vec<usize> = inputs
            .iter()
            .filter(|_| purposes.iter().all(is_text))
            .map(|input| input.text_shape().batch)
            .collect();
        let result = catch(|| {
            if members.len() > 1 && failpoint::is_hit("no_memory_for_several") {
                fault::throw(DeviceFault::OutOfMemory {
                    need: 0,
                    free: 0,
                    total: 0,
                });
            }
            let pass = match (records, parameters.is_empty()) {
                (false, _) => Pass::inference(),
                (true, true) if of_bottlenecks => Pass::recording_decoder(),
                (true, true) => Pass::recording(),
                (true, false) => Pass::learning(),
            };
            let mut pass = pass.with_runs(runs(&members));
            let input = self.joined(&members, &inputs);
            // A client that overwrites its latents need not copy them first.
            drop(inputs);
            let latents = input.latents.shape();
            let text = (!prompts.is_empty()).then(|| input.text_shape());
            let bottlenecks = of_bottlenecks.then(|| input.bottleneck_shape());
            let outputs = self.unet.run_forward(input, &want, &mut pass);
            (latents, text, bottlenecks, outputs, pass.into_tape())
        });
        let (latents, text, bottlenecks, outputs, tape) = match result {
            Ok(passed) => passed,
            Err(error) => {
                for purpose in purposes {
                    purpose.fail(error.clone());
                }
                return;
            }
        };
        let pass = Arc::new(OpenPass {
            members,
            parameters,
            latents,
            text: text.map(|shape| Text { shape, prompts }),
            bottlenecks,
            tape,
        });
        for (member, purpose) in purposes.into_iter().enumerate() {
            let range = &pass.members[member].range;
            let own = catch(|| W::map(&outputs, |tensor| tensor.pictures(range.clone())));
            let share = || Share {
                pass: Arc::clone(&pass),
                member,
            };
            match purpose {
                Purpose::Inference(reply) => reply.send(own),
                Purpose::Latents(reply)
                | Purpose::Text(reply)
                | Purpose::Bottlenecks(reply)
                | Purpose::Adapters(_, reply) => {
                    reply.send(own.map(|own| (own, share())));
                }
            }
        }
    }

    /// Returns the inputs of all members as one: latents stacked, each with its prompt and its source of mutual self-attention.
    fn joined(&mut self, members: &[Member], inputs: &[Input<B>]) -> Input<B> {
        if let [input] = inputs {
            return input.clone();
        }
        let latents: Vec<Tensor<B>> = inputs.iter().map(|input| input.latents.clone()).collect();
        let timesteps = inputs.iter().flat_map(|input| input.timesteps.clone());
        Input {
            timesteps: timesteps.collect(),
            context: self.joined_context(inputs),
            latents: Tensor::stacked(&latents),
            keys: joined_keys(members, inputs),
            bottlenecks: joined_bottlenecks(inputs),
            time: None,
        }
    }

    /// Returns the prompts of all latents.
    fn joined_context(&mut self, inputs: &[Input<B>]) -> Context<B> {
        let (mut tokens, mut prompts) = (Vec::new(), Vec::new());
        for input in inputs {
            let batch = input.latents.shape().batch;
            match &input.context {
                Context::Tokens(own) => tokens.extend(repeated(own, batch)),
                Context::Prepared(own) => prompts.push((own.clone(), batch)),
            }
        }
        if prompts.is_empty() {
            Context::Tokens(Tensor::stacked(&tokens))
        } else {
            Context::Prepared(self.prompts.joined(prompts))
        }
    }
}

/// Returns the given outputs of the middle block of all latents; none where no member has any.
fn joined_bottlenecks<B: Backend>(inputs: &[Input<B>]) -> Vec<Option<Tensor<B>>> {
    if inputs.iter().all(|input| input.bottlenecks.is_empty()) {
        return Vec::new();
    }
    let own = inputs.iter().flat_map(|input| {
        let mut own = input.bottlenecks.clone();
        own.resize(input.latents.shape().batch, None);
        own
    });
    own.collect()
}

/// Returns where the self-attentions of all members take keys and values from. Calls that join have the same kind of source.
fn joined_keys<B: Backend>(members: &[Member], inputs: &[Input<B>]) -> KeySource<B> {
    match &inputs[0].keys {
        KeySource::Own => KeySource::Own,
        KeySource::Mutual(Mutual { start_layer, .. }) => {
            let mut sources = Vec::new();
            for (input, member) in inputs.iter().zip(members) {
                if let KeySource::Mutual(own) = &input.keys {
                    sources.extend(own.sources.iter().map(|source| member.range.start + source));
                }
            }
            KeySource::Mutual(Mutual {
                start_layer: *start_layer,
                sources,
            })
        }
        KeySource::Stored(_) => KeySource::Stored(stored_keys(inputs)),
        KeySource::Joined(_) => KeySource::Joined(stored_keys(inputs)),
    }
}

/// Returns the stored keys and values of all latents.
fn stored_keys<B: Backend>(inputs: &[Input<B>]) -> KeysAndValues<Tensor<B>> {
    let (mut lists, mut batches) = (Vec::new(), Vec::new());
    for input in inputs {
        if let KeySource::Stored(own) | KeySource::Joined(own) = &input.keys {
            lists.push(own);
            batches.push(input.latents.shape().batch);
        }
    }
    KeysAndValues::joined(&lists, |parts| {
        let parts = parts.iter().zip(&batches);
        let repeated = parts.flat_map(|(part, batch)| repeated(part, *batch));
        Tensor::stacked(&repeated.collect::<Vec<_>>())
    })
}
