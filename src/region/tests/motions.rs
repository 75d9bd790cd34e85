//! Properties of all motions: inverse maps, the identity at progress 0, the end at progress 1, speeds, and the swept area.

use super::*;

const SIZE: Size = Size::new(96, 80);

fn point() -> impl Strategy<Value = Point> {
    (0.0..96.0_f64, 0.0..80.0_f64).prop_map(|(x, y)| Point::new(x, y))
}

fn pair() -> impl Strategy<Value = PointPair> {
    (point(), point()).prop_map(|(handle, target)| PointPair { handle, target })
}

/// Three points that span an area.
fn triangle() -> impl Strategy<Value = [Point; 3]> {
    let spans = |points: &[Point; 3]| crate::geometry::Linear::edges(*points).determinant() > 200.0;
    prop::array::uniform3(point()).prop_filter("the points span an area", spans)
}

fn anchored() -> impl Strategy<Value = (Point, PointPair)> {
    (point(), pair()).prop_filter("nothing folds", |(anchor, points)| {
        let (x, y) = (points.handle.x - anchor.x, points.handle.y - anchor.y);
        let along = (points.target.x - anchor.x) * x + (points.target.y - anchor.y) * y;
        x.hypot(y) > 0.5 && along > 0.05 * (x * x + y * y)
    })
}

/// Any motion that a drag file can describe.
fn motion() -> impl Strategy<Value = Motion> {
    prop_oneof![
        pair().prop_map(Motion::shift),
        (point(), -10.0..10.0_f64).prop_map(|(center, angle)| Motion::Turn { center, angle }),
        (pair(), -10.0..10.0_f64).prop_map(|(points, angle)| Motion::turning_shift(points, angle)),
        (point(), -10.0..10.0_f64).prop_map(|(handle, angle)| {
            Motion::turning_shift(
                PointPair {
                    handle,
                    target: handle,
                },
                angle,
            )
        }),
        (point(), 0.05_f64.ln()..20.0_f64.ln()).prop_map(|(center, power)| Motion::Scale {
            center,
            factor: power.exp()
        }),
        (triangle(), triangle()).prop_map(|(handles, targets)| Motion::affine(handles, targets)),
        anchored().prop_map(|(anchor, points)| Motion::Anchored { anchor, points }),
    ]
}

fn ellipse(motion: Motion) -> Region {
    region(SIZE, &Outline::Ellipse([50.0, 40.0, 30.0, 17.0]), motion)
}

#[test]
fn the_handle_of_a_turning_shift_moves_straight_to_the_target() {
    let points = PointPair {
        handle: Point::new(20.0, 30.0),
        target: Point::new(60.0, 10.0),
    };
    let it = ellipse(Motion::turning_shift(points, std::f64::consts::FRAC_PI_2));
    for (eta, place) in [
        (0.0, [20.0, 30.0]),
        (0.25, [30.0, 25.0]),
        (1.0, [60.0, 10.0]),
    ] {
        let found = it.forward(eta, points.handle);
        assert!(
            found.distance(Point::new(place[0], place[1])) < 1e-12,
            "{eta}"
        );
    }
    // What lies right of the handle lies above it after a quarter turn counter-clockwise.
    let right = it.forward(1.0, Point::new(25.0, 30.0));
    assert!(right.distance(Point::new(60.0, 5.0)) < 1e-12, "{right}");
}

#[test]
fn a_scale_doubles_twice_on_the_way_to_four_times() {
    let center = Point::new(10.0, 10.0);
    let it = ellipse(Motion::Scale {
        center,
        factor: 4.0,
    });
    for (eta, x) in [(0.0, 13.0), (0.5, 16.0), (1.0, 22.0)] {
        assert!(
            it.forward(eta, Point::new(13.0, 10.0))
                .distance(Point::new(x, 10.0))
                < 1e-12
        );
    }
}

