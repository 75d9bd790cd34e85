//! `dragnext check`: golden edits of the tiny model, with faults that the tests create themselves.

use image::{DynamicImage, ImageBuffer, Rgb};
use serde_json::json;

use crate::bench::tiny::model;
use crate::bench::{Bench, Ended, Run};

/// Settings with few steps of everything.
const FEW: [&str; 10] = [
    "--strength",
    "0.08",
    "--timesteps",
    "2",
    "--iterations",
    "2",
    "--lora-steps",
    "0",
    "--lora-rank",
    "4",
];

/// A folder `golden` with two cases, `far` and `near`.
struct Golden(Bench);

impl Golden {
    /// Cases without expected pictures.
    fn new() -> Self {
        let golden = Self(Bench::new());
        for (name, target) in [("far", 70), ("near", 55)] {
            golden.case(name, target);
        }
        golden
    }

    /// Cases whose results were accepted.
    fn blessed() -> Self {
        let golden = Self::new();
        golden.check(&["--bless"]).status(1).run();
        golden
    }

    fn case(&self, name: &str, target: u32) {
        self.write(
            &format!("{name}/drag.json"),
            &format!(
                r#"{{ "version": 1, "editable": {{ "rect": [10, 10, 90, 80] }}, "regions": [
                {{ "type": "translation", "region": {{ "ellipse": [40, 40, 14, 12] }}, "handle": [40, 40], "target": [{target}, 45] }} ] }}"#
            ),
        );
        let wave = |x: u32, y: u32, k: f32| {
            ((((x as f32) * 0.11 * k).sin() + ((y as f32) * 0.07 / k).cos()) * 60.0 + 128.0) as u8
        };
        let picture = ImageBuffer::from_fn(110, 96, |x, y| {
            Rgb([wave(x, y, 1.0), wave(x, y, 1.7), wave(x, y, 0.6)])
        });
        let path = self.0.path(format!("golden/{name}/input.png"));
        picture.save(path).unwrap();
    }

    fn write(&self, name: &str, text: &str) {
        self.0.write(format!("golden/{name}"), text);
    }

    /// `dragnext check golden` with these arguments; what it prints is for the test to check.
    fn check(&self, arguments: &[&str]) -> Run {
        let run = self.0.dragnext(["check", "golden", "--model"]);
        run.arg(model())
            .args(FEW)
            .args(arguments)
            .any_stdout()
            .any_stderr()
    }

    /// Adds to one sample of the expected picture of a case.
    fn spoil(&self, case: &str, (x, y): (u32, u32), by: u8) {
        let path = self.0.path(format!("golden/{case}/expected.png"));
        let mut picture = image::open(&path).unwrap().into_rgb8();
        let sample = &mut picture.get_pixel_mut(x, y).0[0];
        *sample = if *sample > 127 {
            *sample - by
        } else {
            *sample + by
        };
        DynamicImage::from(picture).save(path).unwrap();
    }

    fn expected(&self, case: &str) -> Vec<u8> {
        self.0.read(format!("golden/{case}/expected.png"))
    }

    fn exists(&self, name: &str) -> bool {
        self.0.path(name).exists()
    }
}

/// The error kind of each case, of a check with `--json`.
fn kinds(ended: &Ended) -> Vec<String> {
    let records = ended.records();
    records
        .iter()
        .map(|record| record.kind().to_owned())
        .collect()
}

#[test]
fn a_blessed_result_passes_and_equals_that_of_edit() {
    let golden = Golden::new();
    golden
        .check(&["--bless"])
        .status(1)
        .stdout_has("blessed  far")
        .stderr_has("error: 2 of 2 cases blessed")
        .run();
    assert!(
        !golden.exists("dragnext-check"),
        "without an expected picture nothing is compared"
    );

    let checked = golden
        .check(&[])
        .stdout_has("ok       far ")
        .stdout_has("\nok       near ")
        .run();
    let lines = checked.stderr.lines();
    assert_eq!(
        lines.filter(|line| line.starts_with("load ")).count(),
        1,
        "weights are loaded once: {checked}"
    );

    golden
        .0
        .dragnext(["edit", "golden/near/input.png", "-o", "near.png", "-q"])
        .args(["--drag", "golden/near/drag.json", "--model"])
        .arg(model())
        .args(FEW)
        .run();
    assert!(
        golden.0.read("near.png") == golden.expected("near"),
        "the second case has the bytes of a single edit"
    );
    assert!(golden.expected("near") != golden.expected("far"));
}

