//! The warp at its limits: pictures of extreme values, regions of one pixel and of the whole picture, and the wildest motions that drag files
//! may have. A value that is not finite would be stored as 0, so bright pictures show it.

use image::{ImageBuffer, Rgb};

use super::*;
use crate::picture;

const SIZE: Size = Size::new(72, 64);
/// Sides of the pictures on which a pixel of `SIZE` is at least one cell of the latent.
const WORKING: usize = 512;

/// A picture of 16 bits, read as from a file.
fn sixteen_bit(sample: impl Fn(usize) -> u16) -> Picture {
    let pixel = |x: u32, y: u32| Rgb([sample((y * SIZE.width as u32 + x) as usize); 3]);
    let image = ImageBuffer::from_fn(SIZE.width as u32, SIZE.height as u32, pixel);
    let folder = tempfile::tempdir().expect("room for a folder");
    let path = folder.path().join("picture.png");
    image.save(&path).expect("room for a file");
    picture::read(&path).expect("it was just written").picture
}

fn eight_bit(sample: impl Fn(usize) -> u8) -> Picture {
    let samples = (0..SIZE.area()).flat_map(|index| [sample(index); 3]);
    Picture::from_rgb(SIZE, samples.collect())
}

/// Pictures of one value.
fn plain_pictures() -> [Picture; 4] {
    [
        eight_bit(|_| 0),
        eight_bit(|_| u8::MAX),
        sixteen_bit(|_| 0),
        sixteen_bit(|_| u16::MAX),
    ]
}

/// Pictures with the largest steps: single bright pixels, and the extremes side by side.
fn stark_pictures() -> [Picture; 4] {
    [
        eight_bit(|index| if index % 7 == 3 { u8::MAX } else { 0 }),
        eight_bit(|index| if index % 2 == 0 { u8::MAX } else { 0 }),
        sixteen_bit(|index| if index % SIZE.width < 36 { u16::MAX } else { 0 }),
        sixteen_bit(|index| if index % 3 == 0 { u16::MAX } else { 1 }),
    ]
}

/// The ways to warp: as by default, and a region as it is drawn with hard and with blended seams.
fn ways() -> [Overrides; 3] {
    let blended = Overrides::from([("object", "drawn"), ("fill", "smooth")]);
    [Overrides::default(), plain(), blended]
}

