//! Two SceneBench cases with the demo model, compared with the ground truth that was rendered with the scene.

use std::path::{Path, PathBuf};

use crate::bench::{Bench, report};
use image::RgbImage;

fn case(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/scenebench/suite")
        .join(name)
}

/// Returns the gain in the area where the object is or should be: 1 - (squared error of the edit) / (squared error of the input).
/// 1 is perfect, 0 is no edit.
fn gain(case: &Path, edit: &RgbImage) -> f64 {
    let read = |name: &str| image::open(case.join(name)).unwrap().into_rgb8();
    let (input, truth, area) = (read("input.png"), read("truth.png"), read("area.png"));
    let error = |picture: &RgbImage| -> f64 {
        let pixels = picture
            .pixels()
            .zip(truth.pixels())
            .zip(area.pixels())
            .filter(|(_, area)| area.0[0] > 127);
        pixels
            .map(|((a, b), _)| {
                (0..3)
                    .map(|channel| (f64::from(a.0[channel]) - f64::from(b.0[channel])).powi(2))
                    .sum::<f64>()
            })
            .sum()
    };
    1.0 - error(edit) / error(&input)
}

#[test]
fn the_demo_model_moves_objects() {
    // Without a LoRA, to keep the test short. An edit that erases the object scores below 0.5.
    for (name, least) in [("translation-00", 0.7), ("hinge-00", 0.5)] {
        let bench = Bench::new();
        bench
            .dragnext(["edit"])
            .arg(case(name).join("input.png"))
            .arg("--drag")
            .arg(case(name).join("drag.json"))
            .args(["--model", "demo", "--no-lora", "-o", "out.png"])
            .any_stderr()
            .run();
        let edit = image::open(bench.path("out.png")).unwrap().into_rgb8();
        let gain = gain(&case(name), &edit);
        assert!(
            gain >= least,
            "{name}: the gain is {gain:.3}, expected at least {least}"
        );
        report(&format!("{name}: gain {gain:.3}"));
    }
}
