//! `edit --method A,B`: one picture with several methods, a result each, and a contact sheet.

use dragnext::device::{Device, Dtype};
use dragnext::drag_file::DragFile;
use dragnext::error::ErrorKind;
use dragnext::method::Method;
use dragnext::plan::Choice;
use dragnext::settings::Overrides;
use dragnext::{Editor, picture};
use serde_json::{Value, json};

use crate::bench::program::names;
use crate::bench::tiny::model;
use crate::bench::{Bench, Ended, Record};
use crate::command::{TRANSLATION, bench};

const BOTH: [&str; 2] = ["--method", "pbsi,region-drag"];

/// Returns a short edit, which has settings of pbsi alone, with these arguments and the status that it must have.
fn edit(bench: &Bench, arguments: &[&str], status: i32) -> Ended {
    let run = bench.short_edit(&[arguments, &["--json"]].concat());
    run.any_stdout().status(status).run()
}

fn each<'a>(records: &'a [Record], key: &str) -> Vec<&'a Value> {
    records.iter().map(|record| &record[key]).collect()
}

/// Each result is that of an edit with its method alone, and each can be repeated from its report.
#[test]
fn a_folder_has_the_result_of_each_method_and_a_contact_sheet() {
    let bench = bench();
    let ended = edit(&bench, &[&BOTH[..], &["-o", "out"]].concat(), 0);
    assert_eq!(
        names(&bench.path("out")),
        ["in.methods.png", "in.pbsi.png", "in.region-drag.png"]
    );
    assert_eq!(ended.stderr.matches("load ").count(), 1, "{ended}");
    let records = ended.records();
    assert_eq!(
        each(&records, "method"),
        [&json!("pbsi"), &json!("region-drag")]
    );
    assert_eq!(each(&records, "status"), [&json!("done"); 2]);
    assert_eq!(
        each(&records, "out"),
        [&json!("out/in.pbsi.png"), &json!("out/in.region-drag.png")]
    );
    let sheet = image::open(bench.path("out/in.methods.png")).unwrap();
    assert!(sheet.width() > 3 * 96 && sheet.height() > 96);

    let alone = edit(&bench, &["--method", "pbsi", "-o", "pbsi.png"], 0).record;
    let other = bench
        .dragnext(["edit", "in.png", "--drag", "drag.json", "-o", "region.png"])
        .args(["--method", "region-drag", "--strength", "0.08", "--json"])
        .args(["--lora-steps", "2", "--lora-rank", "4", "--model"])
        .arg(model())
        .any_stderr()
        .record();
    for (record, single) in records.iter().zip([&alone, &other]) {
        for key in ["job", "out_sha256"] {
            assert_eq!(record[key], single[key], "{key} of {}", record["method"]);
        }
    }
    let again = bench
        .dragnext(["edit", "in.png", "--like", "out/in.region-drag.png"])
        .args(["-o", "again.png", "--json", "--model"])
        .arg(model())
        .any_stderr()
        .record();
    assert_eq!(again["job"], records[1]["job"]);
    // Without -o, the folder has the picture's name.
    edit(&bench, &[&BOTH[..], &["--no-lora"]].concat(), 0);
    assert_eq!(names(&bench.path("in.methods")).len(), 3);
}

/// One that does not fit does not keep the others from their results.
#[test]
fn a_method_that_does_not_fit_is_shown_and_the_others_go_on() {
    let bench = bench();
    let ended = bench
        .dragnext(["edit", "in.png", "--drag", "drag.json", "-o", "out"])
        .args(["--strength", "1", "--steps", "2", "--json", "--model"])
        .arg(model())
        .args(BOTH)
        .any_stdout()
        .any_stderr()
        .status(1)
        .run();
    assert!(
        ended
            .stderr
            .contains("region-drag failed:\nerror: strength: `1`"),
        "{ended}"
    );
    assert!(
        ended
            .stderr
            .contains("error: 1 of 2 methods failed: region-drag"),
        "{ended}"
    );
    let records = ended.records();
    assert_eq!(each(&records, "status"), [&json!("done"), &json!("failed")]);
    assert_eq!(records[1]["error"]["kind"], "setting");
    assert_eq!(records[1]["method"], "region-drag");
    assert_eq!(names(&bench.path("out")), ["in.methods.png", "in.pbsi.png"]);
    let sheet = image::open(bench.path("out/in.methods.png")).unwrap();
    let reds = sheet
        .into_rgb8()
        .pixels()
        .filter(|pixel| pixel.0 == [190, 24, 24])
        .count();
    assert!(reds > 50, "the reason is on the sheet");
}

#[cfg(feature = "failpoints")]
#[test]
fn a_method_that_fails_does_not_stop_the_others() {
    let bench = bench();
    for failpoint in ["nan_in_decode#1", "panic_in_decode#1"] {
        let ended = bench
            .short_edit(
                &[
                    &BOTH[..],
                    &["--no-lora", "--json", "--overwrite", "-o", "out"],
                ]
                .concat(),
            )
            .env("DRAGNEXT_FAILPOINTS", failpoint)
            .any_stdout()
            .status(1)
            .run();
        let records = ended.records();
        assert_eq!(
            each(&records, "status"),
            [&json!("failed"), &json!("done")],
            "{ended}"
        );
        assert!(bench.path("out/in.region-drag.png").is_file());
        assert!(!bench.path("out/in.pbsi.png").exists());
    }
}

