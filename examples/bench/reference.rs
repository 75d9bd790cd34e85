//! What another implementation computed (`tests/peer/bench.py reference`), and how near to it something is.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use dragnext::nn::Shape;
use safetensors::tensor::{TensorView, serialize};
use safetensors::{Dtype, SafeTensors};
use serde::Serialize;

/// Inputs, expected outputs and operation counts. Pictures are (batch, channels, height, width), tokens (batch, tokens, channels).
#[derive(Default)]
pub(crate) struct Reference {
    tensors: BTreeMap<String, (Vec<usize>, Vec<f32>)>,
    flop: BTreeMap<String, f64>,
}

/// How near one quantity is to what is expected.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Agreement {
    /// Length of the difference over that of the expected numbers.
    relative: f64,
    /// Cosine of the angle between the two.
    cosine: f64,
}

impl Reference {
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let bytes =
            std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        let file = SafeTensors::deserialize(&bytes)
            .with_context(|| format!("{} is no safetensors file", path.display()))?;
        let mut reference = Self::default();
        for (name, tensor) in file.iter() {
            let (words, longs) = (tensor.data().as_chunks().0, tensor.data().as_chunks().0);
            let integers = || longs.iter().map(|bytes| i64::from_le_bytes(*bytes));
            if let Some(call) = name.strip_prefix("flop.") {
                reference
                    .flop
                    .extend(integers().map(|count| (call.to_owned(), count as f64)));
                continue;
            }
            let numbers: Vec<f32> = match tensor.dtype() {
                Dtype::F32 => words
                    .iter()
                    .map(|bytes| f32::from_le_bytes(*bytes))
                    .collect(),
                Dtype::I64 => integers().map(|number| number as f32).collect(),
                other => bail!("{}: `{name}` is {other:?}", path.display()),
            };
            reference
                .tensors
                .insert(name.to_owned(), (tensor.shape().to_vec(), numbers));
        }
        Ok(reference)
    }

    /// Floating-point operations of a call.
    pub(crate) fn flop(&self, call: &str) -> Option<f64> {
        self.flop.get(call).copied()
    }

    pub(crate) fn numbers(&self, name: &str) -> Option<&[f32]> {
        self.tensors
            .get(name)
            .map(|(_, numbers)| numbers.as_slice())
    }

    /// A picture as (batch, height, width, channels).
    pub(crate) fn picture(&self, name: &str) -> Result<Option<(Shape, Vec<f32>)>> {
        let Some((shape, numbers)) = self.tensors.get(name) else {
            return Ok(None);
        };
        let [batch, channels, height, width] = shape[..] else {
            bail!("`{name}` is no picture")
        };
        let picture = |picture: &[f32]| {
            (0..picture.len())
                .map(|at| picture[at % channels * height * width + at / channels])
                .collect::<Vec<f32>>()
        };
        let numbers = numbers
            .chunks_exact(channels * height * width)
            .flat_map(picture)
            .collect();
        Ok(Some((Shape::new(batch, height, width, channels), numbers)))
    }

    /// Tokens as (batch, 1, tokens, channels).
    pub(crate) fn tokens(&self, name: &str) -> Result<Option<(Shape, Vec<f32>)>> {
        let Some((shape, numbers)) = self.tensors.get(name) else {
            return Ok(None);
        };
        let [batch, tokens, channels] = shape[..] else {
            bail!("`{name}` is no list of tokens")
        };
        Ok(Some((
            Shape::new(batch, 1, tokens, channels),
            numbers.clone(),
        )))
    }

    /// How near a picture, or a flat list, is to the one of this name, if there is one.
    pub(crate) fn agreement(&self, name: &str, got: &[f32]) -> Result<Option<Agreement>> {
        let expected = match self.tensors.get(name) {
            None => return Ok(None),
            Some((shape, numbers)) if shape.len() < 2 => numbers.clone(),
            Some(_) => self
                .picture(name)?
                .map(|(_, picture)| picture)
                .unwrap_or_default(),
        };
        Agreement::new(name, got, &expected).map(Some)
    }
}

/// Writes results as flat lists.
pub(crate) fn write(path: &Path, results: &BTreeMap<String, Vec<f32>>) -> Result<()> {
    let bytes: Vec<(&String, Vec<u8>)> = results
        .iter()
        .map(|(name, numbers)| {
            (
                name,
                numbers
                    .iter()
                    .flat_map(|number| number.to_le_bytes())
                    .collect(),
            )
        })
        .collect();
    let views = bytes.iter().map(|(name, bytes)| {
        Ok((
            name,
            TensorView::new(Dtype::F32, vec![bytes.len() / 4], bytes)?,
        ))
    });
    let views = views.collect::<Result<Vec<_>>>()?;
    std::fs::write(path, serialize(views, None)?)
        .with_context(|| format!("cannot write {}", path.display()))
}

impl Agreement {
    pub(crate) fn new(name: &str, got: &[f32], expected: &[f32]) -> Result<Self> {
        ensure!(
            got.len() == expected.len(),
            "`{name}` has {} numbers, {} are expected",
            got.len(),
            expected.len()
        );
        let sum = |term: &dyn Fn(f64, f64) -> f64| {
            got.iter()
                .zip(expected)
                .map(|(a, b)| term(f64::from(*a), f64::from(*b)))
                .sum::<f64>()
        };
        let (got, expected) = (sum(&|a, _| a * a), sum(&|_, b| b * b));
        Ok(Self {
            relative: (sum(&|a, b| (a - b).powi(2)) / expected).sqrt(),
            cosine: sum(&|a, b| a * b) / (got * expected).sqrt(),
        })
    }
}
