//! `dragnext check`: golden edits of the tiny model, with faults that the tests create themselves.

use std::path::{Path, PathBuf};
use std::process::Output;

use assert_cmd::Command;
use image::{DynamicImage, ImageBuffer, Rgb};
use serde_json::Value;

fn tiny() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tiny")
}

/// Settings with few steps in every stage.
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

struct Bench {
    folder: tempfile::TempDir,
}

/// Exit status and output of a run.
struct Ended {
    status: Option<i32>,
    stdout: String,
    stderr: String,
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Self {
            status: output.status.code(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }
}

impl Bench {
    /// Creates two cases without expected pictures.
    fn new() -> Self {
        let bench = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        for (name, target) in [("far", 70), ("near", 55)] {
            bench.case(name, target);
        }
        bench
    }

    /// Creates two cases with expected pictures.
    fn blessed() -> Self {
        let bench = Self::new();
        let ended = bench.check(&["--bless"]);
        assert_eq!(ended.status, Some(1), "{}", ended.stderr);
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    fn case(&self, name: &str, target: u32) {
        std::fs::create_dir_all(self.path("golden").join(name)).unwrap();
        let wave = |x: u32, y: u32, k: f32| {
            ((((x as f32) * 0.11 * k).sin() + ((y as f32) * 0.07 / k).cos()) * 60.0 + 128.0) as u8
        };
        let picture = ImageBuffer::from_fn(110, 96, |x, y| {
            Rgb([wave(x, y, 1.0), wave(x, y, 1.7), wave(x, y, 0.6)])
        });
        picture
            .save(self.path("golden").join(name).join("input.png"))
            .unwrap();
        self.write(
            &format!("golden/{name}/drag.json"),
            &format!(
                r#"{{ "version": 1, "editable": {{ "rect": [10, 10, 90, 80] }}, "regions": [
                {{ "type": "translation", "region": {{ "ellipse": [40, 40, 14, 12] }}, "handle": [40, 40], "target": [{target}, 45] }} ] }}"#
            ),
        );
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::cargo_bin("dragnext").unwrap();
        command
            .env_clear()
            .env("HOME", self.folder.path())
            .current_dir(self.folder.path());
        command
            .args(["check", "golden", "--model"])
            .arg(tiny())
            .args(FEW)
            .args(arguments);
        command
    }

    fn check(&self, arguments: &[&str]) -> Ended {
        self.command(arguments).output().unwrap().into()
    }

    /// Changes one sample of the expected picture of a case.
    fn spoil(&self, case: &str, (x, y): (u32, u32), by: u8) {
        let path = self.path("golden").join(case).join("expected.png");
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
        std::fs::read(self.path("golden").join(case).join("expected.png")).unwrap()
    }
}

#[test]
fn a_blessed_result_passes_and_equals_that_of_edit() {
    let bench = Bench::new();
    let ended = bench.check(&["--bless"]);
    assert_eq!(ended.status, Some(1), "{}", ended.stderr);
    assert!(
        ended.stdout.contains("blessed  far")
            && ended.stderr.contains("error: 2 of 2 cases blessed"),
        "{}{}",
        ended.stdout,
        ended.stderr
    );
    assert!(
        !bench.path("dragnext-check").exists(),
        "without an expected picture nothing is compared"
    );

    let ended = bench.check(&[]);
    assert_eq!(ended.status, Some(0), "{}{}", ended.stdout, ended.stderr);
    assert!(
        ended.stdout.starts_with("ok       far ") && ended.stdout.contains("\nok       near "),
        "{}",
        ended.stdout
    );
    assert_eq!(
        ended.stderr.matches("\nload ").count() + usize::from(ended.stderr.starts_with("load ")),
        1,
        "weights are loaded once: {}",
        ended.stderr
    );

    let mut edit = Command::cargo_bin("dragnext").unwrap();
    edit.env_clear().current_dir(bench.folder.path()).args([
        "edit",
        "golden/near/input.png",
        "--drag",
        "golden/near/drag.json",
    ]);
    assert!(
        edit.args(["-o", "near.png", "-q", "--model"])
            .arg(tiny())
            .args(FEW)
            .output()
            .unwrap()
            .status
            .success()
    );
    assert!(
        std::fs::read(bench.path("near.png")).unwrap() == bench.expected("near"),
        "the second case has the bytes of a single edit"
    );
    assert!(bench.expected("near") != bench.expected("far"));
}

