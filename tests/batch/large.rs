//! Long lists: time and memory.

use std::fmt::Write;
use std::time::Instant;

use crate::bench::report;
use crate::folder::Folder;

/// Returns the peak memory of the child processes, in bytes.
fn peak() -> u64 {
    use nix::sys::resource::{UsageWho, getrusage};
    getrusage(UsageWho::RUSAGE_CHILDREN).unwrap().max_rss() as u64 * 1024
}

/// Plans 100,000 items, each with its own picture and drag file, within seconds and 200 MB.
#[test]
fn a_hundred_thousand_items_are_planned_in_little_time_and_memory() {
    const ITEMS: usize = 100_000;
    let folder = Folder::new(0);
    let mut lines = String::new();
    for index in 0..ITEMS {
        let inner = format!("many/{}", index / 1000);
        // File systems limit the number of hard links of a file.
        if index % 1000 == 0 {
            folder.item(&format!("{inner}/first"), 0);
            std::fs::rename(
                folder.path(&format!("{inner}/first.png")),
                folder.path(&format!("{inner}/first")),
            )
            .unwrap();
        }
        let name = format!("{inner}/{index}");
        std::fs::hard_link(
            folder.path(&format!("{inner}/first")),
            folder.path(&format!("{name}.png")),
        )
        .unwrap();
        std::fs::hard_link(
            folder.path(&format!("{inner}/first.json")),
            folder.path(&format!("{name}.json")),
        )
        .unwrap();
        writeln!(lines, r#"{{"id": "item {index}", "image": "{name}.png", "drag": "{name}.json", "settings": {{"seed": {index}}}}}"#)
            .unwrap();
    }
    folder.write("list.jsonl", &lines);
    for arguments in [
        &[
            "--manifest",
            "list.jsonl",
            "-o",
            "out",
            "--dry-run",
            "--json",
        ][..],
        &["many", "-o", "out", "--dry-run"],
    ] {
        let started = Instant::now();
        let stdout = folder.run(arguments).assert(0).stdout;
        let seconds = started.elapsed().as_secs_f64();
        assert!(
            stdout.lines().count() == ITEMS || stdout.contains("100000 items"),
            "{}",
            &stdout[..stdout.len().min(500)]
        );
        let peak = peak();
        report(&format!(
            "{arguments:?}: {seconds:.2} s, {} MB",
            peak / 1_000_000
        ));
        assert!(peak < 200_000_000, "{} MB", peak / 1_000_000);
        assert!(
            seconds < 20.0,
            "took {seconds:.1} s; an idle machine takes 2"
        );
    }
}

/// The peak memory of `DRAGNEXT_TEST_ITEMS` items is at most 5 % and 3 MB above that of the first three. The 3 MB are code and stacks that
/// the process touches once.
#[test]
fn memory_does_not_grow_with_the_list() {
    let items = std::env::var("DRAGNEXT_TEST_ITEMS")
        .ok()
        .and_then(|items| items.parse().ok())
        .unwrap_or(24);
    let folder = Folder::new(items);
    folder.whole(&[]).assert(0);
    let peaks: Vec<f64> = folder
        .records()
        .iter()
        .map(|record| record["peak_bytes"].as_f64().unwrap())
        .collect();
    let [third, middle, last] = [peaks[2], peaks[items / 2], peaks[items - 1]];
    let shown = [third, middle, last].map(|peak| format!("{:.1} MB", peak / 1e6));
    report(&format!(
        "{items} items: peaks after the third, the middle and the last: {}",
        shown.join(", ")
    ));
    assert!(
        last <= third * 1.05 + 3e6,
        "{third} after the third, {last} after the last"
    );
}
