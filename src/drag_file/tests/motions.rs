//! The motions of regions: scales, affine maps, turns on the way, and anchors.

use super::*;

/// One region of each form, without `id`, as it is written.
const WRITTEN: [&str; 6] = [
    r#""type":"translation","region":{"rect":[0.0,0.0,9.0,9.0]},"handle":[1.0,1.0],"target":[5.0,1.0],"angle":30.0"#,
    r#""type":"translation","region":{"rect":[0.0,0.0,9.0,9.0]},"handle":[1.0,1.0],"target":[1.0,1.0],"angle":-3600.0"#,
    r#""type":"deformation","region":{"rect":[0.0,0.0,9.0,9.0]},"handle":[8.0,4.0],"target":[5.0,1.0],"anchor":[1.0,4.0]"#,
    r#""type":"scale","region":{"rect":[0.0,0.0,9.0,9.0]},"center":[4.0,-4.0],"factor":1.4"#,
    r#""type":"scale","region":{"rect":[0.0,0.0,9.0,9.0]},"center":[1.0,1.0],"handle":[5.0,4.0],"target":[4.0,4.0]"#,
    r#""type":"affine","region":{"rect":[0.0,0.0,9.0,9.0]},"handles":[[0.0,0.0],[9.0,0.0],[0.0,9.0]],"targets":[[9.0,0.0],[9.0,9.0],[0.0,0.0]]"#,
];

/// The keys of a region with a shape, and others.
fn shaped(kind: &str, rest: &str) -> String {
    region(&format!(
        "\"type\": \"{kind}\", \"region\": {{\"rect\": [0, 0, 9, 9]}}, {rest}"
    ))
}

fn affine(handles: &str, targets: &str) -> String {
    shaped(
        "affine",
        &format!("\"handles\": {handles}, \"targets\": {targets}"),
    )
}

/// Checks that a file has one fault with this kind, place, message and hint.
fn assert_fault(text: &str, place: &str, message: &str, hint: Option<&str>) {
    let faults = faults(text);
    let [fault] = &*faults else {
        panic!("one fault in {text}, found {faults:?}")
    };
    assert_eq!(format!("{} {}", fault.kind, fault.pointer), place, "{text}");
    assert_eq!(fault.message, message, "{text}");
    assert_eq!(fault.hint.as_deref(), hint, "{text}");
}

#[test]
fn every_motion_is_written_as_it_was_read() {
    for written in WRITTEN {
        let drag = DragFile::parse(region(written).as_bytes())
            .unwrap_or_else(|faults| panic!("{written}: {faults:?}"));
        let again = serde_json::to_string(&drag.regions[0]).expect("it is written");
        assert_eq!(again, format!("{{\"id\":\"region-1\",{written}}}"));
    }
}

#[test]
fn growth_is_the_factor_or_the_ratio_of_the_distances_from_the_centre() {
    let factor = |index: usize| {
        let drag = DragFile::parse(region(WRITTEN[index]).as_bytes()).expect("a valid file");
        match &drag.regions[0].drag {
            Drag::Scale { center, growth, .. } => growth.factor(*center),
            other => panic!("a scale, found {other:?}"),
        }
    };
    assert_eq!(factor(3), 1.4);
    assert!((factor(4) - 18.0_f64.sqrt() / 5.0).abs() < 1e-12);
}

#[test]
fn an_affine_region_has_three_pairs() {
    let drag = DragFile::parse(region(WRITTEN[5]).as_bytes()).expect("a valid file");
    let drag = &drag.regions[0].drag;
    let pair = |handle: [f64; 2], target: [f64; 2]| PointPair {
        handle: Point::new(handle[0], handle[1]),
        target: Point::new(target[0], target[1]),
    };
    assert_eq!(
        drag.pairs(),
        [
            pair([0.0, 0.0], [9.0, 0.0]),
            pair([9.0, 0.0], [9.0, 9.0]),
            pair([0.0, 9.0], [0.0, 0.0])
        ]
    );
    assert_eq!(
        (drag.points(), drag.center(), drag.anchor()),
        (None, None, None)
    );
}

