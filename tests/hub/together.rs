//! Several processes that fetch the same model, and processes that are killed while they do.

use std::process::{Child, Stdio};
use std::time::Duration;

use crate::bench::{Bench, Ended, MODEL, TEXT_ENCODER, UNET, VAE};
use crate::server::Fault;

fn start(bench: &Bench, failpoints: &str) -> Child {
    let mut command = bench.command(&["fetch", MODEL]);
    command
        .env("DRAGNEXT_FAILPOINTS", failpoints)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

#[test]
fn two_and_eight_processes_fetch_once() {
    for count in [2, 8] {
        let bench = Bench::new();
        bench.server.plan(
            "GET",
            "storage/unet",
            Fault::Slow(Duration::from_secs(3)),
            100,
        );
        let runs: Vec<Child> = (0..count).map(|_| start(&bench, "")).collect();
        let ended: Vec<Ended> = runs
            .into_iter()
            .map(|run| Ended::from(run.wait_with_output().unwrap()).succeeded())
            .collect();
        bench.is_whole();
        let waited = ended
            .iter()
            .filter(|run| {
                run.stderr
                    .contains(&format!("waiting for another dragnext to fetch {UNET}"))
            })
            .count();
        assert_eq!(waited, count - 1, "they were at work at the same time");
        for name in [UNET, VAE, TEXT_ENCODER] {
            assert_eq!(bench.server.downloads(name).len(), 1, "{name}");
        }
        assert!(ended.iter().all(|run| run.stdout == ended[0].stdout));
    }
}

/// The process that holds the lock is killed: the next takes it, and goes on with what is there.
#[cfg(all(unix, feature = "failpoints"))]
#[test]
fn a_killed_process_leaves_its_part_to_the_next() {
    use std::io::{BufRead, BufReader};
    use std::os::unix::process::ExitStatusExt;
    let bench = Bench::new();
    bench.server.plan(
        "GET",
        "storage/text_encoder",
        Fault::Slow(Duration::from_secs(1)),
        1,
    );
    let mut holder = start(&bench, "stop_in_download");
    let mut lines = BufReader::new(holder.stderr.take().unwrap()).lines();
    assert!(
        lines.any(|line| line.unwrap() == "failpoint stop_in_download"),
        "it stands in the middle of a download"
    );
    let waiter = start(&bench, "");
    let mut waiter = waiter;
    let mut told = BufReader::new(waiter.stderr.take().unwrap()).lines();
    assert!(told.any(
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
    bench.has_no_half_blob();

    drop(told.by_ref().last());
    assert!(waiter.wait().unwrap().success());
    let downloads = bench.server.downloads(TEXT_ENCODER);
    assert_eq!(downloads.len(), 2);
    assert_eq!(
        downloads[1].headers["range"],
        format!("bytes={length}-"),
        "the next goes on where the killed one was"
    );
    bench.is_whole();
}

/// A part that holds other bytes than it should is not trusted: the hash finds it out, and the file is fetched anew.
#[test]
fn a_part_with_other_bytes_is_given_up() {
    let bench = Bench::new();
    bench.server.plan("GET", "storage/unet", Fault::Cut(0.5), 1);
    bench
        .server
        .plan("GET", "storage/unet", Fault::Cut(0.0), 100);
    bench.fetch().failed_for_now(&[]);
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
    let fetched = bench.fetch().succeeded();
    let downloads = bench.server.downloads(UNET);
    assert!(
        downloads.len() == 2
            && downloads[0].headers.contains_key("range")
            && !downloads[1].headers.contains_key("range")
    );
    assert!(
        fetched.stderr.contains("other bytes came"),
        "{}",
        fetched.stderr
    );
    bench.is_whole();
}

/// On some network disks everybody gets every lock. Then everybody downloads, each into a file of its own.
#[cfg(feature = "failpoints")]
#[test]
fn locks_that_lie_mix_nothing() {
    for _ in 0..3 {
        let bench = Bench::new();
        for part in ["storage/unet", "storage/vae", "storage/text_encoder"] {
            bench
                .server
                .plan("GET", part, Fault::Slow(Duration::from_millis(700)), 100);
        }
        let runs: Vec<Child> = (0..3)
            .map(|_| {
                std::thread::sleep(Duration::from_millis(150));
                start(&bench, "locks_lie")
            })
            .collect();
        for run in runs {
            let ended = Ended::from(run.wait_with_output().unwrap()).succeeded();
            assert!(
                ended.stderr.contains("failpoint locks_lie"),
                "{}",
                ended.stderr
            );
            assert!(
                !ended.stderr.contains("waiting"),
                "nobody waited: {}",
                ended.stderr
            );
        }
        assert!(
            bench.server.downloads("safetensors").len() > 3,
            "several downloaded the same"
        );
        bench.is_whole();
    }
}

#[cfg(unix)]
#[test]
fn a_signal_stops_a_download_and_keeps_its_part() {
    use std::io::{BufRead, BufReader};
    let bench = Bench::new();
    bench.server.plan(
        "GET",
        "storage/unet",
        Fault::Slow(Duration::from_secs(20)),
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
    let kill = std::process::Command::new("kill")
        .arg("-INT")
        .arg(run.id().to_string())
        .status()
        .unwrap();
    assert!(kill.success());
    let told: Vec<String> = lines.map_while(Result::ok).collect();
    assert_eq!(run.wait().unwrap().code(), Some(130), "{told:?}");
    bench.has_no_half_blob();
    assert!(!bench.blob(UNET).exists());
    bench.server.reset();
    bench.fetch().succeeded();
    assert!(
        bench.server.downloads(UNET)[0]
            .headers
            .contains_key("range"),
        "the next run goes on from it"
    );
    bench.is_whole();
}
