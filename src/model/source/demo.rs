//! The demo model inside the program.

/// Embeds files of the demo model.
macro_rules! embedded {
    ($($name:literal),+ $(,)?) => { &[$(($name, include_bytes!(concat!("../../../assets/demo/", $name)))),+] };
}

/// The files of the demo model, as paths and contents.
pub(super) const DEMO: &[(&str, &[u8])] = embedded![
    "dragnext.json",
    "scheduler/scheduler_config.json",
    "text_encoder/config.json",
    "text_encoder/model.safetensors",
    "tokenizer/merges.txt",
    "tokenizer/tokenizer_config.json",
    "tokenizer/vocab.json",
    "unet/config.json",
    "unet/diffusion_pytorch_model.safetensors",
    "vae/config.json",
    "vae/diffusion_pytorch_model.safetensors",
];

/// Returns the content of a file.
pub(super) fn content(name: &str) -> Option<&'static [u8]> {
    DEMO.iter()
        .find(|(file, _)| *file == name)
        .map(|(_, content)| *content)
}
