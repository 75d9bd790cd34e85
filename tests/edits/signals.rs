//! SIGINT and SIGTERM during an edit.

use std::io::{BufRead, BufReader, Read};
use std::time::{Duration, Instant};

use super::command::bench;
use crate::bench::Ended;
use crate::bench::program::send;
use crate::bench::tiny::model;

/// SIGINT and SIGTERM stop between two steps, within seconds, and leave nothing behind.
#[test]
fn a_signal_stops_the_edit_tidily() {
    for (signal, status) in [("INT", 130), ("TERM", 143)] {
        let bench = bench();
        // Steps for minutes, so that the signal arrives during one.
        let mut run = bench
            .dragnext(["edit", "in.png", "--drag", "drag.json", "-o", "out.png"])
            .args(["--json", "--lora-steps", "1000", "--model"])
            .arg(model())
            .start();
        // The first line tells that the program listens, and that the stages have begun.
        let mut stderr = BufReader::new(run.stderr.take().unwrap());
        let mut told = String::new();
        stderr.read_line(&mut told).unwrap();
        assert!(told.starts_with("load"), "{told}");
        assert!(
            run.try_wait().unwrap().is_none(),
            "the edit is still running"
        );
        let sent = Instant::now();
        send(signal, &run);
        stderr.read_to_string(&mut told).unwrap();
        assert_eq!(Ended::wait(run).status, Some(status), "{told}");
        assert!(sent.elapsed() < Duration::from_secs(30));
        assert!(told.contains("interrupted; no result was written"));
        assert!(!bench.path("out.png").exists());
        assert_eq!(bench.names(), ["drag.json", "in.png"]);
    }
}

/// Wherever the edit is, a signal is noticed before the stage it comes in has ended. The places wait for it, so that it cannot come late.
#[cfg(feature = "failpoints")]
#[test]
fn a_signal_is_noticed_inside_long_stages() {
    for (place, stage) in [
        ("wait_in_load", "load"),
        ("wait_in_encode", "encode"),
        ("wait_in_lora", "lora"),
        ("wait_in_decode", "decode"),
    ] {
        let bench = bench();
        let (mut run, mut stderr) = bench.short_edit(&["-o", "out.png"]).start_at(place);
        send("INT", &run);
        let mut told = String::new();
        stderr.read_to_string(&mut told).unwrap();
        assert_eq!(run.wait().unwrap().code(), Some(130), "{place}: {told}");
        assert!(
            told.contains("interrupted; no result was written"),
            "{place}: {told}"
        );
        assert!(
            told.lines()
                .all(|line| !line.starts_with(&format!("{stage} "))),
            "{stage} did not end: {told}"
        );
        assert_eq!(bench.names(), ["drag.json", "in.png"]);
    }
}

/// Who asks twice does not want to wait: the second signal ends the process, wherever it is.
#[cfg(feature = "failpoints")]
#[test]
fn a_second_signal_ends_the_process_at_once() {
    for (second, status) in [("INT", 130), ("TERM", 143)] {
        let bench = bench();
        let (mut run, mut stderr) = bench
            .short_edit(&["-o", "out.png"])
            .start_at("hang_in_decode");
        let sent = Instant::now();
        send("INT", &run);
        std::thread::sleep(Duration::from_millis(300));
        assert!(
            run.try_wait().unwrap().is_none(),
            "the first signal waits for the place where the edit hangs"
        );
        send(second, &run);
        let mut told = String::new();
        stderr.read_to_string(&mut told).unwrap();
        assert_eq!(run.wait().unwrap().code(), Some(status), "{told}");
        assert!(
            sent.elapsed() < Duration::from_secs(30),
            "the edit hangs for a minute, the process does not"
        );
        assert!(
            !told.contains("interrupted"),
            "there was no time for a message: {told}"
        );
        assert_eq!(bench.names(), ["drag.json", "in.png"]);
    }
}
