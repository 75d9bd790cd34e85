//! Several processes that fetch the same model, and processes that are killed during a fetch.

use std::process::Child;
use std::time::Duration;

use crate::bench::Ended;
use crate::hub_bench::{HubBench, MODEL, TEXT_ENCODER, UNET, VAE};
use crate::server::ServerFault;

fn start(bench: &HubBench, failpoints: &str) -> Child {
    bench
        .command(&["fetch", MODEL])
        .env("DRAGNEXT_FAILPOINTS", failpoints)
        .start()
}

#[test]
fn two_and_eight_processes_fetch_once() {
    for count in [2, 8] {
        let bench = HubBench::new();
        bench.server.plan(
            "GET",
            "storage/unet",
            ServerFault::Slow(Duration::from_secs(3)),
            100,
        );
        let runs: Vec<Child> = (0..count).map(|_| start(&bench, "")).collect();
        let finished: Vec<Ended> = runs
            .into_iter()
            .map(|run| Ended::wait(run).assert(0))
            .collect();
        bench.assert_complete();
        let waited = finished
            .iter()
            .filter(|run| {
                run.stderr
                    .contains(&format!("waiting for another dragnext to fetch {UNET}"))
            })
            .count();
        assert_eq!(waited, count - 1, "they ran at the same time");
        for name in [UNET, VAE, TEXT_ENCODER] {
            assert_eq!(bench.server.downloads(name).len(), 1, "{name}");
        }
        assert!(finished.iter().all(|run| run.stdout == finished[0].stdout));
    }
}

/// When the process that holds the lock is killed, the next takes the lock and resumes its partial file.
#[cfg(all(unix, feature = "failpoints"))]
#[test]
fn the_partial_file_of_a_killed_process_is_resumed() {
    use std::io::{BufRead, BufReader};
    use std::os::unix::process::ExitStatusExt;
    let bench = HubBench::new();
    bench.server.plan(
        "GET",
        "storage/text_encoder",
        ServerFault::Slow(Duration::from_secs(1)),
        1,
    );
    let mut holder = start(&bench, "stop_in_download");
    let mut lines = BufReader::new(holder.stderr.take().unwrap()).lines();
    assert!(
        lines.any(|line| line.unwrap() == "failpoint stop_in_download"),
        "it waits in the middle of a download"
    );
    let waiter = start(&bench, "");
    let mut waiter = waiter;
    let mut lines_of_waiter = BufReader::new(waiter.stderr.take().unwrap()).lines();
    assert!(lines_of_waiter.any(
        |line| line.unwrap() == format!("waiting for another dragnext to fetch {TEXT_ENCODER}")
    ));
    let part: Vec<String> = bench
        .blobs()
        .into_iter()
        .filter(|name| name.ends_with(".incomplete"))
        .collect();
    let length = std::fs::metadata(bench.folder().join("blobs").join(&part[0]))
        .unwrap()
        .len();
    assert!(part.len() == 1 && length > 0, "{part:?}");
    holder.kill().unwrap();
    assert_eq!(holder.wait().unwrap().signal(), Some(9));
    bench.assert_blobs_complete();

    drop(lines_of_waiter.by_ref().last());
    assert!(waiter.wait().unwrap().success());
    let downloads = bench.server.downloads(TEXT_ENCODER);
    assert_eq!(downloads.len(), 2);
    assert_eq!(
        downloads[1].headers["range"],
        format!("bytes={length}-"),
        "the next process resumes"
    );
    bench.assert_complete();
}

/// The hash detects a damaged partial file, and the file is fetched from the beginning.
#[test]
fn a_damaged_partial_file_is_discarded() {
    let bench = HubBench::new();
    bench
        .server
        .plan("GET", "storage/unet", ServerFault::Cut(0.5), 1);
    bench
        .server
        .plan("GET", "storage/unet", ServerFault::Cut(0.0), 100);
    bench.fetch().assert(75).stderr_has_all(&[]);
    let name = bench
        .blobs()
        .into_iter()
        .find(|name| name.ends_with(".incomplete"))
        .unwrap();
    let part = bench.folder().join("blobs").join(name);
    let mut bytes = std::fs::read(&part).unwrap();
    bytes[1000] ^= 1;
    std::fs::write(&part, bytes).unwrap();

    bench.server.reset();
    let fetched = bench.fetch().assert(0);
    let downloads = bench.server.downloads(UNET);
    assert!(
        downloads.len() == 2
            && downloads[0].headers.contains_key("range")
            && !downloads[1].headers.contains_key("range")
    );
    assert!(
        fetched
            .stderr
            .contains("the received bytes do not have the announced hash"),
        "{}",
        fetched.stderr
    );
    bench.assert_complete();
}

/// Some network file systems grant every lock. Then every process downloads to its own file.
#[cfg(feature = "failpoints")]
#[test]
fn processes_without_working_locks_do_not_mix_their_bytes() {
    for _ in 0..3 {
        let bench = HubBench::new();
        for part in ["storage/unet", "storage/vae", "storage/text_encoder"] {
            bench.server.plan(
                "GET",
                part,
                ServerFault::Slow(Duration::from_millis(700)),
                100,
            );
        }
        let runs: Vec<Child> = (0..3)
            .map(|_| {
                std::thread::sleep(Duration::from_millis(150));
                start(&bench, "locks_always_succeed")
            })
            .collect();
        for run in runs {
            let finished = Ended::wait(run).assert(0);
            assert!(
                finished.stderr.contains("failpoint locks_always_succeed"),
                "{}",
                finished.stderr
            );
            assert!(
                !finished.stderr.contains("waiting"),
                "no process waited: {}",
                finished.stderr
            );
        }
        assert!(
            bench.server.downloads("safetensors").len() > 3,
            "several processes downloaded the same file"
        );
        bench.assert_complete();
    }
}

#[cfg(unix)]
#[test]
fn a_signal_stops_a_download_and_keeps_its_partial_file() {
    use std::io::{BufRead, BufReader};
    let bench = HubBench::new();
    bench.server.plan(
        "GET",
        "storage/unet",
        ServerFault::Slow(Duration::from_secs(20)),
        1,
    );
    let mut run = start(&bench, "");
    let mut lines = BufReader::new(run.stderr.take().unwrap()).lines();
    assert!(lines.any(|line| {
        line.unwrap()
            .starts_with(&format!("fetched  {TEXT_ENCODER}"))
    }));
    while bench.server.downloads(UNET).is_empty() {
        std::thread::sleep(Duration::from_millis(20));
    }
    std::thread::sleep(Duration::from_millis(2500));
    crate::bench::program::send("INT", &run);
    let rest: Vec<String> = lines.map_while(Result::ok).collect();
    assert_eq!(run.wait().unwrap().code(), Some(130), "{rest:?}");
    bench.assert_blobs_complete();
    assert!(!bench.blob(UNET).exists());
    bench.server.reset();
    bench.fetch().assert(0);
    assert!(
        bench.server.downloads(UNET)[0]
            .headers
            .contains_key("range"),
        "the next run resumes it"
    );
    bench.assert_complete();
}
