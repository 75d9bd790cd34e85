mod motions;

use std::f64::consts::TAU;

use super::*;
use crate::geometry::turn_angle;
use crate::outline::Outline;
use proptest::prelude::*;

fn region(size: Size, outline: &Outline, motion: Motion) -> Region {
    let frame = Frame::new(size, size.width.min(size.height));
    Region::new(
        "it".into(),
        RegionKind::Translation,
        outline.raster(frame.padded),
        motion,
        motion.pair(Point::new(0.0, 0.0)),
        &frame,
    )
}

#[test]
fn a_quarter_turn_counter_clockwise_moves_right_to_above() {
    let center = Point::new(32.0, 32.0);
    let angle = turn_angle(Point::new(38.0, 32.0), Point::new(32.0, 26.0), center);
    let it = region(
        Size::new(64, 64),
        &Outline::Rect([36.0, 30.0, 40.0, 34.0]),
        Motion::Turn { center, angle },
    );
    assert!(
        it.forward(1.0, Point::new(38.0, 32.0))
            .distance(Point::new(32.0, 26.0))
            < 1e-12
    );
    assert!(it.covers(1.0, Point::new(32.0, 26.0)) && !it.covers(1.0, Point::new(32.0, 38.0)));
    assert!(it.covers(0.0, Point::new(38.0, 32.0)) && !it.covers(1.0, Point::new(38.0, 32.0)));
}

#[test]
fn turns_of_179_and_minus_179_degrees_pass_on_opposite_sides() {
    let center = Point::new(32.0, 32.0);
    for (degrees, above) in [(179.0_f64, true), (-179.0, false)] {
        let motion = Motion::Turn {
            center,
            angle: degrees.to_radians(),
        };
        let halfway = region(
            Size::new(64, 64),
            &Outline::Rect([40.0, 30.0, 44.0, 34.0]),
            motion,
        )
        .forward(0.5, Point::new(42.0, 32.0));
        assert_eq!(
            halfway.y < center.y,
            above,
            "{degrees} degrees pass through {halfway}"
        );
    }
}

#[test]
fn covered_cells_agree_with_covers() {
    let frame = Frame::new(Size::new(100, 64), 64);
    let grid = frame.supervision_grid();
    for motion in [
        Motion::Shift { dx: 13.3, dy: -7.9 },
        Motion::Shift { dx: -60.0, dy: 0.0 },
        Motion::Turn {
            center: Point::new(90.0, 20.0),
            angle: 1.234,
        },
        Motion::Turn {
            center: Point::new(30.0, 30.0),
            angle: -7.0,
        },
    ] {
        let it = region(
            frame.source,
            &Outline::Ellipse([40.0, 30.0, 20.0, 11.0]),
            motion,
        );
        for eta in [0.0, 0.3, 1.0] {
            let all: Vec<usize> = (0..grid.len())
                .filter(|index| it.covers(eta, grid.centre(*index)))
                .collect();
            assert_eq!(it.covered_cells(eta, &grid), all, "{motion:?} at {eta}");
        }
    }
}

#[test]
fn pixels_that_leave_the_image_are_dropped_and_counted() {
    let it = region(
        Size::new(64, 64),
        &Outline::Rect([40.0, 0.0, 60.0, 20.0]),
        Motion::Shift { dx: 14.0, dy: 0.0 },
    );
    assert!((it.share_lost() - 0.5).abs() < 1e-12);
    let cells = it.covered_cells(1.0, &Frame::new(Size::new(64, 64), 64).supervision_grid());
    assert_eq!(cells.len(), 5 * 10);
}

#[test]
fn stillness_and_length_are_measured_in_pixels_of_the_image() {
    let frame = Frame::new(Size::new(256, 256), 512);
    let with = |motion| {
        Region::new(
            "it".into(),
            RegionKind::Translation,
            Outline::Rect([100.0, 100.0, 140.0, 140.0]).raster(frame.padded),
            motion,
            motion.pair(Point::new(0.0, 0.0)),
            &frame,
        )
    };
    assert!(
        with(Motion::Shift { dx: 1.9, dy: 0.0 }).is_still()
            && !with(Motion::Shift { dx: 2.1, dy: 0.0 }).is_still()
    );
    assert!((with(Motion::Shift { dx: 60.0, dy: 80.0 }).moved_px() - 50.0).abs() < 1e-9);
    let turn = |degrees: f64| {
        with(Motion::Turn {
            center: Point::new(120.0, 120.0),
            angle: degrees.to_radians(),
        })
    };
    assert!(turn(-0.05).is_still() && !turn(-0.07).is_still());
    let (half, full) = (turn(180.0).moved_px(), turn(-360.0).moved_px());
    assert!((full - 2.0 * half).abs() < 1e-9 && half > 0.0);
}

#[test]
fn many_turns_sweep_the_same_area_as_one() {
    let frame = Frame::new(Size::new(64, 64), 64);
    let turn = |turns: f64| {
        let motion = Motion::Turn {
            center: Point::new(32.0, 32.0),
            angle: turns * TAU,
        };
        let mut swept = Mask::filled(frame.supervision_grid().size(), false);
        region(
            frame.source,
            &Outline::Rect([40.0, 30.0, 50.0, 34.0]),
            motion,
        )
        .sweep(&frame.supervision_grid(), 2.0, &mut swept);
        swept
    };
    assert_eq!(turn(1.0), turn(10.0));
    assert!(turn(0.25).count() < turn(1.0).count());
}

proptest! {
    #[test]
    fn source_and_forward_are_inverse(
        x in 0.0..512.0_f64, y in 0.0..512.0_f64, eta in 0.0..=1.0_f64, dx in -512.0..512.0_f64, dy in -512.0..512.0_f64, angle in -70.0..70.0_f64
    ) {
        let point = Point::new(x, y);
        for motion in [Motion::Shift { dx, dy }, Motion::Turn { center: Point::new(dx, dy), angle }] {
            let it = region(Size::new(16, 16), &Outline::Rect([2.0, 2.0, 9.0, 9.0]), motion);
            prop_assert!(it.source_of(eta, it.forward(eta, point)).distance(point) < 1e-9);
            prop_assert!(it.forward(eta, it.source_of(eta, point)).distance(point) < 1e-9);
        }
    }
}
