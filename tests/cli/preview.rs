//! `dragnext preview` and the strip of `dragnext edit`, through the binary.

use image::{DynamicImage, GrayImage, ImageBuffer, ImageFormat, Luma, LumaA, Rgb, RgbImage, Rgba};

use crate::bench::tiny::model;
use crate::bench::{Bench, Run};

/// Writes a smooth picture without the colours of the marks, and returns it.
fn picture(bench: &Bench, name: &str, width: u32, height: u32) -> RgbImage {
    let wave = |x: u32, y: u32| (((x as f32) * 0.05).sin() + ((y as f32) * 0.03).cos()) * 20.0;
    let picture = RgbImage::from_fn(width, height, |x, y| {
        let value = (150.0 + wave(x, y)) as u8;
        Rgb([value, value - 12, value - 30])
    });
    picture.save(bench.path(name)).unwrap();
    picture
}

/// `dragnext preview` with these arguments.
fn run(bench: &Bench, arguments: &[&str]) -> Run {
    bench.dragnext(["preview"]).args(arguments)
}

fn open(bench: &Bench, name: &str) -> RgbImage {
    image::open(bench.path(name)).unwrap().into_rgb8()
}

/// The preview of `image` with a drag file of this content.
fn preview(bench: &Bench, image: &str, drag: &str) -> RgbImage {
    bench.write("drag.json", drag);
    run(bench, &[image, "--drag", "drag.json", "-o", "look.png"])
        .arg("--overwrite")
        .any_stderr()
        .run();
    open(bench, "look.png")
}