#[test]
fn an_anchored_region_stretches_between_anchor_and_handle() {
    let points = PointPair {
        handle: Point::new(50.0, 40.0),
        target: Point::new(60.0, 44.0),
    };
    let anchor = Point::new(10.0, 40.0);
    let it = ellipse(Motion::Anchored { anchor, points });
    for (from, to) in [
        ([4.0, 33.0], [4.0, 33.0]),
        ([10.0, 40.0], [10.0, 40.0]),
        ([20.0, 35.0], [22.5, 36.0]),
        ([50.0, 40.0], [60.0, 44.0]),
        ([70.0, 20.0], [80.0, 24.0]),
    ] {
        let [from, to] = [from, to].map(|[x, y]| Point::new(x, y));
        assert!(it.forward(1.0, from).distance(to) < 1e-12, "{from}");
        assert!(it.source_of(1.0, to).distance(from) < 1e-12, "{to}");
    }
    assert!(
        it.forward(0.5, points.handle)
            .distance(Point::new(55.0, 42.0))
            < 1e-12
    );
}

#[test]
fn lengths_of_curved_and_of_growing_paths_are_measured() {
    let center = Point::new(48.0, 40.0);
    let in_place = PointPair {
        handle: center,
        target: center,
    };
    let turn = ellipse(Motion::Turn { center, angle: 3.0 }).moved_px();
    let affine = ellipse(Motion::turning_shift(in_place, 3.0)).moved_px();
    assert!((affine / turn - 1.0).abs() < 2e-3, "{affine} and {turn}");
    // The mean path of a scale is its factor less 1 times the mean radius, which a turn by one radian has.
    let radius = ellipse(Motion::Turn { center, angle: 1.0 }).moved_px();
    let scale = ellipse(Motion::Scale {
        center,
        factor: 1.5,
    });
    assert!((scale.moved_px() - 0.5 * radius).abs() < 1e-9);
}

#[test]
fn motions_that_are_not_visible_are_still() {
    let center = Point::new(50.0, 40.0);
    let in_place = |dx: f64| PointPair {
        handle: center,
        target: Point::new(50.0 + dx, 40.0),
    };
    let grown = |by: f64| {
        let corners = [[20.0, 20.0], [80.0, 20.0], [50.0, 60.0]];
        let moved = corners.map(|[x, y]| Point::new(50.0 + by * (x - 50.0), y));
        Motion::affine(corners.map(|[x, y]| Point::new(x, y)), moved)
    };
    for (motion, is_still) in [
        (Motion::turning_shift(in_place(0.0), 0.0), true),
        (Motion::turning_shift(in_place(0.9), 0.0), true),
        (Motion::turning_shift(in_place(1.1), 0.0), false),
        (Motion::turning_shift(in_place(0.0), 0.002), false),
        (
            Motion::Scale {
                center,
                factor: 1.01,
            },
            true,
        ),
        (
            Motion::Scale {
                center,
                factor: 1.05,
            },
            false,
        ),
        (grown(1.01), true),
        (grown(0.9), false),
        (
            Motion::Anchored {
                anchor: Point::new(10.0, 40.0),
                points: in_place(0.9),
            },
            true,
        ),
    ] {
        assert_eq!(ellipse(motion).is_still(), is_still, "{motion:?}");
    }
}

#[test]
fn an_anchored_region_that_is_carried_out_too_far_folds() {
    let motion = Motion::Anchored {
        anchor: Point::new(10.0, 40.0),
        points: PointPair {
            handle: Point::new(50.0, 40.0),
            target: Point::new(30.0, 45.0),
        },
    };
    for (amount, least) in [(0.5, 0.75), (1.0, 0.5), (2.0, 0.0), (3.0, -0.5)] {
        let (found, most) = motion.carried_out(amount).factors();
        assert!((found - least).abs() < 1e-12, "{amount}: {found}");
        assert_eq!(most, 1.0);
    }
}

/// A library may build it; the drag file rejects it.
#[test]
fn an_affine_motion_of_handles_on_one_line_covers_nothing() {
    let line = [1.0, 2.0, 3.0].map(|x| Point::new(x, x));
    let targets = [[1.0, 1.0], [9.0, 2.0], [3.0, 8.0]].map(|[x, y]| Point::new(x, y));
    let grid = Frame::new(SIZE, 80).supervision_grid();
    let it = ellipse(Motion::affine(line, targets));
    for eta in [0.0, 0.5, 1.0] {
        assert!(it.covered_cells(eta, &grid).is_empty());
    }
}