/// One level in one sample is too much outside the editable area, but not inside.
#[test]
fn outside_the_editable_area_no_difference_is_permitted() {
    let bench = Bench::blessed();
    bench.spoil("far", (3, 3), 1);
    bench.spoil("near", (40, 40), 1);
    let ended = bench.check(&[]);
    assert_eq!(ended.status, Some(1), "{}", ended.stdout);
    assert!(
        ended.stdout.contains("FAILED   far")
            && ended
                .stdout
                .contains("outside the area: largest difference 1 is above 0"),
        "{}",
        ended.stdout
    );
    assert!(
        ended.stdout.contains("ok       near"),
        "one case does not hide the other: {}",
        ended.stdout
    );
    assert!(
        ended
            .stderr
            .contains("error: 1 of 2 cases failed\n\nhint: see the pictures in `dragnext-check`"),
        "{}",
        ended.stderr
    );
    let triptych = image::open(bench.path("dragnext-check/far.triptych.png")).unwrap();
    assert!(triptych.width() > 3 * 110);
    assert!(bench.path("dragnext-check/far.actual.png").is_file());
    assert!(!bench.path("dragnext-check/near.actual.png").exists());

    assert_eq!(
        bench.check(&["--outside-max-diff", "1"]).status,
        Some(0),
        "the limit permits it"
    );
    assert_eq!(
        bench.check(&["--only", "near"]).status,
        Some(0),
        "the other case passes"
    );
    let ended = bench.check(&["--only", "near", "--max-diff", "0", "-o", "elsewhere"]);
    assert_eq!(
        ended.status,
        Some(1),
        "the limit forbids it: {}",
        ended.stdout
    );
    assert!(bench.path("elsewhere/near.triptych.png").is_file());
}

/// Another seed gives another edit.
#[test]
fn another_edit_exceeds_the_default_limits_and_can_be_blessed() {
    let bench = Bench::blessed();
    let before = bench.expected("far");
    let ended = bench.check(&["--seed", "5", "--json"]);
    assert_eq!(ended.status, Some(1), "{}", ended.stderr);
    let records: Vec<Value> = ended
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(
        (records.len(), &records[0]["case"], &records[0]["status"]),
        (2, &"far".into(), &"failed".into())
    );
    assert!(
        records[0]["over"]
            .as_array()
            .unwrap()
            .iter()
            .all(|over| over["area"] == "inside"),
        "{}",
        records[0]
    );
    assert_eq!(
        (&records[0]["outside"]["max_diff"], &records[0]["size"]),
        (&0.0.into(), &serde_json::json!([110, 96]))
    );
    assert!(
        bench.expected("far") == before,
        "nothing is blessed without --bless"
    );

    assert_eq!(
        bench
            .check(&["--seed", "5", "--bless", "--only", "far"])
            .status,
        Some(1),
        "blessing fails the check"
    );
    assert!(bench.expected("far") != before);
    assert!(
        bench.path("dragnext-check/far.triptych.png").is_file(),
        "the change can be reviewed"
    );
    assert_eq!(
        bench.check(&["--seed", "5", "--only", "far"]).status,
        Some(0)
    );
    assert_eq!(
        bench
            .check(&["--seed", "5", "--bless", "--only", "far"])
            .status,
        Some(0),
        "nothing differs any more"
    );
}

#[test]
fn limits_of_the_command_line_take_precedence_over_those_of_the_case() {
    let bench = Bench::blessed();
    bench.spoil("far", (3, 3), 9);
    assert_eq!(bench.check(&["--only", "far"]).status, Some(1));
    bench.write(
        "golden/far/check.json",
        r#"{ "comment": "its border moves", "outside_max_diff": 9 }"#,
    );
    assert_eq!(bench.check(&["--only", "far"]).status, Some(0));
    assert_eq!(
        bench
            .check(&["--only", "far", "--outside-max-diff", "8"])
            .status,
        Some(1)
    );
}

#[test]
fn a_missing_damaged_or_resized_expected_picture_fails_the_case() {
    let bench = Bench::blessed();
    std::fs::remove_file(bench.path("golden/far/expected.png")).unwrap();
    ImageBuffer::from_pixel(96, 96, Rgb([0u8; 3]))
        .save(bench.path("golden/near/expected.png"))
        .unwrap();
    let ended = bench.check(&["--json"]);
    let kinds: Vec<Value> = ended
        .stdout
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["error"]["kind"].take())
        .collect();
    assert_eq!(
        (ended.status, kinds),
        (
            Some(1),
            vec!["check.no_expected".into(), "image.size".into()]
        ),
        "{}",
        ended.stderr
    );
    assert!(
        bench.path("dragnext-check/far.actual.png").is_file(),
        "the result can be reviewed"
    );
    bench.write("golden/near/expected.png", "no picture");
    let ended = bench.check(&["--only", "near"]);
    assert_eq!(ended.status, Some(1));
    assert!(
        ended.stdout.contains("FAILED   near")
            && ended.stdout.contains("expected.png: is not a picture"),
        "{}",
        ended.stdout
    );
    bench.check(&["--bless"]);
    assert_eq!(bench.check(&[]).status, Some(0));
}

