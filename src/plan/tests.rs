mod amounts;
mod masks;
mod motions;
mod points;

use super::*;
use crate::error::ErrorKind;
use crate::geometry::{Point, PointPair};
use crate::method::Method;
use crate::region::{Motion, RegionKind};
use crate::settings::{Overrides, WindowChoice};
use crate::warning::WarningKind;

use proptest::prelude::*;

const SIZE: Size = Size::new(256, 256);

fn region(kind: &str, shape: &str, movement: &str) -> String {
    format!("{{\"type\": \"{kind}\", \"region\": {{{shape}}}, {movement}}}")
}

fn box_from(handle: &str, target: &str) -> String {
    region(
        "translation",
        "\"rect\": [40, 40, 80, 80]",
        &format!("\"handle\": {handle}, \"target\": {target}"),
    )
}

fn drag(editable: &str, regions: &[String]) -> DragFile {
    let text = format!(
        "{{\"version\": 1, {editable}\n\"regions\": [\n{}\n]}}",
        regions.join(",\n")
    );
    DragFile::parse(text.as_bytes()).expect("a valid file")
}

fn plan_in(folder: &Path, editable: &str, regions: &[String], source: Size) -> Result<Plan> {
    Plan::new(
        &drag(editable, regions),
        &folder.join("drag.json"),
        source,
        &Settings::default(),
        256,
    )
}

fn plan(regions: &[String]) -> Plan {
    plan_in(Path::new(""), "", regions, SIZE).expect("a valid plan")
}

/// `kind pointer` of every fault.
fn found(editable: &str, regions: &[String]) -> Vec<String> {
    match plan_in(Path::new(""), editable, regions, SIZE) {
        Err(Error::Instruction { faults, .. }) => faults
            .iter()
            .map(|fault| format!("{} {}", fault.kind, fault.pointer))
            .collect(),
        other => panic!("expected faults, found {other:?}"),
    }
}

fn warnings(plan: &Plan) -> Vec<WarningKind> {
    plan.warnings.iter().map(|warning| warning.kind).collect()
}

/// Settings for a working picture of this size without a window.
fn whole_picture(size: usize) -> Settings {
    let mut settings = Settings::default();
    settings.frame.size = size;
    settings.frame.window = WindowChoice::Full;
    settings
}

#[test]
fn a_drag_is_planned_in_working_coordinates() {
    let drag = drag("", &[box_from("[60, 60]", "[80, 50]")]);
    let settings = whole_picture(0);
    let plan = Plan::new(
        &drag,
        Path::new("drag.json"),
        Size::new(512, 512),
        &settings,
        256,
    )
    .expect("a valid plan");
    assert_eq!(plan.regions[0].motion, Motion::Shift { dx: 10.0, dy: -5.0 });
    assert_eq!(plan.regions[0].mask.count(), 400);
    assert!((plan.regions[0].moved_px() - 500.0_f64.sqrt()).abs() < 1e-9);
    assert_eq!(warnings(&plan), [WarningKind::PictureEnlarged]);
    assert!(plan.still.is_empty());
}

/// Without fresh noise the result has the pixels of the warped picture, whatever the network's size.
#[test]
fn what_no_model_paints_is_not_enlarged() {
    let drag = drag("", &[box_from("[60, 60]", "[80, 50]")]);
    for (vacated_noise, expected) in [(0.0, &[][..]), (0.6, &[WarningKind::PictureEnlarged])] {
        let mut given = Overrides::from([("window", "full")]);
        given.set("vacated_noise", vacated_noise);
        let settings = Settings::resolve(&Choice::of(given)).expect("valid settings");
        let size = Size::new(512, 512);
        let plan = Plan::new(&drag, Path::new("drag.json"), size, &settings, 256);
        assert_eq!(warnings(&plan.expect("a valid plan")), expected);
    }
}