/// One level in one sample is too much outside the editable area, but not inside.
#[test]
fn outside_the_editable_area_no_difference_is_permitted() {
    let golden = Golden::blessed();
    golden.spoil("far", (3, 3), 1);
    golden.spoil("near", (40, 40), 1);
    golden
        .check(&[])
        .status(1)
        .stdout_has("FAILED   far")
        .stdout_has("outside the area: largest difference 1 is above 0")
        .stdout_has("ok       near")
        .stderr_has("error: 1 of 2 cases failed\n\nhint: see the pictures in `dragnext-check`")
        .run();
    let triptych = image::open(golden.0.path("dragnext-check/far.triptych.png")).unwrap();
    assert!(triptych.width() > 3 * 110);
    assert!(golden.exists("dragnext-check/far.actual.png"));
    assert!(!golden.exists("dragnext-check/near.actual.png"));

    // A limit permits the difference outside, the other case passes by itself, and a limit forbids its difference inside.
    golden.check(&["--outside-max-diff", "1"]).run();
    golden.check(&["--only", "near"]).run();
    golden
        .check(&["--only", "near", "--max-diff", "0", "-o", "elsewhere"])
        .status(1)
        .run();
    assert!(golden.exists("elsewhere/near.triptych.png"));
}

/// Another seed gives another edit.
#[test]
fn another_edit_exceeds_the_default_limits_and_can_be_blessed() {
    let golden = Golden::blessed();
    let before = golden.expected("far");
    let ended = golden.check(&["--seed", "5", "--json"]).status(1).run();
    let records = ended.records();
    assert_eq!(
        (records.len(), &records[0]["case"], &records[0]["status"]),
        (2, &"far".into(), &"failed".into())
    );
    let over = records[0]["over"].as_array().unwrap();
    assert!(
        over.iter().all(|over| over["area"] == "inside"),
        "{}",
        records[0]
    );
    assert_eq!(
        (&records[0]["outside"]["max_diff"], &records[0]["size"]),
        (&0.0.into(), &json!([110, 96]))
    );
    assert!(
        golden.expected("far") == before,
        "nothing is blessed without --bless"
    );

    // Blessing fails the check, so that it never passes unseen; when nothing differs any more, it passes.
    let bless = ["--seed", "5", "--bless", "--only", "far"];
    golden.check(&bless).status(1).run();
    assert!(golden.expected("far") != before);
    assert!(
        golden.exists("dragnext-check/far.triptych.png"),
        "the change can be reviewed"
    );
    golden.check(&["--seed", "5", "--only", "far"]).run();
    golden.check(&bless).run();
}

#[test]
fn limits_of_the_command_line_take_precedence_over_those_of_the_case() {
    let golden = Golden::blessed();
    golden.spoil("far", (3, 3), 9);
    golden.check(&["--only", "far"]).status(1).run();
    golden.write(
        "far/check.json",
        r#"{ "comment": "its border moves", "outside_max_diff": 9 }"#,
    );
    golden.check(&["--only", "far"]).run();
    golden
        .check(&["--only", "far", "--outside-max-diff", "8"])
        .status(1)
        .run();
}

#[test]
fn a_missing_damaged_or_resized_expected_picture_fails_the_case() {
    let golden = Golden::blessed();
    std::fs::remove_file(golden.0.path("golden/far/expected.png")).unwrap();
    ImageBuffer::from_pixel(96, 96, Rgb([0u8; 3]))
        .save(golden.0.path("golden/near/expected.png"))
        .unwrap();
    let ended = golden.check(&["--json"]).status(1).run();
    assert_eq!(kinds(&ended), ["check.no_expected", "image.size"]);
    assert!(
        golden.exists("dragnext-check/far.actual.png"),
        "the result can be reviewed"
    );
    golden.write("near/expected.png", "no picture");
    golden
        .check(&["--only", "near"])
        .status(1)
        .stdout_has("FAILED   near")
        .stdout_has("expected.png: is not a picture")
        .run();
    golden.check(&["--bless"]).status(1).run();
    golden.check(&[]).run();
}

