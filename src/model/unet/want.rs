//! What a forward pass returns, as types: a pass that returns features has no noise prediction, rather than an empty one.

use std::fmt::Debug;

use super::shared::Kind;
use crate::nn::KeysAndValues;

/// What a forward pass returns. The pass ends behind the last layer that any of it needs.
pub trait Want: Kind + Clone + Debug + PartialEq + Send + Sync + 'static {
    /// A `T` for each tensor that the pass returns: the tensor, or the gradient of a loss with respect to it.
    type Of<T: Send>: Send;

    /// Whether the noise prediction is returned.
    const NOISE: bool;

    /// The decoder stages whose outputs are returned, 1 (coarsest) to the number of levels; 0 is the decoder's input, the middle block's output.
    fn stages(&self) -> &[usize];

    /// The self-attentions whose keys and values are returned.
    fn kept(&self) -> Option<SelfAttentions> {
        None
    }

    /// Puts together what the pass computed. `kept` is there when [`Want::kept`] names layers, `noise` when [`Want::NOISE`] asks for it.
    ///
    /// # Panics
    /// When `noise` is missing.
    fn collect<T: Send>(
        features: Vec<T>,
        kept: Option<KeysAndValues<T>>,
        noise: Option<T>,
    ) -> Self::Of<T>;

    /// Applies `f` to each tensor.
    fn map<T: Send, U: Send>(of: &Self::Of<T>, f: impl Fn(&T) -> U) -> Self::Of<U>;
}

/// A [`Want`] whose forward pass can be recorded: its outputs have gradients.
pub trait Recordable: Want {
    /// Separates the noise prediction, if there is one, from the features.
    fn into_parts<T: Send>(of: Self::Of<T>) -> (Option<T>, Vec<T>);
}

/// The self-attentions of the network, or a part of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SelfAttentions {
    /// All: 16 in Stable Diffusion 1.5.
    All,
    /// Those of the decoder: 9 in Stable Diffusion 1.5.
    Decoder,
}

/// The noise prediction (batch, height, width, 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Noise;

/// The outputs of decoder stages, in the order of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Features(Vec<usize>);

/// The noise prediction, and the outputs of decoder stages in the order of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoiseAndFeatures(Vec<usize>);

impl Features {
    /// The outputs of these decoder stages, as [`Want::stages`].
    pub fn of(stages: &[usize]) -> Self {
        Self(stages.to_vec())
    }
}

/// The noise prediction, and the keys and values of self-attentions, for later passes ([`super::Input::with_keys`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoiseAndKeys(SelfAttentions);

impl NoiseAndKeys {
    /// The noise prediction, and the keys and values of these self-attentions.
    pub fn of(attentions: SelfAttentions) -> Self {
        Self(attentions)
    }
}

impl NoiseAndFeatures {
    /// The noise prediction, and the outputs of these decoder stages, as [`Want::stages`].
    pub fn of(stages: &[usize]) -> Self {
        Self(stages.to_vec())
    }
}

fn required<T>(noise: Option<T>) -> T {
    noise.expect("the pass ran the layers behind the decoder")
}

impl Want for Noise {
    type Of<T: Send> = T;
    const NOISE: bool = true;

    fn stages(&self) -> &[usize] {
        &[]
    }

    fn collect<T: Send>(_: Vec<T>, _: Option<KeysAndValues<T>>, noise: Option<T>) -> T {
        required(noise)
    }

    fn map<T: Send, U: Send>(noise: &T, f: impl Fn(&T) -> U) -> U {
        f(noise)
    }
}

impl Recordable for Noise {
    fn into_parts<T: Send>(noise: T) -> (Option<T>, Vec<T>) {
        (Some(noise), Vec::new())
    }
}

impl Want for Features {
    type Of<T: Send> = Vec<T>;
    const NOISE: bool = false;

    fn stages(&self) -> &[usize] {
        &self.0
    }

    fn collect<T: Send>(features: Vec<T>, _: Option<KeysAndValues<T>>, _: Option<T>) -> Vec<T> {
        features
    }

    fn map<T: Send, U: Send>(features: &Vec<T>, f: impl Fn(&T) -> U) -> Vec<U> {
        features.iter().map(f).collect()
    }
}

impl Recordable for Features {
    fn into_parts<T: Send>(features: Vec<T>) -> (Option<T>, Vec<T>) {
        (None, features)
    }
}

impl Want for NoiseAndFeatures {
    type Of<T: Send> = (T, Vec<T>);
    const NOISE: bool = true;

    fn stages(&self) -> &[usize] {
        &self.0
    }

    fn collect<T: Send>(
        features: Vec<T>,
        _: Option<KeysAndValues<T>>,
        noise: Option<T>,
    ) -> (T, Vec<T>) {
        (required(noise), features)
    }

    fn map<T: Send, U: Send>((noise, features): &(T, Vec<T>), f: impl Fn(&T) -> U) -> (U, Vec<U>) {
        (f(noise), features.iter().map(f).collect())
    }
}

impl Recordable for NoiseAndFeatures {
    fn into_parts<T: Send>((noise, features): (T, Vec<T>)) -> (Option<T>, Vec<T>) {
        (Some(noise), features)
    }
}

impl Want for NoiseAndKeys {
    type Of<T: Send> = (T, KeysAndValues<T>);
    const NOISE: bool = true;

    fn stages(&self) -> &[usize] {
        &[]
    }

    fn kept(&self) -> Option<SelfAttentions> {
        Some(self.0)
    }

    fn collect<T: Send>(
        _: Vec<T>,
        kept: Option<KeysAndValues<T>>,
        noise: Option<T>,
    ) -> (T, KeysAndValues<T>) {
        let kept = kept.unwrap_or_else(|| KeysAndValues::beginning_at(0));
        (required(noise), kept)
    }

    fn map<T: Send, U: Send>(
        (noise, kept): &(T, KeysAndValues<T>),
        f: impl Fn(&T) -> U,
    ) -> (U, KeysAndValues<U>) {
        (f(noise), kept.map(f))
    }
}