#[test]
fn a_type_rejects_the_keys_of_others() {
    let points = r#""handle": [1, 1], "target": [5, 1]"#;
    let triangles = r#""handles": [[0, 0], [9, 0], [0, 9]], "targets": [[0, 0], [9, 0], [0, 9]]"#;
    for (kind, own, key, value, message, hint) in [
        (
            "deformation",
            points,
            "angle",
            "4",
            "a deformation has no `angle`",
            "only a `rotation` and a `translation` have an angle",
        ),
        (
            "translation",
            points,
            "center",
            "[4, 4]",
            "a translation has no `center`",
            "only a `rotation` and a `scale` have a centre",
        ),
        (
            "translation",
            points,
            "anchor",
            "[4, 4]",
            "a translation has no `anchor`",
            "only a `deformation` has an anchor",
        ),
        (
            "translation",
            points,
            "handles",
            "[[0, 0], [9, 0], [0, 9]]",
            "a translation has no `handles`",
            "only an `affine` region has three handles and targets",
        ),
        (
            "rotation",
            r#""center": [4, 4], "angle": 9"#,
            "factor",
            "2",
            "a rotation has no `factor`",
            "only a `scale` has a factor",
        ),
        (
            "scale",
            r#""center": [4, 4], "factor": 2"#,
            "angle",
            "9",
            "a scale has no `angle`",
            "only a `rotation` and a `translation` have an angle",
        ),
        (
            "affine",
            triangles,
            "handle",
            "[1, 1]",
            "an affine has no `handle`",
            "an `affine` region has three `handles` and three `targets`",
        ),
    ] {
        assert_fault(
            &shaped(kind, &format!("{own}, \"{key}\": {value}")),
            &format!("instruction.conflict /regions/0/{key}"),
            message,
            Some(hint),
        );
    }
}

#[test]
fn a_scale_has_a_centre_and_a_factor_or_two_points() {
    for (rest, place, message, hint) in [
        (
            r#""factor": 2"#,
            "instruction.missing_field /regions/0",
            "`center` is missing",
            None,
        ),
        (
            r#""center": [4, 4]"#,
            "instruction.missing_field /regions/0",
            "a scale needs a `handle` and a `target`, or a `factor`",
            None,
        ),
        (
            r#""center": [4, 4], "target": [5, 1]"#,
            "instruction.missing_field /regions/0",
            "`handle` is missing",
            None,
        ),
        (
            r#""center": [4, 4], "factor": 2, "handle": [1, 1]"#,
            "instruction.conflict /regions/0/factor",
            "a scale has either a `factor` or a `handle` and a `target`",
            None,
        ),
        (
            r#""center": [4, 4], "factor": 1e999"#,
            "instruction.range /regions/0/factor",
            "`factor` must be 0.05 to 20, found `1e999`",
            None,
        ),
        (
            r#""center": [4, 4], "factor": -1"#,
            "instruction.range /regions/0/factor",
            "`factor` must be 0.05 to 20, found `-1`",
            None,
        ),
        (
            r#""center": [4, 4], "factor": "2""#,
            "instruction.type /regions/0/factor",
            "expected a number, found a string",
            None,
        ),
        (
            r#""center": [4, 4], "handle": [4.3, 4], "target": [5, 1]"#,
            "instruction.range /regions/0/handle",
            "the handle lies on the centre, so the factor is not defined",
            Some("move it away from `center`, or give a `factor`"),
        ),
        (
            r#""center": [4, 4], "handle": [5, 4], "target": [4, 4]"#,
            "instruction.range /regions/0/target",
            "the region would scale by 0.000; it must be 0.05 to 20",
            Some("the factor is the target's distance from the centre over the handle's"),
        ),
    ] {
        assert_fault(&shaped("scale", rest), place, message, hint);
    }
}

