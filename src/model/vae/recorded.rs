//! A decode that was recorded for its backward pass.
//!
//! The decoder's activations are large: at 512 x 512 a tape of Stable Diffusion's decoder holds 1.9 GB in f32, against 0.3 MB of latent. Blocks
//! keep their tape while all tapes together fit a limit. Every further block keeps only its input, and the backward pass computes the block
//! again, which costs one more forward pass of the block (recomputation, Chen et al., arXiv 1604.06174).

use super::{Vae, scaled};
use crate::error::Result;
use crate::interrupt::Interrupt;
use crate::kernels::Backend;
use crate::nn::{BackwardPass, Pass, Tape, Tensor};

/// Largest sum of all tapes in bytes, unless the caller sets another. A picture of 512 x 512 stays below.
const TAPE_LIMIT: usize = 2 << 30;

/// What the backward pass of a block starts from.
#[derive(Debug)]
enum Kept<B: Backend> {
    /// What its forward pass saved.
    Tape(Tape<B>),
    /// Its input, from which it is computed again.
    Input(Tensor<B>),
}

/// A decoded picture, and the backward pass from a loss on it to the latent.
///
/// It owns the activations that the backward pass needs; dropping it frees them.
#[derive(Debug)]
pub struct RecordedDecode<'a, B: Backend> {
    vae: &'a Vae<B>,
    latent: Tensor<B>,
    picture: Tensor<B>,
    post_quant: Tape<B>,
    blocks: Vec<Kept<B>>,
}

impl<B: Backend> Vae<B> {
    /// Decodes scaled latents (b, h, w, 4) as [`Vae::decode`] does, and records for the backward pass.
    ///
    /// # Errors
    /// [`crate::Error::Interrupted`].
    pub fn record_decode(
        &self,
        latent: &Tensor<B>,
        interrupt: &Interrupt,
    ) -> Result<RecordedDecode<'_, B>> {
        self.record_decode_within(latent, TAPE_LIMIT, interrupt)
    }

    /// As [`Vae::record_decode`], with another limit for the tapes, in bytes. With 0, every block is computed again.
    ///
    /// # Errors
    /// As [`Vae::record_decode`].
    pub fn record_decode_within(
        &self,
        latent: &Tensor<B>,
        limit: usize,
        interrupt: &Interrupt,
    ) -> Result<RecordedDecode<'_, B>> {
        let backend = self.encoder.backend();
        let mut pass = Pass::recording();
        let unscaled = scaled(latent.clone(), 1.0 / self.scaling_factor);
        let mut x = self
            .post_quant
            .forward(&unscaled.compact(backend, 1.0), &mut pass);
        let post_quant = pass.into_tape();
        let mut blocks = Vec::new();
        let mut taped = 0;
        let picture = backend.run(|| -> Result<_> {
            for block in &self.decoder.blocks {
                interrupt.check()?;
                let mut pass = Pass::recording();
                let y = block.forward(&x, &mut pass);
                let tape = pass.into_tape();
                let bytes = size_of::<f32>() * tape.values();
                let kept = if taped + bytes <= limit {
                    taped += bytes;
                    Kept::Tape(tape)
                } else {
                    Kept::Input(x)
                };
                blocks.push(kept);
                x = y;
            }
            Ok(x.full(1.0))
        })?;
        Ok(RecordedDecode {
            vae: self,
            latent: latent.clone(),
            picture,
            post_quant,
            blocks,
        })
    }
}

impl<B: Backend> RecordedDecode<'_, B> {
    /// Returns the picture (b, 8 h, 8 w, 3), approximately in [-1, 1].
    pub fn picture(&self) -> &Tensor<B> {
        &self.picture
    }

    /// Returns the bytes of all activations that are kept for the backward pass. Activations that two blocks share count twice.
    pub fn kept_bytes(&self) -> usize {
        let values = self.blocks.iter().map(|kept| match kept {
            Kept::Tape(tape) => tape.values(),
            Kept::Input(x) => x.shape().len(),
        });
        size_of::<f32>() * values.sum::<usize>()
    }

    /// Returns the gradient with respect to the scaled latents, in f32, from `gradient`, that of a loss with respect to the picture.
    ///
    /// # Errors
    /// [`crate::Error::Interrupted`].
    pub fn backward(self, gradient: &Tensor<B>, interrupt: &Interrupt) -> Result<Tensor<B>> {
        let (vae, backend) = (self.vae, self.vae.encoder.backend());
        let mut dx = gradient.compact(backend, 1.0);
        let blocks = vae.decoder.blocks.iter().zip(self.blocks).rev();
        let dx = backend.run(|| -> Result<_> {
            for (block, kept) in blocks {
                interrupt.check()?;
                let tape = match kept {
                    Kept::Tape(tape) => tape,
                    Kept::Input(x) => {
                        let mut pass = Pass::recording();
                        block.forward(&x, &mut pass);
                        pass.into_tape()
                    }
                };
                dx = block.backward(&dx, &mut BackwardPass::new(tape));
            }
            Ok(dx)
        })?;
        let post_quant = &mut BackwardPass::new(self.post_quant);
        let unscaled = vae.post_quant.backward(&dx, post_quant).full(1.0);
        let values = scaled(unscaled, 1.0 / vae.scaling_factor).to_host();
        // The latent's device may compute in another number format than the VAE.
        Ok(Tensor::from_host(
            self.latent.backend(),
            self.latent.shape(),
            values,
        ))
    }
}
