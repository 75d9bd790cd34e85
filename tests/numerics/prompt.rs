//! Tokenizer and text encoder against transformers, and errors of invalid files.

use std::path::Path;

use crate::bench::fixture::{self, Fixture, assert_close};
use dragnext::Error;
use dragnext::interrupt::Interrupt;
use dragnext::kernels::cpu::Cpu;
use dragnext::model::{Source, TextEncoder, Tokenizer};
use serde_json::Value;

/// Channels of the text encoder in the fixtures.
const CHANNELS: usize = 24;

#[test]
fn tokens_of_unusual_prompts() {
    let text = std::fs::read_to_string(fixture::path("tokens.json")).expect("the fixture exists");
    let cases: Vec<Value> = serde_json::from_str(&text).expect("the fixture is JSON");
    assert!(cases.len() > 30);
    for model in ["tiny", "legacy"] {
        let tokenizer =
            Tokenizer::load(&fixture::source(model)).expect("the fixture has a tokenizer");
        for case in &cases {
            let prompt = case["prompt"].as_str().expect("a prompt is text");
            let ids: Vec<u32> = case["ids"]
                .as_array()
                .expect("ids are a list")
                .iter()
                .map(|id| id.as_u64().expect("a number") as u32)
                .collect();
            let mut padded = ids.clone();
            padded.resize(600, 963);
            assert_eq!(
                tokenizer.encode(prompt, 600).expect("600 are enough"),
                padded,
                "{model}: {prompt:?}"
            );
            // transformers with `truncation=True` keeps the end token.
            let mut cut = padded[..77].to_vec();
            if ids.len() > 77 {
                cut[76] = ids[ids.len() - 1];
            }
            let tokens = tokenizer.encode(prompt, 77).expect("a valid tokenizer");
            assert_eq!(tokens, cut, "{model}: {prompt:?}");
            let excess = tokenizer.excess(prompt, 77).expect("a valid tokenizer");
            let found = excess.map(|excess| (excess.tokens, excess.limit));
            assert_eq!(found, (ids.len() > 77).then_some((ids.len(), 77)));
        }
    }
}

#[test]
fn hidden_states() {
    let fixture = Fixture::open("parity.safetensors");
    let (ids, expected) = (fixture.integers("text.ids"), fixture.numbers("text.hidden"));
    for model in ["tiny", "legacy"] {
        let encoder = TextEncoder::load(&fixture::source(model), CHANNELS, &Interrupt::never())
            .expect("the fixture has a text encoder");
        assert_eq!(encoder.positions(), 77);
        for (row, (ids, expected)) in ids
            .chunks_exact(77)
            .zip(expected.chunks_exact(77 * CHANNELS))
            .enumerate()
        {
            let tokens: Vec<u32> = ids.iter().map(|id| *id as u32).collect();
            let hidden = encoder
                .encode(&Cpu, &tokens)
                .expect("tokens in the vocabulary");
            assert_eq!(
                (hidden.shape().pixels(), hidden.shape().channels),
                (77, CHANNELS)
            );
            assert_close(
                &format!("{model}, text.hidden {row}"),
                &hidden.to_host(),
                expected,
                1e-4,
            );
        }
        let error = encoder
            .encode(&Cpu, &[964])
            .expect_err("there are 964 tokens, 0 to 963");
        assert_eq!(error.kind().name(), "weights.mismatch");
    }
}

/// Copies components of the tiny model to a temporary folder.
fn copy(components: &[&str]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for component in components {
        std::fs::create_dir(folder.path().join(component)).expect("create the folder");
        for entry in std::fs::read_dir(fixture::path("tiny").join(component))
            .expect("the fixture has this component")
        {
            let entry = entry.expect("list the folder");
            std::fs::copy(
                entry.path(),
                folder.path().join(component).join(entry.file_name()),
            )
            .expect("copy the file");
        }
    }
    folder
}

fn set(file: &Path, key: &str, value: Value) {
    let text = std::fs::read_to_string(file).expect("the copy has this file");
    let mut config: Value = serde_json::from_str(&text).expect("the file is JSON");
    config[key] = value;
    std::fs::write(file, config.to_string()).expect("write the file");
}

fn load(folder: &Path) -> Error {
    TextEncoder::load(
        &Source::Folder(folder.to_owned()),
        CHANNELS,
        &Interrupt::never(),
    )
    .expect_err("an invalid model")
}

#[test]
fn unsupported_text_encoder_settings_are_named() {
    for (key, value) in [
        ("hidden_act", Value::from("gelu_new")),
        ("layer_norm_eps", 1e-6.into()),
        ("hidden_size", 32.into()),
        ("num_attention_heads", 5.into()),
    ] {
        let folder = copy(&["text_encoder"]);
        set(
            &folder.path().join("text_encoder/config.json"),
            key,
            value.clone(),
        );
        let error = load(folder.path());
        assert_eq!(error.kind().name(), "weights.unsupported");
        assert!(
            error.to_string().contains(&format!("`{key}` is {value}")),
            "{error}"
        );
    }
}

#[test]
fn tensors_that_do_not_fit_are_named_with_both_shapes() {
    let folder = copy(&["text_encoder"]);
    set(
        &folder.path().join("text_encoder/config.json"),
        "intermediate_size",
        80.into(),
    );
    set(
        &folder.path().join("text_encoder/config.json"),
        "num_hidden_layers",
        3.into(),
    );
    let error = load(folder.path());
    let message = error.to_string();
    assert_eq!(error.kind().name(), "weights.mismatch");
    assert!(message.contains("tensor `encoder.layers.0.mlp.fc1.weight` is [72, 24], the configuration requires [80, 24]"), "{message}");
    assert!(
        message.contains("tensor `encoder.layers.2.self_attn.q_proj.weight` [24, 24] is missing"),
        "{message}"
    );
}

#[test]
fn the_padding_token_comes_from_the_configuration() {
    for (file, value) in [
        ("tokenizer_config.json", Value::from("!")),
        (
            "special_tokens_map.json",
            serde_json::json!({ "content": "!" }),
        ),
    ] {
        let folder = copy(&["tokenizer"]);
        let path = folder.path().join("tokenizer");
        set(
            &path.join("tokenizer_config.json"),
            "pad_token",
            Value::Null,
        );
        std::fs::write(path.join("special_tokens_map.json"), "{}").expect("write the file");
        set(&path.join(file), "pad_token", value);
        let tokenizer =
            Tokenizer::load(&Source::Folder(folder.path().to_owned())).expect("a valid tokenizer");
        assert_eq!(
            tokenizer.encode("", 4).expect("a short prompt"),
            [962, 963, 0, 0],
            "{file}"
        );
    }
}

#[test]
fn a_damaged_tokenizer_is_rejected() {
    for (file, content) in [
        ("vocab.json", "{}"),
        ("vocab.json", "["),
        ("merges.txt", "a b\nabc\n"),
        ("merges.txt", "unknown pair\n"),
    ] {
        let folder = copy(&["tokenizer"]);
        std::fs::write(folder.path().join("tokenizer").join(file), content)
            .expect("write the file");
        let error = Tokenizer::load(&Source::Folder(folder.path().to_owned()))
            .expect_err("an invalid tokenizer");
        assert_eq!(error.kind().name(), "weights.damaged");
        assert!(error.to_string().contains(file), "{error}");
    }
}
