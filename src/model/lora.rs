//! LoRA files (arXiv 2106.09685): what is trained on a picture, and what users bring.
//!
//! A file is used in one of two ways. [`LoraFile::read`] gives adapters for [`super::unet::Network::attach_adapters`], which a picture's own LoRA is;
//! [`Merges`] adds the differences to the weights of a component while they are read, in f32 and before they are rounded to the device's number
//! format. A LoRA is trained on top of merged weights as on any others.
//!
//! | written by | down | up |
//! |---|---|---|
//! | diffusers with peft | `unet.M.to_q.lora_A.weight` | `unet.M.to_q.lora_B.weight` |
//! | peft | `base_model.model.M.to_q.lora_A.default.weight` | `base_model.model.M.to_q.lora_B.default.weight` |
//! | diffusers 0.22, `DragDiffusion` | `unet.M.to_q.lora.down.weight` | `unet.M.to_q.lora.up.weight` |
//! | attention processors | `M.processor.to_q_lora.down.weight` | `M.processor.to_q_lora.up.weight` |
//! | kohya, LyCORIS | `lora_unet_M_to_q.lora_down.weight` | `lora_unet_M_to_q.lora_up.weight` |
//! | ComfyUI | `diffusion_model.M.to_q.lora_down.weight` | `diffusion_model.M.to_q.lora_up.weight` |
//!
//! M is a name in diffusers' layout, or in the original one (`input_blocks`), which kohya's trainer and ComfyUI also write.
//!
//! Files of kohya and LyCORIS may have convolutions (LoCon), LoHa and LoKr; any may have layers of the text encoder (`lora_te_`, `text_encoder.`). The
//! scale is alpha / rank. Files of other families of models and other kinds of adapters are rejected by name.

mod delta;
mod family;
mod merge;
mod names;
mod original;
mod scale;
mod style;
mod writing;

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use super::contents::{Contents, family_of};
use super::safetensors::SafetensorsFile;
use super::source::pickle_error;
use super::unet::AdapterPlace;
use super::weights::listed;
use crate::error::{Error, ErrorKind, Result};
use crate::hub::is_pickle;
use delta::Array;
pub use merge::Merges;
pub use names::Component;
use names::{Module, Name, Part};
use scale::Scale;
pub use style::StyleLora;
pub use writing::write;

/// Largest supported rank.
const MAX_RANK: usize = 1024;

/// The names of the tensors of one module.
type Tensors = BTreeMap<Part, String>;

