//! What an edit takes from the cache.

use std::path::Path;

use serde_json::{Value, json};

use super::{BOTH, NOTHING, Scene, drag};
use crate::bench::tiny::model;

#[test]
fn a_second_drag_of_a_picture_reuses_lora_and_inversion() {
    let scene = Scene::new();
    let first = scene.edit("in.png", "drag.json", &[]);
    assert_eq!((first.cached(), first.warnings()), (vec![], vec![]));
    assert_eq!(
        (
            &first.ended.record["steps"]["lora"],
            &first.ended.record["steps"]["invert"]
        ),
        (&json!(2), &json!(4))
    );
    assert_eq!(scene.entries().len(), 2, "{:?}", scene.entries());
    assert_eq!(
        first.png,
        scene.uncached("in.png", "drag.json", &[]).png,
        "storing does not change the result"
    );

    let second = scene.edit("in.png", "other.json", &[]);
    assert_eq!(
        (second.cached(), second.warnings()),
        (BOTH.to_vec(), vec![])
    );
    assert_eq!(
        (
            &second.ended.record["steps"]["lora"],
            &second.ended.record["steps"]["invert"]
        ),
        (&json!(0), &json!(0))
    );
    let stages: Vec<&String> = second.ended.record["seconds"]
        .as_object()
        .unwrap()
        .keys()
        .collect();
    assert_eq!(
        stages,
        ["decode", "denoise", "drag", "encode", "load"],
        "sorted by name"
    );
    assert!(
        !second.ended.stderr.contains("lora ") && second.ended.stderr.contains("drag "),
        "{}",
        second.ended.stderr
    );
    let uncached = scene.uncached("in.png", "other.json", &[]);
    assert!(second.png == uncached.png, "the same bytes");
    assert_eq!(second.ended.record["job"], uncached.ended.record["job"]);
    assert!(
        second.png != first.png,
        "another target gives another picture"
    );
    // The first edit again.
    assert!(scene.edit("in.png", "drag.json", &[]).png == first.png);
}

/// The warped picture depends on the drag, so its inversion is found again only for the same drag and the same settings of the warp.
#[test]
fn the_inversion_of_a_warped_picture_belongs_to_its_drag() {
    let scene = Scene::new();
    let warped = ["--start", "warped"];
    let first = scene.edit("in.png", "drag.json", &warped);
    assert_eq!(first.cached(), NOTHING);
    assert_eq!(
        scene.edit("in.png", "other.json", &warped).cached(),
        ["lora"]
    );
    let again = scene.edit("in.png", "drag.json", &warped);
    assert_eq!(again.cached(), BOTH);
    assert!(again.png == first.png);
    assert!(first.png == scene.uncached("in.png", "drag.json", &warped).png);
    // The noise of the vacated area does not change the inversion.
    for (name, value) in [
        ("--vacated-noise", "0.1"),
        ("--seed", "0"),
        ("--detail", "0"),
    ] {
        let arguments = ["--start", "warped", name, value];
        assert_eq!(
            scene.edit("in.png", "drag.json", &arguments).cached(),
            BOTH,
            "{name}"
        );
    }
}

/// Each change misses the cache exactly for the stages that depend on it, and the bytes equal those without the cache.
#[test]
fn only_stages_that_depend_on_a_change_are_computed_again() {
    let scene = Scene::new();
    let first = scene.edit("in.png", "drag.json", &[]);
    scene.picture("brighter.png", 1);
    scene.bench.write("prompt.json", drag("a cat", 42.0));
    let cases: [(&str, &str, &[&str], &[&str]); 15] = [
        ("in.png", "drag.json", &["--lr", "0.01"], &BOTH),
        (
            "in.png",
            "drag.json",
            &["--iterations", "1", "--timesteps", "2"],
            &BOTH,
        ),
        ("in.png", "drag.json", &["--start", "paper"], &BOTH),
        ("in.png", "drag.json", &["--backend", "candle"], &NOTHING),
        (
            "in.png",
            "drag.json",
            &["--dtype", "f32", "--device", "cpu"],
            &BOTH,
        ),
        ("in.png", "drag.json", &["--strength", "0.04"], &["lora"]),
        (
            "in.png",
            "drag.json",
            &["--steps", "40", "--strength", "0.1"],
            &["lora"],
        ),
        ("in.png", "drag.json", &["--seed", "1"], &NOTHING),
        ("in.png", "drag.json", &["--lora-steps", "3"], &NOTHING),
        ("in.png", "drag.json", &["--lora-rank", "3"], &NOTHING),
        ("in.png", "drag.json", &["--lora-lr", "0.001"], &NOTHING),
        ("in.png", "drag.json", &["--lora-batch", "1"], &NOTHING),
        ("in.png", "drag.json", &["--size", "80"], &NOTHING),
        ("in.png", "prompt.json", &[], &NOTHING),
        ("brighter.png", "drag.json", &[], &NOTHING),
    ];
    for (picture, drag, arguments, cached) in cases {
        let edited = scene.edit(picture, drag, arguments);
        assert_eq!(
            (edited.cached(), edited.warnings()),
            (cached.to_vec(), vec![]),
            "{picture} {drag} {arguments:?}"
        );
        assert!(
            edited.png == scene.uncached(picture, drag, arguments).png,
            "{picture} {drag} {arguments:?}"
        );
        assert_eq!(
            scene.edit(picture, drag, arguments).cached(),
            BOTH,
            "{picture} {drag} {arguments:?} again"
        );
    }
    // Without a LoRA the inversion is still cached. The seed changes the noise of the vacated area only, not the inversion.
    for (arguments, cached) in [
        (["--no-lora"].as_slice(), NOTHING.as_slice()),
        (&["--no-lora"], &["invert"]),
        (&["--no-lora", "--seed", "3"], &["invert"]),
    ] {
        let edited = scene.edit("in.png", "drag.json", arguments);
        assert_eq!(edited.cached(), cached, "{arguments:?}");
        assert!(
            edited.png == scene.uncached("in.png", "drag.json", arguments).png,
            "{arguments:?}"
        );
    }
    assert_eq!(scene.edit("in.png", "drag.json", &[]).png, first.png);
}

