//! Hands a model's parts their weights, in the layout of [`crate::nn`], and collects everything that does not fit, so
//! that one message names all of it.

use std::collections::BTreeMap;

use rayon::prelude::*;

use super::safetensors::SafetensorsFile;
use super::source::Source;
use crate::error::{Error, ErrorKind, Result};
use crate::failpoint;
use crate::interrupt::Interrupt;
use crate::kernels::Backend;
use crate::nn::{Conv, GroupNorm, LayerNorm, Linear, Shape, Tensor};

/// At most so many faults are listed in a message.
const LISTED: usize = 20;

/// The weights of one part, being handed out.
#[derive(Debug)]
pub struct Weights<'a, B: Backend> {
    backend: &'a B,
    interrupt: &'a Interrupt,
    file: SafetensorsFile,
    /// Tensors that nobody took yet.
    left: BTreeMap<String, Vec<usize>>,
    faults: Vec<String>,
}

impl<'a, B: Backend> Weights<'a, B> {
    /// Opens the first of the files at `paths` that the model has.
    ///
    /// # Errors
    /// [`Error::Weights`] when there is none or its header is damaged.
    pub fn open(
        backend: &'a B,
        source: &Source,
        paths: &[&'static str],
        interrupt: &'a Interrupt,
    ) -> Result<Self> {
        let (path, file) = source.open_first(paths)?;
        let file = SafetensorsFile::open(source.place(path), file)?;
        let left = file.shapes();
        Ok(Self {
            backend,
            interrupt,
            file,
            left,
            faults: Vec::new(),
        })
    }

    /// Is there a tensor of this name?
    pub fn has(&self, name: &str) -> bool {
        self.left.contains_key(name)
    }

    /// Takes tensors that are known and not needed.
    pub fn ignore(&mut self, names: &[&str]) {
        for name in names {
            self.left.remove(*name);
        }
    }

    /// Names that nobody took yet.
    pub fn names(&self) -> Vec<String> {
        self.left.keys().cloned().collect()
    }

    /// The numbers of a tensor of one of the `shapes` (the first is the one asked for); zeros, and a fault, when it does not fit.
    ///
    /// # Errors
    /// [`Error::Weights`] when the file cannot be read, [`Error::Interrupted`] between two tensors.
    pub fn numbers(&mut self, name: &str, shapes: &[&[usize]]) -> Result<Vec<f32>> {
        failpoint::wait("wait_in_load", || self.interrupt.has_come());
        self.interrupt.check()?;
        let found = self.left.remove(name);
        match found {
            Some(shape) if shapes.contains(&shape.as_slice()) => return self.file.read(name),
            Some(shape) => self.faults.push(format!(
                "tensor `{name}` is {shape:?}, the configuration asks for {:?}",
                shapes[0]
            )),
            None => self
                .faults
                .push(format!("tensor `{name}` {:?} is missing", shapes[0])),
        }
        Ok(vec![0.0; shapes[0].iter().product()])
    }

    fn vector(&mut self, name: &str, len: usize) -> Result<Tensor<B>> {
        Ok(Tensor::vector(self.backend, self.numbers(name, &[&[len]])?))
    }

    /// `name.weight` (out, in), or (out, in, 1, 1) as a 1x1 convolution has it, and `name.bias` (out).
    ///
    /// # Errors
    /// As [`Weights::numbers`].
    pub fn linear(
        &mut self,
        name: &str,
        inputs: usize,
        outputs: usize,
        bias: bool,
    ) -> Result<Linear<B>> {
        let weight = self.numbers(
            &format!("{name}.weight"),
            &[&[outputs, inputs], &[outputs, inputs, 1, 1]],
        )?;
        let weight = Tensor::from_host(self.backend, Shape::new(1, 1, outputs, inputs), weight);
        let bias = if bias {
            Some(self.vector(&format!("{name}.bias"), outputs)?)
        } else {
            None
        };
        Ok(Linear::new(&weight, bias))
    }

    /// `name.weight` (out, in, kernel, kernel) and `name.bias` (out).
    ///
    /// # Errors
    /// As [`Weights::numbers`].
    pub fn conv(
        &mut self,
        name: &str,
        inputs: usize,
        outputs: usize,
        kernel: usize,
        stride: usize,
        padding: [usize; 2],
    ) -> Result<Conv<B>> {
        let numbers = self.numbers(
            &format!("{name}.weight"),
            &[&[outputs, inputs, kernel, kernel]],
        )?;
        let weight = channels_last(&numbers, inputs, kernel * kernel);
        let weight = Tensor::from_host(
            self.backend,
            Shape::new(outputs, kernel, kernel, inputs),
            weight,
        );
        let bias = self.vector(&format!("{name}.bias"), outputs)?;
        Ok(Conv::new(
            &weight,
            Some(bias),
            [outputs, kernel, inputs],
            stride,
            padding,
        ))
    }

    /// A 3x3 convolution that keeps the size.
    ///
    /// # Errors
    /// As [`Weights::numbers`].
    pub fn conv3(&mut self, name: &str, inputs: usize, outputs: usize) -> Result<Conv<B>> {
        self.conv(name, inputs, outputs, 3, 1, [1, 1])
    }

    /// `name.weight` and `name.bias` per channel.
    ///
    /// # Errors
    /// As [`Weights::numbers`].
    pub fn group_norm(
        &mut self,
        name: &str,
        channels: usize,
        groups: usize,
        eps: f64,
        silu: bool,
    ) -> Result<GroupNorm<B>> {
        let weight = self.vector(&format!("{name}.weight"), channels)?;
        let bias = self.vector(&format!("{name}.bias"), channels)?;
        Ok(GroupNorm::new(weight, bias, groups, eps as f32, silu))
    }

    /// `name.weight` and `name.bias` per channel.
    ///
    /// # Errors
    /// As [`Weights::numbers`].
    pub fn layer_norm(&mut self, name: &str, channels: usize, eps: f64) -> Result<LayerNorm<B>> {
        let weight = self.vector(&format!("{name}.weight"), channels)?;
        let bias = self.vector(&format!("{name}.bias"), channels)?;
        Ok(LayerNorm::new(weight, bias, eps as f32))
    }

    /// Ends the handing out: the SHA-256 of what was read.
    ///
    /// # Errors
    /// [`Error::Weights`]: `weights.mismatch` that names every missing, misshapen and left over tensor, `weights.damaged` when the file
    /// was changed while it was read.
    pub fn finish(mut self) -> Result<String> {
        self.file.check_unchanged()?;
        let extra = std::mem::take(&mut self.left);
        self.faults.extend(extra.iter().map(|(name, shape)| {
            format!("tensor `{name}` {shape:?} has no place in this configuration")
        }));
        if self.faults.is_empty() {
            return Ok(self.file.digest());
        }
        Err(Error::Weights {
            path: self.file.place().into(),
            kind: ErrorKind::WeightsMismatch,
            reason: format!(
                "{} tensors do not fit config.json:\n  {}",
                self.faults.len(),
                listed(&self.faults)
            ),
            hint: "weights and config.json must belong to the same model".into(),
        })
    }
}

/// The first faults, one per line, and the count of the others. A tensor may be called anything, but it cannot begin a line.
pub(super) fn listed(faults: &[String]) -> String {
    let mut lines: Vec<String> = faults
        .iter()
        .take(LISTED)
        .map(|fault| fault.replace('\n', "\\n"))
        .collect();
    if faults.len() > LISTED {
        lines.push(format!("and {} more", faults.len() - LISTED));
    }
    lines.join("\n  ")
}

/// (out, in, taps) to (out, taps, in).
fn channels_last(numbers: &[f32], inputs: usize, taps: usize) -> Vec<f32> {
    let mut sorted = vec![0.0; numbers.len()];
    numbers
        .par_chunks(inputs * taps)
        .zip(sorted.par_chunks_mut(inputs * taps))
        .for_each(|(from, to)| {
            for (tap, to) in to.chunks_exact_mut(inputs).enumerate() {
                to.iter_mut()
                    .zip(from[tap..].iter().step_by(taps))
                    .for_each(|(to, from)| *to = *from);
            }
        });
    sorted
}
