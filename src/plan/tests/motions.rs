//! Regions that scale, are mapped affinely, turn on their way, or stretch from an anchor.

use super::*;
use crate::geometry::Linear;

const BOX: &str = "\"rect\": [40, 40, 80, 80]";

fn scale(movement: &str) -> String {
    region("scale", BOX, movement)
}

fn affine(handles: &str, targets: &str) -> String {
    let movement = format!("\"handles\": {handles}, \"targets\": {targets}");
    region("affine", BOX, &movement)
}

/// Returns the only region of a plan for a picture of twice the working size.
fn at_half(text: String) -> Region {
    let plan = Plan::new(
        &drag("", &[text]),
        Path::new("drag.json"),
        Size::new(512, 512),
        &whole_picture(0),
        256,
    );
    plan.expect("a valid plan").regions.remove(0)
}

fn close(a: Point, x: f64, y: f64) -> bool {
    a.distance(Point::new(x, y)) < 1e-9
}

#[test]
fn motions_are_planned_in_working_coordinates() {
    let turning = at_half(box_from("[60, 60]", "[80, 50]").replace(
        "\"target\": [80, 50]",
        "\"target\": [80, 50], \"angle\": 90",
    ));
    let Motion::Affine {
        pivot,
        angle,
        stretch,
    } = turning.motion
    else {
        panic!("{:?}", turning.motion)
    };
    assert!(close(pivot.handle, 30.0, 30.0) && close(pivot.target, 40.0, 25.0));
    assert_eq!((angle.to_degrees(), stretch), (90.0, Linear::IDENTITY));
    assert!(close(
        turning.forward(1.0, Point::new(35.0, 30.0)),
        40.0,
        20.0
    ));

    let grown = at_half(scale("\"center\": [100, 60], \"factor\": 1.5"));
    let center = Point::new(50.0, 30.0);
    assert_eq!(
        grown.motion,
        Motion::Scale {
            center,
            factor: 1.5
        }
    );
    // The furthest pixel is a corner on the left.
    assert!(
        (grown.points.handle.x - 20.5).abs() < 1e-9,
        "{:?}",
        grown.points
    );
    let by_points = at_half(scale(
        "\"center\": [100, 60], \"handle\": [60, 60], \"target\": [100, 40]",
    ));
    assert_eq!(
        by_points.motion,
        Motion::Scale {
            center,
            factor: 0.5
        }
    );
    assert!(close(by_points.points.handle, 30.0, 30.0));
    assert!(
        close(by_points.points.target, 40.0, 30.0),
        "on the handle's ray"
    );

    let mapped = at_half(affine(
        "[[40, 40], [80, 40], [40, 80]]",
        "[[60, 60], [100, 50], [70, 120]]",
    ));
    for (from, to) in [
        ([20.0, 20.0], [30.0, 30.0]),
        ([40.0, 20.0], [50.0, 25.0]),
        ([20.0, 40.0], [35.0, 60.0]),
    ] {
        let found = mapped.forward(1.0, Point::new(from[0], from[1]));
        assert!(close(found, to[0], to[1]), "{found}");
    }
    assert!(close(mapped.points.handle, 20.0, 20.0) && close(mapped.points.target, 30.0, 30.0));

    let stretched = at_half(region(
        "deformation",
        BOX,
        "\"handle\": [70, 60], \"target\": [90, 60], \"anchor\": [50, 60]",
    ));
    assert!(close(
        stretched.forward(1.0, Point::new(30.0, 25.0)),
        35.0,
        25.0
    ));
    assert!(!stretched.kind.vacates() && mapped.kind.vacates() && grown.kind.vacates());
}

