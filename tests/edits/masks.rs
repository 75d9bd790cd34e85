//! Masks as other programs save them, and pictures with transparency, through whole edits.

use image::{DynamicImage, GrayImage, ImageBuffer, Luma, LumaA, RgbaImage};

use super::model_files::edit;
use crate::bench::Bench;
use crate::bench::tiny::model;

const SIDE: u32 = 96;

/// A bench with a picture and a drag file whose `editable` is given.
fn bench(picture: impl Fn(u32, u32) -> [u8; 4], editable: &str) -> Bench {
    let bench = Bench::new();
    RgbaImage::from_fn(SIDE, SIDE, |x, y| picture(x, y).into())
        .save(bench.path("in.png"))
        .unwrap();
    write(&bench, editable);
    bench
}

fn write(bench: &Bench, editable: &str) {
    bench.write(
        "drag.json",
        format!(
            r#"{{"version": 1, "regions": [{{"type": "translation", "region": {{"ellipse": [40, 40, 12, 12]}},
                "handle": [40, 40], "target": [56, 44]}}], "editable": {editable}}}"#
        ),
    );
}

/// An opaque picture with a disc.
fn disc(x: u32, y: u32) -> [u8; 4] {
    if is_in(x, y, 40, 12) {
        [220, 40, 30, 255]
    } else {
        [90, (x + 60) as u8, (y + 60) as u8, 255]
    }
}

fn is_in(x: u32, y: u32, centre: u32, radius: u32) -> bool {
    let (dx, dy) = (x.abs_diff(centre), y.abs_diff(centre));
    dx * dx + dy * dy <= radius * radius
}

fn changed(bench: &Bench) -> Vec<(u32, u32)> {
    let [before, after] =
        ["in.png", "out.png"].map(|name| image::open(bench.path(name)).unwrap().to_rgba8());
    let pixels = before.enumerate_pixels();
    pixels
        .filter(|(x, y, pixel)| after.get_pixel(*x, *y) != *pixel)
        .map(|(x, y, _)| (x, y))
        .collect()
}

