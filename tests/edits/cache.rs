//! The cache of edits: which stages it saves, that results do not depend on it, and that none of its faults fails an edit.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::bench::pictures::png::Png;
use crate::bench::pictures::smooth;
use crate::bench::program::names;
use crate::bench::tiny::model;
use crate::bench::{Bench, Ended, Record, Run};
use png::{BitDepth, ColorType};
use serde_json::{Value, json};

const SIDES: [usize; 2] = [72, 66];
const NOTHING: [&str; 0] = [];
const BOTH: [&str; 2] = ["lora", "invert"];

/// A bench with a picture, drag files and a cache.
struct Scene {
    bench: Bench,
}

/// An edit that succeeded.
struct Edited {
    ended: Ended,
    png: Vec<u8>,
}

impl Edited {
    /// Returns the stages whose results came from the cache.
    fn cached(&self) -> Vec<&str> {
        self.ended.record["cached"]
            .as_array()
            .map(|stages| stages.iter().map(|stage| stage.as_str().unwrap()).collect())
            .unwrap_or_default()
    }

    /// Returns the kinds of the warnings about the cache.
    fn warnings(&self) -> Vec<&str> {
        let warnings = self.ended.warnings().into_iter();
        warnings.filter(|kind| kind.starts_with("cache.")).collect()
    }
}

fn drag(prompt: &str, target: f64) -> String {
    json!({
        "version": 1, "prompt": prompt, "editable": { "rect": [8, 8, 64, 58] },
        "regions": [ { "type": "translation", "region": { "rect": [18, 16, 40, 48] }, "handle": [28, 32], "target": [target, 32] } ],
    })
    .to_string()
}

impl Scene {
    fn new() -> Self {
        let scene = Self {
            bench: Bench::new(),
        };
        scene.picture("in.png", 0);
        scene.bench.write("drag.json", drag("", 42.0));
        scene.bench.write("other.json", drag("", 20.0));
        scene
    }

    fn path(&self, name: &str) -> PathBuf {
        self.bench.path(name)
    }

    fn picture(&self, name: &str, add: u8) {
        let [width, height] = SIDES;
        let samples: Vec<u8> = smooth(width, height, 3)
            .iter()
            .map(|sample| sample.wrapping_add(add))
            .collect();
        self.bench.write(
            name,
            Png::encode(width, height, ColorType::Rgb, BitDepth::Eight, &samples).bytes(),
        );
    }

    /// Returns `dragnext` with the cache of the scene.
    fn dragnext(&self, arguments: &[&str]) -> Run {
        self.bench
            .dragnext(arguments)
            .env("DRAGNEXT_CACHE", self.path("cache"))
            .without_env("DRAGNEXT_CACHE_LIMIT")
    }

    /// Returns an edit with few steps in every stage, except those given in `arguments`.
    fn command(&self, picture: &str, drag: &str, arguments: &[&str]) -> Run {
        let mut run = self
            .dragnext(&["edit", picture, "--drag", drag, "--json", "--overwrite"])
            .any_stdout()
            .any_stderr();
        for (name, value) in [
            ("timesteps", "1"),
            ("iterations", "2"),
            ("lora-steps", "2"),
            ("lora-rank", "2"),
            ("size", "64"),
            ("strength", "0.08"),
        ] {
            let flag = format!("--{name}");
            if !arguments.contains(&flag.as_str()) {
                run = run.arg(flag).arg(value);
            }
        }
        if !arguments.contains(&"-o") {
            run = run.args(["-o", "out.png"]);
        }
        if !arguments.contains(&"--model") {
            run = run.arg("--model").arg(model());
        }
        run.args(arguments)
    }

    fn edit(&self, picture: &str, drag: &str, arguments: &[&str]) -> Edited {
        self.edited(self.command(picture, drag, arguments))
    }

    fn edited(&self, run: Run) -> Edited {
        let ended = run.run();
        let png = self.bench.read(ended.record["out"].as_str().unwrap());
        Edited { ended, png }
    }

    /// Runs the same edit without the cache.
    fn uncached(&self, picture: &str, drag: &str, arguments: &[&str]) -> Edited {
        let edited = self.edit(picture, drag, &[arguments, &["--no-cache"]].concat());
        assert_eq!(edited.cached(), NOTHING);
        edited
    }

    fn entries(&self) -> Vec<String> {
        if self.path("cache").is_dir() {
            names(&self.path("cache"))
        } else {
            Vec::new()
        }
    }

    fn entry(&self, kind: &str) -> PathBuf {
        let name = self
            .entries()
            .into_iter()
            .find(|name| name.starts_with(kind))
            .unwrap_or_else(|| panic!("no {kind}"));
        self.path("cache").join(name)
    }

    /// Returns `dragnext cache` with these arguments.
    fn cache(&self, arguments: &[&str]) -> Run {
        self.dragnext(&[&["cache"], arguments].concat())
    }

    fn list(&self) -> Record {
        self.cache(&["list", "--json"]).record()
    }
}

