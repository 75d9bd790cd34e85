//! Files that claim a huge size or unpack to huge data are rejected, or read without that data, in little memory. Peaks are the
//! `peak_bytes` of a run's record.

use crate::bench::pictures::{self, noise, png as png_file};
use crate::bench::tiny::still;
use crate::bench::{Bench, report};
use png::ColorType;

const MIB: u64 = 1 << 20;
const GIB: usize = 1 << 30;
/// Upper bound of the memory for a rejected or a small picture.
const LITTLE: u64 = 50 * MIB;

/// The peak contains the decoded picture.
#[test]
fn the_peak_counts_the_pixels() {
    let bench = Bench::new();
    let (width, height) = (6000, 5000);
    let peak = bench
        .edit(
            &png_file::zeros(width, height, ColorType::Rgb).bytes(),
            &still(width, height),
        )
        .peak_bytes();
    let pixels = (width * height) as u64;
    report(&format!(
        "{width} x {height}, copied: peak {} MiB, {:.1} bytes a pixel",
        peak / MIB,
        peak as f64 / pixels as f64
    ));
    assert!(peak > 3 * pixels, "the samples alone");
    assert!(peak < 16 * pixels + LITTLE, "few copies of them");
}

#[test]
fn a_huge_picture_is_rejected_by_its_header() {
    let bench = Bench::new();
    for (width, height) in [
        (100_000, 100_000),
        (30_000, 30_000),
        (32_769, 64),
        (u32::MAX as usize, 1),
        (1 << 31, 1 << 31),
    ] {
        let mut file = png_file::SIGNATURE.to_vec();
        let header = png_file::header(width, height, ColorType::Rgb);
        file.extend(
            png_file::Png(vec![
                (b"IHDR".to_vec(), header),
                (b"IDAT".to_vec(), Vec::new()),
            ])
            .bytes()
            .split_off(8),
        );
        assert!(file.len() < 60);
        let run = bench.rejected(&file);
        // PNG permits at most 2^31 - 1.
        let kind = if width < 1 << 31 {
            "image.too_large"
        } else {
            run.kind()
        };
        assert_eq!(
            (run.status, run.kind()),
            (Some(2), kind),
            "{width} x {height}: {}",
            run.stderr
        );
        assert!(
            ["image.too_large", "image.decode"].contains(&kind),
            "{kind}"
        );
        assert!(
            run.peak_bytes() < LITTLE,
            "{width} x {height}: {} MiB",
            run.peak_bytes() / MIB
        );
        report(&format!(
            "{width} x {height} claimed in {} bytes: {kind}, peak {} MiB",
            file.len(),
            run.peak_bytes() / MIB
        ));
    }
    // Except for its size such a file is valid: with moderate sides, only the missing data is rejected.
    let file = png_file::Png(vec![
        (b"IHDR".to_vec(), png_file::header(100, 100, ColorType::Rgb)),
        (b"IDAT".to_vec(), Vec::new()),
    ]);
    assert_eq!(bench.rejected(&file.bytes()).kind(), "image.decode");
}

