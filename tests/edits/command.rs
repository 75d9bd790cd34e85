//! `dragnext edit` with the tiny model: threads, sizes, regions at the border, LoRA files, outputs and paths.

use image::{DynamicImage, GenericImageView, ImageBuffer, Rgba};

use crate::bench::tiny::{SHORT, model};
use crate::bench::{Bench, Ended};

pub(crate) const TRANSLATION: &str = r#"{ "version": 1, "regions": [
    { "type": "translation", "region": { "ellipse": [40, 40, 14, 12] }, "handle": [40, 40], "target": [60, 45] } ] }"#;

/// Writes a smooth picture with transparent parts to `in.png`.
pub(crate) fn picture(bench: &Bench, width: u32, height: u32) -> DynamicImage {
    let wave = |x: u32, y: u32, k: f32| {
        ((((x as f32) * 0.11 * k).sin() + ((y as f32) * 0.07 / k).cos()) * 60.0 + 128.0) as u8
    };
    let alpha = |x: u32| if x < width / 3 { 90 } else { 255 };
    let picture = DynamicImage::ImageRgba8(ImageBuffer::from_fn(width, height, |x, y| {
        Rgba([wave(x, y, 1.0), wave(x, y, 1.7), wave(x, y, 0.6), alpha(x)])
    }));
    picture.save(bench.path("in.png")).unwrap();
    picture
}

/// A bench with a picture of 96 x 96 pixels and a drag file.
pub(crate) fn bench() -> Bench {
    let bench = Bench::new();
    picture(&bench, 96, 96);
    bench.write("drag.json", TRANSLATION);
    bench
}

/// A bench whose drag file moves nothing.
fn still_bench() -> Bench {
    let bench = bench();
    bench.write("drag.json", TRANSLATION.replace("[60, 45]", "[40, 40]"));
    bench
}

#[test]
fn any_number_of_threads_gives_the_same_bytes() {
    let bench = Bench::new();
    picture(&bench, 150, 110);
    bench.write("drag.json", TRANSLATION);
    let run = |threads: &str, out: &str| {
        bench
            .short_edit(&["-o", out])
            .env("RAYON_NUM_THREADS", threads)
            .run();
        bench.read(out)
    };
    let one = run("1", "one.png");
    assert!(
        one == run("2", "two.png"),
        "one thread and two give the same file"
    );
    assert!(one == run("3", "three.png"), "three threads too");
    bench.short_edit(&["-o", "seed.png", "--seed", "5"]).run();
    assert!(
        one != bench.read("seed.png"),
        "another seed gives another file"
    );
}

/// The sizes are no multiples of the network's cells. The result has the size of the picture, and its pixels outside the editable area,
/// including alpha.
#[test]
fn a_picture_of_any_size_keeps_its_size_and_its_pixels_outside() {
    for (width, height) in [(150, 110), (97, 131), (64, 64), (300, 70)] {
        let bench = Bench::new();
        let before = picture(&bench, width, height);
        bench.write(
            "drag.json",
            r#"{ "version": 1, "editable": { "rect": [10, 10, 62, 62] }, "regions": [
                { "type": "translation", "region": { "rect": [12, 12, 36, 36] }, "handle": [24, 24], "target": [44.5, 46] } ] }"#,
        );
        bench.short_edit(&["-o", "out.png"]).run();
        let after = image::open(bench.path("out.png")).unwrap();
        assert_eq!(after.dimensions(), (width, height));
        let mut changed = 0;
        for (x, y, pixel) in before.pixels() {
            let inside = (10..62).contains(&x) && (10..62).contains(&y);
            if !inside {
                assert_eq!(
                    pixel,
                    after.get_pixel(x, y),
                    "pixel ({x}, {y}) of {width} x {height}"
                );
            }
            changed += usize::from(pixel != after.get_pixel(x, y));
        }
        assert!(
            changed > 500,
            "the picture changed inside: {changed} pixels of {width} x {height}"
        );
    }
}

#[test]
fn regions_and_targets_partly_outside_the_picture_cause_warnings() {
    let bench = Bench::new();
    picture(&bench, 128, 128);
    bench.write(
        "drag.json",
        r#"{ "version": 1, "regions": [
            { "id": "edge", "type": "translation", "region": { "ellipse": [8, 64, 20, 20] }, "handle": [8, 64], "target": [30, 60] },
            { "id": "away", "type": "translation", "region": { "rect": [90, 90, 120, 120] }, "handle": [105, 105], "target": [125, 110] },
            { "id": "turn", "type": "rotation", "region": { "rect": [50, 10, 90, 40] }, "center": [70, 25], "angle": 40 } ] }"#,
    );
    let record = bench.short_edit(&["--json"]).record();
    let kinds = record.warnings();
    assert!(
        kinds.contains(&"region.partly_outside") && kinds.contains(&"region.partly_leaves"),
        "{kinds:?}"
    );
    assert_eq!(record["regions"].as_array().unwrap().len(), 3);
    assert!(
        bench.path("in.edited.png").is_file(),
        "by default the result is written beside the picture"
    );
}