#[test]
fn a_window_does_not_change_the_motion() {
    let regions = [region(
        "rotation",
        "\"rect\": [900, 700, 1000, 760]",
        "\"center\": [1100, 900], \"angle\": 40",
    )];
    let image = Size::new(1600, 1200);
    let plan = plan_in(Path::new(""), "", &regions, image).expect("a valid plan");
    assert!(
        !plan.frame.is_whole() && plan.warnings.is_empty(),
        "{:?}",
        plan.frame
    );
    let drag = drag("", &regions);
    let settings = whole_picture(0);
    let whole =
        Plan::new(&drag, Path::new("drag.json"), image, &settings, 256).expect("a valid plan");
    assert!((plan.regions[0].moved_px() / whole.regions[0].moved_px() - 1.0).abs() < 0.02);
    let area = plan.editable_source.as_ref().expect("a swept area");
    let window = plan.frame.window;
    for (index, _) in area.data.iter().enumerate().filter(|(_, inside)| **inside) {
        let (x, y) = (index % image.width, index / image.width);
        assert!(
            (window.left..window.left + window.size.width).contains(&x)
                && (window.top..window.top + window.size.height).contains(&y)
        );
    }
    let swept = whole.editable_source.expect("a swept area");
    assert!(
        area.count() < swept.count() && area.count() * 3 > swept.count(),
        "the margin is in working pixels, and those are smaller"
    );
}

#[test]
fn the_far_edge_belongs_to_the_image() {
    let at_edge = region(
        "translation",
        "\"rect\": [200, 200, 256, 256]",
        "\"handle\": [256, 256], \"target\": [200, 256]",
    );
    assert_eq!(plan(std::slice::from_ref(&at_edge)).regions.len(), 1);
    assert_eq!(
        found("", &[at_edge.replace("[200, 256]", "[200, 256.01]")]),
        ["instruction.point_outside /regions/0/target"]
    );
}

#[test]
fn faults_of_the_plan_have_lines_and_columns() {
    let regions = [
        box_from("[60, 60]", "[812, 40]"),
        box_from("[10, 10]", "[60, 60]"),
    ];
    let error = plan_in(Path::new("a"), "", &regions, SIZE).expect_err("two faults");
    let text = error.to_string();
    assert!(
        text.contains(
            "drag.json: /regions/0/target: point (812, 40) lies outside the image (256 x 256)"
        ),
        "{text}"
    );
    assert!(
        text.contains("drag.json: /regions/1/handle: the handle (10, 10) lies outside its region"),
        "{text}"
    );
    let Error::Instruction { faults, .. } = &error else {
        panic!("{error:?}")
    };
    assert_eq!([faults[0].line, faults[1].line], [3, 4]);
    assert_eq!(
        (error.kind(), error.exit_status()),
        (ErrorKind::InstructionPointOutside, 2)
    );
}

#[test]
fn a_draft_has_the_valid_regions_and_the_faults() {
    let far = region(
        "rotation",
        "\"rect\": [40, 40, 80, 80]",
        "\"center\": [1e6, 1e6], \"angle\": 3600",
    );
    let lost = region(
        "translation",
        "\"mask\": \"none.png\"",
        "\"handle\": [60, 60], \"target\": [90, 60]",
    );
    let file = drag(
        "",
        &[
            box_from("[60, 60]", "[812, 40]"),
            far,
            lost,
            box_from("[60, 60]", "[60, 90]"),
        ],
    );
    let Draft { plan, faults } = Plan::draft(
        &file,
        Path::new("drag.json"),
        SIZE,
        &Settings::default(),
        256,
        Amount::WHOLE,
    );
    let kinds: Vec<ErrorKind> = faults.iter().map(|fault| fault.kind).collect();
    assert_eq!(
        kinds,
        [
            ErrorKind::InstructionPointOutside,
            ErrorKind::RegionRotationCentre,
            ErrorKind::MaskMissing
        ]
    );
    let names: Vec<&str> = plan
        .regions
        .iter()
        .map(|region| region.id.as_str())
        .collect();
    assert_eq!(
        names,
        ["region-1", "region-4"],
        "the regions with an area and a motion"
    );
    assert!(plan.editable.expect("a part").at(Point::new(60.0, 90.0)));
}

