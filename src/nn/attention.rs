//! Multi-head attention (Vaswani et al., arXiv 1706.03762): self-attention among the pixels of a picture, and cross-attention
//! from pixels to the prompt's tokens.
//!
//! Cross-attention computes keys and values of the tokens itself, or takes those of a prompt that was prepared once
//! ([`Attention::prepare`]). Self-attention with keys and values of another latent, mutual or stored, has a forward pass only.

use super::{BackwardPass, KeySource, Linear, Pass, Run, Shape, Tensor};
use crate::kernels::{AttentionShape, Backend};

/// Mutual self-attention (MasaCtrl, arXiv 2304.08465): from a layer on, self-attention of a picture uses the keys and values of another
/// picture of the batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mutual {
    /// The first self-attention layer that does so, counted from 0 in execution order.
    pub start_layer: usize,
    /// For every picture of the batch, the picture whose keys and values it uses.
    pub sources: Vec<usize>,
}

/// Attention between its query, key, value and output projections.
#[derive(Debug)]
pub struct Attention<B: Backend> {
    /// Query projection of the pixels (channels, channels).
    pub to_q: Linear<B>,
    /// Key projection of the pixels or tokens (channels, pixel or token channels).
    pub to_k: Linear<B>,
    /// Value projection, of the same shape as `to_k`.
    pub to_v: Linear<B>,
    /// Output projection (channels, channels).
    pub to_out: Linear<B>,
    heads: usize,
}

impl<B: Backend> Attention<B> {
    /// Creates the layer from its projections `to_q`, `to_k`, `to_v`, `to_out` and the number of heads.
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

    /// Returns self-attention of the pixels of `x`, plus `residual`. `layer` is its index among all self-attentions in execution order.
    /// The pass says where keys and values come from, and whether they are kept.
    pub fn forward_self(
        &self,
        x: &Tensor<B>,
        layer: usize,
        residual: Option<&Tensor<B>>,
        pass: &mut Pass<B>,
    ) -> Tensor<B> {
        let stored = match pass.keys() {
            KeySource::Stored(stored) => stored.of_layer(layer).cloned(),
            KeySource::Own | KeySource::Mutual(_) => None,
        };
        if let Some([k, v]) = stored {
            pass.keep(layer, [&k, &v]);
            let q = self.to_q.forward(x, pass);
            return self.attend(&q, [&k, &v], &own_or_first(x, &k), residual, pass);
        }
        let sources = match pass.keys() {
            KeySource::Mutual(mutual) if layer >= mutual.start_layer => mutual.sources.clone(),
            _ => (0..x.shape().batch).collect(),
        };
        let q = self.to_q.forward(x, pass);
        // Where all pictures use the first one's keys and values, those of the others are not computed.
        let first = (sources.len() > 1
            && pass.runs().len() <= 1
            && !pass.keeps(layer)
            && sources.iter().all(|source| *source == 0))
        .then(|| x.picture(0));
        let read = first.as_ref().unwrap_or(x);
        let k = self.to_k.forward(read, pass);
        let v = self.to_v.forward(read, pass);
        pass.keep(layer, [&k, &v]);
        self.attend(&q, [&k, &v], &sources, residual, pass)
    }

    /// Returns cross-attention from the pixels of `x` to the tokens of `context` (b or 1, 1, tokens, channels), plus `residual`.
    /// With a batch of one, all pictures use the same tokens.
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

    /// Returns the keys and values of `context` with one set of adapters, for [`Attention::forward_prepared`].
    pub fn prepare(&self, set: usize, context: &Tensor<B>) -> [Tensor<B>; 2] {
        let mut pass = Pass::inference().with_runs(vec![Run {
            pictures: context.shape().batch,
            set,
        }]);
        [&self.to_k, &self.to_v].map(|linear| linear.forward(context, &mut pass))
    }

    /// As [`Attention::forward_cross`], with keys and values from [`Attention::prepare`].
    ///
    /// # Panics
    /// When the pass records for the gradients of adapters: those of `to_k` and `to_v` need the tokens.
    pub fn forward_prepared(
        &self,
        x: &Tensor<B>,
        [k, v]: &[Tensor<B>; 2],
        residual: Option<&Tensor<B>>,
        pass: &mut Pass<B>,
    ) -> Tensor<B> {
        assert!(
            !pass.learns(),
            "the gradients of adapters need the prompt's tokens"
        );
        let q = self.to_q.forward(x, pass);
        self.attend(&q, [k, v], &own_or_first(x, k), residual, pass)
    }

