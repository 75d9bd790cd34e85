//! `dragnext check`: golden edits of the tiny model. What is wrong is made wrong first, and seen.

use std::path::{Path, PathBuf};
use std::process::Output;

use assert_cmd::Command;
use image::{DynamicImage, ImageBuffer, Rgb};
use serde_json::Value;

fn tiny() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tiny")
}

/// Few steps of everything.
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

/// What a run said.
struct Said {
    status: Option<i32>,
    stdout: String,
    stderr: String,
}

impl From<Output> for Said {
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
    /// Two cases without anything that is expected of them.
    fn new() -> Self {
        let bench = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        for (name, target) in [("far", 70), ("near", 55)] {
            bench.case(name, target);
        }
        bench
    }

    /// The same, blessed.
    fn blessed() -> Self {
        let bench = Self::new();
        let said = bench.check(&["--bless"]);
        assert_eq!(said.status, Some(1), "{}", said.stderr);
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

    fn check(&self, arguments: &[&str]) -> Said {
        self.command(arguments).output().unwrap().into()
    }

    /// Adds to one sample of what is expected of a case.
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
fn what_was_blessed_passes_and_is_what_edit_makes() {
    let bench = Bench::new();
    let said = bench.check(&["--bless"]);
    assert_eq!(said.status, Some(1), "{}", said.stderr);
    assert!(
        said.stdout.contains("blessed  far") && said.stderr.contains("error: 2 of 2 cases blessed"),
        "{}{}",
        said.stdout,
        said.stderr
    );
    assert!(
        !bench.path("dragnext-check").exists(),
        "there was nothing to compare with"
    );

    let said = bench.check(&[]);
    assert_eq!(said.status, Some(0), "{}{}", said.stdout, said.stderr);
    assert!(
        said.stdout.starts_with("ok       far ") && said.stdout.contains("\nok       near "),
        "{}",
        said.stdout
    );
    assert_eq!(
        said.stderr.matches("\nload ").count() + usize::from(said.stderr.starts_with("load ")),
        1,
        "weights are loaded once: {}",
        said.stderr
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
        "the second case has the bytes of an edit by itself"
    );
    assert!(bench.expected("near") != bench.expected("far"));
}

/// One level in one sample: outside of the editable area that is too much, inside it is not.
#[test]
fn outside_of_the_editable_area_everything_is_held() {
    let bench = Bench::blessed();
    bench.spoil("far", (3, 3), 1);
    bench.spoil("near", (40, 40), 1);
    let said = bench.check(&[]);
    assert_eq!(said.status, Some(1), "{}", said.stdout);
    assert!(
        said.stdout.contains("FAILED   far")
            && said
                .stdout
                .contains("outside the area: largest difference 1 is above 0"),
        "{}",
        said.stdout
    );
    assert!(
        said.stdout.contains("ok       near"),
        "one case does not hide the other: {}",
        said.stdout
    );
    assert!(
        said.stderr.contains(
            "error: 1 of 2 cases failed\n\nhint: look at the pictures in `dragnext-check`"
        ),
        "{}",
        said.stderr
    );
    let triptych = image::open(bench.path("dragnext-check/far.triptych.png")).unwrap();
    assert!(triptych.width() > 3 * 110);
    assert!(bench.path("dragnext-check/far.actual.png").is_file());
    assert!(!bench.path("dragnext-check/near.actual.png").exists());

    assert_eq!(
        bench.check(&["--outside-max-diff", "1"]).status,
        Some(0),
        "unless it is allowed"
    );
    assert_eq!(
        bench.check(&["--only", "near"]).status,
        Some(0),
        "the other case is as it should be"
    );
    let said = bench.check(&["--only", "near", "--max-diff", "0", "-o", "elsewhere"]);
    assert_eq!(
        said.status,
        Some(1),
        "unless it is not allowed: {}",
        said.stdout
    );
    assert!(bench.path("elsewhere/near.triptych.png").is_file());
}

/// Another seed is another edit.
#[test]
fn another_edit_is_found_by_the_usual_limits_and_blessed_again() {
    let bench = Bench::blessed();
    let before = bench.expected("far");
    let said = bench.check(&["--seed", "5", "--json"]);
    assert_eq!(said.status, Some(1), "{}", said.stderr);
    let records: Vec<Value> = said
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
        "nothing is blessed that was not asked for"
    );

    assert_eq!(
        bench
            .check(&["--seed", "5", "--bless", "--only", "far"])
            .status,
        Some(1),
        "so that nobody blesses unseen"
    );
    assert!(bench.expected("far") != before);
    assert!(
        bench.path("dragnext-check/far.triptych.png").is_file(),
        "what changed can be looked at"
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
        "nothing is left to bless"
    );
}

#[test]
fn a_case_has_its_own_limits_and_the_command_line_goes_before_them() {
    let bench = Bench::blessed();
    bench.spoil("far", (3, 3), 9);
    assert_eq!(bench.check(&["--only", "far"]).status, Some(1));
    bench.write(
        "golden/far/check.json",
        r#"{ "comment": "its border wanders", "outside_max_diff": 9 }"#,
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
fn an_expected_picture_that_is_missing_damaged_or_of_another_size_is_a_failure() {
    let bench = Bench::blessed();
    std::fs::remove_file(bench.path("golden/far/expected.png")).unwrap();
    ImageBuffer::from_pixel(96, 96, Rgb([0u8; 3]))
        .save(bench.path("golden/near/expected.png"))
        .unwrap();
    let said = bench.check(&["--json"]);
    let kinds: Vec<Value> = said
        .stdout
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["error"]["kind"].take())
        .collect();
    assert_eq!(
        (said.status, kinds),
        (
            Some(1),
            vec!["check.no_expected".into(), "image.size".into()]
        ),
        "{}",
        said.stderr
    );
    assert!(
        bench.path("dragnext-check/far.actual.png").is_file(),
        "there is something to look at"
    );
    bench.write("golden/near/expected.png", "no picture");
    let said = bench.check(&["--only", "near"]);
    assert_eq!(said.status, Some(1));
    assert!(
        said.stdout.contains("FAILED   near")
            && said.stdout.contains("expected.png: is not a picture"),
        "{}",
        said.stdout
    );
    bench.check(&["--bless"]);
    assert_eq!(bench.check(&[]).status, Some(0));
}

/// What is wrong with the cases is told before any edit, all of it.
#[test]
fn wrong_cases_are_found_before_any_edit() {
    let bench = Bench::new();
    bench.write("golden/far/drag.json", r#"{ "version": 1, "regions": [] }"#);
    std::fs::copy(
        bench.path("golden/near/input.png"),
        bench.path("golden/near/input.webp"),
    )
    .unwrap();
    let said = bench.check(&[]);
    assert_eq!(
        (said.status, &*said.stdout),
        (Some(2), ""),
        "{}",
        said.stderr
    );
    assert!(
        said.stderr.contains("near: has 2 input pictures") && !said.stderr.contains("load "),
        "{}",
        said.stderr
    );
    std::fs::remove_file(bench.path("golden/near/input.webp")).unwrap();
    std::fs::write(bench.path("golden/near/input.png"), "no picture").unwrap();
    let said = bench.check(&["--bless"]);
    assert_eq!(
        (said.status, &*said.stdout),
        (Some(2), ""),
        "{}",
        said.stderr
    );
    assert!(
        said.stderr.contains("far/drag.json")
            && said.stderr.contains("near/input.png")
            && said.stderr.contains("2 files are wrong"),
        "{}",
        said.stderr
    );
    assert!(!bench.path("golden/far/expected.png").exists());
    let said = bench.check(&["--only", "fra"]);
    assert!(
        said.status == Some(2) && said.stderr.contains("hint: did you mean `far`?"),
        "{}",
        said.stderr
    );
}

/// A job of GitHub Actions gets an annotation beside the drag file, and a table.
#[test]
fn github_is_told_where_and_what() {
    let bench = Bench::blessed();
    bench.spoil("far", (3, 3), 7);
    let github = |arguments: &[&str]| {
        let mut command = bench.command(arguments);
        command
            .env("GITHUB_ACTIONS", "true")
            .env("GITHUB_STEP_SUMMARY", bench.path("summary.md"));
        Said::from(
            command
                .env("GITHUB_WORKSPACE", bench.folder.path())
                .output()
                .unwrap(),
        )
    };
    let said = github(&[]);
    let annotations: Vec<&str> = said
        .stdout
        .lines()
        .filter(|line| line.starts_with("::"))
        .collect();
    let expected = "::error file=golden/far/drag.json,title=dragnext check%3A far::outside the area: largest difference 7 is above 0%0Awrote dragnext-check/far.triptych.png, dragnext-check/far.actual.png";
    assert_eq!(
        (said.status, annotations),
        (Some(1), vec![expected]),
        "{}",
        said.stderr
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
    let said = github(&["--json"]);
    assert!(
        said.stdout.lines().all(|line| line.starts_with('{')) && said.stderr.contains(expected),
        "{}",
        said.stdout
    );
    assert!(
        !bench.check(&[]).stdout.contains("::error"),
        "elsewhere nobody is"
    );
}

/// An edit that fails, here by a bug, is its case's failure.
#[cfg(feature = "failpoints")]
#[test]
fn an_edit_that_fails_does_not_stop_the_others() {
    let bench = Bench::blessed();
    for (failpoint, kind) in [
        ("panic_in_decode", "bug"),
        ("nan_in_decode", "compute.not_finite"),
    ] {
        let said = Said::from(
            bench
                .command(&["--json"])
                .env("DRAGNEXT_FAILPOINTS", failpoint)
                .output()
                .unwrap(),
        );
        assert_eq!(
            said.stderr
                .matches(&format!("failpoint {failpoint}\n"))
                .count(),
            2,
            "it happened in both: {}",
            said.stderr
        );
        let kinds: Vec<Value> = said
            .stdout
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap()["error"]["kind"].take())
            .collect();
        assert_eq!(
            (said.status, kinds),
            (Some(1), vec![kind.into(), kind.into()]),
            "{}",
            said.stderr
        );
    }
    assert!(bench.check(&[]).status == Some(0), "nothing was touched");
}

#[cfg(all(unix, feature = "failpoints"))]
#[test]
fn a_signal_stops_it_tidily() {
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
        "it is at work"
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
