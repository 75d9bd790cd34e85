//! Edits by clip-drag: the text that they follow, and the CLIP that they need.

use crate::bench::fixture::path as fixture;
use crate::bench::{Bench, Run};

const REGION: &str = r#"{"type": "translation", "region": {"rect": [20, 24, 36, 40]}, "handle": [27, 31], "target": [40, 37]}"#;

/// Returns a drag file with these prompts, as JSON members, and these regions.
fn drag(prompts: &str, regions: &str) -> String {
    format!(r#"{{"version": 1, {prompts} "method": "clip-drag", "regions": [{regions}]}}"#)
}

/// Returns a very short edit of the fixtures' picture with a CLIP.
fn edit_with(bench: &Bench, drag: &str, clip: &str) -> Run {
    bench.write("drag.json", drag);
    bench
        .dragnext(["edit", "--json", "-o", "out.png", "--overwrite"])
        .arg(fixture("edit/input.png"))
        .args(["--drag", "drag.json", "--size", "80", "--strength", "0.04"])
        .args(["--iterations", "2", "--no-lora", "--clip", clip])
        .arg("--model")
        .arg(fixture("tiny"))
        .any_stdout()
        .any_stderr()
}

fn clip() -> String {
    fixture("clip/model").to_string_lossy().into_owned()
}

fn edit(bench: &Bench, drag: &str) -> Run {
    edit_with(bench, drag, &clip())
}

/// Returns a copy of the tiny CLIP in the folder of the test.
fn copied(bench: &Bench) {
    for entry in std::fs::read_dir(fixture("clip/model")).unwrap() {
        let entry = entry.unwrap();
        let name = std::path::Path::new("clip").join(entry.file_name());
        bench.write(name, std::fs::read(entry.path()).unwrap());
    }
}

#[test]
fn the_edit_prompt_decides_and_the_prompt_takes_its_place() {
    let bench = Bench::new();
    let mut pixels = Vec::new();
    for prompts in [
        r#""prompt": "a cat","#,
        r#""prompt": "a cat", "edit_prompt": "a cat","#,
        r#""prompt": "a cat", "edit_prompt": "a red disc on a sky background","#,
    ] {
        let record = edit(&bench, &drag(prompts, REGION)).run().record;
        assert_eq!(record["status"], "done", "{record}");
        assert!(record.warnings().is_empty(), "{record}");
        pixels.push(image::open(bench.path("out.png")).unwrap().into_rgba8());
    }
    assert!(pixels[0] == pixels[1], "the prompt is the edit prompt");
    assert!(pixels[0] != pixels[2], "another text pulls elsewhere");
}

#[test]
fn an_edit_without_a_text_is_refused() {
    let bench = Bench::new();
    for (prompts, marked) in [
        ("", "drag.json"),
        (r#""prompt": "  ","#, "prompt"),
        (r#""prompt": "a cat", "edit_prompt": "","#, "edit_prompt"),
    ] {
        let ended = edit(&bench, &drag(prompts, REGION)).status(2).run();
        assert_eq!(ended.kind(), "instruction.prompt_missing", "{ended}");
        ended.stderr_has_all(&["clip-drag follows a text", "hint:", "edit_prompt", marked]);
        assert!(!bench.path("out.png").exists());
    }
    // Without a share of the text there is nothing to follow, and no CLIP to need.
    let ended = edit_with(&bench, &drag("", REGION), "no/such/clip")
        .args(["--fusion-weight", "0"])
        .run();
    assert_eq!(ended.record["status"], "done");
}

#[test]
fn a_text_that_is_too_long_for_clip_is_cut_with_a_warning() {
    let bench = Bench::new();
    let prompts = format!(
        r#""prompt": "a cat", "edit_prompt": "{}","#,
        "cat ".repeat(100)
    );
    let ended = edit(&bench, &drag(&prompts, REGION)).run();
    assert_eq!(ended.record["status"], "done");
    let warning = &ended.record["warnings"][0];
    assert_eq!(warning["kind"], "prompt.cut", "{ended}");
    let message = warning["message"].as_str().unwrap();
    assert!(message.starts_with("`edit_prompt` has "), "{message}");
}

#[test]
fn a_clip_that_cannot_be_used_is_reported_before_anything_runs() {
    let bench = Bench::new();
    copied(&bench);
    let text = drag(r#""prompt": "a cat","#, REGION);
    let fails = |clip: &str, kind: &str, texts: &[&str]| {
        let ended = edit_with(&bench, &text, clip).status(2).run();
        assert_eq!(ended.kind(), kind, "{ended}");
        ended.stderr_has_all(texts);
        assert!(!bench.path("out.png").exists());
    };
    fails("./none", "weights.missing", &["no such folder", "CLIP"]);
    let tiny = fixture("tiny");
    let tiny = tiny.to_str().unwrap();
    fails(tiny, "weights.missing", &["config.json", "CLIPModel"]);

    let config = bench.text("clip/config.json");
    bench.write("clip/config.json", config.replace("\"clip\"", "\"siglip\""));
    fails("clip", "weights.unsupported", &["`model_type`", "only"]);
    let narrow = config.replace("\"projection_dim\": 16", "\"projection_dim\": 8");
    bench.write("clip/config.json", narrow);
    fails("clip", "weights.mismatch", &["visual_projection.weight"]);
    bench.write("clip/config.json", config);
    let weights = bench.read("clip/model.safetensors");
    bench.write("clip/model.safetensors", &weights[..1000]);
    fails("clip", "weights.damaged", &["model.safetensors"]);
    std::fs::remove_file(bench.path("clip/vocab.json")).unwrap();
    fails("clip", "weights.missing", &["vocab.json"]);
}

/// The default CLIP is not in the cache, and the network is not to be used.
#[test]
fn a_missing_clip_names_the_command_that_fetches_it() {
    let bench = Bench::new();
    bench.write("drag.json", drag(r#""prompt": "a cat","#, REGION));
    let command = |words: &[&str]| {
        let run = bench.dragnext(words).arg("--offline");
        run.arg("--model")
            .arg(fixture("tiny"))
            .any_stdout()
            .any_stderr()
    };
    let picture = fixture("edit/input.png");
    let picture = picture.to_str().unwrap();
    let edit = ["edit", picture, "--drag", "drag.json", "-o", "out.png"];
    let validate = ["validate", "drag.json", "--image", picture];
    let batch = ["batch", "in", "-o", "out"];
    bench.write("in/a.png", bench_picture());
    bench.write("in/a.json", drag(r#""prompt": "a cat","#, REGION));
    for words in [&edit[..], &validate, &batch] {
        let ended = command(words).status(75).run();
        ended.stderr_has_all(&[
            "openai/clip-vit-large-patch14",
            "not in the cache",
            "dragnext fetch --method clip-drag --clip",
            "--clip FOLDER",
        ]);
    }
    assert!(!bench.path("out.png").exists() && !bench.path("out").exists());
}

fn bench_picture() -> Vec<u8> {
    std::fs::read(fixture("edit/input.png")).unwrap()
}

/// All items share one CLIP. Another CLIP makes another job of an item, but not of those that need none.
#[test]
fn a_batch_knows_its_clip() {
    let bench = Bench::new();
    copied(&bench);
    for name in ["a", "b", "c"] {
        bench.write(format!("in/{name}.png"), bench_picture());
        let text = drag(r#""prompt": "a cat","#, REGION);
        let text = if name == "c" {
            text.replace("\"clip-drag\"", "\"pbsi\"")
        } else {
            text
        };
        bench.write(format!("in/{name}.json"), text);
    }
    let run = || {
        bench
            .dragnext(["batch", "in", "-o", "out", "--json", "--size", "80"])
            .args(["--strength", "0.04", "--iterations", "1", "--no-lora"])
            .args(["--clip", "clip", "--model"])
            .arg(fixture("tiny"))
            .any_stdout()
            .any_stderr()
            .run()
    };
    let edited = |stdout: &str| {
        let records = stdout.lines().filter(|line| line.contains("\"id\""));
        let mut ids: Vec<String> = records
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
            .map(|record| record["id"].as_str().unwrap().to_owned())
            .collect();
        ids.sort();
        ids
    };
    assert_eq!(edited(&run().stdout), ["a", "b", "c"]);
    assert_eq!(edited(&run().stdout), [""; 0], "nothing changed");
    let mut weights = bench.read("clip/model.safetensors");
    let last = weights.len() - 1;
    weights[last] ^= 1;
    bench.write("clip/model.safetensors", weights);
    assert_eq!(edited(&run().stdout), ["a", "b"], "another CLIP");
}
