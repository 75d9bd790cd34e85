//! Prompts against transformers: the tokenizer's numbers and the text encoder's hidden states; and files that do not fit.

use std::path::Path;

use crate::bench::fixture::{self, Fixture, assert_close};
use dragnext::Error;
use dragnext::interrupt::Interrupt;
use dragnext::kernels::cpu::Cpu;
use dragnext::model::{Source, TextEncoder, Tokenizer};
use serde_json::Value;

/// Channels of the fixtures' context.
const CHANNELS: usize = 24;

#[test]
fn tokens_of_awkward_prompts() {
    let text = std::fs::read_to_string(fixture::path("tokens.json")).expect("the fixture is there");
    let cases: Vec<Value> = serde_json::from_str(&text).expect("the fixture is whole");
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
            match tokenizer.encode(prompt, 77) {
                Ok(tokens) => assert_eq!(tokens, padded[..77], "{model}: {prompt:?}"),
                Err(Error::PromptTooLong { tokens, limit: 77 }) => {
                    assert!(tokens == ids.len() && tokens > 77)
                }
                Err(error) => panic!("{model}: {prompt:?}: {error}"),
            }
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
                .expect("the tokens are the encoder's");
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

/// A copy of parts of the small model, to be spoilt.
fn copy(parts: &[&str]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("there is room for a folder");
    for part in parts {
        std::fs::create_dir(folder.path().join(part)).expect("it is new");
        for entry in
            std::fs::read_dir(fixture::path("tiny").join(part)).expect("the fixture has this part")
        {
            let entry = entry.expect("it can be listed");
            std::fs::copy(
                entry.path(),
                folder.path().join(part).join(entry.file_name()),
            )
            .expect("it can be copied");
        }
    }
    folder
}

fn set(file: &Path, key: &str, value: Value) {
    let text = std::fs::read_to_string(file).expect("the copy has this file");
    let mut config: Value = serde_json::from_str(&text).expect("it is whole");
    config[key] = value;
    std::fs::write(file, config.to_string()).expect("it can be written");
}

fn load(folder: &Path) -> Error {
    TextEncoder::load(
        &Source::Folder(folder.to_owned()),
        CHANNELS,
        &Interrupt::never(),
    )
    .expect_err("the model was spoilt")
}

#[test]
fn what_the_text_encoder_cannot_honour_is_named() {
    for (key, value) in [
        ("hidden_act", Value::from("gelu")),
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
    assert!(message.contains("tensor `encoder.layers.0.mlp.fc1.weight` is [72, 24], the configuration asks for [80, 24]"), "{message}");
    assert!(
        message.contains("tensor `encoder.layers.2.self_attn.q_proj.weight` [24, 24] is missing"),
        "{message}"
    );
}

#[test]
fn the_padding_token_is_the_configurations() {
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
        std::fs::write(path.join("special_tokens_map.json"), "{}").expect("it can be written");
        set(&path.join(file), "pad_token", value);
        let tokenizer =
            Tokenizer::load(&Source::Folder(folder.path().to_owned())).expect("it is a tokenizer");
        assert_eq!(
            tokenizer.encode("", 4).expect("it is short"),
            [962, 963, 0, 0],
            "{file}"
        );
    }
}

#[test]
fn a_damaged_tokenizer_is_refused() {
    for (file, content) in [
        ("vocab.json", "{}"),
        ("vocab.json", "["),
        ("merges.txt", "a b\nabc\n"),
        ("merges.txt", "never seen\n"),
    ] {
        let folder = copy(&["tokenizer"]);
        std::fs::write(folder.path().join("tokenizer").join(file), content)
            .expect("it can be written");
        let error = Tokenizer::load(&Source::Folder(folder.path().to_owned()))
            .expect_err("the tokenizer was spoilt");
        assert_eq!(error.kind().name(), "weights.damaged");
        assert!(error.to_string().contains(file), "{error}");
    }
}
