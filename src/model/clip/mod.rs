//! CLIP (Radford et al., arXiv 2103.00020): how well a picture fits a text, and the gradient of that with respect to the picture.
//!
//! Files are those of transformers: `config.json`, `model.safetensors`, `vocab.json` and `merges.txt` in one folder, or in a repository of the hub.
//! [`ClipModel::open`] reads and checks the configuration, [`ClipModel::load`] reads the weights. The text tower is that of
//! [`super::text_transformer`], followed by a projection. The image tower is a vision transformer of [`crate::nn`]'s layers, which have a backward pass.
//!
//! Pictures are not resized here: [`ClipView`] takes a decoded picture to the size that a CLIP reads.

mod config;
mod image_tower;
mod layer;
mod pixels;
#[cfg(test)]
mod tests;
mod view;

pub use view::ClipView;

use std::path::{Path, PathBuf};

use super::layout;
use super::source::Source;
use super::text_transformer::TextTransformer;
use super::tokenizer::{Excess, Tokenizer};
use super::weights::Weights;
use crate::digest::{sha256, sha256_of};
use crate::error::{Error, ErrorKind, Result};
use crate::hub::{self, Environment, HubId, is_pickle};
use crate::interrupt::Interrupt;
use crate::kernels::Backend;
use crate::nn::{Pass, Shape, Tensor};

use config::ClipConfig;
use image_tower::ImageTower;
use pixels::PatchOrder;

/// Epsilon of all layer normalisations.
const EPS: f64 = 1e-5;
/// What a folder must have, for hints.
const FOLDER: &str = "a CLIP is a folder with config.json, model.safetensors and a tokenizer (vocab.json and merges.txt, or tokenizer.json), as transformers' `CLIPModel` and `CLIPTokenizer` write it with `save_pretrained`";

/// A CLIP whose configuration is read and checked and whose weights are not loaded.
#[derive(Debug, Clone)]
pub struct ClipModel {
    source: Source,
    config: ClipConfig,
}

impl ClipModel {
    /// Reads the configuration of a folder of transformers, or of a repository of the hub in the cache. Does not fetch.
    ///
    /// # Errors
    /// [`Error::Weights`] when a file is missing or has an unsupported value, [`Error::Hub`] when the cache lacks files or has damaged ones.
    pub fn open(name: &str) -> Result<Self> {
        let source = match Self::hub_id(name) {
            Some(id) => Source::Hub(hub::find(&Environment::read(), &id, &layout::CLIP)?),
            None => Source::Folder(folder(Path::new(name))?),
        };
        let config = ClipConfig::read(&source).map_err(of_clip)?;
        Ok(Self { source, config })
    }

    /// Parses the name of a repository of the hub; `None` for existing paths, and names that the hub cannot have.
    pub(crate) fn hub_id(name: &str) -> Option<HubId> {
        let path = Path::new(name);
        (!path.exists() && !is_pickle(path))
            .then(|| layout::CLIP.id(name))
            .flatten()
    }

    /// Returns where its files are.
    pub(crate) fn source(&self) -> &Source {
        &self.source
    }

    /// Returns the name of the image tower's form for those that OpenAI published, such as `ViT-B/32`; the model's own name for others.
    pub fn form(&self) -> String {
        let image = &self.config.image;
        let letter = match [image.channels, image.layers] {
            [768, 12] => "B",
            [1024, 24] => "L",
            _ => return self.source.name(),
        };
        format!("ViT-{letter}/{}", image.patch)
    }

    /// Returns the SHA-256 of everything that decides features: configuration, tokenizer and weights.
    ///
    /// # Errors
    /// [`Error::Hub`] when a file is damaged, [`Error::File`] when one cannot be read.
    pub fn sha256(&self) -> Result<String> {
        let weights = layout::CLIP_WEIGHTS[0];
        let names = [
            "config.json",
            "merges.txt",
            "vocab.json",
            "tokenizer.json",
            weights,
        ];
        let hashes = names.map(|name| match self.source.open(name).map_err(of_clip)? {
            Some(mut file) => sha256_of(&mut file).map_err(|source| Error::File {
                path: self.source.location(name).into(),
                source,
            }),
            None => Ok("-".into()),
        });
        let hashes: String = hashes.into_iter().collect::<Result<_>>()?;
        Ok(sha256(hashes.as_bytes()))
    }

