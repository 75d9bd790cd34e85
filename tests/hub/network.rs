//! What networks and servers do wrong while a model is fetched.

use std::net::TcpListener;
use std::time::Duration;

use crate::bench::{Bench, Ended, MODEL, TEXT_ENCODER, UNET, VAE};
use crate::server::Fault;

/// What every failure for want of the hub says.
const ROUTES: [&str; 2] = ["--model demo", "--model FOLDER"];

#[test]
fn a_cut_connection_goes_on_where_it_ended() {
    let bench = Bench::new();
    bench.server.plan("GET", "storage/unet", Fault::Cut(0.4), 2);
    let fetched = bench.fetch().succeeded();
    assert_eq!(
        bench.server.count(|fault| *fault == Fault::Cut(0.4)),
        2,
        "it was cut twice"
    );
    assert!(
        fetched.stderr.contains("trying again in 0.5 s"),
        "{}",
        fetched.stderr
    );
    let ranges: Vec<_> = bench
        .server
        .downloads(UNET)
        .iter()
        .map(|request| request.headers.get("range").cloned())
        .collect();
    let length = bench.server.file(UNET).len();
    let first = (length as f64 * 0.4) as usize;
    let second = first + ((length - first) as f64 * 0.4) as usize;
    assert_eq!(
        ranges,
        [
            None,
            Some(format!("bytes={first}-")),
            Some(format!("bytes={second}-"))
        ]
    );
    bench.is_whole();
}

#[test]
fn a_short_body_is_noticed() {
    let bench = Bench::new();
    bench
        .server
        .plan("GET", "storage/vae", Fault::Short(0.5), 1);
    bench
        .server
        .plan("GET", "unet/config.json", Fault::Short(0.5), 1);
    bench.fetch().succeeded();
    assert_eq!(bench.server.count(|fault| *fault == Fault::Short(0.5)), 2);
    bench.is_whole();
}

#[test]
fn a_server_without_ranges_begins_anew() {
    let bench = Bench::new();
    bench.server.plan("GET", "storage/unet", Fault::Cut(0.4), 1);
    bench
        .server
        .plan("GET", "storage/unet", Fault::IgnoreRange, 1);
    bench.fetch().succeeded();
    assert_eq!(bench.server.count(|fault| *fault == Fault::IgnoreRange), 1);
    assert!(
        bench.server.downloads(UNET)[1]
            .headers
            .contains_key("range"),
        "the rest was asked for, the whole came"
    );
    bench.is_whole();
}

/// A server that always cuts ends the run; what came is kept, is no blob, and the next run goes on from it.
#[test]
fn cuts_without_end_are_given_up_and_resumed_by_the_next_run() {
    let bench = Bench::new();
    bench.server.plan("GET", "storage/unet", Fault::Cut(0.4), 1);
    bench
        .server
        .plan("GET", "storage/unet", Fault::Cut(0.0), 100);
    let ended = bench.fetch().failed_for_now(&ROUTES);
    assert_eq!(
        bench.server.count(|fault| matches!(fault, Fault::Cut(_))),
        4,
        "one gave something, three gave nothing"
    );
    assert!(
        ended.stderr.contains("http://127.0.0.1:"),
        "the address is named: {}",
        ended.stderr
    );
    assert!(!bench.blob(UNET).exists());
    bench.has_no_half_blob();
    let parts = bench
        .blobs()
        .iter()
        .filter(|name| name.ends_with(".incomplete"))
        .count();
    assert_eq!(parts, 1, "{:?}", bench.blobs());

    bench.server.reset();
    bench.fetch().succeeded();
    let first = (bench.server.file(UNET).len() as f64 * 0.4) as usize;
    assert_eq!(
        bench.server.downloads(UNET)[0].headers["range"],
        format!("bytes={first}-")
    );
    assert_eq!(
        bench.server.downloads(TEXT_ENCODER).len(),
        0,
        "what is complete is not fetched again"
    );
    bench.is_whole();
}

