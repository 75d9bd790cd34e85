//! `edit --diagnostics`: pictures of how a result came about.

use image::{DynamicImage, GenericImageView};

use crate::bench::program::names;
use crate::bench::{Bench, Ended, Run};
use crate::command::{TRANSLATION, picture};

const ALL: [&str; 4] = [
    "agreement.png",
    "contribution.png",
    "vacated.png",
    "warped.png",
];

/// A bench with a picture and a drag file whose editable area is a rectangle.
fn bench() -> Bench {
    let bench = Bench::new();
    picture(&bench, 96, 80);
    let editable = "\"version\": 1, \"editable\": { \"rect\": [10, 10, 90, 70] },";
    bench.write(
        "drag.json",
        TRANSLATION.replace("\"version\": 1,", editable),
    );
    bench
}

fn command(bench: &Bench, arguments: &[&str]) -> Run {
    bench
        .short_edit(&[
            "-o",
            "out.png",
            "--diagnostics",
            "why",
            "--no-lora",
            "--json",
        ])
        .args(arguments)
        .any_stdout()
}

fn edit(bench: &Bench, arguments: &[&str]) -> Ended {
    command(bench, arguments).run()
}

fn open(bench: &Bench, name: &str) -> DynamicImage {
    image::open(bench.path(name)).unwrap()
}

/// Every pixel of the pictures is what its documentation says.
#[test]
fn the_pictures_show_the_warp_and_what_the_network_contributed() {
    let bench = bench();
    let ended = edit(&bench, &[]);
    assert_eq!(names(&bench.path("why")), ALL);
    for name in ALL {
        assert!(
            ended.stderr.contains(&format!("wrote why/{name}\n")),
            "{ended}"
        );
        assert_eq!(open(&bench, &format!("why/{name}")).dimensions(), (96, 80));
    }
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
        .args(["--size", "64", "--quiet"])
        .run();
    let (before, result) = (
        open(&bench, "in.png").into_rgba8(),
        open(&bench, "out.png").into_rgba8(),
    );
    let warped = open(&bench, "why/warped.png").into_rgba8();
    assert_eq!(
        warped,
        open(&bench, "warped.png").into_rgba8(),
        "as `preview` has it"
    );

    let grey = |name: &str| match open(&bench, name) {
        DynamicImage::ImageLuma8(grey) => grey,
        other => panic!("{name} is grey: {:?}", other.color()),
    };
    let (vacated, agreement) = (grey("why/vacated.png"), grey("why/agreement.png"));
    let contribution = open(&bench, "why/contribution.png").into_rgb8();
    let (mut new, mut differs) = (0, 0);
    for (x, y, pixel) in contribution.enumerate_pixels() {
        let is_editable = (10..90).contains(&x) && (10..70).contains(&y);
        for channel in 0..3 {
            let [from, to] =
                [&warped, &result].map(|picture| i32::from(picture.get_pixel(x, y).0[channel]));
            let expected = if is_editable {
                (128 + 4 * (to - from)).clamp(0, 255)
            } else {
                128
            };
            assert_eq!(i32::from(pixel.0[channel]), expected, "({x}, {y})");
            differs += i32::from(expected != 128);
        }
        let share = vacated.get_pixel(x, y).0[0];
        if share > 0 {
            new += 1;
            assert_ne!(
                before.get_pixel(x, y),
                warped.get_pixel(x, y),
                "({x}, {y}) is filled"
            );
        }
    }
    assert!(new > 30 && differs > 300, "{new} vacated, {differs} differ");
    assert!(vacated.get_pixel(60, 45).0[0] == 0 && vacated.get_pixel(5, 5).0[0] == 0);
    let levels: std::collections::BTreeSet<u8> =
        agreement.pixels().map(|pixel| pixel.0[0]).collect();
    assert!(levels.len() > 5, "the agreement varies: {levels:?}");
}

