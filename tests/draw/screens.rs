//! Fingers, keys, names for screen readers, and large, deep and turned pictures.

use std::time::Instant;

use image::{ImageBuffer, Rgb, RgbImage};
use serde_json::{Value, json};

use crate::bench::pictures::jpeg;
use crate::bench::{Bench, report};
use crate::page::{Kind, Shown, assert_near, circle, disc};

#[test]
fn fingers_draw_drag_and_pinch() {
    let Some(mut shown) = Shown::new(Kind::Chromium(2), &disc(), None) else {
        return;
    };
    shown.stroke("touch", &circle([86.0, 112.0], 30.0));
    shown.stroke("touch", &[[86.0, 112.0], [100.0, 120.0], [118.0, 136.0]]);
    let file = shown.save();
    assert_near(&file["regions"][0]["target"], &[118.0, 136.0], 3.0);

    // Two fingers move apart: the picture grows, and nothing is drawn.
    let finger = |id: &str, from: [i64; 2], to: [i64; 2]| {
        json!({ "type": "pointer", "id": id, "parameters": { "pointerType": "touch" }, "actions": [
            { "type": "pointerMove", "duration": 0, "x": from[0], "y": from[1] },
            { "type": "pointerDown", "button": 0 },
            { "type": "pointerMove", "duration": 80, "x": to[0], "y": to[1] },
            { "type": "pointerUp", "button": 0 },
        ] })
    };
    let [x, y] = shown.place([128.0, 128.0]);
    let zoom = "return parseInt(document.getElementById('zoom-value').textContent, 10);";
    let before = shown.browser.run(zoom).as_f64().unwrap();
    shown.browser.perform(&json!([
        finger("one", [x - 40, y], [x - 120, y]),
        finger("two", [x + 40, y], [x + 120, y]),
    ]));
    let after = shown.browser.run(zoom).as_f64().unwrap();
    assert!(
        (after / before - 3.0).abs() < 0.6,
        "{before} % became {after} %"
    );
    assert_eq!(shown.save(), file);
}

/// A region is placed, dragged, named and saved without a pointer.
#[test]
fn keys_alone() {
    let Some(mut shown) = Shown::new(Kind::Chromium(1), &disc(), None) else {
        return;
    };
    shown
        .browser
        .run("document.getElementById('stage').focus();");
    // R, Enter; then Arrow Right ten times.
    shown.keys("r\u{e007}", false);
    shown.keys(&"\u{e014}".repeat(10), false);
    shown.keys("s", true);
    let text = shown.browser.saved("cat.json");
    let file: Value = serde_json::from_str(&text).unwrap();
    let region = &file["regions"][0];
    assert_near(&region["handle"], &[128.0, 128.0], 0.2);
    assert_near(&region["target"], &[138.0, 128.0], 0.2);
    // Ten steps of one key are one step back.
    shown.keys("z", true);
    let undone = shown.save();
    assert_eq!(
        undone["regions"][0]["target"],
        undone["regions"][0]["handle"]
    );
    shown
        .browser
        .run("document.getElementById('stage').focus();");
    shown.keys("\u{e017}", false);
    let left = shown
        .browser
        .run("return document.querySelectorAll('#regions li').length;");
    assert_eq!(left, json!(0));
}

/// Everything that can be operated has a name, and every id is used once.
#[test]
fn everything_has_a_name() {
    let file = r#"{ "version": 1, "editable": { "rect": [0, 0, 200, 200] }, "settings": { "seed": 3 }, "regions": [
        { "type": "affine", "region": { "rect": [20, 20, 60, 60] }, "handles": [[20, 20], [60, 20], [20, 60]], "targets": [[30, 20], [70, 20], [30, 60]] }] }"#;
    let Some(mut shown) = Shown::new(Kind::Chromium(1), &disc(), Some(file)) else {
        return;
    };
    let script = "document.querySelectorAll('details').forEach((each) => (each.open = true));\
        const nameless = [...document.querySelectorAll('button, input, select, textarea, canvas, [role=group]')].filter((each) =>\
            !(each.getAttribute('aria-label') || each.textContent.trim() && each.matches('button') || each.labels?.length));\
        const ids = [...document.querySelectorAll('[id]')].map((each) => each.id);\
        return [nameless.map((each) => each.outerHTML), ids.filter((id, index) => ids.indexOf(id) !== index)];";
    assert_eq!(shown.browser.run(script), json!([[], []]));
}

