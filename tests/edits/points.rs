//! Edits with the methods that drag points: what they read, what they refuse, and what they record.

use crate::bench::{Bench, Run, tiny};
use crate::command::picture;

const METHODS: [&str; 4] = ["drag-diffusion", "good-drag", "free-drag", "drag-noise"];

/// Returns a short edit of a picture of 100 x 100 pixels at 64 with these regions.
fn edit(bench: &Bench, method: &str, regions: &str, editable: &str) -> Run {
    picture(bench, 100, 100);
    bench.write(
        "drag.json",
        format!(r#"{{"version": 1, {editable} "regions": [{regions}]}}"#),
    );
    let run = bench
        .dragnext([
            "edit",
            "in.png",
            "--drag",
            "drag.json",
            "-o",
            "out.png",
            "--overwrite",
        ])
        .args(["--size", "64", "--strength", "0.04", "--no-lora", "--json"])
        .args(["--iterations", "2", "--method", method, "--model"])
        .arg(tiny::model())
        .any_stdout()
        .any_stderr();
    match method {
        "good-drag" => run.args(["--timesteps", "1", "--tracks", "2"]),
        "drag-noise" => run.args(["--free-steps", "0"]),
        _ => run,
    }
}

fn point(handle: [f64; 2], target: [f64; 2]) -> String {
    format!(r#"{{"type": "point", "handle": {handle:?}, "target": {target:?}}}"#)
}

#[test]
fn points_at_the_border_and_next_to_each_other_are_dragged() {
    let bench = Bench::new();
    for method in METHODS {
        let border = point([0.5, 99.5], [40.0, 60.0]);
        let near = [
            point([50.0, 50.0], [70.0, 40.0]),
            point([51.0, 50.0], [70.0, 55.0]),
        ];
        for regions in [border, near.join(",")] {
            let record = edit(&bench, method, &regions, "").record();
            let tracks = record["tracks"].as_array().unwrap();
            assert_eq!(tracks.len(), regions.matches("handle").count());
            for track in tracks {
                assert!(track["points"].as_array().unwrap().len() >= 2, "{track}");
            }
            let losses = record["losses"].as_array().unwrap().len();
            assert_eq!(losses as u64, record["steps"]["drag"].as_u64().unwrap());
        }
    }
}

#[test]
fn many_points_are_dragged_and_too_many_are_refused() {
    let bench = Bench::new();
    let points = |count: usize| {
        let point = |index: usize| {
            let place = |x: usize, y: usize| [5.0 + 9.0 * x as f64, 5.0 + 9.0 * y as f64];
            let (x, y) = (index % 10, index / 10);
            point(place(x, y), place(9 - x, (y + 3) % 10))
        };
        (0..count).map(point).collect::<Vec<String>>().join(",")
    };
    for method in METHODS {
        let record = edit(&bench, method, &points(100), "").record();
        assert_eq!(record["tracks"].as_array().unwrap().len(), 100);
    }
    let ended = edit(&bench, METHODS[0], &points(129), "").status(2).run();
    assert_eq!(ended.kind(), "instruction.too_large");
    ended.stderr_has_all(&[
        "there are 129 regions; at most 128 are allowed",
        "hint: at most 64 of them may have an area, the others are points",
    ]);
}

/// A handle on its target, or within two cells of it, needs no drag: the picture comes back.
#[test]
fn a_point_at_its_target_is_left_out() {
    let bench = Bench::new();
    for method in METHODS {
        for (target, reason) in [
            ([50.0, 50.0], "moves by less than a pixel"),
            ([52.0, 50.0], "is within two cells of its target"),
        ] {
            let regions = point([50.0, 50.0], target);
            let record = edit(&bench, method, &regions, "").record();
            assert_eq!(record.warnings(), ["region.no_motion"], "{record}");
            assert!(record.to_string().contains(reason), "{record}");
            assert!(record.get("tracks").is_none());
            let pixels = |name| image::open(bench.path(name)).unwrap().into_rgba8();
            assert!(pixels("in.png") == pixels("out.png"));
        }
    }
}

#[test]
fn regions_give_their_handle_and_target() {
    let bench = Bench::new();
    let rect = r#""region": {"rect": [20, 20, 60, 60]}"#;
    let regions = [
        format!(r#"{{"type": "translation", {rect}, "handle": [40, 40], "target": [60, 50]}}"#),
        format!(r#"{{"type": "rotation", {rect}, "center": [40, 40], "angle": 40}}"#),
        format!(r#"{{"type": "scale", {rect}, "center": [40, 40], "factor": 1.4}}"#),
    ];
    let record = edit(&bench, METHODS[0], &regions.join(","), "").record();
    let starts: Vec<f64> = record["tracks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|track| track["points"][0][0].as_f64().unwrap())
        .collect();
    assert!(
        (starts[0] - 40.0).abs() < 3.2,
        "the handle of the file: {starts:?}"
    );
    assert!(
        starts[1..].iter().all(|x| *x < 25.0),
        "a corner of the area: {starts:?}"
    );
}

#[test]
fn a_frozen_handle_is_refused() {
    let bench = Bench::new();
    for method in METHODS {
        let regions = point([20.0, 20.0], [60.0, 60.0]);
        let editable = r#""editable": {"rect": [40, 40, 100, 100]},"#;
        let ended = edit(&bench, method, &regions, editable).status(2).run();
        assert_eq!(ended.kind(), "region.method");
        ended.stderr_has_all(&[
            "the handle lies where the picture may not change",
            "hint: enlarge `editable` until it contains the handle",
        ]);
        assert!(!bench.path("out.png").exists());
    }
}

#[test]
fn settings_of_other_methods_are_refused() {
    let bench = Bench::new();
    let regions = point([20.0, 20.0], [60.0, 60.0]);
    let run = edit(&bench, METHODS[0], &regions, "").arg("--tracks=3");
    let ended = run.status(2).run();
    ended.stderr_has("is a setting of `good-drag`, and the method is `drag-diffusion`");
    // It does not optimise the latent, whose cells the setting resets.
    let run = edit(&bench, "drag-noise", &regions, "").arg("--hard-background=false");
    run.status(2)
        .run()
        .stderr_has("and the method is `drag-noise`");
}

/// An edit in which the optimised bottleneck would not be used at any step.
#[test]
fn a_bottleneck_that_is_never_injected_is_refused() {
    let bench = Bench::new();
    let regions = point([20.0, 20.0], [60.0, 60.0]);
    picture(&bench, 100, 100);
    let drag = format!(r#"{{"version": 1, "regions": [{regions}]}}"#);
    bench.write("drag.json", drag);
    let run = bench
        .dragnext(["edit", "in.png", "--drag", "drag.json", "-o", "out.png"])
        .args(["--method", "drag-noise", "--strength", "0.04", "--json"])
        .arg("--model")
        .arg(tiny::model());
    let ended = run.any_stdout().any_stderr().status(2).run();
    assert_eq!(ended.kind(), "setting", "{ended}");
    ended.stderr_has_all(&["free-steps: `10` leaves no step", "the edit has 2 steps"]);
    assert!(!bench.path("out.png").exists());
}

#[test]
fn a_strip_shows_the_tracks() {
    let bench = Bench::new();
    let regions = point([20.0, 20.0], [70.0, 60.0]);
    let run = edit(&bench, METHODS[1], &regions, "");
    run.args(["--strip", "strip.png"]).run();
    assert!(bench.path("strip.png").exists());
}
