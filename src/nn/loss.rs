//! The value of a loss, and whether its gradient is finite, which the device may still be computing.

use std::borrow::Borrow;

use super::Tensor;
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
        Self::read(&self.backend, &[self], &Finiteness::of(&[])).0
    }

    /// Returns the sum of losses, and whether their gradients are finite; waits for the device once.
    pub fn read(
        backend: &B,
        losses: &[impl Borrow<Self>],
        gradients: &Finiteness<B>,
    ) -> (f64, bool) {
        let terms = losses.iter().flat_map(|loss| &loss.borrow().terms);
        let sums = terms.map(|(_, sum)| sum).chain(&gradients.non_finite);
        let mut values = backend.sum_values(&sums.collect::<Vec<_>>()).into_iter();
        let mut total = 0.0;
        for loss in losses {
            let terms = loss.borrow().terms.iter().zip(&mut values);
            total += terms.fold(0.0, |sum, ((factor, _), value)| sum + factor * value);
        }
        (total, values.all(|found| found == 0.0))
    }
}

/// Whether tensors are finite, which the device may still be finding out.
#[derive(Debug)]
pub struct Finiteness<B: Backend> {
    /// For each tensor, a sum that is 0 exactly if all its elements are finite.
    non_finite: Vec<Sum<B::Buffer>>,
}

impl<B: Backend> Finiteness<B> {
    /// Starts the check on the device; does not wait for it.
    pub fn of(tensors: &[&Tensor<B>]) -> Self {
        let found = |tensor: &&Tensor<B>| tensor.backend().non_finite(tensor.buffer());
        Self {
            non_finite: tensors.iter().map(found).collect(),
        }
    }
}
