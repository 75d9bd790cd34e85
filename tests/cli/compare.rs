//! `dragnext compare`: its numbers equal those of scikit-image, its limits decide the exit status, and unusable pictures are rejected.

use std::path::{Path, PathBuf};

use image::{DynamicImage, GrayImage, ImageBuffer, Luma, Rgb, Rgba};
use serde_json::Value;

use crate::bench::{Bench, Record, Run};

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("examples/edits")
        .join(name)
        .join("input.png")
}

fn save(bench: &Bench, name: &str, picture: impl Into<DynamicImage>) {
    picture.into().save(bench.path(name)).unwrap();
}

/// `dragnext compare` with these arguments. Its table is for the test to check.
fn compare(bench: &Bench, arguments: &[&str]) -> Run {
    bench.dragnext(["compare"]).args(arguments).any_stdout()
}

/// The record of a comparison, whatever its exit status.
fn json(bench: &Bench, arguments: &[&str]) -> Record {
    compare(bench, arguments).arg("--json").ended().record
}

fn status(bench: &Bench, arguments: &[&str]) -> Option<i32> {
    compare(bench, arguments).ended().status
}

/// A grey ramp of 40 x 30 with 60 added at one pixel.
fn ramp(spot: Option<(u32, u32)>) -> GrayImage {
    GrayImage::from_fn(40, 30, |x, y| {
        Luma([(2 * x + 3 * y) as u8 + if Some((x, y)) == spot { 60 } else { 0 }])
    })
}

/// tests/peer/similarity.py prints these numbers.
#[test]
fn the_numbers_equal_those_of_scikit_image() {
    let (a, b) = (example("translation-00"), example("translation-07"));
    let record = json(&Bench::new(), &[a.to_str().unwrap(), b.to_str().unwrap()]);
    let all = &record["all"];
    let close = |name: &str, expected: f64| {
        let found = all[name].as_f64().unwrap();
        assert!(
            (found - expected).abs() < 1e-9,
            "{name}: {found}, not {expected}"
        );
    };
    close("max_diff", 230.0);
    close("mean_diff", 59.639_531_453_450_52);
    close("psnr", 10.918_157_197_724_769);
    close("ssim", 0.847_120_157_795_187_1);
    assert_eq!(
        (&all["differing"], &all["pixels"], &all["share"]),
        (&65_536.into(), &65_536.into(), &1.0.into())
    );
}

#[test]
fn equal_pictures_pass_the_strictest_limits() {
    let bench = Bench::new();
    save(&bench, "a.png", ramp(None));
    let strictest = [
        "--max-diff",
        "0",
        "--mean-diff",
        "0",
        "--min-psnr",
        "1000",
        "--min-ssim",
        "1",
        "--max-share",
        "0",
    ];
    compare(&bench, &["a.png", "a.png"])
        .args(strictest)
        .stdout_has("all           1200     0.000 %        0   0.0000        inf  1.00000")
        .run();
    assert_eq!(
        json(&bench, &["a.png", "a.png"])["all"]["psnr"],
        Value::Null,
        "JSON has no infinity"
    );
}

#[test]
fn every_limit_decides_the_exit_status() {
    let bench = Bench::new();
    save(&bench, "a.png", ramp(None));
    save(&bench, "b.png", ramp(Some((20, 15))));
    assert_eq!(
        status(&bench, &["a.png", "b.png"]),
        Some(0),
        "without limits every difference passes"
    );
    for (limit, broken, kept, metric) in [
        ("--max-diff", "59.9", "60", "max_diff"),
        ("--mean-diff", "0.049", "0.05", "mean_diff"),
        ("--min-psnr", "44", "43", "psnr"),
        ("--min-ssim", "0.999", "0.5", "ssim"),
        ("--max-share", "0.0008", "0.00084", "share"),
    ] {
        assert_eq!(
            status(&bench, &["a.png", "b.png", limit, kept]),
            Some(0),
            "{limit} {kept}"
        );
        compare(&bench, &["a.png", "b.png", limit, broken])
            .status(1)
            .stderr_has("error: b.png: differs from `a.png`: ")
            .run();
        let record = json(&bench, &["a.png", "b.png", limit, broken]);
        assert_eq!(
            (&record["status"], &record["over"][0]["metric"]),
            (&"over".into(), &metric.into())
        );
    }
    for wrong in [
        ["--max-diff", "256"],
        ["--min-ssim", "-0.1"],
        ["--max-share", "1.1"],
        ["--min-psnr", "much"],
    ] {
        assert_eq!(
            status(&bench, &[&["a.png", "b.png"][..], &wrong].concat()),
            Some(2),
            "{wrong:?}"
        );
    }
}

