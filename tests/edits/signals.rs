//! SIGINT and SIGTERM during an edit.

use std::io::{BufRead, BufReader, Read};
use std::time::{Duration, Instant};

use super::command::bench;
use crate::bench::Ended;
use crate::bench::program::send;
use crate::bench::tiny::model;

/// The edit stops at the next step, within seconds, and leaves no file.
#[test]
fn a_signal_stops_the_edit_and_leaves_no_file() {
    for (signal, status) in [("INT", 130), ("TERM", 143)] {
        let bench = bench();
        // Steps for minutes, so that the signal arrives during one.
        let mut run = bench
            .dragnext(["edit", "in.png", "--drag", "drag.json", "-o", "out.png"])
            .args(["--json", "--lora-steps", "1000", "--model"])
            .arg(model())
            .start();
        // After the first line the signal handlers are installed and the stages have begun.
        let mut stderr = BufReader::new(run.stderr.take().unwrap());
        let mut messages = String::new();
        stderr.read_line(&mut messages).unwrap();
        assert!(messages.starts_with("load"), "{messages}");
        assert!(
            run.try_wait().unwrap().is_none(),
            "the edit is still running"
        );
        let sent = Instant::now();
        send(signal, &run);
        stderr.read_to_string(&mut messages).unwrap();
        assert_eq!(Ended::wait(run).status, Some(status), "{messages}");
        assert!(sent.elapsed() < Duration::from_secs(30));
        assert!(messages.contains("interrupted; no result was written"));
        assert!(!bench.path("out.png").exists());
        assert_eq!(bench.names(), ["drag.json", "in.png"]);
    }
}

/// A signal stops the edit before the current stage ends. At these failpoints the edit waits for the signal, so it cannot arrive late.
#[cfg(feature = "failpoints")]
#[test]
fn a_signal_stops_an_edit_inside_a_long_stage() {
    for (place, stage) in [
        ("wait_in_load", "load"),
        ("wait_in_encode", "encode"),
        ("wait_in_lora", "lora"),
        ("wait_in_decode", "decode"),
    ] {
        let bench = bench();
        let (mut run, mut stderr) = bench.short_edit(&["-o", "out.png"]).start_at(place);
        send("INT", &run);
        let mut messages = String::new();
        stderr.read_to_string(&mut messages).unwrap();
        assert_eq!(run.wait().unwrap().code(), Some(130), "{place}: {messages}");
        assert!(
            messages.contains("interrupted; no result was written"),
            "{place}: {messages}"
        );
        assert!(
            messages
                .lines()
                .all(|line| !line.starts_with(&format!("{stage} "))),
            "{stage} did not finish: {messages}"
        );
        assert_eq!(bench.names(), ["drag.json", "in.png"]);
    }
}

/// The second signal ends the process immediately, even if the edit hangs.
#[cfg(feature = "failpoints")]
#[test]
fn a_second_signal_ends_the_process_immediately() {
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
            "the first signal has no effect while the edit hangs"
        );
        send(second, &run);
        let mut messages = String::new();
        stderr.read_to_string(&mut messages).unwrap();
        assert_eq!(run.wait().unwrap().code(), Some(status), "{messages}");
        assert!(
            sent.elapsed() < Duration::from_secs(30),
            "the edit hangs for a minute, the process does not"
        );
        assert!(
            !messages.contains("interrupted"),
            "the process ended without a message: {messages}"
        );
        assert_eq!(bench.names(), ["drag.json", "in.png"]);
    }
}