#[test]
fn a_second_drag_of_a_picture_reuses_lora_and_inversion() {
    let scene = Scene::new();
    let first = scene.edit("in.png", "drag.json", &[]);
    assert_eq!((first.cached(), first.warnings()), (vec![], vec![]));
    assert_eq!(
        (
            &first.ended.record["steps"]["lora"],
            &first.ended.record["steps"]["invert"]
        ),
        (&json!(2), &json!(4))
    );
    assert_eq!(scene.entries().len(), 2, "{:?}", scene.entries());
    assert_eq!(
        first.png,
        scene.uncached("in.png", "drag.json", &[]).png,
        "storing does not change the result"
    );

    let second = scene.edit("in.png", "other.json", &[]);
    assert_eq!(
        (second.cached(), second.warnings()),
        (BOTH.to_vec(), vec![])
    );
    assert_eq!(
        (
            &second.ended.record["steps"]["lora"],
            &second.ended.record["steps"]["invert"]
        ),
        (&json!(0), &json!(0))
    );
    let stages: Vec<&String> = second.ended.record["seconds"]
        .as_object()
        .unwrap()
        .keys()
        .collect();
    assert_eq!(
        stages,
        ["decode", "denoise", "drag", "encode", "load"],
        "sorted by name"
    );
    assert!(
        !second.ended.stderr.contains("lora ") && second.ended.stderr.contains("drag "),
        "{}",
        second.ended.stderr
    );
    let uncached = scene.uncached("in.png", "other.json", &[]);
    assert!(second.png == uncached.png, "the same bytes");
    assert_eq!(second.ended.record["job"], uncached.ended.record["job"]);
    assert!(
        second.png != first.png,
        "another target gives another picture"
    );
    // The first edit again.
    assert!(scene.edit("in.png", "drag.json", &[]).png == first.png);
}

/// Each change misses the cache exactly for the stages that depend on it, and the bytes equal those without the cache.
#[test]
fn only_stages_that_depend_on_a_change_are_computed_again() {
    let scene = Scene::new();
    let first = scene.edit("in.png", "drag.json", &[]);
    scene.picture("brighter.png", 1);
    scene.bench.write("prompt.json", drag("a cat", 42.0));
    let cases: [(&str, &str, &[&str], &[&str]); 14] = [
        ("in.png", "drag.json", &["--lr", "0.01"], &BOTH),
        (
            "in.png",
            "drag.json",
            &["--iterations", "1", "--timesteps", "2"],
            &BOTH,
        ),
        ("in.png", "drag.json", &["--start", "paper"], &BOTH),
        (
            "in.png",
            "drag.json",
            &["--dtype", "f32", "--device", "cpu"],
            &BOTH,
        ),
        ("in.png", "drag.json", &["--strength", "0.04"], &["lora"]),
        (
            "in.png",
            "drag.json",
            &["--steps", "40", "--strength", "0.1"],
            &["lora"],
        ),
        ("in.png", "drag.json", &["--seed", "1"], &NOTHING),
        ("in.png", "drag.json", &["--lora-steps", "3"], &NOTHING),
        ("in.png", "drag.json", &["--lora-rank", "3"], &NOTHING),
        ("in.png", "drag.json", &["--lora-lr", "0.001"], &NOTHING),
        ("in.png", "drag.json", &["--lora-batch", "1"], &NOTHING),
        ("in.png", "drag.json", &["--size", "80"], &NOTHING),
        ("in.png", "prompt.json", &[], &NOTHING),
        ("brighter.png", "drag.json", &[], &NOTHING),
    ];
    for (picture, drag, arguments, cached) in cases {
        let edited = scene.edit(picture, drag, arguments);
        assert_eq!(
            (edited.cached(), edited.warnings()),
            (cached.to_vec(), vec![]),
            "{picture} {drag} {arguments:?}"
        );
        assert!(
            edited.png == scene.uncached(picture, drag, arguments).png,
            "{picture} {drag} {arguments:?}"
        );
        assert_eq!(
            scene.edit(picture, drag, arguments).cached(),
            BOTH,
            "{picture} {drag} {arguments:?} again"
        );
    }
    // Without a LoRA the inversion is still cached. The seed changes the noise of the vacated area only, not the inversion.
    for (arguments, cached) in [
        (["--no-lora"].as_slice(), NOTHING.as_slice()),
        (&["--no-lora"], &["invert"]),
        (&["--no-lora", "--seed", "3"], &["invert"]),
    ] {
        let edited = scene.edit("in.png", "drag.json", arguments);
        assert_eq!(edited.cached(), cached, "{arguments:?}");
        assert!(
            edited.png == scene.uncached("in.png", "drag.json", arguments).png,
            "{arguments:?}"
        );
    }
    assert_eq!(scene.edit("in.png", "drag.json", &[]).png, first.png);
}

