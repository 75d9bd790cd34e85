//! Random mutations of every kind of file: reading any ends with a sample or an error. `PROPTEST_CASES=10000 cargo test --release --lib --
//! import::tests` tries 10^4 of them.

use super::*;
use crate::foreign::Kind;
use std::fs;
use std::path::Path;

/// Pseudorandom numbers (`SplitMix64`; Steele, Lea and Flood, 2014).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((bits ^ (bits >> 31)) % limit.max(1) as u64) as usize
    }
}

const WORDS: [&str; 22] = [
    "-1",
    "0",
    "1e999",
    "1e308",
    "-1e308",
    "null",
    "true",
    "[]",
    "{}",
    "\"\"",
    "NaN",
    "4294967296",
    "18446744073709551616",
    "[[",
    "}",
    ",",
    "9007199254740993",
    "0.5",
    "../../x",
    "&lt;",
    "<a>",
    "\"type\"",
];

/// Changes a file in one to four places: bytes, cuts, repetitions, words of JSON and boundary values of lengths.
fn mutated(bytes: &[u8], numbers: &mut Numbers) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..=numbers.below(4) {
        let at = numbers.below(bytes.len());
        let end = (at + numbers.below(40)).min(bytes.len());
        match numbers.below(8) {
            0 if !bytes.is_empty() => bytes[at] ^= 1 << numbers.below(8),
            1 if !bytes.is_empty() => bytes[at] = numbers.below(256) as u8,
            2 => bytes.truncate(at),
            3 => drop(bytes.drain(at..end)),
            4 => {
                let copy = bytes[at..end].to_vec();
                let to = numbers.below(bytes.len());
                bytes.splice(to..to, copy);
            }
            5 => {
                let word = WORDS[numbers.below(WORDS.len())];
                bytes.splice(at..end, word.bytes());
            }
            6 => {
                // A number of the text is replaced by a word.
                let from = bytes[at..]
                    .iter()
                    .position(u8::is_ascii_digit)
                    .map_or(at, |found| at + found);
                let to = bytes[from..]
                    .iter()
                    .position(|byte| !byte.is_ascii_digit())
                    .map_or(from, |found| from + found);
                let word = WORDS[numbers.below(WORDS.len())];
                bytes.splice(from..to, word.bytes());
            }
            _ => {
                let value = [0, 1, 255, 256, i32::MAX as u32, u32::MAX][numbers.below(6)];
                let stop = (at + 4).min(bytes.len());
                bytes.splice(at..stop, value.to_le_bytes());
            }
        }
    }
    bytes
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("the fixtures").flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("a copy");
        }
    }
}

/// Reads all samples; returns how many could be read, and how many could not.
fn read(kind: Kind, path: &Path) -> (usize, usize) {
    let Ok(listing) = sources::list(kind, path, &Options::default()) else {
        return (0, 1);
    };
    let read = listing.entries.iter().filter(|entry| {
        let sample = (entry.read)();
        sample.is_ok_and(|sample| written::drag_file(&sample, "test").is_ok())
    });
    let good = read.count();
    (good, listing.entries.len() - good)
}

#[test]
fn mutated_files_give_samples_or_errors() {
    let cases = std::env::var("PROPTEST_CASES")
        .ok()
        .and_then(|cases| cases.parse().ok());
    let cases: usize = cases.unwrap_or(330);
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/import");
    let folder = tempfile::tempdir().expect("a folder");
    let targets = [
        (
            Kind::DragBench,
            "animals/JH_2023-09-14-1820-16/meta_data.pkl",
        ),
        (Kind::DragBenchDr, "animals/JH_1/meta_data_region.pkl"),
        (Kind::DragBenchSr, "sde_1/prompt.json"),
        (Kind::Drag100, "vase/points.json"),
        (Kind::NextBench, "cup/hybrid/points.json"),
        (Kind::RedBench, "0001.json"),
        (Kind::Labelme, "cup.json"),
        (Kind::Coco, "instances.json"),
        (Kind::Via, "project.json"),
        (Kind::LabelStudio, "tasks.json"),
        (Kind::Cvat, "annotations.xml"),
    ];
    let mut numbers = Numbers(7);
    for (kind, file) in targets {
        let place = folder.path().join(kind.name());
        copy(&fixtures.join(kind.name()), &place);
        let original = fs::read(place.join(file)).expect("a fixture");
        let before = read(kind, &place);
        assert!(before.0 > before.1, "{kind}: {before:?}");
        let mut good = 0;
        let runs = cases / targets.len();
        for _ in 0..runs {
            fs::write(place.join(file), mutated(&original, &mut numbers)).expect("a file");
            let (read, _) = read(kind, &place);
            good += read;
        }
        assert!(
            runs == 0 || good < runs * before.0,
            "{kind}: mutations do damage ({good} good)"
        );
    }
}

/// The pickles are small, so that most changes meet an instruction.
#[test]
fn mutated_pickles_are_read_or_refused() {
    let cases = std::env::var("PROPTEST_CASES")
        .ok()
        .and_then(|cases| cases.parse().ok());
    let cases: usize = cases.unwrap_or(3_000);
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/import/pickles");
    let mut files: Vec<_> = fs::read_dir(fixtures)
        .expect("the fixtures")
        .flatten()
        .collect();
    files.sort_by_key(fs::DirEntry::file_name);
    let files: Vec<Vec<u8>> = files
        .iter()
        .map(|entry| fs::read(entry.path()).expect("a fixture"))
        .collect();
    let mut numbers = Numbers(11);
    let (mut good, mut bad) = (0, 0);
    for case in 0..cases {
        match pickle::load(&mutated(&files[case % files.len()], &mut numbers)) {
            Ok(pickle) => {
                good += 1;
                let _ = pickle.root().get("mask").map(|mask| mask.array().is_some());
            }
            Err(_) => bad += 1,
        }
    }
    assert!(good > 0 && bad > 0, "{good} read, {bad} refused");
}

/// Nesting that would overflow a parser's stack is an error.
#[test]
fn deep_nesting_is_an_error() {
    let folder = tempfile::tempdir().expect("a folder");
    let deep = [
        (
            Kind::Cvat,
            "a.xml",
            format!("<annotations>{}", "<image>".repeat(200_000)),
        ),
        (
            Kind::Cvat,
            "a.xml",
            format!("<annotations a='{}'/>", "<".repeat(200_000)),
        ),
        (
            Kind::Cvat,
            "a.xml",
            "<!DOCTYPE a [<!ENTITY b \"x\"><!ENTITY c \"&b;&b;\">]><annotations>&c;</annotations>"
                .to_owned(),
        ),
        (
            Kind::Coco,
            "a.json",
            format!("{{\"images\": {}", "[".repeat(200_000)),
        ),
        (
            Kind::Labelme,
            "a.json",
            format!("{{\"shapes\": {}", "[{\"a\":".repeat(200_000)),
        ),
        (Kind::LabelStudio, "a.json", "[".repeat(200_000)),
    ];
    for (kind, name, text) in deep {
        let path = folder.path().join(name);
        fs::write(&path, &text).expect("a file");
        assert_eq!(read(kind, &path), (0, 1), "{kind}: {}", &text[..40]);
        let _ = crate::foreign::recognise(&path);
    }
}
