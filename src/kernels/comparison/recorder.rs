//! Runs a case on a backend and records its results.

use super::bounds::{Bounds, Precision};
use super::{Case, Numbers, Side, operations};
use crate::kernels::{Backend, Format};

/// The unit of the inputs' numbers, which lie between -2 and 2.
const UNIT: f32 = 1.0 / 64.0;

/// A result of an operation.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Output {
    pub(super) operation: &'static str,
    pub(super) shape: String,
    pub(super) values: Vec<f32>,
    precision: Precision,
    /// Whether it is stored in f32 whatever the format of the backend.
    is_f32: bool,
}

impl Output {
    /// Returns the bounds of its error on a backend.
    pub(super) fn bounds(&self, format: Format, rounds_factors: bool) -> Bounds {
        let format = if self.is_f32 { Format::F32 } else { format };
        self.precision.bounds(format, rounds_factors)
    }
}

/// Runs operations and records their results.
pub(super) struct Recorder<'a, B: Backend> {
    pub(super) backend: &'a B,
    pub(super) side: Side,
    shape: String,
    /// The number of buffers so far, which seeds the numbers of the next.
    buffers: u64,
    outputs: Vec<Output>,
}

impl<'a, B: Backend> Recorder<'a, B> {
    /// Runs a case and returns its results, in an order that is the same for all backends.
    pub(super) fn run(backend: &'a B, case: &Case, side: Side) -> Vec<Output> {
        let mut recorder = Self {
            backend,
            side,
            shape: case.shape(),
            buffers: 0,
            outputs: Vec::new(),
        };
        operations::run(case, &mut recorder);
        recorder.outputs
    }

    /// Returns the size of a case for this side: all of it, or `compared` for the reference.
    pub(super) fn part(&self, all: usize, compared: Option<usize>) -> usize {
        match (self.side, compared) {
            (Side::Reference, Some(part)) => part.min(all),
            _ => all,
        }
    }

    /// Returns the next input's numbers, times a power of two.
    pub(super) fn numbers(&mut self, len: usize, scale: f32) -> Vec<f32> {
        self.buffers += 1;
        Numbers::new(self.buffers).multiples(len, scale * UNIT)
    }

    /// Uploads the next input in f32.
    pub(super) fn full(&mut self, len: usize) -> B::Buffer {
        let numbers = self.numbers(len, 1.0);
        self.backend.upload(numbers)
    }

    /// Uploads the next input in the backend's format.
    pub(super) fn compact(&mut self, len: usize) -> B::Buffer {
        let numbers = self.numbers(len, 1.0);
        self.compact_of(numbers)
    }

    /// Uploads numbers in the backend's format.
    pub(super) fn compact_of(&self, numbers: Vec<f32>) -> B::Buffer {
        let full = self.backend.upload(numbers);
        self.backend.compact(&full, 1.0).unwrap_or(full)
    }

    /// Uploads the next weights, with which a sum of `terms` products is about as large as an input, in f32.
    pub(super) fn weights(&mut self, len: usize, terms: usize) -> B::Buffer {
        let scale = 0.5_f32.powi(((terms as f32).log2() / 2.0).round() as i32);
        let numbers = self.numbers(len, scale);
        self.backend.upload(numbers)
    }

    /// Records what `work` writes to a buffer in the format of `like`, and returns the buffer.
    pub(super) fn write(
        &mut self,
        operation: &'static str,
        precision: Precision,
        like: &B::Buffer,
        len: usize,
        work: impl FnOnce(&B, &mut B::Buffer),
    ) -> B::Buffer {
        let mut y = self.backend.uninit_like(like, len);
        work(self.backend, &mut y);
        self.push(operation, precision, &y);
        y
    }

    /// Records a buffer in the format of activations.
    pub(super) fn push(&mut self, operation: &'static str, precision: Precision, y: &B::Buffer) {
        let values = self.backend.download(y);
        self.record(operation, precision, false, values);
    }

    /// Records a buffer that is f32 on every backend.
    pub(super) fn push_f32(
        &mut self,
        operation: &'static str,
        precision: Precision,
        y: &B::Buffer,
    ) {
        let values = self.backend.download(y);
        self.record(operation, precision, true, values);
    }

    /// Records numbers that were stored in the format of activations.
    pub(super) fn compact_values(
        &mut self,
        operation: &'static str,
        precision: Precision,
        values: Vec<f32>,
    ) {
        self.record(operation, precision, false, values);
    }

    /// Records numbers that are f32 on every backend.
    pub(super) fn values(
        &mut self,
        operation: &'static str,
        precision: Precision,
        values: Vec<f32>,
    ) {
        self.record(operation, precision, true, values);
    }

    /// Records whether something holds, which must be the same as on the CPU.
    pub(super) fn flag(&mut self, operation: &'static str, holds: bool) {
        self.values(
            operation,
            Precision::Exact,
            vec![f32::from(u8::from(holds))],
        );
    }

    fn record(
        &mut self,
        operation: &'static str,
        precision: Precision,
        is_f32: bool,
        values: Vec<f32>,
    ) {
        self.outputs.push(Output {
            operation,
            shape: self.shape.clone(),
            values,
            precision,
            is_f32,
        });
    }
}
