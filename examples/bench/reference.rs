//! Results of another implementation (`tests/peer/bench.py reference`), and the comparison with them.

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

/// The agreement of a result with the expected one.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Agreement {
    /// Norm of the difference, divided by the norm of the expected values.
    relative: f64,
    /// Cosine similarity.
    cosine: f64,
}

impl Reference {
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let bytes =
            std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        let file = SafeTensors::deserialize(&bytes)
            .with_context(|| format!("{} is not a safetensors file", path.display()))?;
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
            let values: Vec<f32> = match tensor.dtype() {
                Dtype::F32 => words
                    .iter()
                    .map(|bytes| f32::from_le_bytes(*bytes))
                    .collect(),
                Dtype::I64 => integers().map(|value| value as f32).collect(),
                other => bail!("{}: `{name}` is {other:?}", path.display()),
            };
            reference
                .tensors
                .insert(name.to_owned(), (tensor.shape().to_vec(), values));
        }
        Ok(reference)
    }

    /// Returns the floating-point operations of a call.
    pub(crate) fn flop(&self, call: &str) -> Option<f64> {
        self.flop.get(call).copied()
    }

    /// Returns the values of a tensor.
    pub(crate) fn values(&self, name: &str) -> Option<&[f32]> {
        self.tensors.get(name).map(|(_, values)| values.as_slice())
    }

    /// Returns a picture as (batch, height, width, channels).
    pub(crate) fn picture(&self, name: &str) -> Result<Option<(Shape, Vec<f32>)>> {
        let Some((shape, values)) = self.tensors.get(name) else {
            return Ok(None);
        };
        let [batch, channels, height, width] = shape[..] else {
            bail!("`{name}` is not a picture")
        };
        let picture = |picture: &[f32]| {
            (0..picture.len())
                .map(|at| picture[at % channels * height * width + at / channels])
                .collect::<Vec<f32>>()
        };
        let values = values
            .chunks_exact(channels * height * width)
            .flat_map(picture)
            .collect();
        Ok(Some((Shape::new(batch, height, width, channels), values)))
    }

    /// Returns tokens as (batch, 1, tokens, channels).
    pub(crate) fn tokens(&self, name: &str) -> Result<Option<(Shape, Vec<f32>)>> {
        let Some((shape, values)) = self.tensors.get(name) else {
            return Ok(None);
        };
        let [batch, tokens, channels] = shape[..] else {
            bail!("`{name}` is not a list of tokens")
        };
        Ok(Some((
            Shape::new(batch, 1, tokens, channels),
            values.clone(),
        )))
    }

    /// Compares a picture, or a flat list, with the tensor of this name; `None` if there is none.
    pub(crate) fn agreement(&self, name: &str, got: &[f32]) -> Result<Option<Agreement>> {
        let expected = match self.tensors.get(name) {
            None => return Ok(None),
            Some((shape, values)) if shape.len() < 2 => values.clone(),
            Some(_) => self
                .picture(name)?
                .map(|(_, picture)| picture)
                .unwrap_or_default(),
        };
        Agreement::new(name, got, &expected).map(Some)
    }
}

/// Writes results as flat tensors.
pub(crate) fn write(path: &Path, results: &BTreeMap<String, Vec<f32>>) -> Result<()> {
    let bytes: Vec<(&String, Vec<u8>)> = results
        .iter()
        .map(|(name, values)| {
            (
                name,
                values
                    .iter()
                    .flat_map(|value| value.to_le_bytes())
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
            "`{name}` has {} values, but {} were expected",
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
