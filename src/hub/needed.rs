//! Which of a repository's files a model needs: configuration, vocabulary and one file of weights for each part. Pickles,
//! examples, the safety checker and other formats of the same weights are left where they are.

use crate::model::{text_encoder, unet, vae};

/// Files without which no model can be loaded.
const REQUIRED: [&str; 6] = [
    "scheduler/scheduler_config.json",
    "text_encoder/config.json",
    "tokenizer/merges.txt",
    "tokenizer/vocab.json",
    "unet/config.json",
    "vae/config.json",
];

/// Files that are read where a model has them, and its index, which makes the folder whole for other programs.
const OPTIONAL: [&str; 4] = [
    "dragnext.json",
    "model_index.json",
    "tokenizer/special_tokens_map.json",
    "tokenizer/tokenizer_config.json",
];

/// Folders with weights, and the names that these may have.
const WEIGHTS: [(&str, &[&str]); 3] = [
    ("text_encoder", &text_encoder::FILES),
    ("unet", &unet::FILES),
    ("vae", &vae::FILES),
];

/// What a folder lacks that a model needs; `has` says whether it has a file. Of several names that weights may have, the first stands for all.
pub fn missing(has: impl Fn(&str) -> bool) -> Vec<String> {
    let required = REQUIRED
        .iter()
        .filter(|name| !has(name))
        .map(|name| (*name).to_owned());
    let paths = WEIGHTS.iter().map(|(folder, names)| {
        names
            .iter()
            .map(|name| format!("{folder}/{name}"))
            .collect::<Vec<_>>()
    });
    let weights = paths
        .filter(|paths| !paths.iter().any(|path| has(path)))
        .map(|mut paths| paths.swap_remove(0));
    required.chain(weights).collect()
}

/// Every file that a model may need.
pub fn all() -> Vec<String> {
    let weights = WEIGHTS
        .iter()
        .flat_map(|(folder, names)| names.iter().map(move |name| format!("{folder}/{name}")));
    OPTIONAL
        .iter()
        .chain(&REQUIRED)
        .map(|name| (*name).to_owned())
        .chain(weights)
        .collect()
}

/// Is this a file of weights, beside which there is another one with the same weights? `has` says whether the folder has a file.
pub fn has_twin(name: &str, has: impl Fn(&str) -> bool) -> bool {
    let twins = WEIGHTS.iter().map(|(folder, names)| {
        names
            .iter()
            .map(|twin| format!("{folder}/{twin}"))
            .collect::<Vec<_>>()
    });
    twins.into_iter().any(|twins| {
        twins.iter().any(|twin| twin == name) && twins.iter().any(|twin| twin != name && has(twin))
    })
}

/// What to fetch from a repository with these files: small files first, so that a model without a valid configuration is known
/// before its weights are fetched.
///
/// Weights come in half precision where the repository has them: that is half of the download, and rounding the weights
/// changes a picture less than any other seed does.
///
/// # Errors
/// The files that the repository lacks.
pub fn choose(files: &[String]) -> Result<Vec<String>, Vec<String>> {
    let has = |name: &str| files.iter().any(|file| file == name);
    let missing = missing(has);
    if !missing.is_empty() {
        return Err(missing);
    }
    let small = OPTIONAL
        .iter()
        .chain(&REQUIRED)
        .filter(|name| has(name))
        .map(|name| (*name).to_owned());
    let weights = WEIGHTS.iter().filter_map(|(folder, names)| {
        let halves_first = names.iter().rev().map(|name| format!("{folder}/{name}"));
        halves_first.into_iter().find(|path| has(path))
    });
    Ok(small.chain(weights).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(names: &[&str]) -> Vec<String> {
        REQUIRED
            .iter()
            .chain(names)
            .map(|name| (*name).to_owned())
            .collect()
    }

    #[test]
    fn the_smaller_weights_are_chosen_part_by_part() {
        let files = files(&[
            "unet/diffusion_pytorch_model.bin",
            "unet/diffusion_pytorch_model.fp16.safetensors",
            "unet/diffusion_pytorch_model.safetensors",
            "vae/diffusion_pytorch_model.safetensors",
            "text_encoder/model.fp16.safetensors",
            "safety_checker/model.safetensors",
            "model_index.json",
        ]);
        let chosen = choose(&files).expect("it is complete");
        assert_eq!(chosen[0], "model_index.json");
        let weights = [
            "text_encoder/model.fp16.safetensors",
            "unet/diffusion_pytorch_model.fp16.safetensors",
            "vae/diffusion_pytorch_model.safetensors",
        ];
        assert_eq!(chosen[7..], weights);
        assert_eq!(chosen.len(), 10);
    }

    #[test]
    fn what_is_lacking_is_named() {
        let files = files(&[
            "unet/diffusion_pytorch_model.bin",
            "vae/diffusion_pytorch_model.safetensors",
        ]);
        let lacking = choose(&files).expect_err("weights are lacking");
        assert_eq!(
            lacking,
            [
                "text_encoder/model.safetensors",
                "unet/diffusion_pytorch_model.safetensors"
            ]
        );
    }
}
