//! Random mutations of pictures and masks: reading any file ends with a picture or an error.
//!
//! Mutations change the parts of a file (chunks, segments), with lengths and checksums corrected so that they pass the first checks,
//! and its bytes. `PROPTEST_CASES=10000 cargo test --release --test pictures mutations -- --nocapture` tries 10^4 of
//! them and prints the outcomes.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::bench::pictures::png::Png;
use crate::bench::pictures::{self, jpeg, noise, png as png_file, smooth, webp};
use crate::bench::report;
use dragnext::geometry::Size;
use dragnext::mask::Mask;
use dragnext::picture;
use png::{BitDepth, ColorType};
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, TestRunner};

const WIDTH: usize = 96;
const HEIGHT: usize = 80;

/// The parts of a file: its start, parts with a name and a content, and the rest.
#[derive(Debug, Clone)]
struct File {
    format: Format,
    parts: Vec<(Vec<u8>, Vec<u8>)>,
    rest: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Png,
    Jpeg,
    WebP,
}

impl File {
    fn png(png: Png) -> Self {
        Self {
            format: Format::Png,
            parts: png.0,
            rest: Vec::new(),
        }
    }

    /// The segments before the first scan, and the rest.
    fn jpeg(bytes: &[u8]) -> Self {
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

    fn webp(bytes: &[u8]) -> Self {
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

    fn bytes(&self) -> Vec<u8> {
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

/// Files of all formats and kinds that are read.
fn files() -> Vec<File> {
    let png = |color: ColorType, depth| {
        let bits = match depth {
            BitDepth::Sixteen => 16,
            BitDepth::One => 1,
            _ => 8,
        };
        Png::encode(
            WIDTH,
            HEIGHT,
            color,
            depth,
            &noise(WIDTH * HEIGHT * color.samples() * bits / 8),
        )
    };
    let palette = Png::encode_palette(
        WIDTH,
        HEIGHT,
        &noise(WIDTH * HEIGHT)
            .iter()
            .map(|index| index % 16)
            .collect::<Vec<_>>(),
        &noise(48),
        &noise(16),
    );
    let described = png(ColorType::Rgb, BitDepth::Eight)
        .with(b"iCCP", &png_file::iccp(&png_file::deflated_zeros(300)))
        .with(b"gAMA", &[0, 0, 0xB1, 0x8F])
        .with(b"cHRM", &noise(32))
        .with(b"eXIf", &pictures::exif(6))
        .with(b"pHYs", &[0, 0, 11, 19, 0, 0, 11, 19, 1])
        .with(
            b"zTXt",
            &[b"t\0\0".to_vec(), png_file::deflated_zeros(5000)].concat(),
        )
        .with(b"caBX", &pictures::manifest());
    let baseline = jpeg::with_profile(&jpeg::turned(jpeg::RESTARTS, 6), &noise(3000));
    let lossless = webp::encode(WIDTH, HEIGHT, &smooth(WIDTH, HEIGHT, 3));
    let mut files: Vec<File> = [
        png(ColorType::Grayscale, BitDepth::One),
        png(ColorType::Grayscale, BitDepth::Sixteen),
        png(ColorType::GrayscaleAlpha, BitDepth::Eight),
        png(ColorType::Rgb, BitDepth::Eight),
        png(ColorType::Rgba, BitDepth::Sixteen),
        palette,
        described,
        interlaced(),
        animated(),
    ]
    .map(File::png)
    .into();
    files.extend([jpeg::RESTARTS, jpeg::PROGRESSIVE, &baseline].map(File::jpeg));
    let extended = webp::extended(
        &lossless,
        WIDTH,
        HEIGHT,
        Some(&noise(500)),
        Some(&pictures::exif(3)),
        &webp::chunk(b"C2PA", &noise(50)),
    );
    files.extend(
        [
            webp::LOSSY,
            webp::LOSSY_ALPHA,
            webp::ANIMATED,
            &lossless,
            &extended,
        ]
        .map(File::webp),
    );
    files
}

/// A picture of zeros in the seven passes of Adam7. A filter byte precedes each row.
fn interlaced() -> Png {
    const PASSES: [[usize; 4]; 7] = [
        [0, 0, 8, 8],
        [4, 0, 8, 8],
        [0, 4, 4, 8],
        [2, 0, 4, 4],
        [0, 2, 2, 4],
        [1, 0, 2, 2],
        [0, 1, 1, 2],
    ];
    let length = PASSES
        .iter()
        .map(|[x, y, dx, dy]| (HEIGHT - y).div_ceil(*dy) * (1 + 3 * (WIDTH - x).div_ceil(*dx)))
        .sum();
    let mut png = png_file::zeros(WIDTH, HEIGHT, ColorType::Rgb);
    png.0[0].1[12] = 1;
    png.0[1].1 = png_file::deflated_zeros(length);
    png
}

fn animated() -> Png {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, WIDTH as u32, HEIGHT as u32);
    encoder.set_color(ColorType::Rgba);
    encoder.set_animated(2, 0).unwrap();
    let mut writer = encoder.write_header().unwrap();
    for _ in 0..2 {
        writer.write_image_data(&noise(WIDTH * HEIGHT * 4)).unwrap();
    }
    writer.finish().unwrap();
    Png::parse(&bytes)
}

/// A change of the parts. Positions are fractions of the length.
#[derive(Debug, Clone)]
enum PartChange {
    Swap(Index, Index),
    Repeat(Index),
    Remove(Index),
    Cut(Index, Index),
    Byte(Index, Index, u8),
    /// A boundary value in two or four bytes of either byte order.
    Number(Index, Index, u32, bool, bool),
    Name(Index, Index, u8),
    Grow(Index, Vec<u8>),
}

/// A change of the bytes.
#[derive(Debug, Clone)]
enum ByteChange {
    Flip(Index, u8),
    Set(Index, u8),
    Remove(Index, usize),
    Insert(Index, Vec<u8>),
    Repeat(Index, usize),
    Truncate(Index),
}

fn part_change() -> impl Strategy<Value = PartChange> {
    let edges = prop::sample::select(vec![
        0,
        1,
        63,
        64,
        255,
        256,
        16_383,
        16_384,
        32_768,
        32_769,
        65_535,
        1 << 24,
        i32::MAX as u32,
        1 << 31,
        u32::MAX,
    ]);
    prop_oneof![
        1 => any::<(Index, Index)>().prop_map(|(a, b)| PartChange::Swap(a, b)),
        1 => any::<Index>().prop_map(PartChange::Repeat),
        1 => any::<Index>().prop_map(PartChange::Remove),
        1 => any::<(Index, Index)>().prop_map(|(part, length)| PartChange::Cut(part, length)),
        4 => any::<(Index, Index, u8)>().prop_map(|(part, at, value)| PartChange::Byte(part, at, value)),
        4 => (any::<(Index, Index, bool, bool)>(), edges).prop_map(|((part, at, wide, big), number)| PartChange::Number(part, at, number, wide, big)),
        1 => any::<(Index, Index, u8)>().prop_map(|(part, at, value)| PartChange::Name(part, at, value)),
        1 => (any::<Index>(), prop::collection::vec(any::<u8>(), 1..300)).prop_map(|(part, bytes)| PartChange::Grow(part, bytes)),
    ]
}

fn byte_change() -> impl Strategy<Value = ByteChange> {
    prop_oneof![
        4 => (any::<Index>(), 0..8_u8).prop_map(|(at, bit)| ByteChange::Flip(at, bit)),
        2 => any::<(Index, u8)>().prop_map(|(at, value)| ByteChange::Set(at, value)),
        1 => (any::<Index>(), 1..64_usize).prop_map(|(at, length)| ByteChange::Remove(at, length)),
        1 => (any::<Index>(), prop::collection::vec(any::<u8>(), 1..32)).prop_map(|(at, bytes)| ByteChange::Insert(at, bytes)),
        1 => (any::<Index>(), 1..256_usize).prop_map(|(at, length)| ByteChange::Repeat(at, length)),
        1 => any::<Index>().prop_map(ByteChange::Truncate),
    ]
}

fn change_parts(file: &mut File, change: &PartChange) {
    let parts = &mut file.parts;
    if parts.is_empty() {
        return;
    }
    let count = parts.len();
    match change {
        PartChange::Swap(a, b) => parts.swap(a.index(count), b.index(count)),
        PartChange::Repeat(part) => {
            let part = parts[part.index(count)].clone();
            parts.push(part);
        }
        PartChange::Remove(part) => drop(parts.remove(part.index(count))),
        PartChange::Cut(part, length) => {
            let content = &mut parts[part.index(count)].1;
            content.truncate(length.index(content.len() + 1));
        }
        PartChange::Byte(part, at, value) => {
            let content = &mut parts[part.index(count)].1;
            if !content.is_empty() {
                let at = at.index(content.len());
                content[at] = *value;
            }
        }
        PartChange::Number(part, at, number, wide, big) => {
            let content = &mut parts[part.index(count)].1;
            let bytes = match (wide, big) {
                (true, true) => number.to_be_bytes().to_vec(),
                (true, false) => number.to_le_bytes().to_vec(),
                (false, true) => (*number as u16).to_be_bytes().to_vec(),
                (false, false) => (*number as u16).to_le_bytes().to_vec(),
            };
            if content.len() >= bytes.len() {
                // Most changes go to the short headers, which have the greatest effect.
                let at = at.index((content.len() - bytes.len() + 1).min(40));
                content[at..at + bytes.len()].copy_from_slice(&bytes);
            }
        }
        PartChange::Name(part, at, value) => {
            let name = &mut parts[part.index(count)].0;
            let at = at.index(name.len());
            name[at] = *value;
        }
        PartChange::Grow(part, bytes) => parts[part.index(count)].1.extend(bytes),
    }
}

fn change_bytes(bytes: &mut Vec<u8>, change: &ByteChange) {
    if bytes.is_empty() {
        return;
    }
    let length = bytes.len();
    match change {
        ByteChange::Flip(at, bit) => bytes[at.index(length)] ^= 1 << bit,
        ByteChange::Set(at, value) => bytes[at.index(length)] = *value,
        ByteChange::Remove(at, count) => {
            drop(bytes.drain(at.index(length)..(at.index(length) + count).min(length)))
        }
        ByteChange::Insert(at, more) => {
            drop(bytes.splice(at.index(length)..at.index(length), more.iter().copied()))
        }
        ByteChange::Repeat(at, count) => {
            let range = at.index(length)..(at.index(length) + count).min(length);
            let again = bytes[range.clone()].to_vec();
            bytes.splice(range.end..range.end, again);
        }
        ByteChange::Truncate(at) => bytes.truncate(at.index(length)),
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
        Mask::read(&path, size).unwrap_or_else(|error| panic!("file {index}: {error}"));
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
                count("picture: a panic was caught")
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
                count("mask: a panic was caught")
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
