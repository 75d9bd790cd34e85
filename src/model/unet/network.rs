//! The noise predictor as an edit sees it: for itself, or shared with edits beside it.

use super::{AdapterPlace, Context, Gradients, Output, Prompt, UNet, Want};
use crate::kernels::Backend;
use crate::nn::{Pass, Tensor};

/// What fine-tuning, inversion, drag and denoising ask of a noise predictor. Of the adapters there is one set.
pub trait Network<B: Backend> {
    /// As [`UNet::attach_adapters`].
    fn attach_adapters(&mut self, rank: usize) -> Vec<AdapterPlace>;
    /// As [`UNet::merge_adapters`].
    fn merge_adapters(&mut self, parameters: &Tensor<B>);
    /// As [`UNet::prepare`].
    fn prepare(&self, tokens: &Tensor<B>) -> Prompt<B>;
    /// As [`UNet::forward`].
    fn forward(
        &self,
        z: &Tensor<B>,
        timesteps: &[f64],
        context: Context<B>,
        want: Want,
        pass: &mut Pass<B>,
    ) -> Output<B>;
    /// As [`UNet::backward`].
    fn backward(
        &self,
        output: &Output<B>,
        gradients: Gradients<B>,
        need_input: bool,
        pass: &mut Pass<B>,
    ) -> Option<Tensor<B>>;

    /// The noise prediction alone, all latents at one timestep.
    fn predict(
        &self,
        z: &Tensor<B>,
        timestep: f64,
        context: Context<B>,
        pass: &mut Pass<B>,
    ) -> Tensor<B> {
        let timesteps = vec![timestep; z.shape().batch];
        let output = self.forward(
            z,
            &timesteps,
            context,
            Want {
                noise: true,
                taps: &[],
            },
            pass,
        );
        output
            .noise
            .unwrap_or_else(|| unreachable!("the noise was asked for"))
    }
}

impl<B: Backend> Network<B> for UNet<B> {
    fn attach_adapters(&mut self, rank: usize) -> Vec<AdapterPlace> {
        UNet::attach_adapters(self, rank)
    }

    fn merge_adapters(&mut self, parameters: &Tensor<B>) {
        UNet::merge_adapters(self, parameters);
    }

    fn prepare(&self, tokens: &Tensor<B>) -> Prompt<B> {
        UNet::prepare(self, tokens)
    }

    fn forward(
        &self,
        z: &Tensor<B>,
        timesteps: &[f64],
        context: Context<B>,
        want: Want,
        pass: &mut Pass<B>,
    ) -> Output<B> {
        UNet::forward(self, z, timesteps, context, want, pass)
    }

    fn backward(
        &self,
        output: &Output<B>,
        gradients: Gradients<B>,
        need_input: bool,
        pass: &mut Pass<B>,
    ) -> Option<Tensor<B>> {
        UNet::backward(self, output, gradients, need_input, pass)
    }
}
