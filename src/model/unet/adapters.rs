//! The places of LoRA adapters in the network (LoRA, arXiv 2106.09685): all query, key, value and output projections.
//!
//! Several sets of adapters may be attached at a time; the runs of a pass select the set of each latent. An adapter has no
//! effect until its parameters are merged into the weights.

use super::UNet;
use crate::kernels::Backend;
use crate::nn::{Adapter, Linear, Tensor};

/// One adapted projection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdapterPlace {
    /// Its module in diffusers, such as `down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q`.
    pub name: String,
    /// Input channels.
    pub inputs: usize,
    /// Output channels.
    pub outputs: usize,
    /// Its place in the flat list of parameters.
    pub adapter: Adapter,
}

impl AdapterPlace {
    /// Numbers of `down` (rank, in); those of `up` (out, rank) follow.
    pub fn down_len(&self) -> usize {
        self.adapter.rank * self.inputs
    }

    /// Numbers of both.
    pub fn len(&self) -> usize {
        self.adapter.rank * (self.inputs + self.outputs)
    }

    /// Has it no numbers?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<B: Backend> UNet<B> {
    /// Query, key, value and output projections of all attentions in execution order, with their names in diffusers.
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

    /// Gives all attention projections an adapter of this rank; returns their places, in the order of the parameters.
    pub fn attach_adapters(&mut self, rank: usize) -> Vec<AdapterPlace> {
        self.attach_adapters_of(0, rank)
    }

    /// The same for one set of adapters; which one a picture goes through, its pass says ([`Pass::with_runs`]).
    pub fn attach_adapters_of(&mut self, set: usize, rank: usize) -> Vec<AdapterPlace> {
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

    /// Adds up * down to every adapted weight, in f32, starting from the weights as loaded.
    pub fn merge_adapters(&mut self, parameters: &Tensor<B>) {
        self.merge_adapters_of(0, parameters);
    }

    /// The same for one set of adapters.
    pub fn merge_adapters_of(&mut self, set: usize, parameters: &Tensor<B>) {
        self.adapted()
            .into_iter()
            .for_each(|(_, linear)| linear.merge(set, parameters));
    }

    /// Restores the weights exactly as loaded, and takes the adapters away.
    pub fn detach_adapters(&mut self) {
        self.detach_adapters_of(0);
    }

    /// The same for one set of adapters.
    pub fn detach_adapters_of(&mut self, set: usize) {
        self.adapted()
            .into_iter()
            .for_each(|(_, linear)| linear.set_adapter(set, None));
    }
}
