//! EXIF, XMP and text of a picture are kept in its result, upright and without a thumbnail.

use std::io::Write;

use flate2::Compression;
use flate2::write::ZlibEncoder;
use serde_json::json;

use super::{HEIGHT, WIDTH, rgb, rgb_png};
use crate::bench::Bench;
use crate::bench::pictures::png::Png;
use crate::bench::pictures::{exif, jpeg, png as png_file, webp};
use crate::bench::tiny::{moved, still};

const XMP: &str = r#"<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" xmlns:dc="http://purl.org/dc/elements/1.1/" tiff:Orientation="6" dc:creator="A. Photographer"/></rdf:RDF></x:xmpmeta>"#;
/// Stands for the bytes of a thumbnail, which must not be in a result.
const THUMBNAIL: &[u8] = b"a thumbnail of the picture before";

/// EXIF data in one byte order: an artist, an orientation of this type, a width, and a thumbnail.
fn full_exif(is_big: bool, kind: u16, orientation: u32) -> Vec<u8> {
    let short = |value: u16| {
        if is_big {
            value.to_be_bytes()
        } else {
            value.to_le_bytes()
        }
    };
    let long = |value: u32| {
        if is_big {
            value.to_be_bytes()
        } else {
            value.to_le_bytes()
        }
    };
    let entry = |tag: u16, kind: u16, count: u32, value: [u8; 4]| {
        [&short(tag)[..], &short(kind), &long(count), &value].concat()
    };
    let value = match kind {
        3 => [short(orientation as u16), [0; 2]].concat(),
        _ => long(orientation).to_vec(),
    };
    let artist = b"A. Photographer\0";
    let (first, second) = (8, 8 + 2 + 3 * 12 + 4 + artist.len() as u32);
    let thumbnail = second + 2 + 2 * 12 + 4;
    [
        if is_big { b"MM\0\x2A" } else { b"II\x2A\0" }.to_vec(),
        long(first).to_vec(),
        short(3).to_vec(),
        entry(0x0100, 4, 1, long(WIDTH as u32)),
        entry(0x0112, kind, 1, value.try_into().unwrap()),
        entry(0x013B, 2, artist.len() as u32, long(8 + 2 + 3 * 12 + 4)),
        long(second).to_vec(),
        artist.to_vec(),
        short(2).to_vec(),
        entry(0x0201, 4, 1, long(thumbnail)),
        entry(0x0202, 4, 1, long(THUMBNAIL.len() as u32)),
        long(0).to_vec(),
        THUMBNAIL.to_vec(),
    ]
    .concat()
}

/// The same data upright, as a result has it.
fn upright_exif(is_big: bool, kind: u16) -> Vec<u8> {
    let mut exif = full_exif(is_big, kind, 1);
    let width = if is_big {
        (HEIGHT as u32).to_be_bytes()
    } else {
        (HEIGHT as u32).to_le_bytes()
    };
    exif[8 + 2 + 8..8 + 2 + 12].copy_from_slice(&width);
    exif[8 + 2 + 3 * 12..8 + 2 + 3 * 12 + 4].fill(0);
    exif.truncate(8 + 2 + 3 * 12 + 4 + 16);
    exif
}

/// A chunk of text as `ImageMagick` writes EXIF data: its hexadecimal digits.
fn raw_profile(exif: &[u8]) -> Vec<u8> {
    let data = [b"Exif\0\0", exif].concat();
    let digits: Vec<String> = data
        .chunks(36)
        .map(|line| {
            let digits: Vec<String> = line.iter().map(|byte| format!("{byte:02x}")).collect();
            digits.concat()
        })
        .collect();
    format!("\nexif\n{:8}\n{}\n", data.len(), digits.join("\n")).into_bytes()
}

