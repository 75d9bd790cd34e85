//! Reads and writes LoRA files (arXiv 2106.09685).
//!
//! The adapter of a module is `down` (rank, in) and `up` (out, rank). Their names differ between versions of diffusers and peft. All forms
//! that diffusers has written for attention projections are read:
//!
//! | written by | down | up |
//! |---|---|---|
//! | diffusers with peft | `unet.M.to_q.lora_A.weight` | `unet.M.to_q.lora_B.weight` |
//! | peft | `base_model.model.M.to_q.lora_A.default.weight` | `base_model.model.M.to_q.lora_B.default.weight` |
//! | diffusers 0.22, `DragDiffusion` | `unet.M.to_q.lora.down.weight` | `unet.M.to_q.lora.up.weight` |
//! | attention processors | `M.processor.to_q_lora.down.weight` | `M.processor.to_q_lora.up.weight` |
//!
//! The scale, alpha / rank, is multiplied into `up`. Names of other trainers and other kinds of adapters are rejected.

mod names;
mod scale;

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use serde_json::{Map, Value, json};

use super::safetensors::SafetensorsFile;
use super::source::pickle_error;
use super::unet::AdapterPlace;
use super::weights::listed;
use crate::error::{Error, ErrorKind, Result};
use crate::hub::is_pickle;
use names::{Name, Role};
use scale::Scale;

/// Largest supported rank.
const MAX_RANK: usize = 1024;

/// The names of the tensors of one module.
#[derive(Debug, Default)]
struct Module {
    down: Option<String>,
    up: Option<String>,
    alpha: Option<String>,
}

/// An open LoRA file. Its names are parsed, its values are not read yet.
#[derive(Debug)]
pub struct LoraFile {
    file: SafetensorsFile,
    shapes: BTreeMap<String, Vec<usize>>,
    /// By the name of the module in current diffusers.
    modules: BTreeMap<String, Module>,
    rank: usize,
    scale: Scale,
}

/// A LoRA in the layout of [`super::unet::Network::attach_adapters`].
#[derive(Debug)]
pub struct Lora {
    /// `down` (rank, in) and `up` (out, rank) of each module.
    pub parameters: Vec<f32>,
    /// Modules without an adapter in the file. Their parameters are zeros, which have no effect.
    pub absent: Vec<String>,
}

impl LoraFile {
    /// Opens a file and parses the names of its tensors.
    ///
    /// # Errors
    /// [`Error::Weights`]: `weights.format` for a pickle or a folder, `weights.damaged` for a truncated file, `weights.unsupported` for names
    /// of other trainers and other kinds of adapters, `lora.mismatch` for unknown names.
    /// [`Error::File`] when it cannot be opened.
    pub fn open(path: &Path) -> Result<Self> {
        let location = path.display().to_string();
        if is_pickle(path) {
            return Err(pickle_error(
                &location,
                "convert it to a safetensors file, for example with diffusers' `save_lora_weights`",
            ));
        }
        if path.is_dir() {
            return Err(Error::Weights {
                path: location,
                kind: ErrorKind::WeightsFormat,
                reason: "a LoRA is a single safetensors file, not a folder".into(),
                hint: "give the file in it, often pytorch_lora_weights.safetensors or adapter_model.safetensors".into(),
            });
        }
        let file = File::open(path).map_err(|source| Error::File {
            path: path.into(),
            source,
        })?;
        let file = SafetensorsFile::open(location, Box::new(file))?;
        let scale = Scale::read(&file, path)?;
        let shapes = file.shapes();
        let modules = group(file.location(), shapes.keys())?;
        let rank = rank_of(file.location(), &modules, &shapes)?;
        Ok(Self {
            file,
            shapes,
            modules,
            rank,
            scale,
        })
    }

    /// Returns the rank of the adapters, for [`super::unet::Network::attach_adapters`].
    pub fn rank(&self) -> usize {
        self.rank
    }

