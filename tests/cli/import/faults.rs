//! What is wrong with a sample is reported with its name, and nothing is lost or read that must not be.

use std::fs;

use serde_json::json;

use super::{copied, fixture, lines};
use crate::bench::Bench;

const FIRST: &str = "dragbench/animals/JH_2023-09-14-1820-16";

fn import(bench: &Bench, kind: &str, more: &[&str]) -> crate::bench::Run {
    bench
        .dragnext(["import", kind, kind, "-o", "out"])
        .args(more)
}

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
        (json!({ "point": [[1, 2]] }), "missing field `points`"),
        (json!({ "points": [["a", 2]] }), "invalid type"),
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

/// More shapes than a drag file can have are refused before any is drawn: the masks here would take gigabytes.
#[test]
fn more_shapes_than_a_drag_has_are_refused_at_once() {
    let bench = Bench::new();
    let picture = image::RgbImage::new(2000, 2000);
    fs::create_dir_all(bench.path("labelme")).unwrap();
    picture.save(bench.path("labelme/cup.png")).unwrap();
    let shapes: Vec<_> = (0..10_000)
        .map(|index| {
            let x = f64::from(index % 90);
            json!({"label": format!("s{index}"), "shape_type": "rectangle", "points": [[x, 1.0], [x + 5.0, 1900.0]]})
        })
        .collect();
    let file = json!({"shapes": shapes, "imagePath": "cup.png", "flags": {}});
    bench.write("labelme/cup.json", file.to_string());
    import(&bench, "labelme", &["--move", "4,0"])
        .status(2)
        .stderr_has("labelme/cup.json: has more than 128 drags for one picture")
        .stderr_has("hint: a drag file holds at most")
        .run();
}

/// What `batch` would refuse later is refused here, before anything is written.
#[test]
fn truncated_pictures_and_long_prompts_are_faults() {
    let bench = Bench::new();
    copied(&bench, "cvat");
    let jpeg = bench.read("cvat/cup.jpg");
    fs::write(bench.path("cvat/cup.jpg"), &jpeg[..jpeg.len() / 2]).unwrap();
    import(&bench, "cvat", &[])
        .status(2)
        .stderr_has("cvat/cup.jpg: ")
        .stderr_has("truncated")
        .run();
    let bench = Bench::new();
    copied(&bench, "via");
    fs::remove_file(bench.path("via/old.json")).unwrap();
    fs::remove_file(bench.path("via/regions.csv")).unwrap();
    let text = bench.text("via/project.json");
    bench.write(
        "via/project.json",
        text.replace("\"a cup\"", &format!("\"{}\"", "cup ".repeat(76))),
    );
    import(&bench, "via", &[])
        .status(2)
        .stderr_has("the prompt has 76 words; text encoders read at most 75")
        .run();
    assert!(!bench.path("out").exists());
}

/// Folders that a name could hide or lead elsewhere.
#[test]
fn names_and_links_stay_inside_the_output_folder() {
    let bench = Bench::new();
    copied(&bench, "dragbench");
    fs::rename(
        bench.path("dragbench/animals"),
        bench.path("dragbench/manifest.jsonl"),
    )
    .unwrap();
    let sample = bench.path("dragbench/art_work");
    let name = fs::read_dir(&sample)
        .unwrap()
        .flatten()
        .next()
        .unwrap()
        .path();
    fs::rename(name, sample.join(" ")).unwrap();
    import(&bench, "dragbench", &["-q"]).run();
    let manifest = bench.text("out/manifest.jsonl");
    assert!(
        manifest.contains("\"id\":\"manifest.jsonl_/JH_2023-09-14-1820-16\""),
        "{manifest}"
    );
    assert!(manifest.contains("\"id\":\"art_work/_\""), "{manifest}");

    #[cfg(unix)]
    {
        let bench = Bench::new();
        copied(&bench, "dragbench");
        fs::create_dir_all(bench.path("elsewhere")).unwrap();
        fs::create_dir_all(bench.path("out")).unwrap();
        std::os::unix::fs::symlink("../elsewhere", bench.path("out/animals")).unwrap();
        import(&bench, "dragbench", &[])
            .status(2)
            .any_stdout()
            .any_stderr()
            .run()
            .stderr_has("out/animals: is a symbolic link");
        assert_eq!(fs::read_dir(bench.path("elsewhere")).unwrap().count(), 0);
    }
}

/// A mask of nothing but NaN is damage. An empty one means that everything may change.
#[test]
fn a_mask_without_numbers_is_refused() {
    let bench = Bench::new();
    copied(&bench, "dragbench");
    fs::copy(
        fixture("damaged/nan-mask.pkl"),
        bench.path(format!("{FIRST}/meta_data.pkl")),
    )
    .unwrap();
    import(&bench, "dragbench", &[])
        .status(2)
        .stderr_has("`mask` has values that are not numbers (NaN)")
        .run();
}

/// Benchmarks of points are edited by a method for points, unless another is asked for.
#[test]
fn points_name_a_method_for_points() {
    let bench = Bench::new();
    copied(&bench, "dragbench");
    import(&bench, "dragbench", &[])
        .any_stdout()
        .stderr_has("the method `drag-diffusion` was chosen")
        .run();
    let drag = bench.text(format!("out/{}/drag.json", &FIRST["dragbench/".len()..]));
    assert!(drag.contains("\"method\": \"drag-diffusion\""), "{drag}");
}
