//! What an edit changes outside the editable area.

use image::{Rgb, RgbImage};

use super::{DRAG, json, originals, save};
use crate::bench::Bench;

/// A textured picture of 160 x 140, with noise in the rectangle that may change if `is_edit`.
fn textured(is_edit: bool) -> RgbImage {
    RgbImage::from_fn(160, 140, |x, y| {
        let level = ((x * 37 + y * 91) % 200) as u8;
        let inside = (40..90).contains(&x) && (40..80).contains(&y);
        Rgb([
            level,
            if is_edit && inside {
                255 - level
            } else {
                level
            },
            90,
        ])
    })
}

fn prepared(editable: &str) -> Bench {
    let bench = Bench::new();
    originals(&bench, &["a"]);
    save(&bench, "in/a.png", &textured(false));
    save(&bench, "out/a.png", &textured(true));
    let editable = format!("\"editable\": {editable}, \"regions\"");
    bench.write("in/a.json", DRAG.replace("\"regions\"", &editable));
    bench
}

/// A window of SSIM that reaches into the editable area sees what changed there.
#[test]
fn equal_pixels_outside_have_a_similarity_of_1() {
    let record = json(&prepared(r#"{"rect": [40, 40, 90, 80]}"#), "out", &[], 0);
    assert_eq!(record["all"]["PSNR outside"]["mean"], 100.0);
    let similarity = record["all"]["SSIM outside"]["mean"].as_f64().unwrap();
    assert!((similarity - 1.0).abs() < 1e-12, "{similarity}");
    // One pixel beside the area shows.
    let bench = prepared(r#"{"rect": [40, 40, 90, 80]}"#);
    let mut edit = textured(true);
    edit.put_pixel(92, 60, Rgb([255, 255, 255]));
    save(&bench, "out/a.png", &edit);
    let record = json(&bench, "out", &[], 0);
    assert!(record["all"]["PSNR outside"]["mean"].as_f64().unwrap() < 100.0);
    let similarity = record["all"]["SSIM outside"]["mean"].as_f64().unwrap();
    assert!(similarity < 1.0, "{similarity}");
}

#[test]
fn without_a_window_outside_the_similarity_is_undefined() {
    let record = json(&prepared(r#"{"rect": [10, 10, 150, 130]}"#), "out", &[], 0);
    assert_eq!(record["all"]["PSNR outside"]["n"], 1);
    assert_eq!(record["all"]["SSIM outside"]["undefined"], 1);
    let reason = record["results"][0]["reasons"]["SSIM outside"].as_str();
    assert!(
        reason
            .unwrap()
            .contains("no window of SSIM (11 x 11 pixels)")
    );
}
