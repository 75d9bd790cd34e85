//! The folder of the cache: size limit, listing, removal and permissions.

use std::time::{Duration, SystemTime};

use serde_json::json;

use super::{BOTH, NOTHING, Scene};
use crate::bench::program::names;

#[test]
fn the_least_recently_used_entries_are_evicted_at_the_limit() {
    let scene = Scene::new();
    scene.edit("in.png", "drag.json", &["--seed", "1"]);
    let of_one = scene.list()["bytes"].as_u64().unwrap();
    let limit = (2 * of_one + of_one / 4).to_string();
    let edit = |seed: &str| {
        scene.edited(
            scene
                .command("in.png", "drag.json", &["--seed", seed])
                .env("DRAGNEXT_CACHE_LIMIT", &limit),
        )
    };
    edit("2");
    assert_eq!(scene.entries().len(), 4);
    // File times are coarse, so both entries are made older before the first is used again.
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
    assert_eq!(
        edit("1").cached(),
        BOTH,
        "used more recently than the second"
    );
    assert_eq!(edit("3").cached(), BOTH, "created last");
    assert!(
        !edit("2").cached().contains(&"lora"),
        "the least recently used"
    );

    let nothing = Scene::new();
    let edit = |limit: &str| {
        let run = nothing.command("in.png", "drag.json", &[]);
        nothing.edited(run.env("DRAGNEXT_CACHE_LIMIT", limit))
    };
    assert_eq!(edit("0").warnings(), NOTHING);
    assert!(!nothing.path("cache").exists(), "0 stores nothing");
    assert_eq!(edit("much").warnings(), ["cache.limit"]);
    assert_eq!(nothing.entries().len(), 2, "the default limit applies");
    assert_eq!(edit("0").cached(), NOTHING, "0 uses nothing");
}

#[test]
fn the_cache_is_listed_and_cleared() {
    let scene = Scene::new();
    scene
        .cache(&["list"])
        .stderr_has("0 B of at most 2.0 GB, 0 entries")
        .run();
    // A cache folder that does not exist is an empty cache.
    scene.cache(&["clear"]).any_stderr().run();

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
    let table = scene
        .cache(&["list"])
        .stdout_has(&entries[0]["key"].as_str().unwrap()[..12])
        .stderr_has("3 entries")
        .run();
    assert_eq!(table.stdout.lines().count(), 4, "{table}");
    scene
        .dragnext(&["doctor"])
        .stdout_has(format!("{}: ", scene.path("cache").display()))
        .stdout_has("of at most 2.0 GB")
        .any_stderr()
        .run();

    let old = scene.entry("lora-");
    // Other files in the folder are not touched.
    std::fs::write(scene.path("cache/lora-mine.safetensors"), "mine").unwrap();
    std::fs::write(scene.path("cache/.dragnext-notes-1.tmp"), "mine").unwrap();
    std::fs::File::options()
        .append(true)
        .open(&old)
        .unwrap()
        .set_modified(SystemTime::now() - Duration::from_hours(72))
        .unwrap();
    scene
        .cache(&["clear", "--older-than", "2.5"])
        .stderr_has("removed 1 entry")
        .run();
    assert!(!old.exists());
    scene
        .cache(&["clear"])
        .stderr_has("removed 2 entries")
        .run();
    assert_eq!(
        scene.entries(),
        [".dragnext-notes-1.tmp", "lora-mine.safetensors"]
    );
    assert_eq!(scene.edit("in.png", "drag.json", &[]).cached(), NOTHING);

    for arguments in [&["clear", "--older-than", "-1"][..], &[]] {
        scene.cache(arguments).status(2).any_stderr().run();
    }
    scene
        .cache(&["list"])
        .env("DRAGNEXT_CACHE", "in.png")
        .status(2)
        .any_stderr()
        .run();
}

/// Entries are derived from pictures, so only the owner may read a folder that the program creates.
#[cfg(unix)]
#[test]
fn a_created_folder_is_private() {
    use std::os::unix::fs::PermissionsExt;

    let scene = Scene::new();
    scene.edited(
        scene
            .command("in.png", "drag.json", &[])
            .without_env("DRAGNEXT_CACHE"),
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
            .without_env("DRAGNEXT_CACHE")
            .without_env("HOME"),
    );
    assert_eq!(edited.warnings(), NOTHING);
    assert_eq!(
        names(homeless.bench.folder()),
        ["drag.json", "in.png", "other.json", "out.png"]
    );
    homeless
        .dragnext(&["doctor"])
        .without_env("DRAGNEXT_CACHE")
        .without_env("HOME")
        .stdout_has("neither DRAGNEXT_CACHE nor a home folder is set")
        .any_stderr()
        .run();
}
