//! What is wrong with a sample is reported with its name, and nothing is lost or read that must not be.

use std::fs;

use serde_json::json;

use super::{copied, fixture, import, lines};
use crate::bench::Bench;

const FIRST: &str = "dragbench/animals/JH_2023-09-14-1820-16";

/// The folder that is read is never written, not even with `--overwrite`.
#[test]
fn the_source_is_no_output() {
    let bench = Bench::new();
    copied(&bench, "dragbench");
    copied(&bench, "coco");
    for [kind, path, output] in [
        ["dragbench", "dragbench", "dragbench/"],
        ["coco", "coco/instances.json", "coco"],
    ] {
        bench
            .dragnext(["import", kind, path, "-o", output, "--overwrite"])
            .status(2)
            .stderr_has("is the folder of the input")
            .run();
        assert!(!bench.path(output).join("manifest.jsonl").exists());
    }
}

/// Without `--keep-going`, a faulty sample keeps all of them from being written; with it, the others are.
#[test]
fn a_faulty_sample_is_named_and_the_others_are_kept() {
    let bench = Bench::new();
    copied(&bench, "dragbench");
    let pickle = bench.path(format!("{FIRST}/meta_data.pkl"));
    fs::write(&pickle, &fs::read(&pickle).unwrap()[..300]).unwrap();
    import(&bench, "dragbench", &[])
        .status(2)
        .stderr_has("JH_2023-09-14-1820-16/meta_data.pkl: the pickle is damaged at byte")
        .run();
    assert!(!bench.path("out").exists(), "nothing is written");
    let ended = import(&bench, "dragbench", &["--keep-going", "--json"])
        .status(1)
        .any_stdout()
        .stderr_has("the pickle is damaged at byte")
        .stderr_has("error: 1 of 2 samples could not be imported")
        .run();
    let lines = lines(&ended);
    assert_eq!(lines[0]["status"], "failed");
    assert_eq!(lines[0]["error"]["kind"], "import.damaged");
    assert_eq!(lines[1]["status"], "imported");
    assert_eq!(lines[2]["summary"]["imported"], 1);
    assert_eq!(bench.text("out/manifest.jsonl").lines().count(), 1);
}

/// A pickle that would run code is refused by the name of what it would run, and runs nothing.
#[test]
fn a_hostile_pickle_runs_nothing() {
    for (name, what) in [
        ("system-0", "posix.system"),
        ("system-4", "posix.system"),
        ("eval-0", "eval"),
        ("eval-4", "builtins.eval"),
        ("class-4", "pathlib"),
        ("object-array", "dtype `O8`"),
    ] {
        let bench = Bench::new();
        copied(&bench, "dragbench");
        let hostile = fixture(&format!("pickles/hostile-{name}.pkl"));
        fs::copy(hostile, bench.path(format!("{FIRST}/meta_data.pkl"))).unwrap();
        import(&bench, "dragbench", &[])
            .status(2)
            .stderr_has("the pickle is refused")
            .stderr_has(what)
            .stderr_has("nothing of the file was run")
            .run();
        assert_eq!(bench.names(), ["dragbench"], "{name}");
    }
}

/// Files of other content are kept without `--overwrite`; an import that was interrupted continues.
#[test]
fn nothing_is_overwritten_unless_asked() {
    let bench = Bench::new();
    copied(&bench, "drag100");
    import(&bench, "drag100", &["-q"]).run();
    fs::remove_file(bench.path("out/vase/drag.json")).unwrap();
    import(&bench, "drag100", &["-q"]).run();
    assert!(bench.path("out/vase/drag.json").exists());
    bench.write("out/vase/drag.json", "mine");
    import(&bench, "drag100", &["-q"])
        .status(2)
        .stderr_has("out/vase/drag.json: exists already")
        .stderr_has("--overwrite")
        .run();
    assert_eq!(bench.text("out/vase/drag.json"), "mine");
    import(&bench, "drag100", &["-q", "--overwrite"]).run();
    assert_ne!(bench.text("out/vase/drag.json"), "mine");
}

/// Values that make no valid edit are reported as `batch` would, before anything is written.
#[test]
fn samples_that_batch_would_refuse_are_faulty() {
    for (points, reason) in [
        (
            json!({ "points": [[20, 30], [500, 30]] }),
            "lies outside the image (96 x 80)",
        ),
        (
            json!({ "points": [[20, 30], [50, 30], [60, 30]] }),
            "`points` has 3 points",
        ),
        (json!({ "points": [] }), "`points` has 0 points"),
        (json!({ "point": [[1, 2]] }), "there is no `points`"),
        (
            json!({ "points": [["a", 2]] }),
            "found the text \"a\" instead of a number",
        ),
    ] {
        let bench = Bench::new();
        copied(&bench, "drag100");
        bench.write("drag100/vase/points.json", points.to_string());
        import(&bench, "drag100", &[])
            .status(2)
            .stderr_has("drag100/vase")
            .stderr_has(reason)
            .run();
        assert!(!bench.path("out").exists(), "{points}");
    }
    let bench = Bench::new();
    copied(&bench, "drag100");
    fs::copy(
        fixture("dragbench-sr/sde_1/mask.png"),
        bench.path("mask.png"),
    )
    .unwrap();
    image::GrayImage::new(10, 10)
        .save(bench.path("drag100/vase/mask.png"))
        .unwrap();
    import(&bench, "drag100", &[])
        .status(2)
        .stderr_has("is 10 x 10 pixels, the image is 96 x 80")
        .run();
}