/// Vectors of another width give other rounding.
#[cfg(feature = "failpoints")]
#[test]
fn entries_of_another_vector_width_are_not_used() {
    let scene = Scene::new();
    scene.edit("in.png", "drag.json", &[]);
    let narrow = |arguments: &[&str]| {
        scene.edited(
            scene
                .command("in.png", "drag.json", arguments)
                .env("DRAGNEXT_LANES", "1"),
        )
    };
    let first = narrow(&[]);
    assert_eq!(first.cached(), NOTHING);
    assert_eq!(narrow(&[]).cached(), BOTH);
    assert!(first.png == narrow(&["--no-cache"]).png);
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// Keys contain the weights and the configuration of the model, not its name.
#[test]
fn another_model_misses_the_cache() {
    let scene = Scene::new();
    copy(&model(), &scene.path("model"));
    let edit = || scene.edit("in.png", "drag.json", &["--model", "model"]);
    edit();
    std::fs::rename(scene.path("model"), scene.path("renamed")).unwrap();
    assert_eq!(
        scene
            .edit("in.png", "drag.json", &["--model", "renamed"])
            .cached(),
        BOTH
    );
    std::fs::rename(scene.path("renamed"), scene.path("model")).unwrap();

    let weights = scene.path("model/unet/diffusion_pytorch_model.safetensors");
    let mut bytes = std::fs::read(&weights).unwrap();
    let header = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    bytes[8 + header] ^= 1;
    std::fs::write(&weights, &bytes).unwrap();
    assert_eq!(edit().cached(), NOTHING, "one bit of a weight differs");
    let schedule = scene.path("model/scheduler/scheduler_config.json");
    let text = std::fs::read_to_string(&schedule).unwrap();
    let mut config: Value = serde_json::from_str(&text).unwrap();
    config["beta_end"] = json!(0.011);
    std::fs::write(&schedule, config.to_string()).unwrap();
    assert_eq!(edit().cached(), NOTHING, "the noise schedule differs");
    assert_eq!(edit().cached(), BOTH);
}

#[test]
fn a_cached_lora_can_be_saved_and_loaded() {
    let scene = Scene::new();
    let first = scene.edit("in.png", "drag.json", &["--save-lora", "first.safetensors"]);
    let second = scene.edit(
        "in.png",
        "drag.json",
        &["--save-lora", "second.safetensors"],
    );
    assert_eq!(second.cached(), BOTH);
    assert!(scene.bench.read("first.safetensors") == scene.bench.read("second.safetensors"));
    // The key of the inversion contains the values of the LoRA, not their source.
    let given = scene.edit("in.png", "drag.json", &["--lora", "first.safetensors"]);
    assert_eq!(given.cached(), ["invert"]);
    assert!(
        given.png
            == scene
                .uncached("in.png", "drag.json", &["--lora", "first.safetensors"])
                .png
    );
    assert!(
        image::load_from_memory(&given.png).unwrap()
            == image::load_from_memory(&first.png).unwrap(),
        "the same pixels"
    );
}

/// In a batch only pictures with several drags are cached.
#[test]
fn a_batch_caches_pictures_with_several_drags() {
    let scene = Scene::new();
    scene.picture("once.png", 9);
    let line = |id: &str, image: &str, drag: &str| {
        json!({ "id": id, "image": image, "drag": drag, "out": format!("{id}.png") }).to_string()
    };
    let lines = [
        line("a", "in.png", "drag.json"),
        line("b", "once.png", "drag.json"),
        line("c", "in.png", "other.json"),
    ]
    .join("\n");
    scene.bench.write("list.jsonl", lines);
    let run = |out: &str, arguments: &[&str]| {
        let run = scene.dragnext(&["batch", "--manifest", "list.jsonl", "-o", out, "--json"]);
        let run = run.args([
            "--timesteps",
            "1",
            "--iterations",
            "2",
            "--lora-steps",
            "2",
            "--lora-rank",
            "2",
            "--size",
            "64",
            "--strength",
            "0.08",
            "--start",
            "moved",
        ]);
        let run = run.args(arguments).arg("--model").arg(model());
        let records = run.any_stdout().any_stderr().run().records();
        let cached = records[..3]
            .iter()
            .map(|record| record["cached"].as_array().map_or(0, Vec::len))
            .collect::<Vec<_>>();
        let pictures: Vec<Vec<u8>> = ["a", "b", "c"]
            .iter()
            .map(|id| scene.bench.read(format!("{out}/{id}.png")))
            .collect();
        (cached, pictures)
    };
    let (cached, pictures) = run("out", &[]);
    assert_eq!(cached, [0, 0, 2]);
    assert_eq!(
        scene.entries().len(),
        2,
        "no entry of the picture with one drag: {:?}",
        scene.entries()
    );
    let (cached, uncached) = run("uncached", &["--no-cache"]);
    assert_eq!(cached, [0, 0, 0]);
    assert!(pictures == uncached);
    // Entries of an earlier edit are used for every picture.
    scene.edit("once.png", "other.json", &[]);
    let (cached, again) = run("again", &[]);
    assert_eq!(cached, [2, 2, 2]);
    assert!(again == uncached);
}
