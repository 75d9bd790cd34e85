//! The noise predictor as an edit sees it, whether or not it shares it with other edits.

use super::backward_pass::Gradients;
use super::recorded::Backward;
use super::{AdapterPlace, Input, InputGradients, Noise, Prompt, Recordable, Recorded, UNet, Want};
use crate::kernels::{Backend, PassKey};
use crate::nn::{BackwardPass, Learner, Pass, Shape, Tape, Tensor};

/// A noise predictor, whose weights may include one set of LoRA adapters.
pub trait Network<B: Backend>: Sync {
    /// Attaches an adapter of this rank to every query, key, value and output projection; returns their places, in the order of the
    /// parameters. The weights stay as loaded until the first merge.
    fn attach_adapters(&mut self, rank: usize) -> Vec<AdapterPlace>;

    /// Sets every adapted weight to W0 + up down with these parameters, in f32, where W0 is the weight as loaded.
    fn merge_adapters(&mut self, parameters: &Tensor<B>);

    /// Returns the keys and values of a prompt for the weights as they are now. Tokens (1, 1, tokens, channels) are one prompt for all
    /// latents of a pass; tokens (b, 1, tokens, channels) are one for each of its b latents.
    fn prepare(&self, tokens: &Tensor<B>) -> Prompt<B>;

    /// Runs a forward pass and returns its outputs.
    ///
    /// # Panics
    /// When the shapes do not fit, or the network lacks a decoder stage.
    fn forward<W: Want>(&self, input: Input<B>, want: W) -> W::Of<Tensor<B>>;

    /// Records a forward pass whose backward pass returns the gradient with respect to the latents (batch, height, width, 4).
    ///
    /// # Panics
    /// As [`Network::forward`].
    fn record<W: Recordable>(&self, input: Input<B>, want: W) -> Recorded<'_, B, W>;

    /// As [`Network::record`]; the backward pass also returns the gradient with respect to the prompt's tokens: the sum of the shares of
    /// [`crate::nn::Attention::backward_cross`].
    ///
    /// # Panics
    /// As [`Network::forward`], and when the prompt is prepared.
    fn record_text<W: Recordable>(
        &self,
        input: Input<B>,
        want: W,
    ) -> Recorded<'_, B, W, InputGradients<B>>;

    /// Records the decoder of a forward pass. Its backward pass returns the gradient with respect to the given outputs of the middle block
    /// ([`Input::with_bottlenecks`]): (batch, height, width, channels).
    ///
    /// # Panics
    /// As [`Network::forward`], and when a latent has no bottleneck.
    fn record_bottlenecks<W: Recordable>(&self, input: Input<B>, want: W) -> Recorded<'_, B, W>;

    /// Records a forward pass whose backward pass adds the gradient with respect to the adapters' merged `parameters` to `gradient`.
    ///
    /// # Panics
    /// As [`Network::forward`], and when the prompt is prepared: its keys and values depend on the adapters.
    fn record_adapters<'a, W: Recordable>(
        &'a self,
        input: Input<B>,
        want: W,
        parameters: &'a Tensor<B>,
        gradient: &'a mut Tensor<B>,
    ) -> Recorded<'a, B, W, ()>;

    /// Runs one iteration of an optimisation, from its forward pass to its last gradient, as one pass that is repeated ([`Backend::pass`]).
    ///
    /// `work` runs the passes of the input that it gets and what lies between them, without reading a result. Its input has copies of the
    /// latents and of what depends on the timesteps; `others` copies whatever else may differ from run to run. The results of `work` must be
    /// dropped before the next iteration, else that gets memory of its own and its calls are others. `kind` and `details` identify iterations
    /// that probably make the same calls.
    ///
    /// A network that predicts the velocity, or that is shared with other edits, repeats the passes within `work` one by one.
    fn iteration<I, R: Send>(
        &self,
        kind: &'static str,
        details: Vec<usize>,
        input: Input<B>,
        others: impl FnOnce() -> I + Send,
        work: impl FnOnce(Input<B>, I) -> R + Send,
    ) -> R;

    /// Returns the noise prediction (batch, height, width, 4).
    ///
    /// # Panics
    /// As [`Network::forward`].
    fn predict(&self, input: Input<B>) -> Tensor<B> {
        self.forward(input, Noise)
    }
}

impl<B: Backend> Network<B> for UNet<B> {
    fn attach_adapters(&mut self, rank: usize) -> Vec<AdapterPlace> {
        self.attach_adapters_of(0, rank)
    }

    fn merge_adapters(&mut self, parameters: &Tensor<B>) {
        self.merge_adapters_of(0, parameters);
    }

    fn prepare(&self, tokens: &Tensor<B>) -> Prompt<B> {
        self.prepare_for(0, tokens)
    }

    fn forward<W: Want>(&self, input: Input<B>, want: W) -> W::Of<Tensor<B>> {
        self.run_forward(input, &want, &mut Pass::inference())
    }

