//! Edits of large pictures: the network sees a window, and nothing outside it changes.

use std::path::Path;

use crate::bench::tiny::model;
use crate::bench::{Bench, Record};
use dragnext::drag_file::DragFile;
use dragnext::geometry::{Frame, Size, Window};
use dragnext::picture::{self, Picture, Raster};
use dragnext::plan::Plan;
use dragnext::plan::Settings;
use dragnext::settings::WindowChoice;
use image::{GenericImageView, ImageBuffer, Rgb};
use serde_json::{Value, json};

const DRAG: &str = r#"{ "version": 1, "regions": [
    { "type": "translation", "region": { "ellipse": [700, 420, 90, 70] }, "handle": [700, 420], "target": [748, 436] } ] }"#;

/// Writes a picture with fine detail everywhere, which is lost when it is shrunk and enlarged again.
fn detailed(bench: &Bench, width: u32, height: u32) {
    let value = |x: u32, y: u32, k: u32| {
        let grain = (x.wrapping_mul(2_654_435_761) ^ y.wrapping_mul(40_503).wrapping_mul(k))
            .rotate_right(11)
            % 20;
        (60 + grain + 90 * ((x / 9 + y / 11) % 2) + 30 * ((x / 5) % 2)) as u8
    };
    ImageBuffer::from_fn(width, height, |x, y| {
        Rgb([value(x, y, 1), value(x, y, 3), value(x, y, 7)])
    })
    .save(bench.path("in.png"))
    .unwrap();
}

fn edit(bench: &Bench, arguments: &[&str]) -> Record {
    bench.write("drag.json", DRAG);
    bench
        .dragnext(["edit", "in.png", "--drag", "drag.json", "-o", "out.png"])
        .args(["--quiet", "--json", "--size", "64", "--margin", "8"])
        .args(["--strength", "0.04", "--timesteps", "1"])
        .args(["--iterations", "1", "--no-lora", "--model"])
        .arg(model())
        .args(arguments)
        .any_stderr()
        .record()
}

