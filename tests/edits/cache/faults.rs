//! Damaged entries, concurrent runs, full disks and killed runs.

use std::path::PathBuf;

use super::{BOTH, NOTHING, Scene};
use crate::bench::Ended;

#[test]
fn a_damaged_entry_is_reported_and_replaced() {
    let scene = Scene::new();
    let whole = scene.edit("in.png", "drag.json", &[]);
    for kind in ["lora", "inversion"] {
        let path = scene.entry(kind);
        let good = std::fs::read(&path).unwrap();
        let mut flipped = good.clone();
        *flipped.last_mut().unwrap() ^= 0x40;
        let longer = [good.as_slice(), &[0]].concat();
        for damaged in [
            flipped,
            longer,
            good[..good.len() / 2].to_vec(),
            good[..9].to_vec(),
            Vec::new(),
            b"no entry at all".to_vec(),
        ] {
            std::fs::write(&path, &damaged).unwrap();
            let edited = scene.edit("in.png", "drag.json", &[]);
            assert_eq!(edited.warnings(), ["cache.damaged"]);
            assert!(
                edited.ended.stderr.contains(&format!(
                    "{}: ignored, because it is damaged",
                    path.display()
                )),
                "{}",
                edited.ended.stderr
            );
            assert!(
                !edited
                    .cached()
                    .contains(&if kind == "lora" { "lora" } else { "invert" })
            );
            assert!(edited.png == whole.png);
            let again = scene.edit("in.png", "drag.json", &[]);
            assert_eq!(
                (again.cached(), again.warnings()),
                (BOTH.to_vec(), vec![]),
                "the entry was replaced"
            );
        }
    }
    // The entry of another edit under the name of this one.
    let other = scene.edit("in.png", "drag.json", &["--seed", "5"]);
    assert_eq!(other.cached(), NOTHING);
    let loras: Vec<PathBuf> = scene
        .entries()
        .iter()
        .filter(|name| name.starts_with("lora"))
        .map(|name| scene.path("cache").join(name))
        .collect();
    std::fs::copy(&loras[0], scene.path("kept")).unwrap();
    std::fs::copy(&loras[1], &loras[0]).unwrap();
    std::fs::copy(scene.path("kept"), &loras[1]).unwrap();
    let edited = scene.edit("in.png", "drag.json", &[]);
    assert_eq!(edited.warnings(), ["cache.damaged"]);
    assert!(edited.png == whole.png);
}

#[test]
fn simultaneous_runs_share_the_cache() {
    let scene = Scene::new();
    let expected = scene.uncached("in.png", "drag.json", &[]).png;
    let outputs: Vec<String> = (0..4).map(|number| format!("out{number}.png")).collect();
    let runs: Vec<_> = outputs
        .iter()
        .map(|out| scene.command("in.png", "drag.json", &["-o", out]).start())
        .collect();
    for (run, out) in runs.into_iter().zip(&outputs) {
        let ended = Ended::wait(run);
        assert!(
            ended.status == Some(0) && !ended.stderr.contains("warning"),
            "{ended}"
        );
        assert!(scene.bench.read(out) == expected);
    }
    assert_eq!(scene.entries().len(), 2, "{:?}", scene.entries());
    let after = scene.edit("in.png", "drag.json", &[]);
    assert_eq!((after.cached(), after.warnings()), (BOTH.to_vec(), vec![]));
}