/// All faults of the cases are reported before any edit.
#[test]
fn faulty_cases_are_reported_before_any_edit() {
    let bench = Bench::new();
    bench.write("golden/far/drag.json", r#"{ "version": 1, "regions": [] }"#);
    std::fs::copy(
        bench.path("golden/near/input.png"),
        bench.path("golden/near/input.webp"),
    )
    .unwrap();
    let ended = bench.check(&[]);
    assert_eq!(
        (ended.status, &*ended.stdout),
        (Some(2), ""),
        "{}",
        ended.stderr
    );
    assert!(
        ended.stderr.contains("near: contains 2 input pictures") && !ended.stderr.contains("load "),
        "{}",
        ended.stderr
    );
    std::fs::remove_file(bench.path("golden/near/input.webp")).unwrap();
    std::fs::write(bench.path("golden/near/input.png"), "no picture").unwrap();
    let ended = bench.check(&["--bless"]);
    assert_eq!(
        (ended.status, &*ended.stdout),
        (Some(2), ""),
        "{}",
        ended.stderr
    );
    assert!(
        ended.stderr.contains("far/drag.json")
            && ended.stderr.contains("near/input.png")
            && ended.stderr.contains("2 files are wrong"),
        "{}",
        ended.stderr
    );
    assert!(!bench.path("golden/far/expected.png").exists());
    let ended = bench.check(&["--only", "fra"]);
    assert!(
        ended.status == Some(2) && ended.stderr.contains("hint: did you mean `far`?"),
        "{}",
        ended.stderr
    );
}

/// A GitHub Actions job gets an annotation at the drag file, and a table.
#[test]
fn github_gets_annotations_and_a_summary() {
    let bench = Bench::blessed();
    bench.spoil("far", (3, 3), 7);
    let github = |arguments: &[&str]| {
        let mut command = bench.command(arguments);
        command
            .env("GITHUB_ACTIONS", "true")
            .env("GITHUB_STEP_SUMMARY", bench.path("summary.md"));
        Ended::from(
            command
                .env("GITHUB_WORKSPACE", bench.folder.path())
                .output()
                .unwrap(),
        )
    };
    let ended = github(&[]);
    let annotations: Vec<&str> = ended
        .stdout
        .lines()
        .filter(|line| line.starts_with("::"))
        .collect();
    let expected = "::error file=golden/far/drag.json,title=dragnext check%3A far::outside the area: largest difference 7 is above 0%0Awrote dragnext-check/far.triptych.png, dragnext-check/far.actual.png";
    assert_eq!(
        (ended.status, annotations),
        (Some(1), vec![expected]),
        "{}",
        ended.stderr
    );
    let page = std::fs::read_to_string(bench.path("summary.md")).unwrap();
    assert!(
        page.starts_with("### dragnext check: 1 of 2 as expected\n\n| case | result |"),
        "{page}"
    );
    assert!(
        page.contains("| far | outside the area: largest difference 7 is above 0 |")
            && page.contains("| near | as expected |"),
        "{page}"
    );
    let ended = github(&["--json"]);
    assert!(
        ended.stdout.lines().all(|line| line.starts_with('{')) && ended.stderr.contains(expected),
        "{}",
        ended.stdout
    );
    assert!(
        !bench.check(&[]).stdout.contains("::error"),
        "only GitHub gets annotations"
    );
}

/// A failed edit, here because of a bug, fails only its case.
#[cfg(feature = "failpoints")]
#[test]
fn a_failed_edit_does_not_stop_the_others() {
    let bench = Bench::blessed();
    for (failpoint, kind) in [
        ("panic_in_decode", "bug"),
        ("nan_in_decode", "compute.not_finite"),
    ] {
        let ended = Ended::from(
            bench
                .command(&["--json"])
                .env("DRAGNEXT_FAILPOINTS", failpoint)
                .output()
                .unwrap(),
        );
        assert_eq!(
            ended
                .stderr
                .matches(&format!("failpoint {failpoint}\n"))
                .count(),
            2,
            "it failed in both cases: {}",
            ended.stderr
        );
        let kinds: Vec<Value> = ended
            .stdout
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap()["error"]["kind"].take())
            .collect();
        assert_eq!(
            (ended.status, kinds),
            (Some(1), vec![kind.into(), kind.into()]),
            "{}",
            ended.stderr
        );
    }
    assert!(bench.check(&[]).status == Some(0), "no file was changed");
}

#[cfg(all(unix, feature = "failpoints"))]
#[test]
fn a_signal_stops_the_check() {
    use std::io::{BufRead, BufReader};
    let bench = Bench::blessed();
    let mut command = std::process::Command::new(assert_cmd::cargo::cargo_bin("dragnext"));
    command
        .env_clear()
        .env("DRAGNEXT_FAILPOINTS", "wait_in_encode")
        .current_dir(bench.folder.path());
    command
        .args(["check", "golden", "--model"])
        .arg(tiny())
        .args(FEW);
    let mut child = command
        .stderr(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(
        lines.any(|line| line.unwrap() == "failpoint wait_in_encode"),
        "it reached the failpoint"
    );
    assert!(
        Command::new("kill")
            .args(["-TERM", &child.id().to_string()])
            .output()
            .unwrap()
            .status
            .success()
    );
    assert_eq!(child.wait().unwrap().code(), Some(143));
}