#[test]
fn masks_of_other_programs_mean_what_they_show() {
    let bench = bench(disc, "\"everything\"");
    let inside = |x, y| is_in(x, y, 46, 30);
    let grey = |levels: [u8; 2]| -> DynamicImage {
        GrayImage::from_fn(SIDE, SIDE, |x, y| Luma([levels[usize::from(inside(x, y))]])).into()
    };
    let sixteen: DynamicImage = ImageBuffer::<Luma<u16>, _>::from_fn(SIDE, SIDE, |x, y| {
        Luma([if inside(x, y) { 255_u16 } else { 0 }])
    })
    .into();
    let erased: DynamicImage = ImageBuffer::<LumaA<u8>, _>::from_fn(SIDE, SIDE, |x, y| {
        LumaA([255_u8, if inside(x, y) { 255 } else { 0 }])
    })
    .into();
    let mut expected: Option<Vec<u8>> = None;
    for (name, mask, is_noted) in [
        ("plain", grey([0, 255]), false),
        ("ones", grey([0, 1]), true),
        ("labels", grey([0, 38]), true),
        ("sixteen", sixteen, true),
        ("erased", erased, true),
    ] {
        mask.save(bench.path("mask.png")).unwrap();
        write(&bench, r#"{"mask": "mask.png"}"#);
        let ended = edit(&bench, &model()).run();
        if is_noted {
            ended.stderr_has("warning: the mask `mask.png` has");
        } else {
            ended.stderr_lacks("warning");
        }
        // The same shape gives the same result.
        let samples = image::open(bench.path("out.png")).unwrap().into_bytes();
        assert!(
            *expected.get_or_insert_with(|| samples.clone()) == samples,
            "{name}"
        );
        let changed = changed(&bench);
        assert!(changed.len() > 100, "{name}: {}", changed.len());
        assert!(
            changed.iter().all(|(x, y)| inside(*x, *y)),
            "{name}: only the disc may change"
        );
    }
    // Turned round, only the rest may change.
    grey([255, 0]).save(bench.path("mask.png")).unwrap();
    write(&bench, r#"{"mask": "mask.png", "invert": true}"#);
    edit(&bench, &model()).run();
    assert!(changed(&bench).iter().all(|(x, y)| inside(*x, *y)));
}

#[test]
fn masks_that_tell_nothing_are_refused_with_what_to_do() {
    let bench = bench(disc, r#"{"mask": "mask.png"}"#);
    let levels = GrayImage::from_fn(SIDE, SIDE, |x, _| Luma([(x / 4) as u8]));
    levels.save(bench.path("mask.png")).unwrap();
    edit(&bench, &model()).ended().assert(2).stderr_has_all(&[
        "the brightest pixel of the mask `mask.png` is 23 of 255",
        "white is inside",
    ]);
    let both = ImageBuffer::<LumaA<u8>, _>::from_fn(SIDE, SIDE, |x, y| {
        LumaA([
            if x < 48 { 255_u8 } else { 0 },
            if y < 48 { 255 } else { 0 },
        ])
    });
    both.save(bench.path("mask.png")).unwrap();
    edit(&bench, &model()).ended().assert(2).stderr_has_all(&[
        "alpha channel",
        r#"`"channel": "alpha"`"#,
        r#"`"channel": "luma"`"#,
    ]);
    for channel in ["alpha", "luma"] {
        write(
            &bench,
            &format!(r#"{{"mask": "mask.png", "channel": "{channel}"}}"#),
        );
        edit(&bench, &model()).run();
        let is_inside = |(x, y): &(u32, u32)| if channel == "luma" { *x < 48 } else { *y < 48 };
        assert!(changed(&bench).iter().all(is_inside), "{channel}");
    }
    write(&bench, r#"{"rect": [0, 0, 90, 90], "invert": true}"#);
    edit(&bench, &model())
        .ended()
        .assert(2)
        .stderr_has("belong to a mask, not to `rect`");
}

/// What cannot be seen before and after the edit is said; a region with one visible pixel is not.
#[test]
fn transparent_pictures_and_regions_have_a_warning() {
    let warnings = |picture: fn(u32, u32) -> [u8; 4]| {
        let bench = bench(picture, "\"everything\"");
        let ended = edit(&bench, &model()).arg("--json");
        let ended = ended.any_stdout().ended().assert(0);
        let kinds = ended.warnings().into_iter().map(str::to_owned);
        (kinds.collect::<Vec<String>>(), ended.stderr)
    };
    let transparent = ["image.transparent"];
    let (kinds, stderr) = warnings(|_, _| [9, 9, 9, 0]);
    assert_eq!(kinds, transparent);
    assert!(
        stderr.contains("every pixel of the picture is transparent"),
        "{stderr}"
    );
    let (kinds, stderr) = warnings(|x, _| [9, 9, 9, if x > 80 { 255 } else { 0 }]);
    assert_eq!(kinds, transparent);
    assert!(
        stderr.contains("covers only transparent pixels"),
        "{stderr}"
    );
    let (kinds, _) = warnings(|x, y| [9, 9, 9, u8::from((x, y) == (40, 40))]);
    assert!(kinds.is_empty(), "{kinds:?}");
}

/// A cut-out on nothing: the moved disc can be seen at its target, and not where it was.
#[test]
fn transparency_moves_with_what_it_covers() {
    let cut_out = |x, y| {
        if is_in(x, y, 40, 12) {
            [200, 40, 30, 255]
        } else {
            [7, 7, 7, 0]
        }
    };
    let bench = bench(cut_out, "\"everything\"");
    edit(&bench, &model()).run();
    let after = image::open(bench.path("out.png")).unwrap().to_rgba8();
    let alpha = |x, y| after.get_pixel(x, y).0[3];
    assert!(
        alpha(56, 44) > 250,
        "the disc is at its target: {}",
        alpha(56, 44)
    );
    assert!(alpha(30, 38) < 5, "and has left: {}", alpha(30, 38));
    assert_eq!(after.get_pixel(90, 90).0[3], 0, "nothing appears elsewhere");

    // The warped picture moves it as well, with its colours.
    bench
        .dragnext([
            "preview",
            "in.png",
            "--drag",
            "drag.json",
            "--warped",
            "-o",
            "warped.png",
        ])
        .any_stderr()
        .run();
    let warped = image::open(bench.path("warped.png")).unwrap().to_rgba8();
    assert_eq!(warped.get_pixel(56, 44).0, [200, 40, 30, 255]);
    assert_eq!(warped.get_pixel(30, 38).0[3], 0);
    assert_eq!(
        warped.get_pixel(90, 90).0,
        [7, 7, 7, 0],
        "hidden colours stay"
    );
}
