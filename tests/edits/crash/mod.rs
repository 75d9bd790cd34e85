//! A run that is killed at any moment leaves the old file or the complete new one, and at most one temporary file. The next run with the
//! same output removes that file.
//!
//! Runs are killed at failpoints, at random moments, and, if `strace` is installed, at every system call on the output's folder. Each
//! test proves that its runs were ended by SIGKILL.

mod system_calls;

use std::os::unix::process::ExitStatusExt;
use std::time::{Duration, Instant};

use png::{BitDepth, ColorType};

use crate::bench::pictures::noise;
use crate::bench::pictures::png::Png;
use crate::bench::program::names;
use crate::bench::tiny::still;
use crate::bench::{Bench, Run, report};

pub(super) const SIGKILL: i32 = 9;
pub(super) const OLD: &[u8] = b"what was there";

/// A bench with an output, and what it may contain.
pub(super) struct Scene {
    pub(super) bench: Bench,
    pub(super) new: Vec<u8>,
    /// Whether the output exists before the run.
    pub(super) replaces: bool,
    /// A temporary file of an earlier killed run.
    pub(super) orphan: Option<String>,
}

/// How many runs were killed, left the old or no file, left the new file, and left a temporary file.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) killed: usize,
    pub(super) old: usize,
    pub(super) new: usize,
    pub(super) left: usize,
}

impl Scene {
    pub(super) fn new(replaces: bool, side: usize) -> Self {
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
    pub(super) fn reset(&self) {
        let _ = std::fs::remove_file(self.bench.path("results/new.png"));
        if self.replaces {
            self.bench.write("results/new.png", OLD);
        }
    }

    /// Restores the folder as it was before the first run.
    pub(super) fn restore(&self) {
        for name in self.left() {
            std::fs::remove_file(self.bench.path("results").join(name)).unwrap();
        }
        if let Some(orphan) = &self.orphan {
            std::fs::write(self.bench.path("results").join(orphan), "a part").unwrap();
        }
        self.reset();
    }

    /// Returns the names of temporary files.
    pub(super) fn left(&self) -> Vec<String> {
        let names = names(&self.bench.path("results")).into_iter();
        names
            .filter(|name| name.starts_with(".dragnext-"))
            .collect()
    }

    pub(super) fn run(&self) -> Run {
        let overwrite: &[&str] = if self.replaces { &["--overwrite"] } else { &[] };
        let arguments = ["in.png", "--drag", "drag.json", "-o", "results/new.png"];
        self.bench.shortest_edit(&[&arguments, overwrite].concat())
    }

    /// Asserts that a killed run left the old or the complete new file, at most one temporary file, and nothing else.
    pub(super) fn check(&self, tally: &mut Tally, what: &str) {
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
    pub(super) fn finish(&self) {
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