#[test]
fn three_handles_and_targets_have_to_describe_an_affine_map() {
    let (handles, targets) = ("[[0, 0], [9, 0], [0, 9]]", "[[9, 0], [9, 9], [0, 0]]");
    for (handles, targets, place, message, hint) in [
        (
            "[[0, 0], [4.5, 4.5], [9, 9]]",
            targets,
            "instruction.range /regions/0/handles",
            "the handles lie on one line",
            Some("choose three points around the region, such as three of its corners"),
        ),
        (
            handles,
            "[[1, 1], [1, 1], [1, 1]]",
            "instruction.range /regions/0/targets",
            "the targets lie on one line",
            Some("choose three points that span an area, or the region would collapse"),
        ),
        (
            handles,
            "[[0, 0], [0, 9], [9, 0]]",
            "instruction.range /regions/0/targets",
            "the targets mirror the region",
            Some(
                "handles and targets go around in the same direction, and each handle goes to the target at its place",
            ),
        ),
        (
            handles,
            "[[0, 0], [225, 0], [0, 9]]",
            "instruction.range /regions/0/targets",
            "the region would stretch by 25.000; it must be 0.05 to 20",
            Some("keep the targets' triangle closer to the handles' in size and shape"),
        ),
        (
            handles,
            "[[0, 0], [90, 0], [0, 0.36]]",
            "instruction.range /regions/0/targets",
            "the region would stretch by 0.040; it must be 0.05 to 20",
            Some("keep the targets' triangle closer to the handles' in size and shape"),
        ),
        (
            "[[0, 0], [9, 0]]",
            targets,
            "instruction.type /regions/0/handles",
            "expected [[x, y], [x, y], [x, y]], found a list of 2",
            None,
        ),
        (
            handles,
            "[9, 0]",
            "instruction.type /regions/0/targets",
            "expected [[x, y], [x, y], [x, y]], found a list of 2",
            None,
        ),
        (
            handles,
            "[[9, 0], [9, 9], [0, \"0\"]]",
            "instruction.type /regions/0/targets/2/1",
            "expected a number, found a string",
            None,
        ),
    ] {
        assert_fault(&affine(handles, targets), place, message, hint);
    }
}

#[test]
fn an_anchor_lies_away_from_the_handle_and_behind_the_target() {
    let with = |target: &str, anchor: &str| {
        let rest = format!("\"handle\": [8, 4], \"target\": {target}, \"anchor\": {anchor}");
        shaped("deformation", &rest)
    };
    for target in ["[30, 4]", "[1.5, 9]", "[8, 4]"] {
        assert!(
            DragFile::parse(with(target, "[1, 4]").as_bytes()).is_ok(),
            "{target}"
        );
    }
    assert_fault(
        &with("[5, 4]", "[8.3, 4]"),
        "instruction.range /regions/0/anchor",
        "the anchor lies on the handle, so nothing is between them to stretch",
        Some("the anchor is the point that stays, away from the handle"),
    );
    for target in ["[1, 4]", "[1.3, 9]", "[-5, 4]"] {
        assert_fault(
            &with(target, "[1, 4]"),
            "instruction.range /regions/0/target",
            "the target lies at the anchor or beyond it, so the region would fold",
            Some(
                "move the target or the anchor, so that the target stays on the handle's side of the anchor",
            ),
        );
    }
}

#[test]
fn misspelled_keys_and_types_are_suggested() {
    for (from, to, hint) in [
        ("\"factor\"", "\"facter\"", "did you mean `factor`?"),
        ("\"scale\"", "\"scael\"", "did you mean `scale`?"),
    ] {
        let faults = faults(region(&WRITTEN[3].replace(from, to)));
        let hints: Vec<_> = faults
            .iter()
            .filter_map(|fault| fault.hint.as_deref())
            .collect();
        assert!(hints.contains(&hint), "{to}: {faults:?}");
    }
    for (from, to, hint) in [
        ("\"handles\"", "\"handels\"", "did you mean `handles`?"),
        ("\"affine\"", "\"afine\"", "did you mean `affine`?"),
    ] {
        let faults = faults(region(&WRITTEN[5].replace(from, to)));
        let hints: Vec<_> = faults
            .iter()
            .filter_map(|fault| fault.hint.as_deref())
            .collect();
        assert!(hints.contains(&hint), "{to}: {faults:?}");
    }
}

#[test]
fn values_are_checked_even_without_a_type() {
    let text = region(
        r#""region": {"rect": [0, 0, 9, 9]}, "anchor": 3, "factor": "x", "handles": [[0, 0]]"#,
    );
    assert_eq!(
        found(text),
        [
            "instruction.missing_field /regions/0",
            "instruction.type /regions/0/anchor",
            "instruction.type /regions/0/factor",
            "instruction.type /regions/0/handles"
        ]
    );
}
