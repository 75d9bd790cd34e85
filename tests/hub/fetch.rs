//! `dragnext fetch` and `edit` where nothing is wrong.

use crate::bench::{Bench, Ended, FILES, MODEL, TEXT_ENCODER, UNET, VAE, fixture};
use crate::server::{COMMIT, Fault};

#[test]
fn a_model_is_fetched_once_and_used() {
    let bench = Bench::new();
    let fetched = bench.fetch().succeeded();
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
    bench.is_whole();
    assert_eq!(
        std::fs::read_to_string(bench.folder().join("refs/main")).unwrap(),
        COMMIT,
        "as Python's library has it"
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
        "what is not needed is not fetched"
    );

    bench.server.reset();
    let again = bench.fetch().succeeded();
    assert!(
        again.stderr.contains("are as they were fetched"),
        "{}",
        again.stderr
    );
    assert_eq!(again.stdout, fetched.stdout);
    let edited: Ended = bench.edit(MODEL).output().unwrap().into();
    assert_eq!(
        edited.succeeded().json()["model"],
        format!("{MODEL}@{COMMIT}")
    );
    assert_eq!(bench.server.log().len(), 0, "the cache is enough");
}

#[test]
fn an_edit_fetches_what_is_missing() {
    let bench = Bench::new();
    let edited: Ended = bench.edit(MODEL).output().unwrap().into();
    let record = edited.succeeded().json();
    assert_eq!(
        (record["status"].as_str(), record["model"].as_str()),
        (Some("done"), Some(format!("{MODEL}@{COMMIT}").as_str()))
    );
    bench.is_whole();
    // The same folder, given as a folder, gives the same pixels.
    let pixels = || image::open(bench.path("out.png")).unwrap().into_rgba8();
    let from_hub = pixels();
    Ended::from(
        bench
            .edit(fixture("tiny").to_str().unwrap())
            .output()
            .unwrap(),
    )
    .succeeded();
    assert!(from_hub == pixels());
}

/// A mistake in the edit is told before anything is fetched for it.
#[test]
fn nothing_is_fetched_for_an_edit_that_cannot_be_done() {
    let bench = Bench::new();
    let edited: Ended = bench
        .edit(MODEL)
        .arg("--steps")
        .arg("0")
        .output()
        .unwrap()
        .into();
    assert_eq!(
        (edited.status, edited.json()["error"]["kind"].as_str()),
        (Some(2), Some("setting"))
    );
    assert_eq!(bench.server.log().len(), 0);
}

#[test]
fn the_default_model_has_its_revision_pinned() {
    let bench = Bench::new();
    let fetched = bench.run(&["fetch", "--json"]).succeeded().json();
    assert_eq!(
        fetched["model"],
        "stable-diffusion-v1-5/stable-diffusion-v1-5"
    );
    assert_eq!(
        fetched["commit"],
        "451f4fe16113bff5a5d2269ed5ad43b0592e9a14"
    );
    assert_eq!(fetched["files"].as_array().unwrap().len(), FILES);
    let asked = "/api/models/stable-diffusion-v1-5/stable-diffusion-v1-5/revision/451f4fe16113bff5a5d2269ed5ad43b0592e9a14";
    assert_eq!(bench.server.log()[0].path, asked);
    assert!(
        !bench
            .path(
                ".cache/huggingface/hub/models--stable-diffusion-v1-5--stable-diffusion-v1-5/refs"
            )
            .exists(),
        "a commit needs no reference"
    );

    // `edit` takes it when no model is named.
    bench.server.reset();
    let edited: Ended = bench.edit_with(&["-o", "out.png"]).output().unwrap().into();
    assert_eq!(
        edited.succeeded().json()["model"],
        "stable-diffusion-v1-5/stable-diffusion-v1-5@451f4fe16113bff5a5d2269ed5ad43b0592e9a14"
    );
    assert_eq!(bench.server.log().len(), 0);
}

#[test]
fn half_precision_is_fetched_where_there_is_some() {
    let bench = Bench::new();
    let half = "unet/diffusion_pytorch_model.fp16.safetensors";
    bench.server.set(half, Some(bench.server.file(UNET)));
    bench.server.set(
        "unet/diffusion_pytorch_model.bin",
        Some(b"a pickle".to_vec()),
    );
    bench.fetch().succeeded();
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
    let bench = Bench::new();
    assert_eq!(
        bench.run(&["fetch", "demo"]).succeeded().stdout,
        "demo\nbuilt in\n"
    );
    let folder = fixture("tiny");
    assert_eq!(
        bench
            .run(&["fetch", folder.to_str().unwrap()])
            .succeeded()
            .stdout,
        format!("tiny\n{}\n", folder.display())
    );
    // A folder goes before a name of the hub.
    std::fs::create_dir_all(bench.path(MODEL)).unwrap();
    assert_eq!(bench.fetch().succeeded().stdout, format!("tiny\n{MODEL}\n"));
    assert_eq!(bench.server.log().len(), 0);
}