#[test]
fn an_unwritable_folder_is_reported_once_and_fails_no_edit() {
    let scene = Scene::new();
    let expected = scene.uncached("in.png", "drag.json", &[]).png;
    assert!(!scene.path("cache").exists(), "--no-cache stores nothing");
    // Not even root can create a folder inside a file.
    scene.bench.write("file", "in the way");
    let edited = scene.edited(
        scene
            .command("in.png", "drag.json", &[])
            .env("DRAGNEXT_CACHE", "file/cache"),
    );
    assert_eq!(
        edited.warnings(),
        ["cache.write"],
        "{}",
        edited.ended.stderr
    );
    assert!(
        edited
            .ended
            .stderr
            .contains("file/cache: the cache cannot be written to"),
        "{}",
        edited.ended.stderr
    );
    assert!(edited.png == expected);

    // An entry that cannot be read because it is a folder.
    scene.edit("in.png", "drag.json", &[]);
    let lora = scene.entry("lora");
    std::fs::remove_file(&lora).unwrap();
    std::fs::create_dir(&lora).unwrap();
    let edited = scene.edit("in.png", "drag.json", &[]);
    assert_eq!(
        edited.warnings(),
        ["cache.read", "cache.write"],
        "{}",
        edited.ended.stderr
    );
    assert!(edited.png == expected);
}

#[cfg(feature = "failpoints")]
#[test]
fn a_full_disk_fails_the_cache_but_not_the_edit() {
    let scene = Scene::new();
    // The first file that an edit writes is the entry of the LoRA.
    let edited = scene.edited(
        scene
            .command("in.png", "drag.json", &[])
            .env("DRAGNEXT_FAILPOINTS", "disk_full#1"),
    );
    assert!(
        edited.ended.stderr.contains("failpoint disk_full"),
        "the disk was full: {}",
        edited.ended.stderr
    );
    assert_eq!(edited.warnings(), ["cache.write"]);
    assert_eq!(scene.entries(), NOTHING, "no partial entry is left");
    assert!(edited.png == scene.uncached("in.png", "drag.json", &[]).png);
}

#[cfg(all(unix, feature = "failpoints"))]
#[test]
fn a_killed_run_leaves_no_partial_entry() {
    for (place, cached) in [
        ("kill_in_cache", NOTHING.as_slice()),
        ("kill_after_create", &NOTHING),
        ("kill_in_write", &NOTHING),
        ("kill_after_write", &NOTHING),
        ("kill_after_sync", &NOTHING),
        ("kill_in_cache#2", &["lora"]),
        ("kill_in_write#2", &["lora"]),
        ("kill_in_write#3", &BOTH),
    ] {
        let scene = Scene::new();
        let killed = scene
            .command("in.png", "drag.json", &[])
            .env("DRAGNEXT_FAILPOINTS", place)
            .ended();
        assert_eq!(killed.signal, Some(9), "{place}: {killed}");
        let next = scene.edit("in.png", "drag.json", &[]);
        assert_eq!(
            (next.cached(), next.warnings()),
            (cached.to_vec(), vec![]),
            "{place}"
        );
        assert_eq!(
            scene.entries().len(),
            2,
            "{place}: partial entries are removed: {:?}",
            scene.entries()
        );
        assert_eq!(
            scene.edit("in.png", "drag.json", &[]).cached(),
            BOTH,
            "{place}"
        );
    }
    // Clearing the cache removes partial entries of edits that are not repeated.
    let scene = Scene::new();
    scene
        .command("in.png", "drag.json", &[])
        .env("DRAGNEXT_FAILPOINTS", "kill_in_write")
        .ended();
    assert_eq!(scene.entries().len(), 1, "{:?}", scene.entries());
    scene.cache(&["clear"]).any_stderr().run();
    assert_eq!(scene.entries(), NOTHING);
}

/// The stages before the failed one stay in the cache.
#[cfg(feature = "failpoints")]
#[test]
fn a_failed_edit_keeps_its_finished_stages() {
    let scene = Scene::new();
    scene
        .command("in.png", "drag.json", &[])
        .env("DRAGNEXT_FAILPOINTS", "nan_in_decode")
        .status(1)
        .stderr_has("failpoint nan_in_decode")
        .run();
    let next = scene.edit("in.png", "drag.json", &[]);
    assert_eq!(next.cached(), BOTH);
    assert!(next.png == scene.uncached("in.png", "drag.json", &[]).png);
}
