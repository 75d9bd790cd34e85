//! Adds LoRA files to the weights of a component while they are read.

use std::collections::BTreeSet;

use sha2::{Digest, Sha256};

use super::delta::{self, Parts};
use super::names::{Component, Module, Part};
use super::style::StyleLora;
use super::{LoraFile, mismatch};
use crate::digest::hexadecimal;
use crate::error::{Error, ErrorKind, Result};

/// The LoRA files for one component, in the order in which they are added.
#[derive(Debug)]
pub struct Merges {
    component: Component,
    files: Vec<Merge>,
}

/// One file.
#[derive(Debug)]
struct Merge {
    file: LoraFile,
    weight: f32,
    sha256: String,
    /// The modules that were not added yet.
    left: BTreeSet<Module>,
    /// What does not fit.
    faults: Vec<String>,
}

impl Merges {
    /// Adds nothing to the weights of a component.
    pub fn none(component: Component) -> Self {
        Self {
            component,
            files: Vec::new(),
        }
    }

    /// Opens files for a component.
    ///
    /// # Errors
    /// As [`LoraFile::open`]; [`Error::Weights`] when a file changed since it was checked.
    pub fn open(component: Component, files: &[StyleLora]) -> Result<Self> {
        let open = |style: &StyleLora| {
            let file = style.reopen()?;
            let left = file
                .modules
                .keys()
                .filter(|module| module.component == component);
            Ok(Merge {
                left: left.cloned().collect(),
                weight: style.weight() as f32,
                sha256: style.sha256().to_owned(),
                faults: Vec::new(),
                file,
            })
        };
        Ok(Self {
            component,
            files: files.iter().map(open).collect::<Result<_>>()?,
        })
    }

    /// Adds to the values of a tensor, whose name in diffusers' layout ends in `.weight` or `.bias`: (out, in), (out, in, k, k) or (channels).
    ///
    /// # Errors
    /// [`Error::Weights`] when a file cannot be read or has a number that is not finite. What does not fit is an error of [`Merges::finish`].
    pub(in crate::model) fn add(
        &mut self,
        name: &str,
        shape: &[usize],
        values: &mut [f32],
    ) -> Result<()> {
        let (module, is_bias) = match (name.strip_suffix(".weight"), name.strip_suffix(".bias")) {
            (Some(module), _) => (module, false),
            (None, Some(module)) => (module, true),
            (None, None) => return Ok(()),
        };
        if self.files.is_empty() {
            return Ok(());
        }
        let module = Module::of(self.component, module);
        self.files
            .iter_mut()
            .try_for_each(|merge| merge.add(&module, is_bias, shape, values))
    }

    /// Finishes the component. Returns the SHA-256 of the files and their weights; `None` without a file.
    ///
    /// # Errors
    /// [`Error::Weights`] `lora.mismatch`, which names what does not fit.
    pub(in crate::model) fn finish(self) -> Result<Option<String>> {
        let mut hash = Sha256::new();
        let is_empty = self.files.is_empty();
        for mut merge in self.files {
            merge.file.file.check_unchanged()?;
            for module in &merge.left {
                let tensors = &merge.file.modules[module];
                merge.faults.extend(merge.file.without_module(tensors));
            }
            if !merge.faults.is_empty() {
                return Err(mismatch(merge.file.file.location(), &merge.faults));
            }
            hash.update(&merge.sha256);
            hash.update(merge.weight.to_le_bytes());
        }
        Ok((!is_empty).then(|| hexadecimal(&hash.finalize())))
    }
}

impl Merge {
    fn add(
        &mut self,
        module: &Module,
        is_bias: bool,
        shape: &[usize],
        values: &mut [f32],
    ) -> Result<()> {
        let Some(tensors) = self.file.modules.get(module).cloned() else {
            return Ok(());
        };
        self.left.remove(module);
        let wanted = |part: &Part| (*part == Part::Bias) == is_bias;
        let mut parts = Parts::new();
        let mut alpha = None;
        for (part, tensor) in tensors.iter().filter(|(part, _)| wanted(part)) {
            let array = self.file.array(tensor)?;
            if let Some(value) = array.values.iter().find(|value| !value.is_finite()) {
                return Err(Error::Weights {
                    path: self.file.file.location().into(),
                    kind: ErrorKind::WeightsDamaged,
                    reason: format!("tensor `{tensor}` has the number {value}"),
                    hint: "the training of this LoRA diverged, or the file is damaged; use another"
                        .into(),
                });
            }
            if *part == Part::Alpha {
                alpha = array.values.first().copied();
            } else {
                parts.insert(*part, array);
            }
        }
        if parts.is_empty() {
            return Ok(());
        }
        let rank = delta::rank_of(|part| Some(parts.get(&part)?.shape.clone()));
        let factor = self.file.scale.factor(module, alpha, rank) * self.weight;
        let difference = match parts.remove(&Part::Bias) {
            Some(bias) if bias.values.len() == values.len() => Ok(bias.values),
            Some(bias) => Err(format!(
                "its bias {:?} does not fit one of {shape:?}",
                bias.shape
            )),
            None => delta::of_weight(parts, shape),
        };
        match difference {
            Ok(difference) => values
                .iter_mut()
                .zip(difference)
                .for_each(|(value, difference)| *value += factor * difference),
            Err(reason) => {
                let tensor = tensors.values().next().map_or("", String::as_str);
                self.faults
                    .push(format!("the adapter of `{tensor}`: {reason}"));
            }
        }
        Ok(())
    }
}