    /// Returns what the text tower does not read of a prompt; `None` where it fits. No weight is read.
    ///
    /// # Errors
    /// [`Error::Weights`] when the tokenizer's files are missing or damaged.
    pub fn excess(&self, prompt: &str) -> Result<Option<Excess>> {
        self.tokenizer()?.excess(prompt, self.config.text.positions)
    }

    fn tokenizer(&self) -> Result<Tokenizer> {
        Tokenizer::load_from(&self.source, "").map_err(of_clip)
    }

    /// Loads both towers and the tokenizer. The image tower computes on `backend`, in f32.
    ///
    /// # Errors
    /// [`Error::Weights`] when the file is missing, damaged, or does not fit the configuration; [`Error::Interrupted`].
    pub fn load<B: Backend>(&self, backend: &B, interrupt: &Interrupt) -> Result<Clip<B>> {
        self.load_towers(&backend.in_f32(), interrupt)
            .map_err(of_clip)
    }

    fn load_towers<B: Backend>(&self, backend: &B, interrupt: &Interrupt) -> Result<Clip<B>> {
        let ClipConfig {
            text,
            image,
            features,
        } = &self.config;
        let tokenizer = Tokenizer::load_from(&self.source, "")?;
        let mut weights = Weights::open(backend, &self.source, &layout::CLIP_WEIGHTS, interrupt)?;
        weights.require_finite();
        // Neither position indices nor the temperature of the training's softmax is part of a feature.
        weights.ignore(&[
            "text_model.embeddings.position_ids",
            "vision_model.embeddings.position_ids",
            "logit_scale",
        ]);
        let location = self.source.location(layout::CLIP_WEIGHTS[0]);
        let image_tower = ImageTower::load(&mut weights, image, *features)?;
        let text_tower =
            TextTransformer::load(&mut weights, "text_model.", text.clone(), location)?;
        let text_projection = weights.values(
            "text_projection.weight",
            &[&[*features, text_tower.channels()]],
        )?;
        weights.finish()?;
        Ok(Clip {
            image_tower,
            text_tower,
            text_projection,
            tokenizer,
            order: PatchOrder {
                side: image.side,
                patch: image.patch,
            },
        })
    }
}

/// Returns the folder at `path`.
fn folder(path: &Path) -> Result<PathBuf> {
    if path.is_dir() {
        return Ok(path.to_path_buf());
    }
    let (kind, reason) = if is_pickle(path) {
        let reason = "pickles can run code when they are read; only safetensors are loaded";
        (ErrorKind::WeightsFormat, reason)
    } else if path.is_file() {
        (ErrorKind::WeightsFormat, "a CLIP is a folder, not a file")
    } else {
        (ErrorKind::WeightsMissing, "no such folder")
    };
    Err(Error::Weights {
        path: path.display().to_string(),
        kind,
        reason: reason.into(),
        hint: format!("{FOLDER}; `owner/name` is a repository of the hub"),
    })
}

/// Makes hints about Stable Diffusion's files hints about CLIP's.
fn of_clip(error: Error) -> Error {
    match error {
        Error::Weights {
            path,
            kind: kind @ (ErrorKind::WeightsMissing | ErrorKind::WeightsUnsupported),
            reason,
            ..
        } => Error::Weights {
            path,
            kind,
            reason,
            hint: if kind == ErrorKind::WeightsMissing {
                FOLDER.into()
            } else {
                "use a CLIP with a vision transformer, such as those of OpenAI".into()
            },
        },
        Error::Hub {
            place,
            kind,
            reason,
            hint,
        } => Error::Hub {
            place,
            kind,
            reason,
            hint: hint.replace(layout::STABLE_DIFFUSION.fetch, layout::CLIP.fetch),
        },
        other => other,
    }
}

/// Both towers of a CLIP, ready to compare pictures with texts.
#[derive(Debug)]
pub struct Clip<B: Backend> {
    image_tower: ImageTower<B>,
    text_tower: TextTransformer,
    /// (features, channels of the text tower).
    text_projection: Vec<f32>,
    tokenizer: Tokenizer,
    order: PatchOrder,
}

/// How well a picture fits a text.
#[derive(Debug, Clone, PartialEq)]
pub struct Similarity {
    /// Cosine between both features.
    pub cosine: f64,
    /// Gradient of the cosine with respect to the pixels (side, side, 3).
    pub gradient: Vec<f32>,
}

