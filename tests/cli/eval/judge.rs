//! Judges that answer, fail, hang, and print something else.

use serde_json::Value;

use super::{json, originals, save, square};
use crate::bench::{Bench, Record};

/// Writes a judge, and returns the command that runs it.
fn judge(bench: &Bench, script: &str) -> String {
    let path = bench.write("judge.sh", script);
    format!("/bin/sh {}", path.display())
}

fn prepared() -> Bench {
    let bench = Bench::new();
    originals(&bench, &["a", "b", "c", "d"]);
    for name in ["a", "b", "c", "d"] {
        save(&bench, &format!("out/{name}.png"), &square(60));
        save(&bench, &format!("other/{name}.png"), &square(10));
    }
    bench
}

fn judged(bench: &Bench, command: &str, seconds: &str) -> Record {
    let arguments = [
        "--metrics",
        "gscore",
        "--judge",
        command,
        "--judge-seconds",
        seconds,
        "--compare",
        "other",
    ];
    json(bench, "out", &arguments, 0)
}

#[test]
fn a_judge_scores_both_edits_in_a_fixed_order_ten_times() {
    let bench = prepared();
    let log = bench.path("log");
    let script = format!(
        "read request; echo \"$request\" >> {}; echo '{{\"scores\": [8, 6.5]}}'",
        log.display()
    );
    let record = judged(&bench, &judge(&bench, &script), "20");
    let summary = &record["all"]["GScore"];
    assert_eq!(
        (&summary["mean"], &summary["other"]["mean"]),
        (&8.0.into(), &6.5.into())
    );
    assert_eq!(summary["comparison"]["wins"], 4);
    let requests: Vec<Value> = bench
        .text("log")
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(requests.len(), 40);
    for (index, request) in requests.iter().enumerate() {
        assert_eq!(request["repetition"], index % 10 + 1);
        let results = request["results"].as_array().unwrap();
        let name = request["id"].as_str().unwrap();
        for (result, folder) in results.iter().zip(["out", "other"]) {
            let path = result.as_str().unwrap();
            assert!(path.ends_with(&format!("{folder}/{name}.png")), "{path}");
        }
    }
}

#[test]
fn a_judge_that_gives_no_score_is_reported_and_given_up() {
    for (script, seconds, reason) in [
        ("exit 3", "20", "the judge failed: exit status: 3"),
        ("echo hello", "20", "the judge printed something else"),
        (
            "echo '{\"scores\": [1]}'",
            "20",
            "the judge printed 1 scores for 2 results",
        ),
        (
            "echo '{\"scores\": [1, 12]}'",
            "20",
            "the judge printed the score 12",
        ),
        (
            "exec sleep 1000",
            "0.2",
            "the judge took more than 0.2 seconds",
        ),
        (
            "sleep 30 & exit 0",
            "0.2",
            "the judge did not close its output",
        ),
    ] {
        let bench = prepared();
        let record = judged(&bench, &judge(&bench, script), seconds);
        let summary = &record["all"]["GScore"];
        assert_eq!(
            (&summary["n"], &summary["undefined"]),
            (&0.into(), &4.into())
        );
        let given = |index: usize| {
            let reason = record["results"][index]["reasons"]["GScore"].as_str();
            reason.unwrap().to_owned()
        };
        assert!(given(0).starts_with(reason), "{script}: {}", given(0));
        assert!(given(3).contains("3 drags in a row"), "{}", given(3));
    }
    let bench = prepared();
    let record = judged(&bench, "/no/such/judge", "1");
    let reason = record["results"][0]["reasons"]["GScore"].as_str().unwrap();
    assert!(
        reason.starts_with("the judge cannot be started"),
        "{reason}"
    );
}
