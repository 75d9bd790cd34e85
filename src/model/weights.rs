//! Loads the weights of one model component into layers of [`crate::nn`].
//!
//! Tensors that are missing, misshapen or left over are collected, so that one message names all of them. [`Weights::seeded`] makes tensors of
//! random numbers instead, for a network that only has to compute.

use std::collections::BTreeMap;

use rayon::prelude::*;

use super::lora::Merges;
use super::seeded;
use super::source::Source;
use super::tensors::Tensors;
use crate::digest::sha256;
use crate::error::{Error, ErrorKind, Result};
use crate::failpoint;
use crate::interrupt::Interrupt;
use crate::kernels::Backend;
use crate::nn::{Conv, GroupNorm, LayerNorm, Linear, Shape, Tensor};

/// One in so many weights may be zero everywhere.
const ZEROS: usize = 20;
/// Most faults that a message lists.
const MAX_LISTED: usize = 20;

/// The weights of one component while its layers are created.
#[derive(Debug)]
pub struct Weights<'a, B: Backend> {
    backend: &'a B,
    interrupt: &'a Interrupt,
    /// The tensors; `None` where each is made when it is taken.
    file: Option<Tensors>,
    /// Shapes of the tensors that were not taken yet, by their names in the file.
    remaining: BTreeMap<String, Vec<usize>>,
    /// LoRA files that are added to the tensors.
    merges: Option<Merges>,
    /// Rows that follow those of the file, by the tensor's name.
    appended: BTreeMap<String, Vec<f32>>,
    faults: Vec<String>,
    requires_finite: bool,
    /// Matrices and convolutions that were taken.
    matrices: usize,
    /// Those of them that are zero everywhere.
    zeros: Vec<String>,
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
        let file = Tensors::open(source, paths)?;
        let remaining = file.shapes();
        Ok(Self {
            backend,
            interrupt,
            file: Some(file),
            remaining,
            merges: None,
            appended: BTreeMap::new(),
            faults: Vec::new(),
            requires_finite: false,
            matrices: 0,
            zeros: Vec::new(),
        })
    }

    /// Makes every tensor that is taken, of random numbers that its name decides.
    pub(super) fn seeded(backend: &'a B, interrupt: &'a Interrupt) -> Self {
        Self {
            backend,
            interrupt,
            file: None,
            remaining: BTreeMap::new(),
            merges: None,
            appended: BTreeMap::new(),
            faults: Vec::new(),
            requires_finite: false,
            matrices: 0,
            zeros: Vec::new(),
        }
    }

    /// Returns the name under which a tensor is stored.
    fn stored(&self, name: &str) -> String {
        match &self.file {
            Some(file) => file.stored(name),
            None => name.to_owned(),
        }
    }

    /// Returns the file of the tensors, for messages.
    fn location(&self) -> &str {
        self.file
            .as_ref()
            .map_or("random weights", Tensors::location)
    }

    /// Adds LoRA files to the tensors while they are read.
    pub fn merge(&mut self, merges: Merges) {
        self.merges = Some(merges);
    }

    /// Lets rows follow those of a tensor in the file. Its shape in [`Weights::values`] includes them.
    pub fn append_rows(&mut self, name: &str, rows: Vec<f32>) {
        self.appended.insert(name.to_owned(), rows);
    }

    /// Rejects tensors with values that are NaN or infinite, for a component whose result does not always show them.
    pub fn require_finite(&mut self) {
        self.requires_finite = true;
    }

    /// Returns the device of the layers.
    pub fn backend(&self) -> &'a B {
        self.backend
    }

    /// Returns whether there is a tensor of this name that was not taken yet.
    pub fn has(&self, name: &str) -> bool {
        self.remaining.contains_key(&self.stored(name))
    }

    /// Takes tensors that are not used.
    pub fn ignore(&mut self, names: &[&str]) {
        for name in names {
            self.remaining.remove(&self.stored(name));
        }
    }

    /// Takes a tensor of one of `shapes`, of which messages name the first. Returns zeros and records a fault if it does not fit.
    ///
    /// # Errors
    /// [`Error::Weights`] when the file cannot be read, or a value is not finite and [has to be](Weights::require_finite);
    /// [`Error::Interrupted`] between two tensors.
    pub fn values(&mut self, name: &str, shapes: &[&[usize]]) -> Result<Vec<f32>> {
        failpoint::wait("wait_in_load", || self.interrupt.has_come());
        self.interrupt.check()?;
        if let Some(rows) = self.appended.remove(name) {
            let columns = shapes[0][1..].iter().product::<usize>().max(1);
            let mut shape = shapes[0].to_vec();
            shape[0] = shape[0].saturating_sub(rows.len() / columns);
            let mut values = self.values(name, &[&shape])?;
            values.extend(rows);
            return Ok(values);
        }
        let Some(file) = &mut self.file else {
            return Ok(seeded::values(name, shapes[0]));
        };
        let stored = &*file.stored(name);
        let found = self.remaining.remove(stored);
        match found {
            Some(shape) if shapes.contains(&shape.as_slice()) => {
                let mut values = file.read(stored)?;
                if self.requires_finite && !values.iter().all(|value| value.is_finite()) {
                    return Err(Error::Weights {
                        path: file.location().into(),
                        kind: ErrorKind::WeightsDamaged,
                        reason: format!("tensor `{stored}` has values that are NaN or infinite"),
                        hint:
                            "the file is damaged, or the program that wrote it failed; get it again"
                                .into(),
                    });
                }
                if shape.len() > 1 {
                    self.matrices += 1;
                    if values.iter().all(|value| *value == 0.0) {
                        self.zeros.push(stored.to_owned());
                    }
                }
                if let Some(merges) = &mut self.merges {
                    merges.add(name, &shape, &mut values)?;
                }
                return Ok(values);
            }
            Some(shape) => self.faults.push(format!(
                "tensor `{stored}` is {shape:?}, the configuration requires {:?}",
                shapes[0]
            )),
            None => self
                .faults
                .push(format!("tensor `{stored}` {:?} is missing", shapes[0])),
        }
        Ok(vec![0.0; shapes[0].iter().product()])
    }

    fn vector(&mut self, name: &str, len: usize) -> Result<Tensor<B>> {
        Ok(Tensor::vector(self.backend, self.values(name, &[&[len]])?))
    }

    /// Loads `name.weight` (out, in), or (out, in, 1, 1) as of a 1x1 convolution, and `name.bias` (out).
    ///
    /// # Errors
    /// As [`Weights::values`].
    pub fn linear(
        &mut self,
        name: &str,
        inputs: usize,
        outputs: usize,
        bias: bool,
    ) -> Result<Linear<B>> {
        let weight = self.values(
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

    /// Loads `name.weight` (out, in, kernel, kernel) and `name.bias` (out).
    ///
    /// # Errors
    /// As [`Weights::values`].
    pub fn conv(
        &mut self,
        name: &str,
        inputs: usize,
        outputs: usize,
        kernel: usize,
        stride: usize,
        padding: [usize; 2],
    ) -> Result<Conv<B>> {
        let values = self.values(
            &format!("{name}.weight"),
            &[&[outputs, inputs, kernel, kernel]],
        )?;
        let weight = channels_last(&values, inputs, kernel * kernel);
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

    /// Loads a 3x3 convolution with stride 1 and padding 1.
    ///
    /// # Errors
    /// As [`Weights::values`].
    pub fn conv3(&mut self, name: &str, inputs: usize, outputs: usize) -> Result<Conv<B>> {
        self.conv(name, inputs, outputs, 3, 1, [1, 1])
    }

    /// Loads `name.weight` and `name.bias`, both (channels).
    ///
    /// # Errors
    /// As [`Weights::values`].
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

    /// Loads `name.weight` and `name.bias`, both (channels).
    ///
    /// # Errors
    /// As [`Weights::values`].
    pub fn layer_norm(&mut self, name: &str, channels: usize, eps: f64) -> Result<LayerNorm<B>> {
        let weight = self.vector(&format!("{name}.weight"), channels)?;
        let bias = self.vector(&format!("{name}.bias"), channels)?;
        Ok(LayerNorm::new(weight, bias, eps as f32))
    }

    /// Finishes loading. Returns the SHA-256 of the tensors that were read, and of the LoRA files that were added to them.
    ///
    /// # Errors
    /// [`Error::Weights`]: `weights.mismatch`, which names every missing, misshapen and left over tensor, `lora.mismatch` for a LoRA file that does not
    /// fit, `weights.damaged` when a file was modified while it was read.
    pub fn finish(mut self) -> Result<String> {
        if let Some(file) = &self.file {
            file.check_unchanged()?;
        }
        let extra = std::mem::take(&mut self.remaining);
        self.faults.extend(extra.iter().map(|(name, shape)| {
            format!("tensor `{name}` {shape:?} is not part of this configuration")
        }));
        if self.faults.is_empty() {
            self.check_zeros()?;
            let digest = self.file.as_ref().map_or_else(String::new, Tensors::digest);
            let merged = self.merges.map(Merges::finish).transpose()?.flatten();
            return Ok(match merged {
                Some(merged) => sha256(format!("{digest}{merged}").as_bytes()),
                None => digest,
            });
        }
        Err(Error::Weights {
            path: self.location().into(),
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

impl<B: Backend> Weights<'_, B> {
    /// Rejects a file of which a part is zeros, as of a download whose place on the disk was reserved before it came. A trained model has hardly any matrix
    /// of zeros.
    fn check_zeros(&self) -> Result<()> {
        let Some(first) = self.zeros.first() else {
            return Ok(());
        };
        if self.zeros.len() * ZEROS < self.matrices {
            return Ok(());
        }
        Err(Error::Weights {
            path: self.location().into(),
            kind: ErrorKind::WeightsDamaged,
            reason: format!(
                "{} of its {} weights are zero everywhere, such as `{}`",
                self.zeros.len(),
                self.matrices,
                first.escape_debug()
            ),
            hint:
                "a part of the file is missing, as after a download that did not end; get it again"
                    .into(),
        })
    }
}

/// Joins the first faults, one per line, and the number of the others. Line breaks in tensor names are escaped.
pub(crate) fn listed(faults: &[String]) -> String {
    let mut lines: Vec<String> = faults
        .iter()
        .take(MAX_LISTED)
        .map(|fault| fault.replace('\n', "\\n"))
        .collect();
    if faults.len() > MAX_LISTED {
        lines.push(format!("and {} more", faults.len() - MAX_LISTED));
    }
    lines.join("\n  ")
}

/// Reorders (out, in, taps) to (out, taps, in).
pub(crate) fn channels_last(values: &[f32], inputs: usize, taps: usize) -> Vec<f32> {
    let mut sorted = vec![0.0; values.len()];
    values
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