impl<B: Backend> Clip<B> {
    /// Returns width and height of the pictures in pixels.
    pub fn side(&self) -> usize {
        self.order.side
    }

    /// Returns what [`Clip::text`] does not read of a prompt; `None` where it fits.
    ///
    /// # Errors
    /// [`Error::Weights`] when the tokenizer is damaged.
    pub fn excess(&self, prompt: &str) -> Result<Option<Excess>> {
        self.tokenizer.excess(prompt, self.text_tower.positions())
    }

    /// Returns the feature of a text, of unit length. A longer text than [`Clip::excess`] allows is cut.
    ///
    /// # Errors
    /// [`Error::Weights`] for a tokenizer of another model.
    pub fn text(&self, prompt: &str) -> Result<Vec<f32>> {
        let tokens = self.tokenizer.encode(prompt, self.text_tower.positions())?;
        let hidden = self.text_tower.encode(&tokens)?;
        // The text's feature is that of its end token. What follows is padding, which a causal transformer does not see from there.
        let position = self.tokenizer.words(&tokens);
        let channels = self.text_tower.channels();
        let first = channels * position;
        let hidden = &hidden[first..first + channels];
        let projected = self.text_projection.chunks_exact(channels).map(|row| {
            let products = row.iter().zip(hidden);
            products
                .map(|(a, b)| f64::from(*a) * f64::from(*b))
                .sum::<f64>() as f32
        });
        Ok(unit(&projected.collect::<Vec<f32>>()).0)
    }

    /// Returns the feature of a picture, of unit length. `pixels` are (side, side, 3) in 0..1.
    ///
    /// # Panics
    /// When the picture does not have this size.
    pub fn image(&self, pixels: &[f32]) -> Vec<f32> {
        unit(&self.feature(pixels, &mut Pass::inference())).0
    }

    /// Compares a picture, pixels (side, side, 3) in 0..1, with the feature of a text.
    ///
    /// # Panics
    /// When the picture does not have this size, or the feature is not of this CLIP.
    pub fn similarity(&self, pixels: &[f32], text: &[f32]) -> Similarity {
        let mut pass = Pass::recording();
        let (feature, norm) = unit(&self.feature(pixels, &mut pass));
        assert_eq!(feature.len(), text.len(), "a feature of this CLIP");
        let products = feature.iter().zip(text);
        let cosine: f64 = products.map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
        // u = f / |f| gives d<u, t> / df = (t - <u, t> u) / |f|.
        let d_feature = feature
            .iter()
            .zip(text)
            .map(|(u, t)| ((f64::from(*t) - cosine * f64::from(*u)) / norm) as f32);
        let backend = self.image_tower.backend();
        let d_feature = Tensor::vector(backend, d_feature.collect());
        let d_patches = backend.run(|| {
            self.image_tower
                .backward(&d_feature.compact(backend, 1.0), pass.into_tape())
                .full(1.0)
        });
        Similarity {
            cosine,
            gradient: self.order.backward(&d_patches.to_host()),
        }
    }

    /// Returns the projected class token, not of unit length.
    fn feature(&self, pixels: &[f32], pass: &mut Pass<B>) -> Vec<f32> {
        let side = self.side();
        assert_eq!(pixels.len(), 3 * side * side, "a picture of CLIP's size");
        let backend = self.image_tower.backend();
        let inputs = 3 * self.order.patch * self.order.patch;
        let shape = Shape::new(1, 1, pixels.len() / inputs, inputs);
        let patches = Tensor::from_host(backend, shape, self.order.patches(pixels));
        let feature = backend.run(|| {
            self.image_tower
                .forward(&patches.compact(backend, 1.0), pass)
                .full(1.0)
        });
        feature.to_host()
    }
}

/// Returns x / |x| and |x|. A length below 1e-12 counts as that much, as in PyTorch's `normalize`.
fn unit(x: &[f32]) -> (Vec<f32>, f64) {
    let square: f64 = x.iter().map(|x| f64::from(*x) * f64::from(*x)).sum();
    let norm = square.sqrt().max(1e-12);
    let unit = x.iter().map(|x| (f64::from(*x) / norm) as f32).collect();
    (unit, norm)
}