fn packed(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// The picture in every format with EXIF data.
fn with_exif(exif: &[u8]) -> [(&'static str, Vec<u8>); 5] {
    let lossless = webp::encode(WIDTH, HEIGHT, &rgb());
    let keyword = b"Raw profile type exif\0";
    let in_app1 = [b"Exif\0\0", exif].concat();
    [
        ("eXIf", rgb_png().with(b"eXIf", exif).bytes()),
        (
            "tEXt",
            rgb_png()
                .with(b"tEXt", &[&keyword[..], &raw_profile(exif)].concat())
                .bytes(),
        ),
        (
            "zTXt",
            rgb_png()
                .with(
                    b"zTXt",
                    &[&keyword[..], b"\0", &packed(&raw_profile(exif))].concat(),
                )
                .bytes(),
        ),
        ("JPEG", jpeg::with(jpeg::RESTARTS, jpeg::APP1, &in_app1)),
        (
            "WebP",
            webp::extended(&lossless, WIDTH, HEIGHT, None, Some(exif), &[]),
        ),
    ]
}

/// The orientation counts wherever the data is, in both byte orders and as SHORT or LONG. The result has the data without it.
#[test]
fn exif_data_is_kept_upright_wherever_it_is() {
    let bench = Bench::new();
    for (is_big, kind) in [(true, 3), (true, 4), (false, 3), (false, 4)] {
        for (place, bytes) in with_exif(&full_exif(is_big, kind, 6)) {
            let run = bench.edit(&bytes, &still(HEIGHT, WIDTH));
            let what = format!("{place}, big-endian {is_big}, type {kind}");
            assert_eq!(run.record["size"], json!([HEIGHT, WIDTH]), "{what}");
            assert_eq!(run.record["kept"], json!(["exif"]), "{what}");
            assert_eq!(run.warnings(), ["region.no_motion"], "{what}");
            let written = bench.read("out.png");
            let (info, _) = png_file::decode(&written);
            assert_eq!(
                info.exif_metadata.as_deref(),
                Some(&upright_exif(is_big, kind)[..]),
                "{what}"
            );
            let parsed = Png::parse(&written);
            assert!(parsed.all(b"tEXt").is_empty() && parsed.all(b"zTXt").is_empty());
            assert!(
                !written
                    .windows(THUMBNAIL.len())
                    .any(|bytes| bytes == THUMBNAIL)
            );
        }
    }
}

/// An edit keeps everything, `--strip-metadata` only the colour profile; the record says which.
#[test]
fn everything_is_kept_or_left_out() {
    let bench = Bench::new();
    let exif = full_exif(true, 3, 6);
    let comment = "caf\u{e9}";
    let profile = b"a profile of some kind";
    let xmp_chunk = [b"XML:com.adobe.xmp\0\0\0\0\0", XMP.as_bytes()].concat();
    let in_app1 = [b"http://ns.adobe.com/xap/1.0/\0", XMP.as_bytes()].concat();
    let png = rgb_png()
        .with(b"iCCP", &png_file::iccp(&packed(profile)))
        .with(b"eXIf", &exif)
        .with(b"iTXt", &xmp_chunk)
        .with(
            b"iTXt",
            &[b"Comment\0\0\0\0\0", comment.as_bytes()].concat(),
        )
        .with(b"iTXt", b"dragnext\0\0\0\0\0{}");
    let with_xmp = jpeg::with(jpeg::RESTARTS, jpeg::APP1, &in_app1);
    let with_comment = jpeg::with(&with_xmp, 0xFE, comment.as_bytes());
    let with_exif = jpeg::with(
        &jpeg::with_profile(&with_comment, profile),
        jpeg::APP1,
        &[b"Exif\0\0", &exif[..]].concat(),
    );
    for (format, bytes) in [("PNG", png.bytes()), ("JPEG", with_exif)] {
        bench.write("picture", bytes);
        let all = bench.edit_file("picture", &moved(HEIGHT, WIDTH)).run();
        assert_eq!(
            all.record["kept"],
            json!(["icc", "exif", "xmp", "text"]),
            "{format}"
        );
        assert!(all.record.get("stripped").is_none());
        let written = bench.read("out.png");
        let (info, pixels) = png_file::decode(&written);
        assert_eq!(info.icc_profile.as_deref(), Some(&profile[..]), "{format}");
        assert_eq!(
            info.exif_metadata.as_deref(),
            Some(&upright_exif(true, 3)[..])
        );
        let texts: Vec<(String, String)> = info
            .utf8_text
            .iter()
            .map(|text| (text.keyword.clone(), text.get_text().unwrap()))
            .collect();
        let upright = XMP.replace("Orientation=\"6\"", "Orientation=\"1\"");
        let text = |keyword: &str| -> Vec<&str> {
            let of = texts.iter().filter(|(found, _)| found == keyword);
            of.map(|(_, text)| &**text).collect()
        };
        assert_eq!(text("XML:com.adobe.xmp"), [upright], "{format}");
        assert_eq!(text("Comment"), [comment], "{format}");
        let reports = text("dragnext");
        assert!(
            reports.len() == 1 && reports[0] != "{}",
            "only the report of this edit"
        );

        let run = bench.edit_file("picture", &moved(HEIGHT, WIDTH));
        let stripped = run.arg("--strip-metadata").run();
        assert_eq!(stripped.record["kept"], json!(["icc"]), "{format}");
        assert_eq!(stripped.record["stripped"], true);
        assert_eq!(
            stripped.record["job"], all.record["job"],
            "the pixels are the same"
        );
        let (info, same) = png_file::decode(&bench.read("out.png"));
        assert!(same == pixels && info.icc_profile.is_some());
        assert!(info.exif_metadata.is_none() && info.utf8_text.len() == 1);
    }
}

/// The result of a result is the same: nothing is lost or doubled by another edit.
#[test]
fn an_edited_picture_keeps_its_data_again() {
    let bench = Bench::new();
    let comment = b"Comment\0hello";
    let png = rgb_png()
        .with(b"eXIf", &full_exif(false, 4, 6))
        .with(b"tEXt", comment);
    bench.edit(&png.bytes(), &still(HEIGHT, WIDTH));
    let once = bench.read("out.png");
    bench.edit(&once, &still(HEIGHT, WIDTH));
    let twice = bench.read("out.png");
    for name in [b"eXIf", b"tEXt"] {
        assert_eq!(Png::parse(&twice).all(name), Png::parse(&once).all(name));
        assert_eq!(Png::parse(&twice).all(name).len(), 1);
    }
    assert_eq!(Png::parse(&twice).all(b"iTXt").len(), 1, "one report");
}

/// Damaged data is left out with a warning, and the edit is done; so is data of any length, cut anywhere.
#[test]
fn damaged_data_is_no_error() {
    let bench = Bench::new();
    let whole = full_exif(true, 3, 6);
    // The first directory is cut behind the orientation, which still counts.
    for (place, bytes) in with_exif(&whole[..8 + 2 + 2 * 12 + 5]) {
        let run = bench.edit(&bytes, &still(HEIGHT, WIDTH));
        assert_eq!(
            run.warnings(),
            ["image.metadata", "region.no_motion"],
            "{place}"
        );
        assert!(
            run.stderr.contains("EXIF data of the picture is damaged"),
            "{}",
            run.stderr
        );
        assert_eq!(run.record["size"], json!([HEIGHT, WIDTH]));
        assert!(run.record.get("kept").is_none());
    }
    for length in (0..whole.len()).step_by(7) {
        bench.edit(
            &rgb_png().with(b"eXIf", &whole[..length]).bytes(),
            &still(HEIGHT, WIDTH),
        );
    }
    let text = rgb_png()
        .with(b"zTXt", b"Title\0\x09")
        .with(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0<");
    let run = bench.edit(&text.bytes(), &still(WIDTH, HEIGHT));
    assert_eq!(
        run.warnings(),
        ["image.metadata", "image.metadata", "region.no_motion"]
    );
    bench.write("picture", text.bytes());
    let run = bench.edit_file("picture", &still(WIDTH, HEIGHT));
    assert_eq!(
        run.arg("--strip-metadata").run().warnings(),
        ["region.no_motion"]
    );
}

/// A batch keeps the same, its records say so, and `--strip-metadata` does not take results that were not stripped for done.
#[test]
fn a_batch_keeps_or_strips_as_it_is_told() {
    let bench = Bench::new();
    let png = rgb_png()
        .with(b"eXIf", &exif(6))
        .with(b"tEXt", b"Comment\0hello");
    bench.write("in/cat.png", png.bytes());
    bench.write("in/cat.json", still(HEIGHT, WIDTH));
    let model = crate::bench::tiny::model();
    let run = |arguments: &[&str]| {
        let ended = bench
            .dragnext(["batch", "in", "-o", "out", "--json", "--model"])
            .arg(&model)
            .args(arguments)
            .any_stdout()
            .any_stderr()
            .run();
        let records = ended.records();
        let record = records.iter().find(|record| record.get("id").is_some());
        record.map(|record| (record["kept"].clone(), record.get("stripped").is_some()))
    };
    let has_exif = || {
        png_file::decode(&bench.read("out/cat.png"))
            .0
            .exif_metadata
            .is_some()
    };
    assert_eq!(run(&[]), Some((json!(["exif", "text"]), false)));
    assert!(has_exif());
    assert_eq!(run(&[]), None, "nothing is left to do");
    let stripped = run(&["--strip-metadata"]);
    assert!(stripped.is_some_and(|(kept, stripped)| kept.is_null() && stripped));
    assert!(!has_exif());
    assert_eq!(run(&["--strip-metadata"]), None);
    assert!(run(&[]).is_some() && has_exif());
    // The report of the edit is a part of the file too.
    let has_report = || {
        let text = bench.read("out/cat.png");
        text.windows(8).any(|bytes| bytes == b"dragnext")
    };
    assert!(has_report());
    assert!(run(&["--no-metadata"]).is_some() && !has_report());
    assert_eq!(run(&["--no-metadata"]), None);
    assert!(run(&[]).is_some() && has_report());
    // A killed run may have written a result that it did not record.
    std::fs::remove_dir_all(bench.path("out/records")).unwrap();
    let refused = bench
        .dragnext(["batch", "in", "-o", "out", "--no-metadata", "--model"])
        .arg(&model)
        .any_stdout()
        .any_stderr()
        .ended()
        .assert(1);
    refused.stderr_has("out/cat.png: was created by another program");
    assert!(has_report());
}
