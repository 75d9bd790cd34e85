mod hostile;

use std::path::Path;

use super::*;
use crate::drag_file::DragFile;
use crate::plan::{Choice, Settings};
use crate::settings::Overrides;
use proptest::prelude::*;

/// A picture whose pixels all differ, so that a misplaced one shows.
fn noise(size: Size) -> Picture {
    let mut state = 7_u32;
    let samples = (0..size.area() * 3).map(|_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    });
    Picture::from_rgb(size, samples.collect())
}

/// A plain ground with a box of another colour.
fn scene(size: Size, from: (usize, usize), to: (usize, usize)) -> Picture {
    let pixel = |index: usize| {
        let (x, y) = (index % size.width, index / size.width);
        let is_inside = (from.0..to.0).contains(&x) && (from.1..to.1).contains(&y);
        if is_inside {
            [200, 40, 30]
        } else {
            [90, 140, 160]
        }
    };
    Picture::from_rgb(size, (0..size.area()).flat_map(pixel).collect())
}

/// Settings that move a region as it is drawn.
fn plain() -> Overrides {
    Overrides::from([("object", "drawn"), ("fill", "smooth"), ("seams", "hard")])
}

fn plan(regions: &str, size: Size, given: Overrides) -> Option<Plan> {
    let text = format!("{{ \"version\": 1, \"regions\": [{regions}] }}");
    let drag = DragFile::parse(text.as_bytes()).expect("a valid file");
    let settings = Settings::resolve(&Choice::of(given)).expect("valid settings");
    Plan::new(&drag, Path::new(""), size, &settings, 64)
        .ok()
        .filter(|plan| !plan.regions.is_empty())
}

fn warped(picture: &Picture, regions: &str, given: Overrides) -> Warped {
    let plan = plan(regions, picture.size(), given).expect("a plan that moves something");
    Warped::new(picture, &plan)
}

const BOX: &str = r#""region": { "rect": [20, 24, 36, 40] }"#;