/// A picture is shown upright and in its own colours, whatever its file's form; its size is that of the upright picture.
#[test]
fn turned_and_deep_pictures() {
    // Stored lying, shown upright as 96 x 160 with the red corner at the top left.
    let lying = RgbImage::from_fn(160, 96, |x, y| {
        Rgb(if x < 40 && y >= 56 {
            [220, 30, 30]
        } else {
            [40, 90, 160]
        })
    });
    let turned = jpeg::turned(&jpeg::encode(160, 96, lying.as_raw()), 6);
    let mut deep = Vec::new();
    let sixteen: ImageBuffer<Rgb<u16>, Vec<u16>> = ImageBuffer::from_fn(96, 160, |x, y| {
        Rgb(if x < 40 && y < 40 {
            [220, 30, 30]
        } else {
            [40, 90, 160]
        }
        .map(|value: u16| value * 257))
    });
    sixteen
        .write_to(
            &mut std::io::Cursor::new(&mut deep),
            image::ImageFormat::Png,
        )
        .unwrap();
    for (name, bytes) in [("turned.jpg", turned), ("deep.png", deep)] {
        let bench = Bench::new();
        bench.write(name, bytes);
        bench
            .dragnext(["draw", name, "-o", "page.html"])
            .any_stderr()
            .run();
        let Some(mut shown) = Shown::open(bench, Kind::Chromium(1), "page.html") else {
            return;
        };
        let script = "const copy = new OffscreenCanvas(...picture.size).getContext('2d'); copy.drawImage(painting.bitmap, 0, 0);\
            return [picture.size, ...[[20, 20], [60, 20], [20, 120]].map(([x, y]) => [...copy.getImageData(x, y, 1, 1).data].slice(0, 3))];";
        let found = shown.browser.run(script);
        assert_eq!(found[0], json!([96, 160]), "{name}");
        for (index, colour) in [
            [220.0, 30.0, 30.0],
            [40.0, 90.0, 160.0],
            [40.0, 90.0, 160.0],
        ]
        .iter()
        .enumerate()
        {
            assert_near(&found[index + 1], colour, 12.0);
        }
    }
}

/// A photograph of twelve million pixels is drawn on in full resolution. The times are printed.
#[test]
fn a_large_picture() {
    let bench = Bench::new();
    let large = RgbImage::from_fn(4000, 3000, |x, y| {
        let wave = ((f64::from(x) / 37.0).sin() * (f64::from(y) / 53.0).cos() * 60.0) as i32;
        Rgb([
            (120 + wave) as u8,
            (x * 255 / 4000) as u8,
            (y * 255 / 3000) as u8,
        ])
    });
    large.save(bench.path("cat.png")).unwrap();
    let begun = Instant::now();
    bench.dragnext(["draw", "cat.png"]).any_stderr().run();
    let bytes = std::fs::metadata(bench.path("cat.draw.html"))
        .unwrap()
        .len();
    report(&format!(
        "page of 4000 x 3000: {bytes} bytes in {:.1?}",
        begun.elapsed()
    ));
    assert!(bytes < 8 << 20, "{bytes}");
    let Some(mut shown) = Shown::open(bench, Kind::Chromium(1), "cat.draw.html") else {
        return;
    };
    shown.browser.run("setBrush(120);");
    shown.keys("b", false);
    shown.drag(&[[1000.0, 1000.0], [1300.0, 1100.0], [1600.0, 1000.0]]);
    shown.keys("v", false);
    shown.drag(&[[1300.0, 1050.0], [1500.0, 1200.0], [2300.0, 1750.0]]);
    let file = shown.save();
    let region = &file["regions"][0];
    let moved: Vec<f64> = (0..2)
        .map(|axis| {
            region["target"][axis].as_f64().unwrap() - region["handle"][axis].as_f64().unwrap()
        })
        .collect();
    assert_near(&json!(moved), &[1000.0, 700.0], 8.0);
    let times = shown.browser.run(
        "const time = (act, count) => { const begun = performance.now(); for (let index = 0; index < count; index++) act(index); return (performance.now() - begun) / count; };\
         const region = selectedRegion();\
         const move = time((index) => { region.target[0] += index % 2 ? 3 : -3; paintNow(); }, 20);\
         const rules = time(() => check(file.content), 3);\
         const pixels = new Uint8Array(4000 * 3000);\
         const stroke = time((index) => paintLine(pixels, [1000, 1000 + index], [1040, 1010 + index], 120, 1), 20);\
         return [move, rules, stroke];",
    );
    report(&format!(
        "ms for a frame while a region is dragged, for the rules, for a piece of a stroke: {times}"
    ));
}