/// The record contains the window. Outside it, and outside the editable area in it, every pixel equals the input's.
#[test]
fn a_large_picture_is_edited_in_a_window() {
    let bench = Bench::new();
    detailed(&bench, 1200, 900);
    let before = image::open(bench.path("in.png")).unwrap();
    let record = edit(&bench, &[]);
    let window: Vec<u32> = record["window"]
        .as_array()
        .unwrap()
        .iter()
        .map(|side| side.as_u64().unwrap() as u32)
        .collect();
    let [left, top, width, height] = window[..] else {
        panic!("four numbers: {record}")
    };
    assert!(width < 600 && height < 500, "{window:?}");
    assert!(
        left < 610 && left + width > 838 && top < 350 && top + height > 506,
        "the drag lies inside {window:?}"
    );
    assert_eq!(record["size"], json!([1200, 900]));
    assert_eq!(
        record["working"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(Value::as_u64)
            .min(),
        Some(64)
    );

    let after = image::open(bench.path("out.png")).unwrap();
    assert_eq!(after.dimensions(), (1200, 900));
    let changed: Vec<(u32, u32)> = before
        .pixels()
        .filter(|(x, y, pixel)| *pixel != after.get_pixel(*x, *y))
        .map(|(x, y, _)| (x, y))
        .collect();
    assert!(
        changed.len() > 1000,
        "the edit is there: {} pixels changed",
        changed.len()
    );
    let inside =
        |(x, y): &(u32, u32)| (left..left + width).contains(x) && (top..top + height).contains(y);
    assert!(
        changed.iter().all(inside),
        "nothing changed outside the window"
    );
}

/// With `--window full` the network sees the whole picture; the result is enlarged, with a warning.
#[test]
fn the_window_can_be_the_whole_picture() {
    let bench = Bench::new();
    detailed(&bench, 1200, 900);
    let record = edit(&bench, &["--window", "full"]);
    assert_eq!(record["window"], json!([0, 0, 1200, 900]));
    assert_eq!(record["working"], json!([85, 64]));
    assert!(record.warnings().contains(&"picture.enlarged"), "{record}");
}

/// Without a network in between, resizing to a window and back loses less detail than resizing the whole picture and back, and
/// nothing when the window has the working picture's size.
#[test]
fn a_window_keeps_the_picture_s_detail() {
    let bench = Bench::new();
    detailed(&bench, 1600, 1200);
    let picture = picture::read(&bench.path("in.png")).unwrap().picture;
    let drag = DragFile::parse(DRAG.as_bytes()).unwrap();
    let loss = |window: WindowChoice, size: usize| {
        let mut settings = Settings::default();
        settings.frame.window = window;
        settings.frame.size = size;
        let plan = Plan::new(
            &drag,
            Path::new("drag.json"),
            picture.size(),
            &settings,
            512,
        )
        .unwrap();
        let seen: Vec<f32> = picture
            .working(&plan.frame)
            .into_iter()
            .map(|value| value * 0.5 + 0.5)
            .collect();
        let seen = Raster::of_working(&seen, &plan.frame);
        let back = picture.composite(plan.frame.window, &seen, plan.blend().as_deref());
        (difference(&picture, &back), plan.frame)
    };
    let ((exact, frame), (full, whole)) =
        (loss(WindowChoice::Auto, 512), loss(WindowChoice::Full, 512));
    assert_eq!(
        frame.content, frame.window.size,
        "a small drag is seen at the picture's own size"
    );
    assert!(whole.is_whole() && exact == 0.0, "{exact}");
    let (small, frame) = loss(WindowChoice::Auto, 256);
    let (blurred, _) = loss(WindowChoice::Full, 256);
    assert!(frame.content != frame.window.size && small > 0.0);
    assert!(
        full > 0.5 && small < 0.8 * blurred,
        "window {small}, whole frame {blurred}, at 512 {full}"
    );
}

/// A region that is computed at a small size keeps its own pixels where the network agrees with the warped picture, in 8 and in 16 bits. Without
/// fresh noise it agrees everywhere, whatever the model.
#[test]
fn detail_is_carried_along_at_full_resolution_and_bit_depth() {
    let bench = Bench::new();
    detailed(&bench, 1200, 900);
    let level = |x: u32, y: u32| (20_000 + (x * 7919 + y * 104_729) % 19_997) as u16;
    let deep = ImageBuffer::from_fn(1200, 900, |x, y| {
        Rgb([level(x, y), level(y, x), level(x + 5, y)])
    });
    deep.save(bench.path("deep.png")).unwrap();
    bench.write("drag.json", DRAG);
    for input in ["in.png", "deep.png"] {
        let edited = |detail: &str| {
            bench
                .dragnext(["edit", input, "--drag", "drag.json", "-o", "out.png"])
                .args(["--overwrite", "--quiet", "--size", "64", "--margin", "8"])
                .args(["--strength", "0.04", "--vacated-noise", "0"])
                .args(["--object", "drawn", "--seams", "hard", "--detail", detail])
                .arg("--model")
                .arg(model())
                .any_stderr()
                .run();
            picture::read(&bench.path("out.png")).unwrap().picture
        };
        let before = picture::read(&bench.path(input)).unwrap().picture;
        let (sharp, blurred) = (edited("1"), edited("0"));
        assert_eq!(sharp.is_sixteen_bit(), input == "deep.png");
        let core = (385..455).flat_map(|y| (650..750).map(move |x| (x, y)));
        let mut differing = 0;
        for (x, y) in core {
            let own = before.pixel(x, y);
            assert_eq!(sharp.pixel(x + 48, y + 16), own, "{input}: ({x}, {y})");
            differing += usize::from(blurred.pixel(x + 48, y + 16) != own);
        }
        assert!(differing > 6000, "{input}: {differing} of 7000");
    }
}

/// Returns the mean absolute difference at the region's place before the drag, in levels.
fn difference(a: &Picture, b: &Picture) -> f64 {
    let pixels = (370..470).flat_map(|y| (640..760).map(move |x| (x, y)));
    let differences = pixels.flat_map(|(x, y)| {
        a.pixel(x, y)
            .into_iter()
            .zip(b.pixel(x, y))
            .map(|(a, b)| f64::from(a.abs_diff(b)))
            .collect::<Vec<_>>()
    });
    differences.sum::<f64>() / f64::from(100 * 120 * 3)
}

/// In a frame with a window, grids and sizes follow the window, and points are those of the image.
#[test]
fn points_of_a_window_are_points_of_the_image() {
    let window = Window {
        left: 100,
        top: 50,
        size: Size::new(256, 128),
    };
    let frame = Frame::windowed(Size::new(1000, 500), window, 64);
    assert_eq!(
        (frame.content, frame.padded),
        (Size::new(128, 64), Size::new(128, 64))
    );
    let point = dragnext::geometry::Point::new(228.0, 114.0);
    assert_eq!(
        frame.to_working(point),
        dragnext::geometry::Point::new(64.0, 32.0)
    );
    assert_eq!(frame.to_source(frame.to_working(point)), point);
}
