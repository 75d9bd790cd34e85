//! A run that is killed at any moment leaves the old file or the complete new one, and at most one temporary file. The next run with the
//! same output removes that file.
//!
//! Runs are killed at failpoints, at random moments, and, if `strace` is installed, at every system call on the output's folder. Each
//! test proves that its runs were ended by SIGKILL.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::bench::pictures::noise;
use crate::bench::pictures::png::Png;
use crate::bench::program::{names, under};
use crate::bench::tiny::still;
use crate::bench::{Bench, Run, report};
use png::{BitDepth, ColorType};

const SIGKILL: i32 = 9;
const OLD: &[u8] = b"what was there";

/// A bench with an output, and what it may contain.
struct Scene {
    bench: Bench,
    new: Vec<u8>,
    /// Whether the output exists before the run.
    replaces: bool,
    /// A temporary file of an earlier killed run.
    orphan: Option<String>,
}

/// How many runs were killed, left the old or no file, left the new file, and left a temporary file.
#[derive(Debug, Default)]
struct Tally {
    killed: usize,
    old: usize,
    new: usize,
    left: usize,
}

impl Scene {
    fn new(replaces: bool, side: usize) -> Self {
        let bench = Bench::new();
        bench.write(
            "in.png",
            Png::encode(
                side,
                side,
                ColorType::Rgb,
                BitDepth::Eight,
                &noise(side * side * 3),
            )
            .bytes(),
        );
        bench.write("drag.json", still(side, side));
        std::fs::create_dir(bench.path("results")).unwrap();
        let mut scene = Self {
            bench,
            new: Vec::new(),
            replaces,
            orphan: None,
        };
        scene.reset();
        scene.run().run();
        scene.new = scene.bench.read("results/new.png");
        assert!(image::load_from_memory(&scene.new).is_ok());
        scene.reset();
        scene
    }

    /// Restores the output as it was before any run. Temporary files stay, for the next run to remove.
    fn reset(&self) {
        let _ = std::fs::remove_file(self.bench.path("results/new.png"));
        if self.replaces {
            self.bench.write("results/new.png", OLD);
        }
    }

    /// Restores the folder as it was before the first run.
    fn restore(&self) {
        for name in self.left() {
            std::fs::remove_file(self.bench.path("results").join(name)).unwrap();
        }
        if let Some(orphan) = &self.orphan {
            std::fs::write(self.bench.path("results").join(orphan), "a part").unwrap();
        }
        self.reset();
    }

    /// Returns the names of temporary files.
    fn left(&self) -> Vec<String> {
        let names = names(&self.bench.path("results")).into_iter();
        names
            .filter(|name| name.starts_with(".dragnext-"))
            .collect()
    }

    fn run(&self) -> Run {
        let overwrite: &[&str] = if self.replaces { &["--overwrite"] } else { &[] };
        let arguments = ["in.png", "--drag", "drag.json", "-o", "results/new.png"];
        self.bench.shortest_edit(&[&arguments, overwrite].concat())
    }

    /// Asserts that a killed run left the old or the complete new file, at most one temporary file, and nothing else.
    fn check(&self, tally: &mut Tally, what: &str) {
        tally.killed += 1;
        let left = self.left();
        assert!(left.len() <= 1, "{what}: {left:?}");
        tally.left += left.len();
        match std::fs::read(self.bench.path("results/new.png")) {
            Ok(bytes) if bytes == self.new => tally.new += 1,
            Ok(bytes) => {
                assert!(
                    self.replaces && bytes == OLD,
                    "{what}: {} bytes that are neither the old nor the new file",
                    bytes.len()
                );
                tally.old += 1;
            }
            Err(error) => {
                assert!(
                    !self.replaces && error.kind() == std::io::ErrorKind::NotFound,
                    "{what}: {error}"
                );
                tally.old += 1;
            }
        }
        let others = names(&self.bench.path("results"))
            .into_iter()
            .filter(|name| !left.contains(name) && name != "new.png");
        assert_eq!(others.count(), 0, "{what}: unexpected files");
        self.reset();
    }

    /// Asserts that a run without a kill leaves the new file and nothing else.
    fn finish(&self) {
        self.run().run();
        assert!(self.bench.read("results/new.png") == self.new);
        assert_eq!(
            names(&self.bench.path("results")),
            ["new.png"],
            "the temporary files of killed runs are removed"
        );
        self.reset();
    }
}

#[cfg(feature = "failpoints")]
#[test]
fn a_kill_at_a_failpoint_leaves_the_old_or_the_new_file() {
    const PLACES: [(&str, bool); 7] = [
        ("kill_in_check", false),
        ("kill_after_create", false),
        ("kill_in_write", false),
        ("kill_after_write", false),
        ("kill_after_read_back", false),
        ("kill_after_sync", false),
        ("kill_after_rename", true),
    ];
    for replaces in [false, true] {
        let scene = Scene::new(replaces, 100);
        for (place, is_new) in PLACES {
            let mut tally = Tally::default();
            let ended = scene.run().env("DRAGNEXT_FAILPOINTS", place).ended();
            assert!(
                ended.stderr.ends_with(&format!("failpoint {place}\n")),
                "{ended}"
            );
            assert_eq!(ended.signal, Some(SIGKILL), "{place}");
            scene.check(&mut tally, place);
            assert_eq!(
                (tally.new, tally.left),
                if is_new { (1, 0) } else { (0, 1) },
                "{place}"
            );
        }
        scene.finish();
    }
}

/// A run does not remove the temporary file of a run with another output.
#[cfg(feature = "failpoints")]
#[test]
fn the_temporary_file_of_another_output_stays() {
    let scene = Scene::new(true, 100);
    let run = scene.run().env("DRAGNEXT_FAILPOINTS", "kill_in_write");
    assert_eq!(run.ended().signal, Some(SIGKILL));
    let left = names(&scene.bench.path("results"));
    assert_eq!(left.len(), 2, "{left:?}");
    scene
        .bench
        .shortest_edit(&["in.png", "--drag", "drag.json", "-o", "results/other.png"])
        .run();
    assert!(
        scene.bench.path("results").join(&left[0]).exists(),
        "it belongs to another output"
    );
    std::fs::remove_file(scene.bench.path("results/other.png")).unwrap();
    scene.finish();
}

/// 100 kills at random moments of a run.
#[test]
fn a_kill_at_a_random_moment_leaves_the_old_or_the_new_file() {
    const KILLS: usize = 100;
    for replaces in [false, true] {
        // Large enough that encoding, writing and reading back take most of the time.
        let scene = Scene::new(replaces, 500);
        let begun = Instant::now();
        scene.finish();
        let whole = begun.elapsed();
        let mut tally = Tally::default();
        let mut delays = noise(KILLS * 20)
            .into_iter()
            .map(|share| whole.mul_f64(f64::from(share) / 255.0));
        while tally.killed < KILLS {
            let delay = delays
                .next()
                .unwrap_or_else(|| panic!("only {} of the runs were killed", tally.killed));
            let mut child = scene.run().start();
            std::thread::sleep(delay.max(Duration::from_micros(100)));
            child.kill().unwrap();
            match child.wait().unwrap().signal() {
                Some(signal) => {
                    assert_eq!(signal, SIGKILL);
                    scene.check(&mut tally, &format!("after {delay:?}"));
                }
                None => scene.reset(), // it was done before
            }
        }
        report(&format!(
            "random moments of {whole:?}, replaces {replaces}: {tally:?}"
        ));
        scene.finish();
    }
}

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
