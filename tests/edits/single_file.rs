//! Checkpoints in one file, in the original layout of Stable Diffusion 1.x: they give the pixels of their folder in diffusers' layout, and those of
//! other families are named.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::command::bench;
use super::model_files::{self, samples};
use crate::bench::{Bench, Run};

/// Original name, name in diffusers' layout, and shape of every tensor of a component, as `tests/peer/original_names.py` wrote them.
type Names = BTreeMap<String, Vec<(String, String, Vec<usize>)>>;

fn names() -> Names {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/fixtures/original_names.json"
    );
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

/// Returns the values of a tensor: small numbers that depend on its name, and ones for the weights of normalisations.
fn values(name: &str, shape: &[usize]) -> Vec<u8> {
    let mut state = name.bytes().fold(7_u64, |state, byte| {
        state.wrapping_mul(31).wrapping_add(u64::from(byte))
    });
    let is_norm = shape.len() == 1 && name.ends_with(".weight");
    let count: usize = shape.iter().product();
    let next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let small = ((state >> 40) as f32 / (1_u64 << 24) as f32 - 0.5) * 0.1;
        if is_norm { 1.0 + small } else { small }
    };
    std::iter::repeat_with(next)
        .take(count)
        .flat_map(f32::to_le_bytes)
        .collect()
}

/// Returns a short edit with a model, at the picture's size and not at the 512 pixels of Stable Diffusion 1.5.
fn edit(bench: &Bench, model: &Path) -> Run {
    model_files::edit(bench, model).args(["--size", "96"])
}

/// Writes a safetensors file.
fn write(path: &Path, tensors: &[(String, Vec<usize>, Vec<u8>)]) {
    let (mut header, mut end) = (serde_json::Map::new(), 0);
    for (name, shape, bytes) in tensors {
        let start = end;
        end += bytes.len();
        header.insert(
            name.clone(),
            json!({"dtype": "F32", "shape": shape, "data_offsets": [start, end]}),
        );
    }
    let header = Value::Object(header).to_string();
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header.as_bytes());
    for (.., bytes) in tensors {
        file.extend(bytes);
    }
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, file).unwrap();
}

/// Writes the checkpoint, with other tensors that such files have, to `name`.
fn checkpoint(bench: &Bench, name: &str, extra: &[(&str, Vec<usize>)]) -> PathBuf {
    let mut tensors: Vec<_> = names()
        .into_values()
        .flatten()
        .map(|(original, converted, shape)| (original, values(&converted, &shape), shape))
        .map(|(original, bytes, shape)| (original, shape, bytes))
        .collect();
    let others = [
        ("model_ema.decay", vec![1]),
        ("model_ema.diffusion_modelinput_blocks00weight", vec![2, 2]),
        ("alphas_cumprod", vec![1000]),
        ("first_stage_model.loss.logvar", vec![1]),
        (
            "cond_stage_model.transformer.text_model.embeddings.position_ids",
            vec![1, 77],
        ),
    ];
    for (name, shape) in others.iter().chain(extra) {
        tensors.push(((*name).to_owned(), shape.clone(), values(name, shape)));
    }
    let path = bench.path(name);
    write(&path, &tensors);
    path
}

