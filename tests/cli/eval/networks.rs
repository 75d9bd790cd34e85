//! MD and CLIP: oracles through the program, names of models, and what is missing.

use super::{eval, json, originals, save, square};
use crate::bench::Bench;
use crate::bench::fixture::path as fixture;

#[test]
fn doing_nothing_has_the_length_of_the_drag_and_a_similarity_of_1() {
    let bench = Bench::new();
    originals(&bench, &["a"]);
    save(&bench, "same/a.png", &square(10));
    save(&bench, "true/a.png", &square(60));
    let (model, clip) = (fixture("tiny"), fixture("clip/model"));
    let networks = [
        "--metrics",
        "md,clip",
        "--device",
        "cpu",
        "--md-model",
        model.to_str().unwrap(),
        "--clip",
        clip.to_str().unwrap(),
    ];
    let arguments = [&networks[..], &["--compare", "true"]].concat();
    let record = json(&bench, "same", &arguments, 0);
    let figure = |name: &str| record["all"][name]["mean"].as_f64().unwrap();
    for name in ["MD-A [tiny]", "MD-B [tiny]", "MD-D1 [tiny]"] {
        assert!((figure(name) - 50.0).abs() < 1e-6, "{name}: {record}");
    }
    // Shares of the width. The features of a cell of the coarse map are equal, and the first pixel of the best cell counts.
    for name in ["MD-C [tiny]", "MD-D2 [tiny]"] {
        assert!(
            (figure(name) - 50.0 / 96.0).abs() < 0.25,
            "{name}: {record}"
        );
    }
    let clip = record["all"].as_object().unwrap();
    let similar: Vec<&String> = clip
        .keys()
        .filter(|name| name.starts_with("CLIP"))
        .collect();
    assert_eq!(similar.len(), 2, "{record}");
    let pictures = similar
        .iter()
        .find(|name| name.starts_with("CLIP-I"))
        .unwrap();
    assert!((figure(pictures) - 1.0).abs() < 1e-6, "{record}");
    assert!(record["all"][*pictures]["other"]["mean"].as_f64().unwrap() < 1.0 - 1e-6);
    // The drag file has no prompt.
    let text = similar
        .iter()
        .find(|name| name.starts_with("CLIP-T"))
        .unwrap();
    assert!(record["all"][*text]["mean"].is_null(), "{record}");
}

#[test]
fn another_stage_is_part_of_the_name() {
    let bench = Bench::new();
    originals(&bench, &["a"]);
    save(&bench, "same/a.png", &square(10));
    let model = fixture("tiny");
    let arguments = [
        "--metrics",
        "md",
        "--device",
        "cpu",
        "--md-stage",
        "3",
        "--md-model",
    ];
    let arguments = [&arguments[..], &[model.to_str().unwrap()]].concat();
    let record = json(&bench, "same", &arguments, 0);
    let distance = record["all"]["MD-A [tiny stage 3]"]["mean"].as_f64();
    assert!((distance.unwrap() - 50.0).abs() < 1e-6, "{record}");
    eval(&bench, "same", &["--metrics", "md", "--md-stage", "5"])
        .any_stderr()
        .status(2)
        .run();
}

#[test]
fn missing_networks_are_named_with_what_provides_them() {
    let bench = Bench::new();
    originals(&bench, &["a"]);
    save(&bench, "out/a.png", &square(60));
    let ended = eval(&bench, "out", &[]).any_stdout().any_stderr().run();
    let all = format!("{}{}", ended.stdout, ended.stderr);
    for part in ["MD-A", "--md-model sd21", "CLIP-I", "--clip FOLDER"] {
        assert!(all.contains(part), "{part} is not in {all}");
    }
    eval(&bench, "out", &["--metrics", "md", "--md-model", "nowhere"])
        .any_stdout()
        .any_stderr()
        .status(2)
        .run()
        .stderr_has("nowhere");
}
