//! `dragnext fetch` and `edit` without faults.

use crate::bench::fixture::path as fixture;
use crate::hub_bench::{FILES, HubBench, MODEL, TEXT_ENCODER, UNET, VAE};
use crate::server::{COMMIT, ServerFault};

#[test]
fn a_model_is_fetched_once_and_used() {
    let bench = HubBench::new();
    let fetched = bench.fetch().assert(0);
    assert_eq!(
        fetched.stdout,
        format!("{MODEL}@{COMMIT}\n{}\n", bench.snapshot().display())
    );
    assert!(
        fetched
            .stderr
            .contains("fetched  unet/diffusion_pytorch_model.safetensors 934.1 kB"),
        "{}",
        fetched.stderr
    );
    bench.assert_complete();
    assert_eq!(
        std::fs::read_to_string(bench.folder().join("refs/main")).unwrap(),
        COMMIT,
        "as in the Python library"
    );
    assert!(
        std::fs::read_link(bench.snapshot().join(UNET))
            .unwrap()
            .starts_with("../../../blobs")
    );
    let log = bench.server.log();
    assert!(
        log.iter()
            .all(|request| !request.path.contains("tokenizer.json")),
        "unlisted files are not fetched"
    );

    bench.server.reset();
    let again = bench.fetch().assert(0);
    assert!(
        again.stderr.contains("11 files in the cache are intact"),
        "{}",
        again.stderr
    );
    assert_eq!(again.stdout, fetched.stdout);
    let edited = bench.edit(MODEL).ended();
    assert_eq!(
        edited.assert(0).record["model"],
        format!("{MODEL}@{COMMIT}")
    );
    assert_eq!(bench.server.log().len(), 0, "the cache is enough");
}

#[test]
fn an_edit_fetches_missing_files() {
    let bench = HubBench::new();
    let edited = bench.edit(MODEL).ended();
    let record = edited.assert(0).record;
    assert_eq!(
        (record["status"].as_str(), record["model"].as_str()),
        (Some("done"), Some(format!("{MODEL}@{COMMIT}").as_str()))
    );
    bench.assert_complete();
    // The same files as a folder give the same pixels.
    let pixels = || image::open(bench.path("out.png")).unwrap().into_rgba8();
    let from_hub = pixels();
    bench
        .edit(fixture("tiny").to_str().unwrap())
        .ended()
        .assert(0);
    assert!(from_hub == pixels());
}

/// An invalid edit is rejected before anything is fetched.
#[test]
fn nothing_is_fetched_for_an_invalid_edit() {
    let bench = HubBench::new();
    let edited = bench.edit(MODEL).arg("--steps").arg("0").ended();
    assert_eq!(
        (edited.status, edited.record["error"]["kind"].as_str()),
        (Some(2), Some("setting"))
    );
    assert_eq!(bench.server.log().len(), 0);
}

#[test]
fn the_default_model_is_pinned_to_a_commit() {
    let bench = HubBench::new();
    let fetched = bench.run(&["fetch", "--json"]).assert(0).record;
    assert_eq!(
        fetched["model"],
        "stable-diffusion-v1-5/stable-diffusion-v1-5"
    );
    assert_eq!(
        fetched["commit"],
        "451f4fe16113bff5a5d2269ed5ad43b0592e9a14"
    );
    assert_eq!(fetched["files"].as_array().unwrap().len(), FILES);
    let expected = "/api/models/stable-diffusion-v1-5/stable-diffusion-v1-5/revision/451f4fe16113bff5a5d2269ed5ad43b0592e9a14";
    assert_eq!(bench.server.log()[0].path, expected);
    assert!(
        !bench
            .path(
                ".cache/huggingface/hub/models--stable-diffusion-v1-5--stable-diffusion-v1-5/refs"
            )
            .exists(),
        "a commit needs no reference"
    );

    // `edit` without a model uses the same.
    bench.server.reset();
    let edited = bench.edit_with(&["-o", "out.png"]).ended();
    assert_eq!(
        edited.assert(0).record["model"],
        "stable-diffusion-v1-5/stable-diffusion-v1-5@451f4fe16113bff5a5d2269ed5ad43b0592e9a14"
    );
    assert_eq!(bench.server.log().len(), 0);
}

#[test]
fn half_precision_is_preferred() {
    let bench = HubBench::new();
    let half = "unet/diffusion_pytorch_model.fp16.safetensors";
    bench.server.set(half, Some(bench.server.file(UNET)));
    bench.server.set(
        "unet/diffusion_pytorch_model.bin",
        Some(b"a pickle".to_vec()),
    );
    bench.fetch().assert(0);
    assert!(bench.snapshot().join(half).is_file());
    assert!(!bench.snapshot().join(UNET).exists() && bench.snapshot().join(VAE).is_file());
    assert!(
        bench
            .server
            .log()
            .iter()
            .all(|request| !request.path.contains(".bin")),
        "pickles are never fetched"
    );
}

