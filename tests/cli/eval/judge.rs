//! Judges that answer, fail, hang, and print something else.

use serde_json::Value;

use super::{eval, json, originals, save, square};
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

fn arguments<'a>(command: &'a str, seconds: &'a str) -> [&'a str; 8] {
    [
        "--metrics",
        "gscore",
        "--judge",
        command,
        "--judge-seconds",
        seconds,
        "--compare",
        "other",
    ]
}

fn judged(bench: &Bench, command: &str, seconds: &str, status: i32) -> Record {
    json(bench, "out", &arguments(command, seconds), status)
}

#[test]
fn a_judge_scores_both_edits_in_a_fixed_order_ten_times() {
    let bench = prepared();
    let log = bench.path("log");
    let script = format!(
        "read request; echo \"$request\" >> {}; echo '{{\"scores\": [8, 6.5]}}'",
        log.display()
    );
    let record = judged(&bench, &judge(&bench, &script), "20", 0);
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
        (
            "echo 'no key' >&2; exit 1",
            "20",
            "the judge failed: exit status: 1: no key",
        ),
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
        let record = judged(&bench, &judge(&bench, script), seconds, 1);
        let summary = &record["all"]["GScore"];
        assert_eq!((&summary["n"], &summary["failed"]), (&0.into(), &4.into()));
        assert_eq!(record["failed"], 4);
        let given = |index: usize| {
            let reason = record["results"][index]["reasons"]["GScore"].as_str();
            reason.unwrap().to_owned()
        };
        assert!(given(0).starts_with(reason), "{script}: {}", given(0));
        assert!(given(3).contains("3 drags in a row"), "{}", given(3));
    }
}

#[test]
fn every_drag_without_a_score_is_a_warning() {
    let bench = prepared();
    let script = judge(
        &bench,
        "read request; case \"$request\" in *'\"id\":\"b\"'*) exit 3;; esac; echo '{\"scores\": [8, 6]}'",
    );
    let run = eval(&bench, "out", &arguments(&script, "20"));
    let run = run.any_stdout().any_stderr().status(1).run();
    let run = run
        .stderr_has("warning: b: GScore: the judge failed: exit status: 3")
        .stderr_has("2 of 8 edits are missing or cannot be measured (1 of `out`, 1 of `other`)");
    assert_eq!(run.stderr.matches("warning: ").count(), 1, "{}", run.stderr);
    assert!(
        run.stdout.contains("GScore  3, 1 failed  8.00"),
        "{}",
        run.stdout
    );
}

#[test]
fn a_judge_that_is_not_there_stops_the_evaluation_before_it_starts() {
    let bench = prepared();
    bench.write("list.txt", "not a program");
    for (command, reason) in [
        ("/no/such/judge", "`/no/such/judge`: No such file"),
        (
            "no-such-judge --fast",
            "no folder of PATH has a program `no-such-judge`",
        ),
        ("./list.txt", "`./list.txt` is not an executable file"),
        (" ", "the command is empty"),
    ] {
        eval(&bench, "out", &arguments(command, "1"))
            .status(2)
            .any_stderr()
            .run()
            .stderr_has(&format!("the judge cannot be started: {reason}"));
    }
}

/// A judge is often a script that starts another program, which must not go on when the script is stopped.
#[test]
fn what_a_judge_started_ends_with_it() {
    let bench = prepared();
    let process = bench.path("process");
    for script in [
        "sleep 1000 & echo $! > {}; wait",
        "sleep 1000 & echo $! > {}; echo '{{}}'",
    ] {
        let script = script.replace("{}", &process.display().to_string());
        judged(&bench, &judge(&bench, &script), "0.5", 1);
        let id: i32 = bench.text("process").trim().parse().unwrap();
        let id = nix::unistd::Pid::from_raw(id);
        let ended = (0..200).any(|_| {
            std::thread::sleep(std::time::Duration::from_millis(10));
            nix::sys::signal::kill(id, None).is_err() || is_zombie(id.as_raw())
        });
        assert!(ended, "{script}");
    }
}

/// Returns whether a process has ended and waits for its parent to notice.
fn is_zombie(id: i32) -> bool {
    std::fs::read_to_string(format!("/proc/{id}/stat")).is_ok_and(|text| {
        text.rsplit(')')
            .next()
            .is_some_and(|rest| rest.trim_start().starts_with('Z'))
    })
}
