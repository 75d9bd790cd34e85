//! `--style-lora`, `--embedding`, `--lora` with files of other trainers, and prompts that are too long: what records, results and the cache say about them.

use std::path::PathBuf;

use serde_json::Value;

use super::command::bench;
use crate::bench::fixture;
use crate::bench::tiny::{SHORT, model};
use crate::bench::{Bench, Run};

fn adapter(name: &str) -> PathBuf {
    fixture::path(&format!("adapters/{name}.safetensors"))
}

/// Returns an edit to `out` with the tiny model, which prints its record.
fn edit(bench: &Bench, out: &str, flags: &[&str]) -> Run {
    bench
        .dragnext(["edit", "in.png", "--drag", "drag.json", "--json", "-o", out])
        .args(SHORT)
        .args(["--start", "moved", "--model"])
        .arg(model())
        .args(flags)
        .any_stdout()
        .any_stderr()
}

/// Returns the record and the samples of an edit.
fn edited(bench: &Bench, out: &str, flags: &[&str]) -> (Value, Vec<u8>) {
    let record = edit(bench, out, flags).record();
    let samples = image::open(bench.path(out)).unwrap().into_bytes();
    (serde_json::to_value(&*record).unwrap(), samples)
}

/// A style changes the result, its record and its key in the cache; without it everything is as before.
#[test]
fn a_style_is_part_of_the_result_its_record_and_its_cache() {
    let bench = bench();
    let whole = adapter("kohya").display().to_string();
    let half = format!("{whole}:0.5");
    let (plain, plain_samples) = edited(&bench, "plain.png", &[]);
    let (styled, styled_samples) = edited(&bench, "styled.png", &["--style-lora", &whole]);
    let (halved, halved_samples) = edited(&bench, "half.png", &["--style-lora", &half]);
    assert!(plain_samples != styled_samples && styled_samples != halved_samples);
    assert_ne!(plain["job"], styled["job"]);
    assert_ne!(styled["job"], halved["job"]);
    assert_eq!(plain.get("styles"), None);
    assert_eq!(halved["styles"][0]["file"], "kohya.safetensors");
    assert_eq!(halved["styles"][0]["weight"], 0.5);
    assert_eq!(halved["styles"][0]["sha256"].as_str().unwrap().len(), 64);
    // Entries of the cache are keyed by the styles too.
    let kept = |out: &str, flags: &[&str]| {
        let run = edit(&bench, out, flags);
        run.env("DRAGNEXT_CACHE_LIMIT", "1GiB")
            .env("DRAGNEXT_CACHE", bench.path("cache"))
            .record()
    };
    kept("kept.png", &["--style-lora", &half]);
    let other = kept("other.png", &["--style-lora", &whole]);
    assert_eq!(other.get("cached"), None);
    let again = kept("again.png", &["--style-lora", &whole]);
    assert_eq!(again["cached"], serde_json::json!(["lora", "invert"]));
    let again = image::open(bench.path("again.png")).unwrap().into_bytes();
    assert!(again == styled_samples);
    // The result says what made it, and a repetition without it is told.
    let shown = bench.dragnext(["show", "half.png", "--json"]).any_stdout();
    let shown: Value = serde_json::from_str(&shown.run().stdout).unwrap();
    assert_eq!(shown["styles"], halved["styles"]);
    let repeated = bench
        .dragnext([
            "edit", "in.png", "--like", "half.png", "--json", "-o", "like.png", "--model",
        ])
        .arg(model())
        .any_stderr()
        .record();
    assert_eq!(repeated.warnings(), ["like.weights"]);
    let message = repeated["warnings"][0]["message"].as_str().unwrap();
    assert!(
        message.contains("`--style-lora kohya.safetensors:0.5`"),
        "{message}"
    );
}

/// A LoRA with other layers than attention projections stands for the picture's own, and none is trained.
#[test]
fn a_lora_of_another_trainer_replaces_the_pictures_own() {
    let bench = bench();
    let (without, without_samples) = edited(&bench, "without.png", &["--no-lora"]);
    assert_eq!(without["lora"], Value::Null);
    let mut all = vec![without_samples];
    for name in ["kohya", "peft", "locon", "cores"] {
        let file = adapter(name).display().to_string();
        let out = format!("{name}.png");
        let (record, samples) = edited(&bench, &out, &["--lora", &file]);
        assert_eq!(record["steps"]["lora"], 0, "{name}");
        assert!(!all.contains(&samples), "{name}");
        all.push(samples);
    }
}

