//! Errors about files that a model lacks, with what stands there instead.

use std::path::{Path, PathBuf};

use super::Source;
use crate::error::{Error, ErrorKind};

/// The file that tells a model's folder.
const UNET_CONFIG: &str = "unet/config.json";

impl Source {
    /// Returns the error about a file that the model lacks; `others` names files that could take its place.
    pub(in crate::model) fn missing(&self, name: &str, others: &str) -> Error {
        let guess = self.folder().and_then(|folder| guess(folder, name));
        Error::Weights {
            path: self.location(name),
            kind: ErrorKind::WeightsMissing,
            reason: format!("no such file{others}"),
            hint: guess.unwrap_or_else(|| {
                "a model is a folder in diffusers layout: unet/, vae/, text_encoder/, tokenizer/ and scheduler/".into()
            }),
        }
    }
}

/// Guesses from the neighbours of a missing file what was meant.
fn guess(root: &Path, name: &str) -> Option<String> {
    if let Some(other) = similar(&root.join(name)) {
        return Some(format!(
            "`{}` is there; rename it, or link it to the name of the missing file",
            other.display()
        ));
    }
    let is_model = |folder: &Path| folder.join(UNET_CONFIG).is_file();
    if is_model(root) {
        return None;
    }
    let real = root.canonicalize().ok()?;
    let above = real.parent()?;
    if is_model(above) {
        return Some(format!(
            "this is a part of a model; give the folder above it, `{}`",
            above.display()
        ));
    }
    if root.join("snapshots").is_dir() {
        let id = real.file_name()?.to_str()?.strip_prefix("models--")?;
        return Some(format!(
            "this is an entry of the hub's cache; give the model's name, `{}`",
            id.replacen("--", "/", 1)
        ));
    }
    let mut inner: Vec<PathBuf> = std::fs::read_dir(root)
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| is_model(path))
        .collect();
    inner.sort();
    let inner = inner.first()?;
    Some(format!("there is a model in `{}`", inner.display()))
}

/// Returns another safetensors file with the same start of its name as a missing one, such as one with weights before averaging.
fn similar(path: &Path) -> Option<PathBuf> {
    let name = path.file_name()?.to_str()?;
    let stem = name.strip_suffix(".safetensors")?;
    let mut found: Vec<PathBuf> = std::fs::read_dir(path.parent()?)
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|other| {
            let other = other.file_name().and_then(|name| name.to_str());
            // A shard alone is not the whole.
            other.is_some_and(|other| {
                other.starts_with(stem)
                    && other.ends_with(".safetensors")
                    && !other.contains("-of-")
            })
        })
        .collect();
    found.sort();
    found.into_iter().next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_tell_what_was_meant() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let root = folder.path();
        let write = |name: &str| {
            let path = root.join(name);
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("create it");
            std::fs::write(path, "{}").expect("write the file");
        };
        for name in [
            "outer/model/unet/config.json",
            "outer/model/unet/diffusion_pytorch_model.non_ema.safetensors",
            "outer/model/vae/config.json",
            "models--a--b/snapshots/0/unet/config.json",
            "empty/x",
        ] {
            write(name);
        }
        let hint = |folder: &str, name: &str| guess(&root.join(folder), name);
        let has = |hint: Option<String>, part: &str| {
            assert!(
                hint.as_ref().is_some_and(|hint| hint.contains(part)),
                "{hint:?}"
            );
        };
        let weights = "unet/diffusion_pytorch_model.safetensors";
        has(
            hint("outer/model", weights),
            "non_ema.safetensors` is there",
        );
        has(hint("outer", UNET_CONFIG), "outer/model`");
        has(
            hint("outer/model/unet", UNET_CONFIG),
            "give the folder above it",
        );
        has(hint("models--a--b", UNET_CONFIG), "`a/b`");
        assert_eq!(hint("empty", UNET_CONFIG), None);
        assert_eq!(hint("nowhere", UNET_CONFIG), None);
        assert_eq!(hint("outer/model", "scheduler/scheduler_config.json"), None);
        let shard = "outer/model/vae/diffusion_pytorch_model-00001-of-00002.safetensors";
        write(shard);
        assert_eq!(
            hint("outer/model", "vae/diffusion_pytorch_model.safetensors"),
            None
        );
    }
}
