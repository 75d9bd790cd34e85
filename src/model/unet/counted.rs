//! A network that counts its passes, for tests of what edits cost.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::backward_pass::Gradients;
use super::recorded::Backward;
use super::{AdapterPlace, Input, InputGradients, Network, Prompt, Recordable, Recorded, Want};
use crate::kernels::Backend;
use crate::nn::Tensor;

/// A network, and how many passes of one latent it made, forward and backward passes counted alike.
#[derive(Debug)]
pub struct Counted<'a, N> {
    /// The network.
    pub network: N,
    /// Its passes.
    pub passes: &'a AtomicUsize,
}

impl<N> Counted<'_, N> {
    fn count<B: Backend>(&self, input: &Input<B>) -> usize {
        let latents = input.latents.shape().batch;
        self.passes.fetch_add(latents, Ordering::Relaxed);
        latents
    }

    /// Counts the backward passes of a recorded pass of so many latents.
    fn recorded<'r, B: Backend, W: Want, G>(
        &'r self,
        recorded: Recorded<'r, B, W, G>,
        latents: usize,
    ) -> Recorded<'r, B, W, G>
    where
        G: 'r,
    {
        recorded.map_backward(|backward| {
            Box::new(CountedBackward {
                backward,
                passes: self.passes,
                latents,
            })
        })
    }
}

impl<B: Backend, N: Network<B>> Network<B> for Counted<'_, N> {
    fn attach_adapters(&mut self, rank: usize) -> Vec<AdapterPlace> {
        self.network.attach_adapters(rank)
    }

    fn merge_adapters(&mut self, parameters: &Tensor<B>) {
        self.network.merge_adapters(parameters);
    }

    fn prepare(&self, tokens: &Tensor<B>) -> Prompt<B> {
        self.network.prepare(tokens)
    }

    fn forward<W: Want>(&self, input: Input<B>, want: W) -> W::Of<Tensor<B>> {
        self.count(&input);
        self.network.forward(input, want)
    }

    fn record<W: Recordable>(&self, input: Input<B>, want: W) -> Recorded<'_, B, W> {
        let latents = self.count(&input);
        self.recorded(self.network.record(input, want), latents)
    }

    fn record_text<W: Recordable>(
        &self,
        input: Input<B>,
        want: W,
    ) -> Recorded<'_, B, W, InputGradients<B>> {
        let latents = self.count(&input);
        self.recorded(self.network.record_text(input, want), latents)
    }

    fn record_bottlenecks<W: Recordable>(&self, input: Input<B>, want: W) -> Recorded<'_, B, W> {
        let latents = self.count(&input);
        self.recorded(self.network.record_bottlenecks(input, want), latents)
    }

    fn record_adapters<'a, W: Recordable>(
        &'a self,
        input: Input<B>,
        want: W,
        parameters: &'a Tensor<B>,
        gradient: &'a mut Tensor<B>,
    ) -> Recorded<'a, B, W, ()> {
        let latents = self.count(&input);
        let recorded = self
            .network
            .record_adapters(input, want, parameters, gradient);
        self.recorded(recorded, latents)
    }

    fn iteration<I, R: Send>(
        &self,
        kind: &'static str,
        details: Vec<usize>,
        input: Input<B>,
        others: impl FnOnce() -> I + Send,
        work: impl FnOnce(Input<B>, I) -> R + Send,
    ) -> R {
        self.network.iteration(kind, details, input, others, work)
    }
}

struct CountedBackward<'a, B: Backend, G> {
    backward: Box<dyn Backward<B, G> + 'a>,
    passes: &'a AtomicUsize,
    latents: usize,
}

impl<B: Backend, G> Backward<B, G> for CountedBackward<'_, B, G> {
    fn run(self: Box<Self>, gradients: Gradients<B>) -> G {
        self.passes.fetch_add(self.latents, Ordering::Relaxed);
        self.backward.run(gradients)
    }

    fn run_keeping(&mut self, gradients: Gradients<B>) -> G {
        self.passes.fetch_add(self.latents, Ordering::Relaxed);
        self.backward.run_keeping(gradients)
    }
}