/// Writes the same model as a folder in diffusers' layout. With `shards`, the UNet comes in two files with an index.
fn folder(bench: &Bench, shards: bool) -> PathBuf {
    let root = bench.path("folder");
    for (component, rows) in names() {
        let tensors: Vec<_> = rows
            .into_iter()
            .map(|(_, name, shape)| {
                let bytes = values(&name, &shape);
                // diffusers' VAE has matrices where the original has convolutions.
                let is_matrix = component == "vae" && name.contains(".to_");
                (
                    name,
                    if is_matrix && shape.len() == 4 {
                        shape[..2].to_vec()
                    } else {
                        shape
                    },
                    bytes,
                )
            })
            .collect();
        let stem = if component == "text_encoder" {
            "model"
        } else {
            "diffusion_pytorch_model"
        };
        let file = |name: String| root.join(&component).join(name);
        if shards && component == "unet" {
            let (first, second) = tensors.split_at(300);
            let mut map = serde_json::Map::new();
            for (index, part) in [first, second].into_iter().enumerate() {
                let name = format!("{stem}-0000{}-of-00002.safetensors", index + 1);
                write(&file(name.clone()), part);
                map.extend(
                    part.iter()
                        .map(|(tensor, ..)| (tensor.clone(), name.clone().into())),
                );
            }
            let index = json!({"metadata": {"total_size": 1}, "weight_map": map});
            fs::write(
                file(format!("{stem}.safetensors.index.json")),
                index.to_string(),
            )
            .unwrap();
        } else {
            write(&file(format!("{stem}.safetensors")), &tensors);
        }
    }
    for (name, config) in [
        (
            "unet",
            json!({
                "block_out_channels": [32, 32, 64, 64], "layers_per_block": 2, "cross_attention_dim": 64, "attention_head_dim": 8,
            }),
        ),
        (
            "vae",
            json!({
                "block_out_channels": [32, 32, 32, 32], "layers_per_block": 2,
                "down_block_types": vec!["DownEncoderBlock2D"; 4], "up_block_types": vec!["UpDecoderBlock2D"; 4],
            }),
        ),
        (
            "text_encoder",
            json!({
                "hidden_size": 64, "num_hidden_layers": 2, "intermediate_size": 96, "num_attention_heads": 1, "vocab_size": 49408,
            }),
        ),
    ] {
        fs::write(root.join(name).join("config.json"), config.to_string()).unwrap();
    }
    let scheduler = json!({"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1, "set_alpha_to_one": false});
    fs::create_dir_all(root.join("scheduler")).unwrap();
    fs::write(
        root.join("scheduler/scheduler_config.json"),
        scheduler.to_string(),
    )
    .unwrap();
    fs::create_dir_all(root.join("tokenizer")).unwrap();
    // The prompt of the test is empty, so the marks are enough.
    let words = json!({"<|startoftext|>": 49406, "<|endoftext|>": 49407, "a": 0, "b": 1, "ab": 2});
    fs::write(root.join("tokenizer/vocab.json"), words.to_string()).unwrap();
    fs::write(root.join("tokenizer/merges.txt"), "#version: 0.2\na b\n").unwrap();
    root
}

#[test]
fn a_checkpoint_in_one_file_gives_the_pixels_of_its_folder() {
    let bench = bench();
    let expected = samples(&bench, edit(&bench, &folder(&bench, false)));
    let file = checkpoint(&bench, "model.safetensors", &[]);
    assert!(
        samples(&bench, edit(&bench, &file)) == expected,
        "the same pixels"
    );
    // Its VAE alone is the same VAE.
    let run = edit(&bench, &file).args(["--vae", "model.safetensors"]);
    assert!(samples(&bench, run) == expected);
}

/// The names of OpenCLIP for those of transformers.
const OPENCLIP: [(&str, &str); 8] = [
    ("text_model.embeddings.token_embedding.", "token_embedding."),
    (
        "text_model.embeddings.position_embedding.weight",
        "positional_embedding",
    ),
    ("text_model.encoder.layers.", "transformer.resblocks."),
    ("text_model.final_layer_norm.", "ln_final."),
    (".layer_norm1.", ".ln_1."),
    (".layer_norm2.", ".ln_2."),
    (".mlp.fc1.", ".mlp.c_fc."),
    (".mlp.fc2.", ".mlp.c_proj."),
];

/// Writes the checkpoint in the layout of Stable Diffusion 2: OpenCLIP's names, projections of queries, keys and values in one tensor, and a last layer that
/// is not used.
fn checkpoint_2(bench: &Bench, name: &str) -> PathBuf {
    let mut all = names();
    let mut joint: BTreeMap<String, [Vec<u8>; 3]> = BTreeMap::new();
    let mut tensors = Vec::new();
    for (_, converted, shape) in all.remove("text_encoder").unwrap() {
        let bytes = values(&converted, &shape);
        let renamed = OPENCLIP
            .iter()
            .fold(converted, |name, (from, to)| name.replace(from, to));
        let renamed = format!(
            "cond_stage_model.model.{}",
            renamed.replace(".self_attn.", ".attn.")
        );
        let third = ["q_proj.", "k_proj.", "v_proj."]
            .iter()
            .position(|part| renamed.contains(part));
        match third {
            Some(third) => {
                let (layer, kind) = renamed.rsplit_once(".attn.").unwrap();
                let kind = kind.rsplit_once('.').unwrap().1;
                joint
                    .entry(format!("{layer}.attn.in_proj_{kind}"))
                    .or_default()[third] = bytes;
            }
            None => tensors.push((renamed, shape, bytes)),
        }
    }
    for (name, parts) in joint {
        let shape = if name.ends_with("bias") {
            vec![192]
        } else {
            vec![192, 64]
        };
        tensors.push((name, shape, parts.concat()));
    }
    let last = "cond_stage_model.model.transformer.resblocks.2.";
    for (name, shape) in [("ln_1.weight", vec![64]), ("attn.in_proj_bias", vec![192])] {
        tensors.push((format!("{last}{name}"), shape.clone(), values(name, &shape)));
    }
    for (name, shape) in [("text_projection", vec![64, 64]), ("logit_scale", vec![])] {
        let bytes = values(name, &shape);
        tensors.push((format!("cond_stage_model.model.{name}"), shape, bytes));
    }
    let others = all.into_values().flatten();
    tensors.extend(others.map(|(original, converted, shape)| {
        let bytes = values(&converted, &shape);
        (original, shape, bytes)
    }));
    let path = bench.path(name);
    write(&path, &tensors);
    path
}

/// Changes keys of a configuration.
fn configure(file: &Path, changes: &Value) {
    let mut config: Value = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
    config
        .as_object_mut()
        .unwrap()
        .extend(changes.as_object().unwrap().clone());
    fs::write(file, config.to_string()).unwrap();
}

#[test]
fn a_checkpoint_of_stable_diffusion_2_gives_the_pixels_of_its_folder() {
    let bench = bench();
    let root = folder(&bench, false);
    let scheduler = root.join("scheduler/scheduler_config.json");
    configure(
        &root.join("unet/config.json"),
        &json!({"attention_head_dim": [1, 1, 1, 1], "use_linear_projection": true}),
    );
    configure(
        &root.join("text_encoder/config.json"),
        &json!({"hidden_act": "gelu"}),
    );
    // The first word of the vocabulary pads.
    fs::write(
        root.join("tokenizer/special_tokens_map.json"),
        r#"{"pad_token": "a"}"#,
    )
    .unwrap();
    let noise = samples(&bench, edit(&bench, &root));
    configure(&scheduler, &json!({"prediction_type": "v_prediction"}));
    let velocity = samples(&bench, edit(&bench, &root));
    assert!(noise != velocity);
    let file = |name: &str| samples(&bench, edit(&bench, &checkpoint_2(&bench, name)));
    assert!(file("v2-1_768-ema-pruned.safetensors") == velocity);
    assert!(file("v2-1_512-ema-pruned.safetensors") == noise);
    bench.write(
        "mine.yaml",
        "model:\n  params:\n    parameterization: \"v\"\n",
    );
    assert!(file("mine.safetensors") == velocity);
    bench.write(
        "mine.yaml",
        "model:\n  params:\n    linear_start: 0.00085\n",
    );
    assert!(file("mine.safetensors") == noise);
}

#[test]
fn shards_give_the_pixels_of_a_whole_file() {
    let bench = bench();
    let expected = samples(
        &bench,
        edit(&bench, &checkpoint(&bench, "model.safetensors", &[])),
    );
    let root = folder(&bench, true);
    assert!(samples(&bench, edit(&bench, &root)) == expected);
    fs::remove_file(root.join("unet/diffusion_pytorch_model-00002-of-00002.safetensors")).unwrap();
    edit(&bench, &root)
        .ended()
        .assert(2)
        .stderr_has("diffusion_pytorch_model-00002-of-00002.safetensors: no such file, which the index of the weights names");
    let index = root.join("unet/diffusion_pytorch_model.safetensors.index.json");
    fs::write(
        index,
        r#"{"weight_map": {"a": "../../secret.safetensors"}}"#,
    )
    .unwrap();
    edit(&bench, &root)
        .ended()
        .assert(2)
        .stderr_has("is no name of a shard");
}

#[test]
fn checkpoints_of_other_families_are_named() {
    let bench = bench();
    for (tensor, shape, family) in [
        ("conditioner.embedders.0.x", vec![1], "Stable Diffusion XL"),
        ("model.diffusion_model.double_blocks.0.x", vec![1], "Flux"),
        (
            "model.diffusion_model.joint_blocks.0.x",
            vec![1],
            "Stable Diffusion 3",
        ),
        (
            "model.diffusion_model.input_blocks.0.0.weight",
            vec![32, 9, 3, 3],
            "inpainting",
        ),
        (
            "model.diffusion_model.input_blocks.0.0.weight",
            vec![32, 8, 3, 3],
            "InstructPix2Pix",
        ),
        ("lora_unet_x.lora_up.weight", vec![1], "a LoRA, not a model"),
        (
            "something.else",
            vec![1],
            "no checkpoint in the original layout",
        ),
    ] {
        write(
            &bench.path("other.safetensors"),
            &[(tensor.to_owned(), shape.clone(), values(tensor, &shape))],
        );
        edit(&bench, &bench.path("other.safetensors"))
            .ended()
            .assert(2)
            .stderr_has_all(&["other.safetensors: is ", family]);
    }
    let file = checkpoint(
        &bench,
        "more.safetensors",
        &[("model.diffusion_model.extra", vec![3])],
    );
    edit(&bench, &file)
        .ended()
        .assert(2)
        .stderr_has("tensor `model.diffusion_model.extra` [3] is not part of this configuration");
}
