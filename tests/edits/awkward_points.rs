//! Points that are easy to get wrong, with every method: at the border, next to each other, very many, on their targets, and in a frozen area.

use dragnext::method::Method;

use crate::bench::fixture::path as fixture;
use crate::bench::tiny::model;
use crate::bench::{Bench, Ended};
use crate::command::bench;

/// Runs a very short edit of `in.png`, which is 96 pixels wide and high, with these points (handle x and y, target x and y).
fn edit(bench: &Bench, method: Method, editable: &str, points: &[[f64; 4]], status: i32) -> Ended {
    let regions: Vec<String> = points
        .iter()
        .map(|[hx, hy, tx, ty]| {
            format!(r#"{{"type": "point", "handle": [{hx}, {hy}], "target": [{tx}, {ty}]}}"#)
        })
        .collect();
    bench.write(
        "drag.json",
        format!(
            r#"{{"version": 1, "prompt": "a cat", {editable} "regions": [{}]}}"#,
            regions.join(", ")
        ),
    );
    let short: &[&str] = match method {
        Method::Pbsi => &["--iterations", "1", "--timesteps", "1"],
        Method::DragDiffusion | Method::FreeDrag => &["--iterations", "1"],
        Method::DragNoise => &["--iterations", "1", "--free-steps", "0", "--lr", "1"],
        Method::ClipDrag => &["--iterations", "1", "--clip"],
        Method::GoodDrag => &["--iterations", "1", "--tracks", "1", "--timesteps", "1"],
        Method::RegionDrag | Method::FastDrag | Method::DragonDiffusion | Method::DiffEditor => &[],
    };
    let clip = (method == Method::ClipDrag).then(|| fixture("clip/model"));
    bench
        .dragnext(["edit", "in.png", "--drag", "drag.json", "-o", "out.png"])
        .args(["--overwrite", "--json", "--no-lora", "--no-metadata"])
        .args(["--steps", "50", "--strength", "0.04", "--method"])
        .arg(method.name())
        .args(short)
        .args(clip)
        .arg("--model")
        .arg(model())
        .status(status)
        .any_stdout()
        .any_stderr()
        .run()
}

fn pixels(bench: &Bench, name: &str) -> Vec<u8> {
    let picture = image::open(bench.path(name)).unwrap();
    picture.into_rgba8().into_raw()
}

#[test]
fn points_at_the_border_next_to_each_other_and_very_many_are_dragged() {
    let bench = bench();
    let many: Vec<[f64; 4]> = (0..100)
        .map(|index| {
            let (x, y) = (f64::from(index % 10), f64::from(index / 10));
            [9.0 * x + 4.0, 9.0 * y + 4.0, 9.0 * x + 11.0, 9.0 * y + 8.0]
        })
        .collect();
    for method in Method::ALL {
        for points in [
            &[[0.0, 0.0, 20.0, 12.0], [96.0, 96.0, 70.0, 80.0]][..],
            &[[40.0, 40.0, 60.0, 45.0], [41.0, 40.0, 61.0, 45.0]],
            &many,
        ] {
            let ended = edit(&bench, *method, r#""editable": "everything","#, points, 0);
            let count = points.len();
            assert_eq!(ended.record["status"], "done", "{count}: {ended}");
            assert_eq!(ended.record["regions"].as_array().unwrap().len(), count);
            let changed = pixels(&bench, "in.png") != pixels(&bench, "out.png");
            assert!(changed, "{} with {count} points", method.name());
        }
    }
}

/// The picture comes back, with a warning.
#[test]
fn a_handle_on_its_target_is_left_out() {
    let bench = bench();
    for method in Method::ALL {
        let ended = edit(&bench, *method, "", &[[40.0, 40.0, 40.0, 40.0]], 0);
        assert_eq!(ended.warnings(), ["region.no_motion"], "{ended}");
        assert!(pixels(&bench, "in.png") == pixels(&bench, "out.png"));
    }
}

/// Methods that drag the point itself refuse it; those that move a disc around it take its content from there.
#[test]
fn a_frozen_handle_is_refused_where_nothing_can_be_dragged() {
    let bench = bench();
    for method in Method::ALL {
        let moves_regions = [Method::Pbsi, Method::RegionDrag].contains(method);
        let status = if moves_regions { 0 } else { 2 };
        let editable = r#""editable": {"rect": [56, 0, 96, 96]},"#;
        let ended = edit(
            &bench,
            *method,
            editable,
            &[[30.0, 40.0, 70.0, 45.0]],
            status,
        );
        if moves_regions {
            continue;
        }
        assert_eq!(ended.kind(), "region.method", "{ended}");
        ended.stderr_has_all(&[
            "drag.json: /regions/0/handle: the handle lies",
            "hint: enlarge `editable`",
        ]);
    }
}