    /// Reads the parameters of the modules at `places`, which must have the rank of this file.
    ///
    /// # Errors
    /// [`Error::Weights`] `lora.mismatch`, which names every tensor without a module in the model and every tensor of a wrong shape.
    pub fn read(mut self, places: &[AdapterPlace]) -> Result<Lora> {
        let faults = self.faults(places);
        if !faults.is_empty() {
            return Err(mismatch(self.file.location(), &faults));
        }
        let mut lora = Lora {
            parameters: Vec::new(),
            absent: Vec::new(),
        };
        for place in places {
            let module = self.modules.get(&place.name);
            let Some((down, up)) =
                module.and_then(|module| module.down.as_ref().zip(module.up.as_ref()))
            else {
                lora.absent.push(place.name.clone());
                lora.parameters
                    .resize(lora.parameters.len() + place.len(), 0.0);
                continue;
            };
            lora.parameters.extend(self.file.read(down)?);
            let alpha = match module.and_then(|module| module.alpha.as_ref()) {
                Some(name) => self.file.read(name)?.first().copied(),
                None => None,
            };
            let factor = self.scale.factor(alpha, self.rank);
            lora.parameters
                .extend(self.file.read(up)?.iter().map(|value| factor * value));
        }
        Ok(lora)
    }

    /// Returns the tensors that do not fit the model.
    fn faults(&self, places: &[AdapterPlace]) -> Vec<String> {
        let mut faults = Vec::new();
        let mut check = |name: &String, expected: &[usize]| {
            let found = &self.shapes[name];
            if found != expected {
                faults.push(format!(
                    "tensor `{name}` is {found:?}, the model requires {expected:?}"
                ));
            }
        };
        for place in places {
            let Some(module) = self.modules.get(&place.name) else {
                continue;
            };
            module
                .down
                .iter()
                .for_each(|name| check(name, &[self.rank, place.inputs]));
            module
                .up
                .iter()
                .for_each(|name| check(name, &[place.outputs, self.rank]));
        }
        for (name, module) in &self.modules {
            if !places.iter().any(|place| place.name == *name) {
                let tensors = [&module.down, &module.up, &module.alpha]
                    .into_iter()
                    .flatten();
                faults.extend(tensors.map(|tensor| {
                    format!(
                        "tensor `{tensor}` {:?} is not part of this model",
                        self.shapes[tensor]
                    )
                }));
            }
        }
        faults
    }
}

/// Groups tensors by module.
fn group<'a>(
    location: &str,
    tensors: impl Iterator<Item = &'a String>,
) -> Result<BTreeMap<String, Module>> {
    let mut modules: BTreeMap<String, Module> = BTreeMap::new();
    let mut faults = Vec::new();
    for tensor in tensors {
        if let Some(kind) = names::other_kind(tensor) {
            return Err(Error::Weights {
                path: location.into(),
                kind: ErrorKind::WeightsUnsupported,
                reason: format!(
                    "tensor `{}` belongs to {kind}, which is not supported",
                    tensor.escape_debug()
                ),
                hint: "use a LoRA of diffusers or peft on the attention layers of the UNet".into(),
            });
        }
        let Some(Name { module, role }) = Name::parse(tensor) else {
            faults.push(format!("tensor `{tensor}` is not an attention LoRA weight"));
            continue;
        };
        let entry = modules.entry(module).or_default();
        let slot = match role {
            Role::Down => &mut entry.down,
            Role::Up => &mut entry.up,
            Role::Alpha => &mut entry.alpha,
        };
        if let Some(first) = slot.replace(tensor.clone()) {
            faults.push(format!(
                "tensors `{first}` and `{tensor}` are the same weight of one adapter"
            ));
        }
    }
    for module in modules.values() {
        match (&module.down, &module.up) {
            (Some(_), Some(_)) => {}
            (Some(tensor), None) | (None, Some(tensor)) => {
                faults.push(format!("tensor `{tensor}` has no counterpart"));
            }
            (None, None) => faults.extend(
                module
                    .alpha
                    .iter()
                    .map(|alpha| format!("tensor `{alpha}` has no adapter")),
            ),
        }
    }
    if modules.is_empty() && faults.is_empty() {
        faults.push("the file has no tensors".into());
    }
    if faults.is_empty() {
        Ok(modules)
    } else {
        Err(mismatch(location, &faults))
    }
}