/// An open LoRA file. Its names are parsed, its values are not read yet.
#[derive(Debug)]
pub struct LoraFile {
    file: SafetensorsFile,
    shapes: BTreeMap<String, Vec<usize>>,
    modules: BTreeMap<Module, Tensors>,
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
    /// [`Error::Weights`]: `weights.format` for a pickle or a folder, `weights.damaged` for a truncated file, `weights.unsupported` for other families
    /// of models and other kinds of adapters, `lora.mismatch` for unknown names and adapters with missing parts.
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
        let shapes = file.shapes();
        if let Some(found) = Contents::of(&shapes).filter(|found| *found != Contents::Lora) {
            return Err(found.instead_of("a LoRA", file.location()));
        }
        if let Some((tensor, kind)) = family::other(&shapes) {
            return Err(Error::Weights {
                path: file.location().into(),
                kind: ErrorKind::WeightsUnsupported,
                reason: format!("is {kind}, which is not supported (tensor `{}`)", tensor.escape_debug()),
                hint: "use a LoRA that was made for Stable Diffusion 1.x or 2, as diffusers, peft, kohya, LyCORIS or ComfyUI write them".into(),
            });
        }
        let scale = Scale::read(&file, path)?;
        let modules = group(file.location(), &shapes)?;
        Ok(Self {
            file,
            shapes,
            modules,
            scale,
        })
    }

    /// Returns the rank of the adapters, where the file has nothing but low-rank matrices of one rank for attention projections of the UNet: such a
    /// file can be attached. Another has to be merged.
    pub fn rank(&self) -> Option<usize> {
        let mut ranks = self.modules.iter().map(|(module, tensors)| {
            let is_plain = tensors
                .keys()
                .all(|part| matches!(part, Part::Down | Part::Up | Part::Alpha));
            let shape = self.shapes.get(tensors.get(&Part::Down)?)?;
            (is_plain && module.is_attention() && shape.len() == 2).then_some(shape[0])
        });
        let first = ranks.next()??;
        ranks.all(|rank| rank == Some(first)).then_some(first)
    }

    /// Returns the channels of the prompts that the file was trained with, where it tells.
    pub fn context(&self) -> Option<usize> {
        let inputs = |tensors: &Tensors| {
            delta::inputs_of(|part| Some(self.shapes[tensors.get(&part)?].clone()))
        };
        let readers = self
            .modules
            .iter()
            .filter(|(module, _)| module.reads_prompt());
        let mut found = readers.filter_map(|(_, tensors)| inputs(tensors));
        found.next()
    }

    /// Checks that the file was trained with prompts of so many channels, as far as it tells.
    ///
    /// # Errors
    /// [`Error::Weights`] `lora.mismatch`, which names the family of models.
    pub fn check_context(&self, channels: usize) -> Result<()> {
        let family = |channels| {
            let name = family_of(channels);
            name.map_or_else(
                || format!("a model with prompts of {channels} channels"),
                str::to_owned,
            )
        };
        match self.context() {
            Some(found) if found != channels => Err(mismatch(
                self.file.location(),
                &[format!(
                    "it was made for {}, the model is {}",
                    family(found),
                    family(channels)
                )],
            )),
            _ => Ok(()),
        }
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
            let module = Module::of(Component::UNet, &place.name);
            let tensors = self.modules.get(&module);
            let pair = tensors
                .and_then(|tensors| Some((tensors.get(&Part::Down)?, tensors.get(&Part::Up)?)));
            let Some((down, up)) = pair else {
                lora.absent.push(place.name.clone());
                lora.parameters
                    .resize(lora.parameters.len() + place.len(), 0.0);
                continue;
            };
            lora.parameters.extend(self.file.read(down)?);
            let alpha = match tensors.and_then(|tensors| tensors.get(&Part::Alpha)) {
                Some(name) => self.file.read(name)?.first().copied(),
                None => None,
            };
            let factor = self.scale.factor(&module, alpha, Some(place.adapter.rank));
            lora.parameters
                .extend(self.file.read(up)?.iter().map(|value| factor * value));
        }
        Ok(lora)
    }

    /// Returns the tensors that do not fit the places of adapters.
    fn faults(&self, places: &[AdapterPlace]) -> Vec<String> {
        let mut faults = Vec::new();
        let mut known: Vec<Module> = Vec::new();
        for place in places {
            let module = Module::of(Component::UNet, &place.name);
            let rank = place.adapter.rank;
            for (part, expected) in [
                (Part::Down, [rank, place.inputs]),
                (Part::Up, [place.outputs, rank]),
            ] {
                let name = self
                    .modules
                    .get(&module)
                    .and_then(|tensors| tensors.get(&part));
                if let Some((name, found)) = name.map(|name| (name, &self.shapes[name]))
                    && *found != expected
                {
                    faults.push(format!(
                        "tensor `{name}` is {found:?}, the model requires {expected:?}"
                    ));
                }
            }
            known.push(module);
        }
        let others = self
            .modules
            .iter()
            .filter(|(module, _)| !known.contains(module));
        faults.extend(others.flat_map(|(_, tensors)| self.without_module(tensors)));
        faults
    }

    /// Returns what is wrong with the tensors of a module that the model does not have.
    fn without_module(&self, tensors: &Tensors) -> Vec<String> {
        tensors
            .values()
            .map(|tensor| {
                format!(
                    "tensor `{tensor}` {:?} is not part of this model",
                    self.shapes[tensor]
                )
            })
            .collect()
    }

    /// Reads a part of a module.
    fn array(&mut self, tensor: &str) -> Result<Array> {
        Ok(Array {
            shape: self.shapes[tensor].clone(),
            values: self.file.read(tensor)?,
        })
    }
}

