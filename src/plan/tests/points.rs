//! Regions of the type `point`.

use super::*;

fn point(handle: [f64; 2], target: [f64; 2]) -> String {
    format!("{{\"type\": \"point\", \"handle\": {handle:?}, \"target\": {target:?}}}")
}

#[test]
fn a_point_is_the_translation_of_a_disc_of_four_grid_cells() {
    let plan = plan(&[point([60.0, 60.0], [90.0, 70.0])]);
    // The default method moves regions.
    assert_eq!(warnings(&plan), [WarningKind::RegionPoint]);
    let region = &plan.regions[0];
    assert_eq!(
        (region.kind, region.motion),
        (RegionKind::Point, Motion::Shift { dx: 30.0, dy: 10.0 })
    );
    assert_eq!(region.points.handle, Point::new(60.0, 60.0));
    assert_eq!(region.points.target, Point::new(90.0, 70.0));
    // A radius of four cells is eight working pixels.
    assert_eq!(
        region.mask.bounds(),
        Some((Point::new(52.0, 52.0), Point::new(68.0, 68.0)))
    );
    let area = std::f64::consts::PI * 64.0;
    assert!((region.mask.count() as f64 - area).abs() < 8.0);
    let swept = plan.editable_source.expect("a swept area");
    let at = |x, y| swept.at(Point::new(x, y));
    assert!(at(60.0, 60.0) && at(75.0, 65.0) && at(90.0, 70.0) && !at(150.0, 150.0));
}

#[test]
fn the_disc_is_a_circle_around_the_unrounded_handle() {
    let image = Size::new(513, 771);
    let plan = plan_in(
        Path::new(""),
        "",
        &[point([200.3, 300.7], [220.0, 310.0])],
        image,
    )
    .expect("a valid plan");
    let region = &plan.regions[0];
    let handle = plan.frame.to_working(Point::new(200.3, 300.7));
    assert_eq!(region.points.handle, handle);
    for (pixel, inside) in region.mask.size().centres().zip(&region.mask.data) {
        assert_eq!(*inside, pixel.distance(handle) < 8.0, "{pixel}");
    }
}

#[test]
fn a_point_at_the_edge_of_the_image_is_not_too_small() {
    for (handle, target) in [
        ([0.0, 0.0], [30.0, 30.0]),
        ([256.0, 256.0], [200.0, 256.0]),
        ([128.0, 0.0], [128.0, 250.0]),
    ] {
        let plan = plan(&[point(handle, target)]);
        assert!(plan.regions[0].mask.count() < 150, "a part of the disc");
        assert_eq!(warnings(&plan), [WarningKind::RegionPoint]);
    }
}

#[test]
fn a_method_for_points_drags_points_without_a_warning() {
    let drag = drag("", &[point([60.0, 60.0], [90.0, 70.0])]);
    let mut choice = Choice::of(Overrides::from([("window", "full")]));
    choice.method = Some(Method::DragDiffusion);
    let settings = Settings::resolve(&choice).expect("valid settings");
    let size = Size::new(256, 256);
    let plan = Plan::new(&drag, Path::new("drag.json"), size, &settings, 256);
    assert_eq!(warnings(&plan.expect("a valid plan")), []);
}

#[test]
fn points_that_cannot_be_dragged_are_faults() {
    for (region, expected) in [
        (
            point([-1.0, 60.0], [60.0, 60.0]),
            "instruction.point_outside /regions/0/handle",
        ),
        (
            point([60.0, 60.0], [60.0, 257.0]),
            "instruction.point_outside /regions/0/target",
        ),
        (
            point([0.0, 60.0], [256.0, 60.0]),
            "region.leaves /regions/0/target",
        ),
    ] {
        assert_eq!(
            found("", std::slice::from_ref(&region)),
            [expected],
            "{region}"
        );
    }
    let still = plan(&[point([60.0, 60.0], [60.2, 60.0])]);
    assert_eq!(warnings(&still), [WarningKind::RegionNoMotion]);
}
