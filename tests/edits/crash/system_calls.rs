//! Kills at system calls, which `strace` injects.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::process::{Command, Stdio};

use super::{Scene, Tally};
use crate::bench::program::under;
use crate::bench::report;

/// A system call of a run: its name, its number among the calls of that name in its thread, and its line in the log.
struct Call {
    name: String,
    number: usize,
    line: String,
}

/// Returns the calls on the output's folder in the writing thread, in order, from the log of `strace`.
fn calls(log: &str) -> Vec<Call> {
    let mut counts = HashMap::new();
    let mut touching = Vec::new();
    let main = log
        .lines()
        .next()
        .unwrap()
        .split_whitespace()
        .next()
        .unwrap();
    // Descriptors of open files in the folder.
    let mut open = HashSet::new();
    for line in log.lines() {
        let Some((thread, call)) = line.split_once(char::is_whitespace) else {
            continue;
        };
        let call = call.trim_start();
        let Some((name, rest)) = call.split_once('(') else {
            continue;
        };
        if thread != main
            || !name
                .chars()
                .all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
        {
            continue;
        }
        let number = *counts
            .entry(name.to_owned())
            .and_modify(|count| *count += 1)
            .or_insert(1);
        let first = rest.split([',', ')']).next().unwrap().to_owned();
        // The command line and the record on stdout contain the output's name too.
        let names_it = rest.contains("results") && !["execve", "write"].contains(&name);
        if names_it || open.contains(&first) {
            touching.push(Call {
                name: name.to_owned(),
                number,
                line: call.to_owned(),
            });
        }
        match name {
            "close" => drop(open.remove(&first)),
            _ if names_it && name.starts_with("open") => {
                open.extend(
                    call.rsplit(" = ")
                        .next()
                        .filter(|number| number.parse::<u32>().is_ok())
                        .map(str::to_owned),
                );
            }
            _ => {}
        }
    }
    touching
}

/// Runs the program under `strace`, which kills it at `inject`. Returns whether it succeeded, and the log.
fn traced(scene: &Scene, inject: Option<&Call>) -> (bool, String) {
    let mut strace = Command::new("strace");
    strace.args(["-f", "-s", "100", "-o", "log"]);
    if let Some(call) = inject {
        strace.arg(format!(
            "--inject={}:signal=KILL:when={}",
            call.name, call.number
        ));
    }
    let mut command = under(strace, &scene.run().into_command());
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let status = command.status().unwrap();
    (
        status.success(),
        String::from_utf8_lossy(&scene.bench.read("log")).into_owned(),
    )
}

#[test]
fn a_kill_at_any_system_call_leaves_the_old_or_the_new_file() {
    if !Command::new("strace")
        .args(["-o", "/dev/null", "true"])
        .status()
        .is_ok_and(|status| status.success())
    {
        report("skipped: strace is not installed, or tracing is not permitted");
        return;
    }
    // Without and with an old file, and with the temporary file of an earlier killed run.
    for (replaces, has_orphan) in [(false, false), (true, false), (true, true)] {
        let mut scene = Scene::new(replaces, 200);
        let (done, log) = traced(&scene, None);
        assert!(done, "{log}");
        if has_orphan {
            let write = calls(&log)
                .into_iter()
                .rfind(|call| call.name == "write")
                .unwrap();
            scene.restore();
            traced(&scene, Some(&write));
            scene.orphan = scene.left().pop();
            assert!(scene.orphan.is_some(), "the run was killed during a write");
        }
        scene.restore();
        let (done, log) = traced(&scene, None);
        assert!(done, "{log}");
        let calls = calls(&log);
        assert_durable(&calls);

        let mut tally = Tally::default();
        let mut places = BTreeMap::new();
        for call in &calls {
            let what = format!("{} {} `{}`", call.name, call.number, call.line);
            scene.restore();
            let (_, log) = traced(&scene, Some(call));
            assert!(
                log.contains("+++ killed by SIGKILL +++"),
                "{what}: the run was killed"
            );
            let last = log
                .lines()
                .rfind(|line| line.contains(&format!("{}(", call.name)))
                .unwrap();
            assert!(
                last.contains("results") || !call.line.contains("results"),
                "{what}: killed at another call: {last}"
            );
            scene.check(&mut tally, &what);
            *places.entry(call.name.clone()).or_insert(0) += 1;
        }
        report(&format!(
            "system calls, an old file {replaces}, an orphan {has_orphan}: {tally:?} at {places:?}"
        ));
        assert_eq!(tally.killed, calls.len());
        assert!(
            tally.old > 10 && tally.new > 1,
            "before and after the rename: {tally:?}"
        );
        scene.finish();
    }
}

/// Asserts that the file is synced before it is renamed, and its folder afterwards, so that a crash of the machine leaves the old or the
/// new file.
fn assert_durable(calls: &[Call]) {
    let place = |what: &str, wanted: &dyn Fn(&Call) -> bool| {
        calls.iter().position(wanted).unwrap_or_else(|| {
            panic!(
                "no {what} among {:?}",
                calls.iter().map(|call| &call.line).collect::<Vec<_>>()
            )
        })
    };
    let write = calls.iter().rposition(|call| call.name == "write").unwrap();
    let sync = place("sync of the file", &|call| {
        call.name == "fsync" || call.name == "fdatasync"
    });
    let rename = place("rename", &|call| {
        call.name.starts_with("rename") || call.name.starts_with("link")
    });
    let folder = rename
        + calls[rename..]
            .iter()
            .position(|call| call.name == "fsync")
            .expect("a sync of the folder");
    assert!(
        write < sync && sync < rename && rename < folder,
        "write {write}, sync {sync}, rename {rename}, folder {folder}"
    );
    assert!(
        calls[rename].line.contains(".dragnext-") && calls[rename].line.contains("results/new.png"),
        "{}",
        calls[rename].line
    );
}