/// With the handle at its target nothing is computed.
#[test]
fn a_drag_without_motion_returns_the_pixels_of_the_input() {
    let bench = still_bench();
    let before = picture(&bench, 100, 90);
    bench
        .short_edit(&["-o", "out.png"])
        .stderr_has("warning")
        .run();
    assert_eq!(
        image::open(bench.path("out.png")).unwrap().into_rgba8(),
        before.into_rgba8()
    );
}

#[test]
fn a_saved_lora_gives_the_same_result_as_its_training() {
    let bench = bench();
    let edit = |out: &str, arguments: &[&str]| {
        let arguments = [&["-o", out, "--no-metadata"], arguments].concat();
        bench.short_edit(&arguments).run();
        bench.read(out)
    };
    let trained = edit("a.png", &["--save-lora", "lora.safetensors"]);
    assert!(
        trained == edit("b.png", &["--lora", "lora.safetensors"]),
        "trained and loaded give the same bytes"
    );
    assert!(
        trained != edit("c.png", &["--no-lora"]),
        "without the LoRA the result differs"
    );
}

/// Not even `--overwrite` permits an output that is an input or another output.
#[test]
fn inputs_and_other_outputs_are_never_overwritten() {
    let bench = bench();
    for name in [
        "unet/config.json",
        "unet/diffusion_pytorch_model.safetensors",
        "scheduler/scheduler_config.json",
    ] {
        let file = std::fs::read(model().join(name)).unwrap();
        bench.write(format!("model/{name}"), file);
    }
    for (outputs, kind) in [
        (
            &["-o", "model/unet/diffusion_pytorch_model.safetensors"][..],
            "output.is_input",
        ),
        (&["-o", "drag.json"], "output.is_input"),
        (
            &["-o", "out.png", "--save-lora", "in.png"],
            "output.is_input",
        ),
        (
            &["-o", "out.png", "--save-lora", "./out.png"],
            "output.not_distinct",
        ),
    ] {
        let record = bench
            .dragnext(["edit", "in.png", "--drag", "drag.json"])
            .args(["--model", "model", "--overwrite", "--json"])
            .args(outputs)
            .status(2)
            .any_stderr()
            .record();
        assert_eq!(record.kind(), kind, "{outputs:?}");
    }
    assert!(!bench.path("out.png").exists());
}

#[test]
fn saving_a_lora_that_was_not_trained_causes_a_warning() {
    let bench = still_bench();
    let record = bench
        .short_edit(&["--save-lora", "lora.safetensors", "--json"])
        .record();
    assert_eq!(record.warnings(), ["region.no_motion", "lora.not_trained"]);
    assert!(!bench.path("lora.safetensors").exists());
}

/// Relative paths start at the current folder, those of masks at the folder of the drag file.
#[test]
fn paths_are_relative_to_the_current_folder_and_masks_to_the_drag_file() {
    let bench = Bench::new();
    picture(&bench, 96, 96);
    std::fs::create_dir_all(bench.path("drags")).unwrap();
    std::fs::create_dir_all(bench.path("elsewhere")).unwrap();
    let mask = ImageBuffer::from_fn(96, 96, |x, y| {
        image::Luma([if (20..50).contains(&x) && (20..50).contains(&y) {
            255u8
        } else {
            0
        }])
    });
    mask.save(bench.path("drags/mask.png")).unwrap();
    bench.write(
        "drags/drag.json",
        TRANSLATION.replace(
            r#"{ "ellipse": [40, 40, 14, 12] }"#,
            r#"{ "mask": "mask.png" }"#,
        ),
    );
    bench
        .dragnext(["edit", "../in.png", "--drag", "../drags/drag.json"])
        .args(["-o", "out.png", "--model"])
        .arg(model())
        .args(SHORT)
        .current_dir(bench.path("elsewhere"))
        .any_stderr()
        .run();
    assert!(bench.path("elsewhere/out.png").is_file());
}

#[test]
fn two_runs_with_one_output_leave_one_complete_picture() {
    let bench = bench();
    let start = || bench.short_edit(&["-o", "out.png"]).start();
    let runs = [start(), start()];
    let codes = runs.map(|run| Ended::wait(run).status.unwrap());
    // The slower run may find the output before or after its own edit.
    assert!(
        codes.contains(&0) && codes.iter().all(|code| [0, 1, 2].contains(code)),
        "{codes:?}"
    );
    assert!(image::open(bench.path("out.png")).is_ok());
    assert_eq!(bench.names(), ["drag.json", "in.png", "out.png"]);
}