#[test]
fn demo_and_folders_need_no_hub() {
    let bench = HubBench::new();
    assert_eq!(
        bench.run(&["fetch", "demo"]).assert(0).stdout,
        "demo\nbuilt in\n"
    );
    let folder = fixture("tiny");
    assert_eq!(
        bench
            .run(&["fetch", folder.to_str().unwrap()])
            .assert(0)
            .stdout,
        format!("tiny\n{}\n", folder.display())
    );
    // An existing folder takes precedence over a repository of that name.
    std::fs::create_dir_all(bench.path(MODEL)).unwrap();
    assert_eq!(bench.fetch().assert(0).stdout, format!("tiny\n{MODEL}\n"));
    assert_eq!(bench.server.log().len(), 0);
}

#[test]
fn a_repository_without_required_files_is_rejected() {
    let bench = HubBench::new();
    bench.server.set(TEXT_ENCODER, None);
    bench
        .server
        .set("text_encoder/pytorch_model.bin", Some(b"a pickle".to_vec()));
    bench.server.set("vae/config.json", None);
    let finished = bench.run(&["fetch", MODEL, "--json"]);
    assert_eq!(
        (finished.status, finished.record["error"]["kind"].as_str()),
        (Some(2), Some("weights.missing"))
    );
    for part in ["vae/config.json", TEXT_ENCODER, "pickles"] {
        assert!(
            finished.stderr.contains(part),
            "{part} is not in {}",
            finished.stderr
        );
    }
    assert_eq!(bench.blobs().len(), 0, "nothing was fetched");
}

/// The token is sent to the hub only, and appears in no output and no file.
#[test]
fn a_token_is_sent_to_the_hub_only_and_never_shown() {
    const TOKEN: &str = "hf_SecretOfMine";
    let bench = HubBench::new();
    let mut shown = String::new();
    let mut run = |arguments: &[&str], status: i32| {
        let finished = bench.command(arguments).env("HF_TOKEN", TOKEN).ended();
        assert_eq!(finished.status, Some(status), "{}", finished.stderr);
        shown += &(finished.stdout + &finished.stderr);
    };
    bench.server.plan(
        "HEAD",
        "unet/config.json",
        ServerFault::Status(401, "X-Error-Code: RepoNotFound"),
        1,
    );
    run(&["fetch", MODEL], 2);
    bench
        .server
        .plan("GET", "storage/unet", ServerFault::Cut(0.4), 1);
    run(&["fetch", MODEL, "--json"], 0);
    run(&["doctor", "--network"], 0);
    run(&["doctor", "--json"], 0);
    let edited = bench.edit(MODEL).env("HF_TOKEN", TOKEN).ended();
    shown += &(edited.stdout + &edited.stderr);

    let log = bench.server.log();
    assert_eq!(
        bench
            .server
            .count(|fault| matches!(fault, ServerFault::Status(..) | ServerFault::Cut(_))),
        2,
        "both faults happened"
    );
    assert!(
        shown.contains("the connection") && shown.contains("401"),
        "both faults are reported: {shown}"
    );
    for request in &log {
        let expected = (request.host == "hub").then(|| format!("Bearer {TOKEN}"));
        assert_eq!(
            request.headers.get("authorization").cloned(),
            expected,
            "{} {}",
            request.host,
            request.path
        );
        assert!(!request.path.contains(TOKEN));
    }
    assert!(
        log.iter()
            .filter(|request| request.host == "storage")
            .count()
            >= 3,
        "the storage host received requests"
    );
    assert!(!shown.contains(TOKEN), "{shown}");
    assert!(
        !shown.contains("Signature"),
        "signatures of the storage host are not shown: {shown}"
    );
    let list = std::process::Command::new("grep")
        .args(["-rlaF", TOKEN])
        .arg(bench.home())
        .output()
        .unwrap();
    assert_eq!(
        String::from_utf8_lossy(&list.stdout),
        "",
        "no file contains it"
    );
}

#[test]
fn the_token_is_that_of_the_python_library() {
    let bench = HubBench::new();
    std::fs::create_dir_all(bench.path("hf")).unwrap();
    std::fs::write(bench.path("hf/token"), "hf_InTheFile\n").unwrap();
    let sent = |variables: &[(&str, &str)]| {
        bench.server.reset();
        let run = bench.command(&["fetch", MODEL, "--quiet"]);
        let run = run.env("HF_HOME", "hf");
        variables
            .iter()
            .fold(run, |run, (name, value)| run.env(name, value))
            .run();
        std::fs::remove_dir_all(bench.path("hf/hub")).unwrap();
        bench.server.log()[0].headers.get("authorization").cloned()
    };
    assert_eq!(sent(&[]).as_deref(), Some("Bearer hf_InTheFile"));
    assert_eq!(
        sent(&[("HF_TOKEN", "hf_Given")]).as_deref(),
        Some("Bearer hf_Given")
    );
    assert_eq!(sent(&[("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")]), None);
}

/// A pickle can run code when it is read, so it is rejected by its name, on disk and on the hub.
#[test]
fn a_pickle_is_rejected() {
    let bench = HubBench::new();
    std::fs::write(bench.path("model.ckpt"), b"\x80\x04.").unwrap();
    for name in ["model.ckpt", "someone/model.ckpt"] {
        let finished = bench.edit(name).ended();
        assert_eq!(
            (finished.status, finished.record["error"]["kind"].as_str()),
            (Some(2), Some("weights.format")),
            "{name}"
        );
    }
    assert_eq!(bench.server.log().len(), 0);
}