/// A profile or text of 1 GiB is compressed to some megabytes. The picture is read without it.
#[test]
fn metadata_that_unpacks_to_a_gibibyte_is_left_out() {
    let bench = Bench::new();
    let picture = png_file::zeros(64, 64, ColorType::Rgb);
    let plain = bench.edit(&picture.bytes(), &still(64, 64)).peak_bytes();

    // Such a stream is valid: a moderate one is a profile.
    let modest = picture
        .clone()
        .with(b"iCCP", &png_file::iccp(&png_file::deflated_zeros(100_001)));
    bench.edit(&modest.bytes(), &still(64, 64));
    assert!(
        png_file::decode(&bench.read("out.png"))
            .0
            .icc_profile
            .unwrap()
            == vec![0; 100_001]
    );

    let bomb = png_file::deflated_zeros(GIB);
    assert!(bomb.len() < 8 << 20, "{} bytes", bomb.len());
    let text = |keyword: &[u8]| [keyword, &bomb].concat();
    for (name, content, kinds) in [
        (
            b"iCCP",
            png_file::iccp(&bomb),
            &["image.profile", "region.no_motion"][..],
        ),
        (
            b"zTXt",
            text(b"t\0\0"),
            &["image.metadata", "region.no_motion"],
        ),
        (
            b"iTXt",
            text(b"XML:com.adobe.xmp\0\x01\0\0\0"),
            &["image.metadata", "region.no_motion"],
        ),
    ] {
        let file = picture.clone().with(name, &content).bytes();
        let run = bench.edit(&file, &still(64, 64));
        assert_eq!(run.warnings(), kinds);
        let written = png_file::Png::parse(&bench.read("out.png"));
        assert!(
            written
                .all(name)
                .iter()
                .all(|content| content.len() < 10_000),
            "not copied to the result"
        );
        let more = run.peak_bytes() - plain.min(run.peak_bytes());
        let name = String::from_utf8_lossy(name);
        report(&format!(
            "{name} of {} bytes that unpacks to 1 GiB: {} MiB more than without it",
            content.len(),
            more / MIB
        ));
        assert!(
            more < 150 * MIB,
            "{name}: {} MiB more than without it",
            more / MIB
        );

        // The same file as a mask.
        let drag = serde_json::json!({ "version": 1, "editable": { "mask": "mask" }, "regions": [ { "type": "translation",
            "region": { "rect": [8, 8, 40, 40] }, "handle": [20, 20], "target": [20, 20] } ] });
        bench.write("mask", &file);
        let run = bench
            .edit_file("picture", &drag.to_string())
            .status(2)
            .run();
        assert_eq!(
            run.kind(),
            "editable.empty",
            "the mask was read and is black"
        );
        assert!(
            run.peak_bytes() < plain + 150 * MIB,
            "as a mask: {} MiB",
            run.peak_bytes() / MIB
        );
    }
}

/// The mask is rejected before it is decoded.
#[test]
fn a_huge_mask_is_rejected_by_its_header() {
    let bench = Bench::new();
    bench.write("picture", png_file::zeros(64, 64, ColorType::Rgb).bytes());
    bench.write(
        "mask",
        png_file::zeros(16_000, 16_000, ColorType::Grayscale).bytes(),
    );
    let drag = serde_json::json!({ "version": 1, "regions": [ { "type": "translation",
        "region": { "mask": "mask" }, "handle": [20, 20], "target": [40, 20] } ] });
    let run = bench
        .edit_file("picture", &drag.to_string())
        .status(2)
        .stderr_has("16000 x 16000")
        .run();
    assert_eq!(run.kind(), "mask.size");
    assert!(run.peak_bytes() < LITTLE, "{} MiB", run.peak_bytes() / MIB);
}

/// The largest sides of WebP are 16,384 pixels, those of JPEG 65,535.
#[test]
fn claims_of_other_formats_are_bounded() {
    let bench = Bench::new();
    let mut jpeg = pictures::jpeg::PROGRESSIVE.to_vec();
    let frame = jpeg
        .windows(2)
        .position(|marker| marker == [0xFF, 0xC2])
        .unwrap();
    jpeg[frame + 5..frame + 9].fill(0xFF);
    let run = bench.rejected(&jpeg);
    assert_eq!(
        (run.status, run.kind()),
        (Some(2), "image.too_large"),
        "{}",
        run.stderr
    );
    assert!(run.peak_bytes() < LITTLE, "{} MiB", run.peak_bytes() / MIB);

    // Sides have 14 bits: 16,383 x 16,383 is more than 256 million pixels.
    let mut webp = pictures::webp::encode(64, 64, &noise(64 * 64 * 3));
    let sides =
        (u32::from_le_bytes(webp[21..25].try_into().unwrap()) | 0x0FFF_FFFF) & !(1 | 1 << 14);
    webp[21..25].copy_from_slice(&sides.to_le_bytes());
    let run = bench.rejected(&webp);
    assert_eq!(
        (run.status, run.kind()),
        (Some(2), "image.too_large"),
        "{}",
        run.stderr
    );
    assert!(run.peak_bytes() < LITTLE, "{} MiB", run.peak_bytes() / MIB);
}
