//! Runs that stop before the end of their list.

use crate::folder::Folder;

#[cfg(all(unix, feature = "failpoints"))]
mod signals {
    use std::io::Read;
    use std::os::unix::process::ExitStatusExt;
    use std::time::{Duration, Instant};

    use crate::bench::program::send;
    use crate::folder::Folder;

    /// Finished items stay done, the current item is recorded as interrupted, and the same command edits the rest.
    #[test]
    fn the_same_command_continues_after_a_signal() {
        for (signal, status) in [("INT", 130), ("TERM", 143)] {
            let folder = Folder::new(4);
            let expected = folder.expected();
            let (mut run, mut stderr) = folder
                .batch(&["in", "-o", "out"])
                .start_at("wait_in_decode#3");
            let sent = Instant::now();
            send(signal, &run);
            let mut message = String::new();
            stderr.read_to_string(&mut message).unwrap();
            assert_eq!(run.wait().unwrap().code(), Some(status), "{message}");
            assert!(sent.elapsed() < Duration::from_secs(10));
            assert!(
                message.contains("interrupted; 2 of 4 items remain")
                    && message.contains("4 items: 2 done, 2 left"),
                "{message}"
            );
            assert_eq!(folder.done(), ["p0", "p1"]);
            assert_eq!(folder.statuses()[2].1, "interrupted");
            assert_eq!(
                folder.results().keys().collect::<Vec<_>>(),
                ["p0.png", "p1.png"]
            );
            folder
                .whole(&[])
                .assert(0)
                .stderr_has("4 items: 2 done, 2 done before");
            assert!(folder.results() == expected);
        }
    }

    /// A second signal ends the process immediately without corrupting anything.
    #[test]
    fn a_second_signal_ends_the_process() {
        let folder = Folder::new(3);
        let expected = folder.expected();
        let (mut run, _stderr) = folder
            .batch(&["in", "-o", "out"])
            .start_at("hang_in_decode#2");
        send("INT", &run);
        std::thread::sleep(Duration::from_millis(300));
        assert!(
            run.try_wait().unwrap().is_none(),
            "it hangs at the failpoint, so the first signal has no effect"
        );
        let sent = Instant::now();
        send("INT", &run);
        let ended = run.wait().unwrap();
        assert_eq!((ended.code(), ended.signal()), (Some(130), None));
        assert!(sent.elapsed() < Duration::from_secs(2));
        assert_eq!(folder.done(), ["p0"]);
        folder
            .whole(&[])
            .assert(0)
            .stderr_has("3 items: 2 done, 1 done before");
        assert!(folder.results() == expected);
    }
}

#[test]
fn no_item_is_begun_after_the_time_limit() {
    let folder = Folder::new(2);
    folder
        .whole(&["--max-seconds", "0"])
        .assert(75)
        .stderr_has("time limit reached; 2 of 2 items remain");
    assert!(folder.results().is_empty() && folder.records().is_empty());
    folder.whole(&["--max-seconds", "1000"]).assert(0);
    folder
        .whole(&["--max-seconds", "0"])
        .assert(0)
        .stderr_has("2 items: 2 done before");
    folder.whole(&["--max-seconds", "-1"]).assert(2);
}

#[test]
fn no_item_is_begun_after_the_permitted_failures() {
    let folder = Folder::new(5);
    for name in ["in/p1.json", "in/p2.json", "in/p4.json"] {
        folder.write(name, "{}");
    }
    folder
        .whole(&["--fail-fast"])
        .assert(1)
        .stderr_has("5 items: 1 done, 1 failed, 3 left")
        .stderr_has("stopped after 1 item failed");
    folder
        .whole(&["--max-failures", "2"])
        .assert(1)
        .stderr_has("5 items: 1 done before, 2 failed, 2 left");
    folder
        .whole(&["--max-failures", "3"])
        .assert(1)
        .stderr_has("5 items: 1 done, 1 done before, 3 failed");
    folder.whole(&["--max-failures", "0"]).assert(2);
}
