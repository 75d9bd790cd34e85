//! Reads the weights of LPIPS: a safetensors file with the names of the `lpips` package's state.
//!
//! | tensor | shape |
//! |---|---|
//! | `net.slice1.0`, `net.slice2.3`, `net.slice3.6`, `net.slice4.8`, `net.slice5.10`, each `.weight` and `.bias` | AlexNet's convolutions (out, in, kernel, kernel), (out) |
//! | `lin0.model.1.weight` to `lin4.model.1.weight`, or `lins.0.model.1.weight` and so on | heads (1, channels, 1, 1) |
//! | `scaling_layer.shift`, `scaling_layer.scale` | ignored: they are constants |
//!
//! [`CONVERT`] writes such a file. No repository of the hub with one is known.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use super::CONVS;
use crate::digest::sha256_of;
use crate::error::{Error, ErrorKind, NOT_FOUND, Result};
use crate::hub::is_pickle;
use crate::model::safetensors::SafetensorsFile;
use crate::model::weights::{channels_last, listed};

/// The names of the convolutions.
const CONV_NAMES: [&str; 5] = [
    "net.slice1.0",
    "net.slice2.3",
    "net.slice3.6",
    "net.slice4.8",
    "net.slice5.10",
];

/// How to make the file: the `lpips` package has the heads, and torchvision downloads AlexNet's weights
/// (`alexnet-owt-7be5be79.pth` of PyTorch's model zoo).
pub(crate) const CONVERT: &str = "pip install lpips safetensors && python3 -c \"import lpips, safetensors.torch as s; s.save_model(lpips.LPIPS(net='alex'), 'lpips.safetensors')\"";

/// The weights and the bias of a convolution.
#[derive(Debug)]
pub(super) struct ConvValues {
    /// (out, kernel, kernel, in)
    pub(super) weight: Vec<f32>,
    pub(super) bias: Vec<f32>,
}

/// The weights in memory.
#[derive(Debug)]
pub(crate) struct LpipsFile {
    pub(super) convs: [ConvValues; 5],
    pub(super) heads: [Vec<f32>; 5],
    /// SHA-256 of the file, in hexadecimal.
    pub(crate) sha256: String,
}

impl LpipsFile {
    /// Reads a file.
    ///
    /// # Errors
    /// [`Error::Weights`]: `weights.missing`, `weights.format` for a pickle or a folder, `weights.mismatch` with every tensor that is missing or
    /// has another shape, and `weights.damaged` for an unreadable file and for values that are NaN, infinite, or negative in a head.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let refuse = |kind, reason: String| Error::Weights {
            path: path.display().to_string(),
            kind,
            reason,
            hint: format!("this writes the file: {CONVERT}"),
        };
        if is_pickle(path) {
            let reason = "pickles can run code when they are read; only safetensors are loaded";
            return Err(refuse(ErrorKind::WeightsFormat, reason.into()));
        }
        let open = || {
            File::open(path).map_err(|error| {
                let reason = if error.kind() == std::io::ErrorKind::NotFound {
                    format!("no such file; {NOT_FOUND}")
                } else {
                    error.to_string()
                };
                refuse(ErrorKind::WeightsMissing, reason)
            })
        };
        if path.is_dir() {
            let reason = "is a folder, not a safetensors file";
            return Err(refuse(ErrorKind::WeightsFormat, reason.into()));
        }
        let sha256 = sha256_of(&mut open()?).map_err(|source| Error::File {
            path: path.to_path_buf(),
            source,
        })?;
        let file = SafetensorsFile::open(path.display().to_string(), Box::new(open()?))?;
        let mut tensors = Tensors {
            shapes: file.shapes(),
            file,
            faults: Vec::new(),
            damaged: Vec::new(),
        };
        let (mut convs, mut heads) = (Vec::new(), Vec::new());
        for (name, [outputs, inputs, kernel, ..]) in CONV_NAMES.iter().zip(CONVS) {
            let weight = tensors.take(
                &[&format!("{name}.weight")],
                &[outputs, inputs, kernel, kernel],
                Values::Finite,
            )?;
            convs.push(ConvValues {
                weight: channels_last(&weight, inputs, kernel * kernel),
                bias: tensors.take(&[&format!("{name}.bias")], &[outputs], Values::Finite)?,
            });
        }
        for (index, [channels, ..]) in CONVS.iter().enumerate() {
            let names = ["lin", "lins."].map(|list| format!("{list}{index}.model.1.weight"));
            heads.push(tensors.take(
                &[&names[0], &names[1]],
                &[1, *channels, 1, 1],
                Values::NotNegative,
            )?);
        }
        tensors.file.check_unchanged()?;
        let Tensors {
            faults, damaged, ..
        } = tensors;
        let (Ok(convs), Ok(heads), true) = (
            <[ConvValues; 5]>::try_from(convs),
            <[Vec<f32>; 5]>::try_from(heads),
            faults.is_empty(),
        ) else {
            let reason = format!(
                "{} tensors are not those of LPIPS with AlexNet:\n  {}",
                faults.len(),
                listed(&faults)
            );
            return Err(refuse(ErrorKind::WeightsMismatch, reason));
        };
        if !damaged.is_empty() {
            let reason = format!(
                "{} tensors have values that weights of LPIPS cannot have:\n  {}",
                damaged.len(),
                listed(&damaged)
            );
            return Err(refuse(ErrorKind::WeightsDamaged, reason));
        }
        Ok(Self {
            convs,
            heads,
            sha256,
        })
    }
}

/// The tensors of an open file.
struct Tensors {
    file: SafetensorsFile,
    shapes: BTreeMap<String, Vec<usize>>,
    /// Tensors that are missing or have another shape.
    faults: Vec<String>,
    /// Tensors with values that they cannot have.
    damaged: Vec<String>,
}

/// The values that a tensor can have.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Values {
    Finite,
    /// Finite ones from 0: with a negative weight in a head, a distance could be negative.
    NotNegative,
}

impl Values {
    /// Returns what is wrong with a value.
    fn fault(self, value: f32) -> Option<&'static str> {
        if !value.is_finite() {
            Some("NaN or infinite")
        } else if self == Self::NotNegative && value < 0.0 {
            Some("negative, which no weight of a head is")
        } else {
            None
        }
    }
}

impl Tensors {
    /// Reads the first of the named tensors that the file has. Returns zeros and records a fault if it does not fit; also records values that
    /// it cannot have.
    fn take(&mut self, names: &[&str], shape: &[usize], allowed: Values) -> Result<Vec<f32>> {
        let found = names.iter().find_map(|name| {
            let shape = self.shapes.get(*name)?;
            Some((*name, shape.clone()))
        });
        match found {
            Some((name, found)) if found == shape => {
                let values = self.file.read(name)?;
                let faults = values.iter().filter_map(|value| allowed.fault(*value));
                let mut faults = faults.peekable();
                if let Some(fault) = faults.peek().copied() {
                    let line = format!(
                        "tensor `{name}`: {} values, the first is {fault}",
                        faults.count()
                    );
                    self.damaged.push(line);
                }
                return Ok(values);
            }
            Some((name, found)) => self
                .faults
                .push(format!("tensor `{name}` is {found:?}, not {shape:?}")),
            None => self
                .faults
                .push(format!("tensor `{}` {shape:?} is missing", names[0])),
        }
        Ok(vec![0.0; shape.iter().product()])
    }
}
