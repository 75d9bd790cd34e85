//! Plans of drags that are carried out to several amounts.

use super::*;

const BOX: &str = "\"rect\": [40, 40, 80, 80]";

/// Plans a series of amounts.
fn series(editable: &str, regions: &[String], amounts: &[f64]) -> Vec<Draft> {
    let drag = drag(editable, regions);
    let amounts = Amount::series(amounts).expect("within bounds");
    let plans = amounts.into_iter().map(|amount| {
        let settings = Settings::default();
        Plan::draft(&drag, Path::new("drag.json"), SIZE, &settings, 256, amount)
    });
    plans.collect()
}

fn plans(editable: &str, regions: &[String], amounts: &[f64]) -> Vec<Plan> {
    let plans = series(editable, regions, amounts).into_iter().map(|draft| {
        assert!(draft.faults.is_empty(), "{:?}", draft.faults);
        draft.plan
    });
    plans.collect()
}

#[test]
fn regions_move_by_the_amount_at_both_resolutions() {
    let regions = [
        box_from("[60, 60]", "[100, 70]"),
        region(
            "rotation",
            "\"rect\": [150, 150, 180, 200]",
            "\"center\": [150, 150], \"angle\": 40",
        ),
        region(
            "scale",
            "\"ellipse\": [60, 190, 20, 20]",
            "\"center\": [60, 190], \"factor\": 1.44",
        ),
    ];
    let plans = plans("", &regions, &[0.0, 0.5, 1.0, 1.5]);
    assert!(plans[0].regions.is_empty() && plans[0].native_regions.is_empty());
    assert_eq!(plans[0].warnings, [], "nothing carried out is no surprise");
    let whole = plan(&regions);
    for (plan, amount) in plans.iter().zip([0.0, 0.5, 1.0, 1.5]).skip(1) {
        for (found, whole) in [
            (&plan.regions, &whole.regions),
            (&plan.native_regions, &whole.native_regions),
        ] {
            assert_eq!(found.len(), 3);
            for (found, whole) in found.iter().zip(whole) {
                assert_eq!(found.motion, whole.motion.carried_out(amount));
                let handle = whole.points.handle;
                assert_eq!(found.points.handle, handle);
                assert!(found.points.target.distance(whole.forward(amount, handle)) < 1e-9);
            }
        }
    }
    assert_eq!(plans[2].regions[0].points, whole.regions[0].points);
}

#[test]
fn a_series_has_the_editable_area_and_the_window_of_its_largest_amount() {
    let regions = [box_from("[60, 60]", "[100, 60]")];
    let all = plans("", &regions, &[0.0, 0.5, 1.5]);
    for plan in &all {
        assert_eq!(plan.editable, all[2].editable);
        assert_eq!(plan.editable_source, all[2].editable_source);
        assert_eq!(plan.frame, all[2].frame);
    }
    let swept = |plan: &Plan| plan.editable.as_ref().expect("a swept area").count();
    let (whole, less) = (plan(&regions), plans("", &regions, &[0.5]));
    assert!(swept(&less[0]) < swept(&whole) && swept(&whole) < swept(&all[0]));
    assert_eq!(plans("", &regions, &[0.5, 1.0])[0].editable, whole.editable);

    // A given area is the same for every amount.
    let given = "\"editable\": {\"rect\": [20, 20, 200, 120]},";
    let all = plans(given, &regions, &[0.5, 1.5]);
    assert_eq!(
        all[0].editable,
        plan_in(Path::new(""), given, &regions, SIZE)
            .expect("a valid plan")
            .editable
    );
}

#[test]
fn windows_contain_what_the_largest_amount_sweeps() {
    let image = Size::new(3000, 2000);
    for movement in [
        (
            "translation",
            "\"handle\": [960, 960], \"target\": [1100, 960]",
        ),
        (
            "translation",
            "\"handle\": [960, 960], \"target\": [1100, 960], \"angle\": 60",
        ),
        ("rotation", "\"center\": [1100, 960], \"angle\": -50"),
        ("scale", "\"center\": [960, 960], \"factor\": 1.7"),
    ] {
        let regions = [region(
            movement.0,
            "\"rect\": [900, 900, 1020, 1020]",
            movement.1,
        )];
        let drag = drag("", &regions);
        let amounts = Amount::series(&[0.5, 2.5]).expect("within bounds");
        let settings = Settings::default();
        let [less, most] = [0, 1].map(|index| {
            Plan::draft(&drag, Path::new(""), image, &settings, 256, amounts[index]).plan
        });
        assert!(!most.frame.is_whole(), "{movement:?}");
        assert_eq!(less.frame, most.frame, "{movement:?}");
        assert_eq!(most.regions[0].share_lost(), 0.0, "{movement:?}");
        let whole = Plan::draft(&drag, Path::new(""), image, &settings, 256, Amount::WHOLE).plan;
        assert_ne!(whole.frame, most.frame, "{movement:?}");
    }
}

/// Returns kind and message of the faults of the last amount.
fn faults(regions: &[String], amounts: &[f64]) -> Vec<(ErrorKind, String)> {
    let draft = series("", regions, amounts).pop().expect("an amount");
    let faults = draft.faults.into_iter();
    faults.map(|fault| (fault.kind, fault.message)).collect()
}

#[test]
fn an_amount_that_a_region_cannot_follow_is_a_fault_that_names_it() {
    let right = box_from("[60, 60]", "[160, 60]");
    assert_eq!(faults(std::slice::from_ref(&right), &[0.5, 1.5]), []);
    assert_eq!(
        faults(&[right], &[0.5, 2.5]),
        [(
            ErrorKind::RegionLeaves,
            "at amount 2.5, the region is dragged out of the image (256 x 256)".to_owned()
        )]
    );
    let grown = region("scale", BOX, "\"center\": [60, 60], \"factor\": 3");
    assert_eq!(
        faults(std::slice::from_ref(&grown), &[3.0]),
        [(
            ErrorKind::InstructionRange,
            "at amount 3, the region would stretch by 27.000; it must be 0.05 to 20".to_owned()
        )]
    );
    let shorter = "\"handle\": [75, 60], \"target\": [60, 60], \"anchor\": [45, 60]";
    let folded = faults(&[region("deformation", BOX, shorter)], &[2.25]);
    assert_eq!(
        folded,
        [(
            ErrorKind::InstructionRange,
            "at amount 2.25, the region would stretch by -0.125; it must be 0.05 to 20".to_owned()
        )]
    );
    let shape = "\"rect\": [40, 40, 50, 50]";
    let shrunk = region("scale", shape, "\"center\": [46, 46], \"factor\": 0.3");
    assert_eq!(faults(std::slice::from_ref(&shrunk), &[1.25]), []);
    assert_eq!(faults(&[shrunk], &[2.0])[0].0, ErrorKind::RegionVanishes);
}