/// Returns the common rank of all adapters.
fn rank_of(
    location: &str,
    modules: &BTreeMap<String, Module>,
    shapes: &BTreeMap<String, Vec<usize>>,
) -> Result<usize> {
    let mut downs = modules
        .values()
        .filter_map(|module| module.down.as_ref())
        .map(|name| (name, &shapes[name]));
    let Some((first, shape)) = downs.next() else {
        return Err(mismatch(location, &["the file has no adapter".into()]));
    };
    let [rank @ 1..=MAX_RANK, _] = shape[..] else {
        return Err(mismatch(
            location,
            &[format!(
                "tensor `{first}` is {shape:?}; expected (rank, inputs) with a rank from 1 to {MAX_RANK}"
            )],
        ));
    };
    let others = downs.filter(|(_, shape)| shape.first() != Some(&rank));
    let mut faults: Vec<String> = others
        .map(|(name, shape)| format!("tensor `{name}` is {shape:?}, but `{first}` has rank {rank}"))
        .collect();
    let alphas = modules
        .values()
        .filter_map(|module| module.alpha.as_ref())
        .filter(|name| shapes[*name].iter().product::<usize>() != 1);
    faults
        .extend(alphas.map(|name| format!("tensor `{name}` is {:?}, not a scalar", shapes[name])));
    if faults.is_empty() {
        Ok(rank)
    } else {
        Err(mismatch(location, &faults))
    }
}

fn mismatch(location: &str, faults: &[String]) -> Error {
    Error::Weights {
        path: location.into(),
        kind: ErrorKind::LoraMismatch,
        reason: format!("this LoRA does not fit the model:\n  {}", listed(faults)),
        hint:
            "use a LoRA that was trained for this model, on the attention layers of the UNet only"
                .into(),
    }
}

/// Returns the bytes of a safetensors file with the adapters at `places`, in the names that diffusers reads since 0.22
/// (`unet.M.lora.down.weight`), and with `metadata` in its header. There is no alpha, so the scale is 1, because diffusers rejects
/// names without `lora`. The same arguments give the same bytes.
///
/// # Panics
/// When `parameters` does not have the length of all `places`.
pub fn write(
    places: &[AdapterPlace],
    parameters: &[f32],
    metadata: &BTreeMap<String, String>,
) -> Vec<u8> {
    assert_eq!(
        parameters.len(),
        places.iter().map(AdapterPlace::len).sum::<usize>(),
        "the parameters of all adapters"
    );
    let mut header = Map::new();
    let rank = places.first().map_or(0, |place| place.adapter.rank);
    let own = [("format", "pt".to_owned()), ("rank", rank.to_string())]
        .map(|(key, value)| (key.to_owned(), value));
    let metadata: BTreeMap<String, String> = metadata.clone().into_iter().chain(own).collect();
    header.insert("__metadata__".into(), json!(metadata));
    let mut end = 0;
    let mut describe = |name: String, shape: [usize; 2]| {
        let start = end;
        end += 4 * shape[0] * shape[1];
        header.insert(
            name,
            json!({ "dtype": "F32", "shape": shape, "data_offsets": [start, end] }),
        );
    };
    for place in places {
        describe(
            format!("unet.{}.lora.down.weight", place.name),
            [place.adapter.rank, place.inputs],
        );
        describe(
            format!("unet.{}.lora.up.weight", place.name),
            [place.outputs, place.adapter.rank],
        );
    }
    let mut header = Value::Object(header).to_string().into_bytes();
    header.resize(header.len().next_multiple_of(8), b' ');
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.append(&mut header);
    bytes.extend(parameters.iter().flat_map(|value| value.to_le_bytes()));
    bytes
}
