//! Cached models are used without a network, and only if they are unchanged since the download.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::bench::fixture::path as fixture;
use crate::bench::program::under;
use crate::bench::{Ended, Run};
use crate::hub_bench::{HubBench, MODEL, UNET};
use crate::server::{COMMIT, ServerFault};

/// Returns whether this command works here; prints what is skipped if not.
fn works(program: &str, arguments: &[&str], skipped: &str) -> bool {
    let works = Command::new(program)
        .args(arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if !works {
        println!(
            "skipped: {skipped}, because `{program} {}` does not work here",
            arguments.join(" ")
        );
    }
    works
}

/// Runs `run` in another program, such as `unshare`.
fn inside(program: &str, arguments: &[&str], run: Run) -> Ended {
    let mut outer = Command::new(program);
    outer.args(arguments);
    Run::of(under(outer, &run.into_command())).ended()
}

#[test]
fn offline_uses_the_cache_and_opens_no_socket() {
    let bench = HubBench::with_model();
    let runs: [&dyn Fn() -> Run; 3] = [
        &|| bench.edit(MODEL).arg("--offline"),
        &|| bench.edit(MODEL).env("HF_HUB_OFFLINE", "1"),
        &|| bench.command(&["fetch", MODEL, "--offline"]),
    ];
    for run in runs {
        run().run();
        if works("unshare", &["-rn", "true"], "the run without any network") {
            inside("unshare", &["-rn"], run()).assert(0);
        }
        if works(
            "strace",
            &["-f", "-o", "/dev/null", "true"],
            "counting sockets",
        ) {
            inside(
                "strace",
                &["-f", "-e", "trace=socket", "-o", "sockets"],
                run(),
            )
            .assert(0);
            let calls = std::fs::read_to_string(bench.path("sockets")).unwrap();
            assert!(
                !calls.contains("socket(") && calls.contains("exited with 0"),
                "{calls}"
            );
        }
    }
    assert_eq!(bench.server.log().len(), 0);
}

#[test]
fn offline_names_the_missing_file() {
    let bench = HubBench::with_model();
    std::fs::remove_file(bench.snapshot().join("vae/config.json")).unwrap();
    let fetch = bench.command(&["fetch", MODEL, "--json"]);
    for run in [
        bench.edit(MODEL).arg("--offline"),
        fetch.env("HF_HUB_OFFLINE", "YES"),
    ] {
        let finished = run.ended().assert(75).stderr_has_all(&[
            "someone/tiny@main",
            " vae/config.json\n",
            "dragnext fetch someone/tiny@main",
            "--model demo",
            "--model FOLDER",
        ]);
        assert_eq!(finished.record["error"]["kind"], "weights.missing");
        assert!(
            !finished.stderr.contains("unet/"),
            "present files are not named: {}",
            finished.stderr
        );
    }
    assert_eq!(bench.server.log().len(), 0);

    // With a network, that file alone is fetched.
    bench.edit(MODEL).ended().assert(0);
    assert_eq!(
        bench
            .server
            .log()
            .iter()
            .filter(|request| request.path.contains("/resolve/"))
            .count(),
        1,
        "one request for its metadata, none for its bytes, which the blobs still have"
    );
    bench.assert_complete();
}

#[test]
fn offline_with_an_empty_cache_names_the_default_model() {
    let bench = HubBench::new();
    let finished = bench.run(&["fetch", "--offline"]);
    finished.assert(75).stderr_has_all(&[
        "stable-diffusion-v1-5/stable-diffusion-v1-5@451f4fe16113bff5a5d2269ed5ad43b0592e9a14",
        "unet/diffusion_pytorch_model.safetensors",
    ]);
    assert_eq!(bench.server.log().len(), 0);
}

/// The hub accepts connections and never replies.
#[test]
fn a_cached_model_does_not_wait_for_the_hub() {
    let bench = HubBench::with_model();
    bench.server.plan("", "", ServerFault::Stall, 100);
    let start = Instant::now();
    bench.edit(MODEL).ended().assert(0);
    assert!(start.elapsed() < Duration::from_secs(30));
    assert_eq!(bench.server.log().len(), 0);
}

/// Files that the Python library fetched are used, and large ones are compared with the hash in their names.
#[cfg(unix)]
#[test]
fn a_cache_of_the_python_library_is_used() {
    let bench = HubBench::with_model();
    std::fs::remove_dir_all(bench.folder().join(".dragnext")).unwrap();
    bench.edit(MODEL).arg("--offline").ended().assert(0);
    assert!(
        bench
            .folder()
            .join(".dragnext")
            .join(format!("{COMMIT}.json"))
            .is_file(),
        "the files are recorded"
    );
    std::fs::remove_dir_all(bench.folder().join(".dragnext")).unwrap();
    flip_a_bit(&bench.blob(UNET));
    let finished = bench.edit(MODEL).arg("--offline").ended();
    assert_eq!(
        finished.assert(75).stderr_has_all(&[UNET]).record["error"]["kind"],
        "weights.hash"
    );
}

fn flip_a_bit(path: &Path) {
    let mut file = File::options().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.seek(SeekFrom::Start(500_000)).unwrap();
    file.read_exact(&mut byte).unwrap();
    file.seek(SeekFrom::Start(500_000)).unwrap();
    file.write_all(&[byte[0] ^ 1]).unwrap();
}

#[test]
fn a_flipped_bit_is_detected_and_repaired_by_fetch() {
    let bench = HubBench::with_model();
    let length = std::fs::metadata(bench.blob(UNET)).unwrap().len();
    flip_a_bit(&bench.blob(UNET));
    assert!(
        std::fs::read(bench.blob(UNET)).unwrap() != bench.server.file(UNET),
        "the bit is flipped"
    );
    assert_eq!(
        std::fs::metadata(bench.blob(UNET)).unwrap().len(),
        length,
        "the length is right"
    );
    let command = format!("dragnext fetch someone/tiny@{COMMIT}");
    let finished = bench
        .edit(MODEL)
        .ended()
        .assert(75)
        .stderr_has_all(&[UNET, "SHA-256", &command]);
    assert_eq!(finished.record["error"]["kind"], "weights.hash");
    assert_eq!(bench.server.log().len(), 0, "an edit does not repair");

    let model = format!("{MODEL}@{COMMIT}");
    bench.run(&["fetch", &model]).assert(0);
    assert_eq!(
        bench.server.downloads(".safetensors").len(),
        1,
        "only the damaged file is fetched"
    );
    bench.assert_complete();
    bench.edit(MODEL).ended().assert(0);
}

/// The repository later offers half precision too; weights cached in full precision are repaired, and no others are fetched.
#[test]
fn weights_are_repaired_in_their_precision() {
    let bench = HubBench::with_model();
    let half = UNET.replace(".safetensors", ".fp16.safetensors");
    let mut other = bench.server.file(UNET);
    other[600_000] ^= 1;
    bench.server.set(&half, Some(other));
    flip_a_bit(&bench.blob(UNET));
    bench.fetch().assert(0);
    assert_eq!(
        bench.server.downloads(".safetensors").len(),
        1,
        "one file is fetched"
    );
    assert!(
        std::fs::read(bench.blob(UNET)).unwrap() == bench.server.file(UNET),
        "the damaged one"
    );
    assert!(!bench.snapshot().join(&half).exists());
    bench.edit(MODEL).arg("--offline").ended().assert(0);
}

#[test]
fn a_truncated_file_is_detected_and_repaired_by_fetch() {
    let bench = HubBench::with_model();
    for name in [UNET, "unet/config.json"] {
        File::options()
            .write(true)
            .open(bench.blob(name))
            .unwrap()
            .set_len(100)
            .unwrap();
        let finished = bench.edit(MODEL).ended().assert(75).stderr_has_all(&[
            name,
            "100 bytes, but",
            "dragnext fetch",
        ]);
        assert_eq!(finished.record["error"]["kind"], "weights.damaged");
        bench.fetch().assert(0);
        bench.assert_complete();
    }
}

/// A configuration has no hash in its name; it is compared with the record.
#[test]
fn a_changed_configuration_is_detected() {
    let bench = HubBench::with_model();
    let path = bench.blob("scheduler/scheduler_config.json");
    let text = std::fs::read_to_string(&path).unwrap();
    let changed = text.replace("0.012", "0.013");
    assert!(changed != text && changed.len() == text.len());
    std::fs::write(&path, changed).unwrap();
    let finished = bench.edit(MODEL).ended();
    assert_eq!(
        finished
            .assert(75)
            .stderr_has_all(&["scheduler_config.json"])
            .record["error"]["kind"],
        "weights.hash"
    );
    bench.fetch().assert(0);
    bench.assert_complete();
}

#[test]
fn the_cache_folder_comes_from_the_environment() {
    for (variable, value, place) in [
        ("HF_HOME", "my models", "my models/hub"),
        ("HF_HOME", "not/there/yet", "not/there/yet/hub"),
        ("HF_HOME", "~/home of hf", "home of hf/hub"),
        ("HF_HUB_CACHE", "$HOME/hub cache", "hub cache"),
        ("XDG_CACHE_HOME", "xdg", "xdg/huggingface/hub"),
    ] {
        let bench = HubBench::new();
        for times in [1, 0] {
            bench.server.reset();
            bench
                .command(&["fetch", MODEL])
                .env(variable, value)
                .ended()
                .assert(0);
            assert_eq!(
                bench.server.downloads("unet/config.json").len(),
                times,
                "{variable}={value}"
            );
        }
        let unet = bench
            .path(place)
            .join("models--someone--tiny/snapshots")
            .join(COMMIT)
            .join(UNET);
        assert!(
            std::fs::read(unet).unwrap() == bench.server.file(UNET),
            "{variable}={value}"
        );
        assert!(!bench.path(".cache").exists());
    }
}

/// Runs a command with a read-only home folder; as user nobody if the test runs as root.
#[cfg(unix)]
fn as_reader(bench: &HubBench, run: Run) -> Option<Ended> {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    use std::os::unix::process::CommandExt;
    let mut folders = vec![bench.home().to_path_buf()];
    while let Some(folder) = folders.pop() {
        std::fs::set_permissions(&folder, PermissionsExt::from_mode(0o555)).unwrap();
        folders.extend(
            std::fs::read_dir(&folder)
                .unwrap()
                .map(|entry| entry.unwrap().path())
                .filter(|path| path.is_dir() && !path.is_symlink()),
        );
    }
    let mut command = run.into_command();
    if std::fs::metadata("/proc/self").unwrap().uid() == 0 {
        command.uid(65534).gid(65534);
    }
    let child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let finished = child.map(Ended::wait);
    std::fs::set_permissions(bench.home(), PermissionsExt::from_mode(0o755)).unwrap();
    match finished {
        Ok(finished) => Some(finished),
        Err(error) => {
            println!("skipped: the program cannot be started as another user: {error}");
            None
        }
    }
}

#[cfg(unix)]
#[test]
fn a_read_only_cache_is_usable() {
    let bench = HubBench::with_model();
    let out = tempfile::tempdir().unwrap();
    std::fs::set_permissions(
        out.path(),
        std::os::unix::fs::PermissionsExt::from_mode(0o777),
    )
    .unwrap();
    let out = out.path().join("out.png");
    let Some(finished) = as_reader(
        &bench,
        bench.edit_with(&["--model", MODEL, "-o", out.to_str().unwrap()]),
    ) else {
        return;
    };
    finished.assert(0);

    // A missing file cannot be downloaded into a read-only cache.
    let bench = HubBench::new();
    std::fs::create_dir_all(bench.folder()).unwrap();
    let Some(finished) = as_reader(&bench, bench.command(&["fetch", MODEL, "--json"])) else {
        return;
    };
    let finished = finished.assert(75).stderr_has_all(&[
        "models--someone--tiny",
        "Permission denied",
        "HF_HUB_CACHE",
    ]);
    assert_eq!(finished.record["error"]["kind"], "hub.cache");
}

/// A modification of a file.
#[cfg(feature = "failpoints")]
type Change<'a> = &'a dyn Fn(&Path);

/// Weights are not memory-mapped: truncating a file during a read is an error, and a replaced file is read to its end.
#[cfg(feature = "failpoints")]
#[test]
fn weights_that_change_during_a_read_do_not_crash_the_process() {
    use std::io::{BufRead, BufReader};
    let length = std::fs::metadata(fixture("tiny").join(UNET)).unwrap().len();
    let changes: [(&str, Change, Option<&str>); 3] = [
        (
            "cut",
            &|path| {
                File::options()
                    .write(true)
                    .open(path)
                    .unwrap()
                    .set_len(length / 2)
                    .unwrap();
            },
            Some("weights.damaged"),
        ),
        ("written to", &flip_a_bit, Some("weights.damaged")),
        (
            "replaced",
            &|path| {
                std::fs::write(path.with_extension("new"), "something else").unwrap();
                std::fs::rename(path.with_extension("new"), path).unwrap();
            },
            None,
        ),
    ];
    for (how, change, kind) in changes {
        let bench = HubBench::with_model();
        let mut run = bench
            .edit(MODEL)
            .env("DRAGNEXT_FAILPOINTS", "header_read")
            .start_with_stdin();
        let mut stderr = BufReader::new(run.stderr.take().unwrap());
        let mut lines = String::new();
        stderr.read_line(&mut lines).unwrap();
        assert_eq!(
            lines, "failpoint header_read\n",
            "it waits with the file open"
        );
        change(&bench.blob(UNET));
        drop(run.stdin.take());
        stderr.read_to_string(&mut lines).unwrap();
        let output = run.wait_with_output().unwrap();
        let record: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(record["error"]["kind"].as_str(), kind, "{how}: {lines}");
        assert_eq!(
            output.status.code(),
            Some(if kind.is_some() { 2 } else { 0 }),
            "{how}: {lines}"
        );
    }
}

/// Header values sent by the hub cannot lead to paths outside the cache.
#[test]
fn a_hostile_hub_cannot_write_outside_the_cache() {
    let bench = HubBench::new();
    for header in ["X-Linked-Etag: \"../../../../outside\"", "ETag: \"..\""] {
        bench.server.reset();
        bench.server.plan(
            "HEAD",
            "model_index.json",
            ServerFault::Status(200, header),
            1,
        );
        bench.fetch().assert(75).stderr_has_all(&["ETag"]);
        assert_eq!(
            bench
                .server
                .count(|fault| matches!(fault, ServerFault::Status(..))),
            1
        );
        assert_eq!(
            std::fs::read_dir(bench.home()).unwrap().count(),
            0,
            "nothing was written"
        );
    }
}
