//! The forward pass of the whole network: encoder, middle, and as much of the decoder as the outputs need.

use std::sync::Arc;

use super::blocks::{DownBlock, UpBlock};
use super::time::{PassTime, TimeSource};
use super::{Context, Input, Resnet, SelfAttentions, UNet, Want};
use crate::kernels::{Backend, PassKey};
use crate::nn::{KeysAndValues, Pass, Tensor};

/// What a pass reads that may differ from run to run.
struct LayerInputs<B: Backend> {
    /// The latents in the number format of activations.
    latents: Tensor<B>,
    /// What is read of the timesteps.
    time: Arc<PassTime<B>>,
    context: Context<B>,
    bottlenecks: Vec<Option<Tensor<B>>>,
}

/// What the layers of a pass compute.
struct LayerOutputs<B: Backend> {
    features: Vec<Tensor<B>>,
    kept: Option<KeysAndValues<Tensor<B>>>,
    /// What the network predicts, noise or velocity, stored as f32.
    predicted: Option<Tensor<B>>,
}

impl<B: Backend> UNet<B> {
    /// Returns the outputs that `want` names.
    ///
    /// # Panics
    /// When the shapes do not fit, the network lacks a decoder stage, or layers are recorded before a bottleneck that is given.
    pub(super) fn run_forward<W: Want>(
        &self,
        input: Input<B>,
        want: &W,
        pass: &mut Pass<B>,
    ) -> W::Of<Tensor<B>> {
        let backend = self.backend();
        assert!(
            input.bottlenecks.is_empty() || !pass.is_recording(),
            "the gradient ends at a given bottleneck"
        );
        let time = self.time_source(&input);
        let Input {
            latents,
            timesteps,
            context,
            bottlenecks,
            keys,
            ..
        } = input;
        pass.set_keys(keys);
        if let Some(kept) = want.kept() {
            pass.keep_keys(self.first_layer(kept));
        }
        let key = forward_key(&latents, want, pass);
        let inputs = || LayerInputs {
            time: self.time.prepared(backend, time),
            latents: latents.compact(backend, 1.0),
            context: match context {
                Context::Tokens(tokens) => Context::Tokens(tokens.compact(backend, 1.0)),
                prepared @ Context::Prepared(_) => prepared,
            },
            bottlenecks: bottlenecks
                .iter()
                .map(|given| Some(given.as_ref()?.compact(backend, 1.0)))
                .collect(),
        };
        let computed = backend.pass(key, inputs, |inputs| {
            self.layers_forward(inputs, want, pass)
        });
        let LayerOutputs {
            features,
            kept,
            predicted,
        } = computed;
        let Some(velocity) = &self.velocity else {
            return W::collect(features, kept, predicted);
        };
        // The factors depend on the timestep, so this is not a part of the pass.
        let noise = |predicted: Tensor<B>| {
            backend.run(|| velocity.noise(&predicted, &latents.full(1.0), &timesteps, pass))
        };
        W::collect(features, kept, predicted.map(noise))
    }

    /// Returns where a pass gets the shifts of its timesteps from.
    pub(super) fn time_source(&self, input: &Input<B>) -> TimeSource<B> {
        if let Some(time) = &input.time {
            return TimeSource::Prepared(Arc::clone(time));
        }
        let backend = self.backend();
        // Shifts are cached, so that they are not computed in the memory of the pass.
        backend.run(|| self.time.source(backend, &input.timesteps, &self.resnets()))
    }

    /// Returns the residual blocks in execution order.
    fn resnets(&self) -> Vec<&Resnet<B>> {
        let down = self.down.iter().flat_map(DownBlock::resnets);
        let up = self.up.iter().flat_map(UpBlock::resnets);
        down.chain([&self.mid_first, &self.mid_second])
            .chain(up)
            .collect()
    }

    /// Runs the layers.
    fn layers_forward<W: Want>(
        &self,
        inputs: LayerInputs<B>,
        want: &W,
        pass: &mut Pass<B>,
    ) -> LayerOutputs<B> {
        let LayerInputs {
            latents,
            time,
            context,
            bottlenecks,
        } = inputs;
        let (context, shifts) = (&context, self.time.shifts(&time, &self.resnets()));
        let shifts = &mut shifts.iter();
        let mut skips = Vec::new();
        let mut x = self.conv_in.forward(&latents, pass);
        skips.push(x.clone());
        for block in &self.down {
            x = block.forward(x, shifts, context, &mut skips, pass);
        }
        x = self.mid_first.forward(&x, shifts.next(), pass);
        x = self.mid_attention.forward(&x, context, pass);
        x = self.mid_second.forward(&x, shifts.next(), pass);
        x = replaced(x, &bottlenecks);
        pass.enter_decoder();
        let depth = if W::NOISE {
            self.up.len()
        } else {
            want.stages().iter().copied().max().unwrap_or(0)
        };
        let mut stages = vec![x.clone()];
        for block in &self.up[..depth] {
            x = block.forward(x, shifts, context, &mut skips, pass);
            stages.push(x.clone());
        }
        let features = want.stages().iter().map(|stage| stages[*stage].clone());
        LayerOutputs {
            features: features.collect(),
            kept: pass.take_kept(),
            predicted: W::NOISE.then(|| {
                let x = self.norm_out.forward(&x, pass);
                self.conv_out.forward(&x, pass).full(1.0)
            }),
        }
    }

    /// Returns the index of the first of these self-attentions, in execution order.
    fn first_layer(&self, of: SelfAttentions) -> usize {
        match of {
            SelfAttentions::All => 0,
            // The encoder's and the middle block's one.
            SelfAttentions::Decoder => {
                let encoder = self.down.iter().map(|block| block.transformers().len());
                encoder.sum::<usize>() + 1
            }
        }
    }
}

/// Identifies a forward pass.
fn forward_key<B: Backend, W: Want>(latents: &Tensor<B>, want: &W, pass: &Pass<B>) -> PassKey {
    let kept = match want.kept() {
        None => 0,
        Some(SelfAttentions::All) => 1,
        Some(SelfAttentions::Decoder) => 2,
    };
    let flags = [pass.is_recording(), pass.learns(), W::NOISE].map(usize::from);
    let runs = pass.runs().iter().flat_map(|run| [run.pictures, run.set]);
    let stages = want.stages();
    PassKey {
        kind: "forward",
        shape: latents.shape().sizes(),
        details: flags
            .into_iter()
            .chain([kept, stages.len()])
            .chain(stages.iter().copied())
            .chain(runs)
            .collect(),
    }
}

/// Returns the outputs of the middle block, with those in place of which others are given.
fn replaced<B: Backend>(own: Tensor<B>, bottlenecks: &[Option<Tensor<B>>]) -> Tensor<B> {
    if bottlenecks.iter().all(Option::is_none) {
        return own;
    }
    let of_latent = |(index, given): (usize, &Option<Tensor<B>>)| match given {
        Some(given) => given.clone(),
        None => own.picture(index),
    };
    let all: Vec<Tensor<B>> = bottlenecks.iter().enumerate().map(of_latent).collect();
    Tensor::stacked(&all)
}
