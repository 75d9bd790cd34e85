//! The forward pass of the whole network: encoder, middle, and as much of the decoder as the outputs need.

use super::blocks::{DownBlock, UpBlock};
use super::{Context, Input, Resnet, SelfAttentions, UNet, Want};
use crate::kernels::{Backend, PassKey};
use crate::nn::{Pass, Tensor};

/// What a pass reads that may differ from run to run.
struct LayerInputs<B: Backend> {
    /// The latents in the number format of activations.
    latents: Tensor<B>,
    /// The latents, stored as f32.
    full: Tensor<B>,
    /// The shift of every residual block, in execution order.
    shifts: Vec<Tensor<B>>,
    context: Context<B>,
    bottlenecks: Vec<Option<Tensor<B>>>,
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
        pass.set_keys(input.keys);
        if let Some(kept) = want.kept() {
            pass.keep_keys(self.first_layer(kept));
        }
        let Input {
            latents,
            timesteps,
            context,
            bottlenecks,
            ..
        } = input;
        let key = forward_key(&latents, want, pass);
        // They are cached, so that they are not computed in the memory of the pass.
        let shifts = backend.run(|| self.time.shifts(backend, &timesteps, &self.resnets()));
        let is_shared = shifts.first().is_some_and(|shift| shift.shape().batch == 1);
        let are_biases = is_shared && backend.fuses_shift();
        let inputs = || LayerInputs {
            shifts: Tensor::copied_together(backend, shifts, are_biases),
            full: match &self.velocity {
                Some(_) => latents.full(1.0),
                None => latents.clone(),
            },
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
        let work = |inputs| self.layers_forward(&inputs, &timesteps, want, pass);
        backend.pass(key, inputs, work)
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
        inputs: &LayerInputs<B>,
        timesteps: &[f64],
        want: &W,
        pass: &mut Pass<B>,
    ) -> W::Of<Tensor<B>> {
        let LayerInputs {
            latents,
            full,
            shifts,
            context,
            bottlenecks,
        } = inputs;
        let shifts = &mut shifts.iter();
        let mut skips = Vec::new();
        let mut x = self.conv_in.forward(latents, pass);
        skips.push(x.clone());
        for block in &self.down {
            x = block.forward(x, shifts, context, &mut skips, pass);
        }
        x = self.mid_first.forward(&x, shifts.next(), pass);
        x = self.mid_attention.forward(&x, context, pass);
        x = self.mid_second.forward(&x, shifts.next(), pass);
        x = replaced(x, bottlenecks);
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
        let kept = pass.take_kept();
        W::collect(features.collect(), kept, || {
            let x = self.norm_out.forward(&x, pass);
            let predicted = self.conv_out.forward(&x, pass).full(1.0);
            match &self.velocity {
                None => predicted,
                Some(velocity) => velocity.noise(&predicted, full, timesteps, pass),
            }
        })
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