#[test]
fn regions_that_cannot_be_dragged_are_faults() {
    let rotation = |movement: &str| region("rotation", "\"rect\": [40, 40, 80, 80]", movement);
    for (region, expected) in [
        (
            box_from("[82, 60]", "[60, 90]"),
            "region.handle_outside /regions/0/handle",
        ),
        (
            box_from("[60, 60]", "[60, 90]").replace("[40, 40, 80, 80]", "[58, 58, 61, 61]"),
            "region.vanishes /regions/0/region",
        ),
        (
            box_from("[60, 60]", "[60, 90]").replace("[40, 40, 80, 80]", "[300, 58, 361, 61]"),
            "region.outside /regions/0/region",
        ),
        (
            rotation("\"center\": [60, 60], \"handle\": [60, 60], \"target\": [70, 60]"),
            "region.rotation_centre /regions/0/handle",
        ),
        (
            rotation("\"center\": [60, 60], \"handle\": [70, 60], \"target\": [60.2, 60]"),
            "region.rotation_centre /regions/0/target",
        ),
        (
            rotation("\"center\": [-100, 60], \"angle\": 180"),
            "region.leaves /regions/0/angle",
        ),
        (
            rotation("\"center\": [1e6, 1e6], \"angle\": 3600"),
            "region.rotation_centre /regions/0/center",
        ),
        (
            box_from("[40, 40]", "[256, 256]"),
            "region.leaves /regions/0/target",
        ),
    ] {
        assert_eq!(
            found("", std::slice::from_ref(&region)),
            [expected],
            "{region}"
        );
    }
    assert_eq!(
        plan(&[box_from("[80.9, 60]", "[60, 90]")]).regions.len(),
        1,
        "a handle may lie a pixel outside its region"
    );
}

#[test]
fn a_region_partly_outside_is_clipped_with_a_warning() {
    let plan = plan(&[region(
        "translation",
        "\"ellipse\": [10, 100, 40, 30]",
        "\"handle\": [10, 100], \"target\": [60, 100]",
    )]);
    assert_eq!(warnings(&plan), [WarningKind::RegionPartlyOutside]);
    assert!(
        plan.regions[0].covers(1.0, Point::new(60.0, 100.0))
            && !plan.regions[0].covers(1.0, Point::new(49.0, 100.0))
    );
}

#[test]
fn doubtful_drags_are_planned_with_warnings() {
    assert_eq!(
        warnings(&plan(&[box_from("[60, 60]", "[60, 10]")])),
        [WarningKind::RegionPartlyLeaves]
    );
    let both = [
        box_from("[60, 60]", "[160, 60]"),
        box_from("[60, 60]", "[150, 70]"),
    ];
    assert_eq!(warnings(&plan(&both)), [WarningKind::RegionOverlap]);
    let turn = "\"center\": [60, 60], \"handle\": [70, 60], \"target\": [60, 20]";
    assert_eq!(
        warnings(&plan(&[region(
            "rotation",
            "\"rect\": [40, 40, 80, 80]",
            turn
        )])),
        [WarningKind::RegionRotationRadius]
    );
    let elsewhere = plan_in(
        Path::new(""),
        "\"editable\": {\"rect\": [200, 200, 250, 250]},",
        &[box_from("[60, 60]", "[60, 90]")],
        SIZE,
    );
    assert_eq!(
        warnings(&elsewhere.expect("a valid plan")),
        [WarningKind::RegionNotEditable]
    );
}

