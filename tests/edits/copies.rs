//! Edits by the methods that move latents: their records, what they refuse, and what they take.

use std::fmt::Write;

use crate::bench::tiny::model;
use crate::bench::{Bench, Ended};
use crate::command::{TRANSLATION, bench, picture};

const METHODS: [&str; 2] = ["region-drag", "fast-drag"];

/// Runs an edit of `in.png` with `drag.json` in few steps, which must end with this status.
fn run(bench: &Bench, method: &str, arguments: &[&str], status: i32) -> Ended {
    bench
        .dragnext(["edit", "in.png", "--drag", "drag.json", "-o", "out.png"])
        .args(["--overwrite", "--json", "--method", method])
        .args(["--steps", "10", "--strength", "0.2", "--model"])
        .arg(model())
        .args(arguments)
        .status(status)
        .any_stdout()
        .any_stderr()
        .run()
}

#[test]
fn the_record_has_the_methods_own_inversion_and_no_loss() {
    let bench = bench();
    for method in METHODS {
        let ended = run(&bench, method, &[], 0).stderr_has("drag       4 steps");
        let record = &ended.records()[0];
        assert_eq!(record["method"], method);
        let steps = serde_json::json!({ "lora": 0, "invert": 2, "drag": 0, "denoise": 2 });
        assert_eq!(record["steps"], steps);
        assert!(record["loss"].is_null());
        let seconds = record["seconds"].as_object().unwrap();
        let stages: Vec<&str> = seconds.keys().map(String::as_str).collect();
        assert_eq!(stages, ["decode", "drag", "encode", "load"]);
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
    for (method, variants) in [
        (
            "region-drag",
            [
                ["--noise-scale", "0"],
                ["--noise-scale", "0.5"],
                ["--copies", "picture"],
                ["--detail", "1"],
            ],
        ),
        (
            "fast-drag",
            [
                ["--empty-cells", "kept"],
                ["--empty-cells", "noise"],
                ["--trajectory", "kept"],
                ["--lora-steps", "1"],
            ],
        ),
    ] {
        let mut results = vec![bytes(method, &[])];
        results.extend(variants.iter().map(|variant| bytes(method, variant)));
        for (index, result) in results.iter().enumerate() {
            assert!(!results[..index].contains(result), "{method}, {index}");
        }
        assert!(bytes(method, &[]) == results[0], "{method} repeats itself");
    }
}

#[test]
fn settings_that_make_no_sense_are_refused() {
    let bench = bench();
    for (method, arguments, message) in [
        (
            "region-drag",
            ["--iterations", "3"],
            "`3` is a setting of `pbsi`",
        ),
        (
            "fast-drag",
            ["--noise-scale", "0.5"],
            "`0.5` is a setting of `region-drag`, and the method is `fast-drag`",
        ),
        (
            "region-drag",
            ["--noise-scale", "1.5"],
            "`1.5` must be auto or 0 to 1",
        ),
        (
            "region-drag",
            ["--noise-scale", "some"],
            "must be auto or 0 to 1",
        ),
        (
            "region-drag",
            ["--strength", "1"],
            "executes all 10 steps, but region-drag needs a noisier level above them; use less, or more `--steps`",
        ),
        (
            "fast-drag",
            ["--empty-cells", "holes"],
            "[possible values: interpolated, kept, noise]",
        ),
        (
            "region-drag",
            ["--trajectory", "kept"],
            "trajectory: `kept` has no effect with `region-drag`: its inversion returns to the picture exactly; leave it out",
        ),
        (
            "region-drag",
            ["--start-layer", "3"],
            "start-layer: `3` has no effect with `region-drag`",
        ),
        (
            "fast-drag",
            ["--start-layer", "3"],
            "start-layer: `3` has no effect with `fast-drag`",
        ),
    ] {
        let arguments = ["--overwrite", arguments[0], arguments[1]];
        bench
            .dragnext(["edit", "in.png", "--drag", "drag.json", "-o", "out.png"])
            .args(["--method", method, "--steps", "10", "--model"])
            .arg(model())
            .args(arguments)
            .status(2)
            .any_stdout()
            .any_stderr()
            .run()
            .stderr_has(message);
        assert!(!bench.path("out.png").exists());
    }
}

/// A setting without effect is refused from a drag file and from a manifest too, and left out where another method is chosen over the file's.
#[test]
fn a_setting_without_effect_is_refused_wherever_it_is_given() {
    let bench = bench();
    let expected = "trajectory: `kept` has no effect with `region-drag`";
    let settings = |method: &str| {
        let settings = format!(
            r#""version": 1, "method": "{method}", "settings": {{"trajectory": "kept", "steps": 10, "strength": 0.2}}"#
        );
        TRANSLATION.replace("\"version\": 1", &settings)
    };
    bench.write("drag.json", settings("region-drag"));
    for command in ["edit", "preview"] {
        let run = bench.dragnext([command, "in.png", "--drag", "drag.json", "-o", "out.png"]);
        let run = run.arg("--model").arg(model()).status(2);
        run.any_stdout().any_stderr().run().stderr_has(expected);
    }
    bench.write("drag.json", settings("pbsi"));
    run(&bench, "region-drag", &[], 0);

    bench.write("drag.json", TRANSLATION);
    bench.write(
        "list.jsonl",
        r#"{"image": "in.png", "drag": "drag.json", "settings": {"trajectory": "kept"}}"#,
    );
    let batch = |arguments: &[&str]| {
        bench
            .dragnext(["batch", "--manifest", "list.jsonl", "-o", "out", "--model"])
            .arg(model())
            .args(arguments)
            .any_stdout()
            .any_stderr()
    };
    let ended = batch(&["--method", "region-drag"]).status(1).run();
    ended.stderr_has(expected);
    assert!(!bench.path("out/in.png").exists());
    // Each of several methods takes what it uses.
    let ended = batch(&["--methods", "region-drag,fast-drag", "--dry-run"]).run();
    assert!(!ended.stderr.contains("has no effect"), "{ended}");
}

/// Writes a drag file of points, each a pair of handle and target.
fn write_points(bench: &Bench, editable: &str, points: &[[f64; 4]]) {
    let mut regions = String::new();
    for (index, [hx, hy, tx, ty]) in points.iter().enumerate() {
        let comma = if index > 0 { "," } else { "" };
        write!(
            regions,
            r#"{comma}{{ "type": "point", "handle": [{hx}, {hy}], "target": [{tx}, {ty}] }}"#
        )
        .unwrap();
    }
    bench.write(
        "drag.json",
        format!(r#"{{ "version": 1, "editable": {editable}, "regions": [{regions}] }}"#),
    );
}

#[test]
fn points_at_the_border_close_together_and_as_many_as_allowed_are_dragged() {
    let bench = bench();
    let many: Vec<[f64; 4]> = (0..64)
        .map(|index| {
            let (x, y) = (f64::from(index % 8), f64::from(index / 8));
            [8.0 * x + 4.0, 8.0 * y + 4.0, 8.0 * x + 10.0, 8.0 * y + 7.0]
        })
        .collect();
    for points in [
        &[[0.0, 0.0, 20.0, 12.0], [96.0, 96.0, 70.0, 80.0]][..],
        &[[40.0, 40.0, 60.0, 45.0], [41.0, 40.0, 61.0, 45.0]],
        &many,
    ] {
        write_points(&bench, r#""everything""#, points);
        for method in METHODS {
            run(&bench, method, &[], 0);
        }
    }
}

#[test]
fn a_handle_on_its_target_moves_nothing() {
    let bench = bench();
    write_points(&bench, r#""everything""#, &[[40.0, 40.0, 40.0, 40.0]]);
    for method in METHODS {
        let ended = run(&bench, method, &["--no-metadata"], 0);
        assert_eq!(ended.warnings(), ["region.no_motion"]);
        let [before, after] = ["in.png", "out.png"].map(|name| {
            let picture = image::open(bench.path(name)).unwrap();
            picture.to_rgba8().into_raw()
        });
        assert!(before == after, "{method}");
    }
}

#[test]
fn a_handle_that_may_not_move_is_refused_by_the_method_of_points() {
    let bench = bench();
    let right = r#"{ "rect": [56, 0, 96, 96] }"#;
    write_points(&bench, right, &[[30.0, 40.0, 70.0, 45.0]]);
    let ended = run(&bench, "fast-drag", &[], 2).stderr_has_all(&[
        "drag.json: /regions/0/handle: the handle lies outside the editable area, where nothing moves",
        "hint: enlarge `editable`",
    ]);
    assert_eq!(ended.kind(), "region.method");
    // A region may be copied from there.
    run(&bench, "region-drag", &[], 0);
}

#[test]
fn a_region_that_is_lost_between_the_cells_of_the_latent_is_refused() {
    let bench = bench();
    let thin = r#"{ "version": 1, "regions": [ { "type": "translation", "handle": [40, 41], "target": [40, 61],
        "region": { "rect": [8, 40, 88, 44] } } ] }"#;
    bench.write("drag.json", thin);
    let ended = run(&bench, "region-drag", &[], 2).stderr_has_all(&[
        "drag.json: /regions/0: after the drag, the region covers the centre of no cell of the latent",
        "hint: a cell is 8 x 8 working pixels",
    ]);
    assert_eq!(ended.kind(), "region.method");
    run(&bench, "fast-drag", &[], 0);
}

#[test]
fn a_group_of_a_batch_gives_the_results_of_single_edits() {
    let bench = Bench::new();
    for (index, width) in [96, 96].into_iter().enumerate() {
        let folder = format!("in/p{index}");
        std::fs::create_dir_all(bench.path(&folder)).unwrap();
        picture(&bench, width, 96);
        std::fs::rename(bench.path("in.png"), bench.path(format!("{folder}.png"))).unwrap();
        let drag = TRANSLATION.replace("[60, 45]", &format!("[60, {}]", 45 + 8 * index));
        bench.write(format!("{folder}.json"), drag);
        std::fs::remove_dir(bench.path(folder)).unwrap();
    }
    for method in METHODS {
        for (out, size) in [("alone", "1"), ("together", "2")] {
            bench
                .dragnext(["batch", "in", "-o"])
                .arg(format!("{method}-{out}"))
                .args(["--batch", size, "--method", method])
                .args(["--steps", "10", "--strength", "0.2", "--model"])
                .arg(model())
                .any_stdout()
                .any_stderr()
                .run();
        }
        for name in ["p0", "p1"] {
            let [one, other] =
                ["alone", "together"].map(|out| format!("{method}-{out}/{name}.png"));
            bench
                .dragnext(["compare", &one, &other, "--max-diff", "2"])
                .any_stdout()
                .any_stderr()
                .run();
        }
    }
}
