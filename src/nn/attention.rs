//! Multi-head attention: of pixels to pixels, or of pixels to the prompt's tokens.

use super::{Linear, Pass, Run, Shape, Tensor};
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
        Self {
            to_q,
            to_k,
            to_v,
            to_out,
            heads,
        }
    }

    fn shape(&self, q: &Tensor<B>, k: &Tensor<B>) -> AttentionShape {
        let head_size = q.shape().channels / self.heads;
        AttentionShape {
            batch: q.shape().batch,
            heads: self.heads,
            queries: q.shape().pixels(),
            keys: k.shape().pixels(),
            head_size,
        }
    }

    /// Attention of the pixels of `x` to each other, plus `residual`. `layer` counts self-attentions in execution order.
    pub fn forward_self(
        &self,
        x: &Tensor<B>,
        layer: usize,
        residual: Option<&Tensor<B>>,
        pass: &mut Pass<B>,
    ) -> Tensor<B> {
        let sources = match pass.mutual() {
            Some(mutual) if layer >= mutual.start_layer => mutual.sources.clone(),
            _ => (0..x.shape().batch).collect(),
        };
        let q = self.to_q.forward(x, pass);
        // Where all read the first picture, nobody asks for the keys and values of the others.
        let first = (sources.len() > 1
            && pass.runs().len() <= 1
            && sources.iter().all(|source| *source == 0))
        .then(|| x.picture(0));
        let read = first.as_ref().unwrap_or(x);
        let k = self.to_k.forward(read, pass);
        let v = self.to_v.forward(read, pass);
        self.attend(&q, [&k, &v], &sources, residual, pass)
    }

    /// Attention of the pixels of `x` to the tokens of `context`, plus `residual`. With one picture of tokens, all pictures read it.
    pub fn forward_cross(
        &self,
        x: &Tensor<B>,
        context: &Tensor<B>,
        residual: Option<&Tensor<B>>,
        pass: &mut Pass<B>,
    ) -> Tensor<B> {
        let q = self.to_q.forward(x, pass);
        let k = self.to_k.forward(context, pass);
        let v = self.to_v.forward(context, pass);
        self.attend(&q, [&k, &v], &own_or_first(x, context), residual, pass)
    }

    /// Keys and values of `context` with the adapters of one set, for [`Attention::forward_prepared`].
    pub fn prepare(&self, set: usize, context: &Tensor<B>) -> [Tensor<B>; 2] {
        let mut pass = Pass::inference().with_runs(vec![Run {
            pictures: context.shape().batch,
            set,
        }]);
        [&self.to_k, &self.to_v].map(|linear| linear.forward(context, &mut pass))
    }

    /// As [`Attention::forward_cross`], of a context whose keys and values are known.
    ///
    /// # Panics
    /// When the pass is to find gradients of adapters, which need the context itself.
    pub fn forward_prepared(
        &self,
        x: &Tensor<B>,
        [k, v]: &[Tensor<B>; 2],
        residual: Option<&Tensor<B>>,
        pass: &mut Pass<B>,
    ) -> Tensor<B> {
        assert!(
            !pass.learns(),
            "gradients of adapters need the prompt's tokens"
        );
        let q = self.to_q.forward(x, pass);
        self.attend(&q, [k, v], &own_or_first(x, k), residual, pass)
    }

    fn attend(
        &self,
        q: &Tensor<B>,
        [k, v]: [&Tensor<B>; 2],
        sources: &[usize],
        residual: Option<&Tensor<B>>,
        pass: &mut Pass<B>,
    ) -> Tensor<B> {
        let (backend, shape) = (q.backend(), self.shape(q, k));
        let mut stats = Tensor::uninit(
            backend,
            Shape::new(shape.batch, 1, shape.heads, shape.queries),
        );
        let o = q.build(q.shape(), |o| {
            backend.attention(
                &shape,
                sources,
                q.buffer(),
                k.buffer(),
                v.buffer(),
                stats.buffer_mut(),
                o,
            );
        });
        for kept in [q, k, v, &stats, &o] {
            pass.keep(kept);
        }
        self.to_out.forward_plus(&o, residual, pass)
    }

    /// Gradients to q, and to k and v where `wanted`.
    fn inner_backward(
        &self,
        dy: &Tensor<B>,
        wanted: bool,
        pass: &mut Pass<B>,
    ) -> (Tensor<B>, Option<[Tensor<B>; 2]>) {
        let d_o = self.to_out.backward(dy, pass);
        let (o, stats, v, k, q) = (
            pass.take(),
            pass.take(),
            pass.take(),
            pass.take(),
            pass.take(),
        );
        let (backend, shape) = (dy.backend(), self.shape(&q, &k));
        let kv_shape = Shape {
            batch: shape.batch,
            ..k.shape()
        };
        let mut dkv = wanted.then(|| [(); 2].map(|()| k.uninit_like(kv_shape)));
        let dq = q.build(q.shape(), |dq| {
            let dkv = dkv
                .as_mut()
                .map(|[dk, dv]| (dk.buffer_mut(), dv.buffer_mut()));
            let [q, k, v, stats, o, d_o] = [&q, &k, &v, &stats, &o, &d_o].map(Tensor::buffer);
            backend.attention_backward(&shape, q, k, v, stats, o, d_o, dq, dkv);
        });
        let shared = k.shape().batch < shape.batch;
        (
            dq,
            if shared {
                dkv.map(|dkv| dkv.map(|gradient| gradient.summed()))
            } else {
                dkv
            },
        )
    }

    /// dy to dx of [`Attention::forward_self`] without its residual; the trip must not have been mutual.
    pub fn backward_self(&self, dy: &Tensor<B>, pass: &mut Pass<B>) -> Tensor<B> {
        let (dq, dkv) = self.inner_backward(dy, true, pass);
        let [dk, dv] =
            dkv.unwrap_or_else(|| unreachable!("key and value gradients were asked for"));
        let mut dx = self.to_v.backward(&dv, pass);
        self.to_k.backward_onto(&dk, &mut dx, pass);
        self.to_q.backward_onto(&dq, &mut dx, pass);
        dx
    }

    /// dy to dx of [`Attention::forward_cross`] without its residual; the context needs no gradient.
    pub fn backward_cross(&self, dy: &Tensor<B>, pass: &mut Pass<B>) -> Tensor<B> {
        let (dq, dkv) = self.inner_backward(dy, pass.learns(), pass);
        if let Some([dk, dv]) = dkv {
            self.to_v.adapter_backward(&dv, pass);
            self.to_k.adapter_backward(&dk, pass);
        }
        self.to_q.backward(&dq, pass)
    }
}

/// Whose tokens every picture of `x` reads.
fn own_or_first<B: Backend>(x: &Tensor<B>, context: &Tensor<B>) -> Vec<usize> {
    (0..x.shape().batch)
        .map(|picture| {
            if context.shape().batch == 1 {
                0
            } else {
                picture
            }
        })
        .collect()
}
