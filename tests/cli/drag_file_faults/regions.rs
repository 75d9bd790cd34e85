//! Faults of regions, points and movements.

use super::{MOVE, Scene, file};
use crate::bench::tiny::model;

/// All four edges belong to the image.
#[test]
fn points_outside() {
    let scene = Scene::new();
    for (target, outside) in [
        ("[128, 96]", false),
        ("[128.001, 45]", true),
        ("[70, 96.001]", true),
        ("[-0.001, 45]", true),
        ("[-0.0, 0]", false),
        ("[0, 96]", false),
    ] {
        // A large region, so that none of these drags it out of the image.
        let region = MOVE
            .replace("[20, 20, 60, 60]", "[1, 1, 127, 95]")
            .replace("[70, 45]", target);
        if outside {
            let (faults, stderr) = scene.faults(file(&region));
            assert_eq!(
                faults,
                ["instruction.point_outside /regions/0/target 2:95"],
                "{target}"
            );
            assert!(
                stderr.contains("lies outside the image (128 x 96)"),
                "{stderr}"
            );
        } else {
            scene.warnings(file(&region));
        }
    }
}

#[test]
fn regions_that_vanish() {
    let region = MOVE.replace("[20, 20, 60, 60]", "[39, 39, 41, 41]");
    let (faults, stderr) = Scene::new().faults(file(&region));
    assert_eq!(faults, ["region.vanishes /regions/0/region 2:36"]);
    assert!(
        stderr.contains("less than one cell of the latent")
            && stderr.contains("at least 8 x 8 pixels, which is 4 x 4 pixels"),
        "{stderr}"
    );
}

#[test]
fn polygons() {
    let scene = Scene::new();
    let with = |corners: &str| {
        file(&MOVE.replace(
            "\"rect\": [20, 20, 60, 60]",
            &format!("\"polygon\": {corners}"),
        ))
    };
    for (corners, message) in [
        (
            "[[20, 20], [60, 60]]",
            "a polygon needs at least 3 points, found 2",
        ),
        (
            "[[20, 20], [60, 60], [40, 40]]",
            "the polygon's points lie on one line",
        ),
        (
            "[[20, 20], [20, 20], [20, 20]]",
            "the polygon's points lie on one line",
        ),
    ] {
        let (faults, stderr) = scene.faults(with(corners));
        assert_eq!(
            faults,
            ["instruction.range /regions/0/region/polygon 2:49"],
            "{corners}"
        );
        assert!(stderr.contains(message), "{stderr}");
    }
    let (kinds, _) = scene.warnings(with("[[20, 20], [60, 60], [60, 20], [20, 60]]"));
    assert!(kinds.is_empty(), "an outline may cross itself: {kinds:?}");
}

#[test]
fn rotations_without_an_angle() {
    let scene = Scene::new();
    let with = |movement: &str| {
        file(&format!(
            "\"type\": \"rotation\", \"region\": {{ \"rect\": [20, 20, 60, 60] }}, {movement}"
        ))
    };
    for (movement, place) in [
        (
            "\"handle\": [50, 40], \"target\": [40, 50]",
            "/regions/0 2:1",
        ),
        (
            "\"center\": [40, 40], \"handle\": [40, 40], \"target\": [40, 50]",
            "/regions/0/handle 2:93",
        ),
        (
            "\"center\": [40, 40], \"handle\": [50, 40], \"target\": [40, 40.3]",
            "/regions/0/target 2:113",
        ),
    ] {
        let (faults, stderr) = scene.faults(with(movement));
        assert_eq!(
            faults,
            [format!("region.rotation_centre {place}")],
            "{movement}: {stderr}"
        );
    }
    scene.warnings(with("\"center\": [40, 40], \"angle\": 30"));
}

/// When nothing moves, the output has the input's pixels.
#[test]
fn no_motion() {
    let scene = Scene::new();
    scene
        .0
        .write("drag.json", file(&MOVE.replace("[70, 45]", "[40, 40]")));
    let record = scene
        .dragnext(&["edit", "in.png", "--drag", "drag.json", "--json", "--model"])
        .arg(model())
        .record();
    assert_eq!(record["status"], "done");
    assert_eq!(record.warnings()[0], "region.no_motion");
    let open = |name: &str| image::open(scene.path(name)).unwrap();
    assert_eq!(open("in.edited.png"), open("in.png"));
}

#[test]
fn no_regions_and_too_many() {
    let scene = Scene::new();
    let many = |count: usize| {
        format!(
            "{{ \"version\": 1, \"regions\": [{}] }}",
            vec![format!("{{ {MOVE} }}"); count].join(",")
        )
    };
    assert_eq!(
        scene.faults(many(0)).0,
        ["instruction.no_regions /regions 1:28"]
    );
    let (faults, stderr) = scene.faults(many(1001));
    assert_eq!(faults, ["instruction.too_large /regions 1:28"]);
    assert!(
        stderr.contains("there are 1001 regions; at most 128 are allowed"),
        "{stderr}"
    );
    let (faults, stderr) = scene.faults(many(65));
    assert_eq!(faults, ["instruction.too_large /regions 1:28"]);
    for expected in [
        "there are 65 regions with an area; at most 64 are allowed",
        "hint: join areas that move alike; up to 128 regions may be of type `point`",
    ] {
        assert!(stderr.contains(expected), "{stderr}");
    }
    assert_eq!(scene.validate(many(64)).record["count"], 64);
    let point = r#"{ "type": "point", "handle": [20, 20], "target": [50, 40] }"#;
    let points = |count: usize| {
        format!(
            r#"{{ "version": 1, "regions": [{}] }}"#,
            vec![point; count].join(",")
        )
    };
    assert_eq!(scene.validate(points(128)).record["count"], 128);
    let (faults, stderr) = scene.faults(points(129));
    assert_eq!(faults, ["instruction.too_large /regions 1:28"]);
    let hint = "hint: at most 64 of them may have an area, the others are points";
    assert!(stderr.contains(hint), "{stderr}");
    let corners: Vec<String> = (0..10_001)
        .map(|x| format!("[{}, {}]", x % 100, x % 90))
        .collect();
    let polygon = MOVE.replace(
        "\"rect\": [20, 20, 60, 60]",
        &format!("\"polygon\": [{}]", corners.join(",")),
    );
    let (faults, stderr) = scene.faults(file(&polygon));
    assert_eq!(
        faults,
        ["instruction.too_large /regions/0/region/polygon 2:49"]
    );
    assert!(stderr.contains("more than 10000 points"), "{stderr}");
}

#[test]
fn drags_onto_each_other() {
    let other = MOVE.replace("[70, 45]", "[60, 60]");
    let content = format!(
        "{{ \"version\": 1, \"regions\": [{{ \"id\": \"a\", {MOVE} }}, {{ \"id\": \"b\", {other} }}] }}"
    );
    let (kinds, messages) = Scene::new().warnings(content);
    assert_eq!(kinds, ["region.overlap"]);
    assert!(
        messages.contains("regions `a` and `b` are dragged onto each other"),
        "{messages}"
    );
}