/// Groups tensors by module, and checks that each module has the parts of one adapter.
fn group(
    location: &str,
    shapes: &BTreeMap<String, Vec<usize>>,
) -> Result<BTreeMap<Module, Tensors>> {
    let mut modules: BTreeMap<Module, Tensors> = BTreeMap::new();
    let mut faults = Vec::new();
    for tensor in shapes.keys() {
        let Some(Name { module, part }) = Name::parse(tensor) else {
            faults.push(format!(
                "tensor `{}` is not a LoRA weight",
                tensor.escape_debug()
            ));
            continue;
        };
        let tensors = modules.entry(module).or_default();
        if let Some(first) = tensors.insert(part, tensor.clone()) {
            faults.push(format!(
                "tensors `{first}` and `{tensor}` are the same weight of one adapter"
            ));
        }
    }
    faults.extend(
        modules
            .values()
            .filter_map(|tensors| fault_of(tensors, shapes)),
    );
    if modules.is_empty() && faults.is_empty() {
        faults.push("the file has no tensors".into());
    }
    if faults.is_empty() {
        Ok(modules)
    } else {
        Err(mismatch(location, &faults))
    }
}

/// Returns what is wrong with the parts of one module.
fn fault_of(tensors: &Tensors, shapes: &BTreeMap<String, Vec<usize>>) -> Option<String> {
    let has = |part: Part| tensors.contains_key(&part);
    let first = tensors.values().next()?;
    if let Some(alpha) = tensors.get(&Part::Alpha) {
        if tensors.len() == 1 {
            return Some(format!("tensor `{alpha}` has no adapter"));
        }
        if shapes[alpha].iter().product::<usize>() != 1 {
            return Some(format!(
                "tensor `{alpha}` is {:?}, not a scalar",
                shapes[alpha]
            ));
        }
    }
    let either =
        |whole: Part, a: Part, b: Part| has(whole) != (has(a) && has(b)) && has(a) == has(b);
    let is_low_rank = has(Part::Down) && has(Part::Up);
    let is_hadamard = [Part::HadaW1a, Part::HadaW1b, Part::HadaW2a, Part::HadaW2b]
        .into_iter()
        .all(has)
        && has(Part::HadaT1) == has(Part::HadaT2);
    let is_kronecker = either(Part::KronW1, Part::KronW1a, Part::KronW1b)
        && either(Part::KronW2, Part::KronW2a, Part::KronW2b)
        && (!has(Part::KronT2) || has(Part::KronW2a));
    let kind = |part: &Part| match part {
        Part::Down | Part::Up | Part::Mid => Some(0),
        Part::HadaW1a
        | Part::HadaW1b
        | Part::HadaW2a
        | Part::HadaW2b
        | Part::HadaT1
        | Part::HadaT2 => Some(1),
        Part::KronW1
        | Part::KronW1a
        | Part::KronW1b
        | Part::KronW2
        | Part::KronW2a
        | Part::KronW2b
        | Part::KronT2 => Some(2),
        Part::Weight => Some(3),
        Part::Alpha | Part::Bias => None,
    };
    let mut kinds: Vec<i32> = tensors.keys().filter_map(kind).collect();
    kinds.dedup();
    let is_complete = match kinds[..] {
        [] | [3] => true,
        [0] => is_low_rank,
        [1] => is_hadamard,
        [2] => is_kronecker,
        _ => {
            return Some(format!(
                "tensor `{first}` and others of its module are of several kinds of adapters"
            ));
        }
    };
    if !is_complete {
        return Some(format!("tensor `{first}` has no counterpart"));
    }
    let rank = delta::rank_of(|part| Some(shapes[tensors.get(&part)?].clone()))?;
    (rank == 0 || rank > MAX_RANK).then(|| {
        let down = tensors.get(&Part::Down).unwrap_or(first);
        format!(
            "tensor `{down}` is {:?}; expected (rank, inputs) with a rank from 1 to {MAX_RANK}",
            shapes[down]
        )
    })
}

fn mismatch(location: &str, faults: &[String]) -> Error {
    Error::Weights {
        path: location.into(),
        kind: ErrorKind::LoraMismatch,
        reason: format!("this LoRA does not fit the model:\n  {}", listed(faults)),
        hint: "use a LoRA that was trained for this model".into(),
    }
}