    fn record<W: Recordable>(&self, input: Input<B>, want: W) -> Recorded<'_, B, W> {
        let shape = input.latents.shape();
        let mut pass = Pass::recording();
        let outputs = self.run_forward(input, &want, &mut pass);
        let backward = ToLatents {
            unet: self,
            latents: shape,
            tape: pass.into_tape(),
        };
        Recorded::new(want, outputs, backward)
    }

    fn record_text<W: Recordable>(
        &self,
        input: Input<B>,
        want: W,
    ) -> Recorded<'_, B, W, InputGradients<B>> {
        let (latents, text) = (input.latents.shape(), input.text_shape());
        let mut pass = Pass::recording();
        let outputs = self.run_forward(input, &want, &mut pass);
        let backward = ToText {
            unet: self,
            latents,
            text,
            tape: pass.into_tape(),
        };
        Recorded::new(want, outputs, backward)
    }

    fn record_bottlenecks<W: Recordable>(&self, input: Input<B>, want: W) -> Recorded<'_, B, W> {
        let bottlenecks = input.bottleneck_shape();
        let mut pass = Pass::recording_decoder();
        let outputs = self.run_forward(input, &want, &mut pass);
        let backward = ToBottlenecks {
            unet: self,
            bottlenecks,
            tape: pass.into_tape(),
        };
        Recorded::new(want, outputs, backward)
    }

    fn record_adapters<'a, W: Recordable>(
        &'a self,
        input: Input<B>,
        want: W,
        parameters: &'a Tensor<B>,
        gradient: &'a mut Tensor<B>,
    ) -> Recorded<'a, B, W, ()> {
        let mut pass = Pass::learning();
        let outputs = self.run_forward(input, &want, &mut pass);
        let backward = ToAdapters {
            unet: self,
            tape: pass.into_tape(),
            parameters,
            gradient,
        };
        Recorded::new(want, outputs, backward)
    }

    fn iteration<I, R: Send>(
        &self,
        kind: &'static str,
        details: Vec<usize>,
        input: Input<B>,
        others: impl FnOnce() -> I + Send,
        work: impl FnOnce(Input<B>, I) -> R + Send,
    ) -> R {
        let backend = self.backend();
        if self.predicts_velocity() {
            // The conversion to noise between the passes depends on the timestep.
            return work(input, others());
        }
        let key = PassKey {
            kind,
            shape: input.latents.shape().sizes(),
            details,
        };
        let time = self.time_source(&input);
        let inputs = || {
            let input = Input {
                latents: input.latents.full(1.0),
                time: Some(self.time.prepared(backend, time)),
                ..input
            };
            (input, others())
        };
        backend.pass(key, inputs, |(input, others)| work(input, others))
    }
}

/// The backward pass to the latents.
struct ToLatents<'a, B: Backend> {
    unet: &'a UNet<B>,
    latents: Shape,
    tape: Tape<B>,
}

impl<B: Backend> Backward<B, Tensor<B>> for ToLatents<'_, B> {
    fn run(self: Box<Self>, gradients: Gradients<B>) -> Tensor<B> {
        let pass = BackwardPass::new(self.tape);
        self.unet.backward_to_latents(self.latents, gradients, pass)
    }

    fn run_keeping(&mut self, gradients: Gradients<B>) -> Tensor<B> {
        let pass = BackwardPass::new(self.tape.clone());
        self.unet.backward_to_latents(self.latents, gradients, pass)
    }
}

/// The backward pass to the latents and the prompt's tokens.
struct ToText<'a, B: Backend> {
    unet: &'a UNet<B>,
    latents: Shape,
    text: Shape,
    tape: Tape<B>,
}

impl<B: Backend> Backward<B, InputGradients<B>> for ToText<'_, B> {
    fn run(self: Box<Self>, gradients: Gradients<B>) -> InputGradients<B> {
        let pass = BackwardPass::new(self.tape);
        self.unet
            .backward_to_text(self.latents, self.text, gradients, pass)
    }

    fn run_keeping(&mut self, gradients: Gradients<B>) -> InputGradients<B> {
        let pass = BackwardPass::new(self.tape.clone());
        self.unet
            .backward_to_text(self.latents, self.text, gradients, pass)
    }
}

/// The backward pass to the given outputs of the middle block.
struct ToBottlenecks<'a, B: Backend> {
    unet: &'a UNet<B>,
    bottlenecks: Shape,
    tape: Tape<B>,
}

impl<B: Backend> Backward<B, Tensor<B>> for ToBottlenecks<'_, B> {
    fn run(self: Box<Self>, gradients: Gradients<B>) -> Tensor<B> {
        let pass = BackwardPass::new(self.tape);
        self.unet
            .backward_to_bottlenecks(self.bottlenecks, gradients, pass)
    }

    fn run_keeping(&mut self, gradients: Gradients<B>) -> Tensor<B> {
        let pass = BackwardPass::new(self.tape.clone());
        self.unet
            .backward_to_bottlenecks(self.bottlenecks, gradients, pass)
    }
}

/// The backward pass to the adapters.
struct ToAdapters<'a, B: Backend> {
    unet: &'a UNet<B>,
    tape: Tape<B>,
    parameters: &'a Tensor<B>,
    gradient: &'a mut Tensor<B>,
}

impl<B: Backend> ToAdapters<'_, B> {
    fn run_with(&mut self, tape: Tape<B>, gradients: Gradients<B>) {
        let pass = BackwardPass::new(tape).with_learner(Learner {
            set: 0,
            parameters: self.parameters,
            gradient: self.gradient,
        });
        self.unet.backward_to_adapters(gradients, pass);
    }
}

impl<B: Backend> Backward<B, ()> for ToAdapters<'_, B> {
    fn run(mut self: Box<Self>, gradients: Gradients<B>) {
        let tape = std::mem::take(&mut self.tape);
        self.run_with(tape, gradients);
    }

    fn run_keeping(&mut self, gradients: Gradients<B>) {
        self.run_with(self.tape.clone(), gradients);
    }
}