#[test]
fn answers_that_last_are_not_asked_for_again() {
    for (status, header, kind, hint) in [
        (401, "X-Error-Code: RepoNotFound", "hub.refused", "HF_TOKEN"),
        (
            403,
            "X-Error-Code: GatedRepo",
            "hub.refused",
            "accept the model's conditions at http://127.0.0.1:",
        ),
        (403, "", "hub.refused", "may read `someone/tiny`"),
        (
            404,
            "X-Error-Code: RevisionNotFound",
            "hub.not_found",
            "the revision `main`",
        ),
    ] {
        let bench = Bench::new();
        bench
            .server
            .plan("", "/api/models/", Fault::Status(status, header), 100);
        let ended = bench
            .run(&["fetch", MODEL, "--json"])
            .failed_for_now(&[hint, "/api/models/someone/tiny"])
            .failed_for_now(&ROUTES);
        assert_eq!(ended.json()["error"]["kind"], kind);
        assert_eq!(
            bench
                .server
                .count(|fault| matches!(fault, Fault::Status(..))),
            1,
            "{status} was asked for once"
        );
        assert_eq!(bench.blobs().len(), 0);
    }
}

#[test]
fn a_busy_server_is_waited_for() {
    let bench = Bench::new();
    bench
        .server
        .plan("", "/api/models/", Fault::Status(429, "Retry-After: 1"), 1);
    bench
        .server
        .plan("HEAD", "unet/config.json", Fault::Status(503, ""), 1);
    bench
        .server
        .plan("GET", "storage/unet", Fault::Status(500, ""), 2);
    let fetched = bench.fetch().succeeded();
    assert_eq!(
        bench
            .server
            .count(|fault| matches!(fault, Fault::Status(..))),
        4
    );
    assert!(
        fetched
            .stderr
            .contains("429 Too Many Requests; trying again in 1.0 s"),
        "{}",
        fetched.stderr
    );
    bench.is_whole();
}

#[test]
fn a_server_that_stays_broken_or_busy_is_given_up() {
    let bench = Bench::new();
    bench
        .server
        .plan("GET", "storage/vae", Fault::Status(502, ""), 100);
    bench
        .fetch()
        .failed_for_now(&["502 Bad Gateway", "(after 4 attempts)"])
        .failed_for_now(&ROUTES);
    assert_eq!(
        bench
            .server
            .count(|fault| matches!(fault, Fault::Status(..))),
        4
    );
    assert!(!bench.blob(VAE).exists());

    bench.server.reset();
    bench.server.plan(
        "GET",
        "storage/vae",
        Fault::Status(429, "Retry-After: 3600"),
        100,
    );
    bench.fetch().failed_for_now(&["asks to wait 3600 s"]);
    assert_eq!(
        bench
            .server
            .count(|fault| matches!(fault, Fault::Status(..))),
        1
    );
}

#[test]
fn a_download_that_stands_still_is_begun_again() {
    let bench = Bench::new();
    bench.server.plan("GET", "storage/unet", Fault::Stall, 1);
    let fetched: Ended = bench
        .command(&["fetch", MODEL])
        .env("HF_HUB_DOWNLOAD_TIMEOUT", "1")
        .output()
        .unwrap()
        .into();
    assert_eq!(bench.server.count(|fault| *fault == Fault::Stall), 1);
    assert!(fetched.succeeded().stderr.contains("trying again"));
    assert!(
        bench.server.downloads(UNET)[1]
            .headers
            .contains_key("range")
    );
    bench.is_whole();
}

