//! Edits by the methods with energy guidance: their records, what they refuse, and what they take.

use serde_json::json;

use crate::bench::tiny::model;
use crate::bench::{Bench, Ended};
use crate::command::{TRANSLATION, bench};

const METHODS: [&str; 2] = ["dragon-diffusion", "diff-editor"];

/// Runs an edit of `in.png` with `drag.json`, in ten steps unless the arguments say how many, which must end with this status. With a prompt, so that there is classifier-free guidance,
/// and with something outside the editable area.
fn run(bench: &Bench, method: &str, arguments: &[&str], status: i32) -> Ended {
    let more = r#"{ "prompt": "a cat", "editable": { "rect": [20, 20, 80, 64] }, "#;
    bench.write("drag.json", TRANSLATION.replacen('{', more, 1));
    let steps: &[&str] = if arguments.contains(&"--steps") {
        &[]
    } else {
        &["--steps", "10"]
    };
    bench
        .dragnext(["edit", "in.png", "--drag", "drag.json", "-o", "out.png"])
        .args(["--overwrite", "--json", "--method", method])
        .args(steps)
        .arg("--model")
        .arg(model())
        .args(arguments)
        .status(status)
        .any_stdout()
        .any_stderr()
        .run()
}

#[test]
fn the_record_has_the_energy_of_every_guided_step() {
    let bench = bench();
    for (method, guided, reported) in [(METHODS[0], 6, 20), (METHODS[1], 4, 20)] {
        let reported = format!("drag      {reported} steps");
        let ended = run(&bench, method, &[], 0).stderr_has(&reported);
        let record = &ended.records()[0];
        assert_eq!(record["method"], method);
        let steps = json!({ "lora": 0, "invert": 10, "drag": guided, "denoise": 10 });
        assert_eq!(record["steps"], steps, "{method}");
        let energies = record["losses"].as_array().unwrap();
        assert_eq!(energies.len(), guided, "{method}");
        assert_ne!(bench.read("out.png"), bench.read("in.png"));
    }
}

#[test]
fn settings_that_decide_pixels_change_the_result() {
    let bench = bench();
    let bytes = |method: &str, arguments: &[&str]| {
        run(&bench, method, &[&["--no-metadata"], arguments].concat(), 0);
        bench.read("out.png")
    };
    let common = [
        ["--guidance-scale", "1"],
        ["--energy-scale", "0"],
        ["--edit-weight", "1"],
        ["--content-weight", "0"],
        ["--vacated-weight", "2"],
        ["--guided-share", "1"],
        ["--own-keys-share", "1"],
        ["--hard-background", "true"],
        ["--taps", "3"],
        ["--trajectory", "kept"],
        ["--strength", "0.8"],
        ["--lora-steps", "1"],
    ];
    let own = [
        ["--dense-share", "0.6"],
        ["--sde-strength", "0"],
        ["--seed", "1"],
    ];
    for (method, variants) in [(METHODS[0], &[][..]), (METHODS[1], &own)] {
        let mut results = vec![bytes(method, &[])];
        let variants = common.iter().chain(variants);
        results.extend(variants.map(|variant| bytes(method, variant)));
        for (index, result) in results.iter().enumerate() {
            assert!(!results[..index].contains(result), "{method}, {index}");
        }
        assert!(bytes(method, &[]) == results[0], "{method} repeats itself");
    }
    // Ten steps are too few for time travel.
    let twenty = |travels| bytes(METHODS[1], &["--steps", "20", "--travels", travels]);
    assert!(twenty("1") != twenty("3"));
    let as_the_other = ["--dense-share", "0.6", "--sde-strength", "0"];
    assert!(bytes(METHODS[1], &as_the_other) == bytes(METHODS[0], &[]));
}

/// An empty prompt has nothing to be guided away from.
#[test]
fn an_empty_prompt_has_no_classifier_free_guidance() {
    let bench = bench();
    bench.write("drag.json", TRANSLATION);
    let mut results = Vec::new();
    for scale in ["1", "4"] {
        bench
            .dragnext(["edit", "in.png", "--drag", "drag.json", "-o", "out.png"])
            .args(["--overwrite", "--no-metadata", "--steps", "5"])
            .args(["--method", METHODS[0], "--guidance-scale", scale])
            .arg("--model")
            .arg(model())
            .any_stdout()
            .any_stderr()
            .run();
        results.push(bench.read("out.png"));
    }
    assert!(results[0] == results[1]);
}

#[test]
fn settings_that_make_no_sense_are_refused() {
    let bench = bench();
    for (arguments, message) in [
        (["--iterations", "3"], "`3` is a setting of `pbsi`"),
        (
            ["--sde-strength", "0.5"],
            "`0.5` is a setting of `diff-editor`, and the method is `dragon-diffusion`",
        ),
        (["--guidance-scale", "0.5"], "must be 1 to 100"),
        (["--energy-scale", "-1"], "must be 0 to 1e6"),
        (["--taps", "5"], "must name decoder stages"),
        (
            ["--start-layer", "3"],
            "start-layer: `3` has no effect with `dragon-diffusion`: all layers of the decoder",
        ),
        (
            ["--degree", "0.5"],
            "degree: `0.5` has no effect with `dragon-diffusion`: nothing is optimised",
        ),
    ] {
        run(&bench, METHODS[0], &arguments, 2).stderr_has(message);
        assert!(!bench.path("out.png").exists());
    }
}
