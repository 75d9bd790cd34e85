//! Multi-head attention (Vaswani et al., arXiv 1706.03762): self-attention among the pixels of a picture, and cross-attention
//! from pixels to the prompt's tokens.
//!
//! Cross-attention computes keys and values of the tokens itself, or takes those of a prompt that was prepared once
//! ([`Attention::prepare`]). Self-attention with keys and values of another latent, mutual, stored or joined, has a forward pass only.

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
    pub fn new([mut to_q, mut to_k, mut to_v, to_out]: [Linear<B>; 4], heads: usize) -> Self {
        if to_q.inputs() == to_k.inputs() {
            Linear::stack([&mut to_q, &mut to_k, &mut to_v]);
        } else {
            Linear::stack([&mut to_k, &mut to_v]);
        }
        Self {
            to_q,
            to_k,
            to_v,
            to_out,
            heads,
        }
    }

    /// Computes the weights of the pictures of set `set` from the parameters of its adapters, as [`Linear::merge`] does.
    pub fn merge(&mut self, set: usize, parameters: &Tensor<B>) {
        let Self {
            to_q,
            to_k,
            to_v,
            to_out,
            ..
        } = self;
        if to_q.inputs() == to_k.inputs() {
            Linear::merge_all([to_q, to_k, to_v], set, parameters);
        } else {
            to_q.merge(set, parameters);
            Linear::merge_all([to_k, to_v], set, parameters);
        }
        to_out.merge(set, parameters);
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
            KeySource::Own | KeySource::Mutual(_) | KeySource::Joined(_) => None,
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
        // Where all pictures use the first one's keys and values, those of the others are not computed.
        let first = (sources.len() > 1
            && pass.runs().len() <= 1
            && !pass.keeps(layer)
            && sources.iter().all(|source| *source == 0))
        .then(|| x.picture(0));
        let Self {
            to_q, to_k, to_v, ..
        } = self;
        let (q, k, v) = if first.is_some() || pass.keeps(layer) {
            // Keys and values that are kept must not keep the memory of the queries.
            let q = to_q.forward(x, pass);
            let [k, v] = Linear::forward_all([to_k, to_v], first.as_ref().unwrap_or(x), pass);
            (q, k, v)
        } else {
            Linear::forward_all([to_q, to_k, to_v], x, pass).into()
        };
        pass.keep(layer, [&k, &v]);
        let joined = match pass.keys() {
            KeySource::Joined(stored) => stored.of_layer(layer),
            KeySource::Own | KeySource::Mutual(_) | KeySource::Stored(_) => None,
        };
        let [k, v] = match joined {
            Some([more_k, more_v]) => [k.followed_by(more_k), v.followed_by(more_v)],
            None => [k, v],
        };
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
        let [k, v] = Linear::forward_all([&self.to_k, &self.to_v], context, pass);
        self.attend(&q, [&k, &v], &own_or_first(x, context), residual, pass)
    }

    /// Returns the keys and values of `context` with one set of adapters, for [`Attention::forward_prepared`].
    pub fn prepare(&self, set: usize, context: &Tensor<B>) -> [Tensor<B>; 2] {
        let mut pass = Pass::inference().with_runs(vec![Run {
            pictures: context.shape().batch,
            set,
        }]);
        Linear::forward_all([&self.to_k, &self.to_v], context, &mut pass)
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
        let mut dq = saved.q.uninit_like(saved.q.shape());
        self.inner_backward(&saved, &d_o, &mut dq, None);
        dq
    }

    /// Returns the gradients with respect to q, k and v.
    fn query_key_value_backward(&self, saved: &Saved<B>, d_o: &Tensor<B>) -> [Tensor<B>; 3] {
        let (q_shape, kv_shape) = (saved.q.shape(), saved.k.shape());
        // One gradient for each picture, also where the pictures use the same keys and values.
        let of_each = Shape {
            batch: q_shape.batch,
            ..kv_shape
        };
        let mut dq = saved.q.uninit_like(q_shape);
        let [mut dk, mut dv] = saved.k.planes(of_each);
        self.inner_backward(saved, d_o, &mut dq, Some([&mut dk, &mut dv]));
        if kv_shape.batch < q_shape.batch {
            let mut sums = dk.planes(kv_shape);
            for (sum, d) in sums.iter_mut().zip([&dk, &dv]) {
                d.backend().sum_pictures(d.buffer(), sum.buffer_mut());
            }
            [dk, dv] = sums;
        }
        [dq, dk, dv]
    }

    /// Returns the gradients with respect to q, k and v of self-attention, side by side.
    fn side_by_side_backward(&self, saved: &Saved<B>, d_o: &Tensor<B>) -> Tensor<B> {
        let shape = self.shape(&saved.q, &saved.k);
        let [q, k, v, stats, o] = saved.buffers();
        let (backend, d_o) = (d_o.backend(), d_o.buffer());
        let of_all = saved.q.shape().with_channels(3 * shape.channels());
        saved.q.build(of_all, |d| {
            backend.self_attention_backward(&shape, q, k, v, stats, o, d_o, d);
        })
    }

    fn inner_backward(
        &self,
        saved: &Saved<B>,
        d_o: &Tensor<B>,
        dq: &mut Tensor<B>,
        dkv: Option<[&mut Tensor<B>; 2]>,
    ) {
        let shape = self.shape(&saved.q, &saved.k);
        let [q, k, v, stats, o] = saved.buffers();
        let (backend, dq) = (d_o.backend(), dq.buffer_mut());
        let dkv = dkv.map(|[dk, dv]| (dk.buffer_mut(), dv.buffer_mut()));
        backend.attention_backward(&shape, q, k, v, stats, o, d_o.buffer(), dq, dkv);
    }

    /// dy to dx of [`Attention::forward_self`] without its residual, in a pass with [`KeySource::Own`].
    pub fn backward_self(&self, dy: &Tensor<B>, pass: &mut BackwardPass<B>) -> Tensor<B> {
        let d_o = self.to_out.backward(dy, pass);
        let saved = Saved::take(pass);
        let Self {
            to_q, to_k, to_v, ..
        } = self;
        let projections = [to_q, to_k, to_v];
        if dy.backend().prefers_large_calls()
            && Linear::are_alike(projections)
            && saved.q.shape() == saved.k.shape()
        {
            let d = self.side_by_side_backward(&saved, &d_o);
            return Linear::backward_all(projections, &d, pass);
        }
        let [dq, dk, dv] = self.query_key_value_backward(&saved, &d_o);
        Linear::adapter_backward_all(projections, [&dq, &dk, &dv], pass);
        let mut dx = to_v.input_backward(&dv, pass);
        to_k.input_backward_onto(&dk, &mut dx, pass);
        to_q.input_backward_onto(&dq, &mut dx, pass);
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
        let d_o = self.to_out.backward(dy, pass);
        let saved = Saved::take(pass);
        let [dq, dk, dv] = self.query_key_value_backward(&saved, &d_o);
        Linear::adapter_backward_all([&self.to_k, &self.to_v], [&dk, &dv], pass);
        if pass.needs_text() {
            let mut d_text = self.to_v.input_backward(&dv, pass);
            self.to_k.input_backward_onto(&dk, &mut d_text, pass);
            pass.add_to_text(&d_text);
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

    fn buffers(&self) -> [&B::Buffer; 5] {
        [&self.q, &self.k, &self.v, &self.stats, &self.o].map(Tensor::buffer)
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
