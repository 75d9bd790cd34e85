//! The folder of the cache: limit, listing, removal and permissions.

use std::process::Output;
use std::time::{Duration, SystemTime};

use serde_json::json;

use super::{BOTH, NOTHING, Scene};
use crate::bench::pictures::names;

#[test]
fn the_least_recently_used_entries_are_evicted_above_the_limit() {
    let scene = Scene::new();
    scene.edit("in.png", "drag.json", &["--seed", "1"]);
    let entry_bytes = scene.list()["bytes"].as_u64().unwrap();
    let limit = (2 * entry_bytes + entry_bytes / 4).to_string();
    let edit = |seed: &str| {
        scene.edited(
            scene
                .command("in.png", "drag.json", &["--seed", seed])
                .env("DRAGNEXT_CACHE_LIMIT", &limit),
        )
    };
    edit("2");
    assert_eq!(scene.entries().len(), 4);
    // File systems have coarse clocks, so all entries are made older before the first edit is repeated.
    for name in scene.entries() {
        let file = std::fs::File::options()
            .append(true)
            .open(scene.path("cache").join(name))
            .unwrap();
        file.set_modified(SystemTime::now() - Duration::from_hours(1))
            .unwrap();
    }
    assert_eq!(edit("1").cached(), BOTH);
    edit("3");
    assert!(scene.list()["bytes"].as_u64().unwrap() <= limit.parse().unwrap());
    assert_eq!(edit("1").cached(), BOTH, "used after seed 2");
    assert_eq!(edit("3").cached(), BOTH, "written last");
    assert!(!edit("2").cached().contains(&"lora"), "least recently used");

    let limited = Scene::new();
    let mut command = limited.command("in.png", "drag.json", &[]);
    assert_eq!(
        limited
            .edited(command.env("DRAGNEXT_CACHE_LIMIT", "0"))
            .warnings(),
        NOTHING
    );
    assert!(!limited.path("cache").exists(), "0 writes nothing");
    let edited = limited.edited(command.env("DRAGNEXT_CACHE_LIMIT", "much"));
    assert_eq!(edited.warnings(), ["cache.limit"]);
    assert_eq!(limited.entries().len(), 2, "the default limit applies");
    assert_eq!(
        limited
            .edited(command.env("DRAGNEXT_CACHE_LIMIT", "0"))
            .cached(),
        NOTHING,
        "0 reads nothing"
    );
}

