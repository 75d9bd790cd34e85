//! The value of a loss that the device may still be computing.

use crate::kernels::{Backend, Sum};

/// A sum of terms, each with a factor. Reading its value waits for the device, so it is read after the backward pass was submitted.
#[derive(Debug)]
pub struct Loss<B: Backend> {
    backend: B,
    terms: Vec<(f64, Sum<B::Buffer>)>,
}

impl<B: Backend> Loss<B> {
    /// Returns 0.
    pub fn zero(backend: &B) -> Self {
        Self {
            backend: backend.clone(),
            terms: Vec::new(),
        }
    }

    /// Returns it plus factor * sum.
    #[must_use]
    pub fn plus(mut self, factor: f64, sum: Sum<B::Buffer>) -> Self {
        self.terms.push((factor, sum));
        self
    }

    /// Returns the value; waits for the device.
    pub fn value(&self) -> f64 {
        let values = self.terms.iter();
        let values = values.map(|(factor, sum)| factor * self.backend.sum_value(sum));
        values.fold(0.0, |sum, value| sum + value)
    }
}
