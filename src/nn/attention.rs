//! Multi-head attention: of pixels to pixels, or of pixels to the prompt's tokens.

use super::{Linear, Pass, Tensor};
use crate::kernels::{AttentionShape, Backend};

/// Mutual self-attention (MasaCtrl, arXiv 2304.08465): in late layers, pictures read keys and values of another picture of the batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mutual {
    /// The first self-attention layer, in execution order, that does so.
    pub start_layer: usize,
    /// For every picture of the batch, the picture whose keys and values it reads.
    pub sources: Vec<usize>,
}

/// Query, key, value and output projections around an attention.
#[derive(Debug)]
pub struct Attention<B: Backend> {
    /// (out, in) of the pixels.
    pub to_q: Linear<B>,
    /// (out, in) of the pixels or of the prompt's tokens.
    pub to_k: Linear<B>,
    /// Like `to_k`.
    pub to_v: Linear<B>,
    /// Back to the pixels' channels.
    pub to_out: Linear<B>,
    heads: usize,
}

impl<B: Backend> Attention<B> {
    /// Four projections and the number of heads.
    pub fn new([to_q, to_k, to_v, to_out]: [Linear<B>; 4], heads: usize) -> Self {
        Self { to_q, to_k, to_v, to_out, heads }
    }

    fn shape(&self, q: &Tensor<B>, k: &Tensor<B>) -> AttentionShape {
        let head_size = q.shape().channels / self.heads;
        AttentionShape { batch: q.shape().batch, heads: self.heads, queries: q.shape().pixels(), keys: k.shape().pixels(), head_size }
    }

    /// Attention of the pixels of `x` to each other. `layer` counts self-attentions in execution order.
    pub fn forward_self(&self, x: &Tensor<B>, layer: usize, pass: &mut Pass<B>) -> Tensor<B> {
        let sources = match pass.mutual() {
            Some(mutual) if layer >= mutual.start_layer => mutual.sources.clone(),
            _ => (0..x.shape().batch).collect(),
        };
        self.forward(x, x, &sources, pass)
    }

    /// Attention of the pixels of `x` to the tokens of `context`.
    pub fn forward_cross(&self, x: &Tensor<B>, context: &Tensor<B>, pass: &mut Pass<B>) -> Tensor<B> {
        let sources: Vec<usize> = (0..x.shape().batch).collect();
        self.forward(x, context, &sources, pass)
    }

    fn forward(&self, x: &Tensor<B>, context: &Tensor<B>, sources: &[usize], pass: &mut Pass<B>) -> Tensor<B> {
        let q = self.to_q.forward(x, pass);
        let k = self.to_k.forward(context, pass);
        let v = self.to_v.forward(context, pass);
        let shape = self.shape(&q, &k);
        let o = Tensor::build(x.backend(), q.shape(), |o| {
            x.backend().attention(&shape, sources, q.buffer(), k.buffer(), v.buffer(), o);
        });
        for kept in [&q, &k, &v, &o] {
            pass.keep(kept);
        }
        self.to_out.forward(&o, pass)
    }

    /// Gradients to q, and to k and v where `wanted`.
    fn inner_backward(&self, dy: &Tensor<B>, wanted: bool, pass: &mut Pass<B>) -> (Tensor<B>, Option<[Tensor<B>; 2]>) {
        let d_o = self.to_out.backward(dy, pass);
        let (o, v, k, q) = (pass.take(), pass.take(), pass.take(), pass.take());
        let (backend, shape) = (dy.backend(), self.shape(&q, &k));
        let mut dkv = wanted.then(|| [&k, &v].map(|x| Tensor::zeros(backend, x.shape())));
        let dq = Tensor::build(backend, q.shape(), |dq| {
            let dkv = dkv.as_mut().map(|[dk, dv]| (dk.buffer_mut(), dv.buffer_mut()));
            backend.attention_backward(&shape, q.buffer(), k.buffer(), v.buffer(), o.buffer(), d_o.buffer(), dq, dkv);
        });
        (dq, dkv)
    }

    /// dy to dx of [`Attention::forward_self`]; the trip must not have been mutual.
    pub fn backward_self(&self, dy: &Tensor<B>, pass: &mut Pass<B>) -> Tensor<B> {
        let (dq, dkv) = self.inner_backward(dy, true, pass);
        let [dk, dv] = dkv.unwrap_or_else(|| unreachable!("key and value gradients were asked for"));
        let dx = self.to_v.backward(&dv, pass).plus(&self.to_k.backward(&dk, pass));
        dx.plus(&self.to_q.backward(&dq, pass))
    }

    /// dy to dx of [`Attention::forward_cross`]; the context needs no gradient.
    pub fn backward_cross(&self, dy: &Tensor<B>, pass: &mut Pass<B>) -> Tensor<B> {
        let (dq, dkv) = self.inner_backward(dy, pass.adapters().is_some(), pass);
        if let Some([dk, dv]) = dkv {
            self.to_v.adapter_backward(&dv, pass);
            self.to_k.adapter_backward(&dk, pass);
        }
        self.to_q.backward(&dq, pass)
    }
}
