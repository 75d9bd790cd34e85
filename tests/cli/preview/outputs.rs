//! Outputs, and the strip of input, preview and result.

use image::{GrayImage, Luma};

use super::{TRANSLATION, drag_file, is_blue, is_red, open, picture, run};
use crate::bench::Bench;
use crate::bench::tiny::model;

#[test]
fn outputs_are_checked_as_in_an_edit() {
    let bench = Bench::new();
    picture(&bench, "in.png", 96, 96);
    picture(&bench, "edited.png", 96, 96);
    picture(&bench, "small.png", 80, 96);
    bench.write("there.png", "something else");
    GrayImage::from_pixel(96, 96, Luma([255]))
        .save(bench.path("mask.png"))
        .unwrap();
    bench.write(
        "drag.json",
        drag_file(
            "",
            &TRANSLATION.replace(
                r#"{ "ellipse": [40, 40, 14, 12] }"#,
                r#"{ "mask": "mask.png" }"#,
            ),
        ),
    );
    for (arguments, reason) in [
        (
            &["-o", "in.png", "--overwrite"][..],
            "is the same file as the input",
        ),
        (
            &["-o", "drag.json", "--overwrite"],
            "is the same file as the input",
        ),
        (
            &["-o", "mask.png", "--overwrite"],
            "is the same file as the input",
        ),
        (
            &["-o", "edited.png", "--overwrite", "--strip", "edited.png"],
            "is the same file as the input",
        ),
        (&["-o", "there.png"], "exists already"),
        (&["-o", "look.jpg"], "results are PNG files"),
        (
            &["-o", "look.png", "--strip", "small.png"],
            "small.png: is 80 x 96 pixels, but the picture is 96 x 96",
        ),
        (
            &["-o", "look.png", "--size", "3"],
            "must be 0 or 64 to 2048",
        ),
    ] {
        run(&bench, &["in.png", "--drag", "drag.json"])
            .args(arguments)
            .status(2)
            .stderr_has(reason)
            .run();
    }
    assert_eq!(bench.text("there.png"), "something else");
    assert!(!bench.path("look.png").exists() && !bench.path("look.jpg").exists());
}

/// The strip of an edit equals that of a preview with the edit's result.
#[test]
fn a_strip_shows_input_preview_and_result() {
    let bench = Bench::new();
    let before = picture(&bench, "in.png", 96, 80);
    bench.write("drag.json", drag_file("", TRANSLATION));
    let edit = |arguments: &[&str]| {
        let run = bench.short_edit(arguments);
        run.arg("--no-lora")
    };
    edit(&["-o", "out.png", "--strip", "strip.png"]).run();
    let (after, strip) = (open(&bench, "out.png"), open(&bench, "strip.png"));

    let times = 8; // 768 pixels at least
    let (left, right) = (0, strip.width() - 96 * times);
    let middle = (strip.width() - 96 * times) / 2;
    assert!(
        middle > 96 * times && strip.height() > 80 * times,
        "{:?}",
        strip.dimensions()
    );
    for (x, y) in [(3, 3), (40, 40), (60, 45), (50, 40), (95, 79)] {
        let at =
            |panel: u32| *strip.get_pixel(panel + x * times + times / 2, y * times + times / 2);
        assert_eq!(
            (at(left), at(right)),
            (*before.get_pixel(x, y), *after.get_pixel(x, y)),
            "({x}, {y})"
        );
    }
    assert!(
        is_red(*strip.get_pixel(middle + 40 * times, 40 * times))
            && is_blue(*strip.get_pixel(middle + 60 * times, 45 * times))
    );

    run(
        &bench,
        &[
            "in.png",
            "--drag",
            "drag.json",
            "--strip",
            "out.png",
            "--model",
        ],
    )
    .arg(model())
    .any_stderr()
    .run();
    assert!(bench.read("in.strip.png") == bench.read("strip.png"));

    for (arguments, kind) in [
        (
            &["-o", "new.png", "--strip", "strip.png"][..],
            "output.exists",
        ),
        (
            &["-o", "new.png", "--strip", "new.png"],
            "output.not_distinct",
        ),
        (
            &["-o", "new.png", "--strip", "in.png", "--overwrite"],
            "output.is_input",
        ),
        (&["-o", "new.png", "--strip", "new.jpg"], "output.format"),
    ] {
        let record = edit(arguments).arg("--json").status(2).record();
        assert_eq!(record.kind(), kind, "{arguments:?}");
    }
    assert!(!bench.path("new.png").exists());
}