#[test]
fn a_word_of_an_embedding_changes_the_result() {
    let bench = bench();
    let file = format!("{}:<ink>", adapter("a1111").display());
    let prompt = |word: &str| {
        let text = super::command::TRANSLATION.replacen(
            "\"version\": 1",
            &format!("\"version\": 1, \"prompt\": \"a {word} cat\""),
            1,
        );
        bench.write("drag.json", text);
    };
    prompt("<ink>");
    let (with, with_samples) = edited(&bench, "with.png", &["--embedding", &file]);
    let (without, without_samples) = edited(&bench, "without.png", &[]);
    assert!(with_samples != without_samples);
    assert_ne!(with["job"], without["job"]);
    assert_eq!(with["embeddings"][0]["word"], "<ink>");
    assert_eq!(with["warnings"], serde_json::json!([]));
    prompt("red");
    let (with, with_samples) = edited(&bench, "with.png", &["--embedding", &file, "--overwrite"]);
    assert_eq!(with["warnings"][0]["kind"], "embedding.unused", "{with}");
    let message = with["warnings"][0]["message"].as_str().unwrap();
    assert!(
        message.contains("word `<ink>` of an embedding"),
        "{message}"
    );
    let (_, without_samples) = edited(&bench, "without.png", &["--overwrite"]);
    assert!(
        with_samples == without_samples,
        "the word is not in the prompt"
    );
    // A word of the vocabulary, a pickle, and a LoRA.
    let known = format!("{}:cat", adapter("a1111").display());
    edit(&bench, "no.png", &["--embedding", &known])
        .ended()
        .assert(2)
        .stderr_has("`cat` is in the vocabulary already");
    let validate = |flag: &str, file: &str| {
        bench
            .dragnext(["validate", "drag.json", "--image", "in.png", "--model"])
            .arg(model())
            .args([flag, file])
            .any_stdout()
            .any_stderr()
            .ended()
            .assert(2)
    };
    bench
        .dragnext(["validate", "drag.json", "--image", "in.png", "--model"])
        .arg(model())
        .args(["--embedding", &file])
        .any_stdout()
        .any_stderr()
        .ended()
        .assert(0)
        .stderr_has("does not have the word `<ink>`");
    bench.write("easynegative.pt", "pickle");
    validate(
        "--embedding",
        &bench.path("easynegative.pt").display().to_string(),
    )
    .stderr_has("torch.load");
    validate("--embedding", &adapter("kohya").display().to_string()).stderr_has("`--style-lora`");
}

#[test]
fn loras_of_other_families_are_named() {
    let bench = bench();
    for (tensor, width, family) in [
        (
            "lora_te1_text_model_encoder_layers_0_mlp_fc1",
            8,
            "Stable Diffusion XL",
        ),
        ("lora_unet_double_blocks_0_img_attn_qkv", 8, "Flux"),
        (
            "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k",
            1024,
            "it was made for Stable Diffusion 2",
        ),
    ] {
        let numbers = vec![0_u8; 4 * width];
        let view = |shape: Vec<usize>| {
            safetensors::tensor::TensorView::new(safetensors::Dtype::F32, shape, &numbers).unwrap()
        };
        let tensors = [
            (format!("{tensor}.lora_down.weight"), view(vec![1, width])),
            (format!("{tensor}.lora_up.weight"), view(vec![width, 1])),
        ];
        let path = bench.path("other.safetensors");
        std::fs::write(&path, safetensors::serialize(tensors, None).unwrap()).unwrap();
        let path = path.display().to_string();
        for flag in ["--lora", "--style-lora"] {
            edit(&bench, "no.png", &[flag, &path])
                .ended()
                .assert(2)
                .stderr_has_all(&["other.safetensors: ", family]);
        }
    }
}

/// As in diffusers, the end of a long prompt is left out with a warning.
#[test]
fn the_end_of_a_long_prompt_is_left_out_with_a_warning() {
    let bench = bench();
    let prompt = |prompt: &str| {
        let with = format!("\"version\": 1, \"prompt\": \"{prompt}\"");
        let text = super::command::TRANSLATION.replacen("\"version\": 1", &with, 1);
        bench.write("drag.json", text);
    };
    let long = "cat ".repeat(75);
    prompt(&long);
    let (_, expected) = edited(&bench, "fits.png", &["--no-lora"]);
    prompt(&format!("{long}on a sofa"));
    let (record, samples) = edited(&bench, "long.png", &["--no-lora"]);
    assert_eq!(record["warnings"][0]["kind"], "prompt.cut", "{record}");
    let message = record["warnings"][0]["message"].as_str().unwrap();
    assert!(message.contains("reads 77; left out: `"), "{message}");
    assert!(samples.len() == expected.len());
    bench
        .dragnext(["validate", "drag.json", "--image", "in.png", "--model"])
        .arg(model())
        .any_stdout()
        .any_stderr()
        .ended()
        .assert(0)
        .stderr_has("left out: `");
    // A prompt that no text encoder reads is refused before it is split.
    prompt(&"cat ".repeat(3000));
    bench
        .dragnext(["validate", "drag.json"])
        .any_stdout()
        .any_stderr()
        .ended()
        .assert(2)
        .stderr_has("longer than 10000 characters");
}