#[test]
fn a_repository_that_lacks_files_is_told_so() {
    let bench = Bench::new();
    bench.server.set(TEXT_ENCODER, None);
    bench
        .server
        .set("text_encoder/pytorch_model.bin", Some(b"a pickle".to_vec()));
    bench.server.set("vae/config.json", None);
    let ended = bench.run(&["fetch", MODEL, "--json"]);
    assert_eq!(
        (ended.status, ended.json()["error"]["kind"].as_str()),
        (Some(2), Some("weights.missing"))
    );
    for part in ["vae/config.json", TEXT_ENCODER, "pickles"] {
        assert!(
            ended.stderr.contains(part),
            "{part} is not in {}",
            ended.stderr
        );
    }
    assert_eq!(bench.blobs().len(), 0, "nothing was fetched");
}

/// The token goes to the hub and to nobody else, and is shown to nobody at all.
#[test]
fn a_token_is_sent_to_the_hub_alone_and_never_shown() {
    const TOKEN: &str = "hf_SecretOfMine";
    let bench = Bench::new();
    let mut shown = String::new();
    let mut run = |arguments: &[&str], status: i32| {
        let ended: Ended = bench
            .command(arguments)
            .env("HF_TOKEN", TOKEN)
            .output()
            .unwrap()
            .into();
        assert_eq!(ended.status, Some(status), "{}", ended.stderr);
        shown += &(ended.stdout + &ended.stderr);
    };
    bench.server.plan(
        "HEAD",
        "unet/config.json",
        Fault::Status(401, "X-Error-Code: RepoNotFound"),
        1,
    );
    run(&["fetch", MODEL], 75);
    bench.server.plan("GET", "storage/unet", Fault::Cut(0.4), 1);
    run(&["fetch", MODEL, "--json"], 0);
    run(&["doctor", "--network"], 0);
    run(&["doctor", "--json"], 0);
    let edited: Ended = bench
        .edit(MODEL)
        .env("HF_TOKEN", TOKEN)
        .output()
        .unwrap()
        .into();
    shown += &(edited.stdout + &edited.stderr);

    let log = bench.server.log();
    assert_eq!(
        bench
            .server
            .count(|fault| matches!(fault, Fault::Status(..) | Fault::Cut(_))),
        2,
        "both faults happened"
    );
    assert!(
        shown.contains("the connection") && shown.contains("401"),
        "and were told: {shown}"
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
        "the storage server was asked"
    );
    assert!(!shown.contains(TOKEN), "{shown}");
    assert!(
        !shown.contains("Signature"),
        "nor are the storage server's permissions shown: {shown}"
    );
    let list = std::process::Command::new("grep")
        .args(["-rlaF", TOKEN])
        .arg(bench.home.path())
        .output()
        .unwrap();
    assert_eq!(
        String::from_utf8_lossy(&list.stdout),
        "",
        "no file holds it"
    );
}

#[test]
fn a_token_is_taken_from_where_python_has_it() {
    let bench = Bench::new();
    std::fs::create_dir_all(bench.path("hf")).unwrap();
    std::fs::write(bench.path("hf/token"), "hf_InTheFile\n").unwrap();
    let asked = |variables: &[(&str, &str)]| {
        bench.server.reset();
        assert!(
            bench
                .command(&["fetch", MODEL, "--quiet"])
                .env("HF_HOME", "hf")
                .envs(variables.iter().copied())
                .status()
                .unwrap()
                .success()
        );
        std::fs::remove_dir_all(bench.path("hf/hub")).unwrap();
        bench.server.log()[0].headers.get("authorization").cloned()
    };
    assert_eq!(asked(&[]).as_deref(), Some("Bearer hf_InTheFile"));
    assert_eq!(
        asked(&[("HF_TOKEN", "hf_Given")]).as_deref(),
        Some("Bearer hf_Given")
    );
    assert_eq!(asked(&[("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")]), None);
}

/// A pickle can run code when it is read: it is refused by its name, on the disk and on the hub.
#[test]
fn a_pickle_is_no_model() {
    let bench = Bench::new();
    std::fs::write(bench.path("model.ckpt"), b"\x80\x04.").unwrap();
    for name in ["model.ckpt", "someone/model.ckpt"] {
        let ended = Ended::from(bench.edit(name).output().unwrap());
        assert_eq!(
            (ended.status, ended.json()["error"]["kind"].as_str()),
            (Some(2), Some("weights.format")),
            "{name}"
        );
    }
    assert_eq!(bench.server.log().len(), 0);
}
