//! Long lists: planned in no time, done in little memory.

use std::fmt::Write;
use std::time::Instant;

use crate::bench::pictures::report;
use crate::folder::Folder;

/// The most memory that any child of this process held, in bytes.
#[cfg(target_os = "linux")]
fn peak() -> u64 {
    use nix::sys::resource::{UsageWho, getrusage};
    getrusage(UsageWho::RUSAGE_CHILDREN).unwrap().max_rss() as u64 * 1024
}

/// A hundred thousand items, each with a picture and a drag file of its own: in seconds and less than 200 MB, no picture opened.
#[cfg(target_os = "linux")]
#[test]
fn a_hundred_thousand_items_are_planned_in_little_time_and_memory() {
    const ITEMS: usize = 100_000;
    let folder = Folder::new(0);
    let mut lines = String::new();
    for index in 0..ITEMS {
        let inner = format!("many/{}", index / 1000);
        // A file has at most some ten thousand links.
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
        let begun = Instant::now();
        let told = folder.run(arguments).assert(0).stdout;
        let seconds = begun.elapsed().as_secs_f64();
        assert!(
            told.lines().count() == ITEMS || told.contains("100000 items"),
            "{}",
            &told[..told.len().min(500)]
        );
        let peak = peak();
        report(&format!(
            "{arguments:?}: {seconds:.2} s, {} MB",
            peak / 1_000_000
        ));
        assert!(peak < 200_000_000, "{} MB", peak / 1_000_000);
        assert!(
            seconds < 20.0,
            "{seconds:.1} s; the promise is 2 on a machine that does nothing else"
        );
    }
}

/// As many items as `DRAGNEXT_TEST_ITEMS` says need hardly more memory than the first three: 5 % and what the process itself comes to
/// touch once, of its code and its threads' stacks, which for pictures as small as these is no small share.
#[cfg(target_os = "linux")]
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