fn drag_file(editable: &str, regions: &str) -> String {
    format!(r#"{{ "version": 1, {editable} "regions": [ {regions} ] }}"#)
}

fn is_red(Rgb([red, green, blue]): Rgb<u8>) -> bool {
    red > 190 && green < 70 && blue < 70
}

fn is_blue(Rgb([red, green, blue]): Rgb<u8>) -> bool {
    blue > 190 && green < 130 && red < 70
}

fn is_green(Rgb([red, green, blue]): Rgb<u8>) -> bool {
    green > 120 && red < 60 && blue < 100
}

fn count(picture: &RgbImage, is: fn(Rgb<u8>) -> bool) -> usize {
    picture.pixels().filter(|pixel| is(**pixel)).count()
}

/// Returns the pixel of a preview at a point of the picture, given the picture's width.
fn under(preview: &RgbImage, width: u32, [x, y]: [f64; 2]) -> Rgb<u8> {
    let scale = f64::from(preview.width()) / f64::from(width);
    *preview.get_pixel((x * scale) as u32, (y * scale) as u32)
}

const TRANSLATION: &str = r#"{ "type": "translation", "region": { "ellipse": [40, 40, 14, 12] }, "handle": [40, 40], "target": [60, 45] }"#;

/// At every size and aspect ratio, handle, target and centre are drawn at their points, the area that cannot change is veiled, and
/// the rest keeps its pixels.
#[test]
fn marks_are_drawn_at_their_points_at_any_size() {
    for (width, height) in [
        (64, 64),
        (256, 256),
        (1024, 768),
        (600, 1024),
        (4000, 3000),
        (2400, 200),
        (90, 1500),
        (5000, 700),
    ] {
        let bench = Bench::new();
        let before = picture(&bench, "in.png", width, height);
        let side = f64::from(width.min(height));
        let at = |x: f64, y: f64| [(x * side).round(), (y * side).round()];
        let (center, handle, target) = (at(0.4, 0.4), at(0.6, 0.4), at(0.4, 0.6));
        let regions = format!(
            r#"{{ "type": "rotation", "region": {{ "rect": [{0}, {0}, {1}, {1}] }}, "center": {center:?}, "handle": {handle:?}, "target": {target:?} }}"#,
            (side * 0.2).round(),
            (side * 0.65).round()
        );
        let editable = format!(r#""editable": {{ "rect": [0, 0, {side}, {side}] }},"#);
        let look = preview(&bench, "in.png", &drag_file(&editable, &regions));

        assert!(
            look.width() >= 128 && look.width().max(look.height()) <= 4096 + 600,
            "{width} x {height} is {:?}",
            look.dimensions()
        );
        assert!(
            is_red(under(&look, width, handle)),
            "handle of {width} x {height}"
        );
        assert!(
            is_blue(under(&look, width, target)),
            "target of {width} x {height}"
        );
        assert!(
            is_green(under(&look, width, center)),
            "centre of {width} x {height}"
        );
        let calm = at(0.93, 0.06);
        if width <= 4096 && look.width() >= width {
            assert_eq!(
                under(&look, width, calm),
                *before.get_pixel(calm[0] as u32, calm[1] as u32),
                "{width} x {height} keeps what may change"
            );
        }
        if width != height {
            let far = [f64::from(width) - 4.0, f64::from(height) - 4.0];
            let (veiled, original) = (
                under(&look, width, far),
                before.get_pixel(far[0] as u32, far[1] as u32),
            );
            assert!(
                original.0[0] - veiled.0[0] > 20,
                "{width} x {height} is veiled: {original:?} became {veiled:?}"
            );
        }
    }
}

#[test]
fn nothing_is_veiled_when_everything_may_change() {
    let bench = Bench::new();
    let before = picture(&bench, "in.png", 256, 256);
    let look = preview(
        &bench,
        "in.png",
        &drag_file(r#""editable": "everything","#, TRANSLATION),
    );
    for corner in [[2.0, 250.0], [250.0, 250.0], [250.0, 5.0], [200.0, 130.0]] {
        assert_eq!(
            under(&look, 256, corner),
            *before.get_pixel(corner[0] as u32, corner[1] as u32)
        );
    }
    let veiled = preview(&bench, "in.png", &drag_file("", TRANSLATION));
    assert!(
        veiled.dimensions() == look.dimensions()
            && under(&veiled, 256, [250.0, 250.0]) != under(&look, 256, [250.0, 250.0])
    );
    // Stripes colour some of the pixels on a line through them.
    let warmth = |pixel: Rgb<u8>| i32::from(pixel.0[0]) - i32::from(pixel.0[2]);
    let warmer =
        |x: u32| warmth(under(&look, 256, [f64::from(x), 33.5])) - warmth(*before.get_pixel(x, 33));
    assert!(
        (40..54).any(|x| warmer(x) > 30),
        "what the drag passes is tinted: {:?}",
        (40..54).map(warmer).collect::<Vec<_>>()
    );
}

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

/// A rotation by an angle has no handle; more than a full turn is drawn as a spiral.
#[test]
fn an_angle_is_drawn_as_an_arc() {
    let bench = Bench::new();
    picture(&bench, "in.png", 256, 256);
    let turn = |angle: &str| {
        let region = format!(
            r#"{{ "type": "rotation", "region": {{ "rect": [90, 90, 170, 170] }}, "center": [130, 130], "angle": {angle} }}"#
        );
        preview(
            &bench,
            "in.png",
            &drag_file(r#""editable": "everything","#, &region),
        )
    };
    let looks = ["40", "-40", "400"].map(turn);
    for look in &looks {
        assert!(is_green(under(look, 256, [130.0, 130.0])));
    }
    assert!(looks[0] != looks[1] && looks[0] != looks[2]);
    // A full turn passes every side of the centre; a ninth of a turn does not.
    let white = |look: &RgbImage, down: i32| {
        (10..60).any(|radius| {
            under(look, 256, [130.0, 130.0 + f64::from(down * radius)]) == Rgb([255; 3])
        })
    };
    assert!(white(&looks[2], 1) && white(&looks[2], -1) && !white(&looks[0], 1));
}

/// A point is drawn as handle, target and arrow, with a thin circle around its disc.
#[test]
fn a_point_is_drawn_with_its_disc() {
    let bench = Bench::new();
    picture(&bench, "in.png", 256, 256);
    let point = r#"{ "type": "point", "handle": [80, 100], "target": [180, 120] }"#;
    let look = preview(&bench, "in.png", &drag_file("", point));
    assert!(is_red(under(&look, 256, [80.0, 100.0])));
    assert!(is_blue(under(&look, 256, [180.0, 120.0])));
    assert_ne!(
        under(&look, 256, [130.0, 110.0]),
        under(&look, 256, [130.0, 90.0]),
        "an arrow"
    );
    // The model works at twice the picture's size, where four cells of the supervision grid are eight pixels.
    let reddish = |Rgb([red, green, _]): Rgb<u8>| red > green.saturating_add(50);
    let ring = (0..40).map(|step| {
        let (sin, cos) = (f64::from(step) / 40.0 * std::f64::consts::TAU).sin_cos();
        let spot = |radius: f64| under(&look, 256, [80.0 + radius * cos, 100.0 + radius * sin]);
        [3.6, 3.8, 4.0, 4.2, 4.4]
            .into_iter()
            .any(|radius| reddish(spot(radius)))
    });
    let count = ring.filter(|is_line| *is_line).count();
    assert!(count > 30, "{count} of 40");
}

/// Masks are outlined before and after the drag.
#[test]
fn masks_are_traced() {
    let bench = Bench::new();
    picture(&bench, "in.png", 256, 256);
    let inside = |x: u32, y: u32| {
        (60..120).contains(&x) && (80..140).contains(&y) && !(80..100).contains(&x)
    };
    GrayImage::from_fn(256, 256, |x, y| Luma([if inside(x, y) { 255 } else { 0 }]))
        .save(bench.path("mask.png"))
        .unwrap();
    let region = r#"{ "type": "translation", "region": { "mask": "mask.png" }, "handle": [70, 110], "target": [170, 160] }"#;
    let look = preview(
        &bench,
        "in.png",
        &drag_file(r#""editable": "everything","#, region),
    );
    let near = |is: fn(Rgb<u8>) -> bool, x: f64, y: f64| {
        (-2..=2).any(|dx| is(under(&look, 256, [x + f64::from(dx) * 0.4, y])))
    };
    for x in [60.0, 80.0, 100.0, 120.0] {
        assert!(near(is_red, x, 90.0), "edge at {x}");
        let dashes = (130..190)
            .filter(|y| near(is_blue, x + 100.0, f64::from(*y)))
            .count();
        assert!(
            (15..60).contains(&dashes),
            "dashes at {}: {dashes}",
            x + 100.0
        );
    }
    assert!(!near(is_red, 90.0, 90.0), "between the two parts");
}

/// Long names, and names in scripts that the font does not have.
#[test]
fn any_name_is_drawn_inside_the_picture() {
    let bench = Bench::new();
    for (width, height) in [(64, 64), (64, 900), (900, 64)] {
        picture(&bench, "in.png", width, height);
        for id in [
            "\u{732b}\u{5c3e}".repeat(30),
            "<script>\\u0022%s".into(),
            "\u{5d0}\u{5d1}\u{5d2}".into(),
            "x".repeat(64),
            "e\u{301}\u{301}".into(),
        ] {
            let region = TRANSLATION.replacen('{', &format!(r#"{{ "id": "{id}", "#), 1);
            let look = preview(&bench, "in.png", &drag_file("", &region));
            assert!(
                is_red(under(&look, width, [40.0, 40.0])),
                "{id} in {width} x {height}"
            );
        }
    }
}

#[test]
fn the_maximum_number_of_regions_is_drawn() {
    let bench = Bench::new();
    picture(&bench, "in.png", 640, 640);
    let regions: Vec<String> = (0..64)
        .map(|index| {
            let (x, y) = (20 + index % 8 * 76, 20 + index / 8 * 76);
            format!(
                r#"{{ "type": "translation", "region": {{ "rect": [{x}, {y}, {}, {}] }}, "handle": [{}, {}], "target": [{}, {}] }}"#,
                x + 24,
                y + 24,
                x + 12,
                y + 12,
                x + 40,
                y + 40
            )
        })
        .collect();
    let look = preview(&bench, "in.png", &drag_file("", &regions.join(",")));
    assert!(count(&look, is_red) > 64 * 100 && count(&look, is_blue) > 64 * 100);
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
            "small.png: is 80 x 96 pixels, the picture is 96 x 96",
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
