//! Edits with a model in the form of Stable Diffusion 2.1, by every method, and its relatives that are refused.

use dragnext::method::Method;
use serde_json::Value;

use crate::bench::fixture::path as fixture;
use crate::bench::{Bench, Run};
use crate::command::{TRANSLATION, bench};

fn edit(bench: &Bench, arguments: &[&str]) -> Run {
    let prompt = TRANSLATION.replacen('{', r#"{ "prompt": "a cat!", "#, 1);
    bench.write("drag.json", prompt);
    bench
        .dragnext(["edit", "in.png", "--drag", "drag.json", "-o", "out.png"])
        .args(["--json", "--overwrite"])
        .args(arguments)
        .any_stdout()
        .any_stderr()
}

/// Copies the model to the folder `model` of the bench, with another value of a key of the UNet's configuration.
fn copied(bench: &Bench, key: &str, value: Value) {
    let mut folders = vec![fixture("sd2")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let name = path.strip_prefix(fixture("sd2")).unwrap();
            let name = std::path::Path::new("model").join(name);
            bench.write(name, std::fs::read(&path).unwrap());
        }
    }
    let mut config: Value = serde_json::from_slice(&bench.read("model/unet/config.json")).unwrap();
    config[key] = value;
    bench.write("model/unet/config.json", config.to_string());
}

#[test]
fn every_method_edits() {
    let model = fixture("sd2");
    for method in Method::ALL {
        let bench = bench();
        let clip = fixture("clip/model");
        let mut run = edit(&bench, &["--method", method.name(), "--strength", "0.1"]);
        if *method == Method::DragNoise {
            // Fewer than the five steps of this strength.
            run = run.args(["--free-steps", "0"]);
        }
        let record = run
            .arg("--model")
            .arg(&model)
            .arg("--clip")
            .arg(&clip)
            .run()
            .record;
        assert_eq!(record["status"], "done", "{}: {record}", method.name());
        let [before, after] =
            ["in.png", "out.png"].map(|name| image::open(bench.path(name)).unwrap().into_rgba8());
        assert!(before != after, "{} changes the picture", method.name());
        // The model's own size is 96.
        assert_eq!(record["working"], serde_json::json!([96, 96]), "{record}");
    }
}

#[test]
fn a_lora_is_trained_and_read_again() {
    let bench = bench();
    let model = fixture("sd2");
    let model = model.to_str().unwrap();
    let short = ["--model", model, "--strength", "0.06", "--iterations", "1"];
    let train = [
        "--lora-steps",
        "2",
        "--lora-rank",
        "2",
        "--save-lora",
        "lora.safetensors",
    ];
    let record = edit(&bench, &[&short[..], &train[..]].concat())
        .run()
        .record;
    assert_eq!(record["status"], "done", "{record}");
    let pixels = || image::open(bench.path("out.png")).unwrap().into_rgba8();
    let first = pixels();
    edit(
        &bench,
        &[&short[..], &["--lora", "lora.safetensors"]].concat(),
    )
    .run();
    assert!(first == pixels());
}

/// Models whose networks take more than latents and a prompt are refused by name.
#[test]
fn relatives_are_refused_by_name() {
    for (key, value, name) in [
        ("in_channels", Value::from(9), "inpainting"),
        ("in_channels", Value::from(5), "depth"),
        ("in_channels", Value::from(7), "upscaler"),
        ("in_channels", Value::from(8), "InstructPix2Pix"),
        ("class_embed_type", Value::from("projection"), "unCLIP"),
        (
            "addition_embed_type",
            Value::from("text_time"),
            "Stable Diffusion XL",
        ),
    ] {
        let bench = bench();
        copied(&bench, key, value);
        let run = edit(&bench, &["--model", "model"]).status(2);
        run.run()
            .stderr_has_all(&[name, "use Stable Diffusion 1.5, 2.1"]);
        assert!(!bench.path("out.png").exists());
    }
}