/// All faults of the cases are reported before any edit.
#[test]
fn faulty_cases_are_reported_before_any_edit() {
    let golden = Golden::new();
    golden.write("far/drag.json", r#"{ "version": 1, "regions": [] }"#);
    let [png, webp] =
        ["png", "webp"].map(|kind| golden.0.path(format!("golden/near/input.{kind}")));
    std::fs::copy(&png, &webp).unwrap();
    let rejected = golden
        .check(&[])
        .status(2)
        .stdout("")
        .stderr_has("near: contains 2 input pictures")
        .run();
    assert!(!rejected.stderr.contains("load "), "{rejected}");
    std::fs::remove_file(webp).unwrap();
    std::fs::write(png, "no picture").unwrap();
    golden
        .check(&["--bless"])
        .status(2)
        .stdout("")
        .stderr_has("far/drag.json")
        .stderr_has("near/input.png")
        .stderr_has("2 files are wrong")
        .run();
    assert!(!golden.exists("golden/far/expected.png"));
    golden
        .check(&["--only", "fra"])
        .status(2)
        .stderr_has("hint: did you mean `far`?")
        .run();
}

/// A GitHub Actions job gets an annotation at the drag file, and a table.
#[test]
fn github_gets_annotations_and_a_summary() {
    let golden = Golden::blessed();
    golden.spoil("far", (3, 3), 7);
    let github = |arguments: &[&str]| {
        golden
            .check(arguments)
            .env("GITHUB_ACTIONS", "true")
            .env("GITHUB_STEP_SUMMARY", golden.0.path("summary.md"))
            .env("GITHUB_WORKSPACE", golden.0.folder())
            .status(1)
    };
    let ended = github(&[]).run();
    let annotations = ended.stdout.lines().filter(|line| line.starts_with("::"));
    let expected = "::error file=golden/far/drag.json,title=dragnext check%3A far::outside the area: largest difference 7 is above 0%0Awrote dragnext-check/far.triptych.png, dragnext-check/far.actual.png";
    assert_eq!(annotations.collect::<Vec<_>>(), [expected]);
    let page = golden.0.text("summary.md");
    assert!(
        page.starts_with("### dragnext check: 1 of 2 as expected\n\n| case | result |"),
        "{page}"
    );
    assert!(
        page.contains("| far | outside the area: largest difference 7 is above 0 |")
            && page.contains("| near | as expected |"),
        "{page}"
    );
    let ended = github(&["--json"]).stderr_has(expected).run();
    assert!(
        ended.stdout.lines().all(|line| line.starts_with('{')),
        "{ended}"
    );
    let ended = golden.check(&[]).status(1).run();
    assert!(
        !ended.stdout.contains("::error"),
        "only GitHub gets annotations"
    );
}

/// A failed edit, here because of a bug, fails only its case.
#[cfg(feature = "failpoints")]
#[test]
fn a_failed_edit_does_not_stop_the_others() {
    let golden = Golden::blessed();
    for (failpoint, kind) in [
        ("panic_in_decode", "bug"),
        ("nan_in_decode", "compute.not_finite"),
    ] {
        let reached = format!("failpoint {failpoint}\n");
        let ended = golden
            .check(&["--json"])
            .env("DRAGNEXT_FAILPOINTS", failpoint)
            .status(1)
            .run();
        assert_eq!(
            ended.stderr.matches(&reached).count(),
            2,
            "it failed in both cases: {ended}"
        );
        assert_eq!(kinds(&ended), [kind, kind]);
    }
    // No file was changed.
    golden.check(&[]).run();
}

#[cfg(all(unix, feature = "failpoints"))]
#[test]
fn a_signal_stops_the_check() {
    let golden = Golden::blessed();
    let (mut child, _stderr) = golden.check(&[]).start_at("wait_in_encode");
    crate::bench::program::send("TERM", &child);
    assert_eq!(child.wait().unwrap().code(), Some(143));
}