#[test]
fn regions_keep_their_handle_and_target_in_working_coordinates() {
    let close = |found: PointPair, handle: [f64; 2], target: [f64; 2]| {
        let [handle, target] = [handle, target].map(|[x, y]| Point::new(x, y));
        assert!(
            found.handle.distance(handle) < 1e-9 && found.target.distance(target) < 1e-9,
            "{found:?}"
        );
    };
    let settings = whole_picture(0);
    let points = |regions: &[String]| {
        let image = Size::new(512, 512);
        let plan = Plan::new(
            &drag("", regions),
            Path::new("drag.json"),
            image,
            &settings,
            256,
        )
        .expect("a valid plan");
        plan.regions[0].points
    };
    let translation = box_from("[60.5, 61]", "[70.25, 99.75]");
    for kind in ["translation", "deformation"] {
        let region = translation.replace("translation", kind);
        close(points(&[region]), [30.25, 30.5], [35.125, 49.875]);
    }
    let rotation = |movement: &str| {
        let movement = format!("\"center\": [100, 60], {movement}");
        region("rotation", "\"rect\": [40, 40, 80, 80]", &movement)
    };
    // The target of the file is twice as far from the centre as the handle.
    let by_points = rotation("\"handle\": [70, 60], \"target\": [100, 0]");
    close(points(&[by_points]), [35.0, 30.0], [50.0, 15.0]);
    // The handle is the pixel that is furthest from the centre.
    let by_angle = rotation("\"angle\": 90");
    close(points(&[by_angle]), [20.5, 20.5], [40.5, 59.5]);
}

#[test]
fn an_edit_prompt_that_the_method_does_not_use_is_a_warning() {
    let plan = plan_in(
        Path::new(""),
        "\"edit_prompt\": \"a cat that looks up\",",
        &[box_from("[60, 60]", "[80, 50]")],
        SIZE,
    )
    .expect("a valid plan");
    assert_eq!(plan.edit_prompt.as_deref(), Some("a cat that looks up"));
    assert_eq!(warnings(&plan), [WarningKind::EditPromptUnused]);
}

#[test]
fn regions_without_motion_are_left_out() {
    let mixed = plan(&[
        box_from("[60, 60]", "[60.5, 60.5]"),
        box_from("[60, 60]", "[60, 90]"),
    ]);
    assert_eq!(
        (mixed.still[0].id.as_str(), mixed.regions[0].id.as_str()),
        ("region-1", "region-2")
    );
    assert_eq!(warnings(&mixed), [WarningKind::RegionNoMotion]);
    let nothing = plan(&[box_from("[60, 60]", "[60, 60]")]);
    assert!(
        nothing.regions.is_empty()
            && nothing
                .blend()
                .expect("a part")
                .iter()
                .all(|weight| *weight == 0.0)
    );
}

#[test]
fn the_default_editable_area_is_the_swept_area_and_a_margin() {
    let plan = plan(&[box_from("[60, 60]", "[160, 60]")]);
    let area = plan.editable.as_ref().expect("a part");
    let (low, high) = area.bounds().expect("not empty");
    assert_eq!(
        (low, high),
        (Point::new(16.0, 16.0), Point::new(204.0, 104.0))
    );
    assert_eq!(area.count(), 188 * 88, "no gaps");
    assert_eq!(
        plan.editable_source.as_ref(),
        Some(area),
        "the image has the working size"
    );
}

#[test]
fn the_editable_area_can_be_everything() {
    let plan = plan_in(
        Path::new(""),
        "\"editable\": \"everything\",",
        &[box_from("[60, 60]", "[60, 90]")],
        SIZE,
    )
    .expect("a valid plan");
    assert!(plan.editable.is_none() && plan.editable_source.is_none() && plan.blend().is_none());
}

#[test]
fn the_blend_is_zero_outside_the_editable_area() {
    for source in [SIZE, Size::new(513, 771), Size::new(1000, 640)] {
        let editable = "\"editable\": {\"ellipse\": [60, 90, 90, 60]},";
        let plan = plan_in(
            Path::new(""),
            editable,
            &[box_from("[60, 60]", "[60, 90]")],
            source,
        )
        .expect("a valid plan");
        let (area, blend) = (
            plan.editable_source.as_ref().expect("a part"),
            plan.blend().expect("a part"),
        );
        assert_eq!(area.size(), source);
        assert!(
            area.data
                .iter()
                .zip(&blend)
                .all(|(inside, weight)| if *inside {
                    (f32::MIN_POSITIVE..=1.0).contains(weight)
                } else {
                    *weight == 0.0
                })
        );
        assert!(blend.contains(&1.0) && blend.iter().any(|weight| *weight > 0.0 && *weight < 1.0));
        assert!(
            blend[90 * source.width] >= 1.0,
            "the image's border is no edge of the area"
        );
    }
}

