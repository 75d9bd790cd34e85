//! Keys and values of self-attentions: those that a pass keeps for later passes, and where a pass takes its own from.

use super::{Mutual, Tensor};
use crate::kernels::Backend;

/// Keys and values of consecutive self-attentions, as tensors (b, height, width, channels) of type `T`.
///
/// With one picture, all pictures of the pass that reads them use the same. Cloning shares tensors.
#[derive(Debug, Clone)]
pub struct KeysAndValues<T> {
    /// Index of the first of these self-attentions among all, in execution order.
    first: usize,
    /// Keys and values of each.
    layers: Vec<[T; 2]>,
}

impl<T> KeysAndValues<T> {
    /// Returns an empty list that begins at layer `first`.
    pub fn beginning_at(first: usize) -> Self {
        Self {
            first,
            layers: Vec::new(),
        }
    }

    /// Returns the index of the first layer.
    pub fn first(&self) -> usize {
        self.first
    }

    /// Returns the keys and values of all layers.
    pub fn layers(&self) -> &[[T; 2]] {
        &self.layers
    }

    /// Returns the keys and values of a layer; `None` for a layer without.
    pub fn of_layer(&self, layer: usize) -> Option<&[T; 2]> {
        self.layers.get(layer.checked_sub(self.first)?)
    }

    /// Adds the keys and values of the next layer.
    pub(super) fn push(&mut self, layer: [T; 2]) {
        self.layers.push(layer);
    }

    /// Applies `f` to each tensor.
    #[must_use]
    pub fn map<U>(&self, f: impl Fn(&T) -> U) -> KeysAndValues<U> {
        let layers = self.layers.iter();
        KeysAndValues {
            first: self.first,
            layers: layers.map(|[k, v]| [f(k), f(v)]).collect(),
        }
    }

    /// Joins lists of the same layers to one; `join` joins the tensors of all lists, which come in the same order.
    ///
    /// # Panics
    /// When there is no list, or they have different layers.
    #[must_use]
    pub fn joined<U>(lists: &[&Self], join: impl Fn(&[&T]) -> U) -> KeysAndValues<U> {
        let first = lists[0];
        assert!(
            lists
                .iter()
                .all(|list| (list.first, list.layers.len()) == (first.first, first.layers.len())),
            "the lists have the same layers"
        );
        let tensor = |layer: usize, which: usize| {
            let parts: Vec<&T> = lists
                .iter()
                .map(|list| &list.layers[layer][which])
                .collect();
            join(&parts)
        };
        KeysAndValues {
            first: first.first,
            layers: (0..first.layers.len())
                .map(|layer| [tensor(layer, 0), tensor(layer, 1)])
                .collect(),
        }
    }
}

/// Where the self-attentions of a pass take their keys and values from.
#[derive(Debug, Clone)]
pub enum KeySource<B: Backend> {
    /// Every picture has its own.
    Own,
    /// Those of another picture of the batch, from a layer on.
    Mutual(Mutual),
    /// Those that an earlier pass kept, in its layers; other layers use their own.
    Stored(KeysAndValues<Tensor<B>>),
    /// Every picture's own, followed in its layers by those that an earlier pass kept (`DragonDiffusion`, arXiv 2307.02421).
    Joined(KeysAndValues<Tensor<B>>),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(first: usize, layers: &[[u8; 2]]) -> KeysAndValues<u8> {
        let mut list = KeysAndValues::beginning_at(first);
        for layer in layers {
            list.push(*layer);
        }
        list
    }

    #[test]
    fn layers_are_found_by_their_index_among_all() {
        let list = list(7, &[[1, 2], [3, 4]]);
        assert_eq!(
            [6, 7, 8, 9].map(|layer| list.of_layer(layer).copied()),
            [None, Some([1, 2]), Some([3, 4]), None]
        );
        assert_eq!(list.map(|x| 10 * x).layers(), [[10, 20], [30, 40]]);
    }

    #[test]
    fn lists_join_layer_by_layer() {
        let (a, b) = (list(2, &[[1, 2], [3, 4]]), list(2, &[[5, 6], [7, 8]]));
        let joined = KeysAndValues::joined(&[&a, &b], |parts| parts.iter().map(|x| **x).sum());
        assert_eq!(joined.of_layer(3), Some(&[10_u8, 12]));
    }

    #[test]
    #[should_panic(expected = "the same layers")]
    fn lists_of_other_layers_do_not_join() {
        let _ = KeysAndValues::joined(&[&list(2, &[[1, 2]]), &list(3, &[[1, 2]])], |_| ());
    }
}
