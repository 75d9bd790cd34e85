//! Faults of networks and servers during a fetch.

use std::net::TcpListener;
use std::time::Duration;

use crate::hub_bench::{HubBench, MODEL, TEXT_ENCODER, UNET, VAE};
use crate::server::ServerFault;

/// Every error about an unreachable hub says how to do without.
const WITHOUT_HUB: [&str; 2] = ["--model demo", "--model FOLDER"];

#[test]
fn a_closed_connection_is_resumed() {
    let bench = HubBench::new();
    bench
        .server
        .plan("GET", "storage/unet", ServerFault::Cut(0.4), 2);
    let fetched = bench.fetch().assert(0);
    assert_eq!(
        bench.server.count(|fault| *fault == ServerFault::Cut(0.4)),
        2,
        "it was closed twice"
    );
    assert!(
        fetched.stderr.contains("retrying in 0.5 s"),
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
    bench.assert_complete();
}

#[test]
fn a_short_body_is_detected() {
    let bench = HubBench::new();
    bench
        .server
        .plan("GET", "storage/vae", ServerFault::Short(0.5), 1);
    bench
        .server
        .plan("GET", "unet/config.json", ServerFault::Short(0.5), 1);
    bench.fetch().assert(0);
    assert_eq!(
        bench
            .server
            .count(|fault| *fault == ServerFault::Short(0.5)),
        2
    );
    bench.assert_complete();
}

#[test]
fn a_server_without_ranges_restarts_the_download() {
    let bench = HubBench::new();
    bench
        .server
        .plan("GET", "storage/unet", ServerFault::Cut(0.4), 1);
    bench
        .server
        .plan("GET", "storage/unet", ServerFault::IgnoreRange, 1);
    bench.fetch().assert(0);
    assert_eq!(
        bench
            .server
            .count(|fault| *fault == ServerFault::IgnoreRange),
        1
    );
    assert!(
        bench.server.downloads(UNET)[1]
            .headers
            .contains_key("range"),
        "the rest was requested"
    );
    bench.assert_complete();
}

/// When a server closes every connection, the run fails and keeps the partial file, which the next run resumes.
#[test]
fn repeated_disconnects_fail_and_the_next_run_resumes() {
    let bench = HubBench::new();
    bench
        .server
        .plan("GET", "storage/unet", ServerFault::Cut(0.4), 1);
    bench
        .server
        .plan("GET", "storage/unet", ServerFault::Cut(0.0), 100);
    let finished = bench.fetch().assert(75).stderr_has_all(&WITHOUT_HUB);
    assert_eq!(
        bench
            .server
            .count(|fault| matches!(fault, ServerFault::Cut(_))),
        4,
        "one with new bytes, three without"
    );
    assert!(
        finished.stderr.contains("http://127.0.0.1:"),
        "the message has the address: {}",
        finished.stderr
    );
    assert!(!bench.blob(UNET).exists());
    bench.assert_blobs_complete();
    let parts = bench
        .blobs()
        .iter()
        .filter(|name| name.ends_with(".incomplete"))
        .count();
    assert_eq!(parts, 1, "{:?}", bench.blobs());

    bench.server.reset();
    bench.fetch().assert(0);
    let first = (bench.server.file(UNET).len() as f64 * 0.4) as usize;
    assert_eq!(
        bench.server.downloads(UNET)[0].headers["range"],
        format!("bytes={first}-")
    );
    assert_eq!(
        bench.server.downloads(TEXT_ENCODER).len(),
        0,
        "complete files are not fetched again"
    );
    bench.assert_complete();
}

#[test]
fn permanent_errors_are_not_retried() {
    for (status, header, kind, hint) in [
        (401, "X-Error-Code: RepoNotFound", "hub.refused", "HF_TOKEN"),
        (
            403,
            "X-Error-Code: GatedRepo",
            "hub.refused",
            "accept the model's conditions at http://127.0.0.1:",
        ),
        (403, "", "hub.refused", "access to `someone/tiny`"),
        (
            404,
            "X-Error-Code: RevisionNotFound",
            "hub.not_found",
            "the revision `main`",
        ),
        (400, "", "hub.refused", "HF_ENDPOINT"),
        (451, "", "hub.refused", "HF_ENDPOINT"),
    ] {
        let bench = HubBench::new();
        bench
            .server
            .plan("", "/api/models/", ServerFault::Status(status, header), 100);
        let finished = bench
            .run(&["fetch", MODEL, "--json"])
            .assert(2)
            .stderr_has_all(&[hint, "/api/models/someone/tiny"])
            .assert(2)
            .stderr_has_all(&WITHOUT_HUB);
        assert_eq!(finished.record["error"]["kind"], kind);
        assert_eq!(
            bench
                .server
                .count(|fault| matches!(fault, ServerFault::Status(..))),
            1,
            "{status} was not retried"
        );
        assert_eq!(bench.blobs().len(), 0);
    }
}

#[test]
fn a_busy_server_is_retried() {
    let bench = HubBench::new();
    bench.server.plan(
        "",
        "/api/models/",
        ServerFault::Status(429, "Retry-After: 1"),
        1,
    );
    bench
        .server
        .plan("HEAD", "unet/config.json", ServerFault::Status(503, ""), 1);
    bench
        .server
        .plan("GET", "storage/unet", ServerFault::Status(500, ""), 2);
    let fetched = bench.fetch().assert(0);
    assert_eq!(
        bench
            .server
            .count(|fault| matches!(fault, ServerFault::Status(..))),
        4
    );
    assert!(
        fetched
            .stderr
            .contains("429 Too Many Requests; retrying in 1.0 s"),
        "{}",
        fetched.stderr
    );
    bench.assert_complete();
}

#[test]
fn a_server_that_stays_broken_or_busy_is_an_error() {
    let bench = HubBench::new();
    bench
        .server
        .plan("GET", "storage/vae", ServerFault::Status(502, ""), 100);
    bench
        .fetch()
        .assert(75)
        .stderr_has_all(&["502 Bad Gateway", "(after 4 attempts)"])
        .assert(75)
        .stderr_has_all(&WITHOUT_HUB);
    assert_eq!(
        bench
            .server
            .count(|fault| matches!(fault, ServerFault::Status(..))),
        4
    );
    assert!(!bench.blob(VAE).exists());

    bench.server.reset();
    bench.server.plan(
        "GET",
        "storage/vae",
        ServerFault::Status(429, "Retry-After: 3600"),
        100,
    );
    bench
        .fetch()
        .assert(75)
        .stderr_has_all(&["requests a pause of 3600 s"]);
    assert_eq!(
        bench
            .server
            .count(|fault| matches!(fault, ServerFault::Status(..))),
        1
    );
}

#[test]
fn a_stalled_download_is_resumed() {
    let bench = HubBench::new();
    bench
        .server
        .plan("GET", "storage/unet", ServerFault::Stall, 1);
    let fetched = bench
        .command(&["fetch", MODEL])
        .env("HF_HUB_DOWNLOAD_TIMEOUT", "1")
        .ended();
    assert_eq!(bench.server.count(|fault| *fault == ServerFault::Stall), 1);
    assert!(fetched.assert(0).stderr.contains("retrying"));
    assert!(
        bench.server.downloads(UNET)[1]
            .headers
            .contains_key("range")
    );
    bench.assert_complete();
}

/// The received bytes are compared with the hash that the hub announced.
#[test]
fn bytes_with_a_wrong_hash_are_discarded() {
    let bench = HubBench::new();
    bench
        .server
        .plan("GET", "storage/unet", ServerFault::WrongBytes, 1);
    let fetched = bench.fetch().assert(0);
    assert_eq!(
        bench
            .server
            .count(|fault| *fault == ServerFault::WrongBytes),
        1
    );
    assert!(
        fetched
            .stderr
            .contains("the received bytes do not have the announced hash"),
        "{}",
        fetched.stderr
    );
    bench.assert_complete();

    let bench = HubBench::new();
    bench
        .server
        .plan("GET", "storage/unet", ServerFault::WrongBytes, 100);
    let finished = bench
        .run(&["fetch", MODEL, "--json"])
        .assert(75)
        .stderr_has_all(&[
            "unet/diffusion_pytorch_model.safetensors",
            "the hub announced",
        ]);
    assert_eq!(finished.record["error"]["kind"], "weights.hash");
    assert_eq!(
        bench
            .server
            .count(|fault| *fault == ServerFault::WrongBytes),
        2,
        "one retry"
    );
    assert!(!bench.blob(UNET).exists());
    assert!(
        bench
            .blobs()
            .iter()
            .all(|name| !name.ends_with(".incomplete")),
        "no partial file is left"
    );
}

#[test]
fn an_unreachable_hub_is_reported_with_alternatives() {
    let bench = HubBench::new();
    let closed = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    std::net::TcpStream::connect_timeout(&closed, Duration::from_secs(1))
        .expect_err("nothing listens on this port");
    for arguments in [&["fetch", MODEL][..], &["doctor", "--network"]] {
        let finished = bench
            .command(arguments)
            .env("HF_ENDPOINT", format!("http://{closed}"))
            .ended();
        finished
            .assert(75)
            .stderr_has_all(&[&format!("http://{closed}")])
            .assert(75)
            .stderr_has_all(&WITHOUT_HUB);
    }
    let finished = bench
        .edit(MODEL)
        .env("HF_ENDPOINT", format!("http://{closed}"))
        .ended();
    assert_eq!(
        finished.assert(75).stderr_has_all(&WITHOUT_HUB).record["error"]["kind"],
        "hub.unreachable"
    );
    let finished = bench
        .command(&["fetch", MODEL])
        .env("HF_ENDPOINT", "nowhere")
        .ended();
    finished
        .assert(2)
        .stderr_has_all(&["nowhere: is not the address of a hub", "HF_ENDPOINT"]);
}

/// An HTTPS endpoint whose server does not support TLS.
#[test]
fn a_failed_tls_handshake_is_reported() {
    let bench = HubBench::new();
    let address = bench.server.endpoint().replace("http:", "https:");
    let finished = bench
        .command(&["fetch", MODEL])
        .env("HF_ENDPOINT", &address)
        .ended();
    let finished = finished
        .assert(75)
        .stderr_has_all(&[&address, "(after 4 attempts)"])
        .assert(75)
        .stderr_has_all(&WITHOUT_HUB);
    assert!(
        finished.stderr.to_lowercase().contains("tls")
            || finished.stderr.contains("corrupt message"),
        "the reason is TLS: {}",
        finished.stderr
    );
    assert_eq!(bench.server.log().len(), 0, "no request arrived");
}

/// A limit on the size of files fails writes as a full disk does.
#[cfg(unix)]
#[test]
fn a_full_disk_is_reported_and_leaves_no_partial_file() {
    let bench = HubBench::new();
    // 100 blocks: small files fit, weights do not.
    let finished = bench
        .command(&["fetch", MODEL, "--json"])
        .after_shell("ulimit -f 100")
        .ended();
    let finished = finished.assert(75).stderr_has_all(&[
        "the model does not fit on the disk",
        "File too large",
        "HF_HUB_CACHE",
    ]);
    assert_eq!(finished.record["error"]["kind"], "hub.disk_full");
    assert!(
        bench.blobs().len() > 5,
        "small files were written: {:?}",
        bench.blobs()
    );
    bench.assert_blobs_complete();
    assert!(
        bench
            .blobs()
            .iter()
            .all(|name| !name.ends_with(".incomplete")),
        "no partial file keeps the disk full: {:?}",
        bench.blobs()
    );
}
