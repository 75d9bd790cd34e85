//! `show`: reports as text, missing and damaged reports, and paths.

use super::{DRAG, bench, edit, make, rejected, show};
use crate::bench::report;
use crate::bench::tiny::model;

#[test]
fn show_prints_a_report_as_text() {
    let bench = bench();
    bench.write(
        "drag.json",
        DRAG.replace("a wave", "a \\u001b[2Jwave\\nerror: no"),
    );
    let record = make(&bench, "out.png", &[]);
    let shown = show(&bench, &["out.png"]);
    let version = env!("CARGO_PKG_VERSION");
    let expected = [
        format!("out.png: edited by dragnext {version} with the model tiny"),
        "  prompt    a \\u{1b}[2Jwave\\nerror: no".into(),
        "  region    ball: translation of the ellipse [40.0, 40.0, 14.0, 12.0], from (40, 40) to (60, 45)".into(),
        "  editable  the swept area and a margin".into(),
        "  seed      3".into(),
        "  method    pbsi".into(),
        "  settings  timesteps 2 (default 15), iterations 2 (default 3), strength 0.08 (default 0.75), lora-steps 2 (default 0)".into(),
    ];
    assert_eq!(
        shown.lines().take(expected.len()).collect::<Vec<_>>(),
        expected
    );
    assert!(
        shown.contains("original  96 x 80, SHA-256 ")
            && shown.contains(&format!("job       {}", record["job"].as_str().unwrap())),
        "{shown}"
    );
    assert!(!shown.contains('\x1b'), "{shown}");
}

/// A missing or unusable report is an error with a kind, in `show` and in `edit --like`.
#[test]
fn pictures_without_a_report_are_rejected() {
    let bench = bench();
    make(&bench, "out.png", &["--no-lora", "--no-metadata"]);
    make(&bench, "good.png", &["--no-lora"]);
    image::open(bench.path("in.png"))
        .unwrap()
        .save(bench.path("photo.jpg"))
        .unwrap();
    let good = bench.read("good.png");
    let place = good
        .windows(8)
        .position(|window| window == b"dragnext")
        .unwrap();
    std::fs::write(bench.path("cut.png"), &good[..place + 30]).unwrap();
    let mut flipped = good.clone();
    flipped[place + 30] ^= 1;
    std::fs::write(bench.path("flipped.png"), flipped).unwrap();
    std::fs::create_dir(bench.path("folder.png")).unwrap();
    for (name, kind, says) in [
        (
            "in.png",
            "show.no_report",
            "has no report of how it was made",
        ),
        ("out.png", "show.no_report", "--no-metadata"),
        ("photo.jpg", "show.not_png", "is a JPG file"),
        ("drag.json", "show.not_png", "is not a PNG"),
        ("cut.png", "show.damaged", "ends before the picture does"),
        ("flipped.png", "show.damaged", "checksum"),
        ("missing.png", "file", "check the path"),
        ("folder.png", "file", "not a regular file"),
    ] {
        bench
            .dragnext(["show", name])
            .status(2)
            .stderr_has(format!("error: {name}: "))
            .stderr_has(says)
            .run();
        assert_eq!(
            rejected(edit(&bench, &["in.png", "--like", name, "-o", "no.png"])).0,
            kind,
            "{name}"
        );
    }
    assert!(!bench.path("no.png").exists());
}

#[cfg(unix)]
#[test]
fn paths_that_are_not_unicode_keep_their_bytes_in_the_record() {
    use std::os::unix::ffi::OsStrExt;
    let bench = bench();
    let name = std::ffi::OsStr::from_bytes(b"p\xff.png");
    if let Err(error) = std::fs::copy(bench.path("in.png"), bench.path(name)) {
        report(&format!(
            "skipped: this file system rejects such names: {error}"
        ));
        return;
    }
    let short = ["--drag", "drag.json", "--no-lora", "--timesteps", "1"];
    let record = edit(&bench, &short).arg(name).record();
    let digit = |half: u8| char::from_digit(u32::from(half), 16).unwrap();
    let hex = |bytes: &[u8]| {
        bytes
            .iter()
            .flat_map(|byte| [byte >> 4, byte & 15])
            .map(digit)
            .collect::<String>()
    };
    assert_eq!(record["image_bytes"], hex(b"p\xff.png"));
    assert_eq!(record["out_bytes"], hex(b"p\xff.edited.png"));
    assert_eq!(record.get("drag_bytes"), None);
    let out = std::ffi::OsStr::from_bytes(b"p\xff.edited.png");
    assert!(bench.path(out).is_file());
    // The folder of a VAE may have such a name too.
    let folder = bench.path(std::ffi::OsStr::from_bytes(b"v\xfe"));
    std::fs::create_dir_all(folder.join("vae")).unwrap();
    for file in ["config.json", "diffusion_pytorch_model.safetensors"] {
        let from = model().join("vae").join(file);
        std::fs::copy(from, folder.join("vae").join(file)).unwrap();
    }
    edit(&bench, &short)
        .args(["in.png", "-o", "v.png", "--vae"])
        .arg(&folder)
        .record();
}