/// Returns the plan of a region on a picture of `SIZE`; `None` when the drag file or the plan refuses it, or nothing moves.
fn accepted(region: &str, given: Overrides) -> Option<Plan> {
    let text = format!(r#"{{ "version": 1, "editable": "everything", "regions": [{region}] }}"#);
    let drag = DragFile::parse(text.as_bytes()).ok()?;
    let settings = Settings::resolve(&Choice::of(given)).expect("valid settings");
    let plan = Plan::new(&drag, Path::new(""), SIZE, &settings, WORKING).ok()?;
    (!plan.regions.is_empty()).then_some(plan)
}

/// Warps, and checks that every share that was filled in and every value of the working picture is finite and in its range.
fn checked(picture: &Picture, plan: &Plan) -> Picture {
    let warped = Warped::new(picture, plan);
    let is_share = |share: f32| (0.0..=1.0).contains(&share);
    assert!(SIZE.centres().all(|centre| is_share(warped.new_at(centre))));
    let cells = warped.new_cells(&plan.frame);
    assert!(cells.into_iter().all(is_share));
    let working = warped.picture.working(&plan.frame);
    let is_in_range = |value: &f32| (-1.0..=1.0).contains(value);
    assert!(working.iter().all(is_in_range));
    warped.picture
}

const PIXEL: &str = r#""region": { "rect": [20, 20, 21, 21] }, "handle": [20.5, 20.5]"#;
const CORNER: &str = r#""region": { "rect": [0, 0, 1, 1] }, "handle": [0.5, 0.5]"#;
const WHOLE: &str = r#""region": { "rect": [0, 0, 72, 64] }"#;

/// Motions at the limits of drag files, which all accept.
fn extremes() -> Vec<String> {
    let region = |kind: &str, keys: &str| format!(r#"{{ "type": "{kind}", {keys} }}"#);
    vec![
        region(
            "translation",
            &format!(r#"{PIXEL}, "target": [71.9, 63.9]"#),
        ),
        region("translation", &format!(r#"{CORNER}, "target": [72, 64]"#)),
        region(
            "translation",
            &format!(r#"{WHOLE}, "handle": [0, 0], "target": [71, 63]"#),
        ),
        region(
            "translation",
            &format!(r#"{WHOLE}, "handle": [36, 32], "target": [37, 32], "angle": 3600"#),
        ),
        region(
            "translation",
            &format!(r#"{PIXEL}, "target": [2, 2], "angle": -3599.5"#),
        ),
        region(
            "rotation",
            &format!(r#"{WHOLE}, "center": [36, 32], "angle": 3599"#),
        ),
        region(
            "rotation",
            &format!(r#"{WHOLE}, "center": [-400, 500], "angle": 0.5"#),
        ),
        region(
            "scale",
            &format!(r#"{WHOLE}, "center": [36, 32], "factor": 0.05"#),
        ),
        region(
            "scale",
            &format!(r#"{WHOLE}, "center": [36, 32], "factor": 20"#),
        ),
        region(
            "scale",
            r#""region": { "rect": [20, 20, 21, 21] }, "center": [20.5, 20.5], "factor": 20"#,
        ),
        region(
            "scale",
            &format!(r#"{WHOLE}, "center": [0, 0], "factor": 0.05"#),
        ),
        region(
            "affine",
            &format!(
                r#"{WHOLE}, "handles": [[0, 0], [72, 0], [0, 64]], "targets": [[0, 0], [72, 64], [0, 8]]"#
            ),
        ),
        region(
            "affine",
            &format!(
                r#"{WHOLE}, "handles": [[10, 10], [12.2, 10], [10, 12.2]], "targets": [[0, 0], [43.5, 0], [0, 43]]"#
            ),
        ),
        region(
            "deformation",
            &format!(r#"{PIXEL}, "target": [71, 63], "anchor": [19.9, 20.5]"#),
        ),
        region(
            "deformation",
            &format!(r#"{PIXEL}, "target": [71, 63], "anchor": [-1000000, -1000000]"#),
        ),
        region(
            "deformation",
            &format!(r#"{WHOLE}, "handle": [40, 20], "target": [2.1, 63], "anchor": [0, 20]"#),
        ),
        region(
            "deformation",
            &format!(r#"{WHOLE}, "handle": [36, 32], "target": [72, 64]"#),
        ),
        r#"{ "type": "point", "handle": [1, 1], "target": [60, 55] }"#.into(),
    ]
}

#[test]
fn a_picture_of_one_value_stays_as_it_is_under_every_extreme_motion() {
    for region in extremes() {
        for way in ways() {
            let plan = accepted(&region, way).unwrap_or_else(|| panic!("refused: {region}"));
            for picture in plain_pictures() {
                assert_eq!(checked(&picture, &plan), picture, "{region}");
            }
        }
    }
}

#[test]
fn stark_pictures_survive_every_extreme_motion() {
    for region in extremes() {
        for way in ways() {
            let plan = accepted(&region, way).unwrap_or_else(|| panic!("refused: {region}"));
            for picture in stark_pictures() {
                checked(&picture, &plan);
            }
        }
    }
}

/// An edit and a reconstruction that could not differ more, or less.
#[test]
fn carried_detail_stays_finite() {
    for region in extremes() {
        let plan =
            accepted(&region, Overrides::default()).unwrap_or_else(|| panic!("refused: {region}"));
        let warped = Warped::new(&stark_pictures()[3], &plan);
        let working = |value: f32| vec![value; plan.frame.padded.area() * 3];
        for (edit, seen) in [(0.0, 1.0), (1.0, 1.0)] {
            let carried = carry(&working(edit), &working(seen), &warped, &plan.frame, 1.0);
            let mut values = carried.pixels().iter().flatten();
            assert!(values.all(|value| (-1.0..=1.0).contains(value)), "{region}");
        }
    }
}

/// Beyond these limits, drag files are refused, so that the warp never sees what it could not invert.
#[test]
fn motions_beyond_the_limits_are_refused() {
    let scale = |factor: &str| {
        format!(r#"{{ "type": "scale", {WHOLE}, "center": [36, 32], "factor": {factor} }}"#)
    };
    let affine = |targets: &str| {
        format!(
            r#"{{ "type": "affine", {WHOLE}, "handles": [[0, 0], [72, 0], [0, 64]], "targets": {targets} }}"#
        )
    };
    let anchored = |target: &str, anchor: &str| {
        format!(
            r#"{{ "type": "deformation", {WHOLE}, "handle": [36, 32], "target": {target}, "anchor": {anchor} }}"#
        )
    };
    for region in [
        scale("1e-3"),
        scale("1e3"),
        scale("0"),
        scale("-1"),
        scale("1e999"),
        affine("[[0, 0], [72, 0], [72, 0]]"),
        affine("[[0, 0], [0, 64], [72, 0]]"),
        affine("[[0, 0], [72, 64], [71.9, 64]]"),
        affine("[[0, 0], [1e308, 0], [0, 1e308]]"),
        anchored("[60, 32]", "[36.4, 32]"),
        anchored("[2, 32]", "[10, 32]"),
        anchored("[60, 32]", "[1e7, 32]"),
        anchored("[1e999, 32]", "[0, 32]"),
        format!(r#"{{ "type": "translation", {PIXEL}, "target": [5000, 20] }}"#),
        format!(r#"{{ "type": "rotation", {WHOLE}, "center": [36, 32], "angle": 3601 }}"#),
    ] {
        assert!(
            accepted(&region, Overrides::default()).is_none(),
            "{region}"
        );
    }
}

/// A coordinate of the picture: often an edge, or just beside one.
fn coordinate(length: f64) -> impl Strategy<Value = f64> {
    prop_oneof![
        Just(0.0),
        Just(0.5),
        Just(length),
        Just(length - 1e-9),
        0.0..length,
    ]
}

fn point() -> impl Strategy<Value = String> {
    (coordinate(72.0), coordinate(64.0)).prop_map(|(x, y)| format!("[{x}, {y}]"))
}

/// A region that often is a pixel or the whole picture, with any motion that a drag file may have, and some that it may not.
fn wild_region() -> impl Strategy<Value = String> {
    let shape = (
        coordinate(72.0),
        coordinate(64.0),
        prop_oneof![Just(1.0), Just(72.0), 1.0..72.0],
    );
    let far = -1e6..1e6_f64;
    let numbers = (
        -3600.0..3600.0_f64,
        -3.5..3.5_f64,
        [far.clone(), far],
        any::<bool>(),
    );
    let points = prop::array::uniform6(point());
    (shape, points, numbers, 0_usize..7).prop_map(
        |((x, y, side), [a, b, c, d, e, f], (angle, power, [fx, fy], is_far), kind)| {
            let (left, top) = (x.min(71.0), y.min(63.0));
            let region = format!(
                r#""region": {{ "rect": [{left}, {top}, {}, {}] }}"#,
                left + side,
                top + side
            );
            let handle = format!("[{}, {}]", left + 0.5, top + 0.5);
            let anchor = if is_far {
                format!("[{fx}, {fy}]")
            } else {
                c.clone()
            };
            let factor = power.exp();
            let (kind, keys) = match kind {
                0 => (
                    "translation",
                    format!(r#""handle": {handle}, "target": {a}"#),
                ),
                1 => (
                    "translation",
                    format!(r#""handle": {handle}, "target": {a}, "angle": {angle}"#),
                ),
                2 => ("rotation", format!(r#""center": {a}, "angle": {angle}"#)),
                3 => ("scale", format!(r#""center": {a}, "factor": {factor}"#)),
                4 => (
                    "affine",
                    format!(r#""handles": [{a}, {b}, {c}], "targets": [{d}, {e}, {f}]"#),
                ),
                5 => (
                    "deformation",
                    format!(r#""handle": {handle}, "target": {a}"#),
                ),
                _ => (
                    "deformation",
                    format!(r#""handle": {handle}, "target": {a}, "anchor": {anchor}"#),
                ),
            };
            format!(r#"{{ "type": "{kind}", {region}, {keys} }}"#)
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn no_drag_makes_a_value_that_is_not_finite(
        region in wild_region(),
        way in 0_usize..3,
        which in 0_usize..4,
        seed in any::<u32>(),
    ) {
        if let Some(plan) = accepted(&region, ways()[way].clone()) {
            let plain = &plain_pictures()[which];
            prop_assert_eq!(&checked(plain, &plan), plain);
            checked(&stark_pictures()[which], &plan);
            // Bright noise, whose mixtures are bright.
            let noise = |index: usize| {
                let mixed = (index as u32 ^ seed).wrapping_mul(0x9e37_79b9);
                192 + (mixed >> 26) as u8
            };
            let result = checked(&eight_bit(noise), &plan);
            // The fill of found objects continues the trend of the ground, which noise may have.
            let least = if way == 0 { 0 } else { 160 };
            for centre in SIZE.centres() {
                let pixel = result.pixel(centre.x as usize, centre.y as usize);
                prop_assert!(pixel.iter().all(|sample| *sample >= least), "{pixel:?} at {centre}");
            }
        }
    }
}