/// The result and its report do not depend on the diagnostics, and 16 bits and windows are kept.
#[test]
fn the_result_is_the_same_with_and_without_diagnostics() {
    let bench = Bench::new();
    let wave = |x: u32, y: u32| (f64::from(x * 3 + y * 5).sin().abs() * 65_535.0) as u16;
    image::ImageBuffer::from_fn(400, 300, |x, y| image::Luma([wave(x, y)]))
        .save(bench.path("in.png"))
        .unwrap();
    bench.write("drag.json", TRANSLATION);
    let arguments = ["--size", "64", "--margin", "8"];
    let ended = edit(&bench, &arguments);
    bench
        .short_edit(&["-o", "plain.png", "--no-lora"])
        .args(arguments)
        .run();
    assert!(bench.read("out.png") == bench.read("plain.png"));
    let warped = open(&bench, "why/warped.png");
    assert_eq!(warped.color(), image::ColorType::L16);
    let window: Vec<u64> = serde_json::from_value(ended.record["window"].clone()).unwrap();
    assert!(window[2] < 400, "{window:?}");
    let agreement = open(&bench, "why/agreement.png").into_luma8();
    assert_eq!(
        agreement.get_pixel(399, 299).0,
        [255],
        "outside the window the picture stays"
    );
}

#[test]
fn pictures_that_an_edit_does_not_have_cause_a_warning() {
    for (arguments, written, reason) in [
        (
            &["--start", "moved"][..],
            &[][..],
            "`warped.png`, `vacated.png`, `agreement.png`, `contribution.png`: this edit uses no warped picture",
        ),
        (
            &["--detail", "0"],
            &["contribution.png", "vacated.png", "warped.png"],
            "`agreement.png`: no detail is carried along",
        ),
        (&["--start", "paper", "--detail", "0.5"], &ALL, ""),
    ] {
        let bench = bench();
        let ended = edit(&bench, arguments);
        let is_warned = ended.record.warnings().contains(&"diagnostics.absent");
        assert_eq!(is_warned, !reason.is_empty(), "{ended}");
        assert!(ended.stderr.contains(reason), "{ended}");
        let found = if bench.path("why").exists() {
            names(&bench.path("why"))
        } else {
            Vec::new()
        };
        assert_eq!(found, written, "{arguments:?}");
    }
    let bench = bench();
    bench.write("drag.json", TRANSLATION.replace("[60, 45]", "[40, 40]"));
    let ended = edit(&bench, &[]);
    assert!(ended.stderr.contains("nothing moves"), "{ended}");
    assert_eq!(bench.names(), ["drag.json", "in.png", "out.png"]);
}

#[test]
fn diagnostics_replace_files_only_with_overwrite() {
    let bench = bench();
    bench.write("why/vacated.png", "old");
    let ended = command(&bench, &[]).status(2).run();
    assert_eq!(ended.kind(), "output.exists");
    assert!(!ended.stderr.contains("load"), "{ended}");
    assert_eq!(bench.names(), ["drag.json", "in.png", "why"]);
    edit(&bench, &["--overwrite"]);
    assert_eq!(names(&bench.path("why")), ALL);
    assert_eq!(open(&bench, "why/vacated.png").dimensions(), (96, 80));

    for (arguments, kind) in [
        (["--strip", "why/warped.png"], "output.not_distinct"),
        (["--diagnostics", "out.png"], "output.folder"),
    ] {
        let ended = bench
            .short_edit(&["-o", "out.png", "--no-lora", "--json", "--overwrite"])
            .args(if arguments[0] == "--strip" {
                &["--diagnostics", "why"][..]
            } else {
                &[]
            })
            .args(arguments)
            .status(2)
            .any_stdout()
            .run();
        assert_eq!(ended.kind(), kind, "{ended}");
    }
}

/// The result is complete when a diagnostic cannot be written, and no partial file is left.
#[cfg(feature = "failpoints")]
#[test]
fn a_disk_that_fills_up_leaves_the_result_and_no_partial_file() {
    let bench = bench();
    for (failpoint, status, kind) in [
        ("disk_full#3", 75, "output.disk_full"),
        ("other_bytes_come_back#3", 1, "output.verify"),
    ] {
        let ended = command(&bench, &["--overwrite"])
            .env("DRAGNEXT_FAILPOINTS", failpoint)
            .status(status)
            .run();
        assert_eq!(ended.kind(), kind, "{ended}");
        assert_eq!(ended.record["status"], "failed");
        assert_eq!(bench.names(), ["drag.json", "in.png", "out.png", "why"]);
        assert_eq!(names(&bench.path("why")), ["warped.png"]);
        assert_eq!(open(&bench, "out.png").dimensions(), (96, 80));
        std::fs::remove_dir_all(bench.path("why")).unwrap();
    }
}
