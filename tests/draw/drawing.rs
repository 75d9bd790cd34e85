//! Drawing with pointers: every shape, every type, the brush, undo and the edit of what was drawn.

use serde_json::{Value, json};

use crate::page::{Kind, Shown, assert_near, circle, disc};

/// Coordinates that a pointer gives are whole pixels of the screen, here less than half a pixel of the picture.
const POINTER: f64 = 1.0;

/// Draws every shape and drags it with the mouse.
fn draw_every_shape(kind: Kind) {
    let Some(mut shown) = Shown::new(kind, &disc(), None) else {
        return;
    };
    // The page begins with the lasso. What was drawn is dragged by its inside.
    shown.drag(&circle([86.0, 112.0], 30.0));
    shown.drag(&[[86.0, 112.0], [100.0, 120.0], [118.0, 136.0]]);
    shown.keys("r", false);
    shown.drag(&[[10.0, 12.0], [30.0, 30.0], [50.0, 40.0]]);
    shown.drag(&[[20.0, 20.0], [28.0, 24.0], [40.0, 20.0]]);
    shown.keys("e", false);
    shown.drag(&[[150.0, 20.0], [180.0, 40.0], [210.0, 60.0]]);
    shown.drag(&[[170.0, 40.0], [172.0, 50.0], [170.0, 70.0]]);
    shown.keys("p", false);
    for corner in [[20.0, 190.0], [60.0, 190.0], [40.0, 230.0], [20.0, 190.0]] {
        shown.drag(&[corner]);
    }
    shown.drag(&[[40.0, 200.0], [60.0, 205.0], [80.0, 200.0]]);
    shown.keys("t", false);
    shown.drag(&[[230.0, 150.0], [225.0, 155.0], [210.0, 170.0]]);

    let file = shown.save();
    let regions = file["regions"].as_array().unwrap();
    let kinds: Vec<&str> = regions
        .iter()
        .map(|region| region["type"].as_str().unwrap())
        .collect();
    assert_eq!(
        kinds,
        [
            "translation",
            "translation",
            "translation",
            "translation",
            "point"
        ]
    );
    assert!(regions[0]["region"]["polygon"].as_array().unwrap().len() >= 12);
    assert_near(&regions[0]["handle"], &[86.0, 112.0], 2.0 * POINTER);
    assert_near(&regions[0]["target"], &[118.0, 136.0], 3.0 * POINTER);
    assert_near(
        &regions[1]["region"]["rect"],
        &[10.0, 12.0, 50.0, 40.0],
        POINTER,
    );
    assert_near(&regions[1]["handle"], &[30.0, 26.0], POINTER);
    assert_near(&regions[1]["target"], &[50.0, 26.0], 2.0 * POINTER);
    assert_near(
        &regions[2]["region"]["ellipse"],
        &[180.0, 40.0, 30.0, 20.0],
        POINTER,
    );
    assert_near(&regions[2]["target"], &[180.0, 70.0], 2.0 * POINTER);
    let corners = regions[3]["region"]["polygon"].as_array().unwrap();
    assert_eq!(corners.len(), 3);
    assert_near(&corners[2], &[40.0, 230.0], POINTER);
    assert_near(&regions[4]["handle"], &[230.0, 150.0], POINTER);
    assert_near(&regions[4]["target"], &[210.0, 170.0], POINTER);
}

#[test]
fn every_shape_is_drawn_in_chromium() {
    draw_every_shape(Kind::Chromium(1));
}

#[test]
fn every_shape_is_drawn_in_firefox() {
    draw_every_shape(Kind::Firefox);
}

/// The number of pixels of the screen for each pixel of the page changes no coordinate.
#[test]
fn every_shape_is_drawn_on_dense_screens() {
    for ratio in [2, 3] {
        draw_every_shape(Kind::Chromium(ratio));
    }
}

/// A painted mask is the pixels under the brush without those under the eraser.
fn paint(kind: Kind) {
    let Some(mut shown) = Shown::new(kind, &disc(), None) else {
        return;
    };
    shown.keys("b", false);
    shown.browser.run("const size = document.getElementById('brush-size'); size.value = 10; size.dispatchEvent(new Event('input'));");
    shown.drag(&[[60.0, 100.0], [90.0, 100.0], [120.0, 100.0]]);
    shown.keys("x", false);
    shown.drag(&[[90.0, 60.0], [90.0, 100.0], [90.0, 140.0]]);
    shown.keys("b", false);
    shown.drag(&[[60.0, 130.0], [70.0, 130.0]]);
    shown.keys("v", false);
    shown.drag(&[[120.0, 100.0], [125.0, 110.0], [120.0, 130.0]]);
    let file = shown.save();
    let mask = file["regions"][0]["region"]["mask"].as_str().unwrap();
    let (start, encoded) = mask.split_at("data:image/png;base64,".len());
    assert_eq!(start, "data:image/png;base64,");
    let bytes = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, encoded);
    let mask = image::load_from_memory(&bytes.unwrap())
        .unwrap()
        .into_luma8();
    assert_eq!(mask.dimensions(), (256, 256));
    let distance = |x: u32, y: u32, [ax, ay]: [f64; 2], [bx, by]: [f64; 2]| {
        let (x, y) = (f64::from(x) + 0.5, f64::from(y) + 0.5);
        let squared = (bx - ax).powi(2) + (by - ay).powi(2);
        let along = (((x - ax) * (bx - ax) + (y - ay) * (by - ay)) / squared).clamp(0.0, 1.0);
        (x - ax - along * (bx - ax)).hypot(y - ay - along * (by - ay))
    };
    for (x, y, pixel) in mask.enumerate_pixels() {
        let first = distance(x, y, [60.0, 100.0], [120.0, 100.0]);
        let erased = distance(x, y, [90.0, 60.0], [90.0, 140.0]);
        let last = distance(x, y, [60.0, 130.0], [70.0, 130.0]);
        // A pixel of the screen decides within a pixel of the picture.
        let is_edge = [first, erased, last]
            .iter()
            .any(|far| (far - 10.0).abs() < 1.0);
        let is_inside = (first < 10.0 && erased >= 10.0) || last < 10.0;
        assert!(
            is_edge || (pixel.0[0] == 255) == is_inside,
            "({x}, {y}) is {}",
            pixel.0[0]
        );
    }
}