/// What comes is compared with the hash that the hub announced.
#[test]
fn other_bytes_than_announced_are_never_kept() {
    let bench = Bench::new();
    bench
        .server
        .plan("GET", "storage/unet", Fault::WrongBytes, 1);
    let fetched = bench.fetch().succeeded();
    assert_eq!(bench.server.count(|fault| *fault == Fault::WrongBytes), 1);
    assert!(
        fetched
            .stderr
            .contains("other bytes came than the hub announced"),
        "{}",
        fetched.stderr
    );
    bench.is_whole();

    let bench = Bench::new();
    bench
        .server
        .plan("GET", "storage/unet", Fault::WrongBytes, 100);
    let ended = bench.run(&["fetch", MODEL, "--json"]).failed_for_now(&[
        "unet/diffusion_pytorch_model.safetensors",
        "the hub announced",
    ]);
    assert_eq!(ended.json()["error"]["kind"], "weights.hash");
    assert_eq!(
        bench.server.count(|fault| *fault == Fault::WrongBytes),
        2,
        "it is not tried without end"
    );
    assert!(!bench.blob(UNET).exists());
    assert!(
        bench
            .blobs()
            .iter()
            .all(|name| !name.ends_with(".incomplete")),
        "nor is it left for the next run"
    );
}

#[test]
fn no_network_is_told_with_the_ways_that_need_none() {
    let bench = Bench::new();
    let closed = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    std::net::TcpStream::connect_timeout(&closed, Duration::from_secs(1))
        .expect_err("nobody listens there");
    for arguments in [&["fetch", MODEL][..], &["doctor", "--network"]] {
        let ended: Ended = bench
            .command(arguments)
            .env("HF_ENDPOINT", format!("http://{closed}"))
            .output()
            .unwrap()
            .into();
        ended
            .failed_for_now(&[&format!("http://{closed}")])
            .failed_for_now(&ROUTES);
    }
    let ended: Ended = bench
        .edit(MODEL)
        .env("HF_ENDPOINT", format!("http://{closed}"))
        .output()
        .unwrap()
        .into();
    assert_eq!(
        ended.failed_for_now(&ROUTES).json()["error"]["kind"],
        "hub.unreachable"
    );
    let ended: Ended = bench
        .command(&["fetch", MODEL])
        .env("HF_ENDPOINT", "nowhere")
        .output()
        .unwrap()
        .into();
    ended.failed_for_now(&["nowhere: is no address of a hub", "HF_ENDPOINT"]);
}

/// A server that speaks no TLS where TLS is asked for.
#[test]
fn encryption_that_fails_is_told() {
    let bench = Bench::new();
    let address = bench.server.endpoint().replace("http:", "https:");
    let ended: Ended = bench
        .command(&["fetch", MODEL])
        .env("HF_ENDPOINT", &address)
        .output()
        .unwrap()
        .into();
    let ended = ended
        .failed_for_now(&[&address, "(after 4 attempts)"])
        .failed_for_now(&ROUTES);
    assert!(
        ended.stderr.to_lowercase().contains("tls") || ended.stderr.contains("corrupt message"),
        "the reason is TLS: {}",
        ended.stderr
    );
    assert_eq!(bench.server.log().len(), 0, "not one request came through");
}

/// A limit on the size of files, which stops a write as a full disk does.
#[cfg(unix)]
#[test]
fn a_full_disk_is_told_and_leaves_nothing() {
    let bench = Bench::new();
    let program = assert_cmd::cargo::cargo_bin("dragnext");
    let mut shell = std::process::Command::new("sh");
    shell
        .env_clear()
        .env("HOME", bench.home.path())
        .env("HF_ENDPOINT", bench.server.endpoint());
    // 100 blocks: small files fit, weights do not.
    shell
        .args(["-c", "ulimit -f 100; exec \"$0\" fetch someone/tiny --json"])
        .arg(program);
    let ended: Ended = shell.output().unwrap().into();
    let ended = ended.failed_for_now(&[
        "the model does not fit on the disk",
        "File too large",
        "HF_HUB_CACHE",
    ]);
    assert_eq!(ended.json()["error"]["kind"], "hub.disk_full");
    assert!(
        bench.blobs().len() > 5,
        "small files were written: {:?}",
        bench.blobs()
    );
    bench.has_no_half_blob();
    assert!(
        bench
            .blobs()
            .iter()
            .all(|name| !name.ends_with(".incomplete")),
        "a full disk is not kept full: {:?}",
        bench.blobs()
    );
}