proptest! {
    #[test]
    fn every_motion_is_inverted_at_every_progress(motion in motion(), eta in 0.0..=1.0_f64, place in point()) {
        let it = ellipse(motion);
        for eta in [0.0, eta, 1.0] {
            prop_assert!(it.source_of(eta, it.forward(eta, place)).distance(place) < 1e-9, "{motion:?} at {eta}");
            prop_assert!(it.forward(eta, it.source_of(eta, place)).distance(place) < 1e-9, "{motion:?} at {eta}");
        }
    }

    #[test]
    fn progress_0_is_the_identity_bit_for_bit(motion in motion(), place in point()) {
        prop_assume!(!matches!(motion, Motion::Turn { .. }));
        let it = ellipse(motion);
        prop_assert_eq!(it.forward(0.0, place), place);
        prop_assert_eq!(it.source_of(0.0, place), place);
    }

    #[test]
    fn an_affine_motion_ends_at_its_targets_on_a_straight_way(handles in triangle(), targets in triangle(), eta in 0.0..=1.0_f64) {
        let motion = Motion::affine(handles, targets);
        for (handle, target) in handles.into_iter().zip(targets) {
            prop_assert!(motion.forward(1.0, handle).distance(target) < 1e-9);
        }
        let centroid = |at: &dyn Fn(usize) -> Point| {
            let (a, b, c) = (at(0), at(1), at(2));
            Point::new((a.x + b.x + c.x) / 3.0, (a.y + b.y + c.y) / 3.0)
        };
        let [from, to] = [handles, targets].map(|points| centroid(&|index| points[index]));
        let now = centroid(&|index| motion.forward(eta, handles[index]));
        let expected = Point::new(from.x + eta * (to.x - from.x), from.y + eta * (to.y - from.y));
        prop_assert!(now.distance(expected) < 1e-9, "{now} and {expected}");
    }

    #[test]
    fn an_anchored_region_ends_with_the_handle_at_the_target((anchor, points) in anchored()) {
        let motion = Motion::Anchored { anchor, points };
        prop_assert!(motion.forward(1.0, points.handle).distance(points.target) < 1e-9);
        prop_assert_eq!(motion.forward(0.7, anchor), anchor);
    }

    #[test]
    fn a_motion_carried_out_ends_at_that_progress(motion in motion(), amount in 0.0..=4.0_f64, eta in 0.0..=1.0_f64, place in point()) {
        let carried_out = motion.carried_out(amount);
        for eta in [eta, 1.0] {
            let (found, expected) = (carried_out.forward(eta, place), motion.forward(amount * eta, place));
            let tolerance = 1e-9 * (1.0 + expected.distance(place));
            prop_assert!(found.distance(expected) <= tolerance, "{motion:?} at {amount}: {found} and {expected}");
        }
        prop_assert_eq!(motion.carried_out(1.0), motion);
        let (least, most) = carried_out.factors();
        let near = Point::new(place.x + 1e-3, place.y - 2e-3);
        let grown = carried_out.forward(1.0, place).distance(carried_out.forward(1.0, near)) / place.distance(near);
        // An anchored region is sheared too, where the handle leaves the line to the anchor.
        if least > 0.0 && !matches!(motion, Motion::Anchored { .. }) {
            prop_assert!((least - 1e-6..=most + 1e-6).contains(&grown), "{motion:?} at {amount}: {grown}");
        }
    }

    #[test]
    fn covered_cells_are_exactly_those_that_are_covered(motion in motion(), eta in 0.0..=1.0_f64) {
        let grid = Frame::new(SIZE, 80).supervision_grid();
        let it = ellipse(motion);
        let all: Vec<usize> = (0..grid.len()).filter(|cell| it.covers(eta, grid.centre(*cell))).collect();
        prop_assert_eq!(it.covered_cells(eta, &grid), all);
    }

    /// No point in the image moves by more than the step between two positions of the sweep, so that a cell is missed at most beside a
    /// cell that is marked.
    #[test]
    fn the_sweep_contains_the_region_at_every_progress(motion in motion(), eta in 0.0..=1.0_f64) {
        let grid = Frame::new(SIZE, 80).supervision_grid();
        let mut swept = Mask::filled(grid.size(), false);
        let it = ellipse(motion);
        it.sweep(&grid, 2.0, &mut swept);
        let near = swept.dilated(1);
        for cell in it.covered_cells(eta, &grid) {
            prop_assert!(near.data[cell], "{motion:?} at {eta}");
        }
        if !matches!(motion, Motion::Turn { .. } | Motion::Affine { .. }) {
            for cell in it.covered_cells(1.0, &grid) {
                prop_assert!(swept.data[cell], "{motion:?} at its end");
            }
        }
    }
}