#[test]
fn a_shift_by_whole_pixels_copies_them() {
    let picture = noise(Size::new(96, 80));
    let regions =
        format!(r#"{{ "type": "translation", {BOX}, "handle": [28, 32], "target": [51, 27] }}"#);
    let Warped { picture: moved, .. } = warped(&picture, &regions, plain());
    for (y, x) in (24..40).flat_map(|y| (20..36).map(move |x| (y, x))) {
        assert_eq!(
            moved.pixel(x + 23, y - 5),
            picture.pixel(x, y),
            "({x}, {y})"
        );
    }
    for (y, x) in (0..80).flat_map(|y| (0..96).map(move |x| (y, x))) {
        let was_there = (20..36).contains(&x) && (24..40).contains(&y);
        let is_there = (43..59).contains(&x) && (19..35).contains(&y);
        if !was_there && !is_there {
            assert_eq!(moved.pixel(x, y), picture.pixel(x, y), "({x}, {y})");
        }
    }
}

#[test]
fn a_quarter_turn_permutes_pixels() {
    let picture = noise(Size::new(96, 80));
    let regions = format!(r#"{{ "type": "rotation", {BOX}, "center": [28, 32], "angle": 90 }}"#);
    let Warped {
        picture: turned, ..
    } = warped(&picture, &regions, plain());
    // Counter-clockwise: the right column becomes the top row.
    for (down, right) in (0..16).flat_map(|down| (0..16).map(move |right| (down, right))) {
        let from = picture.pixel(20 + right, 24 + down);
        assert_eq!(
            turned.pixel(20 + down, 24 + 15 - right),
            from,
            "({right}, {down})"
        );
    }
}

#[test]
fn a_found_object_leaves_its_margin_and_the_ground_closes() {
    let size = Size::new(96, 80);
    let (picture, expected) = (
        scene(size, (24, 28), (32, 36)),
        scene(size, (54, 30), (62, 38)),
    );
    let regions =
        format!(r#"{{ "type": "translation", {BOX}, "handle": [28, 32], "target": [58, 34] }}"#);
    let moved = warped(&picture, &regions, Overrides::default());
    let largest = (0..80)
        .flat_map(|y| (0..96).map(move |x| (x, y)))
        .flat_map(|(x, y)| {
            let (found, wanted) = (moved.picture.pixel(x, y), expected.pixel(x, y));
            found.into_iter().zip(wanted)
        })
        .map(|(found, wanted)| found.abs_diff(wanted))
        .max();
    assert!(largest <= Some(2), "{largest:?}");
    // New is what the object covered, and nothing else.
    for (point, is_new) in [
        ((28.0, 32.0), true),
        ((22.0, 26.0), false),
        ((58.0, 34.0), false),
    ] {
        let share = moved.new_at(Point::new(point.0, point.1));
        assert_eq!(share > 0.5, is_new, "{point:?}: {share}");
    }
}

/// A region within a large object shows only what stands out in it, which is not what the handle lies on.
#[test]
fn a_detail_beside_the_handle_is_noticed() {
    let size = Size::new(160, 160);
    let picture = scene(size, (46, 46), (66, 66));
    for (region, handle, expected) in [
        ("[40, 40, 110, 110]", "[80, 80]", &["part"][..]),
        ("[40, 40, 110, 110]", "[56, 56]", &[]),
        ("[42, 42, 70, 70]", "[68, 68]", &[]),
    ] {
        let regions = format!(
            r#"{{ "id": "part", "type": "translation", "region": {{ "rect": {region} }}, "handle": {handle}, "target": [100, 84] }}"#
        );
        let moved = warped(&picture, &regions, Overrides::default());
        assert_eq!(moved.details, expected, "{region}, {handle}");
    }
}

#[test]
fn a_pulled_bar_keeps_its_cross_section() {
    let size = Size::new(96, 64);
    let picture = scene(size, (10, 28), (40, 36));
    let regions = r#"{ "type": "deformation", "region": { "rect": [30, 22, 46, 42] }, "handle": [40, 32], "target": [64, 32] }"#;
    let pulled = warped(&picture, regions, plain()).picture;
    let expected = scene(size, (10, 28), (64, 36));
    assert_eq!(pulled, expected);
}

#[test]
fn cells_are_new_by_the_share_of_their_pixels() {
    // The working picture has the picture's own size, so a cell is 8 x 8 pixels.
    let size = Size::new(64, 64);
    let picture = scene(size, (8, 8), (24, 20));
    let regions = r#"{ "type": "translation", "region": { "rect": [8, 8, 24, 20] }, "handle": [16, 14], "target": [48, 46] }"#;
    let plan = plan(regions, size, plain()).expect("a plan that moves something");
    let cells = Warped::new(&picture, &plan).new_cells(&plan.frame);
    let row = |row: usize| &cells[row * 8..row * 8 + 4];
    assert_eq!(row(0), [0.0; 4]);
    assert_eq!(row(1), [0.0, 1.0, 1.0, 0.0]);
    assert_eq!(row(2), [0.0, 0.5, 0.5, 0.0]);
    assert_eq!(row(3), [0.0; 4]);
}

/// A region of one pixel of the picture, which is a cell of the latent at working size.
#[test]
fn a_region_of_one_pixel_moves() {
    let size = Size::new(64, 64);
    let picture = scene(size, (30, 30), (31, 31));
    let regions = r#"{ "type": "translation", "region": { "rect": [30, 30, 31, 31] }, "handle": [30.5, 30.5], "target": [40.5, 34.5] }"#;
    let text = format!("{{ \"version\": 1, \"regions\": [{regions}] }}");
    let drag = DragFile::parse(text.as_bytes()).expect("a valid file");
    for given in [plain(), Overrides::default()] {
        let settings = Settings::resolve(&Choice::of(given)).expect("valid settings");
        let plan = Plan::new(&drag, Path::new(""), size, &settings, 512).expect("a valid plan");
        let moved = Warped::new(&picture, &plan).picture;
        let expected = scene(size, (40, 34), (41, 35));
        for point in [(30, 30), (40, 34), (10, 10)] {
            let (found, wanted) = (
                moved.pixel(point.0, point.1),
                expected.pixel(point.0, point.1),
            );
            let differs = found
                .iter()
                .zip(&wanted)
                .any(|(found, wanted)| found.abs_diff(*wanted) > 60);
            assert!(!differs, "{found:?} is not {wanted:?} at {point:?}");
        }
    }
}

fn number(value: f64) -> String {
    format!("{value:.3}")
}

/// A region of any type, with a motion that may lead out of the picture.
fn any_region() -> impl Strategy<Value = String> {
    let corner = (0.0..60.0_f64, 0.0..44.0_f64, 4.0..40.0_f64, 4.0..30.0_f64);
    let motion = (
        0_usize..6,
        -90.0..90.0_f64,
        -70.0..70.0_f64,
        -360.0..360.0_f64,
        0.2..4.0_f64,
    );
    (corner, motion).prop_map(|((x, y, width, height), (kind, dx, dy, angle, factor))| {
        let shape = [x, y, (x + width).min(96.0), (y + height).min(80.0)].map(number);
        let (cx, cy) = (
            x + (width / 2.0).min((96.0 - x) / 2.0),
            y + (height / 2.0).min((80.0 - y) / 2.0),
        );
        let point = |x: f64, y: f64| format!("[{}, {}]", number(x), number(y));
        let target = point((cx + dx).clamp(0.0, 96.0), (cy + dy).clamp(0.0, 80.0));
        let centre = point(cx, cy);
        let (kind, keys) = match kind {
            0 => (
                "translation",
                format!(r#""handle": {centre}, "target": {target}"#),
            ),
            1 => (
                "deformation",
                format!(r#""handle": {centre}, "target": {target}"#),
            ),
            2 => (
                "rotation",
                format!(r#""center": {centre}, "angle": {}"#, number(angle)),
            ),
            3 => (
                "scale",
                format!(r#""center": {centre}, "factor": {}"#, number(factor)),
            ),
            4 => (
                "translation",
                format!(
                    r#""handle": {centre}, "target": {target}, "angle": {}"#,
                    number(angle)
                ),
            ),
            _ => (
                "deformation",
                format!(
                    r#""handle": {centre}, "target": {target}, "anchor": {}"#,
                    point(
                        (cx - dx / 2.0).clamp(0.0, 96.0),
                        (cy - dy / 2.0).clamp(0.0, 80.0)
                    )
                ),
            ),
        };
        format!(
            r#"{{ "type": "{kind}", "region": {{ "rect": [{}] }}, {keys} }}"#,
            shape.join(", ")
        )
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn nothing_changes_outside_the_editable_area_and_no_colour_is_invented(
        region in any_region(),
        is_found in any::<bool>(),
    ) {
        let size = Size::new(96, 80);
        let picture = noise(size);
        let given = if is_found { Overrides::default() } else { plain() };
        if let Some(plan) = plan(&region, size, given) {
            let warped = Warped::new(&picture, &plan);
            let editable = plan.editable_source.as_ref().expect("the swept area");
            for centre in size.centres() {
                let (x, y) = (centre.x as usize, centre.y as usize);
                if !editable.at(centre) {
                    prop_assert_eq!(warped.picture.pixel(x, y), picture.pixel(x, y));
                    prop_assert_eq!(warped.new_at(centre), 0.0);
                }
                prop_assert!((0.0..=1.0).contains(&warped.new_at(centre)));
            }
            let cells = warped.new_cells(&plan.frame);
            prop_assert!(cells.iter().all(|share| (0.0..=1.0).contains(share)));
        }
    }

    /// On a ground of one colour with a region of another, every warp has these two colours and mixtures of them.
    #[test]
    fn two_colours_stay_two_colours(region in any_region()) {
        let size = Size::new(96, 80);
        let picture = scene(size, (30, 20), (60, 50));
        if let Some(plan) = plan(&region, size, plain()) {
            let warped = Warped::new(&picture, &plan).picture;
            for (y, x) in (0..80).flat_map(|y| (0..96).map(move |x| (y, x))) {
                let pixel = warped.pixel(x, y);
                let inside = (90..=200).contains(&pixel[0])
                    && (40..=140).contains(&pixel[1])
                    && (30..=160).contains(&pixel[2]);
                prop_assert!(inside, "{pixel:?} at ({x}, {y})");
            }
        }
    }
}

/// A red box at columns 20 to 36 whose right quarter lies behind a tall dark box.
fn occluded() -> Picture {
    let pixel = |index: usize| {
        let (x, y) = (index % 96, index / 96);
        if (32..56).contains(&x) && (12..56).contains(&y) {
            [20, 30, 60]
        } else if (20..36).contains(&x) && (24..40).contains(&y) {
            [200, 40, 30]
        } else {
            [90, 140, 160]
        }
    };
    Picture::from_rgb(Size::new(96, 80), (0..96 * 80).flat_map(pixel).collect())
}

#[test]
fn what_stands_in_front_stays_in_place_and_in_front() {
    let picture = occluded();
    let region = r#""region": { "rect": [16, 20, 39, 44] }"#;
    for target in [[27, 60], [31, 32]] {
        let regions = format!(
            r#"{{ "type": "translation", {region}, "handle": [27, 32], "target": {target:?} }}"#
        );
        let moved = warped(&picture, &regions, Overrides::default()).picture;
        for (y, x) in (12..56).flat_map(|y| (32..56).map(move |x| (y, x))) {
            let (before, after) = (picture.pixel(x, y), moved.pixel(x, y));
            let near = before.iter().zip(&after).all(|(a, b)| a.abs_diff(*b) <= 4);
            assert!(
                near,
                "({x}, {y}) of the box in front is {after:?} after {target:?}"
            );
        }
        // Nothing of the box in front goes along.
        let dark = (0..80)
            .flat_map(|y| (0..96).map(move |x| (x, y)))
            .filter(|(x, y)| !((31..57).contains(x) && (11..57).contains(y)))
            .filter(|(x, y)| moved.pixel(*x, *y)[0] < 60);
        assert_eq!(dark.count(), 0, "dark pixels after {target:?}");
    }
}

#[test]
fn what_stands_in_front_can_be_dragged_too() {
    let picture = occluded();
    let regions = r#"
        { "type": "translation", "region": { "rect": [16, 20, 39, 44] }, "handle": [27, 32], "target": [27, 60] },
        { "type": "translation", "region": { "rect": [29, 9, 60, 60] }, "handle": [44, 34], "target": [68, 34] }"#;
    let moved = warped(&picture, regions, Overrides::default()).picture;
    for (y, x) in (14..54).flat_map(|y| (34..52).map(move |x| (y, x))) {
        assert!(moved.pixel(x, y)[0] > 60, "({x}, {y}) is still dark");
        assert!(moved.pixel(x + 24, y)[0] < 60, "({x}, {y}) has not moved");
    }
}
