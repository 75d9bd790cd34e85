//! The results of `batch --methods` and `--seeds`: each method is evaluated on its own.

use super::{eval, json, originals, save, square};
use crate::bench::{Bench, Record, Run};

/// Two pictures, edited by two methods into one folder: pbsi moves them all the way, region-drag half of it, and fails once.
fn prepared() -> Bench {
    let bench = Bench::new();
    originals(&bench, &["a", "b"]);
    for name in ["a", "b"] {
        save(&bench, &format!("out/{name}.pbsi.png"), &square(60));
    }
    save(&bench, "out/a.region-drag.png", &square(35));
    bench
}

fn mean(record: &Record, method: &str) -> f64 {
    record["methods"][method]["all"]["DAI(5)"]["mean"]
        .as_f64()
        .unwrap()
}

#[test]
fn each_method_of_a_folder_has_its_own_figures() {
    let bench = prepared();
    let record = json(&bench, "out", &[], 1);
    assert_eq!(
        (&record["edits"], &record["items"]),
        (&"out".into(), &2.into())
    );
    let of = |method: &str| &record["methods"][method];
    assert_eq!(
        (&of("pbsi")["failed"], &of("region-drag")["failed"]),
        (&0.into(), &1.into())
    );
    assert_eq!(mean(&record, "pbsi"), 0.0);
    assert!(mean(&record, "region-drag") > 0.1);
    assert_eq!(
        of("region-drag")["results"][1]["error"]["kind"],
        "image.missing"
    );
    assert!(of("pbsi")["all"]["DAI(5)"]["comparison"].is_null());

    let run = |arguments: &[&str]| {
        let run = eval(&bench, "out", arguments).any_stdout().any_stderr();
        run.status(1).run()
    };
    let text = run(&[]).stdout;
    assert!(text.starts_with("means\nfigure "), "{text}");
    for part in [
        "\npbsi: 2 edits\n",
        "\nregion-drag: 2 edits, 1 failed\n",
        "\npbsi: worst edits by DAI(10) (--each lists all)\n",
        "\nregion-drag: worst edits",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let csv = run(&["--format", "csv"]).stdout;
    assert!(
        csv.contains("\npbsi,edit,a,,DAI(5),,measured,1,1,0,0,0,0,,\n"),
        "{csv}"
    );
    assert!(
        csv.contains("\nregion-drag,edit,b,,DAI(5),,image.missing,"),
        "{csv}"
    );
    run(&["--sheet", "sheet.png"]).stderr_has("wrote sheet.png");
}

#[test]
fn methods_of_a_folder_are_compared_with_one_of_them() {
    let bench = prepared();
    let record = json(&bench, "out", &["--compare", "region-drag"], 1);
    assert_eq!(record["other"], "region-drag");
    let compared = &record["methods"]["pbsi"]["all"]["DAI(5)"]["comparison"];
    // Better once, and the other failed once.
    assert_eq!(
        (&compared["n"], &compared["wins"], &compared["losses"]),
        (&1.into(), &2.into(), &0.into())
    );
    assert!(record["methods"]["region-drag"]["all"]["DAI(5)"]["comparison"].is_null());
    let text = eval(&bench, "out", &["--compare", "region-drag"]);
    let text = text.any_stdout().any_stderr().status(1).run().stdout;
    assert!(
        text.contains("\npbsi minus region-drag, by pairs\n"),
        "{text}"
    );
    assert!(text.contains("\nregion-drag: failed edits\n"), "{text}");
}

#[test]
fn methods_are_compared_with_another_folder() {
    let bench = prepared();
    for name in ["a", "b"] {
        save(&bench, &format!("plain/{name}.png"), &square(10));
        save(&bench, &format!("again/{name}.pbsi.png"), &square(40));
        save(
            &bench,
            &format!("again/{name}.region-drag.png"),
            &square(30),
        );
    }
    for (arguments, wins) in [
        (&["--compare", "plain"][..], 2),
        (&["--compare", "in"], 2),
        (&["--methods", "pbsi", "--compare", "again"], 2),
    ] {
        let status = i32::from(!arguments.contains(&"--methods"));
        let record = json(&bench, "out", arguments, status);
        let compared = &record["methods"]["pbsi"]["all"]["DAI(5)"]["comparison"];
        assert_eq!(compared["wins"], wins, "{arguments:?}");
    }
    eval(&bench, "out", &["--compare", "again"])
        .status(2)
        .any_stderr()
        .run()
        .stderr_has("again: has the results of several methods: pbsi, region-drag");
    eval(&bench, "out", &["--compare", "fast-drag"])
        .status(2)
        .any_stderr()
        .run()
        .stderr_has("fast-drag: is not a folder of edits");
    let record = json(&bench, "out", &["--methods", "fast-drag"], 1);
    assert_eq!(record["methods"]["fast-drag"]["failed"], 2);
}

#[test]
fn seeds_are_edits_of_their_own() {
    let bench = Bench::new();
    originals(&bench, &["a"]);
    for (seed, x) in [(1, 60), (2, 55)] {
        save(&bench, &format!("out/a.seed-{seed}.pbsi.png"), &square(x));
        save(&bench, &format!("plain/a.seed-{seed}.png"), &square(x));
    }
    let record = json(&bench, "out", &["--seeds", "1,2"], 0);
    let results = record["methods"]["pbsi"]["results"].as_array().unwrap();
    let ids: Vec<&str> = results
        .iter()
        .map(|result| result["id"].as_str().unwrap())
        .collect();
    assert_eq!(ids, ["a.seed-1", "a.seed-2"]);
    assert_eq!(
        json(&bench, "plain", &["--seeds", "1-2"], 0)["all"]["DAI(1)"]["n"],
        2
    );
}

/// Records of `batch --methods`, of which one edit failed before its method was noted.
#[test]
fn records_are_told_apart_by_their_methods() {
    let bench = prepared();
    let line = |name: &str, method: &str, rest: &str| {
        format!(
            "{{\"v\":1,\"id\":\"{name}.{method}\",\"image\":\"in/{name}.png\",\"drag\":\"in/{name}.json\",\"out\":\"out/{name}.{method}.png\",\"warnings\":[],{rest}}}\n"
        )
    };
    let done = |method: &str| format!("\"status\":\"done\",\"method\":\"{method}\"");
    let failed =
        r#""status":"failed","error":{"kind":"region.method","message":"it does not fit"}"#;
    let records = [
        line("a", "pbsi", &done("pbsi")),
        line("a", "region-drag", &done("region-drag")),
        line("b", "pbsi", &done("pbsi")),
        line("b", "region-drag", failed),
    ];
    bench.write("out/records/all.jsonl", records.concat());
    let run = |arguments: &[&str]| -> Run {
        let run = bench.dragnext(["eval", "--records", "out/records/all.jsonl"]);
        run.args(["--format", "json"]).args(arguments)
    };
    let record = run(&[]).any_stdout().any_stderr().status(1).run().record;
    assert_eq!(record["items"], 2);
    assert_eq!(mean(&record, "pbsi"), 0.0);
    let second = &record["methods"]["region-drag"]["results"][1];
    assert_eq!(
        (&second["id"], &second["error"]["kind"]),
        (&"b".into(), &"region.method".into())
    );
    let arguments = ["--compare", "region-drag", "--manifest", "list.jsonl"];
    let compared = run(&arguments).any_stdout().any_stderr().status(1).run();
    assert!(
        !compared.stderr.contains("is not in the manifest"),
        "{}",
        compared.stderr
    );
    let compared = &compared.record["methods"]["pbsi"]["all"]["DAI(5)"]["comparison"];
    assert_eq!(
        (&compared["wins"], &compared["losses"]),
        (&2.into(), &0.into())
    );
    let only = run(&["--methods", "pbsi"]).any_stdout().run().record;
    assert_eq!(only["methods"].as_object().unwrap().len(), 1);
}