#[test]
fn what_cannot_be_compared_is_rejected_before_any_work() {
    let bench = bench();
    for (arguments, kind, message) in [
        (
            &["--method", "pbsi,pbsi"][..],
            "setting",
            "method: `pbsi` is given twice",
        ),
        (
            &["--method", "pbsi,region-drag", "--strip", "strip.png"],
            "setting",
            "method: `pbsi,region-drag` must be one method with `--strip`",
        ),
        (
            &["--method", "pbsi,region-drag", "--amounts", "0.5,1"],
            "setting",
            "must be one method with `--amounts`",
        ),
        (
            &["--method", "pbsi,region-drag", "-o", "out.png"],
            "output.folder",
            "several methods have a result each",
        ),
        (
            &["--method", "pbsi,region-drag", "--taps", "1,9"],
            "setting",
            "",
        ),
    ] {
        let run = bench.short_edit(&[arguments, &["--json"]].concat());
        let ended = run.any_stdout().status(2).run();
        assert!(ended.stderr.contains(message), "{ended}");
        if let Some(record) = ended.stdout.lines().next() {
            let record: Value = serde_json::from_str(record).unwrap();
            assert_eq!(record["error"]["kind"], kind, "{ended}");
        }
        assert!(!ended.stderr.contains("load "), "{ended}");
    }
    // A fault of the drag file belongs to all methods, and is reported once.
    bench.write("drag.json", TRANSLATION.replace("[60, 45]", "[600, 45]"));
    let ended = edit(&bench, &[&BOTH[..], &["-o", "out"]].concat(), 2);
    assert_eq!(ended.stderr.matches("lies outside the image").count(), 1);
    assert_eq!(ended.records()[1].kind(), "instruction.point_outside");
    // A setting must belong to one of the methods.
    bench.write("drag.json", TRANSLATION);
    let ended = bench
        .dragnext(["edit", "in.png", "--drag", "drag.json", "--iterations", "2"])
        .args(["--method", "region-drag,fast-drag", "--model"])
        .arg(model())
        .any_stderr()
        .status(2)
        .run();
    let expected = "and the methods are `region-drag`, `fast-drag`";
    assert!(ended.stderr.contains(expected), "{ended}");
    assert_eq!(bench.names(), ["drag.json", "in.png"]);
    // An existing result is found before any edit.
    bench.write("out/in.methods.png", "old");
    let ended = edit(&bench, &[&BOTH[..], &["-o", "out"]].concat(), 2);
    assert_eq!(ended.records()[0].kind(), "output.exists", "{ended}");
}

/// The drag file's settings belong to the methods that have them, as the command line's do.
#[test]
fn an_editor_compares_methods() {
    let bench = bench();
    let picture = picture::read(&bench.path("in.png")).unwrap().picture;
    let file = TRANSLATION.replace(
        "\"version\": 1",
        "\"version\": 1, \"settings\": { \"iterations\": 2, \"strength\": 0.08 }",
    );
    let drag = DragFile::parse(file.as_bytes()).unwrap();
    let mut editor = Editor::open_on(&model().to_string_lossy(), Device::Cpu, Dtype::Auto).unwrap();
    let choice = Choice::of(Overrides::from([("lora_steps", 0), ("timesteps", 1)]));
    let methods = ["pbsi", "region-drag"].map(|name| name.parse::<Method>().unwrap());
    let results = editor
        .edit_methods(&picture, &drag, &choice, &methods)
        .unwrap();
    let [pbsi, region] = &results[..] else {
        panic!("two results")
    };
    let (pbsi, region) = (pbsi.as_ref().unwrap(), region.as_ref().unwrap());
    assert!(pbsi != region && *pbsi != picture);
    let alone = Choice {
        method: Some(methods[0]),
        ..choice.clone()
    };
    assert!(editor.edit(&picture, &drag, &alone).unwrap() == *pbsi);
    for (methods, value) in [(&methods[..0], ""), (&[methods[0]; 2][..], "pbsi")] {
        let error = editor
            .edit_methods(&picture, &drag, &choice, methods)
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Setting, "{value}");
    }
}

/// A LoRA and an inversion that two methods need alike are computed once, even without the cache.
#[test]
fn methods_share_what_they_need_alike() {
    let bench = bench();
    let methods = ["--method", "drag-diffusion,good-drag", "--no-cache"];
    let ended = edit(&bench, &[&methods[..], &["-o", "out"]].concat(), 0);
    let records = ended.records();
    assert_eq!(records[0].get("cached"), None, "{ended}");
    assert_eq!(records[1]["cached"], json!(["lora", "invert"]), "{ended}");
    let alone = edit(&bench, &["--method", "good-drag", "-o", "alone.png"], 0).record;
    assert_eq!(records[1]["out_sha256"], alone["out_sha256"]);
}