#[test]
fn the_padding_is_editable_beside_editable_pixels() {
    let editable = "\"editable\": {\"rect\": [100, 0, 300, 300]},";
    let plan = plan_in(
        Path::new(""),
        editable,
        &[box_from("[60, 60]", "[60, 90]")],
        Size::new(250, 260),
    )
    .expect("a valid plan");
    let area = plan.editable.expect("a part");
    assert_eq!(area.size(), plan.frame.padded);
    assert!(plan.frame.padded.width > 256 || plan.frame.padded.height > plan.frame.content.height);
    assert!(
        area.at(Point::new(area.width as f64, area.height as f64))
            && !area.at(Point::new(50.0, area.height as f64))
    );
    assert!(
        !plan.regions[0]
            .mask
            .at(Point::new(50.0, area.height as f64))
    );
}

#[test]
fn an_editable_area_without_a_latent_cell_is_a_fault() {
    let move_box = [box_from("[60, 60]", "[80, 60]")];
    assert_eq!(
        found("\"editable\": {\"rect\": [57, 57, 64, 64]},", &move_box),
        ["editable.empty /editable"]
    );
    assert!(
        plan_in(
            Path::new(""),
            "\"editable\": {\"rect\": [56, 56, 64, 64]},",
            &move_box,
            SIZE
        )
        .is_ok()
    );
}

#[test]
fn every_scene_of_the_bench_is_planned() {
    for suite in ["suite", "motions"] {
        let suite = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/scenebench")
            .join(suite);
        let folders = std::fs::read_dir(&suite).expect("the suite is part of the repository");
        let mut count = 0;
        for folder in folders {
            let path = folder.expect("a readable folder").path().join("drag.json");
            let drag = DragFile::read(&path).expect("a valid file");
            let plan =
                Plan::new(&drag, &path, SIZE, &Settings::default(), 256).expect("a valid plan");
            assert_eq!(plan.regions.len(), drag.regions.len(), "{}", path.display());
            assert!(
                plan.warnings
                    .iter()
                    .all(|warning| warning.kind == WarningKind::RegionPartlyOutside),
                "{}: {:?}",
                path.display(),
                plan.warnings
            );
            count += 1;
        }
        assert!(count > 0, "{} is empty", suite.display());
    }
}

#[test]
fn the_size_setting_overrides_the_models_size() {
    let settings = whole_picture(128);
    let drag = drag("", &[box_from("[60, 60]", "[60, 90]")]);
    let plan =
        Plan::new(&drag, Path::new("drag.json"), SIZE, &settings, 256).expect("a valid plan");
    assert_eq!(plan.frame.padded, Size::new(128, 128));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]
    #[test]
    fn planning_does_not_panic_for_any_numbers(
        numbers in prop::collection::vec(prop_oneof![-1e6..1e6_f64, -50.0..400.0_f64], 10), angle in -3600.0..3600.0_f64,
        width in 64..700_usize, height in 64..700_usize
    ) {
        let [a, b, c, d, hx, hy, tx, ty, cx, cy] = numbers.try_into().expect("ten numbers");
        let rect = format!("\"rect\": [{}, {}, {}, {}]", f64::min(a, c), f64::min(b, d), f64::max(a, c) + 1.0, f64::max(b, d) + 1.0);
        let regions = [
            region("deformation", &rect, &format!("\"handle\": [{hx}, {hy}], \"target\": [{tx}, {ty}]")),
            region("rotation", &rect, &format!("\"center\": [{cx}, {cy}], \"angle\": {angle}")),
            format!("{{\"type\": \"point\", \"handle\": [{hx}, {hy}], \"target\": [{tx}, {ty}]}}"),
        ];
        for regions in regions.chunks(1) {
            if let Ok(plan) = plan_in(Path::new(""), "", regions, Size::new(width, height)) {
                prop_assert!(plan.blend().expect("a part").iter().all(|weight| weight.is_finite()));
            }
        }
    }
}