/// Paths in annotations reach only files inside the given folders.
#[test]
fn paths_that_lead_out_are_refused() {
    let secret = "secret.png";
    for name in [
        "../secret.png",
        "/etc/hostname",
        "..\\secret.png",
        "a/../../secret.png",
        "",
    ] {
        let bench = Bench::new();
        copied(&bench, "labelme");
        fs::copy(fixture("labelme/cup.png"), bench.path(secret)).unwrap();
        fs::remove_file(bench.path("labelme/inside.json")).unwrap();
        let text = bench
            .text("labelme/cup.json")
            .replace("\"cup.png\"", &serde_json::to_string(name).unwrap());
        bench.write("labelme/cup.json", text);
        import(&bench, "labelme", &[])
            .status(2)
            .stderr_has("labelme")
            .any_stdout()
            .run();
        assert!(!bench.path("out").exists(), "{name}");
    }
    let bench = Bench::new();
    copied(&bench, "labelme");
    fs::create_dir(bench.path("pictures")).unwrap();
    fs::rename(
        bench.path("labelme/cup.png"),
        bench.path("pictures/cup.png"),
    )
    .unwrap();
    import(&bench, "labelme", &[])
        .status(2)
        .stderr_has("cup.json")
        .stderr_has("`--images DIR`")
        .run();
    import(&bench, "labelme", &["--images", "pictures", "-q"]).run();
}

#[cfg(unix)]
#[test]
fn links_and_pipes_are_not_followed() {
    let bench = Bench::new();
    copied(&bench, "dragbench");
    fs::rename(
        bench.path(format!("{FIRST}/original_image.png")),
        bench.path("away.png"),
    )
    .unwrap();
    let link = bench.path(format!("{FIRST}/original_image.png"));
    std::os::unix::fs::symlink(bench.path("away.png"), &link).unwrap();
    std::os::unix::fs::symlink(bench.path("dragbench"), bench.path("dragbench/loop")).unwrap();
    import(&bench, "dragbench", &[])
        .status(2)
        .stderr_has("original_image.png: leads out of `dragbench`")
        .run();
    fs::remove_file(&link).unwrap();
    let made = std::process::Command::new("mkfifo")
        .arg(&link)
        .status()
        .unwrap();
    assert!(made.success());
    import(&bench, "dragbench", &[])
        .status(2)
        .stderr_has("is not a regular file")
        .run();
}

/// Hostile names of samples and regions stay inside the output folder, and names that collide get numbers.
#[test]
fn hostile_names_stay_inside_the_output_folder() {
    let bench = Bench::new();
    copied(&bench, "coco");
    let mut all: serde_json::Value =
        serde_json::from_str(&bench.text("coco/instances.json")).unwrap();
    all["annotations"]
        .as_array_mut()
        .unwrap()
        .retain(|annotation| annotation["image_id"].as_i64() < Some(3));
    all["categories"][0]["name"] = json!("\u{202e}../../x\n\u{1b}[2J");
    all["images"][0]["file_name"] = json!("images/polygon.png");
    all["images"][1]["file_name"] = json!("../images/polygon.png");
    bench.write("coco/instances.json", all.to_string());
    import(&bench, "coco", &["-q"]).run();
    let manifest = bench.text("out/manifest.jsonl");
    assert_eq!(manifest.lines().count(), 2);
    assert_eq!(bench.names(), ["coco", "out"]);
    assert!(!manifest.contains(".."), "{manifest}");
    assert_eq!(
        super::drag(&bench, "images/polygon")["regions"][0]["type"],
        "translation"
    );
}

#[test]
fn regions_without_a_motion_ask_for_one() {
    let bench = Bench::new();
    copied(&bench, "coco");
    import(&bench, "coco", &[])
        .status(2)
        .stderr_has("(`boxes.png`): the region `box` has no line from its handle to its target")
        .stderr_has("`--move DX,DY`")
        .run();
}

/// `auto` takes the kind that the content shows, and gives the same files.
#[test]
fn a_kind_need_not_be_known() {
    for kind in ["labelme", "dragbench", "cvat", "nextbench"] {
        let bench = Bench::new();
        copied(&bench, kind);
        for (name, output) in [(kind, "named"), ("auto", "found")] {
            bench
                .dragnext(["import", name, kind, "-o", output])
                .any_stdout()
                .any_stderr()
                .run();
        }
        let list = |folder: &str| bench.read(format!("{folder}/manifest.jsonl"));
        assert!(list("named") == list("found"), "{kind}");
        // The list is named where its folder is given.
        bench
            .dragnext(["batch", "found", "-o", "edited", "--model", "demo"])
            .status(2)
            .stderr_has("give the list `found/manifest.jsonl` with `--manifest`")
            .run();
    }
    let bench = Bench::new();
    bench.write("other/notes.json", "{}");
    bench
        .dragnext(["import", "auto", "other", "-o", "out"])
        .status(2)
        .stderr_has("other: is of no known kind")
        .run();
}

#[test]
fn another_kind_is_recognised() {
    let bench = Bench::new();
    copied(&bench, "labelme");
    bench
        .dragnext(["import", "dragbench", "labelme", "-o", "out"])
        .status(2)
        .stderr_has("labelme: there is no sample of the kind `dragbench`")
        .stderr_has("`dragnext import labelme labelme -o DIR`")
        .run();
    bench
        .dragnext(["import", "dragbench", "nowhere", "-o", "out"])
        .status(2)
        .stderr_has("nowhere: ")
        .run();
    bench.write("broken.xml", "<annotations><image");
    bench
        .dragnext(["import", "cvat", "broken.xml", "-o", "out"])
        .status(2)
        .stderr_has("broken.xml: ")
        .run();
}
