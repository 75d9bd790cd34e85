use std::fs;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;
use crate::kernels::cpu::Cpu;

const FIXTURE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/clip/model");

/// Returns a copy of the CLIP among the fixtures.
fn copy() -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for file in fs::read_dir(FIXTURE).expect("the fixture is there") {
        let file = file.expect("the folder can be read");
        fs::copy(file.path(), folder.path().join(file.file_name())).expect("a small file");
    }
    folder
}

/// Sets a value of `config.json`, at a JSON pointer.
fn set(folder: &TempDir, pointer: &str, value: Value) {
    let path = folder.path().join("config.json");
    let text = fs::read_to_string(&path).expect("the fixture has a configuration");
    let mut config: Value = serde_json::from_str(&text).expect("it is JSON");
    *config.pointer_mut(pointer).expect("the key is there") = value;
    fs::write(&path, config.to_string()).expect("the folder is writable");
}

fn open(path: &Path) -> Result<ClipModel> {
    ClipModel::open(&path.display().to_string())
}

fn load(path: &Path) -> Result<Clip<Cpu>> {
    open(path)?.load(&Cpu, &Interrupt::never())
}

/// Asserts that an error is of this kind, that its text has `what`, and that it has a hint that speaks of CLIP.
fn assert_refused(error: &Error, kind: ErrorKind, what: &str) {
    let (text, hint) = (error.to_string(), error.hint().unwrap_or_default());
    assert_eq!(error.kind(), kind, "{text}");
    assert!(text.contains(what), "{text}");
    assert!(!hint.is_empty() && !hint.contains("unet"), "{text}: {hint}");
}

#[test]
fn what_is_no_folder_of_a_clip_is_refused() {
    let folder = copy();
    let file = folder.path().join("config.json");
    let pickle = folder.path().join("pytorch_model.bin");
    fs::write(&pickle, "pickle").expect("the folder is writable");
    for (path, kind, what) in [
        (
            &folder.path().join("none"),
            ErrorKind::WeightsMissing,
            "no such folder",
        ),
        (&file, ErrorKind::WeightsFormat, "a folder, not a file"),
        (&pickle, ErrorKind::WeightsFormat, "pickles"),
    ] {
        assert_refused(&open(path).expect_err("no CLIP"), kind, what);
    }
}

#[test]
fn every_missing_file_is_named() {
    for name in [
        "config.json",
        "model.safetensors",
        "vocab.json",
        "merges.txt",
    ] {
        let folder = copy();
        fs::remove_file(folder.path().join(name)).expect("the fixture has this file");
        let error = load(folder.path()).expect_err("a file is missing");
        assert_refused(&error, ErrorKind::WeightsMissing, name);
        assert_eq!(error.hint().as_deref(), Some(FOLDER), "{name}");
    }
    let folder = copy();
    let path = |name: &str| folder.path().join(name);
    fs::rename(path("model.safetensors"), path("pytorch_model.bin"))
        .expect("the fixture has this file");
    let error = load(folder.path()).expect_err("the weights are a pickle");
    assert_refused(&error, ErrorKind::WeightsFormat, "pytorch_model.bin");
}

#[test]
fn unsupported_configurations_name_their_key() {
    for (pointer, value, what) in [
        ("/model_type", json!("siglip"), "`model_type`"),
        (
            "/text_config/hidden_act",
            json!("relu"),
            "`text_config.hidden_act`",
        ),
        (
            "/vision_config/hidden_act",
            json!("gelu"),
            "`vision_config.hidden_act`",
        ),
        (
            "/vision_config/patch_size",
            json!(7),
            "`vision_config.patch_size`",
        ),
        (
            "/vision_config/num_attention_heads",
            json!(5),
            "`vision_config.num_attention_heads`",
        ),
        ("/vision_config", json!(3), "`vision_config`"),
    ] {
        let folder = copy();
        set(&folder, pointer, value);
        let error = open(folder.path()).expect_err("not supported");
        assert_refused(&error, ErrorKind::WeightsUnsupported, what);
    }
}

#[test]
fn shapes_that_do_not_fit_are_named_together() {
    let folder = copy();
    set(&folder, "/projection_dim", json!(24));
    set(&folder, "/vision_config/num_hidden_layers", json!(3));
    let error = load(folder.path()).expect_err("the weights are those of other sizes");
    assert_refused(
        &error,
        ErrorKind::WeightsMismatch,
        "`visual_projection.weight` is [16, 32]",
    );
    for name in [
        "text_projection.weight",
        "vision_model.encoder.layers.2.mlp.fc1.weight",
    ] {
        assert!(error.to_string().contains(name), "{error}");
    }
}

#[test]
fn a_truncated_file_is_damaged() {
    let folder = copy();
    let path = folder.path().join("model.safetensors");
    let bytes = fs::read(&path).expect("the fixture has weights");
    fs::write(&path, &bytes[..bytes.len() - 4]).expect("the folder is writable");
    let error = load(folder.path()).expect_err("four bytes are missing");
    assert_refused(&error, ErrorKind::WeightsDamaged, "model.safetensors");
}

/// A NaN anywhere in either tower is found before a feature is computed.
#[test]
fn values_that_are_not_finite_are_damage() {
    let folder = copy();
    let path = folder.path().join("model.safetensors");
    let bytes = fs::read(&path).expect("the fixture has weights");
    for place in [bytes.len() - 4, bytes.len() / 2 / 4 * 4] {
        let mut damaged = bytes.clone();
        damaged[place..place + 4].copy_from_slice(&f32::NAN.to_le_bytes());
        fs::write(&path, &damaged).expect("the folder is writable");
        let error = load(folder.path()).expect_err("a NaN");
        assert_refused(&error, ErrorKind::WeightsDamaged, "NaN or infinite");
    }
}

#[test]
fn long_prompts_are_told_before_weights_are_read() {
    let clip = open(Path::new(FIXTURE)).expect("the fixture is a CLIP");
    assert_eq!(clip.excess("a cat").expect("a tokenizer"), None);
    let excess = clip.excess(&"cat ".repeat(100)).expect("a tokenizer");
    assert!(excess.is_some_and(|excess| excess.tokens > excess.limit));
}

#[test]
fn names_of_the_hub_are_told_from_folders() {
    let id = |name| ClipModel::hub_id(name).map(|id| id.to_string());
    let default = layout::CLIP.default_id().to_string();
    assert_eq!(id(layout::CLIP.repository), Some(default));
    assert_eq!(
        id("openai/clip-vit-base-patch16").as_deref(),
        Some("openai/clip-vit-base-patch16@main")
    );
    assert_eq!(id(FIXTURE), None);
    assert_eq!(id("demo"), None);
}