#[test]
fn inside_and_outside_of_a_mask_are_judged_separately() {
    let bench = Bench::new();
    save(&bench, "a.png", ramp(None));
    save(&bench, "b.png", ramp(Some((5, 5))));
    save(
        &bench,
        "left.png",
        GrayImage::from_fn(40, 30, |x, _| Luma([if x < 20 { 255 } else { 0 }])),
    );
    save(
        &bench,
        "right.png",
        GrayImage::from_fn(40, 30, |x, _| Luma([if x < 20 { 0 } else { 255 }])),
    );
    let left = ["a.png", "b.png", "--mask", "left.png"];
    let right = ["a.png", "b.png", "--mask", "right.png"];
    let with =
        |base: &[&'static str], more: &[&'static str]| status(&bench, &[base, more].concat());
    assert_eq!(
        with(&left, &["--outside-max-diff", "0"]),
        Some(0),
        "it differs inside"
    );
    assert_eq!(
        with(&right, &["--outside-max-diff", "0"]),
        Some(1),
        "it differs outside"
    );
    assert_eq!(
        with(&right, &["--max-diff", "59"]),
        Some(1),
        "limits apply outside too"
    );
    assert_eq!(
        with(&right, &["--max-diff", "59", "--outside-max-diff", "60"]),
        Some(0),
        "unless the outside has its own limit"
    );
    let record = json(&bench, &[&right[..], &["--outside-max-diff", "0"]].concat());
    assert_eq!(
        (&record["over"][0]["area"], &record["inside"]["differing"]),
        (&"outside".into(), &0.into())
    );
    assert_eq!(
        (&record["outside"]["pixels"], &record["outside"]["max_diff"]),
        (&600.into(), &60.0.into())
    );
}

/// Equal colours are equal in 8 and 16 bits, as grey or RGB, and with or without alpha. A 16-bit level is 1/257 of an 8-bit level.
#[test]
fn pictures_of_different_formats_are_compared_by_their_colours() {
    let bench = Bench::new();
    save(&bench, "grey8.png", ramp(None));
    save(
        &bench,
        "rgb8.png",
        DynamicImage::from(ramp(None)).into_rgb8(),
    );
    save(
        &bench,
        "rgba16.png",
        DynamicImage::from(ramp(None)).into_rgba16(),
    );
    for pair in [
        ["grey8.png", "rgb8.png"],
        ["rgb8.png", "rgba16.png"],
        ["rgba16.png", "grey8.png"],
    ] {
        assert_eq!(
            status(&bench, &[pair[0], pair[1], "--max-diff", "0"]),
            Some(0),
            "{pair:?}"
        );
    }
    let mut finer = DynamicImage::from(ramp(None)).into_rgb16();
    finer.get_pixel_mut(7, 7).0[1] += 1;
    save(&bench, "finer.png", finer);
    let max = json(&bench, &["rgb8.png", "finer.png"])["all"]["max_diff"]
        .as_f64()
        .unwrap();
    assert!((max - 1.0 / 257.0).abs() < 1e-12, "{max}");
    assert_eq!(
        status(&bench, &["rgb8.png", "finer.png", "--max-diff", "0"]),
        Some(1)
    );
}

#[test]
fn alpha_is_a_difference() {
    let bench = Bench::new();
    let picture = |alpha: u8| {
        ImageBuffer::from_fn(20, 20, move |x, _| {
            Rgba([9u8, 9, 9, if x == 0 { alpha } else { 255 }])
        })
    };
    save(&bench, "opaque.png", picture(255));
    save(&bench, "clear.png", picture(55));
    save(
        &bench,
        "none.png",
        ImageBuffer::from_pixel(20, 20, Rgb([9u8, 9, 9])),
    );
    for other in ["opaque.png", "none.png"] {
        let record = json(&bench, &[other, "clear.png"]);
        let all = &record["all"];
        // 200 levels in one column of twenty and in one channel of four.
        assert_eq!(
            (&all["max_diff"], &all["mean_diff"], &all["differing"]),
            (&200.0.into(), &2.5.into(), &20.into()),
            "{other}"
        );
    }
}

#[test]
fn pictures_that_cannot_be_compared_are_rejected() {
    let bench = Bench::new();
    save(&bench, "a.png", ramp(None));
    save(&bench, "b.png", GrayImage::new(40, 31));
    bench.write("text.png", "no picture");
    for (arguments, kind, message) in [
        (
            &["a.png", "b.png"][..],
            "image.size",
            "b.png: is 40 x 31 pixels, but `a.png` is 40 x 30",
        ),
        (&["a.png", "none.png"], "image.missing", "none.png"),
        (&["text.png", "a.png"], "image.unsupported", "text.png"),
        (
            &["a.png", "a.png", "--mask", "b.png"],
            "mask.size",
            "b.png: the mask is 40 x 31 pixels, the pictures are 40 x 30",
        ),
        (
            &["a.png", "a.png", "--mask", "none.png"],
            "mask.missing",
            "none.png",
        ),
        (
            &["a.png", "a.png", "--mask", "text.png"],
            "mask.decode",
            "text.png",
        ),
    ] {
        let run = compare(&bench, arguments).stdout("");
        run.status(2).stderr_has(message).run();
        let record = json(&bench, arguments);
        assert_eq!(
            (&record["status"], &record["error"]["kind"]),
            (&"failed".into(), &kind.into()),
            "{arguments:?}"
        );
    }
}