#[test]
fn a_mask_is_painted_in_chromium() {
    paint(Kind::Chromium(1));
}

#[test]
fn a_mask_is_painted_in_firefox() {
    paint(Kind::Firefox);
}

/// Every type gets points of its own, which the mouse drags; undo brings back every step.
#[test]
fn types_points_and_undo() {
    let Some(mut shown) = Shown::new(Kind::Chromium(1), &disc(), None) else {
        return;
    };
    shown.keys("r", false);
    shown.drag(&[[70.0, 90.0], [80.0, 100.0], [110.0, 130.0]]);
    let kind = "select[data-key=type]";
    shown.choose(kind, "rotation");
    // From the right of the centre to above it, by the target's own mark.
    shown.drag(&[[109.0, 110.0], [105.0, 95.0], [90.0, 91.0]]);
    let turned = shown.save()["regions"][0].clone();
    assert_near(&turned["center"], &[90.0, 110.0], 1.0);
    let (dx, dy) = (
        number(&turned["target"][0]) - 90.0,
        110.0 - number(&turned["target"][1]),
    );
    assert!((dy.atan2(dx).to_degrees() - 90.0).abs() < 4.0, "{turned}");

    shown.choose(kind, "scale");
    shown.drag(&[[109.0, 110.0], [115.0, 110.0], [128.0, 110.0]]);
    let scaled = shown.save()["regions"][0].clone();
    let factor = (number(&scaled["target"][0]) - 90.0) / (number(&scaled["handle"][0]) - 90.0);
    assert!((factor - 2.0).abs() < 0.1, "{scaled}");

    shown.choose(kind, "affine");
    shown.drag(&[[110.0, 90.0], [120.0, 88.0], [130.0, 80.0]]);
    let affine = shown.save()["regions"][0].clone();
    assert_near(&affine["targets"][1], &[130.0, 80.0], 1.5);
    assert_eq!(affine["targets"][2], affine["handles"][2]);

    shown.choose(kind, "deformation");
    shown.drag(&[[90.0, 110.0], [95.0, 110.0], [120.0, 110.0]]);
    shown
        .browser
        .run("[...document.querySelectorAll('#selected-fields > button')].at(-1).click();");
    let stretched = shown.save()["regions"][0].clone();
    assert!(stretched["anchor"].is_array(), "{stretched}");
    assert!(stretched.get("handles").is_none(), "{stretched}");

    // Ten steps back lead to the empty file, and as many forward to the last one.
    let before = shown.save();
    shown.keys(&"z".repeat(10), true);
    let empty = shown
        .browser
        .run("return document.querySelectorAll('#regions li').length");
    assert_eq!(empty, json!(0));
    shown.keys(&"y".repeat(10), true);
    assert_eq!(shown.save(), before);
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap()
}

/// What is drawn edits like the same drag written by hand, and moves the disc.
#[test]
fn what_was_drawn_is_edited() {
    let Some(mut shown) = Shown::new(Kind::Chromium(1), &disc(), None) else {
        return;
    };
    shown.keys("e", false);
    shown.drag(&[[58.0, 84.0], [90.0, 110.0], [114.0, 140.0]]);
    shown.drag(&[[86.0, 112.0], [100.0, 120.0], [118.0, 136.0]]);
    let region = shown.save()["regions"][0].clone();
    let by_hand = json!({ "version": 1, "regions": [{
        "id": region["id"], "type": "translation", "region": region["region"],
        "handle": region["handle"], "target": region["target"],
    }] });
    shown.bench.write("hand.json", by_hand.to_string());
    for (drag, out) in [("cat.json", "drawn.png"), ("hand.json", "hand.png")] {
        let arguments = [
            "edit", "cat.png", "--drag", drag, "--model", "demo", "-o", out,
        ];
        shown.bench.dragnext(arguments).any_stderr().run();
    }
    let read = |name: &str| std::fs::read(shown.bench.path(name)).unwrap();
    assert_eq!(read("drawn.png"), read("hand.png"));
    let pixel = |name: &str, x, y| {
        *image::open(shown.bench.path(name))
            .unwrap()
            .into_rgb8()
            .get_pixel(x, y)
    };
    let (before, after) = (pixel("cat.png", 86, 112), pixel("drawn.png", 118, 136));
    let apart = (0..3).map(|channel| before.0[channel].abs_diff(after.0[channel]));
    assert!(
        apart.max() < Some(40),
        "the disc is at its target: {before:?}, {after:?}"
    );
}
