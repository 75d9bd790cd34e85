//! Damaged entries, concurrent runs, full disks and killed runs.

use std::path::PathBuf;

use super::{BOTH, NOTHING, Scene};

#[test]
fn a_damaged_entry_is_reported_and_replaced() {
    let scene = Scene::new();
    let intact = scene.edit("in.png", "drag.json", &[]);
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
            b"not an entry".to_vec(),
        ] {
            std::fs::write(&path, &damaged).unwrap();
            let edited = scene.edit("in.png", "drag.json", &[]);
            assert_eq!(edited.warnings(), ["cache.damaged"]);
            assert!(
                edited.stderr.contains(&format!(
                    "{}: ignored, because it is damaged",
                    path.display()
                )),
                "{}",
                edited.stderr
            );
            assert!(
                !edited
                    .cached()
                    .contains(&if kind == "lora" { "lora" } else { "invert" })
            );
            assert!(edited.png == intact.png);
            let again = scene.edit("in.png", "drag.json", &[]);
            assert_eq!(
                (again.cached(), again.warnings()),
                (BOTH.to_vec(), vec![]),
                "it was replaced"
            );
        }
    }
    // An entry under the name of another one.
    let other = scene.edit("in.png", "drag.json", &["--seed", "5"]);
    assert_eq!(other.cached(), NOTHING);
    let loras: Vec<PathBuf> = scene
        .entries()
        .iter()
        .filter(|name| name.starts_with("lora"))
        .map(|name| scene.path("cache").join(name))
        .collect();
    std::fs::copy(&loras[0], scene.path("swapped")).unwrap();
    std::fs::copy(&loras[1], &loras[0]).unwrap();
    std::fs::copy(scene.path("swapped"), &loras[1]).unwrap();
    let edited = scene.edit("in.png", "drag.json", &[]);
    assert_eq!(edited.warnings(), ["cache.damaged"]);
    assert!(edited.png == intact.png);
}

#[test]
fn concurrent_runs_share_the_cache() {
    let scene = Scene::new();
    let expected = scene.without_cache("in.png", "drag.json", &[]).png;
    let outputs: Vec<String> = (0..4).map(|number| format!("out{number}.png")).collect();
    let runs: Vec<_> = outputs
        .iter()
        .map(|out| {
            scene
                .command("in.png", "drag.json", &["-o", out])
                .spawn()
                .unwrap()
        })
        .collect();
    for (run, out) in runs.into_iter().zip(&outputs) {
        let output = run.wait_with_output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success() && !stderr.contains("warning"),
            "{stderr}"
        );
        assert!(scene.bench.read(out) == expected);
    }
    assert_eq!(scene.entries().len(), 2, "{:?}", scene.entries());
    let after = scene.edit("in.png", "drag.json", &[]);
    assert_eq!((after.cached(), after.warnings()), (BOTH.to_vec(), vec![]));
}

#[test]
fn an_unwritable_folder_gives_one_warning_and_the_same_result() {
    let scene = Scene::new();
    let expected = scene.without_cache("in.png", "drag.json", &[]).png;
    assert!(!scene.path("cache").exists(), "--no-cache writes nothing");
    // Even root cannot write below a file.
    scene.bench.write("file", "not a folder");
    let edited = scene.edited(
        scene
            .command("in.png", "drag.json", &[])
            .env("DRAGNEXT_CACHE", "file/cache"),
    );
    assert_eq!(edited.warnings(), ["cache.write"], "{}", edited.stderr);
    assert!(
        edited
            .stderr
            .contains("file/cache: the cache cannot be written to"),
        "{}",
        edited.stderr
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
        edited.stderr
    );
    assert!(edited.png == expected);
}

#[cfg(feature = "failpoints")]
#[test]
fn a_full_disk_gives_a_warning_and_the_same_result() {
    let scene = Scene::new();
    // The first file of an edit is the entry of the LoRA.
    let edited = scene.edited(
        scene
            .command("in.png", "drag.json", &[])
            .env("DRAGNEXT_FAILPOINTS", "disk_full#1"),
    );
    assert!(
        edited.stderr.contains("failpoint disk_full"),
        "the failpoint was hit: {}",
        edited.stderr
    );
    assert_eq!(edited.warnings(), ["cache.write"]);
    assert_eq!(scene.entries(), NOTHING, "no partial entry is left");
    assert!(edited.png == scene.without_cache("in.png", "drag.json", &[]).png);
}

#[cfg(all(unix, feature = "failpoints"))]
#[test]
fn a_killed_run_leaves_no_partial_entry() {
    use std::os::unix::process::ExitStatusExt;

    for (failpoint, cached) in [
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
            .env("DRAGNEXT_FAILPOINTS", failpoint)
            .output()
            .unwrap();
        assert_eq!(
            killed.status.signal(),
            Some(9),
            "{failpoint}: {}",
            String::from_utf8_lossy(&killed.stderr)
        );
        let next = scene.edit("in.png", "drag.json", &[]);
        assert_eq!(
            (next.cached(), next.warnings()),
            (cached.to_vec(), vec![]),
            "{failpoint}"
        );
        assert_eq!(
            scene.entries().len(),
            2,
            "{failpoint}: temporary files are removed: {:?}",
            scene.entries()
        );
        assert_eq!(
            scene.edit("in.png", "drag.json", &[]).cached(),
            BOTH,
            "{failpoint}"
        );
    }
    // `cache clear` removes temporary files of edits that are not repeated.
    let scene = Scene::new();
    scene
        .command("in.png", "drag.json", &[])
        .env("DRAGNEXT_FAILPOINTS", "kill_in_write")
        .output()
        .unwrap();
    assert_eq!(scene.entries().len(), 1, "{:?}", scene.entries());
    assert!(scene.cache(&["clear"]).status.success());
    assert_eq!(scene.entries(), NOTHING);
}

/// A failure after the LoRA training and the inversion does not lose their results.
#[cfg(feature = "failpoints")]
#[test]
fn a_failed_edit_keeps_its_finished_stages() {
    let scene = Scene::new();
    let failed = scene
        .command("in.png", "drag.json", &[])
        .env("DRAGNEXT_FAILPOINTS", "nan_in_decode")
        .output()
        .unwrap();
    assert!(
        !failed.status.success()
            && String::from_utf8_lossy(&failed.stderr).contains("failpoint nan_in_decode")
    );
    let next = scene.edit("in.png", "drag.json", &[]);
    assert_eq!(next.cached(), BOTH);
    assert!(next.png == scene.without_cache("in.png", "drag.json", &[]).png);
}
