//! A backend that is wrong on purpose in one operation, and what a comparison must call each.
#![allow(dead_code, reason = "each test crate uses a part of it")]

mod backend;
mod operations;
mod table;

use dragnext::kernels::comparison::{Case, Difference, compare};
use dragnext::kernels::{Backend, Format};

pub(crate) use operations::{OPERATIONS, WrongOperation};

/// How an operation is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// All values are 5 percent too large.
    Percent,
    /// One value is wrong.
    Element,
    /// An eighth of the values, such as a row, is zero.
    Row,
    /// One value is NaN.
    Nan,
}

impl Fault {
    pub(crate) const ALL: [Self; 4] = [Self::Percent, Self::Element, Self::Row, Self::Nan];

    fn apply(self, values: &mut [f32]) {
        let largest = values.iter().fold(0.5_f32, |most, x| most.max(x.abs()));
        let middle = values.len() / 2;
        match self {
            Self::Percent => values.iter_mut().for_each(|x| *x *= 1.05),
            Self::Element => values[middle] += 0.5 * largest,
            Self::Row => {
                let end = (middle + values.len().div_ceil(8)).min(values.len());
                values[middle..end].fill(0.0);
            }
            Self::Nan => values[middle] = f32::NAN,
        }
    }

    /// Returns a wrong number.
    fn of_number(self, number: f64) -> f64 {
        match self {
            Self::Nan => f64::NAN,
            _ => 1.05 * number,
        }
    }
}

/// A backend with one wrong operation.
#[derive(Debug, Clone)]
pub(crate) struct Faulty<B: Backend> {
    pub(crate) inner: B,
    pub(crate) operation: &'static str,
    pub(crate) fault: Fault,
}

impl<B: Backend> Faulty<B> {
    /// Returns a backend of which only [`Backend::rounds_factors`] is wrong: an emulated GPU does not round factors, so that the bounds of f32 apply.
    pub(crate) fn exact(inner: B) -> Self {
        Self {
            inner,
            operation: "rounds_factors",
            fault: Fault::Percent,
        }
    }

    fn is_wrong(&self, operation: &str) -> bool {
        self.operation == operation
    }

    fn spoil(&self, operation: &str, buffer: &mut B::Buffer) {
        if !self.is_wrong(operation) {
            return;
        }
        let mut values = self.inner.download(buffer);
        self.fault.apply(&mut values);
        self.replace(buffer, values);
    }

    /// As [`Faulty::spoil`], of the columns `index * channels..` of rows of 3 * `channels`.
    fn spoil_columns(
        &self,
        operation: &str,
        buffer: &mut B::Buffer,
        channels: usize,
        index: usize,
    ) {
        if !self.is_wrong(operation) {
            return;
        }
        let mut values = self.inner.download(buffer);
        let columns = |at: &usize| at % (3 * channels) / channels == index;
        let places: Vec<usize> = (0..values.len()).filter(columns).collect();
        let mut wrong: Vec<f32> = places.iter().map(|at| values[*at]).collect();
        self.fault.apply(&mut wrong);
        for (at, wrong) in places.into_iter().zip(wrong) {
            values[at] = wrong;
        }
        self.replace(buffer, values);
    }

    /// Replaces the values of a buffer, which keeps its format.
    fn replace(&self, buffer: &mut B::Buffer, values: Vec<f32>) {
        let full = self.inner.upload(values);
        let is_compact = self.inner.full(buffer, 1.0).is_some();
        let compact = is_compact.then(|| self.inner.compact(&full, 1.0)).flatten();
        *buffer = compact.unwrap_or(full);
    }

    fn spoiled(&self, operation: &str, mut buffer: B::Buffer) -> B::Buffer {
        self.spoil(operation, &mut buffer);
        buffer
    }

    fn number(&self, operation: &str, number: f64) -> f64 {
        if self.is_wrong(operation) {
            self.fault.of_number(number)
        } else {
            number
        }
    }
}

/// Returns whether a fault changes nothing: a factor of zeros, the loss scale of a format that has none, and weights that a backend does not stack.
fn is_harmless<B: Backend>(backend: &B, operation: &str, fault: Fault) -> bool {
    match operation {
        "zeros" => matches!(fault, Fault::Percent | Fault::Row),
        "loss_scale" | "restore_loss_scale" => backend.loss_scale().is_none(),
        "stacked_weights" => {
            let weight = backend.linear_weight(1, 1, &backend.zeros(1));
            backend.stacked_weights([&weight, &weight]).is_none()
        }
        _ => false,
    }
}

/// Asserts that each fault in one of these operations is caught by the cases, and that the first difference has its name and the shape of a case of it.
pub(crate) fn assert_caught<B: Backend>(
    format: Format,
    backend: &B,
    operations: &[WrongOperation],
    cases: &[Case],
) {
    for (operation, name) in operations {
        for fault in Fault::ALL {
            if is_harmless(backend, operation, fault) {
                continue;
            }
            backend.restore_loss_scale();
            let differences = |cases: &[Case]| -> Vec<Difference> {
                let faulty = Faulty {
                    inner: backend.clone(),
                    operation,
                    fault,
                };
                let findings = compare(&[(format, faulty)], cases);
                findings.expect("there is memory").remove(0).differences
            };
            let found = differences(cases);
            let what = format!("{fault:?} in {operation}, {}", format.name());
            let Some(first) = found.first() else {
                panic!("{what} is not caught")
            };
            assert_eq!(first.operation, *name, "{what}: {first}");
            let is_not_finite = first.to_string().contains("not finite");
            assert_eq!(first.error.is_none(), is_not_finite, "{what}: {first}");
            let has_shape = |case: &&Case| case.shape() == first.shape;
            let alone = cases.iter().filter(has_shape).cloned();
            let alone = differences(&alone.collect::<Vec<_>>());
            assert!(alone.contains(first), "{what}: {first}");
        }
    }
}