/// Vectors of another width give other rounding.
#[cfg(feature = "failpoints")]
#[test]
fn entries_of_another_vector_width_are_not_used() {
    let scene = Scene::new();
    scene.edit("in.png", "drag.json", &[]);
    let narrow = |arguments: &[&str]| {
        scene.edited(
            scene
                .command("in.png", "drag.json", arguments)
                .env("DRAGNEXT_LANES", "1"),
        )
    };
    let first = narrow(&[]);
    assert_eq!(first.cached(), NOTHING);
    assert_eq!(narrow(&[]).cached(), BOTH);
    assert!(first.png == narrow(&["--no-cache"]).png);
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// Keys contain the weights and the configuration of the model, not its name.
#[test]
fn another_model_misses_the_cache() {
    let scene = Scene::new();
    copy(&model(), &scene.path("model"));
    let edit = || scene.edit("in.png", "drag.json", &["--model", "model"]);
    edit();
    std::fs::rename(scene.path("model"), scene.path("renamed")).unwrap();
    assert_eq!(
        scene
            .edit("in.png", "drag.json", &["--model", "renamed"])
            .cached(),
        BOTH
    );
    std::fs::rename(scene.path("renamed"), scene.path("model")).unwrap();

    let weights = scene.path("model/unet/diffusion_pytorch_model.safetensors");
    let mut bytes = std::fs::read(&weights).unwrap();
    let header = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    bytes[8 + header] ^= 1;
    std::fs::write(&weights, &bytes).unwrap();
    assert_eq!(edit().cached(), NOTHING, "one bit of a weight differs");
    let schedule = scene.path("model/scheduler/scheduler_config.json");
    let text = std::fs::read_to_string(&schedule).unwrap();
    let mut config: Value = serde_json::from_str(&text).unwrap();
    config["beta_end"] = json!(0.011);
    std::fs::write(&schedule, config.to_string()).unwrap();
    assert_eq!(edit().cached(), NOTHING, "the noise schedule differs");
    assert_eq!(edit().cached(), BOTH);
}

#[test]
fn a_cached_lora_can_be_saved_and_loaded() {
    let scene = Scene::new();
    let first = scene.edit("in.png", "drag.json", &["--save-lora", "first.safetensors"]);
    let second = scene.edit(
        "in.png",
        "drag.json",
        &["--save-lora", "second.safetensors"],
    );
    assert_eq!(second.cached(), BOTH);
    assert!(scene.bench.read("first.safetensors") == scene.bench.read("second.safetensors"));
    // The key of the inversion contains the values of the LoRA, not their source.
    let given = scene.edit("in.png", "drag.json", &["--lora", "first.safetensors"]);
    assert_eq!(given.cached(), ["invert"]);
    assert!(
        given.png
            == scene
                .uncached("in.png", "drag.json", &["--lora", "first.safetensors"])
                .png
    );
    assert!(
        image::load_from_memory(&given.png).unwrap()
            == image::load_from_memory(&first.png).unwrap(),
        "the same pixels"
    );
}

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

/// In a batch only pictures with several drags are cached.
#[test]
fn a_batch_caches_pictures_with_several_drags() {
    let scene = Scene::new();
    scene.picture("once.png", 9);
    let line = |id: &str, image: &str, drag: &str| {
        json!({ "id": id, "image": image, "drag": drag, "out": format!("{id}.png") }).to_string()
    };
    let lines = [
        line("a", "in.png", "drag.json"),
        line("b", "once.png", "drag.json"),
        line("c", "in.png", "other.json"),
    ]
    .join("\n");
    scene.bench.write("list.jsonl", lines);
    let run = |out: &str, arguments: &[&str]| {
        let run = scene.dragnext(&["batch", "--manifest", "list.jsonl", "-o", out, "--json"]);
        let run = run.args([
            "--timesteps",
            "1",
            "--iterations",
            "2",
            "--lora-steps",
            "2",
            "--lora-rank",
            "2",
            "--size",
            "64",
            "--strength",
            "0.08",
        ]);
        let run = run.args(arguments).arg("--model").arg(model());
        let records = run.any_stdout().any_stderr().run().records();
        let cached = records[..3]
            .iter()
            .map(|record| record["cached"].as_array().map_or(0, Vec::len))
            .collect::<Vec<_>>();
        let pictures: Vec<Vec<u8>> = ["a", "b", "c"]
            .iter()
            .map(|id| scene.bench.read(format!("{out}/{id}.png")))
            .collect();
        (cached, pictures)
    };
    let (cached, pictures) = run("out", &[]);
    assert_eq!(cached, [0, 0, 2]);
    assert_eq!(
        scene.entries().len(),
        2,
        "no entry of the picture with one drag: {:?}",
        scene.entries()
    );
    let (cached, uncached) = run("uncached", &["--no-cache"]);
    assert_eq!(cached, [0, 0, 0]);
    assert!(pictures == uncached);
    // Entries of an earlier edit are used for every picture.
    scene.edit("once.png", "other.json", &[]);
    let (cached, again) = run("again", &[]);
    assert_eq!(cached, [2, 2, 2]);
    assert!(again == uncached);
}
