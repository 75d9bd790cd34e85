//! What a forward pass returns, as types: a pass that returns features has no noise prediction, rather than an empty one.

use std::fmt::Debug;

use super::shared::Kind;

/// What a forward pass returns. The pass ends behind the last layer that any of it needs.
pub trait Want: Kind + Clone + Debug + PartialEq + Send + Sync + 'static {
    /// A `T` for each tensor that the pass returns: the tensor, or the gradient of a loss with respect to it.
    type Of<T: Send>: Send;

    /// Whether the noise prediction is returned.
    const NOISE: bool;

    /// The decoder stages whose outputs are returned, 1 (coarsest) to the number of levels.
    fn stages(&self) -> &[usize];

    /// Puts together what the pass computed; `noise` runs the layers behind the decoder.
    fn collect<T: Send>(features: Vec<T>, noise: impl FnOnce() -> T) -> Self::Of<T>;

    /// Applies `f` to each tensor.
    fn map<T: Send, U: Send>(of: &Self::Of<T>, f: impl Fn(&T) -> U) -> Self::Of<U>;

    /// Separates the noise prediction, if there is one, from the features.
    fn into_parts<T: Send>(of: Self::Of<T>) -> (Option<T>, Vec<T>);
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
    /// The outputs of these decoder stages, 1 (coarsest) to the number of levels.
    pub fn of(stages: &[usize]) -> Self {
        Self(stages.to_vec())
    }
}

impl NoiseAndFeatures {
    /// The noise prediction, and the outputs of these decoder stages, 1 (coarsest) to the number of levels.
    pub fn of(stages: &[usize]) -> Self {
        Self(stages.to_vec())
    }
}

impl Want for Noise {
    type Of<T: Send> = T;
    const NOISE: bool = true;

    fn stages(&self) -> &[usize] {
        &[]
    }

    fn collect<T: Send>(_: Vec<T>, noise: impl FnOnce() -> T) -> T {
        noise()
    }

    fn map<T: Send, U: Send>(noise: &T, f: impl Fn(&T) -> U) -> U {
        f(noise)
    }

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

    fn collect<T: Send>(features: Vec<T>, _: impl FnOnce() -> T) -> Vec<T> {
        features
    }

    fn map<T: Send, U: Send>(features: &Vec<T>, f: impl Fn(&T) -> U) -> Vec<U> {
        features.iter().map(f).collect()
    }

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

    fn collect<T: Send>(features: Vec<T>, noise: impl FnOnce() -> T) -> (T, Vec<T>) {
        (noise(), features)
    }

    fn map<T: Send, U: Send>((noise, features): &(T, Vec<T>), f: impl Fn(&T) -> U) -> (U, Vec<U>) {
        (f(noise), features.iter().map(f).collect())
    }

    fn into_parts<T: Send>((noise, features): (T, Vec<T>)) -> (Option<T>, Vec<T>) {
        (Some(noise), features)
    }
}
