//! Random mutations of pictures and masks: reading any file ends with a picture or an error.
//!
//! Mutations change the parts of a file (chunks, segments), with lengths and checksums corrected so that they pass the first checks,
//! and its bytes. `PROPTEST_CASES=10000 cargo test --release --features failpoints,cuda --test pictures mutations -- --nocapture` tries 10^4 of
//! them and prints the outcomes.

mod changes;
mod originals;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use dragnext::geometry::Size;
use dragnext::mask::Mask;
use dragnext::picture;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, TestRunner};

use crate::bench::pictures::png::Png;
use crate::bench::pictures::webp;
use crate::bench::report;
use changes::{byte_change, change_bytes, change_parts, part_change};
use originals::files;

pub(super) const WIDTH: usize = 96;
pub(super) const HEIGHT: usize = 80;

/// The parts of a file: its start, parts with a name and a content, and the rest.
#[derive(Debug, Clone)]
pub(super) struct File {
    pub(super) format: Format,
    pub(super) parts: Vec<(Vec<u8>, Vec<u8>)>,
    pub(super) rest: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Png,
    Jpeg,
    WebP,
}

impl File {
    pub(super) fn png(png: Png) -> Self {
        Self {
            format: Format::Png,
            parts: png.0,
            rest: Vec::new(),
        }
    }

    /// The segments before the first scan, and the rest.
    pub(super) fn jpeg(bytes: &[u8]) -> Self {
        let (mut parts, mut position) = (Vec::new(), 2);
        while bytes[position + 1] != 0xDA {
            let length = usize::from(u16::from_be_bytes([
                bytes[position + 2],
                bytes[position + 3],
            ]));
            parts.push((
                bytes[position..position + 2].to_vec(),
                bytes[position + 4..position + 2 + length].to_vec(),
            ));
            position += 2 + length;
        }
        Self {
            format: Format::Jpeg,
            parts,
            rest: bytes[position..].to_vec(),
        }
    }

    pub(super) fn webp(bytes: &[u8]) -> Self {
        let (mut parts, mut position) = (Vec::new(), 12);
        while position < bytes.len() {
            let length =
                u32::from_le_bytes(bytes[position + 4..position + 8].try_into().unwrap()) as usize;
            parts.push((
                bytes[position..position + 4].to_vec(),
                bytes[position + 8..position + 8 + length].to_vec(),
            ));
            position += 8 + length.next_multiple_of(2);
        }
        Self {
            format: Format::WebP,
            parts,
            rest: Vec::new(),
        }
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        match self.format {
            Format::Png => Png(self.parts.clone()).bytes(),
            Format::Jpeg => {
                let segment = |(marker, content): &(Vec<u8>, Vec<u8>)| {
                    let length = ((content.len() + 2) as u16).to_be_bytes();
                    [marker.as_slice(), &length, content].concat()
                };
                [
                    b"\xFF\xD8".to_vec(),
                    self.parts.iter().flat_map(segment).collect(),
                    self.rest.clone(),
                ]
                .concat()
            }
            Format::WebP => {
                let chunk = |(name, content): &(Vec<u8>, Vec<u8>)| {
                    webp::chunk(name.as_slice().try_into().unwrap(), content)
                };
                webp::chunk(
                    b"RIFF",
                    &[
                        b"WEBP".to_vec(),
                        self.parts.iter().flat_map(chunk).collect(),
                    ]
                    .concat(),
                )
            }
        }
    }
}

/// Splitting a file into parts and joining them gives the same file.
#[test]
fn unchanged_files_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("picture");
    for (index, file) in files().iter().enumerate() {
        std::fs::write(&path, file.bytes()).unwrap();
        let size = picture::read(&path)
            .unwrap_or_else(|error| panic!("file {index}: {error}"))
            .picture
            .size();
        match Mask::read(&path, size) {
            Err(error) if !error.to_string().contains("alpha channel") => {
                panic!("file {index}: {error}")
            }
            _ => {}
        }
    }
}

#[test]
fn no_mutation_of_a_picture_panics() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("picture");
    let files = files();
    let outcomes: RefCell<BTreeMap<String, usize>> = RefCell::default();
    let longest = RefCell::new(Duration::ZERO);
    let count = |what: &str| *outcomes.borrow_mut().entry(what.to_owned()).or_default() += 1;

    let config = Config {
        failure_persistence: None,
        ..Config::default()
    };
    let cases = config.cases;
    let changes = (
        any::<Index>(),
        prop::collection::vec(part_change(), 0..4),
        prop::collection::vec(byte_change(), 0..3),
    );
    let ended = TestRunner::new(config).run(&changes, |(index, of_parts, of_bytes)| {
        let mut file = files[index.index(files.len())].clone();
        for change in &of_parts {
            change_parts(&mut file, change);
        }
        let mut bytes = file.bytes();
        for change in &of_bytes {
            change_bytes(&mut bytes, change);
        }
        std::fs::write(&path, &bytes).unwrap();

        let begun = Instant::now();
        match picture::read(&path) {
            Ok(source) => {
                count("picture: read");
                // A picture that was read can be written and read again.
                let png = source
                    .picture
                    .png(None)
                    .map_err(|error| TestCaseError::fail(error.to_string()))?;
                source
                    .picture
                    .check_png(&png)
                    .map_err(TestCaseError::fail)?;
            }
            Err(error)
                if error
                    .to_string()
                    .contains("the decoder failed on this file") =>
            {
                count("picture: a panic was caught");
            }
            Err(error) => count(&format!("picture: {}", error.kind())),
        }
        match Mask::read(&path, Size::new(WIDTH, HEIGHT)) {
            Ok(mask) => {
                count("mask: read");
                prop_assert_eq!(mask.data.len(), WIDTH * HEIGHT);
            }
            Err(error)
                if error
                    .to_string()
                    .contains("the decoder failed on this file") =>
            {
                count("mask: a panic was caught");
            }
            Err(_) => count("mask: rejected"),
        }
        let mut longest = longest.borrow_mut();
        *longest = begun.elapsed().max(*longest);
        Ok(())
    });
    let peak = dragnext::report::peak_bytes().unwrap_or_default();
    report(&format!("{cases} mutated files: {:?}", outcomes.borrow()));
    report(&format!(
        "longest {:?}, peak memory {} MiB",
        longest.borrow(),
        peak >> 20
    ));
    ended.unwrap();
    let outcomes = outcomes.borrow();
    let of = |what: &str| outcomes.get(what).copied().unwrap_or_default();
    assert!(
        of("picture: read") > cases as usize / 20,
        "some mutations reach the pixels: {outcomes:?}"
    );
    assert!(
        of("picture: image.decode") > cases as usize / 20,
        "some mutations damage the file: {outcomes:?}"
    );
}
