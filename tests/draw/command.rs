//! The command itself, without a browser.

use std::fs;

use crate::bench::Bench;
use crate::bench::program::names;
use crate::page::disc;

fn bench() -> Bench {
    let bench = Bench::new();
    bench.write("cat.png", fs::read(disc()).unwrap());
    bench
}

#[test]
fn the_page_is_written_beside_the_picture() {
    let bench = bench();
    bench
        .dragnext(["draw", "cat.png"])
        .stderr("wrote cat.draw.html\nopen it in a browser\n")
        .run();
    assert_eq!(names(bench.folder()), ["cat.draw.html", "cat.png"]);
    let page = fs::read_to_string(bench.path("cat.draw.html")).unwrap();
    assert!(page.starts_with("<!doctype html>") && page.ends_with("</html>\n"));
}

/// A page of the command itself is replaced, since it holds nothing of the user's. Another file is kept.
#[test]
fn another_file_is_not_replaced() {
    let bench = bench();
    for text in ["", "<!doctype html>\n<title>mine</title>\n"] {
        bench.write("cat.draw.html", text);
        let refused = bench
            .dragnext(["draw", "cat.png"])
            .status(2)
            .any_stderr()
            .run();
        assert!(refused.stderr.contains("--overwrite"), "{refused}");
        let kept = fs::read_to_string(bench.path("cat.draw.html")).unwrap();
        assert_eq!(kept, text);
    }
    let arguments = ["draw", "cat.png", "--overwrite"];
    bench.dragnext(arguments).any_stderr().run();
    let page = fs::read_to_string(bench.path("cat.draw.html")).unwrap();
    bench.dragnext(["draw", "cat.png"]).any_stderr().run();
    let again = fs::read_to_string(bench.path("cat.draw.html")).unwrap();
    assert_eq!(again, page);
}

#[test]
fn inputs_are_kept_and_faults_are_reported() {
    let bench = bench();
    bench.write(
        "cat.json",
        "{ \"version\": 1, \"regions\": [{ \"type\": \"move\" }] }",
    );
    let drag = fs::read(bench.path("cat.json")).unwrap();
    for (arguments, part) in [
        (&["draw", "none.png"][..], "none.png"),
        (&["draw", "cat.json"], "cat.json"),
        (
            &["draw", "cat.png", "-o", "cat.png", "--overwrite"],
            "input",
        ),
        (
            &["draw", "cat.png", "--drag", "cat.json"],
            "expected `translation`",
        ),
        (
            &[
                "draw",
                "cat.png",
                "--drag",
                "cat.json",
                "-o",
                "cat.json",
                "--overwrite",
            ],
            "cat.json",
        ),
    ] {
        let ended = bench.dragnext(arguments).status(2).any_stderr().run();
        assert!(ended.stderr.contains(part), "{part}: {ended}");
    }
    assert_eq!(names(bench.folder()), ["cat.json", "cat.png"]);
    assert_eq!(fs::read(bench.path("cat.json")).unwrap(), drag);
}

/// Without a desktop, `--open` says so and the page is there.
#[test]
fn a_page_that_cannot_be_opened_is_written() {
    let bench = bench();
    let ended = bench
        .dragnext(["draw", "cat.png", "--open"])
        .env("PATH", bench.folder())
        .any_stderr()
        .run();
    assert!(
        ended.stderr.contains("open it in a browser yourself"),
        "{ended}"
    );
    assert!(bench.path("cat.draw.html").exists());
    // An opener without a display would fail unseen.
    let ended = bench
        .dragnext(["draw", "cat.png", "--open"])
        .env("DISPLAY", "")
        .env("WAYLAND_DISPLAY", "")
        .any_stderr()
        .run();
    assert!(
        !cfg!(target_os = "linux") || ended.stderr.contains("there is no display"),
        "{ended}"
    );
}

/// A drag file on stdin is in the page, which saves it under the picture's name.
#[test]
fn a_drag_file_comes_from_stdin() {
    let bench = bench();
    let drag = r#"{ "version": 1, "regions": [{ "type": "point", "handle": [9, 9], "target": [30, 9] }] }"#;
    bench
        .dragnext(["draw", "cat.png", "--drag", "-"])
        .stdin(drag)
        .any_stderr()
        .run();
    let page = fs::read_to_string(bench.path("cat.draw.html")).unwrap();
    let (_, rest) = page.split_once("id=\"start\">").unwrap();
    let (start, _) = rest.split_once("</script>").unwrap();
    let start: serde_json::Value = serde_json::from_str(start).unwrap();
    assert_eq!(
        (&start["drag"], &start["file"]),
        (&drag.into(), &"cat.json".into())
    );
}
