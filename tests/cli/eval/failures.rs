//! Edits and inputs that cannot be measured, and command lines that cannot be followed.

use super::{DRAG, eval, json, originals, save, square};
use crate::bench::Bench;

#[test]
fn an_edit_that_cannot_be_measured_is_a_failure_and_no_absence() {
    let bench = Bench::new();
    originals(&bench, &["fine", "missing", "junk", "shape", "large"]);
    save(&bench, "out/fine.png", &square(60));
    bench.write("out/junk.png", "not a picture");
    save(&bench, "out/shape.png", &image::RgbImage::new(80, 80));
    let large =
        image::imageops::resize(&square(60), 192, 160, image::imageops::FilterType::Nearest);
    save(&bench, "out/large.png", &large);

    let record = json(&bench, "out", &[], 1);
    let result = |id: &str| {
        let results = record["results"].as_array().unwrap();
        results.iter().find(|result| result["id"] == id).unwrap()
    };
    let kind = |id: &str| result(id)["error"]["kind"].as_str();
    assert_eq!(kind("fine"), None);
    assert_eq!(kind("missing"), Some("image.missing"));
    assert_eq!(kind("junk"), Some("image.unsupported"));
    assert_eq!(kind("shape"), Some("image.size"));
    assert_eq!(
        result("large")["resized_from"],
        serde_json::json!([192, 160])
    );

    let summary = &record["all"]["DAI(1)"];
    assert_eq!(
        (&summary["n"], &summary["failed"], &summary["mean"]),
        (&2.into(), &3.into(), &0.0.into())
    );
    // Three of five failed, and a failure is worse than any value.
    assert!(summary["median"].is_null());
    eval(&bench, "out", &[])
        .any_stdout()
        .any_stderr()
        .status(1)
        .run()
        .stderr_has("3 of 5 edits are missing or cannot be measured");
}

#[test]
fn a_failed_edit_loses_its_pair() {
    let bench = Bench::new();
    originals(&bench, &["a", "b"]);
    save(&bench, "one/a.png", &square(60));
    save(&bench, "two/a.png", &square(60));
    save(&bench, "two/b.png", &square(10));
    let record = json(&bench, "one", &["--compare", "two"], 1);
    let compared = &record["all"]["DAI(5)"]["comparison"];
    assert_eq!(
        (&compared["wins"], &compared["losses"], &compared["ties"]),
        (&0.into(), &1.into(), &1.into())
    );
}

#[test]
fn bad_drags_are_failures_with_their_reason() {
    let bench = Bench::new();
    originals(&bench, &["outside", "empty", "none", "black"]);
    let write = |name: &str, text: &str| bench.write(format!("in/{name}.json"), text);
    write("outside", &DRAG.replace("[70, 40]", "[700, 40]"));
    write("empty", "{\"version\": 1, \"regions\": []}");
    write("none", "nothing");
    bench.write("in/mask.png", {
        let mut bytes = std::io::Cursor::new(Vec::new());
        image::GrayImage::new(96, 80)
            .write_to(&mut bytes, image::ImageFormat::Png)
            .unwrap();
        bytes.into_inner()
    });
    write(
        "black",
        &DRAG.replace("{\"rect\": [10, 30, 30, 50]}", "{\"mask\": \"mask.png\"}"),
    );
    for name in ["outside", "empty", "none", "black"] {
        save(&bench, &format!("out/{name}.png"), &square(60));
    }
    let record = json(&bench, "out", &[], 1);
    let kinds: Vec<_> = record["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|result| result["error"]["kind"].as_str().unwrap())
        .collect();
    assert_eq!(
        kinds,
        [
            "instruction.point_outside",
            "instruction.no_regions",
            "instruction.syntax",
            "mask.empty"
        ]
    );
    assert!(record["all"]["DAI(1)"]["mean"].is_null());
}

#[test]
fn an_editable_area_of_everything_leaves_figures_undefined() {
    let bench = Bench::new();
    originals(&bench, &["a"]);
    bench.write(
        "in/a.json",
        DRAG.replace("\"regions\"", "\"editable\": \"everything\", \"regions\""),
    );
    save(&bench, "out/a.png", &square(60));
    let record = json(&bench, "out", &[], 0);
    let summary = &record["all"]["PSNR outside"];
    assert_eq!(
        (&summary["n"], &summary["failed"], &summary["undefined"]),
        (&0.into(), &0.into(), &1.into())
    );
}

#[test]
fn a_command_line_that_cannot_be_followed_is_refused() {
    let bench = Bench::new();
    originals(&bench, &["a"]);
    save(&bench, "out/a.png", &square(60));
    bench.write("alex.pth", "pickle");
    bench.write("bad.safetensors", "short");
    let refused = |edits: &str, arguments: &[&str], reason: &str| {
        eval(&bench, edits, arguments)
            .any_stderr()
            .status(2)
            .run()
            .stderr_has(reason);
    };
    refused("nowhere", &[], "nowhere: is not a folder of edits");
    refused(
        "out",
        &["--metrics", "lpips"],
        "the weights of LPIPS are not given",
    );
    refused("out", &["--metrics", "gscore"], "no judge is given");
    refused("out", &["--sort", "beauty"], "`beauty` is not measured");
    refused(
        "out",
        &["--lpips", "alex.pth"],
        "only safetensors are loaded",
    );
    refused("out", &["--lpips", "none.safetensors"], "no such file");
    refused(
        "out",
        &["--lpips", "bad.safetensors"],
        "too few for a safetensors file",
    );
    bench
        .dragnext(["eval", "in"])
        .any_stderr()
        .status(2)
        .run()
        .stderr_has("--edits");
}

#[test]
fn missing_inputs_stop_the_evaluation_unless_they_count_as_failed() {
    let bench = Bench::new();
    originals(&bench, &["a", "b"]);
    for name in ["a", "b"] {
        save(&bench, &format!("out/{name}.png"), &square(60));
    }
    std::fs::remove_file(bench.path("in/b.png")).unwrap();
    eval(&bench, "out", &[])
        .any_stderr()
        .status(2)
        .run()
        .stderr_has("in/b.png");
    let record = json(&bench, "out", &["--keep-going"], 1);
    assert_eq!(
        (&record["failed"], &record["results"][1]["error"]["kind"]),
        (&1.into(), &"manifest.missing".into())
    );
}