    /// Returns the attention of q to k and v through the output projection, plus `residual`.
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
        for tensor in [q, k, v, &stats, &o] {
            pass.save(tensor);
        }
        self.to_out.forward_plus(&o, residual, pass)
    }

    /// Returns the gradient with respect to q.
    fn query_backward(&self, dy: &Tensor<B>, pass: &mut BackwardPass<B>) -> Tensor<B> {
        let d_o = self.to_out.backward(dy, pass);
        let saved = Saved::take(pass);
        self.inner_backward(&saved, &d_o, None)
    }

    /// Returns the gradients with respect to q, k and v.
    fn query_key_value_backward(
        &self,
        dy: &Tensor<B>,
        pass: &mut BackwardPass<B>,
    ) -> [Tensor<B>; 3] {
        let d_o = self.to_out.backward(dy, pass);
        let saved = Saved::take(pass);
        let (batch, kv_shape) = (saved.q.shape().batch, saved.k.shape());
        // One gradient for each picture, also where the pictures use the same keys and values.
        let of_each = Shape { batch, ..kv_shape };
        let (mut dk, mut dv) = (saved.k.uninit_like(of_each), saved.v.uninit_like(of_each));
        let dq = self.inner_backward(&saved, &d_o, Some((dk.buffer_mut(), dv.buffer_mut())));
        if kv_shape.batch < batch {
            [dq, dk.summed(), dv.summed()]
        } else {
            [dq, dk, dv]
        }
    }

    fn inner_backward(
        &self,
        saved: &Saved<B>,
        d_o: &Tensor<B>,
        dkv: Option<(&mut B::Buffer, &mut B::Buffer)>,
    ) -> Tensor<B> {
        let shape = self.shape(&saved.q, &saved.k);
        saved.q.build(saved.q.shape(), |dq| {
            let [q, k, v, stats, o] =
                [&saved.q, &saved.k, &saved.v, &saved.stats, &saved.o].map(Tensor::buffer);
            let backend = d_o.backend();
            backend.attention_backward(&shape, q, k, v, stats, o, d_o.buffer(), dq, dkv);
        })
    }

    /// dy to dx of [`Attention::forward_self`] without its residual, in a pass with [`KeySource::Own`].
    pub fn backward_self(&self, dy: &Tensor<B>, pass: &mut BackwardPass<B>) -> Tensor<B> {
        let [dq, dk, dv] = self.query_key_value_backward(dy, pass);
        let mut dx = self.to_v.backward(&dv, pass);
        self.to_k.backward_onto(&dk, &mut dx, pass);
        self.to_q.backward_onto(&dq, &mut dx, pass);
        dx
    }

    /// dy to dx of [`Attention::forward_cross`] without its residual.
    ///
    /// Where the pass wants the gradient of the prompt's tokens, this layer's share dK `to_k` + dV `to_v` is added to it.
    pub fn backward_cross(&self, dy: &Tensor<B>, pass: &mut BackwardPass<B>) -> Tensor<B> {
        if !pass.learns() && !pass.needs_text() {
            let dq = self.query_backward(dy, pass);
            return self.to_q.backward(&dq, pass);
        }
        let [dq, dk, dv] = self.query_key_value_backward(dy, pass);
        if pass.needs_text() {
            let mut d_text = self.to_v.backward(&dv, pass);
            self.to_k.backward_onto(&dk, &mut d_text, pass);
            pass.add_to_text(&d_text);
        } else {
            self.to_v.adapter_backward(&dv, pass);
            self.to_k.adapter_backward(&dk, pass);
        }
        self.to_q.backward(&dq, pass)
    }
}

/// The tensors that [`Attention::attend`] saves for the backward call.
struct Saved<B: Backend> {
    q: Tensor<B>,
    k: Tensor<B>,
    v: Tensor<B>,
    /// Statistics of the softmax (batch, 1, heads, queries).
    stats: Tensor<B>,
    o: Tensor<B>,
}

impl<B: Backend> Saved<B> {
    fn take(pass: &mut BackwardPass<B>) -> Self {
        let [o, stats, v, k, q] = [(); 5].map(|()| pass.take());
        Self { q, k, v, stats, o }
    }
}

/// Returns the index of the tokens that each picture of `x` uses.
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
