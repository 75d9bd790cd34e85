//! The places of LoRA adapters in the network (LoRA, arXiv 2106.09685): all query, key, value and output projections.
//!
//! Several sets of adapters may be attached at a time; the runs of a pass select the set of each latent. An adapter has no
//! effect until its parameters are merged into the weights.

#[cfg(doc)]
use super::Network;
use super::UNet;
use super::blocks::{DownBlock, UpBlock};
use super::transformer::Transformer;
use crate::kernels::{Backend, PassKey};
use crate::nn::{Adapter, Linear, Tensor};

/// The place of one adapter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdapterPlace {
    /// The module's name in diffusers, such as `down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q`.
    pub name: String,
    /// Input channels of the projection.
    pub inputs: usize,
    /// Output channels of the projection.
    pub outputs: usize,
    /// Its position in the flat list of parameters.
    pub adapter: Adapter,
}

impl AdapterPlace {
    /// Returns the number of parameters of `down` (rank, in); those of `up` (out, rank) follow.
    pub fn down_len(&self) -> usize {
        self.adapter.rank * self.inputs
    }

    /// Returns the number of parameters.
    pub fn len(&self) -> usize {
        self.adapter.rank * (self.inputs + self.outputs)
    }

    /// Whether there are no parameters.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<B: Backend> UNet<B> {
    /// Returns the adapted projections in execution order, with their names in diffusers.
    fn adapted(&mut self) -> Vec<(String, &mut Linear<B>)> {
        let mut found = Vec::new();
        for block in &mut self.down {
            block.adapted(&mut found);
        }
        self.mid_attention.adapted(&mut found);
        for block in &mut self.up {
            block.adapted(&mut found);
        }
        found
    }

    /// As [`Network::attach_adapters`], for one set of adapters.
    pub(super) fn attach_adapters_of(&mut self, set: usize, rank: usize) -> Vec<AdapterPlace> {
        let mut offset = 0;
        let mut places = Vec::new();
        for (name, linear) in self.adapted() {
            let adapter = Adapter { offset, rank };
            linear.set_adapter(set, Some(adapter));
            places.push(AdapterPlace {
                name,
                inputs: linear.inputs(),
                outputs: linear.outputs(),
                adapter,
            });
            offset += linear.adapter_len(rank);
        }
        places
    }

    /// As [`Network::merge_adapters`], for one set of adapters.
    pub(super) fn merge_adapters_of(&mut self, set: usize, parameters: &Tensor<B>) {
        // The new weights can take the memory of the last ones.
        for (_, linear) in self.adapted() {
            linear.unmerge(set);
        }
        let backend = self.backend().clone();
        let key = PassKey {
            kind: "merge adapters",
            shape: parameters.shape().sizes(),
            details: vec![set],
        };
        // With their copies in the format of activations, which the products read.
        let inputs = || Tensor::copied_together(&backend, vec![parameters.clone()], true);
        backend.pass(key, inputs, |parameters| {
            self.merge_all_adapters(set, &parameters[0]);
        });
    }

    /// Merges the adapters of a set, one layer after the other.
    fn merge_all_adapters(&mut self, set: usize, parameters: &Tensor<B>) {
        let down = self.down.iter_mut().flat_map(DownBlock::transformers_mut);
        let up = self.up.iter_mut().flat_map(UpBlock::transformers_mut);
        let transformers = down.chain([&mut self.mid_attention]).chain(up);
        for attention in transformers.flat_map(Transformer::attentions) {
            attention.merge(set, parameters);
        }
    }

    /// Removes the adapters and restores the weights exactly as loaded.
    pub fn detach_adapters(&mut self) {
        self.detach_adapters_of(0);
    }

    /// As [`UNet::detach_adapters`], for one set of adapters.
    pub(super) fn detach_adapters_of(&mut self, set: usize) {
        for (_, linear) in self.adapted() {
            linear.set_adapter(set, None);
        }
    }
}
