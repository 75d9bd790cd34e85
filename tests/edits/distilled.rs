//! A model that was distilled for few steps (latent consistency models, arXiv 2310.04378): its UNet has an embedding of the guidance scale.

use std::path::Path;

use crate::bench::tiny::model;
use crate::bench::{Bench, Run};
use crate::command::bench;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors, serialize};

const UNET: &str = "unet/diffusion_pytorch_model.safetensors";
const EMBEDDING: &str = "time_embedding.cond_proj.weight";
/// Size of the embedding of the guidance scale, and channels of the tiny model's first level.
const GUIDANCE: usize = 256;
const CHANNELS: usize = 8;

/// Copies the tiny model with a configuration as that of LCM-Dreamshaper-v7, and an embedding with these dimensions.
fn distilled(bench: &Bench, shape: Option<[usize; 2]>) {
    for name in [
        "scheduler/scheduler_config.json",
        "text_encoder/config.json",
        "text_encoder/model.safetensors",
        "tokenizer/merges.txt",
        "tokenizer/vocab.json",
        "vae/config.json",
        "vae/diffusion_pytorch_model.safetensors",
    ] {
        bench.write(Path::new("lcm").join(name), read(name));
    }
    let mut config: serde_json::Value = serde_json::from_slice(&read("unet/config.json")).unwrap();
    config["time_cond_proj_dim"] = GUIDANCE.into();
    bench.write("lcm/unet/config.json", config.to_string());
    let scheduler = r#"{ "_class_name": "LCMScheduler", "_diffusers_version": "0.22.0.dev0", "beta_end": 0.012,
        "beta_schedule": "scaled_linear", "beta_start": 0.00085, "clip_sample": false, "clip_sample_range": 1.0,
        "dynamic_thresholding_ratio": 0.995, "num_train_timesteps": 1000, "original_inference_steps": 50,
        "prediction_type": "epsilon", "rescale_betas_zero_snr": false, "sample_max_value": 1.0, "set_alpha_to_one": false,
        "steps_offset": 1, "thresholding": false, "timestep_spacing": "leading", "trained_betas": null }"#;
    bench.write("lcm/scheduler/scheduler_config.json", scheduler);
    let weights = read(UNET);
    let weights = SafeTensors::deserialize(&weights).unwrap();
    let embedding: Vec<u8> = (0..GUIDANCE * CHANNELS)
        .flat_map(|index| (index as f32).to_le_bytes())
        .collect();
    let mut tensors: Vec<(String, TensorView)> = weights
        .iter()
        .map(|(name, view)| (name.to_owned(), view))
        .collect();
    if let Some(shape) = shape {
        let view = TensorView::new(Dtype::F32, shape.to_vec(), &embedding).unwrap();
        tensors.push((EMBEDDING.into(), view));
    }
    bench.write(
        Path::new("lcm").join(UNET),
        serialize(tensors, None).unwrap(),
    );
}

fn read(name: &str) -> Vec<u8> {
    std::fs::read(model().join(name)).unwrap()
}

fn edit(bench: &Bench, model: impl AsRef<Path>, out: &str) -> Run {
    bench
        .dragnext([
            "edit",
            "in.png",
            "--drag",
            "drag.json",
            "--no-metadata",
            "-o",
            out,
        ])
        .args(["--method", "fast-drag", "--strength", "0.3", "--model"])
        .arg(model.as_ref())
        .any_stdout()
        .any_stderr()
}

/// No guidance is passed, so the embedding has no effect.
#[test]
fn a_distilled_model_edits_as_the_model_without_its_embedding() {
    let bench = bench();
    distilled(&bench, Some([CHANNELS, GUIDANCE]));
    edit(&bench, model(), "tiny.png").run();
    edit(&bench, "lcm", "lcm.png").run();
    assert!(bench.read("tiny.png") == bench.read("lcm.png"));
}

#[test]
fn an_embedding_that_does_not_fit_is_refused() {
    let bench = bench();
    distilled(&bench, Some([GUIDANCE, CHANNELS]));
    edit(&bench, "lcm", "out.png").status(2).run().stderr_has(
        "tensor `time_embedding.cond_proj.weight` is [256, 8], the configuration requires [8, 256]",
    );
    distilled(&bench, None);
    edit(&bench, "lcm", "out.png")
        .status(2)
        .run()
        .stderr_has("tensor `time_embedding.cond_proj.weight` [8, 256] is missing");
}
