//! The files of each kind of model, as values: [`crate::hub`] fetches by them, and the loaders here name files by them.
//!
//! Only safetensors are listed as weights. A further kind of model is a further [`ModelFiles`] value.

use crate::hub::{ModelFile, ModelFiles};

/// Weights of the text encoder, in loading order.
pub const TEXT_ENCODER: [&str; 2] = [
    "text_encoder/model.safetensors",
    "text_encoder/model.fp16.safetensors",
];

/// Weights of the UNet, in loading order.
pub const UNET: [&str; 2] = [
    "unet/diffusion_pytorch_model.safetensors",
    "unet/diffusion_pytorch_model.fp16.safetensors",
];

/// Weights of the VAE, in loading order.
pub const VAE: [&str; 2] = [
    "vae/diffusion_pytorch_model.safetensors",
    "vae/diffusion_pytorch_model.fp16.safetensors",
];

/// Weights of a CLIP.
pub const CLIP_WEIGHTS: [&str; 1] = ["model.safetensors"];

/// A CLIP in the layout of transformers.
///
/// The default is ViT-L/14, which has Stable Diffusion 1.5's text tower. ViT-B/16, with which CLIPDrag was published, is in its repository
/// (`openai/clip-vit-base-patch16`) as a pickle only.
pub const CLIP: ModelFiles = ModelFiles {
    repository: "openai/clip-vit-large-patch14",
    commit: "32bd64288804d66eefd0ccbe215aa642df71cc41",
    suitable: "a CLIP is a repository of transformers with model.safetensors; weights in another format can be converted with transformers: `CLIPModel.from_pretrained(NAME).save_pretrained(FOLDER)`, and the same for `CLIPTokenizer`",
    fetch: "dragnext fetch --method clip-drag --clip",
    without_hub: "`--clip FOLDER` takes a folder that was downloaded elsewhere",
    files: &[
        ModelFile::Optional("special_tokens_map.json"),
        ModelFile::Optional("tokenizer_config.json"),
        ModelFile::Required("config.json"),
        ModelFile::Groups(&[&["merges.txt", "vocab.json"], &["tokenizer.json"]]),
        ModelFile::Weights(&CLIP_WEIGHTS),
    ],
};

/// Names of a few letters for well-known models, and their repositories.
///
/// That of Stable Diffusion 2.1 asks for a token of an account that accepted its licence, and has been withdrawn at times; any repository with the
/// same files takes its place. It has no pinned commit for that reason.
const SHORT_NAMES: [(&str, &str); 3] = [
    ("sd15", STABLE_DIFFUSION.repository),
    ("sd21", "stabilityai/stable-diffusion-2-1"),
    ("sd21-base", "stabilityai/stable-diffusion-2-1-base"),
];

/// Returns the repository of a short name, or the name itself.
pub fn long_name(name: &str) -> &str {
    let known = SHORT_NAMES.iter().find(|(short, _)| *short == name);
    known.map_or(name, |(_, repository)| repository)
}

/// A VAE alone, as VAEs for Stable Diffusion 1.x are published.
pub const VAE_ALONE: ModelFiles = ModelFiles {
    repository: "stabilityai/sd-vae-ft-mse",
    commit: "31f26fdeee1355a5c34592e401dd41e45d25a493",
    suitable: "a VAE is a repository of diffusers with config.json and diffusion_pytorch_model.safetensors",
    fetch: "dragnext edit --vae",
    without_hub: "`--vae FOLDER` takes a folder that was downloaded elsewhere",
    files: &[
        ModelFile::Required("config.json"),
        ModelFile::Weights(&[
            "diffusion_pytorch_model.safetensors",
            "diffusion_pytorch_model.fp16.safetensors",
        ]),
    ],
};

/// Stable Diffusion 1.5, 2.1 and models fine-tuned from them, in diffusers layout. `model_index.json` is not read here; it makes the
/// folder complete for other programs.
pub const STABLE_DIFFUSION: ModelFiles = ModelFiles {
    repository: "stable-diffusion-v1-5/stable-diffusion-v1-5",
    commit: "451f4fe16113bff5a5d2269ed5ad43b0592e9a14",
    suitable: "a model is a repository in diffusers layout with safetensors files",
    fetch: "dragnext fetch",
    without_hub: "`--model demo` is built in and needs no download; `--model FOLDER` takes a folder that was downloaded elsewhere",
    files: &[
        ModelFile::Optional("dragnext.json"),
        ModelFile::Optional("model_index.json"),
        ModelFile::Optional("tokenizer/added_tokens.json"),
        ModelFile::Optional("tokenizer/special_tokens_map.json"),
        ModelFile::Optional("tokenizer/tokenizer_config.json"),
        ModelFile::Required("scheduler/scheduler_config.json"),
        ModelFile::Required("text_encoder/config.json"),
        ModelFile::Groups(&[
            &["tokenizer/merges.txt", "tokenizer/vocab.json"],
            &["tokenizer/tokenizer.json"],
        ]),
        ModelFile::Required("unet/config.json"),
        ModelFile::Required("vae/config.json"),
        ModelFile::Weights(&TEXT_ENCODER),
        ModelFile::Weights(&UNET),
        ModelFile::Weights(&VAE),
    ],
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::HubId;

    #[test]
    fn the_pinned_commits_are_commits() {
        for files in [STABLE_DIFFUSION, CLIP, VAE_ALONE] {
            let id = files.default_id();
            assert_eq!(HubId::parse(&id.to_string()), Some(id.clone()));
            assert_eq!(id.commit(), Some(files.commit));
        }
    }

    #[test]
    fn short_names_are_those_of_repositories() {
        for (short, _) in SHORT_NAMES {
            assert!(HubId::parse(long_name(short)).is_some(), "{short}");
        }
        let default = STABLE_DIFFUSION.id(long_name("sd15"));
        assert_eq!(default, Some(STABLE_DIFFUSION.default_id()));
        assert_eq!(long_name("a/b"), "a/b");
    }

    #[test]
    fn each_component_is_fetched_in_its_smallest_precision() {
        let mut repository: Vec<String> = STABLE_DIFFUSION
            .all()
            .filter(|path| !path.starts_with("vae/") && *path != TEXT_ENCODER[0])
            .map(str::to_owned)
            .collect();
        repository.extend(
            [
                "unet/diffusion_pytorch_model.bin",
                "vae/config.json",
                VAE[0],
                "safety_checker/model.safetensors",
            ]
            .map(str::to_owned),
        );
        let chosen = STABLE_DIFFUSION.choose(&repository).expect("complete");
        assert_eq!(chosen.len(), 14);
        assert_eq!(chosen[11..], [TEXT_ENCODER[1], UNET[1], VAE[0]]);
    }
}
