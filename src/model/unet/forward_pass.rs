//! The forward pass of the whole network: encoder, middle, and as much of the decoder as the outputs need.

use super::blocks::{DownBlock, UpBlock};
use super::{Context, Input, Resnet, SelfAttentions, UNet, Want};
use crate::kernels::Backend;
use crate::nn::{Pass, Tensor};

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
        let latents = input.latents.compact(backend, 1.0);
        let context = match input.context {
            Context::Tokens(tokens) => Context::Tokens(tokens.compact(backend, 1.0)),
            prepared @ Context::Prepared(_) => prepared,
        };
        assert!(
            input.bottlenecks.is_empty() || !pass.is_recording(),
            "the gradient ends at a given bottleneck"
        );
        pass.set_keys(input.keys);
        if let Some(kept) = want.kept() {
            pass.keep_keys(self.first_layer(kept));
        }
        backend.run(|| {
            let sources = [&latents, &input.latents];
            let (timesteps, bottlenecks) = (&input.timesteps, &input.bottlenecks);
            self.layers_forward(sources, timesteps, &context, bottlenecks, want, pass)
        })
    }

    /// Runs the layers on `latents` in the number format of activations; `full` are the same, stored as f32.
    fn layers_forward<W: Want>(
        &self,
        [latents, full]: [&Tensor<B>; 2],
        timesteps: &[f64],
        context: &Context<B>,
        bottlenecks: &[Option<Tensor<B>>],
        want: &W,
        pass: &mut Pass<B>,
    ) -> W::Of<Tensor<B>> {
        let down = self.down.iter().flat_map(DownBlock::resnets);
        let up = self.up.iter().flat_map(UpBlock::resnets);
        let resnets: Vec<&Resnet<B>> = down
            .chain([&self.mid_first, &self.mid_second])
            .chain(up)
            .collect();
        let shifts = self.time.shifts(latents.backend(), timesteps, &resnets);
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

/// Returns the outputs of the middle block, with those in place of which others are given.
fn replaced<B: Backend>(own: Tensor<B>, bottlenecks: &[Option<Tensor<B>>]) -> Tensor<B> {
    if bottlenecks.iter().all(Option::is_none) {
        return own;
    }
    let of_latent = |(index, given): (usize, &Option<Tensor<B>>)| match given {
        Some(given) => given.compact(own.backend(), 1.0),
        None => own.picture(index),
    };
    let all: Vec<Tensor<B>> = bottlenecks.iter().enumerate().map(of_latent).collect();
    Tensor::stacked(&all)
}