#[test]
fn the_cache_is_listed_and_cleared() {
    let scene = Scene::new();
    let text = |output: Output| {
        (
            String::from_utf8(output.stdout).unwrap(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    let (stdout, stderr) = text(scene.cache(&["list"]));
    assert_eq!(stdout, "");
    assert!(
        stderr.contains("0 B of at most 2.0 GB, 0 entries"),
        "{stderr}"
    );
    assert!(
        scene.cache(&["clear"]).status.success(),
        "a missing cache is empty"
    );

    scene.edit("in.png", "drag.json", &[]);
    scene.edit("in.png", "drag.json", &["--no-lora"]);
    let list = scene.list();
    let entries = list["entries"].as_array().unwrap();
    let kinds: Vec<&str> = entries
        .iter()
        .map(|entry| entry["kind"].as_str().unwrap())
        .collect();
    assert_eq!(
        kinds.iter().filter(|kind| **kind == "inversion").count(),
        2,
        "{kinds:?}"
    );
    assert_eq!(kinds.len(), 3);
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap()
        .as_secs();
    for entry in entries {
        let file = format!(
            "{}-{}.safetensors",
            entry["kind"].as_str().unwrap(),
            entry["key"].as_str().unwrap()
        );
        let metadata = std::fs::metadata(scene.path("cache").join(file)).unwrap();
        assert_eq!(entry["bytes"], metadata.len());
        assert_eq!(
            entry["picture"], entries[0]["picture"],
            "all entries are of one picture"
        );
        assert_eq!(entry["size"], json!([72, 64]));
        assert!(
            entry["made"].as_u64().unwrap().abs_diff(now) < 600
                && entry["used"].as_u64().unwrap().abs_diff(now) < 600
        );
    }
    assert_eq!(
        list["bytes"].as_u64(),
        entries.iter().map(|entry| entry["bytes"].as_u64()).sum()
    );
    assert_eq!(
        (&list["limit"], &list["folder"]),
        (&json!(2_000_000_000_u64), &json!(scene.path("cache")))
    );
    let (stdout, stderr) = text(scene.cache(&["list"]));
    assert_eq!(stdout.lines().count(), 4, "{stdout}");
    assert!(
        stdout
            .lines()
            .nth(1)
            .unwrap()
            .starts_with(&entries[0]["key"].as_str().unwrap()[..12]),
        "{stdout}"
    );
    assert!(stderr.contains("3 entries"), "{stderr}");
    let doctor = text(scene.dragnext(&["doctor"]).output().unwrap()).0;
    assert!(
        doctor.contains(&format!("{}: ", scene.path("cache").display()))
            && doctor.contains("of at most 2.0 GB"),
        "{doctor}"
    );

    let old = scene.entry("lora-");
    // Foreign files in the folder are never removed.
    std::fs::write(scene.path("cache/lora-mine.safetensors"), "mine").unwrap();
    std::fs::write(scene.path("cache/.dragnext-notes-1.tmp"), "mine").unwrap();
    std::fs::File::options()
        .append(true)
        .open(&old)
        .unwrap()
        .set_modified(SystemTime::now() - Duration::from_hours(72))
        .unwrap();
    let (_, stderr) = text(scene.cache(&["clear", "--older-than", "2.5"]));
    assert!(stderr.contains("removed 1 entry"), "{stderr}");
    assert!(!old.exists());
    let (_, stderr) = text(scene.cache(&["clear"]));
    assert!(stderr.contains("removed 2 entries"), "{stderr}");
    assert_eq!(
        scene.entries(),
        [".dragnext-notes-1.tmp", "lora-mine.safetensors"]
    );
    assert_eq!(scene.edit("in.png", "drag.json", &[]).cached(), NOTHING);

    assert_eq!(
        scene.cache(&["clear", "--older-than", "-1"]).status.code(),
        Some(2)
    );
    assert_eq!(scene.cache(&[]).status.code(), Some(2));
    let file = scene
        .dragnext(&["cache", "list"])
        .env("DRAGNEXT_CACHE", "in.png")
        .output()
        .unwrap();
    assert_eq!(
        file.status.code(),
        Some(2),
        "{}",
        String::from_utf8_lossy(&file.stderr)
    );
}

/// The folder is accessible to its owner only, because entries are derived from private pictures.
#[cfg(unix)]
#[test]
fn the_folder_is_private_to_its_owner() {
    use std::os::unix::fs::PermissionsExt;

    let scene = Scene::new();
    scene.edited(
        scene
            .command("in.png", "drag.json", &[])
            .env_remove("DRAGNEXT_CACHE"),
    );
    let folder = if cfg!(target_os = "macos") {
        "Library/Caches/dragnext"
    } else {
        ".cache/dragnext"
    };
    assert_eq!(
        std::fs::metadata(scene.path(folder))
            .unwrap()
            .permissions()
            .mode()
            & 0o777,
        0o700
    );
    // Without a home folder there is no cache, and no warning.
    let homeless = Scene::new();
    let edited = homeless.edited(
        homeless
            .command("in.png", "drag.json", &[])
            .env_remove("DRAGNEXT_CACHE")
            .env_remove("HOME"),
    );
    assert_eq!(edited.warnings(), NOTHING);
    assert_eq!(
        names(homeless.bench.folder()),
        ["drag.json", "in.png", "other.json", "out.png"]
    );
    let doctor = homeless
        .dragnext(&["doctor"])
        .env_remove("DRAGNEXT_CACHE")
        .env_remove("HOME")
        .output()
        .unwrap();
    assert!(
        String::from_utf8_lossy(&doctor.stdout)
            .contains("neither DRAGNEXT_CACHE nor a home folder is set")
    );
}