#[test]
fn motions_that_do_not_fit_the_image_are_faults() {
    for (region, expected) in [
        (
            scale("\"center\": [1e6, 60], \"factor\": 2"),
            "instruction.range /regions/0/center",
        ),
        (
            scale("\"center\": [-300, 60], \"factor\": 3"),
            "region.leaves /regions/0/factor",
        ),
        (
            scale("\"center\": [59, 60], \"factor\": 0.05")
                .replace("[40, 40, 80, 80]", "[50, 50, 70, 70]"),
            "region.vanishes /regions/0/factor",
        ),
        (
            scale("\"center\": [60, 60], \"handle\": [90, 60], \"target\": [100, 60]"),
            "region.handle_outside /regions/0/handle",
        ),
        (
            affine(
                "[[40, 40], [80, 40], [40, 80]]",
                "[[60, 60], [100, 60], [60, 300]]",
            ),
            "instruction.point_outside /regions/0/targets/2",
        ),
        (
            affine(
                "[[0, 0], [1, 0], [0, 200]]",
                "[[200, 0], [210, 0], [200, 200]]",
            ),
            "region.leaves /regions/0/targets",
        ),
    ] {
        assert_eq!(
            found("", std::slice::from_ref(&region)),
            [expected],
            "{region}"
        );
    }
    let around = affine(
        "[[30, 30], [90, 30], [30, 90]]",
        "[[60, 30], [120, 30], [60, 90]]",
    );
    assert!(
        plan(&[around]).warnings.is_empty(),
        "handles may lie around the region"
    );
    let aside = scale("\"center\": [60, 60], \"handle\": [80, 60], \"target\": [60, 100]");
    assert_eq!(
        warnings(&plan(&[aside])),
        [WarningKind::RegionScaleDirection]
    );
}

#[test]
fn motions_by_less_than_a_pixel_are_left_out() {
    for text in [
        scale("\"center\": [60, 60], \"factor\": 1.02"),
        affine(
            "[[40, 40], [80, 40], [40, 80]]",
            "[[40.3, 40], [80.3, 40], [40.3, 80]]",
        ),
        box_from("[60, 60]", "[60, 60.5]").replace("60.5]", "60.5], \"angle\": 0.01"),
    ] {
        let plan = plan(std::slice::from_ref(&text));
        assert_eq!(warnings(&plan), [WarningKind::RegionNoMotion], "{text}");
        assert!(
            plan.warnings[0]
                .message
                .contains("moves by less than a pixel")
        );
    }
    let turn = box_from("[60, 60]", "[60, 60]").replace("\"target\"", "\"angle\": 5, \"target\"");
    assert_eq!(plan(&[turn]).regions.len(), 1, "a turn in place");
}

/// Following it would take minutes.
#[test]
fn a_draft_has_no_region_that_turns_on_its_way_to_a_point_far_outside() {
    let far = "\"handle\": [60, 60], \"target\": [1e6, 60], \"angle\": 3600";
    let file = drag("", &[region("translation", BOX, far)]);
    let Draft { plan, faults } = Plan::draft(
        &file,
        Path::new("drag.json"),
        SIZE,
        &Settings::default(),
        256,
        Amount::WHOLE,
    );
    assert_eq!(faults[0].kind, ErrorKind::InstructionPointOutside);
    assert!(plan.regions.is_empty() && plan.still.is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    #[test]
    fn planning_any_motion_does_not_panic(
        numbers in prop::collection::vec(prop_oneof![-1e6..1e6_f64, -50.0..400.0_f64], 12), angle in -3600.0..3600.0_f64, factor in 0.05..20.0_f64,
        width in 64..700_usize, height in 64..700_usize, amount in 0.0..4.0_f64
    ) {
        let amount = Amount::series(&[amount]).expect("within bounds")[0];
        let n = |index: usize| numbers[index];
        let point = |index: usize| format!("[{}, {}]", n(index), n(index + 1));
        let points = format!("\"handle\": {}, \"target\": {}", point(0), point(2));
        let shape = "\"rect\": [10, 10, 60, 50]";
        for text in [
            region("translation", shape, &format!("{points}, \"angle\": {angle}")),
            region("deformation", shape, &format!("{points}, \"anchor\": {}", point(4))),
            region("scale", shape, &format!("\"center\": {}, \"factor\": {factor}", point(0))),
            region("scale", shape, &format!("\"center\": {}, {points}", point(4))),
            region("affine", shape, &format!("\"handles\": [{}, {}, {}], \"targets\": [{}, {}, {}]", point(0), point(2), point(4), point(6), point(8), point(10))),
        ] {
            let file = format!("{{\"version\": 1, \"regions\": [{text}]}}");
            let Ok(drag) = DragFile::parse(file.as_bytes()) else { continue };
            let Draft { plan, .. } = Plan::draft(&drag, Path::new(""), Size::new(width, height), &Settings::default(), 128, amount);
            prop_assert!(plan.blend().expect("a part").iter().all(|weight| weight.is_finite()));
        }
    }
}
