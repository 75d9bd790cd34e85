//! Pictures and drag files of every kind, including faulty ones.

use image::{DynamicImage, GrayImage, ImageBuffer, ImageFormat, Luma, LumaA, Rgb, RgbImage, Rgba};

use super::{TRANSLATION, count, drag_file, is_blue, is_red, open, picture, preview, run, under};
use crate::bench::Bench;
use crate::bench::tiny::model;

/// A picture with an EXIF orientation is drawn upright, with coordinates of the upright picture.
#[test]
fn a_rotated_photograph_is_drawn_upright() {
    let bench = Bench::new();
    let stored = RgbImage::from_fn(200, 120, |x, _| {
        if x < 100 {
            Rgb([90, 90, 90])
        } else {
            Rgb([170, 170, 170])
        }
    });
    let mut jpeg = Vec::new();
    stored
        .write_to(&mut std::io::Cursor::new(&mut jpeg), ImageFormat::Jpeg)
        .unwrap();
    // An EXIF segment with one entry: orientation 6, a quarter turn clockwise.
    let exif = *b"Exif\0\0MM\0\x2A\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0";
    let segment = [&[0xFF, 0xE1, 0, exif.len() as u8 + 2], &exif[..]].concat();
    let turned = [&jpeg[..2], &segment, &jpeg[2..]].concat();
    std::fs::write(bench.path("in.jpg"), turned).unwrap();

    let region = r#"{ "type": "translation", "region": { "rect": [20, 120, 60, 180] }, "handle": [40, 150], "target": [90, 190] }"#;
    let look = preview(
        &bench,
        "in.jpg",
        &drag_file(r#""editable": "everything","#, region),
    );
    assert!(
        look.width().is_multiple_of(120) && look.height() > look.width() * 200 / 120,
        "{:?}",
        look.dimensions()
    );
    assert!(is_red(under(&look, 120, [40.0, 150.0])) && is_blue(under(&look, 120, [90.0, 190.0])));
    assert!(
        under(&look, 120, [100.0, 20.0]).0[0] < 110 && under(&look, 120, [10.0, 190.0]).0[0] > 150,
        "upright"
    );
}

#[test]
fn every_pixel_format_is_drawn() {
    let bench = Bench::new();
    let pictures: [(&str, DynamicImage); 5] = [
        (
            "grey.png",
            GrayImage::from_pixel(96, 96, Luma([120])).into(),
        ),
        (
            "deep.png",
            ImageBuffer::from_pixel(96, 96, Rgb([0x8000_u16, 0x7000, 0x6000])).into(),
        ),
        (
            "deep_grey.png",
            ImageBuffer::from_pixel(96, 96, Luma([0x7000_u16])).into(),
        ),
        (
            "grey_alpha.png",
            ImageBuffer::from_pixel(96, 96, LumaA([0_u8, 0])).into(),
        ),
        (
            "alpha.png",
            ImageBuffer::from_pixel(96, 96, Rgba([250_u8, 20, 20, 0])).into(),
        ),
    ];
    for (name, picture) in pictures {
        picture.save(bench.path(name)).unwrap();
        let look = preview(
            &bench,
            name,
            &drag_file(r#""editable": "everything","#, TRANSLATION),
        );
        assert!(
            is_red(under(&look, 96, [40.0, 40.0])) && is_blue(under(&look, 96, [60.0, 45.0])),
            "{name}"
        );
        let ground = under(&look, 96, [90.0, 90.0]).0;
        assert!(
            ground.iter().all(|sample| (90..=210).contains(sample)),
            "{name}: {ground:?}; a checkerboard shows through transparent pixels"
        );
    }
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    let bench = Bench::new();
    picture(&bench, "in.png", 300, 200);
    bench.write("drag.json", drag_file("", TRANSLATION));
    let preview = |threads: &str, out: &str| {
        run(&bench, &["in.png", "--drag", "drag.json", "-o", out])
            .env("RAYON_NUM_THREADS", threads)
            .any_stderr()
            .run();
        bench.read(out)
    };
    assert!(preview("1", "one.png") == preview("2", "two.png"));
}

/// Hints of faults refer to the preview, so it must show the faulty points.
#[test]
fn a_drag_file_with_faults_is_drawn_and_rejected() {
    let region = |shape: &str, movement: &str| {
        format!(r#"{{ "type": "translation", "region": {shape}, {movement} }}"#)
    };
    let turn = |movement: &str| {
        format!(r#"{{ "type": "rotation", "region": {{ "rect": [40, 40, 80, 80] }}, {movement} }}"#)
    };
    let box_ = r#"{ "rect": [40, 40, 80, 80] }"#;
    for (region, kind, drawn) in [
        (
            region(box_, r#""handle": [60, 60], "target": [300, 60]"#),
            "outside the image",
            is_red as fn(Rgb<u8>) -> bool,
        ),
        (
            region(box_, r#""handle": [-1000000, 60], "target": [60, 60]"#),
            "outside the image",
            is_blue,
        ),
        (
            region(box_, r#""handle": [90, 60], "target": [60, 60]"#),
            "outside its region",
            is_red,
        ),
        (
            region(
                r#"{ "rect": [400, 40, 480, 80] }"#,
                r#""handle": [90, 60], "target": [60, 60]"#,
            ),
            "outside the image",
            is_red,
        ),
        (
            region(
                r#"{ "mask": "none.png" }"#,
                r#""handle": [90, 60], "target": [60, 60]"#,
            ),
            "none.png",
            is_red,
        ),
        (
            region(
                r#"{ "rect": [40, 40, 41, 41] }"#,
                r#""handle": [40.5, 40.5], "target": [60, 60]"#,
            ),
            "less than one cell",
            is_red,
        ),
        (
            r#"{ "type": "affine", "region": { "rect": [40, 40, 80, 80] }, "handles": [[40, 40], [80, 40], [40, 80]], "targets": [[60, 40], [100, 40], [60, 400]] }"#.into(),
            "outside the image",
            is_red,
        ),
        (
            turn(r#""center": [60, 60], "handle": [60, 60], "target": [70, 60]"#),
            "not defined",
            is_blue,
        ),
        (
            turn(r#""center": [1000000, 1000000], "angle": 3600"#),
            "outside the image",
            is_red,
        ),
        (
            turn(r#""center": [-100, 60], "angle": 180"#),
            "out of the image",
            is_red,
        ),
    ] {
        let bench = Bench::new();
        picture(&bench, "in.png", 160, 120);
        bench.write("drag.json", drag_file("", &region));
        run(&bench, &["in.png", "--drag", "drag.json"])
            .status(2)
            .stderr_has("error: ")
            .stderr_has(kind)
            .run();
        let look = open(&bench, "in.preview.png");
        assert!(count(&look, drawn) > 50, "{region}");
        assert!(look.width() == 800, "{:?}", look.dimensions());
    }
}

#[test]
fn doubtful_drags_are_drawn_with_their_warnings() {
    let bench = Bench::new();
    picture(&bench, "in.png", 128, 96);
    bench.write(
        "drag.json",
        drag_file("", &TRANSLATION.replace("[60, 45]", "[40, 40]")),
    );
    run(&bench, &["in.png", "--drag", "drag.json"])
        .stderr_has("warning: region `region-1` moves by less than a pixel")
        .run();
    assert!(
        count(&open(&bench, "in.preview.png"), is_red) > 50,
        "beside the picture"
    );
    run(
        &bench,
        &["in.png", "--drag", "drag.json", "--overwrite", "--quiet"],
    )
    .run();
}

/// A model folder without weights is enough.
#[test]
fn no_weights_are_read() {
    let bench = Bench::new();
    picture(&bench, "in.png", 96, 96);
    bench.write("drag.json", drag_file("", TRANSLATION));
    for name in ["unet/config.json", "scheduler/scheduler_config.json"] {
        let file = std::fs::read(model().join(name)).unwrap();
        bench.write(format!("model/{name}"), file);
    }
    let arguments = ["in.png", "--drag", "drag.json", "--model", "model"];
    run(&bench, &arguments).any_stderr().run();
    // An edit needs the weights.
    bench
        .dragnext(["edit"])
        .args(arguments)
        .status(2)
        .any_stderr()
        .run();
}
